"""Two steps: the transaction creates an order, the venue's keeper executes it later, or does not. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.model import (
    AddMargin,
    CancelOrder,
    GrowPerp,
    Intent,
    IntentState,
    PlaceStop,
    Position,
    ReducePerp,
    Snapshot,
    Step,
)
from keeper.seams import Effect, Progress
from keeper.units import BPS, decimal_text, mul_div_up


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
    """Whether a position without an order that waits carries what the order was for.

    By the second that the venue stores with each change: health moves with the price, and proves nothing.
    """
    assert position.perp is not None
    since_s, perp = intent.plan.block.timestamp_s, position.perp
    changed_s = perp.decreased_s if isinstance(step, ReducePerp) else perp.increased_s
    if isinstance(step, AddMargin | GrowPerp | ReducePerp) and changed_s < since_s:
        what = "nothing of it was closed" if isinstance(step, ReducePerp) else "nothing was added to it"
        return _is(Progress.FAILED, f"no order waits, and {what} since the plan: it was not executed")
    return _is(Progress.DONE, f"no order waits, and the position is at block {position.block_number}")


def _rests(step: PlaceStop | CancelOrder, position: Position) -> Effect:
    orders = position.perp.orders if position.perp is not None else ()
    if isinstance(step, CancelOrder):
        gone = all(o.key != step.order for o in orders)
        return _is(
            Progress.DONE if gone else Progress.PENDING, "taken back" if gone else "the order is still there"
        )
    if position.perp is None:
        return _is(Progress.DONE, "the position is closed, and its stop with it")
    there = any(o.resting for o in orders)
    return _is(Progress.DONE if there else Progress.FAILED, "the stop rests" if there else "no stop rests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The position as it stood while the order waited: only the venue's keepers move it then."""

    size_usd: int
    margin: int
    owed: int
    """Collateral units, that an increase or a reduction takes out of the margin besides."""


SPARE_BPS = 100
"""What borrowing and funding may take beyond what was owed while the order waited, of what was added."""


def missed(step: Step, before: Before, position: Position) -> str:
    """How an executed order fell short of what it was for, by the position's own integers; empty where it did not."""
    perp = position.perp
    if perp is None:
        return "" if not isinstance(step, AddMargin) else "the position is closed: its margin went with it"
    if isinstance(step, AddMargin):
        least = before.margin + step.amount.units - 2 * before.owed
        least -= mul_div_up(step.amount.units, SPARE_BPS, BPS)
        if perp.margin >= least:
            return ""
        return f"its margin is {perp.margin} units, not the {least} that were promised at the least"
    if isinstance(step, GrowPerp):
        wanted = before.size_usd + step.size_usd
        shown = [decimal_text(n // 10**24, 6) for n in (perp.size_usd, wanted)]
        return "" if perp.size_usd >= wanted else f"its size is {shown[0]} USD, not the {shown[1]} ordered"
    if isinstance(step, ReducePerp | PlaceStop):
        most = max(before.size_usd - step.size_usd, 0)
        if perp.size_usd <= most:
            return ""
        shown = [decimal_text(n // 10**24, 6) for n in (perp.size_usd, most)]
        return f"its size is {shown[0]} USD, not the {shown[1]} that were promised at the most"
    return ""


def _is(progress: Progress, why: str) -> Effect:
    return Effect(progress=progress, why=why)
