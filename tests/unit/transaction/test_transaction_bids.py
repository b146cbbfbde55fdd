"""What a transaction may bid beside the value that it, and others, carry: a pool asks for gas and value together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.journal.write import Journal
from keeper.model import Attempt, Fee, Plan, Refusal
from keeper.seams import TxFields
from keeper.signer.policy import GAS_LIMIT_MAX
from keeper.transaction.bids import GAS_MAX, roomy
from keeper.transaction.dry import Dry
from keeper.transaction.send import Live
from keeper.units import GWEI
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, POOL, WALLET, block, plan, position_id, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
VALUE = 10**15
GAS = 300_000
NATIVE = VALUE + 15 * GWEI * GAS
"""The value and one and a half of the base fee: less than a first fee would be."""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as opened:
        opened.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        yield opened


def order(name: str = "main") -> Plan:
    """An order that pays for its own execution."""
    made = plan(position=position_id(name))
    return replace(made, call=replace(made.call, value_wei=VALUE))


@pytest.mark.parametrize("mode", ["live", "dry"])
def test_act__when_the_call_carries_value__then_gas_and_value_are_in_the_wallet(
    journal: Journal, mode: str
) -> None:
    chain = ChainDouble()
    sender = Live(journal, chain, FakeSigner()) if mode == "live" else Dry(journal, chain)
    made = run(sender.act(order(), snapshot(native_wei=NATIVE)))
    assert isinstance(made, Attempt)
    assert made.fee.gas_limit * made.fee.max_fee_wei + VALUE == NATIVE


def test_act__when_another_order_waits__then_its_value_is_kept_as_well(journal: Journal) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    first = run(live.act(order(), snapshot(native_wei=10**18)))
    assert isinstance(first, Attempt)
    kept_wei = GAS * first.fee.max_fee_wei + VALUE
    second = run(live.act(order("other"), snapshot(native_wei=kept_wei + NATIVE)))
    assert isinstance(second, Attempt)
    assert GAS * second.fee.max_fee_wei + VALUE == NATIVE


def test_cancel__when_the_plan_carries_value__then_its_self_send_keeps_none_aside(journal: Journal) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    run(live.act(order(), snapshot(native_wei=NATIVE)))
    late = block(order().bounds.deadline_block + 1)
    # what is left would not pay for the value and a self-send
    means = replace(snapshot().means, native_wei=VALUE // 2 + 60_000 * 17 * GWEI)
    freed = run(live.cancel(order().key, late, means))
    assert isinstance(freed, Attempt)
    assert freed.cancel
    # nor does it, once it is one, keep anything from the next
    beside = snapshot(native_wei=60_000 * freed.fee.max_fee_wei + NATIVE)
    after = run(live.act(order("other"), beside))
    assert isinstance(after, Attempt)
    assert GAS * after.fee.max_fee_wei + VALUE == NATIVE


@pytest.mark.parametrize(
    ("pooled", "native_wei", "gas"),
    [(True, 10**18, GAS), (False, 10**18, 50 * 10**15 // 2 // (27 * GWEI)), (False, 54 * GWEI * GAS, GAS)],
    ids=["mempool", "none", "none, and little money"],
)
def test_act__when_data_is_charged_as_gas__then_half_of_the_money_is_room_for_it(
    journal: Journal, pooled: bool, native_wei: int, gas: int
) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    live.pooled = pooled
    made = run(live.act(plan(), snapshot(native_wei=native_wei)))
    assert isinstance(made, Attempt)
    assert (made.fee.gas_limit, made.fee.max_fee_wei) == (gas, 27 * GWEI)


def test_act__when_others_have_room_for_their_data__then_it_keeps_no_money_from_one_behind_them(
    journal: Journal,
) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    live.pooled = False
    first = run(live.act(plan(), snapshot(native_wei=10**17)))
    assert isinstance(first, Attempt)
    assert first.fee.gas_limit > 2 * GAS
    second = run(live.act(plan(position=position_id("other")), snapshot(native_wei=2 * 27 * GWEI * GAS)))
    assert isinstance(second, Attempt)
    assert second.fee.max_fee_wei == 27 * GWEI


@pytest.mark.parametrize(
    ("gas", "cap_wei", "roomy_gas"),
    [(GAS, 10**30, 8 * GAS), (3_000_000, 10**30, 2**24), (GAS, 6 * GAS * GWEI, 3 * GAS)],
)
def test_roomy__gives_eightfold_gas__within_half_of_the_money_and_what_may_be_signed(
    gas: int, cap_wei: int, roomy_gas: int
) -> None:
    fee = Fee(gas_limit=gas, max_fee_wei=GWEI, tip_wei=1)
    assert roomy(fee, cap_wei) == replace(fee, gas_limit=roomy_gas)


def test_roomy__asks_for_no_more_gas_than_the_signer_signs() -> None:
    assert GAS_MAX == GAS_LIMIT_MAX


def test_raised__when_the_money_does_not_reach_for_both__then_the_room_goes_first(journal: Journal) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    live.pooled = False
    made = plan()
    first = run(live.act(made, snapshot()))
    assert isinstance(first, Attempt)
    dear = block(101, base_fee_wei=120 * GWEI)
    raised = run(live.bump(made.key, dear, snapshot(dear).means))
    assert isinstance(raised, Attempt)
    assert (raised.fee.gas_limit, raised.cancel) == (GAS, False)
    assert raised.fee.max_fee_wei > 120 * GWEI


@pytest.mark.parametrize(("base_gwei", "roomy_still"), [(10, True), (120, False)])
def test_replan__when_data_is_charged_as_gas__then_the_room_stays_while_the_money_reaches(
    journal: Journal, base_gwei: int, roomy_still: bool
) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    live.pooled = False
    first = run(live.act(plan(), snapshot()))
    assert isinstance(first, Attempt)
    larger = plan(at=block(101, base_fee_wei=base_gwei * GWEI))
    again = run(live.act(larger, snapshot(larger.block)))
    assert isinstance(again, Attempt)
    assert again.fee.gas_limit == (first.fee.gas_limit if roomy_still else GAS)
    assert again.fee.max_fee_wei > base_gwei * GWEI


@pytest.mark.parametrize(
    ("pooled", "native_wei", "gas"),
    [(True, 10**18, 60_000), (False, 10**18, None), (False, 60_000 * 40 * GWEI, 60_000)],
    ids=["mempool", "none", "none, and little money"],
)
def test_cancel__when_data_is_charged_as_gas__then_it_may_use_what_the_plan_might(
    journal: Journal, pooled: bool, native_wei: int, gas: int | None
) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    live.pooled = pooled
    first = run(live.act(plan(), snapshot()))
    assert isinstance(first, Attempt)
    late = block(plan().bounds.deadline_block + 1)
    freed = run(live.cancel(plan().key, late, replace(snapshot().means, native_wei=native_wei)))
    assert isinstance(freed, Attempt)
    assert (freed.cancel, freed.fee.gas_limit) == (True, gas or first.fee.gas_limit)


def test_cancel__when_the_plan_was_raised_ten_times__then_its_self_send_still_follows_the_market(
    journal: Journal,
) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    made = replace(plan(), bounds=replace(plan().bounds, fee_wei_max=10**18))
    rich = snapshot(native_wei=10**20)
    run(live.act(made, rich))
    for n in range(1, 11):
        last = run(live.bump(made.key, block(100 + n, base_fee_wei=GWEI), rich.means))
        assert isinstance(last, Attempt)
    held = run(live.bump(made.key, block(111), rich.means))
    assert isinstance(held, Refusal)
    assert held.code == "bumps_spent"
    run(live.cancel(made.key, block(made.bounds.deadline_block + 1), rich.means))
    dearer = block(made.bounds.deadline_block + 2, base_fee_wei=2_000 * GWEI)
    raised = run(live.bump(made.key, dearer, rich.means))
    assert isinstance(raised, Attempt)
    assert raised.cancel
    assert raised.fee.max_fee_wei > 2_000 * GWEI


class Summing(ChainDouble):
    """A pool that asks, as geth's does, for the most that all transactions of the key may cost together."""

    native_wei = 0

    def _refuses(self, tx: TxFields, tx_hash: str) -> str | None:
        others = sum(_most_wei(t) for n, (t, _) in self.pool.items() if self.nonce <= n != tx.nonce)
        if others + _most_wei(tx) > self.native_wei:
            return f"insufficient funds for gas * price + value: overshot {others + _most_wei(tx) - self.native_wei}"
        return super()._refuses(tx, tx_hash)


def _most_wei(tx: TxFields) -> int:
    return tx.gas_limit * tx.max_fee_wei + tx.value_wei


def test_tend__when_the_urgent_one_took_most_of_the_wallet__then_what_stands_before_it_is_freed_by_the_market(
    journal: Journal,
) -> None:
    chain = Summing(base_fee_wei=20 * GWEI)
    chain.native_wei = wallet_wei = 39 * 10**15
    live = Live(journal, chain, FakeSigner())
    following = Confirmation(journal, chain, live, WALLET)
    for name, urgent, gas, cap_wei in (
        ("main", False, 250_000, 250_000 * 23 * GWEI),
        ("other", True, 320_000, 160 * 10**15),
    ):
        made = plan(at=chain.head, position=position_id(name), urgent=urgent)
        made = replace(made, bounds=replace(made.bounds, gas_limit=gas, fee_wei_max=cap_wei))
        run(live.act(made, snapshot(chain.head, native_wei=wallet_wei)))
    base_wei = 20 * GWEI
    for n in range(4):
        chain.mine(base_fee_wei=base_wei, empty=n < 2)
        run(following.tend(chain.head, snapshot(chain.head, nonce=chain.nonce, native_wei=wallet_wei)))
        base_wei = base_wei * 9 // 8
    assert [t.nonce for t in chain.effects(POOL)] == [1]
    assert chain.nonce == 2
