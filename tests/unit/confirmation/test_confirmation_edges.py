"""Answers that do not come while a transaction is tended: nothing is concluded, and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.confirmation import SETTLED_DEPTH, Confirmation
from keeper.confirmation.receipt import object_of, quantity_of, text_of
from keeper.confirmation.revival import acted_twice, presumed_otherwise
from keeper.errors import Rejected, Transient
from keeper.journal.write import Journal
from keeper.model import Attempt, Entry, IntentState, Outcome, Plan, PlanKey, PositionId
from keeper.transaction.send import Live
from keeper.units import GWEI, WAD
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, WALLET, plan, position_id, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
S = IntentState
RECEIPTS = "eth_getTransactionReceipt"


class Desk:
    """Journal, chain, sender and confirmation."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal.open(path, ManualClock(1.0))
        self.journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        self.chain = ChainDouble()
        self.live = Live(self.journal, self.chain, FakeSigner())
        self.confirmation = Confirmation(self.journal, self.chain, self.live, WALLET)

    def act(self, position: PositionId | None = None, *, steps: bool = True) -> None:
        """One plan on the wire."""
        made = plan(at=self.chain.head, position=position)
        made = made if steps else replace(made, steps=())
        taken = snapshot(self.chain.head, nonce=self.chain.nonce)
        assert isinstance(run(self.live.act(made, taken)), Attempt)

    def tend(self) -> tuple[Outcome, ...]:
        """One look at the head."""
        taken = snapshot(self.chain.head, nonce=self.chain.nonce, health_wad=WAD * 13 // 10)
        return run(self.confirmation.tend(self.chain.head, taken))

    @property
    def state(self) -> IntentState:
        """Of the one intent."""
        [found] = self.journal.intents()
        return found.state


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "journal.sqlite")
    yield made
    made.journal.close()


def test_tend__when_the_signer_cannot_be_asked__then_what_is_open_is_tended_all_the_same(desk: Desk) -> None:
    class Silent:
        """The lane, in doubt about its signer, which does not answer."""

        unsure = True

        async def settle(self, chain_id: int, at_block: int = 0) -> None:
            raise Transient("no signer answers")

        def __getattr__(self, name: str) -> object:
            return getattr(desk.live, name)

    desk.act()
    desk.chain.mine()
    desk.confirmation._lane = Silent()  # type: ignore[assignment]
    assert [o.state for o in desk.tend()] == [S.INCLUDED]


def test_followed__when_no_receipt_comes__then_it_stays_as_it_was_and_is_not_deepened(desk: Desk) -> None:
    desk.act()
    desk.chain.mine()
    desk.tend()
    for _ in range(SETTLED_DEPTH):
        desk.chain.mine()
    desk.chain.dead = {RECEIPTS}
    assert desk.tend() == ()
    assert desk.state is S.INCLUDED
    desk.chain.dead = set()
    desk.tend()
    assert desk.state is S.SETTLED


def test_receipt__when_its_block_cannot_be_checked__then_not_believed_and_not_missing(desk: Desk) -> None:
    desk.act()
    desk.chain.mine()
    for _ in range(3):
        desk.chain.mine()
    desk.chain.dead = {"eth_getBlockByNumber"}
    assert desk.tend() == ()
    assert desk.state is S.SENT
    desk.chain.dead = set()
    assert [o.state for o in desk.tend()] == [S.INCLUDED]


def test_finality__when_nobody_says_where__then_settled_by_depth_alone(desk: Desk) -> None:
    desk.act()
    desk.chain.mine()
    desk.tend()

    asked = desk.chain.request

    async def no_finalized(method: str, params: list[object], **options: object) -> object:
        if params and params[0] == "finalized":
            raise Transient("did not answer in time")
        return await asked(method, params, **options)  # type: ignore[arg-type]

    desk.chain.request = no_finalized  # type: ignore[method-assign,assignment]
    for _ in range(SETTLED_DEPTH):
        desk.chain.mine()
    desk.tend()
    assert desk.state is S.SETTLED


def test_replaced__when_the_old_nonce_cannot_be_asked__then_nothing_is_concluded(desk: Desk) -> None:
    desk.act()
    desk.chain.pool.clear()
    desk.chain.foreign()
    for _ in range(4):
        desk.chain.mine()
    desk.chain.dead = {"eth_getTransactionCount"}
    for _ in range(3):
        desk.chain.mine()
        assert desk.tend() == ()
    assert desk.state is S.SENT
    desk.chain.dead = set()
    desk.chain.mine()
    assert [o.state for o in desk.tend()] == [S.REPLACED]


def test_replaced__when_no_endpoint_keeps_two_blocks_of_history__then_alarmed_and_believed_by_own_looks(
    desk: Desk,
) -> None:
    desk.act()
    desk.chain.pool.clear()
    desk.chain.foreign()
    desk.chain.mine()
    asked = desk.chain.request

    async def pruned(method: str, params: list[object], **options: object) -> object:
        if method == "eth_getTransactionCount" and params[1] != "latest":
            raise Rejected(-32000, "missing trie node: state is not available")
        return await asked(method, params, **options)  # type: ignore[arg-type]

    desk.chain.request = pruned  # type: ignore[method-assign,assignment]
    assert desk.tend() == ()
    for _ in range(3):
        desk.chain.mine()
        assert desk.tend() == ()
        assert "endpoints_without_history" in next(iter(desk.confirmation.troubles.values()))
    desk.chain.mine()
    assert [o.state for o in desk.tend()] == [S.REPLACED]
    assert desk.confirmation.troubles == {}


def test_replaced__when_without_history_and_a_reorganisation_frees_the_nonce__then_counted_from_anew(
    desk: Desk,
) -> None:
    desk.act()
    desk.chain.pool.clear()
    desk.chain.foreign()
    desk.chain.mine()
    asked = desk.chain.request

    async def pruned(method: str, params: list[object], **options: object) -> object:
        if method == "eth_getTransactionCount" and params[1] != "latest":
            raise Rejected(-32000, "missing trie node: state is not available")
        return await asked(method, params, **options)  # type: ignore[arg-type]

    desk.chain.request = pruned  # type: ignore[method-assign,assignment]
    for _ in range(3):
        assert desk.tend() == ()
        desk.chain.mine()
    desk.chain.reorg(4)
    desk.tend()
    assert desk.state is S.SENT
    assert desk.confirmation.troubles == {}


def test_approval__when_mined__then_included_and_no_health_is_promised(desk: Desk) -> None:
    desk.act(steps=False)
    desk.chain.mine()
    [outcome] = desk.tend()
    assert (outcome.state, outcome.health_after_wad, outcome.surprise) == (S.INCLUDED, None, "")


def test_press__when_the_pool_wants_more_than_the_head_shows__then_the_fee_is_raised_at_once(
    desk: Desk,
) -> None:
    desk.act()
    desk.chain.mine(empty=True)
    # the next block's base fee, which the header does not show yet
    desk.chain.base_fee_wei = 100 * GWEI
    desk.chain.pool.clear()
    desk.tend()
    [found] = desk.journal.open_intents()
    assert [a.n for a in found.attempts] == [0, 1]
    assert found.attempts[1].fee.max_fee_wei > found.attempts[0].fee.max_fee_wei


def test_press__when_the_signer_does_not_answer__then_a_trouble_is_told_and_the_next_block_tries(
    desk: Desk,
) -> None:
    desk.act()
    sign = desk.live._signer.sign

    async def silent(tx: object) -> object:
        raise Transient("no signer answers")

    desk.live._signer.sign = silent  # type: ignore[method-assign,assignment]
    for _ in range(3):
        desk.chain.mine(empty=True)
    desk.tend()
    assert list(desk.confirmation.troubles.values()) == ["not pressed: no signer answers"]
    desk.live._signer.sign = sign  # type: ignore[method-assign]
    desk.chain.mine(empty=True)
    desk.tend()
    assert desk.confirmation.troubles == {}
    assert len(desk.journal.open_intents()[0].attempts) == 2


def test_look__when_our_own_code_fails__then_it_comes_out_and_is_no_missing_receipt(desk: Desk) -> None:
    desk.act()

    async def wrong(method: str, params: list[object], **options: object) -> object:
        raise AttributeError("ours")

    desk.chain.request = wrong  # type: ignore[method-assign,assignment]
    with pytest.raises(AttributeError, match="ours"):
        desk.tend()


@pytest.mark.parametrize("answer", [None, [], "0x", 5])
def test_object__when_a_node_answers_none__then_transient(answer: object) -> None:
    with pytest.raises(Transient, match="where an object is expected"):
        object_of(answer)
    with pytest.raises(Transient, match="hash is missing"):
        text_of({"hash": 5}, "hash")
    with pytest.raises(Transient, match="hex quantity"):
        quantity_of("12")
    assert quantity_of("0x10") == 16


def test_acted_twice__when_the_other_acted_too__then_only_where_the_later_presumed_it_had_failed(
    desk: Desk,
) -> None:
    first, second, third = (plan(n).key for n in (1, 2, 3))
    journal = desk.journal

    def outcome(state: IntentState) -> None:
        data = {"state": state.value}
        kind = Entry(
            kind="outcome", chain_id=CHAIN_ID, block_number=1, subject=str(first), why="w", data=data
        )
        journal.record(kind)

    def planned(key: PlanKey) -> None:
        journal.record(Entry(kind="plan", chain_id=CHAIN_ID, block_number=1, subject=str(key), why="w"))

    outcome(S.INCLUDED)
    planned(second)
    outcome(S.REVERTED)
    planned(third)
    assert acted_twice(journal, first, {first: 0, second: 0}) is None, (
        "the second saw that the first had acted"
    )
    assert acted_twice(journal, first, {first: 0, second: 0, third: 0}) == third
    assert acted_twice(journal, third, {second: 0, first: 0, third: 0}) == first
    other = replace(plan(position=position_id("other")).key, seq=9)
    assert acted_twice(journal, first, {first: 0, other: 0}) is None
    assert not presumed_otherwise(journal, first, replace(first, seq=7), 0), "no such plan was ever journaled"


def test_presumed__when_the_bytes_that_acted_are_of_no_attempt__then_nothing_is_concluded_from_them(
    desk: Desk,
) -> None:
    """Neither where the plan has other bytes alone, nor where the journal has no such plan."""
    known, unknown, late = (plan(n).key for n in (1, 2, 3))
    journal = desk.journal
    journal.open_intent(plan(1))
    for early in (known, unknown):
        for told, subject, hash in (
            ("outcome", early, "0x01"),
            ("plan", late, ""),
            ("outcome", early, "0x02"),
        ):
            data = {"state": S.INCLUDED.value, "tx_hash": hash}
            journal.record(
                Entry(kind=told, chain_id=CHAIN_ID, block_number=1, subject=str(subject), why="w", data=data)
            )
        assert not presumed_otherwise(journal, early, late, 0)


class Doubtful:
    """The lane of a desk, in doubt about its signer."""

    unsure = True

    def __init__(self, live: Live) -> None:
        self._live = live

    def __getattr__(self, name: str) -> object:
        return getattr(self._live, name)


def test_pending__when_nothing_is_under_way__then_no_plan_waits_whatever_the_signer_may_have(
    desk: Desk,
) -> None:
    assert desk.confirmation.pending(CHAIN_ID, 0, moved=False) == frozenset()
    assert desk.confirmation.pending(CHAIN_ID, 0, moved=True) == frozenset()
    desk.confirmation._lane = Doubtful(desk.live)  # type: ignore[assignment]
    assert desk.confirmation.pending(CHAIN_ID, 0, moved=False) == frozenset()


def test_pending__when_one_is_on_the_wire__then_every_plan_of_it_waits_and_of_no_other_chain(
    desk: Desk,
) -> None:
    desk.act()
    assert desk.confirmation.pending(CHAIN_ID, 0, moved=False) == {position_id()}
    assert desk.confirmation.pending(CHAIN_ID, 99, moved=False) == {position_id()}
    assert desk.confirmation.pending(1, 0, moved=False) == frozenset()


def test_pending__when_all_is_included__then_only_a_photograph_that_lacks_one_of_them_waits(
    desk: Desk,
) -> None:
    """What a reorganisation took back must be known before anything is planned beside it."""
    desk.act()
    desk.chain.mine()
    desk.tend()
    desk.act(position_id("other"))
    desk.chain.mine()
    desk.tend()
    both = {position_id(), position_id("other")}
    assert desk.confirmation.pending(CHAIN_ID, 2, moved=False) == frozenset()
    assert desk.confirmation.pending(CHAIN_ID, 1, moved=False) == both
    assert desk.confirmation.pending(CHAIN_ID, 0, moved=False) == both
    assert desk.confirmation.pending(CHAIN_ID, 2, moved=True) == both, "it may be another's that used a nonce"
    desk.confirmation._lane = Doubtful(desk.live)  # type: ignore[assignment]
    assert desk.confirmation.pending(CHAIN_ID, 2, moved=False) == both


def test_concluded__when_it_reverted__then_the_chain_is_asked_why_of_that_very_plan_and_block(
    desk: Desk,
) -> None:
    asked: list[tuple[Plan, int]] = []

    async def why(plan: Plan, block_number: int) -> str:
        asked.append((plan, block_number))
        return "PriceOutOfBounds at the end of its block"

    desk.confirmation = Confirmation(desk.journal, desk.chain, desk.live, WALLET, why)
    desk.act()
    carried = desk.journal.open_intents()[0].plan
    desk.chain.fails_on_chain = True
    mined = desk.chain.mine()
    [outcome] = desk.tend()
    assert outcome.state is S.REVERTED
    assert outcome.surprise == (
        "the transaction reverted on the chain: PriceOutOfBounds at the end of its block"
    )
    assert asked == [(carried, mined.number)]
    [told] = desk.journal.entries("outcome")
    assert told.why == outcome.surprise


def test_concluded__when_it_acted_or_was_cancelled__then_nobody_is_asked_why(desk: Desk) -> None:
    async def why(plan: Plan, block_number: int) -> str:
        raise AssertionError("asked")

    desk.confirmation = Confirmation(desk.journal, desk.chain, desk.live, WALLET, why)
    desk.act()
    desk.chain.mine()
    assert [o.state for o in desk.tend()] == [S.INCLUDED]
    receipt = desk.chain._receipt

    def failed(tx_hash: str) -> object:
        found = receipt(tx_hash)
        return {**found, "status": "0x0"} if isinstance(found, dict) else found

    desk.act(position_id("other"))
    [intent] = desk.journal.open_intents()
    while not any(a.cancel for a in desk.journal.open_intents()[0].attempts):
        assert desk.chain.head.number <= intent.plan.bounds.deadline_block + 1
        desk.chain.mine(empty=True)
        desk.tend()
    desk.chain._receipt = failed  # type: ignore[method-assign,assignment]
    desk.chain.mine()
    assert [o.state for o in desk.tend()] == [S.CANCELLED]
