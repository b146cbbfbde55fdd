"""The table of automatic stops, row by row, on the real loop and a real journal: scope, alarm, end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from keeper.chain.endpoint import EndpointStatus
from keeper.clock import ManualClock
from keeper.config import ChainSettings, Settings
from keeper.daemon import judging
from keeper.daemon.control import Blind, Controls
from keeper.daemon.facts import Guarded, Lens
from keeper.daemon.isolation import read_without_culprits, without_culprits
from keeper.daemon.loop import ChainLoop, Parts
from keeper.daemon.shadow import ShadowBook
from keeper.daemon.stops import PAUSE, REVERT_WINDOW_BLOCKS
from keeper.daemon.tick import Tick
from keeper.errors import Broken, Disputed, Transient, Unwritable
from keeper.journal.write import Journal
from keeper.model import (
    Attempt,
    Block,
    Deleverage,
    Entry,
    Fee,
    IntentState,
    Level,
    Means,
    Outcome,
    Outlook,
    Plan,
    Policy,
    Position,
    PositionId,
    Proposal,
    Refusal,
    Snapshot,
)
from keeper.notify.alarm import REPEAT_CRITICAL_S, Alarms
from keeper.seams import Venue
from keeper.units import WAD
from strategies.registry import SHIPPED
from tests import build, mandates
from tests.build import ALICE, BOB, USDC, WETH, amount, collateral, debt, means, position, position_id
from tests.fakes import LendingDouble

pytestmark = pytest.mark.scenario
CHAIN = ChainSettings(
    name="local",
    chain_id=build.CHAIN_ID,
    block_time_s=12.0,
    multicall=build.POOL,
    native_token=None,
    endpoints=(),
)


CAROL = build.to_checksum_address("0x" + "c5" * 20)
FALL_USD = 2
"""In each block, whatever stands: nobody is stopped in calm weather."""
OWED = {ALICE: "12000", BOB: "12000", CAROL: "11255"}
"""On 10 WETH: two are in need from the first block on, the third falls below her trigger in the third."""


class Bank:
    """Facts and sender of a loop without a chain, in a crash: who is in need stays so, whatever was sent."""

    def __init__(self, accounts: Sequence[str] = (ALICE, BOB)) -> None:
        self.price = 1_700
        self.accounts = accounts
        self.sent: list[Plan] = []
        self.refuses_with: Exception | None = None
        self.means_at: Callable[[Block], Means] = lambda at: means(
            [amount(USDC, "90000"), amount(WETH, "90")]
        )

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        wallet = self.means_at(block)
        self.price -= FALL_USD
        taken = build.snapshot([self.of(a) for a in self.accounts], wallet=wallet, at=block)
        return replace(taken, prices={**taken.prices, "WETH": float(self.price)}), ()

    def of(self, account: str) -> Position:
        held = [collateral(WETH, "10", price=str(self.price))]
        return position(held, [debt(USDC, OWED[account])], account=account)

    def acted(self, plan: Plan) -> None:
        self.sent.append(plan)

    async def act(self, plan: Plan, snapshot: Snapshot) -> Attempt | Refusal:
        if self.refuses_with is not None:
            raise self.refuses_with
        fee = Fee(gas_limit=1, max_fee_wei=1, tip_wei=1)
        return Attempt(key=plan.key, nonce=0, n=0, raw=b"", hash="", fee=fee, sent_block=plan.block.number)


@dataclass
class Night:
    """One loop, stepped block by block."""

    loop: ChainLoop
    bank: Bank
    journal: Journal
    clock: ManualClock
    number: int = 100
    live: list[int] = field(default_factory=lambda: [3, 3])
    old: list[str] = field(default_factory=lambda: [""])

    def block(self, blocks: int = 1) -> set[str]:
        """Blocks whose plans go to the lane; accounts for which something was sent in the last of them."""
        for _ in range(blocks):
            self.number += 1
            self.clock.advance(12.0)
            self.bank.sent.clear()
            before = self.loop.last
            tick = asyncio.run(self._block())
            # a stop stops acting: everybody is judged, at the price of this block, which is lower
            assert {o.id.account for o in tick.outlooks} == set(self.bank.accounts)
            assert before is None or worst(tick) < worst(before)
        return {p.key.position.account for p in self.bank.sent}

    async def _block(self) -> Tick:
        tick = await self.loop.tick(build.block(self.number))
        for plan in self.loop.hand(tick):
            await self.loop.act(plan, tick.snapshot)
            self.loop.lane.waiting.pop(plan.key.position, None)
        return tick

    def alarms(self, code: str) -> list[str]:
        """Severities of an alarm, oldest first."""
        said = [e for e in self.journal.entries("alarm", limit=10_000) if e.data["code"] == code]
        return [str(e.data["severity"]) for e in said]

    def standing(self, code: str) -> set[str]:
        """Subjects for which an alarm stands."""
        return {a.subject for a in self.loop.parts.alarms.standing if a.code == code}


def worst(tick: Tick) -> float:
    """The lowest health that it judged."""
    return min(o.health for o in tick.outlooks if o.health is not None)


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    with stormy(tmp_path, {"alice": ALICE, "bob": BOB}) as made:
        yield made


@contextmanager
def stormy(home: Path, guarded: Mapping[str, str]) -> Iterator[Night]:
    """A night of these labels and accounts, on the journal that lies there, armed."""
    bank, clock, live, old = Bank(tuple(guarded.values())), ManualClock(1_000_000.0), [3, 3], [""]
    venue = LendingDouble()
    policy = replace(build.policy(), cooldown_blocks=0)
    with Journal.open(home / "journal.sqlite", clock) as journal:
        parts = Parts(
            chain=CHAIN,
            facts=bank,
            guarded=tuple(
                Guarded(label=n, policy=policy, venue_id=venue.id, id=position_id(a))
                for n, a in guarded.items()
            ),
            journal=journal,
            sender=bank,
            dry=False,
            alarms=Alarms(journal.record, clock, build.CHAIN_ID),
            clock=clock,
            strategies=SHIPPED,
            shocks=(),
            armed_digest="d",
            live_endpoints=lambda: (live[0], live[1]),
            old_head=lambda: old[0],
        )
        journal.set_control("armed", "d", "test", "go")
        loop = ChainLoop(parts, {venue.id: venue})
        yield Night(loop=loop, bank=bank, journal=journal, clock=clock, live=live, old=old)


def reverted(night: Night, account: str, block: int) -> None:
    """A transaction of ``account`` that reverted in ``block``."""
    tick = night.loop.last
    assert tick is not None
    made = next(p for p in tick.plans if p.key.position.account == account)
    id = made.key.position
    seq = night.journal.next_seq(id)
    made = replace(made, key=replace(made.key, seq=seq), block=build.block(block))
    night.journal.open_intent(made)
    fee = Fee(gas_limit=1, max_fee_wei=1, tip_wei=1)
    night.journal.add_attempt(
        Attempt(key=made.key, nonce=seq, n=0, raw=b"x", hash=f"0x{seq}", fee=fee, sent_block=block), "0x1"
    )
    outcome = Outcome(
        key=made.key,
        state=IntentState.REVERTED,
        block_number=block,
        tx_hash=f"0x{seq}",
        gas_used=1,
        gas_price_wei=1,
        health_after_wad=None,
        promised_min_wad=0,
        surprise="reverted",
    )
    night.journal.record_outcome(outcome, "0xb")


def cancelled(night: Night, account: str, seq: int, state: str = "CANCELLED") -> None:
    """An order of ``account`` that its venue ended so, in the block of now."""
    night.journal.record(
        Entry(
            kind="order",
            chain_id=build.CHAIN_ID,
            block_number=night.number,
            subject=f"{position_id(account)}#{seq}",
            why="cancelled",
            data={"state": state, "order": f"0x{seq}", "at_s": build.block(night.number).timestamp_s},
        )
    )


def day_spent(night: Night, account: str) -> None:
    """One action moved all that ``account`` may move in a day."""
    tick = night.loop.last
    assert tick is not None
    plan = next(p for p in tick.plans if p.key.position.account == account)
    day_usd = night.loop.policies[plan.key.position].caps.per_day_usd
    night.journal.open_intent(plan, spend_usd=day_usd)
    fee = Fee(gas_limit=1, max_fee_wei=1, tip_wei=1)
    night.journal.add_attempt(
        Attempt(key=plan.key, nonce=0, n=0, raw=b"x", hash="0x1", fee=fee, sent_block=101), "0x1"
    )
    night.journal.set_state(plan.key, IntentState.INCLUDED, "mined", 101)
    night.journal.seal(plan.key, 101)


def test_row_orders_in_vain__when_three_in_two_minutes__then_that_position_waits_and_goes_on_by_itself(
    night: Night,
) -> None:
    assert night.block() == {ALICE, BOB}
    for seq, state in enumerate(("CANCELLED", "EXECUTED", "CANCELLED", "FROZEN"), 1):
        cancelled(night, ALICE, seq, state)
        cancelled(night, BOB, seq, "EXECUTED")
    assert night.block() == {ALICE, BOB}
    cancelled(night, ALICE, 5)
    assert night.block() == {BOB}
    assert night.standing("not_acting") == {str(position_id(ALICE))}
    assert night.alarms("not_acting") == ["CRITICAL"]
    # the first two were of the first block: their window ends ten blocks after it
    assert night.block(8) == {BOB}
    assert night.block() == {ALICE, BOB}
    assert night.standing("not_acting") == set()


def test_row_reverts__when_three_in_ten_blocks__then_that_position_waits_and_goes_on_by_itself(
    night: Night,
) -> None:
    assert night.block() == {ALICE, BOB}
    for block in (101, 102):
        reverted(night, ALICE, block)
    assert night.block() == {ALICE, BOB}
    reverted(night, ALICE, 102)
    assert night.block() == {BOB}
    assert night.standing("not_acting") == {str(position_id(ALICE))}
    assert night.alarms("not_acting") == ["CRITICAL"]
    night.number = 101 + REVERT_WINDOW_BLOCKS - 2
    assert night.block() == {BOB}
    assert night.block() == {ALICE, BOB}
    assert night.standing("not_acting") == set()


class Clumsy:
    """A strategy that breaks over one account."""

    name = "repay"

    def __init__(self, over: str) -> None:
        self.over = over

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: object, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        if position.id.account == self.over:
            raise ZeroDivisionError("a strategy's own fault")
        return SHIPPED[0].propose(position, outlook, policy, means, venue, block)  # type: ignore[arg-type]


def test_row_broken_position__when_a_strategy_raises_over_one__then_the_other_is_rescued(
    night: Night,
) -> None:
    whole = night.loop.parts.strategies
    night.loop.parts = replace(night.loop.parts, strategies=(Clumsy(ALICE), SHIPPED[1]))
    assert night.block() == {BOB}
    assert not night.loop.broken
    assert night.standing("broken_position") == {str(position_id(ALICE))}
    assert night.alarms("broken_position") == ["CRITICAL"]
    night.clock.advance(REPEAT_CRITICAL_S)
    night.block()
    assert night.alarms("broken_position") == ["CRITICAL", "CRITICAL"]
    night.loop.parts = replace(night.loop.parts, strategies=whole)
    assert night.block() == {ALICE, BOB}
    assert night.standing("broken_position") == set()


def test_row_broken_position__when_its_plan_cannot_be_built__then_the_other_is_rescued(night: Night) -> None:
    venue = night.loop.venues[build.VENUE]
    encode = venue.encode

    def broken(step: object, of: Position) -> object:
        if of.id.account == BOB:
            raise OverflowError("an encoder's own fault")
        return encode(step, of)  # type: ignore[arg-type]

    venue.encode = broken  # type: ignore[method-assign, assignment]
    assert night.block() == {ALICE}
    assert night.standing("broken_position") == {str(position_id(BOB))}


def test_row_broken_position__when_the_risk_core_breaks_over_one__then_it_is_rescued_all_the_same(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    assess = judging.assess

    def broken(positions: Sequence[Position], *rest: object) -> tuple[Outlook, ...]:
        if any(p.id.account == ALICE for p in positions):
            raise ValueError("the core's own fault")
        return assess(positions, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(judging, "assess", broken)
    assert night.block() == {ALICE, BOB}
    tick = night.loop.last
    assert tick is not None
    whys = {o.id.account: o.why for o in tick.outlooks}
    assert "risk core broke: ValueError" in whys[ALICE]


class BrokenCamera:
    """Photographs everybody but one, over whom it breaks."""

    def __init__(self, over: str, error: Exception) -> None:
        self.over, self.error = over, error

    async def photograph(
        self,
        venues: Mapping[str, Venue],
        accounts: Mapping[str, tuple[str, ...]],
        block: Block,
        shadows: ShadowBook,
        since: Mapping[PositionId, int],
    ) -> Snapshot:
        asked = [a for of in accounts.values() for a in of]
        if self.over in asked:
            raise self.error
        return build.snapshot([position([], [], account=a) for a in asked], at=block)


def test_row_broken_position__when_it_cannot_be_decoded__then_it_alone_is_unknown(night: Night) -> None:
    lens = Lens(BrokenCamera(BOB, IndexError("a decoder's own fault")), night.loop.parts.guarded)  # type: ignore[arg-type]
    seen = asyncio.run(lens.look(build.block(100), night.loop.venues, ShadowBook()))
    assert [p.id.account for p in seen.positions] == [ALICE]
    assert [(u.id.account, u.since_block) for u in seen.unreadable] == [(BOB, 100)]
    seen = asyncio.run(lens.look(build.block(101), night.loop.venues, ShadowBook()))
    assert [(u.id.account, u.since_block) for u in seen.unreadable] == [(BOB, 100)]
    lens = Lens(BrokenCamera(BOB, Transient("no answer")), night.loop.parts.guarded)  # type: ignore[arg-type]
    with pytest.raises(Transient):
        asyncio.run(lens.look(build.block(100), night.loop.venues, ShadowBook()))


def test_isolation__when_nobody_alone_is_to_blame__then_the_error_passes() -> None:
    def together(keys: Sequence[int]) -> int:
        if len(keys) > 1:
            raise ValueError("together only")
        return 0

    with pytest.raises(ValueError, match="together only"):
        without_culprits(together, (1, 2))

    async def reading(keys: Sequence[int]) -> int:
        return together(keys)

    with pytest.raises(ValueError, match="together only"):
        asyncio.run(read_without_culprits(reading, (1, 2)))


def test_row_day_cap__when_one_position_has_used_its_day__then_it_waits_until_the_day_has_passed(
    night: Night,
) -> None:
    night.block()
    day_spent(night, ALICE)
    assert night.block() == {BOB}
    assert night.standing("caps") == {str(position_id(ALICE))}
    night.clock.advance(86_400.0)
    assert night.block() == {ALICE, BOB}


def test_row_pause__when_everything_is_paused__then_nothing_is_sent_until_it_ends_by_itself(
    night: Night,
) -> None:
    night.journal.set_control(PAUSE, repr(night.clock.now_s() + 30), "me", "moving collateral")
    assert night.block() == set()
    assert night.alarms("not_acting") == ["CRITICAL", "CRITICAL"]
    assert {o.level for o in night.loop.last.outlooks} == {Level.ACT}  # type: ignore[union-attr]
    assert night.block() == set()
    assert night.block() == {ALICE, BOB}
    assert night.standing("not_acting") == set()


@pytest.mark.parametrize(("back_s", "acts"), [(3_600, set()), (3_700, {ALICE, BOB})])
def test_row_pause__when_its_end_lies_beyond_a_day__then_it_holds_for_a_clock_set_back_by_an_hour_at_most(
    night: Night, back_s: int, acts: set[str]
) -> None:
    night.journal.set_control(PAUSE, repr(night.clock.now_s() + 86_400 + back_s), "clock", "set back")
    assert night.block() == acts


def test_row_pause_of_a_position__when_asked_for__then_the_other_is_rescued(night: Night) -> None:
    key = f"{PAUSE}:{position_id(ALICE)}"
    night.journal.set_control(key, repr(night.clock.now_s() + 30), "me", "by hand")
    assert night.block() == {BOB}
    assert night.standing("not_acting") == {str(position_id(ALICE))}
    assert night.block(2) == {ALICE, BOB}


def test_row_quorum_lost__when_one_endpoint_is_left__then_rescues_from_the_wallet_go_on(night: Night) -> None:
    night.live[0] = 1
    assert night.block() == {ALICE, BOB}
    assert night.alarms("quorum_lost") == ["CRITICAL"]
    night.live[0] = 2
    assert night.block() == {ALICE, BOB}
    assert night.standing("quorum_lost") == set()


def test_row_quorum_lost__when_both_sell__then_what_the_executor_checks_goes_on_and_an_exit_by_price_waits(
    night: Night,
) -> None:
    night.bank.means_at = executors
    plain = replace(
        build.policy(target="1.40", caps=build.limits(action=10**7, day=10**7)), cooldown_blocks=0
    )
    rescue = replace(plain, strategies=("deleverage",))
    exit_ = replace(plain, strategies=("close_position",), close_prices=(("WETH", 1_750 * WAD),))
    night.loop.policies = {position_id(ALICE): rescue, position_id(BOB): exit_}
    night.live[0] = 1
    assert night.block() == {ALICE}
    tick = night.loop.last
    assert tick is not None
    sold = {p.key.position.account: p for p in tick.plans}
    assert {a: p.strategy for a, p in sold.items()} == {ALICE: "deleverage", BOB: "close_position"}
    assert all(isinstance(p.steps[0], Deleverage) for p in sold.values())
    stop = night.loop.stops.of(sold[BOB])
    assert stop is not None
    assert (stop.code, stop.scope) == ("quorum_lost", "chain")
    assert set(night.loop.stops.standing(night.loop.policies, tick.block)) == {position_id(BOB)}
    assert (night.alarms("quorum_lost"), night.alarms("not_acting")) == (["CRITICAL"], ["CRITICAL"])
    assert night.standing("not_acting") == {str(position_id(BOB))}
    night.live[0] = 2
    assert night.block() == {ALICE, BOB}
    assert night.standing("quorum_lost") == night.standing("not_acting") == set()


def test_row_blind_by_age__when_the_newest_head_is_old__then_rescues_go_on_and_an_exit_by_price_waits(
    night: Night,
) -> None:
    night.old[0] = "the newest head (101) is 5400 s old by this machine's clock"
    assert night.block() == {ALICE, BOB}, "from the wallet"
    night.bank.means_at = executors
    plain = replace(
        build.policy(target="1.40", caps=build.limits(action=10**7, day=10**7)), cooldown_blocks=0
    )
    rescue = replace(plain, strategies=("deleverage",))
    exit_ = replace(plain, strategies=("close_position",), close_prices=(("WETH", 1_750 * WAD),))
    night.loop.policies = {position_id(ALICE): rescue, position_id(BOB): exit_}
    assert night.block() == {ALICE}, "which its Executor asks the protocol about again"
    tick = night.loop.last
    assert tick is not None
    stop = night.loop.stops.of(next(p for p in tick.plans if p.key.position == position_id(BOB)))
    assert stop is not None
    assert (stop.code, stop.scope) == ("blind", "chain")
    assert "5400 s old" in stop.why
    assert set(night.loop.stops.standing(night.loop.policies, tick.block)) == {position_id(BOB)}
    assert night.standing("not_acting") == {str(position_id(BOB))}
    night.old[0] = ""
    assert night.block() == {ALICE, BOB}
    assert night.standing("not_acting") == set()


def executors(at: Block) -> Means:
    """An empty wallet; each owner's Executor may sell WETH for USDC, at 1,700."""
    table = mandates.route(impact_ppm=500, most="30000")
    route = replace(table, points=tuple((bought, sold * 2000 // 1700) for bought, sold in table.points))
    terms = mandates.terms(expiry_s=at.timestamp_s + 10**6)
    now = {"terms": terms, "block_number": at.number, "timestamp_s": at.timestamp_s}
    now["bot_expiry_s"] = at.timestamp_s + 10**6
    both = [mandates.mandate(id=position_id(a), owner=a, **now) for a in (ALICE, BOB)]
    return replace(mandates.means(routes=[route]), mandates=tuple(both))


def test_row_foreign_nonce__when_found_before_a_signature__then_watching_goes_on_and_critical_repeats(
    night: Night,
) -> None:
    night.bank.refuses_with = Broken("foreign nonce: 0xa1 has sent 5 transactions")
    assert night.block() == set()
    assert "foreign nonce" in night.loop.broken
    night.bank.refuses_with = None
    assert night.block() == set()
    night.clock.advance(REPEAT_CRITICAL_S)
    assert night.block() == set()
    assert night.alarms("broken") == ["CRITICAL", "CRITICAL"]
    assert night.standing("not_acting") == {str(position_id(ALICE)), str(position_id(BOB))}


def test_row_disputed_nonce__when_one_endpoint_says_so_alone__then_it_ends_by_itself(night: Night) -> None:
    night.bank.refuses_with = Disputed("one of 3 endpoints says that 0xa1 has sent 5 transactions")
    assert night.block() == set()
    assert night.loop.broken == ""
    assert night.standing("not_sent") == {str(position_id(ALICE)), str(position_id(BOB))}
    night.bank.refuses_with = None
    assert night.block() == {ALICE, BOB}
    assert night.standing("not_sent") == set()


def test_row_unwritable_disk__when_the_journal_takes_nothing__then_nothing_is_sent_until_it_does(
    night: Night,
) -> None:
    raw = night.journal._connection.connection.driver_connection
    assert raw is not None
    night.block()
    night.bank.sent.clear()
    pages = raw.execute("PRAGMA page_count").fetchone()[0]
    raw.execute(f"PRAGMA max_page_count={pages}")
    while not night.loop.stops.unwritable:
        try:
            night.journal.set_control("filler", "x" * 2_000, "test", "test")
            night.journal.record_all(e for e in night.journal.entries("control", limit=1))
        except Unwritable as full:
            night.loop.stop_acting(full)
    for _ in range(2):
        # judged and told, and on paper
        assert night.block() == set()
        assert night.loop.last is not None
        assert night.loop.last.plans
        assert night.standing("unwritable") == {""}
        assert night.standing("not_acting") == {str(position_id(ALICE)), str(position_id(BOB))}
        night.clock.advance(REPEAT_CRITICAL_S)
    assert night.bank.sent == []
    assert night.loop.broken == ""
    raw.execute("PRAGMA max_page_count=1000000")
    assert night.block() == {ALICE, BOB}
    assert night.standing("unwritable") == set()


def test_row_unwritable_disk__when_it_fills_while_a_plan_is_acted_on__then_told_and_tried_again(
    night: Night,
) -> None:
    night.bank.refuses_with = Unwritable("signer store signer.sqlite failed: database or disk is full")
    assert night.block() == set()
    assert night.standing("unwritable") == {""}
    assert night.standing("not_sent") == {str(position_id(ALICE)), str(position_id(BOB))}
    night.bank.refuses_with = None
    assert night.block() == {ALICE, BOB}
    assert night.standing("unwritable") == set()


def test_row_unwritable_disk__when_following_could_not_be_kept__then_nothing_is_signed_in_that_very_tick(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, full = type(night.loop.parts.facts).take, Unwritable("journal failed: database or disk is full")

    async def taken(self: object, *asked: object) -> object:
        night.loop.stop_acting(full)
        return await take(self, *asked)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(type(night.loop.parts.facts), "take", taken)
        # the tick's own rows are kept, and that alone is no sign that all is
        assert night.block() == set()
        assert night.standing("unwritable") == {""}
    assert night.block() == {ALICE, BOB}
    assert night.standing("unwritable") == set()


def test_row_disarmed__when_disarmed__then_decided_and_alarmed_but_not_sent(night: Night) -> None:
    night.journal.set_control("armed", None, "me", "by hand")
    assert night.block() == set()
    night.clock.advance(REPEAT_CRITICAL_S)
    night.block()
    assert night.alarms("not_acting") == ["CRITICAL"] * 4
    night.journal.set_control("armed", "d", "me", "go on")
    assert night.block() == {ALICE, BOB}


@dataclass
class Chain:
    """What the control socket knows of a chain."""

    chain: ChainSettings
    loop: ChainLoop | None
    alarms: Alarms
    blind: Blind | None = None

    def endpoint_status(self) -> tuple[EndpointStatus, ...]:
        return ()


def test_pause__when_asked_for_over_the_control_socket__then_bounded_named_and_journaled(
    night: Night,
) -> None:
    settings = cast(Settings, SimpleNamespace(mode="live", digest="d"))
    chain = Chain(CHAIN, night.loop, cast(Alarms, night.loop.parts.alarms))
    controls = Controls(settings, night.journal, (chain,), night.clock)

    def ask(**request: object) -> dict[str, object]:
        return asyncio.run(controls.answer({"actor": "me", "why": "by hand", **request}))

    for for_s in (0, -1, 86_401, True, "60", None):
        assert ask(do="pause", for_s=for_s)["ok"] is False
    assert ask(do="pause", for_s=60, label="nobody")["ok"] is False
    assert night.block() == {ALICE, BOB}
    assert ask(do="pause", for_s=60, label="alice")["ok"] is True
    assert night.block() == {BOB}
    assert ask(do="pause", for_s=60)["ok"] is True
    assert night.block() == set()
    assert ask(do="resume")["ok"] is True
    assert ask(do="resume", label="alice")["ok"] is True
    assert night.block() == {ALICE, BOB}
    kept = [(e.subject, e.data["actor"]) for e in night.journal.entries("control") if e.subject != "armed"]
    assert sorted(kept) == sorted([(f"{PAUSE}:{position_id(ALICE)}", "me"), (PAUSE, "me")] * 2)
