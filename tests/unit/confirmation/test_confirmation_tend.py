"""What became of a transaction: slow to believe, ready to take it back, never idle while it is stuck."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.errors import Raced
from keeper.journal.write import Journal
from keeper.model import Attempt, Intent, IntentState, Outcome, Plan
from keeper.transaction.send import Live
from keeper.units import GWEI, UINT256_MAX, WAD
from tests.chain_double import ChainDouble, FakeSigner, read_tx
from tests.plans import CHAIN_ID, POOL, WALLET, plan, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
S = IntentState
SAFE = WAD * 13 // 10


class Keeper:
    """Journal, double chain, sender and confirmation, joined as the daemon joins them."""

    def __init__(self, path: Path, chain: ChainDouble | None = None) -> None:
        self.journal = Journal.open(path, ManualClock(1.0))
        self.chain = chain or ChainDouble()
        self.signer = FakeSigner()
        self.live = Live(self.journal, self.chain, self.signer)
        self.confirmation = Confirmation(self.journal, self.chain, self.live, WALLET)
        if self.journal.next_nonce(CHAIN_ID, WALLET) is None:
            self.journal.adopt_nonce(CHAIN_ID, WALLET, self.chain.nonce, "test")

    def act(self, wanted: Plan | None = None) -> Attempt:
        """Plan at the head and send."""
        at = self.chain.head
        made = run(self.live.act(wanted or plan(at=at), snapshot(at, nonce=self.chain.nonce)))
        assert isinstance(made, Attempt)
        return made

    def tend(self, health_wad: int | None = SAFE, *, lag: int = 0) -> tuple[Outcome, ...]:
        """One tending at the head, or ``lag`` blocks behind it."""
        mined = self.chain.blocks[-1 - lag]
        nonce = self.chain.first_nonce + sum(
            len(b.txs) for b in self.chain.blocks[: len(self.chain.blocks) - lag]
        )
        taken = snapshot(mined.header, nonce=nonce, health_wad=health_wad)
        return run(self.confirmation.tend(mined.header, taken))

    def intent(self, seq: int = 1) -> Intent:
        """The intent of that seq."""
        found = self.journal.intent(plan(seq).key)
        assert found is not None
        return found

    @property
    def state(self) -> IntentState:
        """Of the first intent."""
        return self.intent().state


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(tmp_path / "journal.sqlite")
    yield made
    made.journal.close()


def test_tend__when_nothing_is_open__then_no_call(keeper: Keeper) -> None:
    assert keeper.tend() == ()
    assert keeper.chain.calls == []


def test_tend__when_mined_and_promise_kept__then_included_without_surprise(keeper: Keeper) -> None:
    made = keeper.act()
    keeper.chain.mine()
    (outcome,) = keeper.tend()
    assert outcome == Outcome(
        key=plan().key,
        state=S.INCLUDED,
        block_number=101,
        tx_hash=made.hash,
        gas_used=150_000,
        gas_price_wei=11 * GWEI,
        health_after_wad=SAFE,
        promised_min_wad=plan().bounds.health_after_min_wad,
        surprise="",
    )
    assert keeper.tend() == ()


@pytest.mark.parametrize(
    "health_wad, surprise",
    [
        (WAD * 119 // 100, "health 1.19 is below the promised 1.2"),
        (WAD * 201 // 100, "health 2.01 is above the promised 2"),
        (UINT256_MAX, ""),
        (None, ""),
    ],
)
def test_tend__when_health_is_elsewhere__then_said(
    keeper: Keeper, health_wad: int | None, surprise: str
) -> None:
    keeper.act()
    keeper.chain.mine()
    assert keeper.tend(health_wad)[0].surprise == surprise


def test_tend__when_position_is_unreadable__then_a_surprise_and_no_health(keeper: Keeper) -> None:
    keeper.act()
    head = keeper.chain.mine()
    blind = replace(snapshot(head, nonce=1), positions=())
    (outcome,) = run(keeper.confirmation.tend(head, blind))
    assert outcome.health_after_wad is None
    assert "could not be read" in outcome.surprise


def test_tend__when_mined_in_a_block_newer_than_the_snapshot__then_still_open(keeper: Keeper) -> None:
    """Believing it now would let a plan from the older snapshot act a second time."""
    keeper.act()
    keeper.chain.mine(empty=True)
    keeper.chain.mine()
    assert keeper.tend(lag=1) == ()
    assert keeper.state is S.SENT
    # that its nonce is used already is no news: it is a newer block that says so
    assert keeper.confirmation.troubles == {}
    with pytest.raises(Raced):
        keeper.journal.open_intent(plan(2, at=keeper.chain.blocks[-2].header))
    assert [o.state for o in keeper.tend()] == [S.INCLUDED]


def test_tend__when_a_nonce_is_called_used_and_no_later_photograph_shows_it__then_a_trouble(
    keeper: Keeper,
) -> None:
    keeper.act()
    for _ in range(3):
        keeper.chain.mine(empty=True)
    keeper.chain.mine()
    assert keeper.tend(lag=3) == ()
    assert keeper.confirmation.troubles == {}
    # raised meanwhile, to no avail
    assert (keeper.tend(lag=2), keeper.tend(lag=1)) == ((), ())
    assert list(keeper.confirmation.troubles.values()) == ["no pool holds it: nonce already used"]


def test_tend__when_receipt_lies_on_another_branch__then_not_believed(keeper: Keeper) -> None:
    keeper.act()
    keeper.chain.mine()
    real = keeper.chain._receipt

    def foreign(tx_hash: object) -> object:
        found = real(tx_hash)
        return {**found, "blockHash": "0x" + "77" * 32} if isinstance(found, dict) else None

    keeper.chain._receipt = foreign  # type: ignore[method-assign]
    assert keeper.tend() == ()
    for _ in range(3):
        keeper.chain.mine()
        assert keeper.tend() == ()
    assert keeper.state is S.SENT
    keeper.chain._receipt = real  # type: ignore[method-assign]
    assert [o.state for o in keeper.tend()] == [S.INCLUDED]


NAMES = (
    "transactionHash",
    "from",
    "to",
    "blockHash",
    "status",
    "blockNumber",
    "gasUsed",
    "effectiveGasPrice",
)
NONSENSE: tuple[object, ...] = (None, 5, "nonsense", "0xzz", [], {})
FORGED: list[tuple[str, object]] = [(n, v) for n in NAMES for v in NONSENSE]
FORGED += [(n, "0x" + "00" * 32) for n in NAMES[:4]]
FORGED += [("status", "0x2"), ("blockNumber", hex(10**9))]


@pytest.mark.parametrize("name, value", FORGED)
def test_tend__when_receipt_is_forged_or_malformed__then_nothing_is_concluded(
    keeper: Keeper, name: str, value: object
) -> None:
    keeper.act()
    keeper.chain.mine()
    real = keeper.chain._receipt

    def forged(tx_hash: object) -> object:
        found = real(tx_hash)
        return {**found, name: value} if isinstance(found, dict) else None

    keeper.chain._receipt = forged  # type: ignore[method-assign]
    for _ in range(4):
        assert keeper.tend() == ()
        keeper.chain.mine()
    assert keeper.state is S.SENT


def test_tend__when_reverted__then_told_and_the_position_is_free(keeper: Keeper) -> None:
    keeper.act()
    keeper.chain.fails_on_chain = True
    keeper.chain.mine()
    (outcome,) = keeper.tend()
    assert (outcome.state, outcome.surprise) == (S.REVERTED, "the transaction reverted on the chain")
    keeper.chain.fails_on_chain = False
    assert keeper.act(plan(2, at=keeper.chain.head)).nonce == 1


def test_tend__when_deep__then_settled_then_final_and_followed_no_more(keeper: Keeper) -> None:
    keeper.act()
    keeper.chain.mine()
    keeper.tend()
    states = []
    for _ in range(64):
        keeper.chain.mine()
        assert keeper.tend() == ()
        states.append(keeper.state)
    assert states[0] is S.INCLUDED
    assert states[1:63] == [S.SETTLED] * 62
    assert states[63] is S.FINAL
    assert keeper.journal.followed_intents() == ()


def test_tend__when_the_chain_finalizes__then_final_but_not_in_reach_of_a_reorganisation(
    keeper: Keeper,
) -> None:
    keeper.act()
    keeper.chain.mine()
    keeper.tend()
    keeper.chain.finalized = 101
    for _ in range(7):
        keeper.chain.mine()
        keeper.tend()
    assert keeper.state is S.SETTLED, "an endpoint may call its head final"
    keeper.chain.mine()
    keeper.tend()
    assert keeper.state is S.FINAL


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("replant", [False, True])
def test_tend__when_reorganised_away__then_open_again_and_sent_again_and_mined_once(
    keeper: Keeper, depth: int, replant: bool
) -> None:
    made = keeper.act()
    keeper.chain.mine()
    keeper.tend()
    for _ in range(depth - 1):
        keeper.chain.mine()
        keeper.tend()
    keeper.chain.reorg(depth, replant=replant)
    (outcome,) = keeper.tend()
    assert outcome.state is S.SENT
    assert "reorganisation" in outcome.surprise
    with pytest.raises(Raced):
        keeper.journal.open_intent(plan(2, at=keeper.chain.head))
    assert all(read_tx(raw)[0].nonce == made.nonce for raw in keeper.chain.sent)
    keeper.chain.mine()
    assert [o.state for o in keeper.tend()] == [S.INCLUDED]
    assert len(keeper.chain.effects(POOL)) == 1


def test_tend__when_reverted_is_reorganised_and_then_succeeds__then_included(keeper: Keeper) -> None:
    keeper.act()
    keeper.chain.fails_on_chain = True
    keeper.chain.mine()
    keeper.tend()
    keeper.chain.reorg(1, replant=True)
    keeper.chain.fails_on_chain = False
    assert [o.state for o in keeper.tend()] == [S.SENT]
    keeper.chain.mine()
    assert [o.state for o in keeper.tend()] == [S.INCLUDED]


def test_tend__when_mined_again_in_another_block__then_told_anew(keeper: Keeper) -> None:
    keeper.act()
    keeper.chain.mine()
    keeper.tend()
    keeper.chain.reorg(1, replant=True)
    keeper.chain.mine()
    (outcome,) = keeper.tend()
    assert (outcome.state, outcome.block_number) == (S.INCLUDED, 103)


def test_tend__when_a_lagging_node_shows_no_receipt__then_nothing_reopens(keeper: Keeper) -> None:
    keeper.act()
    keeper.chain.mine()
    keeper.tend()
    keeper.chain.mine()
    keeper.chain._receipt = lambda tx_hash: None  # type: ignore[method-assign]
    assert keeper.tend() == ()
    assert keeper.state is S.INCLUDED


def test_tend__when_a_foreign_transaction_took_the_nonce__then_replaced_on_the_second_deep_look(
    keeper: Keeper,
) -> None:
    keeper.act()
    keeper.chain.foreign()
    keeper.chain.mine()
    assert keeper.tend() == ()
    assert keeper.tend() == ()
    keeper.chain.mine()
    assert keeper.tend() == ()
    keeper.chain.mine()
    (outcome,) = keeper.tend()
    assert outcome.state is S.REPLACED
    assert "not ours" in outcome.surprise
    assert keeper.state is S.REPLACED
    assert len(keeper.chain.sent) == 1


def test_tend__when_the_foreign_transaction_is_old_already__then_still_two_looks_in_two_blocks(
    keeper: Keeper,
) -> None:
    keeper.act()
    keeper.chain.foreign()
    for _ in range(6):
        keeper.chain.mine()
    assert keeper.tend() == ()
    assert keeper.tend() == ()
    keeper.chain.mine()
    assert [o.state for o in keeper.tend()] == [S.REPLACED]


def test_tend__when_our_receipt_shows_late__then_it_was_never_replaced(keeper: Keeper) -> None:
    """The nonce is used, by us, and the node that answers has not indexed the receipt yet."""
    keeper.act()
    for _ in range(5):
        keeper.chain.mine()
    real = keeper.chain._receipt
    keeper.chain._receipt = lambda tx_hash: None  # type: ignore[method-assign]
    assert keeper.tend() == ()
    keeper.chain._receipt = real  # type: ignore[method-assign]
    keeper.chain.mine()
    assert [o.state for o in keeper.tend()] == [S.INCLUDED]


def test_tend__when_urgent_and_still_in_the_block_it_was_sent_in__then_not_raised_yet(keeper: Keeper) -> None:
    keeper.act(plan(at=keeper.chain.head, urgent=True))
    assert keeper.tend() == ()
    assert len(keeper.intent().attempts) == 1
    keeper.chain.mine(empty=True)
    keeper.tend()
    assert len(keeper.intent().attempts) == 2


def test_tend__when_a_receipt_was_late_once__then_later_looks_are_counted_anew(keeper: Keeper) -> None:
    keeper.act()
    for _ in range(3):
        keeper.chain.mine()
    real = keeper.chain._receipt
    keeper.chain._receipt = lambda tx_hash: None  # type: ignore[method-assign]
    assert keeper.tend() == ()
    keeper.chain._receipt = real  # type: ignore[method-assign]
    assert [o.state for o in keeper.tend()] == [S.INCLUDED]
    keeper.chain.reorg(3)
    keeper.chain.foreign()
    for _ in range(4):
        keeper.chain.mine()
    assert [o.state for o in keeper.tend()] == [S.SENT], "open again until it is known what used its nonce"
    keeper.chain.mine()
    assert [o.state for o in keeper.tend()] == [S.REPLACED]


def test_tend__when_the_used_nonce_came_free_again__then_later_looks_are_counted_anew(keeper: Keeper) -> None:
    keeper.act()
    keeper.chain.foreign()
    for _ in range(3):
        keeper.chain.mine()
    assert keeper.tend() == ()
    keeper.chain.reorg(3)
    assert keeper.tend() == ()
    keeper.chain.foreign()
    for _ in range(4):
        keeper.chain.mine()
    assert keeper.tend() == ()
    keeper.chain.mine()
    assert [o.state for o in keeper.tend()] == [S.REPLACED]


def test_tend__when_the_replacement_is_reorganised_away__then_open_again(keeper: Keeper) -> None:
    keeper.act()
    keeper.chain.foreign()
    for _ in range(4):
        keeper.chain.mine()
        keeper.tend()
    assert keeper.state is S.REPLACED
    keeper.chain.reorg(4)
    assert [o.state for o in keeper.tend()] == [S.SENT]
    keeper.chain.mine()
    assert [o.state for o in keeper.tend()] == [S.INCLUDED]


def test_tend__when_receipts_do_not_answer__then_nothing_is_concluded_but_bytes_go_out(
    keeper: Keeper,
) -> None:
    keeper.act()
    keeper.chain.foreign()
    keeper.chain.dead = {"eth_getTransactionReceipt"}
    for _ in range(6):
        keeper.chain.mine()
        assert keeper.tend() == ()
    assert keeper.state is S.SENT


def test_tend__when_dropped_from_the_pool__then_the_same_bytes_again_each_block(keeper: Keeper) -> None:
    made = keeper.act()
    keeper.chain.pool.clear()
    keeper.chain.mine()
    keeper.tend()
    assert keeper.chain.sent == [made.raw, made.raw]
    keeper.chain.mine()
    assert [o.state for o in keeper.tend()] == [S.INCLUDED]


def test_tend__when_the_base_fee_overtakes__then_raised_under_the_same_nonce_and_mined_once(
    keeper: Keeper,
) -> None:
    keeper.act()
    keeper.chain.mine(base_fee_wei=30 * GWEI)
    assert keeper.tend() == ()
    first, second = keeper.intent().attempts
    assert second.fee.max_fee_wei == 79 * GWEI
    assert (first.nonce, second.nonce) == (0, 0)
    keeper.chain.mine()
    (outcome,) = keeper.tend()
    assert outcome.tx_hash == second.hash
    assert len(keeper.chain.effects(POOL)) == 1


def test_tend__when_the_base_fee_is_beyond_the_cap__then_a_trouble_and_the_bytes_stay_out(
    keeper: Keeper,
) -> None:
    keeper.act()
    keeper.chain.mine(base_fee_wei=20 * 27 * GWEI)
    keeper.tend()
    assert len(keeper.intent().attempts) == 2
    keeper.chain.mine()
    keeper.tend()
    assert "gas_cap" in keeper.confirmation.troubles[plan().key]
    keeper.chain.mine(base_fee_wei=GWEI)
    keeper.tend()
    assert keeper.confirmation.troubles == {}


def test_tend__when_urgent__then_raised_every_block(keeper: Keeper) -> None:
    keeper.act(plan(urgent=True))
    for _ in range(3):
        keeper.chain.mine(empty=True)
        keeper.tend()
    assert [a.n for a in keeper.intent().attempts] == [0, 1, 2, 3]


def test_tend__when_patience_ends__then_raised_every_second_block(keeper: Keeper) -> None:
    keeper.act()
    counts = []
    for _ in range(4):
        keeper.chain.mine(empty=True)
        keeper.tend()
        counts.append(len(keeper.intent().attempts))
    assert counts == [1, 2, 2, 3]


def test_tend__when_past_the_deadline__then_cancelled_by_a_self_send_and_no_effect(keeper: Keeper) -> None:
    keeper.act()
    for _ in range(11):
        keeper.chain.mine(empty=True)
        keeper.tend()
    assert keeper.state is S.CANCELLING
    keeper.chain.mine()
    (outcome,) = keeper.tend()
    assert outcome.state is S.CANCELLED
    assert keeper.chain.effects(POOL) == []
    assert keeper.act(plan(2, at=keeper.chain.head)).nonce == 1


def test_tend__when_the_original_wins_against_its_cancellation__then_included(keeper: Keeper) -> None:
    made = keeper.act()
    for _ in range(11):
        keeper.chain.mine(empty=True)
        keeper.tend()
    keeper.chain.pool[0] = read_tx(made.raw)
    keeper.chain.mine()
    (outcome,) = keeper.tend()
    assert (outcome.state, outcome.tx_hash) == (S.INCLUDED, made.hash)


def test_tend__when_no_pool_can_be_reached__then_a_trouble_and_no_outcome(keeper: Keeper) -> None:
    keeper.act()
    keeper.chain.pool.clear()
    keeper.chain.dead = {"eth_sendRawTransaction"}
    keeper.chain.mine()
    assert keeper.tend() == ()
    assert "no pool holds it" in keeper.confirmation.troubles[plan().key]
