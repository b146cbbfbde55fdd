"""Two steps: the transaction creates an order, the venue's keeper executes it later, or does not. Pure."""

from __future__ import annotations

from keeper.model import (
    AddMargin,
    CancelOrder,
    Intent,
    IntentState,
    PlaceStop,
    Position,
    ReducePerp,
    Snapshot,
)
from keeper.seams import Effect, Progress


def effect(intent: Intent, snapshot: Snapshot) -> Effect:
    """What the venue shows of an intent: PENDING while its order waits, DONE when the position carries it.

    The venue's log says in words how an order ended; this says from the position alone whether it had its effect.
    """
    if intent.state in (IntentState.REVERTED, IntentState.EXPIRED, IntentState.CANCELLED):
        return _is(Progress.FAILED, f"the transaction ended {intent.state}")
    if intent.state not in (IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL):
        return _is(Progress.PENDING, f"the transaction is {intent.state}")
    if snapshot.block.number <= intent.plan.block.number:
        return _is(Progress.PENDING, f"block {snapshot.block.number} is not newer than the plan's")
    position = snapshot.position(intent.key.position)
    if position is None:
        return _is(Progress.PENDING, f"the position cannot be read at block {snapshot.block.number}")
    step = intent.plan.steps[0] if intent.plan.steps else None
    if isinstance(step, PlaceStop | CancelOrder):
        return _rests(step, position)
    if position.perp is not None and (waits := position.perp.pending) is not None:
        return _is(Progress.PENDING, f"order {waits.key} waits for the venue's keeper, {waits.age_s} s old")
    if position.perp is None:
        closes = isinstance(step, ReducePerp)
        why = "the position is closed" if closes else "the position was closed or liquidated before the order"
        return _is(Progress.DONE if closes else Progress.FAILED, why)
    return _shows(step, intent, position)


def _shows(step: object, intent: Intent, position: Position) -> Effect:
    """Whether a position without an order that waits carries what the order was for."""
    assert position.perp is not None
    before, now = intent.plan.health_before_wad or 0, position.health_wad or 0
    if (
        isinstance(step, AddMargin | ReducePerp)
        and now < intent.plan.bounds.health_after_min_wad
        and now <= before
    ):
        return _is(Progress.FAILED, "no order waits, and the position does not show it: it was not executed")
    return _is(Progress.DONE, f"no order waits, and the position is at block {position.block_number}")


def _rests(step: PlaceStop | CancelOrder, position: Position) -> Effect:
    orders = position.perp.orders if position.perp is not None else ()
    if isinstance(step, CancelOrder):
        gone = all(o.key != step.order for o in orders)
        return _is(
            Progress.DONE if gone else Progress.PENDING, "taken back" if gone else "the order is still there"
        )
    there = any(o.resting for o in orders)
    return _is(Progress.DONE if there else Progress.FAILED, "the stop rests" if there else "no stop rests")


def _is(progress: Progress, why: str) -> Effect:
    return Effect(progress=progress, why=why)
