"""A larger plan in an open one's place, and an urgent one behind a cheaper nonce: one nonce, one effect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.errors import Broken, Raced, Rejected, Unsigned
from keeper.journal.write import Journal
from keeper.model import Amount, Attempt, Intent, IntentState, Plan, Refusal, Repay
from keeper.seams import Signed, TxFields
from keeper.transaction.send import Live
from keeper.units import GWEI, WAD
from tests.chain_double import ChainDouble, FakeSigner, read_tx
from tests.plans import CHAIN_ID, POOL, USDC, WALLET, block, plan, position_id, repay_call, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
S = IntentState


class Keeper:
    """Journal, double chain, sender and confirmation."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal.open(path, ManualClock(1.0))
        self.chain = ChainDouble()
        self.signer = FakeSigner()
        self.live = Live(self.journal, self.chain, self.signer)
        self.confirmation = Confirmation(self.journal, self.chain, self.live, WALLET)
        self.journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")

    def act(self, wanted: Plan) -> Attempt | Refusal:
        """Send at the head."""
        taken = snapshot(self.chain.head, nonce=self.chain.nonce)
        return run(self.live.act(wanted, taken))

    def tend(self, health_wad: int = WAD * 13 // 10) -> list[tuple[IntentState, str]]:
        """What a tending at the head concludes."""
        taken = snapshot(self.chain.head, nonce=self.chain.nonce, health_wad=health_wad)
        outcomes = run(self.confirmation.tend(self.chain.head, taken))
        return [(o.state, o.surprise) for o in outcomes]

    def plan(self, units: int = 1_000_000, *, name: str = "main", urgent: bool = False) -> Plan:
        """A repayment of ``units`` at the head, as number 1 of its position."""
        made = plan(at=self.chain.head, position=position_id(name), urgent=urgent)
        steps = (Repay(amount=Amount(token=USDC, units=units)),)
        return replace(made, steps=steps, call=repay_call(units))

    def intent(self, name: str = "main") -> Intent:
        """Number 1 of a position."""
        found = self.journal.intent(plan(position=position_id(name)).key)
        assert found is not None
        return found


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(tmp_path / "journal.sqlite")
    yield made
    made.journal.close()


def larger(keeper: Keeper, units: int = 3_000_000) -> Plan:
    """The same intent, one block on, with a larger size and a higher promise."""
    keeper.chain.mine(empty=True)
    made = keeper.plan(units)
    return replace(made, bounds=replace(made.bounds, health_after_min_wad=WAD * 14 // 10))


def test_replan__when_the_first_is_stuck__then_same_nonce_new_payload_and_higher_fee(keeper: Keeper) -> None:
    small = keeper.plan()
    first = keeper.act(small)
    wanted = larger(keeper)
    second = keeper.act(wanted)
    assert isinstance(first, Attempt)
    assert isinstance(second, Attempt)
    assert (second.nonce, second.n) == (first.nonce, 1)
    assert read_tx(second.raw)[0].data == wanted.call.data
    assert second.fee.max_fee_wei >= -(-first.fee.max_fee_wei * 1125 // 1000)
    assert second.fee.tip_wei >= -(-first.fee.tip_wei * 1125 // 1000)
    found = keeper.intent()
    assert (found.plan, found.state, len(found.attempts)) == (wanted, S.SENT, 2)
    assert keeper.journal.carried(found, 0) == small
    assert keeper.journal.carried(found, 1) == wanted
    keeper.chain.mine()
    assert keeper.tend(WAD * 145 // 100) == [(S.INCLUDED, "")]
    assert [t.data for t in keeper.chain.effects(POOL)] == [wanted.call.data]


def test_replan__when_the_smaller_one_is_mined_all_the_same__then_held_to_its_own_promise(
    keeper: Keeper,
) -> None:
    keeper.act(keeper.plan())
    stuck = dict(keeper.chain.pool)
    keeper.act(larger(keeper))
    keeper.chain.pool = stuck
    keeper.chain.mine()
    # 1.3 is above what the smaller one promised and below what the larger one would have
    assert keeper.tend(WAD * 13 // 10) == [(S.INCLUDED, "")]
    assert len(keeper.chain.effects(POOL)) == 1
    assert keeper.journal.open_intents() == ()


def test_replan__when_the_nonce_is_used_already__then_raced_and_nothing_signed(keeper: Keeper) -> None:
    keeper.act(keeper.plan())
    keeper.chain.mine()
    wanted = keeper.plan(3_000_000)
    asked = len(keeper.signer.asked)
    with pytest.raises(Raced, match="nonce 0 is used"):
        keeper.act(wanted)
    assert len(keeper.signer.asked) == asked


def test_replan__when_a_stop_comes_while_it_waits__then_nothing_larger_is_signed(keeper: Keeper) -> None:
    keeper.act(keeper.plan())
    signed, sent = len(keeper.signer.asked), len(keeper.chain.sent)
    disarmed = Refusal(who="lane", code="disarmed", why="disarmed meanwhile")
    keeper.live.may_send = lambda _: disarmed
    assert keeper.act(larger(keeper)) == disarmed
    assert (len(keeper.signer.asked), len(keeper.chain.sent)) == (signed, sent)
    assert keeper.intent().plan.steps == keeper.plan().steps


def test_replan__when_it_is_being_cancelled__then_raced(keeper: Keeper) -> None:
    made = keeper.plan()
    keeper.act(made)
    late = block(made.bounds.deadline_block + 1)
    run(keeper.live.cancel(made.key, late, snapshot(keeper.chain.head).means))
    with pytest.raises(Raced, match="cancelled"):
        keeper.act(larger(keeper))


def test_replan__when_it_would_revert_or_cost_too_much__then_refused_and_the_first_stands(
    keeper: Keeper,
) -> None:
    keeper.act(keeper.plan())
    wanted = larger(keeper)
    dear = replace(wanted, bounds=replace(wanted.bounds, fee_wei_max=30 * GWEI * 300_000))
    refused = keeper.act(dear)
    assert isinstance(refused, Refusal)
    assert refused.code == "gas_cap"
    keeper.chain.revert = Rejected(3, "execution reverted")
    refused = keeper.act(wanted)
    assert isinstance(refused, Refusal)
    assert refused.code == "simulation_reverted"
    assert len(keeper.intent().attempts) == 1


def test_replan__when_counted_for_the_day__then_the_dearer_of_the_two(keeper: Keeper) -> None:
    keeper.act(keeper.plan(5_000_000))
    keeper.act(larger(keeper, 9_000_000))
    assert keeper.journal.spend_usd(keeper.intent().key) == 9
    keeper.chain.mine(empty=True)
    keeper.act(keeper.plan(2_000_000))
    assert keeper.journal.spent_usd_since(position_id(), 0) == 9


def test_urgent__when_a_cheaper_nonce_stands_before_it__then_that_one_is_raised_at_once(
    keeper: Keeper,
) -> None:
    keeper.act(keeper.plan())
    keeper.chain.mine(base_fee_wei=40 * GWEI)
    urgent = keeper.act(keeper.plan(name="other", urgent=True))
    assert isinstance(urgent, Attempt)
    top = keeper.intent().attempts[-1]
    assert (top.nonce, urgent.nonce) == (0, 1)
    assert top.fee.max_fee_wei >= urgent.fee.max_fee_wei
    assert top.fee.tip_wei >= urgent.fee.tip_wei
    keeper.chain.mine()
    assert [t.nonce for t in keeper.chain.effects(POOL)] == [0, 1]


def test_urgent__when_it_is_raised_further__then_tending_raises_the_one_before_it_too(keeper: Keeper) -> None:
    keeper.act(keeper.plan())
    keeper.chain.mine(base_fee_wei=20 * GWEI, empty=True)
    keeper.act(keeper.plan(name="other", urgent=True))
    for _ in range(2):
        keeper.chain.mine(empty=True)
        keeper.tend()
    keeper.chain.mine(empty=True)
    keeper.tend()
    before, urgent = keeper.intent().attempts, keeper.intent("other").attempts
    # raised in the same look, or in the next one: never two steps behind
    assert before[-1].fee.max_fee_wei >= urgent[-2].fee.max_fee_wei
    keeper.chain.mine()
    assert len(keeper.chain.effects(POOL)) == 2


def test_urgent__when_the_money_is_for_one_only__then_the_one_before_it_gives_way(keeper: Keeper) -> None:
    keeper.act(keeper.plan())
    keeper.chain.mine(base_fee_wei=40 * GWEI)
    wanted = keeper.plan(name="other", urgent=True)
    # enough for the urgent one and a self-send at its fee, not for both payloads
    native_wei = 300_000 * 162 * GWEI + 300_000 * 27 * GWEI + 60_000 * 50 * GWEI
    taken = snapshot(keeper.chain.head, nonce=0, native_wei=native_wei)
    made = run(keeper.live.act(wanted, taken))
    assert isinstance(made, Attempt)
    top = keeper.intent().attempts[-1]
    assert top.cancel
    assert top.fee.max_fee_wei >= made.fee.max_fee_wei
    keeper.chain.mine()
    assert [t.nonce for t in keeper.chain.effects(POOL)] == [1]


def dear(keeper: Keeper, name: str, gas: int) -> Plan:
    """An urgent sale of so much gas, at most of 500 dollars at 3,000 each."""
    made = keeper.plan(name=name, urgent=True)
    return replace(made, bounds=replace(made.bounds, gas_limit=gas, fee_wei_max=10**18 * 500 // 3_000))


def test_urgent__when_the_one_before_it_bids_less_and_pays_for_the_block__then_both_are_mined(
    keeper: Keeper,
) -> None:
    keeper.chain.mine(base_fee_wei=50 * GWEI)
    first = keeper.act(dear(keeper, "main", 1_500_000))
    second = keeper.act(dear(keeper, "other", 300_000))
    assert isinstance(first, Attempt)
    assert isinstance(second, Attempt)
    assert first.fee.max_fee_wei < second.fee.max_fee_wei, "its gas money does not reach as high"
    assert [a.cancel for a in keeper.intent().attempts] == [False]
    keeper.chain.mine()
    assert [t.nonce for t in keeper.chain.effects(POOL)] == [0, 1]


def test_urgent__when_the_one_before_it_pays_and_is_left_out__then_raised_as_far_as_its_money_goes_and_then_gives_way(
    keeper: Keeper,
) -> None:
    keeper.chain.mine(base_fee_wei=20 * GWEI)
    keeper.act(dear(keeper, "main", 1_500_000))
    keeper.chain.mine(base_fee_wei=40 * GWEI, empty=True)
    urgent = keeper.act(dear(keeper, "other", 300_000))
    assert isinstance(urgent, Attempt)
    top = keeper.intent().attempts[-1]
    assert 84 * GWEI * 1125 <= top.fee.max_fee_wei * 1000 < urgent.fee.max_fee_wei * 1000
    seen = []
    for _ in range(3):
        keeper.chain.mine(empty=True)
        keeper.tend()
        seen.append([a.cancel for a in keeper.intent().attempts])
    assert seen[0] == [False, False], "one more chance before it gives way"
    assert seen[1] == [False, False, True]
    keeper.chain.mine()
    assert [t.nonce for t in keeper.chain.effects(POOL)] == [1]


def test_urgent__when_the_one_before_it_was_sent_in_this_block_and_pays__then_not_raised_before_a_builder_saw_it(
    keeper: Keeper,
) -> None:
    keeper.chain.mine(base_fee_wei=20 * GWEI)
    money_wei = 1_500_000 * 70 * GWEI  # for a raise of its own, not for the fee of the other
    calm = keeper.plan()
    keeper.act(replace(calm, bounds=replace(calm.bounds, gas_limit=1_500_000, fee_wei_max=money_wei)))
    urgent = dear(keeper, "other", 300_000)
    sent = keeper.act(replace(urgent, bounds=replace(urgent.bounds, fee_wei_max=money_wei)))
    assert isinstance(sent, Attempt)
    assert sent.fee.max_fee_wei > 70 * GWEI
    assert [a.cancel for a in keeper.intent().attempts] == [False]
    keeper.chain.mine(empty=True)
    keeper.tend()
    assert [a.cancel for a in keeper.intent().attempts] == [False, False]


def test_urgent__when_tips_jump_beyond_the_one_before_it__then_that_gives_way_at_once(keeper: Keeper) -> None:
    """Base fee and its own tip it would pay for; builders with full blocks take those of 20 gwei."""
    keeper.chain.mine(base_fee_wei=50 * GWEI)
    keeper.act(dear(keeper, "main", 1_500_000))
    taken = snapshot(keeper.chain.head)
    urgent = dear(keeper, "other", 300_000)
    run(keeper.live.act(urgent, replace(taken, means=replace(taken.means, tip_wei=20 * GWEI))))
    assert keeper.intent().attempts[-1].cancel


def test_urgent__when_the_one_before_it_is_for_practice_and_pays__then_it_gives_way_at_once(
    keeper: Keeper,
) -> None:
    keeper.live.practises = lambda id: id == position_id()
    keeper.chain.mine(base_fee_wei=50 * GWEI)
    keeper.act(dear(keeper, "main", 1_500_000))
    keeper.act(dear(keeper, "other", 300_000))
    assert keeper.intent().attempts[-1].cancel


@pytest.mark.parametrize("past", [0, 1])
def test_urgent__when_the_one_before_it_pays_and_is_past_its_time__then_it_gives_way_at_once(
    keeper: Keeper, past: int
) -> None:
    keeper.chain.mine(base_fee_wei=50 * GWEI)
    made = dear(keeper, "main", 1_500_000)
    keeper.act(made)
    while keeper.chain.head.number < made.bounds.deadline_block + past:
        keeper.chain.mine(empty=True)
    keeper.act(dear(keeper, "other", 300_000))
    assert keeper.intent().attempts[-1].cancel is (past > 0)


def test_tend__when_the_urgent_one_behind_it_is_given_up__then_what_was_made_anew_is_not_cancelled_for_a_self_send(
    keeper: Keeper,
) -> None:
    for name, urgent in (("main", False), ("other", True)):
        made = keeper.plan(name=name, urgent=urgent)
        keeper.act(replace(made, bounds=replace(made.bounds, fee_wei_max=300_000 * 60 * GWEI)))
    for n in range(16):
        keeper.chain.mine(base_fee_wei=20 * GWEI, empty=True)
        if n == 8:
            made = keeper.plan(3_000_000)
            anew = keeper.act(replace(made, bounds=replace(made.bounds, fee_wei_max=300_000 * 90 * GWEI)))
            assert isinstance(anew, Attempt)
        keeper.tend()
    assert keeper.intent("other").attempts[-1].cancel
    assert keeper.intent("other").attempts[-1].fee.max_fee_wei > keeper.intent().attempts[-1].fee.max_fee_wei
    assert keeper.intent().may_act


def test_urgent__when_an_approval_stands_before_it__then_it_is_cancelled_not_signed_anew(
    keeper: Keeper,
) -> None:
    keeper.act(replace(keeper.plan(name="grant"), steps=()))
    keeper.chain.mine(base_fee_wei=40 * GWEI)
    keeper.act(keeper.plan(name="other", urgent=True))
    top = keeper.intent("grant").attempts[-1]
    assert top.cancel
    assert read_tx(top.raw)[0].to == WALLET
    keeper.chain.mine()
    assert len(keeper.chain.effects(POOL)) == 1


@pytest.mark.parametrize(
    ("cancels", "base_gwei", "tries"),
    [(True, 25, [False, True]), (False, 25, [False]), (True, 10, [False])],
    ids=["freed", "nothing is signed", "it pays for the next block"],
)
def test_act__when_the_signer_refuses_to_raise_what_is_in_the_way__then_its_nonce_is_freed_and_ours_is_sent(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, cancels: bool, base_gwei: int, tries: list[bool]
) -> None:
    """The day's fees are spent for payloads: another's refused signature must not be told as ours."""
    keeper.act(keeper.plan(name="other"))
    keeper.chain.mine(base_fee_wei=base_gwei * GWEI, empty=True)
    urgent = keeper.plan(urgent=True)
    sign = keeper.signer.sign

    async def refuse(tx: TxFields) -> Signed:
        if tx.intent != str(urgent.key) and (tx.data or not cancels):
            raise Unsigned("S6: the day's fees would reach 2 wei, the cap is 1")
        return await sign(tx)

    monkeypatch.setattr(keeper.signer, "sign", refuse)
    made = keeper.act(urgent)
    assert isinstance(made, Attempt)
    assert read_tx(keeper.chain.sent[1])[1] == made.hash
    assert [a.cancel for a in keeper.intent("other").attempts] == tries


def test_act__when_what_broke_was_in_the_way__then_it_stops_the_key(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.act(keeper.plan(name="other"))
    keeper.chain.mine(empty=True)
    urgent = keeper.plan(urgent=True)
    sign = keeper.signer.sign

    async def doubt(tx: TxFields) -> Signed:
        if tx.intent != str(urgent.key):
            raise Broken("S1: nonce 0 is not the next one, 1")
        return await sign(tx)

    monkeypatch.setattr(keeper.signer, "sign", doubt)
    with pytest.raises(Broken, match="S1"):
        keeper.act(urgent)
