"""A sale beside an earlier plan that ended in vain: the Executor's own numbers see to it that none acts too often."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.model import Intent, IntentState, Plan, Refusal
from keeper.transaction import doubt
from tests.mandates import ROUTER, sale
from tests.plans import plan

pytestmark = pytest.mark.unit


def refuses(made: Plan, followed: list[Intent]) -> Refusal | None:
    """Where each carried one plan alone."""
    return doubt.refuses(made, followed, lambda intent, _: intent.plan)


def selling(n: int, **changes: object) -> Plan:
    """Plan ``n`` with one sale."""
    return replace(plan(n), steps=(sale(**changes),))


def reverted(made: Plan) -> Intent:
    """Ended without effect, not finally."""
    return Intent(key=made.key, plan=made, state=IntentState.REVERTED)


def test_doubt__when_both_sales_carry_one_number__then_the_later_goes_on() -> None:
    assert refuses(selling(2), [reverted(selling(1))]) is None


def test_doubt__when_the_later_sale_carries_the_next_number__then_it_goes_on() -> None:
    # the earlier one's number is used up: a rescue after a sandwiched one must not wait for its finality
    assert refuses(selling(2, seq=4), [reverted(selling(1))]) is None


@pytest.mark.parametrize("changes", [{"executor": ROUTER}, {"key": "0x" + "01" * 32}])
def test_doubt__when_they_go_through_different_executors__then_the_later_waits(
    changes: dict[str, object],
) -> None:
    refusal = refuses(selling(2, **changes), [reverted(selling(1))])
    assert isinstance(refusal, Refusal)
    assert refusal.code == "in_doubt"


def test_doubt__when_the_other_pays_in__then_the_trigger_asked_on_chain_is_enough() -> None:
    assert refuses(plan(2), [reverted(selling(1))]) is None
    assert refuses(selling(2), [reverted(plan(1))]) is None
