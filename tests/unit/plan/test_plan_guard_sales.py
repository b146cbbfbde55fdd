"""The guard over a sale: the owner's Executor and nobody else's, the step's order whole, and every rule of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keeper.executor import abi
from keeper.model import Mandate, Plan, Proposal, Refusal, Side
from keeper.plan import Case, check, compile_plan
from keeper.units import WAD
from strategies.deleverage import Deleverage as Strategy
from tests import build
from tests.build import USDC, WETH
from tests.fakes import LendingDouble
from tests.mandates import ROUTER, asset, borrower, mandate, means, terms

pytestmark = pytest.mark.unit
POLICY = build.policy(target="1.40", strategies=("deleverage",), caps=build.limits(action=10**6, day=10**6))
VENUE = LendingDouble(gas_limit=900_000)


def case(found: Mandate | None = None) -> Case:
    """A borrower in need, and his Executor."""
    position = borrower("1.10")
    snapshot = build.snapshot([position], wallet=means(found))
    return Case(position=position, venue=VENUE, policy=POLICY, snapshot=snapshot, seq=1)


def plan() -> Plan:
    """What the strategy proposes, compiled."""
    here = case()
    position, wallet = here.position, here.snapshot.means
    answer = Strategy().propose(position, build.outlook(position), POLICY, wallet, VENUE, here.snapshot.block)
    assert isinstance(answer, Proposal)
    made = compile_plan(answer, here)
    assert isinstance(made, Plan), made
    return made


def code(made: Plan, here: Case | None = None) -> str | None:
    """The guard's no."""
    said = check(made, here or case())
    return said.code if isinstance(said, Refusal) else None


def test_guard__when_a_sale_is_as_proposed__then_it_passes_without_any_wallet() -> None:
    made = plan()
    assert code(made) is None
    assert made.bounds.cost_usd_max >= 1


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"target": ROUTER}, "allow_list"),
        ({"value_wei": 1}, "allow_list"),
        ({"data": b""}, "calldata"),
        ({"data": abi.PayIn.__name__.encode()}, "calldata"),
    ],
)
def test_guard__when_the_call_is_another__then_it_is_refused(changes: dict[str, Any], expected: str) -> None:
    made = plan()
    assert code(replace(made, call=replace(made.call, **changes))) == expected


@pytest.mark.parametrize("field", ["seq", "deadline_s", "sold_more", "whole"])
def test_guard__when_the_calldata_says_more_than_the_step__then_it_is_refused(field: str) -> None:
    made = plan()
    step: Any = made.steps[0]
    other = {
        "seq": replace(step, seq=step.seq + 1),
        "deadline_s": replace(step, deadline_s=step.deadline_s + 1),
        "sold_more": replace(step, sell_max=replace(step.sell_max, units=step.sell_max.units + 1)),
        "whole": replace(step, whole=True),
    }[field]
    assert code(replace(made, call=abi.deleverage(other))) == "calldata"


@pytest.mark.parametrize(
    "found, expected",
    [
        (mandate(paused=True), "paused"),
        (mandate(terms=terms(seq=4)), "wrong_seq"),
        (mandate(terms=terms(last_block=100)), "cooldown"),
        (
            mandate(assets=(asset(WETH, Side.COLLATERAL, granted=WAD), asset(USDC, Side.DEBT))),
            "grant_too_small",
        ),
        (mandate(id=build.position_id(build.BOB)), "no_executor"),
        (mandate(executor=ROUTER), "unknown_position"),
        (mandate(terms=terms(max_wad=139 * WAD // 100, target_wad=138 * WAD // 100)), "above_max"),
    ],
)
def test_guard__when_a_newer_block_shows_that_it_would_fail__then_by_that_name(
    found: Mandate, expected: str
) -> None:
    assert code(plan(), case(found)) == expected


def test_guard__when_the_caps_are_smaller__then_the_sale_counts_whole() -> None:
    small = replace(POLICY, caps=build.limits(action=5_000, day=5_000))
    assert code(plan(), replace(case(), policy=small)) == "caps"


def test_guard__when_a_partial_sale_is_above_emergency__then_it_waits() -> None:
    higher = replace(POLICY, target_wad=150 * WAD // 100)
    assert code(plan(), replace(case(), policy=higher)) == "partial_too_small"
