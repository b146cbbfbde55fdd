"""GMX by the owner's own key: orders by the ExchangeRouter, no grant asked, and no other account's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.executor import perp as orders_of
from keeper.model import AddMargin, Amount, Bounds, CancelOrder, PerpStep, Plan, PlanKey, ReducePerp
from keeper.plan.orders import ordered
from keeper.units import UINT256_MAX
from keeper.venues.gmx_v2 import GmxV2, orders, read
from keeper.venues.gmx_v2.hedged import HedgedSlot
from keeper.words import Words
from tests.perps import BLOCK, OWNER, USD, USDC, WALLET, means, order, perp, position, slot

pytestmark = pytest.mark.unit

SLOT = replace(slot(), subaccount=OWNER, own=True)
VENUE = GmxV2(SLOT)
ACTING = orders.granted(SLOT, OWNER, Words((), ()))
AT = position(replace(perp(1_900), acting=ACTING))
MEANS = replace(means(SLOT), wallet=OWNER)
ADD = AddMargin(amount=Amount(token=USDC, units=500 * 10**6), fee_wei=10**16)
REDUCE = ReducePerp(
    amount=Amount(token=SLOT.index, units=10**18),
    size_usd=2_000 * USD,
    worst_price=1_850 * 10**12,
    fee_wei=10**16,
)
BACK = CancelOrder(amount=Amount(token=USDC, units=0), order="0x" + "cd" * 32, late=True)


def planned(step: PerpStep) -> Plan:
    limits = Bounds(
        health_after_min_wad=0,
        health_after_max_wad=2**255,
        cost_usd_max=10,
        fee_wei_max=10**18,
        gas_limit=3_000_000,
        deadline_block=200,
    )
    return Plan(
        key=PlanKey(position=AT.id, seq=1),
        strategy="test",
        steps=(step,),
        call=VENUE.encode(step, AT),
        bounds=limits,
        block=BLOCK,
        urgent=False,
        health_before_wad=10**18,
        why="test",
    )


def test_grant__of_the_owner_himself__is_neither_asked_nor_ever_over() -> None:
    assert (ACTING.allowed, ACTING.until_s, ACTING.actions_left) == (True, UINT256_MAX, UINT256_MAX)
    nobody = orders.granted(SLOT, WALLET, Words((), ()))
    assert (nobody.allowed, nobody.until_s, nobody.actions_left) == (False, 0, 0)
    through = replace(SLOT, own=False)
    sizes = [len(read._of_account(s, OWNER, None)) for s in (SLOT, through)]
    assert sizes == [2, 6]


@pytest.mark.parametrize("step", [ADD, REDUCE])
def test_order__as_the_account__goes_to_the_exchange_router_worth_its_fee_and_no_other_passes_the_guard(
    step: AddMargin | ReducePerp,
) -> None:
    assert VENUE.can(step, AT, MEANS) is None
    plan = planned(step)
    said = orders_of.order_from(plan.call.data)
    assert isinstance(said, orders_of.PerpOrderCall)
    assert (plan.call.target, plan.call.value_wei) == (SLOT.target, step.fee_wei)
    assert (said.own, said.account.lower(), said.fee_wei) == (True, OWNER, step.fee_wei)
    assert ordered(plan, step, AT, VENUE) is None
    through = replace(plan.call, data=orders_of.calldata(replace(said, own=False)))
    refused = ordered(replace(plan, call=through), step, AT, VENUE)
    assert refused is not None
    assert "given as a subaccount" in refused.why
    # and the same bytes as a subaccount's venue would have them
    refused = ordered(plan, step, AT, GmxV2(replace(SLOT, own=False)))
    assert refused is not None
    assert "given as the account itself" in refused.why
    # a venue whose owner is another account
    refused = ordered(plan, step, AT, GmxV2(replace(SLOT, subaccount=WALLET)))
    assert refused is not None


def test_cancellation__of_the_account_s_own_order__goes_to_the_exchange_router() -> None:
    late = replace(AT, perp=replace(AT.perp, orders=(order(400),)))  # type: ignore[type-var]
    assert VENUE.can(BACK, late, MEANS) is None
    plan = planned(BACK)
    assert (plan.call.target, plan.call.value_wei) == (SLOT.target, 0)
    assert ordered(plan, BACK, late, VENUE) is None


def test_orders__that_are_not_the_wallet_s_own__are_refused_by_name() -> None:
    codes = {
        "not_subaccount": VENUE.can(ADD, AT, replace(MEANS, wallet=WALLET)),
        "not_account": GmxV2(replace(SLOT, subaccount=WALLET)).can(ADD, AT, replace(MEANS, wallet=WALLET)),
        "no_subaccount": GmxV2(replace(SLOT, subaccount="0x" + "00" * 20)).can(ADD, AT, MEANS),
        "not_supported": HedgedSlot(SLOT).can(ADD, AT, MEANS),
    }
    assert {code: no.code if no else "" for code, no in codes.items()} == {code: code for code in codes}
    assert VENUE.terms[6:] == (OWNER,)
    assert VENUE.spender == SLOT.router, "the wallet approves GMX's Router for the margin"
