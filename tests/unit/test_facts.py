"""What a tick decides on: live, the chain after its transactions were tended; dry, the shadows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from keeper.chain.line import HeadKind
from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.daemon.facts import DryFacts, Guarded, Lens, LiveFacts
from keeper.daemon.pace import LOOKS, Pace
from keeper.daemon.shadow import ShadowBook
from keeper.errors import Broken, Transient, Unwritable
from keeper.journal.write import Journal
from keeper.model import (
    Block,
    IntentState,
    Plan,
    PlanKey,
    Position,
    PositionId,
    Proposal,
    Repay,
    Snapshot,
    Unreadable,
)
from keeper.plan import Case, compile_plan
from keeper.seams import Severity, Venue
from keeper.units import WAD
from tests import build
from tests.build import USDC, WETH, amount, collateral, debt, units
from tests.fakes import LendingDouble
from tests.loop_double import Heard, heard
from tests.virtual_time import virtual

pytestmark = [pytest.mark.unit]

ID = build.position_id()
BY_ADDRESS = {t.address: t for t in build.TOKENS}


class Chain:
    """A camera over one position that the test moves; shadows are shown in its place."""

    transport = None
    """Nothing old is followed here: nobody is asked where the chain is final."""

    def __init__(self) -> None:
        self.price = "1400"
        self.collateral = "10"
        self.debt = "10000"
        self.lost = ""
        self.was_liquidated = False
        self.asked: list[tuple[int, int]] = []

    async def photograph(
        self,
        venues: Mapping[str, Venue],
        accounts: Mapping[str, tuple[str, ...]],
        block: Block,
        shadows: ShadowBook,
        since: Mapping[PositionId, int],
    ) -> Snapshot:
        assert accounts == {build.VENUE: (build.ALICE,)}
        if self.lost:
            first = min(block.number, since.get(ID, block.number))
            return build.snapshot(at=block, unreadable=[Unreadable(id=ID, why=self.lost, since_block=first)])
        shadow = shadows.shadows.get(ID)
        supplied, borrowed = (
            {WETH.address: units(WETH, self.collateral)},
            {USDC.address: units(USDC, self.debt)},
        )
        if shadow is not None:
            supplied, borrowed = dict(shadow.collateral), dict(shadow.debt)
        return build.snapshot([self.position(supplied, borrowed, block)], at=block)

    def position(self, supplied: Mapping[str, int], borrowed: Mapping[str, int], block: Block) -> Position:
        def text(address: str, have: int) -> str:
            return str(have / 10 ** BY_ADDRESS[address].decimals)

        bare = build.position(
            [collateral(BY_ADDRESS[a], text(a, n)) for a, n in supplied.items()],
            [debt(BY_ADDRESS[a], text(a, n)) for a, n in borrowed.items()],
            at=block.number,
        )
        return build.repriced(bare, {"WETH": self.price})

    async def liquidated(self, venue: Venue, account: str, first: int, last: int) -> bool:
        self.asked.append((first, last))
        return self.was_liquidated


class Dry:
    """Dry facts over the chain, and the journal that they keep."""

    def __init__(self, home: Path) -> None:
        self.venue = LendingDouble()
        self.venues: dict[str, Venue] = {self.venue.id: self.venue}
        self.chain, self.alarms = Chain(), heard()
        self.journal = Journal.open(home / "journal.sqlite", ManualClock(5.0))
        self.facts = self.begun()
        self.number = 100

    def begun(self) -> DryFacts:
        """Facts as a (re)start makes them."""
        policy = build.policy()
        guarded = (Guarded(label="vault", policy=policy, venue_id=self.venue.id, id=ID),)
        lens = Lens(self.chain, guarded)  # type: ignore[arg-type]
        return DryFacts(lens, self.journal, self.alarms, build.CHAIN_ID)

    async def block(self) -> tuple[Snapshot, tuple[IntentState, ...]]:
        """One more block: what is seen, and which fills were told."""
        self.number += 1
        snapshot, outcomes = await self.facts.take(build.block(self.number), self.venues)
        return snapshot, tuple(o.state for o in outcomes)

    def plan(self, snapshot: Snapshot, repaid: str) -> Plan:
        """A repayment as the dry sender would have journaled it."""
        position = snapshot.positions[0]
        step = Repay(amount=amount(USDC, repaid))
        after = self.venue.after((step,), position).health_wad
        assert after is not None
        proposal = Proposal(
            ids=(ID,),
            strategy="repay",
            steps=(step,),
            health_after_wad=after,
            spend_usd=float(repaid),
            gas_usd=1.0,
            idle_usd=0.0,
            cost_usd=1.0,
            why="for the test",
        )
        wallet = build.means([amount(USDC, "20000")])
        case = Case(
            position=position,
            venue=self.venue,
            policy=build.policy(max_health="3"),
            snapshot=replace(snapshot, means=wallet),
            seq=self.journal.next_seq(ID),
        )
        plan = compile_plan(proposal, case)
        assert isinstance(plan, Plan), plan
        self.journal.open_intent(plan, dry=True)
        self.facts.acted(plan)
        return plan


@pytest.fixture
def dry(tmp_path: Path) -> Iterator[Dry]:
    made = Dry(tmp_path)
    yield made
    made.journal.close()


def owed(snapshot: Snapshot) -> int:
    return snapshot.positions[0].debt[0].amount.units


@virtual
async def test_fill__when_a_plan_was_acted__then_it_shows_from_the_next_block_on(dry: Dry) -> None:
    first, none = await dry.block()
    assert none == ()
    assert not dry.facts.apart(ID)
    plan = dry.plan(first, "4000")
    seen, states = await dry.block()
    assert states == (IntentState.DRY,)
    assert owed(seen) == units(USDC, "6000")
    assert dry.facts.apart(ID)
    assert dry.journal.wallet_deltas(build.CHAIN_ID) == {USDC.address: -units(USDC, "4000")}
    (row,) = dry.journal.entries("outcome")
    assert row.subject == str(plan.key)
    assert row.data["health_after_wad"] == str(seen.positions[0].health_wad)
    assert row.data["surprise"] == ""
    again, states = await dry.block()
    assert (owed(again), states) == (units(USDC, "6000"), ())


@virtual
async def test_fill__when_the_price_fell_meanwhile__then_the_broken_promise_is_a_surprise(dry: Dry) -> None:
    first, _ = await dry.block()
    dry.plan(first, "4000")
    dry.chain.price = "1000"
    await dry.block()
    (row,) = dry.journal.entries("outcome")
    assert row.data["surprise"] == "the health found is below the health promised"


@virtual
async def test_fill__when_the_position_cannot_be_read__then_it_waits_and_is_not_lost(dry: Dry) -> None:
    first, _ = await dry.block()
    dry.plan(first, "4000")
    dry.chain.lost = "the feed reverts"
    for _ in range(2):
        seen, states = await dry.block()
        assert (seen.positions, states) == ((), ())
    assert [u.since_block for u in seen.unreadable] == [102]
    assert dry.journal.wallet_deltas(build.CHAIN_ID) == {}
    dry.chain.lost = ""
    seen, states = await dry.block()
    assert (owed(seen), states) == (units(USDC, "6000"), (IntentState.DRY,))
    assert len(dry.journal.entries("outcome")) == 1


@virtual
async def test_owner__when_she_acts__then_the_shadow_follows_by_the_difference(dry: Dry) -> None:
    dry.plan((await dry.block())[0], "4000")
    await dry.block()
    dry.chain.debt = "9000"
    seen, _ = await dry.block()
    assert owed(seen) == units(USDC, "5000")
    assert dry.chain.asked == [(103, 103)]
    assert dry.alarms.raised == []


@virtual
async def test_liquidation__when_it_hits_the_real_position__then_told_once_and_the_shadow_lives_on(
    dry: Dry,
) -> None:
    dry.plan((await dry.block())[0], "4000")
    await dry.block()
    dry.chain.collateral, dry.chain.debt, dry.chain.was_liquidated = "5", "5000", True
    seen, _ = await dry.block()
    assert owed(seen) == units(USDC, "6000")
    assert seen.positions[0].collateral[0].amount.units == units(WETH, "10")
    dry.chain.collateral = "4"
    await dry.block()
    assert [(s, code) for s, code, _, _ in dry.alarms.raised] == [(Severity.WARNING, "liquidated_unguarded")]


@virtual
async def test_restart__when_shadows_were_kept__then_they_are_shown_as_soon_as_the_chain_is(dry: Dry) -> None:
    dry.plan((await dry.block())[0], "4000")
    await dry.block()
    dry.facts = dry.begun()
    dry.chain.lost = "the feed reverts"
    seen, _ = await dry.block()
    assert seen.positions == ()
    dry.chain.lost = ""
    seen, _ = await dry.block()
    assert owed(seen) == units(USDC, "6000")
    assert dry.facts.apart(ID)


class Troubled:
    """A confirmation that tells troubles and remembers what it was shown."""

    def __init__(self) -> None:
        self.troubles: dict[PlanKey, str] = {}
        self.refused: dict[PlanKey, str] = {}
        self.tended: list[int] = []

    async def tend(self, block: Block, snapshot: Snapshot) -> tuple[object, ...]:
        assert snapshot.block == block
        self.tended.append(block.number)
        return ()


@virtual
async def test_live__when_a_sent_plan_is_stuck__then_critical_until_it_is_not() -> None:
    chain, confirmation, alarms = Chain(), Troubled(), heard()
    guarded = (Guarded(label="vault", policy=build.policy(), venue_id=build.VENUE, id=ID),)
    lens = Lens(chain, guarded)  # type: ignore[arg-type]
    facts = LiveFacts(lens, _as_confirmation(confirmation), alarms)
    venue = LendingDouble()
    key = PlanKey(position=ID, seq=1)
    confirmation.troubles = {key: "gas_cap: it would cost more than the cap"}
    snapshot, _ = await facts.take(build.block(101), {venue.id: venue})
    assert snapshot.positions[0].health_wad == WAD * 1162 // 1000
    confirmation.troubles = {}
    await facts.take(build.block(102), {venue.id: venue})
    assert confirmation.tended == [101, 102]
    _stuck(alarms, key)


class Full(Troubled):
    """A confirmation whose journal takes no note of what it found."""

    def __init__(self, error: Broken) -> None:
        super().__init__()
        self.error = error

    async def tend(self, block: Block, snapshot: Snapshot) -> tuple[object, ...]:
        await super().tend(block, snapshot)
        raise self.error


@pytest.mark.parametrize("error", [Unwritable("disk is full"), Broken("journal.sqlite was replaced")])
@virtual
async def test_live__when_the_journal_takes_no_note_of_what_was_sent__then_told_and_the_photograph_is_shown(
    error: Broken,
) -> None:
    chain, told, venue = Chain(), list[Broken](), LendingDouble()
    guarded = (Guarded(label="vault", policy=build.policy(), venue_id=build.VENUE, id=ID),)
    facts = LiveFacts(Lens(chain, guarded), _as_confirmation(Full(error)), heard())  # type: ignore[arg-type]
    with pytest.raises(Broken):  # nobody is there to be told
        await facts.take(build.block(101), {venue.id: venue})
    facts.on_full = told.append
    snapshot, outcomes = await facts.take(build.block(102), {venue.id: venue})
    assert (snapshot.block.number, outcomes) == (102, ())
    assert told == [error]


class Garbled(Troubled):
    """A confirmation that trips over a node's answer, once."""

    async def tend(self, block: Block, snapshot: Snapshot) -> tuple[object, ...]:
        await super().tend(block, snapshot)
        if len(self.tended) == 1:
            raise Transient("dict answered where a hex quantity is expected")
        return ()


@virtual
async def test_live__when_an_answer_trips_what_follows_the_sent__then_said_and_the_photograph_is_shown() -> (
    None
):
    chain, alarms, venue = Chain(), heard(), LendingDouble()
    guarded = (Guarded(label="vault", policy=build.policy(), venue_id=build.VENUE, id=ID),)
    facts = LiveFacts(Lens(chain, guarded), _as_confirmation(Garbled()), alarms)  # type: ignore[arg-type]
    snapshot, outcomes = await facts.take(build.block(101), {venue.id: venue})
    assert (snapshot.block.number, outcomes) == (101, ())
    ((severity, code, _, why),) = alarms.raised
    assert (severity, code) == (Severity.WARNING, "tending_slow")
    assert "a hex quantity is expected" in why
    await facts.take(build.block(102), {venue.id: venue})
    assert alarms.cleared.count(("tending_slow", "")) == 1


class Slow(Troubled):
    """A confirmation whose tending takes until it is told to end; ``open``: a plan depends on it."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = asyncio.Event()
        self.open = False
        self.asked_moved: list[bool] = []

    def pending(self, chain_id: int, nonce: int, *, moved: bool) -> frozenset[PositionId]:
        self.asked_moved.append(moved)
        return frozenset({ID}) if self.open else frozenset()

    async def tend(self, block: Block, snapshot: Snapshot) -> tuple[object, ...]:
        await super().tend(block, snapshot)
        await self.ends.wait()
        return (block.number,)


@virtual
async def test_live__when_no_plan_depends_on_what_is_followed__then_a_newer_block_does_not_wait_for_it() -> (
    None
):
    chain, confirmation, pace = Chain(), Slow(), Pace()
    guarded = (Guarded(label="vault", policy=build.policy(), venue_id=build.VENUE, id=ID),)
    facts = LiveFacts(Lens(chain, guarded), _as_confirmation(confirmation), heard(), pace)  # type: ignore[arg-type]
    venue, newer = LendingDouble(), asyncio.Event()
    pace.newer, at = newer.wait, {venue.id: venue}  # type: ignore[assignment]
    newer.set()
    for number in (101, 102):
        snapshot, outcomes = await facts.take(build.block(number), at)
        assert (snapshot.block.number, outcomes) == (number, ())
    assert confirmation.tended == [101]
    # now one is under way: its block waits until everything before it is known
    confirmation.open = True
    waiting = asyncio.ensure_future(facts.take(build.block(103), at))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert confirmation.tended == [101]
    confirmation.ends.set()
    assert (await waiting)[1] == (101, 103)
    assert confirmation.tended == [101, 103]
    # until then nobody had looked for what the chain may have taken back before the start
    assert confirmation.asked_moved == [True, True, True]
    confirmation.open = False
    newer.clear()
    for number, parent in ((104, 103), (104, 7), (105, 104)):
        fork = 1000 * (parent == 7)
        at_block = replace(
            build.block(number), hash=f"0x{number + fork:064x}", parent_hash=f"0x{parent:064x}"
        )
        await facts.take(at_block, at)
    assert confirmation.asked_moved[3:] == [False, True, True]


@virtual
async def test_live__when_the_chain_moves_while_a_tending_waits_to_begin__then_that_one_has_not_looked_for_it() -> (
    None
):
    confirmation, pace = Slow(), Pace()
    confirmation.ends.set()
    facts = LiveFacts(cast(Lens, None), _as_confirmation(confirmation), heard(), pace)
    for _ in range(LOOKS):
        pace.tended(pace.begun)
    pace.newer = asyncio.Event().wait  # type: ignore[assignment]
    pace._learning = asyncio.ensure_future(asyncio.sleep(0.1))
    pace.begin(build.block(101), 0)
    tending = asyncio.ensure_future(facts._tend(build.block(101), build.snapshot(at=build.block(101))))
    await asyncio.sleep(0.01)
    pace.told(HeadKind.REORG)
    pace.begin(replace(build.block(102), parent_hash="0x" + "77" * 32), 0)
    assert await tending == (101,)
    for _ in range(LOOKS):
        assert pace.moved
        pace.tended(pace.begun)
    assert not pace.moved


@virtual
@pytest.mark.parametrize("end", [Transient("nobody answers"), TimeoutError(), None])
async def test_live__when_tendings_fail_after_a_reorganisation__then_plans_wait_for_two_of_them_and_no_longer(
    end: Exception | None,
) -> None:
    class Failing(Slow):
        async def tend(self, block: Block, snapshot: Snapshot) -> tuple[object, ...]:
            if end is not None:
                raise end
            return ()

    pace = Pace()
    facts = LiveFacts(cast(Lens, None), _as_confirmation(Failing()), heard(), pace)
    waited = []
    for number in range(101, 105):
        await facts._tend(build.block(number), build.snapshot(at=build.block(number)))
        waited.append(pace.moved)
    assert waited == [True, False, False, False]


def _as_confirmation(double: Troubled) -> Confirmation:
    return double  # type: ignore[return-value]


def _stuck(alarms: Heard, key: PlanKey) -> None:
    assert alarms.raised == [
        (Severity.CRITICAL, "stuck", str(key), "gas_cap: it would cost more than the cap")
    ]
    assert alarms.cleared == [("stuck", str(key))]
