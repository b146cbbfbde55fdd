"""Orders of perpetual positions: the wallet pays for their execution and for gas at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.decision import Memory, decide
from keeper.model import Plan, Refusal
from keeper.plan import Case, compile_plan
from tests.perps import BLOCK, POLICY, perp, world

pytestmark = pytest.mark.unit
TIP_WEI = 10**8


def planned(native_wei: int | None = None) -> Plan | Refusal:
    """Margin for a position below its trigger, by a wallet that holds so much; what it likes, unless told."""
    shot, outlook, options = world(perp(1_900))
    made, _ = decide(shot, (outlook,), {outlook.id: POLICY}, Memory(), options)
    if native_wei is not None:
        shot = replace(shot, means=replace(shot.means, native_wei=native_wei))
    venue = next(iter(options.venues.values()))
    case = Case(position=shot.positions[0], venue=venue, policy=POLICY, snapshot=shot, seq=1)
    return compile_plan(made[0].chosen[0], case)


def test_plan__when_the_wallet_pays_for_an_execution__then_gas_may_cost_what_is_left_beside_it() -> None:
    rich = planned()
    assert isinstance(rich, Plan)
    value_wei = rich.call.value_wei
    assert value_wei > 0
    native_wei = value_wei + rich.bounds.fee_wei_max - 1
    assert native_wei > rich.bounds.fee_wei_max, "the gas money alone would fit"
    poorer = planned(native_wei)
    assert isinstance(poorer, Plan)
    assert poorer.bounds.fee_wei_max == native_wei - value_wei


def test_plan__when_the_wallet_holds_too_little_for_execution_gas_and_tip__then_gas_tank() -> None:
    rich = planned()
    assert isinstance(rich, Plan)
    least_wei = rich.call.value_wei + rich.bounds.gas_limit * (BLOCK.base_fee_wei + TIP_WEI)
    assert isinstance(planned(least_wei), Plan)
    no = planned(least_wei - 1)
    assert isinstance(no, Refusal)
    assert no.code == "gas_tank"
