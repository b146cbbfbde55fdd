"""A reorganisation revives a plan that had ended in vain, after a later one took its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.journal.write import Journal
from keeper.model import Amount, Attempt, Bounds, Intent, IntentState, Outcome, Repay
from keeper.transaction.send import Live
from keeper.units import WAD
from tests.chain_double import ChainDouble, FakeSigner, read_tx
from tests.plans import CHAIN_ID, POOL, USDC, WALLET, plan, position_id, repay_call, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
S = IntentState
LOW = WAD * 105 // 100
SAFE = WAD * 13 // 10


class Keeper:
    """Journal, double chain, sender and confirmation, joined as the daemon joins them."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal.open(path, ManualClock(1.0))
        self.chain = ChainDouble()
        self.live = Live(self.journal, self.chain, FakeSigner())
        self.journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        self.restart()

    def restart(self) -> None:
        """A process that remembers only what the journal holds."""
        self.confirmation = Confirmation(self.journal, self.chain, self.live, WALLET)

    def act(self, seq: int) -> Attempt:
        """Plan at the head and send."""
        at = self.chain.head
        made = run(self.live.act(plan(seq, at=at), snapshot(at, nonce=self.chain.nonce)))
        assert isinstance(made, Attempt)
        return made

    def tend(self, health_wad: int | None = LOW) -> tuple[Outcome, ...]:
        """One tending at the head."""
        taken = snapshot(self.chain.head, nonce=self.chain.nonce, health_wad=health_wad)
        return run(self.confirmation.tend(self.chain.head, taken))

    def intent(self, seq: int) -> Intent:
        """The intent of that seq."""
        found = self.journal.intent(plan(seq).key)
        assert found is not None
        return found

    def cancelled(self) -> Attempt:
        """Number 1, cancelled because its time passed; its first bytes, which the chain has never held."""
        first = self.act(1)
        for _ in range(11):
            self.chain.mine(empty=True)
            self.tend()
        self.chain.mine()
        self.tend()
        assert self.intent(1).state is S.CANCELLED
        return first

    def revive(self, raw: bytes, *, depth: int) -> None:
        """The last blocks anew: the first holds ``raw``, the others nothing; pools keep what came later."""
        later = dict(self.chain.pool)
        self.chain.reorg(depth)
        tx = read_tx(raw)
        self.chain.pool = {**later, tx[0].nonce: tx}


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(tmp_path / "journal.sqlite")
    yield made
    made.journal.close()


def hold_back(keeper: Keeper, nonce: int) -> None:
    """The pools lose what stands at ``nonce``."""
    keeper.chain.pool.pop(nonce, None)


def test_revival__when_the_old_bytes_act_and_the_later_plan_waits__then_it_is_cancelled(
    keeper: Keeper,
) -> None:
    first = keeper.cancelled()
    second = keeper.act(2)
    assert (first.nonce, second.nonce) == (0, 1)
    hold_back(keeper, 1)
    keeper.revive(first.raw, depth=1)
    keeper.chain.mine()
    (outcome,) = keeper.tend(SAFE)
    assert (outcome.key.seq, outcome.state) == (1, S.INCLUDED)
    assert keeper.intent(2).state is S.CANCELLING
    assert keeper.intent(2).attempts[-1].cancel
    keeper.chain.mine()
    keeper.tend(SAFE)
    assert keeper.intent(2).state is S.CANCELLED
    assert len(keeper.chain.effects(POOL)) == 1


def test_revival__when_the_process_died_after_seeing_it__then_cancelled_all_the_same(keeper: Keeper) -> None:
    first = keeper.cancelled()
    keeper.act(2)
    hold_back(keeper, 1)
    keeper.revive(first.raw, depth=1)
    keeper.chain.mine()
    tended = keeper.confirmation._unless_done
    keeper.confirmation._unless_done = lambda intent, *_: intent  # type: ignore[method-assign]
    keeper.tend(SAFE)
    keeper.confirmation._unless_done = tended  # type: ignore[method-assign]
    assert keeper.intent(2).state is S.SENT
    keeper.restart()
    hold_back(keeper, 1)
    keeper.chain.mine()
    keeper.tend(SAFE)
    assert keeper.intent(2).state is S.CANCELLING


@pytest.mark.parametrize("health_wad", [LOW, LOW - 1, None])
def test_revival__when_the_position_is_no_better_for_it__then_the_later_plan_goes_on(
    keeper: Keeper, health_wad: int | None
) -> None:
    first = keeper.cancelled()
    keeper.act(2)
    hold_back(keeper, 1)
    keeper.revive(first.raw, depth=1)
    keeper.chain.mine()
    keeper.tend(health_wad)
    assert keeper.intent(2).state is S.SENT
    assert not keeper.intent(2).attempts[-1].cancel


def test_revival__when_both_have_acted__then_said(keeper: Keeper) -> None:
    first = keeper.cancelled()
    keeper.act(2)
    keeper.chain.mine()
    assert [o.surprise for o in keeper.tend(SAFE)] == [""]
    second = keeper.chain.blocks[-1].txs[0]
    keeper.chain.reorg(2)
    keeper.chain.pool = {0: read_tx(first.raw), 1: second}
    keeper.chain.mine()
    outcomes = keeper.tend(SAFE)
    assert [(o.key.seq, o.state) for o in outcomes] == [(1, S.INCLUDED), (2, S.INCLUDED)]
    assert all("acted twice" in o.surprise for o in outcomes)


def test_revival__when_the_later_plan_was_included_and_vanishes__then_cancelled_not_sent_again(
    keeper: Keeper,
) -> None:
    first = keeper.cancelled()
    keeper.act(2)
    keeper.chain.mine()
    keeper.tend(SAFE)
    keeper.chain.reorg(2)
    keeper.chain.pool = {0: read_tx(first.raw)}
    keeper.chain.mine()
    keeper.tend(SAFE)
    assert [keeper.intent(n).state for n in (1, 2)] == [S.INCLUDED, S.CANCELLING]
    keeper.chain.mine()
    keeper.tend(SAFE)
    assert len(keeper.chain.effects(POOL)) == 1


def test_revival__when_the_earlier_plan_had_acted_before__then_both_are_wanted(keeper: Keeper) -> None:
    """The later plan was made with the earlier one's effect in sight."""
    keeper.act(1)
    keeper.chain.mine()
    keeper.tend(SAFE)
    keeper.chain.mine(empty=True)
    keeper.act(2)
    first = read_tx(keeper.intent(1).attempts[0].raw)
    hold_back(keeper, 1)
    keeper.chain.reorg(2)
    keeper.chain.pool[0] = first
    keeper.chain.mine()
    keeper.tend(SAFE)
    assert [keeper.intent(n).state for n in (1, 2)] == [S.INCLUDED, S.SENT]


@pytest.mark.parametrize(
    ("units", "first", "given_up"),
    [(3_000_000, "small", True), (3_000_000, "large", False), (1_000_000, "small", False)],
)
def test_revival__when_the_earlier_plan_then_acts_by_other_bytes__then_given_up_only_for_larger_ones(
    keeper: Keeper, units: int, first: str, given_up: bool
) -> None:
    """The later plan was made when some bytes of the earlier one had acted; the chain then holds its others."""
    keeper.act(1)
    small, at = dict(keeper.chain.pool), keeper.chain.mine(empty=True)
    wish, found = plan(1, at=at), Amount(token=USDC, units=units)
    if units > 1_000_000:
        wish = replace(wish, steps=(Repay(amount=found),), call=repay_call(units), bounds=higher(wish.bounds))
        run(keeper.live.act(wish, snapshot(at, nonce=keeper.chain.nonce)))
    else:
        run(keeper.live.bump(wish.key, at, snapshot(at).means))
    large = dict(keeper.chain.pool)
    assert small != large
    acted, then = (small, large) if first == "small" else (large, small)
    keeper.chain.pool = acted
    keeper.chain.mine()
    keeper.tend(SAFE)
    keeper.chain.mine(empty=True)
    keeper.act(2)
    hold_back(keeper, 1)
    keeper.chain.reorg(2)
    keeper.chain.pool = then
    keeper.chain.mine()
    keeper.tend(SAFE)
    assert keeper.intent(1).state is S.INCLUDED
    assert keeper.intent(2).state is (S.CANCELLING if given_up else S.SENT)


def higher(bounds: Bounds) -> Bounds:
    """What a larger plan promises."""
    return replace(bounds, health_after_min_wad=WAD * 14 // 10)


def test_revival__when_another_position_is_meant__then_untouched(keeper: Keeper) -> None:
    first = keeper.cancelled()
    other = replace(plan(1, at=keeper.chain.head, position=position_id("other")))
    run(keeper.live.act(other, snapshot(keeper.chain.head, nonce=1)))
    hold_back(keeper, 1)
    keeper.revive(first.raw, depth=1)
    keeper.chain.mine()
    keeper.tend(SAFE)
    found = keeper.journal.intent(other.key)
    assert found is not None
    assert found.state is S.SENT


@pytest.mark.parametrize("signed", [False, True])
def test_reopened__when_a_later_plan_took_its_place__then_cancelled_and_one_that_was_never_signed_took_none(
    keeper: Keeper, signed: bool
) -> None:
    keeper.act(1)
    keeper.chain.fails_on_chain = True
    keeper.chain.mine()
    keeper.tend()
    assert keeper.intent(1).state is S.REVERTED
    keeper.chain.fails_on_chain = False
    if signed:
        keeper.act(2)
    else:
        later = plan(2, at=keeper.chain.head)
        keeper.journal.open_intent(later)
        keeper.journal.set_state(later.key, S.ABANDONED, "the simulation refused it", later.block.number)
    sent = len(keeper.chain.sent)
    keeper.chain.reorg(1)
    keeper.tend()
    assert keeper.intent(1).state is (S.CANCELLING if signed else S.SENT)
    again = [read_tx(raw)[0] for raw in keeper.chain.sent[sent:]]
    # the first nonce carries its payload again, or nothing at all
    assert {bool(t.data) for t in again if t.nonce == 0} == {not signed}
