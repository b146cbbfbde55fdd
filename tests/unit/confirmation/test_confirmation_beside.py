"""A reorganisation opens a plan again upon which a later one was made: two may act, and what each is for is known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.confirmation.branch import Branch
from keeper.confirmation.missing import Looks, Missing
from keeper.confirmation.revival import needless, presumed_otherwise
from keeper.errors import Raced, Transient, Unwritable
from keeper.journal.recover import Remedy, recover
from keeper.journal.write import Journal
from keeper.model import Amount, Attempt, Entry, Intent, IntentState, Outcome, Plan, Repay
from keeper.transaction.fields import fields_of
from keeper.transaction.send import Live
from tests.chain_double import ChainDouble, FakeSigner, read_tx
from tests.plans import CHAIN_ID, POOL, USDC, WALLET, plan, position_id, repay_call, snapshot
from tests.unit.transaction.test_transaction_settle import Rememberer
from tests.virtual_time import run

pytestmark = pytest.mark.unit
S = IntentState
LARGE = 3_000_000
ELSEWHERE = "0x" + "e5" * 20


class Keeper:
    """Journal, double chain, sender and confirmation."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal.open(path, ManualClock(1.0))
        self.chain = ChainDouble()
        self.live = Live(self.journal, self.chain, FakeSigner())
        self.journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        self.confirmation = Confirmation(self.journal, self.chain, self.live, WALLET)

    def act(self, wanted: Plan) -> Attempt:
        """Send at the head."""
        made = run(self.live.act(wanted, snapshot(self.chain.head, nonce=self.chain.nonce)))
        assert isinstance(made, Attempt)
        return made

    def tend(self) -> tuple[Outcome, ...]:
        """One tending at the head."""
        taken = snapshot(self.chain.head, nonce=self.chain.nonce)
        return run(self.confirmation.tend(self.chain.head, taken))

    def plan(self, seq: int, units: int = 1_000_000) -> Plan:
        """A repayment at the head."""
        made = plan(seq, at=self.chain.head)
        steps = (Repay(amount=Amount(token=USDC, units=units)),)
        return replace(made, steps=steps, call=repay_call(units))

    def plan_at(self, seq: int, units: int) -> Plan:
        """The same one a block later."""
        self.chain.mine(empty=True)
        return self.plan(seq, units)

    def larger(self, units: int) -> Attempt:
        """Signed bytes of the first plan grown to so much."""
        top = self.intent(1).attempts[-1]
        fee = replace(top.fee, max_fee_wei=2 * top.fee.max_fee_wei, tip_wei=2 * top.fee.tip_wei)
        fresh = replace(top, n=top.n + 1, fee=fee, sent_block=self.chain.head.number)
        signed = run(FakeSigner().sign(fields_of(fresh, repay_call(units), CHAIN_ID)))
        return replace(fresh, raw=signed.raw, hash=signed.hash)

    def intent(self, seq: int) -> Intent:
        """The intent of that seq."""
        found = self.journal.intent(plan(seq).key)
        assert found is not None
        return found


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(tmp_path / "journal.sqlite")
    yield made
    made.journal.close()


@pytest.fixture
def both_open(keeper: Keeper) -> Keeper:
    """Number 1 had acted when number 2 was made; then a reorganisation took its block back, and none holds it."""
    keeper.act(keeper.plan(1))
    keeper.chain.mine()
    keeper.tend()
    keeper.chain.mine(empty=True)
    keeper.act(keeper.plan(2))
    later = dict(keeper.chain.pool)
    keeper.chain.reorg(2, replant=True)
    keeper.chain.pool |= later
    assert keeper.chain.nonce == 0
    keeper.tend()
    assert [keeper.intent(n).state for n in (1, 2)] == [S.SENT, S.SENT], "together they do what each was for"
    return keeper


def test_beside__when_the_earlier_grows__then_the_later_ends_and_one_acts(both_open: Keeper) -> None:
    keeper = both_open
    assert keeper.act(keeper.plan(1, LARGE)).nonce == 0
    assert keeper.intent(2).state is S.CANCELLING
    assert keeper.intent(2).attempts[-1].cancel
    keeper.chain.mine()
    keeper.tend()
    assert [keeper.intent(n).state for n in (1, 2)] == [S.INCLUDED, S.CANCELLED]
    (acted,) = keeper.chain.effects(POOL)
    assert acted.data == repay_call(LARGE).data


def test_beside__when_the_process_dies_after_the_larger_bytes__then_the_next_tending_ends_the_later(
    both_open: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = both_open

    async def died(*_: object) -> None:
        return None

    monkeypatch.setattr(keeper.live, "_end_later", died)
    keeper.act(keeper.plan(1, LARGE))
    assert keeper.intent(2).state is S.SENT
    keeper.chain.mine(empty=True)
    keeper.tend()
    assert keeper.intent(2).state is S.CANCELLING
    assert keeper.intent(2).attempts[-1].cancel


@pytest.mark.parametrize("grown", [True, False])
def test_beside__when_the_process_starts_anew__then_the_later_bytes_wait_for_a_photograph(
    both_open: Keeper, grown: bool
) -> None:
    """Which of the two is wanted, recovery cannot say; the earlier one's bytes go out at once."""
    keeper = both_open
    if grown:
        # death right after the larger bytes were journaled
        keeper.journal.replan(keeper.plan_at(1, LARGE), keeper.larger(LARGE), WALLET, spend_usd=0)
    keeper.chain.sent.clear()
    found = run(recover(keeper.journal, keeper.chain, ManualClock(1.0), CHAIN_ID, WALLET))
    assert [f.remedy for f in found] == [Remedy.RESENT, Remedy.HELD]
    assert {read_tx(raw)[0].nonce for raw in keeper.chain.sent} == {0}
    keeper.tend()
    assert keeper.intent(2).attempts[-1].cancel == grown
    assert any(read_tx(raw)[0].nonce == 1 for raw in keeper.chain.sent), "sent again, or freed"


@pytest.mark.parametrize("units", [LARGE, 1_000_000])
def test_recover__when_an_earlier_plan_acted_by_one_of_several_sizes__then_the_later_waits_for_a_photograph(
    keeper: Keeper, units: int
) -> None:
    keeper.act(keeper.plan(1))
    at = keeper.chain.mine(empty=True)
    if units == LARGE:
        keeper.act(keeper.plan(1, LARGE))
    else:
        run(keeper.live.bump(keeper.intent(1).key, at, snapshot(at).means))
    keeper.chain.mine()
    keeper.tend()
    keeper.chain.mine(empty=True)
    keeper.act(keeper.plan(2))
    found = run(recover(keeper.journal, keeper.chain, ManualClock(1.0), CHAIN_ID, WALLET))
    assert [f.remedy for f in found] == [Remedy.HELD if units == LARGE else Remedy.RESENT]


def test_recover__when_a_plan_of_another_position_is_open__then_it_holds_nobody_back(keeper: Keeper) -> None:
    keeper.act(keeper.plan(1))
    keeper.chain.mine()
    keeper.tend()
    keeper.chain.mine(empty=True)
    keeper.act(replace(keeper.plan(1), key=plan(1, position=position_id("other")).key))
    keeper.act(keeper.plan(2))
    found = run(recover(keeper.journal, keeper.chain, ManualClock(1.0), CHAIN_ID, WALLET))
    assert [f.remedy for f in found] == [Remedy.RESENT, Remedy.RESENT]


def test_beside__when_the_earlier_only_pays_more__then_both_go_on(both_open: Keeper) -> None:
    keeper = both_open
    at = keeper.chain.mine(empty=True)
    run(keeper.live.bump(keeper.intent(1).key, at, snapshot(at).means))
    keeper.tend()
    assert [keeper.intent(n).state for n in (1, 2)] == [S.SENT, S.SENT]
    keeper.chain.mine()
    keeper.tend()
    assert len(keeper.chain.effects(POOL)) == 2, "the second was made with the first's effect in sight"


def test_beside__when_the_later_would_grow__then_not_signed(both_open: Keeper) -> None:
    keeper = both_open
    sent = len(keeper.chain.sent)
    with pytest.raises(Raced, match=r"was made upon .*#1, which is open again"):
        keeper.act(keeper.plan(2, LARGE))
    assert len(keeper.chain.sent) == sent


def test_beside__when_the_earlier_is_being_cancelled__then_the_later_waits_for_that(
    both_open: Keeper,
) -> None:
    """The earlier one's bytes were on the chain: somebody may mine them in the place of the self-send."""
    keeper = both_open
    at = keeper.chain.mine(empty=True)
    keeper.journal.set_state(keeper.intent(1).key, S.CANCELLING, "test", at.number)
    run(keeper.live.cancel(keeper.intent(1).key, at, snapshot(at).means))
    with pytest.raises(Raced, match="open again"):
        keeper.act(keeper.plan(2, LARGE))
    keeper.chain.mine()
    keeper.tend()
    assert [keeper.intent(n).state for n in (1, 2)] == [S.CANCELLED, S.INCLUDED]


def test_beside__when_the_earlier_opens_while_the_later_is_simulated__then_not_signed(
    both_open: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = both_open
    opened, asked = keeper.journal.open_intents, []

    def soon(chain_id: int | None = None) -> tuple[Intent, ...]:
        asked.append(chain_id)
        return tuple(i for i in opened(chain_id) if i.key.seq == 2 or len(asked) > 2)

    monkeypatch.setattr(keeper.journal, "open_intents", soon)
    keeper.chain.mine(empty=True)
    with pytest.raises(Raced, match="open again"):
        keeper.act(keeper.plan(2, LARGE))
    assert len(asked) > 2
    assert len(keeper.intent(2).attempts) == 1


@pytest.mark.parametrize("error", [Transient("signer away"), Raced("ended"), Unwritable("disk full")])
def test_beside__when_the_later_cannot_be_ended_now__then_the_larger_one_is_sent_and_the_next_tending_ends_it(
    both_open: Keeper, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    keeper = both_open

    async def fails(*_: object) -> Attempt:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(keeper.live, "_cancel", fails)
        grown = keeper.act(keeper.plan(1, LARGE))
    assert keeper.chain.pool[0][1] == grown.hash
    assert not keeper.intent(2).attempts[-1].cancel
    keeper.chain.mine(empty=True)
    keeper.tend()
    assert keeper.intent(2).attempts[-1].cancel


def test_beside__when_the_later_ends_while_the_larger_one_is_sent__then_nothing_is_signed_for_it(
    both_open: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tending beside the lane concluded it between two looks."""
    keeper = both_open
    opened = keeper.journal.open_intents

    def meanwhile(chain_id: int | None = None) -> tuple[Intent, ...]:
        found = opened(chain_id)
        if any(len(i.attempts) > before for i, before in zip(found, attempts, strict=False)):
            keeper.journal.set_state(plan(2).key, S.CANCELLING, "test", keeper.chain.head.number)
        return found

    attempts = [len(i.attempts) for i in opened()]
    monkeypatch.setattr(keeper.journal, "open_intents", meanwhile)
    keeper.act(keeper.plan(1, LARGE))
    assert not keeper.intent(2).attempts[-1].cancel


def test_replan__when_the_old_bytes_of_another_target_are_mined__then_concluded(keeper: Keeper) -> None:
    """A repayment that a sale through the Executor took the place of, and that was mined all the same."""
    keeper.act(keeper.plan(1))
    old = dict(keeper.chain.pool)
    keeper.chain.mine(empty=True)
    other = replace(keeper.plan(1, LARGE), call=replace(repay_call(LARGE), target=ELSEWHERE))
    keeper.act(other)
    keeper.chain.pool = old
    keeper.chain.mine()
    (outcome,) = keeper.tend()
    assert outcome.state is S.INCLUDED
    assert keeper.intent(1).plan.call.target == ELSEWHERE


def test_presumed__when_a_later_version_was_planned_otherwise__then_each_is_asked_by_itself(
    keeper: Keeper,
) -> None:
    early, late = plan(1).key, plan(2).key

    def told(kind: str, subject: object, **data: object) -> None:
        entry = Entry(kind=kind, chain_id=CHAIN_ID, block_number=1, subject=str(subject), why="w", data=data)
        keeper.journal.record(entry)

    told("outcome", early, state=S.INCLUDED.value)
    told("plan", late)
    told("outcome", early, state=S.CANCELLING.value)
    told("replan", late, n=2)
    told("outcome", early, state=S.INCLUDED.value)
    told("replan", late, n=3)
    found = [presumed_otherwise(keeper.journal, early, late, n) for n in range(5)]
    assert found == [False, False, True, False, False]


def test_presumed__when_the_larger_bytes_of_the_earlier_are_sent_again__then_the_later_is_given_up(
    keeper: Keeper,
) -> None:
    """The small bytes were mined while the larger ones were signed, and the rest was planned upon that."""
    keeper.act(keeper.plan(1))
    small = dict(keeper.chain.pool)
    keeper.chain.mine(empty=True)
    keeper.act(keeper.plan(1, LARGE))
    keeper.chain.pool = small
    keeper.chain.mine()
    keeper.tend()
    keeper.chain.mine(empty=True)
    keeper.act(keeper.plan(2, LARGE - 1_000_000))
    later = dict(keeper.chain.pool)
    keeper.chain.reorg(2)
    keeper.chain.pool = later
    keeper.tend()
    assert keeper.intent(1).state is S.SENT
    assert keeper.intent(2).attempts[-1].cancel
    keeper.chain.mine()
    keeper.tend()
    assert [t.data for t in keeper.chain.effects(POOL)] == [repay_call(LARGE).data]
    assert [keeper.intent(n).state for n in (1, 2)] == [S.INCLUDED, S.CANCELLED]


def test_presumed__when_the_earlier_only_paid_more_since__then_both_go_on(keeper: Keeper) -> None:
    keeper.act(keeper.plan(1))
    cheap = dict(keeper.chain.pool)
    at = keeper.chain.mine(empty=True)
    run(keeper.live.bump(keeper.intent(1).key, at, snapshot(at).means))
    keeper.chain.pool = cheap
    keeper.chain.mine()
    keeper.tend()
    keeper.chain.mine(empty=True)
    keeper.act(keeper.plan(2))
    later = dict(keeper.chain.pool)
    keeper.chain.reorg(2)
    keeper.chain.pool = later
    keeper.tend()
    assert [keeper.intent(n).state for n in (1, 2)] == [S.SENT, S.SENT]


def test_outgrown__when_the_later_is_of_no_entry_or_the_earlier_had_no_end__then_it_is_not_given_up(
    both_open: Keeper,
) -> None:
    """A diary may be older than the plan that it should tell of."""
    journal, late = both_open.journal, both_open.intent(2)
    stranger = replace(late, key=replace(late.key, seq=9))
    assert needless(journal, stranger, snapshot(both_open.chain.head)) is None

    def untold(kind: str, subject: str, limit: int = 1000) -> tuple[Entry, ...]:
        return () if kind == "outcome" else journal.entries(kind, subject, limit=limit)

    class Forgetful:
        entries = staticmethod(untold)

        def __getattr__(self, name: str) -> Any:
            return getattr(journal, name)

    assert needless(Forgetful(), late, snapshot(both_open.chain.head)) is None  # type: ignore[arg-type]


def remembering(keeper: Keeper) -> Rememberer:
    """A signer with a memory in the place of the double."""
    signer = Rememberer()
    keeper.live = Live(keeper.journal, keeper.chain, signer)
    keeper.confirmation = Confirmation(keeper.journal, keeper.chain, keeper.live, WALLET)
    return signer


def test_replan__when_its_bytes_for_another_target_never_reached_the_journal__then_concluded_by_their_hash(
    keeper: Keeper,
) -> None:
    signer = remembering(keeper)
    keeper.act(keeper.plan(1))
    keeper.chain.mine(empty=True)
    signer.loses = True
    grown = keeper.plan(1, LARGE)
    with pytest.raises(Transient):
        keeper.act(replace(grown, call=replace(grown.call, target=ELSEWHERE)))
    signer.loses = False
    run(keeper.live.settle(CHAIN_ID))
    run(recover(keeper.journal, keeper.chain, ManualClock(1.0), CHAIN_ID, WALLET))
    keeper.chain.mine()
    (outcome,) = keeper.tend()
    assert outcome.state is S.INCLUDED
    assert len(keeper.chain.effects(ELSEWHERE)) == 1


def test_cancel__when_the_plan_is_renewed_while_it_waits_for_its_turn__then_it_is_not_cancelled(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.act(keeper.plan(1))
    while keeper.chain.head.number < keeper.intent(1).plan.bounds.deadline_block:
        keeper.chain.mine(empty=True)
    at, ask, asked = keeper.chain.head, keeper.chain.request, asyncio.Event()

    async def slowly(method: str, *rest: Any, **more: Any) -> object:
        if method == "eth_call":
            await asked.wait()
        return await ask(method, *rest, **more)

    monkeypatch.setattr(keeper.chain, "request", slowly)

    async def both() -> None:
        taken = snapshot(at, nonce=0)
        renewing = asyncio.ensure_future(keeper.live.act(keeper.plan(1, LARGE), taken))
        await asyncio.sleep(0.01)
        head = keeper.chain.mine(empty=True)
        tending = asyncio.ensure_future(keeper.confirmation.tend(head, snapshot(head, nonce=0)))
        await asyncio.sleep(0.01)
        asked.set()
        await asyncio.gather(renewing, tending)

    run(both())
    assert not any(a.cancel for a in keeper.intent(1).attempts)
    assert keeper.chain.pool[0][0].data == repay_call(LARGE).data
    assert keeper.chain.sent[-1] == keeper.intent(1).attempts[-1].raw, (
        "the smaller ones are not offered again"
    )
    assert keeper.confirmation.troubles == {}


def test_cancel__when_a_later_plan_keeps_all_the_gas_for_itself__then_the_nonce_before_it_is_freed(
    keeper: Keeper,
) -> None:
    """Each would wait for the other's money: nothing behind a nonce can be mined before it."""
    native_wei = 9 * 10**15

    def tend() -> None:
        taken = snapshot(keeper.chain.head, nonce=keeper.chain.nonce, native_wei=native_wei)
        run(keeper.confirmation.tend(keeper.chain.head, taken))

    keeper.act(keeper.plan(1))
    keeper.chain.fails_on_chain = True
    keeper.chain.mine()
    tend()
    assert keeper.intent(1).state is S.REVERTED
    keeper.chain.mine(empty=True)
    made = keeper.plan(2)
    limit = (native_wei - 10**15) // keeper.intent(1).attempts[0].fee.max_fee_wei
    dear = replace(made.bounds, fee_wei_max=native_wei, gas_limit=limit * 9 // 10)
    taken = snapshot(keeper.chain.head, nonce=1, native_wei=native_wei)
    assert isinstance(run(keeper.live.act(replace(made, bounds=dear), taken)), Attempt)
    keeper.chain.reorg(2)
    for _ in range(3):
        tend()
        keeper.chain.mine()
    tend()
    assert keeper.intent(1).state is S.CANCELLED


def deny_receipts(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every node says of every receipt that there is none."""
    monkeypatch.setattr(keeper.chain, "_receipt", lambda _: None)


def included(keeper: Keeper) -> None:
    """Number 1 acted, and three blocks lie on top."""
    keeper.act(keeper.plan(1))
    keeper.chain.mine()
    keeper.tend()
    for _ in range(3):
        keeper.chain.mine(empty=True)


def ended(keeper: Keeper, end: IntentState) -> None:
    """What was included had ended in vain, in that very block."""
    place = keeper.journal.inclusion(plan(1).key)
    assert place is not None
    outcome = Outcome(
        key=plan(1).key,
        state=end,
        block_number=place.block_number,
        tx_hash=None,
        gas_used=0,
        gas_price_wei=0,
        health_after_wad=None,
        promised_min_wad=0,
        surprise="in vain",
    )
    keeper.journal.record_outcome(outcome, place.block_hash)


@pytest.mark.parametrize("silent", [False, True])
def test_missing__when_nodes_deny_a_receipt_whose_block_stands__then_nobody_else_used_the_nonce(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    included(keeper)
    deny_receipts(keeper, monkeypatch)
    if silent:
        keeper.chain.dead.add("eth_getBlockByNumber")
    for _ in range(8):
        keeper.chain.mine(empty=True)
        assert keeper.tend() == ()
    assert keeper.intent(1).state is S.INCLUDED
    assert keeper.journal.taken_nonce(CHAIN_ID, WALLET) is None


def test_missing__when_the_block_stands_between_two_looks__then_the_looks_begin_anew(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    included(keeper)
    ended(keeper, S.REVERTED)
    deny_receipts(keeper, monkeypatch)
    answers = iter([False, True, False, False])

    async def told(*_: object) -> bool:
        return next(answers)

    monkeypatch.setattr(Branch, "may_hold", told)
    found = []
    for _ in range(4):
        keeper.chain.mine(empty=True)
        keeper.tend()
        found.append(keeper.intent(1).state)
    assert found == [S.REVERTED, S.REVERTED, S.REVERTED, S.REPLACED]


def test_unplaced__when_another_used_the_nonce_of_what_had_acted__then_nothing_is_planned_upon_that_act(
    keeper: Keeper,
) -> None:
    """A second reorganisation brings the bytes back: what was made meanwhile must not stand beside them."""
    included(keeper)
    old = keeper.intent(1).attempts[-1].raw
    keeper.chain.reorg(4)
    keeper.chain.foreign()
    keeper.chain.mine()
    keeper.chain.dead.add("eth_getTransactionReceipt")
    assert keeper.tend() == (), "nothing is concluded from a missing answer"
    keeper.chain.dead.clear()
    told = keeper.tend()
    assert [(o.state, "nonce 0 is used" in o.surprise) for o in told] == [(S.SENT, True)]
    assert keeper.journal.open_intents(CHAIN_ID), (
        "no plan is made beside it before it is known what used the nonce"
    )
    found = []
    for _ in range(5):
        keeper.chain.mine(empty=True)
        found += keeper.tend()
    assert [o.state for o in found] == [S.REPLACED], "said once"
    keeper.journal.adopt_nonce(CHAIN_ID, WALLET, 1, "accepted")
    keeper.act(keeper.plan(2))
    later = dict(keeper.chain.pool)
    keeper.chain.reorg(10)
    keeper.chain.pool = {**later, 0: read_tx(old)}
    keeper.tend()
    assert keeper.intent(1).state is S.CANCELLING, "the later one has its place"
    keeper.chain.mine()
    keeper.tend()
    assert [keeper.intent(n).state for n in (1, 2)] == [S.CANCELLED, S.INCLUDED]


def test_unplaced__when_receipts_fall_silent_then__then_nothing_is_signed_for_a_nonce_that_is_used(
    keeper: Keeper,
) -> None:
    """Its own bytes mined again in another block, and no endpoint that tells so for a while."""
    included(keeper)
    mined = read_tx(keeper.intent(1).attempts[-1].raw)
    keeper.chain.reorg(4)
    keeper.chain.pool[0] = mined
    keeper.chain.mine()
    real = keeper.chain._receipt
    keeper.chain._receipt = lambda tx_hash: None  # type: ignore[method-assign]
    assert [o.state for o in keeper.tend()] == [S.SENT]
    keeper.chain._receipt = real  # type: ignore[method-assign]
    keeper.chain.dead.add("eth_getTransactionReceipt")
    told = []
    for _ in range(20):
        keeper.chain.mine(empty=True)
        assert keeper.tend() == ()
        told.append(keeper.confirmation.troubles.get(plan(1).key, ""))
    assert [bool(t) for t in told] == [False] + [True] * 19
    assert "nonce is used" in told[-1]
    assert len(keeper.intent(1).attempts) == 1
    keeper.chain.dead.clear()
    assert [o.state for o in keeper.tend()] == [S.INCLUDED]
    assert not keeper.confirmation.troubles


def test_unplaced__when_a_receipt_is_late_once__then_the_rest_that_was_made_upon_it_goes_on(
    keeper: Keeper,
) -> None:
    """The small bytes of a plan that had grown are mined again; its larger ones can act no more."""
    keeper.act(keeper.plan(1))
    small = dict(keeper.chain.pool)
    keeper.chain.mine(empty=True)
    keeper.act(keeper.plan(1, LARGE))
    keeper.chain.pool = dict(small)
    keeper.chain.mine()
    keeper.tend()
    keeper.chain.mine(empty=True)
    keeper.act(keeper.plan(2, LARGE - 1_000_000))
    later = dict(keeper.chain.pool)
    keeper.chain.reorg(2)
    keeper.chain.pool = dict(small)
    keeper.chain.mine()
    keeper.chain.pool = later
    real = keeper.chain._receipt
    keeper.chain._receipt = lambda tx_hash: None  # type: ignore[method-assign]
    keeper.tend()
    keeper.chain._receipt = real  # type: ignore[method-assign]
    assert [keeper.intent(n).state for n in (1, 2)] == [S.SENT, S.SENT]
    keeper.chain.mine()
    keeper.tend()
    assert [keeper.intent(n).state for n in (1, 2)] == [S.INCLUDED, S.INCLUDED]


@pytest.mark.parametrize("others", [("knows",), (None, "knows")])
def test_unplaced__when_another_endpoint_has_the_receipt__then_it_never_opens(
    tmp_path: Path, others: tuple[object, ...]
) -> None:
    """The first one denies it, in every block; the second look asks all."""
    keeper = Keeper(tmp_path / "another.sqlite")
    keeper.chain = Several(*others)
    keeper.live = Live(keeper.journal, keeper.chain, FakeSigner())
    keeper.confirmation = Confirmation(keeper.journal, keeper.chain, keeper.live, WALLET)
    keeper.act(keeper.plan(1))
    for _ in range(3):
        keeper.chain.mine()
        keeper.tend()
    assert keeper.intent(1).state is S.INCLUDED
    mined = read_tx(keeper.intent(1).attempts[-1].raw)
    keeper.confirmation._missing._looks[plan(1).key] = Looks(count=1, first_s=0, first=100, last=100)
    keeper.chain.reorg(3)
    keeper.chain.pool[0] = mined
    keeper.chain.mine()
    for _ in range(3):
        keeper.chain.mine(empty=True)
    assert [o.state for o in keeper.tend()] == [S.INCLUDED]
    keeper.journal.close()


@pytest.mark.parametrize("end", [S.REVERTED, S.CANCELLED])
def test_unplaced__when_it_had_ended_in_vain__then_it_stays_so_until_another_is_believed(
    keeper: Keeper, end: IntentState
) -> None:
    included(keeper)
    ended(keeper, end)
    keeper.chain.reorg(4)
    keeper.chain.foreign()
    keeper.chain.mine()
    assert keeper.tend() == ()
    assert keeper.intent(1).state is end


def test_missing__when_the_block_is_gone_and_another_used_the_nonce__then_replaced(keeper: Keeper) -> None:
    included(keeper)
    keeper.chain.reorg(4)
    keeper.chain.foreign()
    for _ in range(5):
        keeper.chain.mine()
        keeper.tend()
    assert keeper.intent(1).state is S.REPLACED
    assert keeper.journal.taken_nonce(CHAIN_ID, WALLET) == 0


class Several(ChainDouble):
    """Endpoints, of which the first knows of no receipt, ever."""

    def __init__(self, *others: object) -> None:
        super().__init__()
        self.others = others

    def _receipt(self, tx_hash: object) -> object:
        return None

    async def request_each(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float = 4.0, wait_s: float
    ) -> tuple[object, ...]:
        """The first one's answer, and those of the others."""
        if "nobody" in self.others:
            raise Transient("no endpoint serves the chain")
        assert count > len(self.others)
        told = super()._receipt(params[0])
        made = {"knows": told, "orphan": {**told, "blockHash": "0x" + "77" * 32} if told else None}  # type: ignore[dict-item]
        return (None, *(made[o] if isinstance(o, str) else o for o in self.others))


@pytest.mark.parametrize(
    ("others", "believed_at"),
    [
        ((), 1),
        ((None,), 1),
        ((None, Transient("timed out")), 5),
        (({},), 5),
        (("orphan",), 5),
        (("nobody",), 5),
        (("knows",), None),
        ((Transient("timed out"), "knows"), None),
    ],
)
def test_missing__when_the_first_endpoint_has_no_receipt__then_every_one_is_asked_and_silence_is_waited_for(
    tmp_path: Path, others: tuple[object, ...], believed_at: int | None
) -> None:
    keeper = Keeper(tmp_path / "another.sqlite")
    keeper.chain = Several(*others)
    keeper.live = Live(keeper.journal, keeper.chain, FakeSigner())
    keeper.confirmation = Confirmation(keeper.journal, keeper.chain, keeper.live, WALLET)
    keeper.act(keeper.plan(1))
    keeper.chain.mine()
    keeper.chain.mine(empty=True)
    states, troubles = [], []
    for _ in range(8):
        keeper.tend()
        states.append(keeper.intent(1).state)
        troubles.append(keeper.confirmation.troubles.get(plan(1).key, ""))
        keeper.chain.mine(empty=True)
    keeper.journal.close()
    if believed_at is None:
        assert states == [S.SENT] + [S.INCLUDED] * 7
        return
    assert states == [S.SENT] * believed_at + [S.REPLACED] * (8 - believed_at)
    waiting = [bool(t) and "not every endpoint says" in t for t in troubles[1:believed_at]]
    assert waiting == [True] * (believed_at - 1)


def test_missing__when_the_transport_has_one_voice__then_that_one_has_spoken(keeper: Keeper) -> None:
    keeper.act(keeper.plan(1))
    keeper.chain.foreign()
    keeper.chain.mine()
    keeper.chain.mine(empty=True)
    states = []
    for _ in range(3):
        keeper.tend()
        states.append(keeper.intent(1).state)
        keeper.chain.mine(empty=True)
    assert states == [S.SENT, S.REPLACED, S.REPLACED]


def test_missing__when_blocks_are_fast__then_the_looks_lie_seconds_apart(keeper: Keeper) -> None:
    """An endpoint may count a transaction a moment before it has the receipt."""
    keeper.act(keeper.plan(1))
    keeper.chain.mine()
    keeper.chain.mine(empty=True)
    looks, intent, told = Missing(keeper.chain, Branch(keeper.chain), WALLET), keeper.intent(1), []
    first_s = keeper.chain.head.timestamp_s
    for second in range(14):
        at = replace(keeper.chain.mine(empty=True), timestamp_s=first_s + second)
        told.append(run(looks.look(intent, at)).believed)
    assert told == [False] * 12 + [True, False]


@pytest.mark.parametrize("answer", [{}, {"number": 5}, 5, "0x1"])
def test_deepen__when_the_finalized_block_is_malformed__then_settled_by_depth_alone(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    included(keeper)
    told = keeper.chain._header
    monkeypatch.setattr(keeper.chain, "_header", lambda t: answer if t == "finalized" else told(t))
    keeper.tend()
    assert keeper.intent(1).state is S.SETTLED


def test_may_hold__when_asked_of_a_block__then_only_another_in_its_place_says_no(keeper: Keeper) -> None:
    included(keeper)
    was = keeper.journal.inclusion(plan(1).key)
    assert was is not None
    head, branch = keeper.chain.head, Branch(keeper.chain)
    assert run(branch.may_hold(was, head))
    lower = replace(head, number=was.block_number - 1)
    assert not run(branch.may_hold(was, lower)), "the chain is shorter than that"
    blocks, keeper.chain.blocks = keeper.chain.blocks, []
    assert run(branch.may_hold(was, head)), "no node knows a block of that height"
    keeper.chain.blocks = blocks
    keeper.chain.reorg(4)
    assert not run(branch.may_hold(was, keeper.chain.head))
    keeper.chain.dead.add("eth_getBlockByNumber")
    assert run(branch.may_hold(was, keeper.chain.head)), "nobody says which"
