"""Two steps: pending while the order waits, done when the position carries it, failed when it never will."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.model import (
    AddMargin,
    Amount,
    Bounds,
    Call,
    Intent,
    IntentState,
    Perp,
    Plan,
    PlanKey,
    Position,
    ReducePerp,
    Step,
)
from keeper.seams import Progress, Shadow
from keeper.units import UINT256_MAX, WAD
from keeper.venues.gmx_v2.effect import Before, effect, missed
from keeper.venues.gmx_v2.encode import closed, fill
from tests.perps import BLOCK, USD, USDC, WETH, order, perp, position, slot, world

pytestmark = pytest.mark.unit

TOP_UP = AddMargin(amount=Amount(token=USDC, units=500 * 10**6), fee_wei=1)
PART = ReducePerp(amount=Amount(token=WETH, units=10**18), size_usd=2_000 * USD, worst_price=1, fee_wei=1)


def intent(before: Position, step: Step, state: IntentState = IntentState.INCLUDED) -> Intent:
    plan = Plan(
        key=PlanKey(position=before.id, seq=1),
        strategy="add_margin",
        steps=(step,),
        call=Call(target="0x" + "00" * 20, data=b""),
        bounds=Bounds(
            health_after_min_wad=106 * WAD // 100,
            health_after_max_wad=UINT256_MAX,
            cost_usd_max=1,
            fee_wei_max=1,
            gas_limit=1,
            deadline_block=200,
        ),
        block=replace(BLOCK, number=BLOCK.number - 1, timestamp_s=PLANNED_S),
        urgent=False,
        health_before_wad=before.health_wad,
        why="",
    )
    return Intent(key=plan.key, plan=plan, state=state)


PLANNED_S = BLOCK.timestamp_s - 12


def topped(price: int = 1_900, at_s: int = BLOCK.timestamp_s) -> Perp:
    """Margin was added in that second."""
    return replace(perp(price, margin=2_500), increased_s=at_s)


def seen(p: Perp | None, step: Step = TOP_UP, state: IntentState = IntentState.INCLUDED) -> Progress:
    before = position(perp(1_900))
    shot, _, _ = world(p or perp(1_900))
    if p is None:
        shot = replace(shot, positions=(closed(before),))
    return effect(intent(before, step, state), shot).progress


def test_effect__order_waits__pending_and_done_once_the_position_shows_it() -> None:
    assert seen(replace(perp(1_900), orders=(order(3),))) is Progress.PENDING
    assert seen(topped()) is Progress.DONE
    assert seen(replace(perp(1_900), decreased_s=BLOCK.timestamp_s), PART) is Progress.DONE


@pytest.mark.parametrize("price", [1_800, 1_900, 2_000, 2_400])
def test_effect__no_order_and_nothing_changed__failed_wherever_the_price_went(price: int) -> None:
    for step, at in ((TOP_UP, "decreased_s"), (PART, "increased_s")):
        assert seen(perp(price), step) is Progress.FAILED
        assert seen(replace(perp(price), increased_s=PLANNED_S - 1), step) is Progress.FAILED
        assert seen(replace(perp(price), **{at: BLOCK.timestamp_s}), step) is Progress.FAILED


def test_missed__executed_orders__held_to_the_integers_that_they_were_to_change() -> None:
    before = Before(size_usd=20_000 * USD, margin=2_000 * 10**6, owed=10**6)
    short = replace(perp(1_900), margin=2_492 * 10**6)
    assert missed(TOP_UP, before, position(perp(1_900, margin=2_494))) == ""
    assert "2492000000 units, not the 2493000000" in missed(TOP_UP, before, position(short))
    smaller = replace(perp(1_900), size_usd=18_000 * USD)
    assert missed(PART, before, position(smaller)) == ""
    words = "18001 USD, not the 18000 that"
    assert words in missed(PART, before, position(replace(smaller, size_usd=18_001 * USD)))
    gone = closed(position(perp(1_900)))
    assert missed(PART, before, gone) == ""
    assert "margin went with it" in missed(TOP_UP, before, gone)


def test_effect__position_gone__done_for_who_wanted_it_closed_and_failed_for_who_topped_it_up() -> None:
    assert seen(None) is Progress.FAILED
    assert seen(None, PART) is Progress.DONE


@pytest.mark.parametrize(
    ("state", "progress"),
    [(IntentState.SENT, Progress.PENDING), (IntentState.REVERTED, Progress.FAILED)],
)
def test_effect__transaction_not_included__as_it_stands(state: IntentState, progress: Progress) -> None:
    assert seen(topped(), state=state) is progress


def test_fill__after_an_earlier_fill__goes_on_from_it_and_not_from_the_chain() -> None:
    at = slot()
    real = position(perp(1_900))
    shot = replace(world(perp(1_900))[0], positions=(real,))
    start = Shadow(id=real.id, collateral={USDC.address: 2_000 * 10**6}, debt={})
    first = fill(at, (TOP_UP,), BLOCK, shot, start)
    second = fill(at, (PART,), BLOCK, shot, first)
    third = fill(at, (PART,), BLOCK, shot, second)
    assert first.collateral[USDC.address] == 2_500 * 10**6
    assert [s.debt["size"] // USD for s in (first, second, third)] == [20_000, 18_000, 16_000]
    # a tenth of a loss of 1,000 and a fee of 1.20 for every 2,000 that is closed
    assert [s.collateral[USDC.address] // 10**4 for s in (second, third)] == [239_879, 229_759]


@pytest.mark.parametrize("long", [True, False])
def test_fill__the_chains_own_position_was_liquidated__the_shadow_goes_on_at_the_worst_price(
    long: bool,
) -> None:
    shot = replace(world(perp(1_900))[0], positions=(closed(position(perp(1_900, long))),))
    start = Shadow(
        id=shot.positions[0].id,
        collateral={USDC.address: 2_000 * 10**6},
        debt={"size": 20_000 * USD, "tokens": 10 * 10**18},
    )
    part = replace(PART, worst_price=(1_800 if long else 2_200) * 10**12)
    after = fill(slot(long), (TOP_UP, part), BLOCK, shot, start)
    # a tenth closed 200 dollars a token worse than it was opened
    assert after.collateral == {USDC.address: 2_300 * 10**6}
    assert after.debt == {"size": 18_000 * USD, "tokens": 9 * 10**18}
