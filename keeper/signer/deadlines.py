"""Until when an order is good, by the signer's own clock: old bytes must not be good for ever. Pure."""

from __future__ import annotations

from keeper.executor import perp_bounded
from keeper.executor.abi import ADD_COLLATERAL, DELEVERAGE, REPAY_FROM_RESERVE
from keeper.signer.orders import paid_by, sold_by

AHEAD_S = 3_600
"""Orders are made for three to five minutes; the rest is room for a clock that is wrong, because refusing a rescue
for it would be worse. An order that is too old is no matter of the signer's: the Executor refuses it."""


def refuses(data: bytes, now_s: float) -> str | None:
    """Why an order would be good for too long, or None: also of whatever has no deadline."""
    until_s = _deadline_s(data)
    if until_s is None or until_s <= now_s + AHEAD_S:
        return None
    late = f"deadline {until_s} is {until_s - int(now_s)} s ahead of the signer's clock, {AHEAD_S} at most"
    return f"{late}: is that clock right?"


def _deadline_s(data: bytes) -> int | None:
    """Unix seconds; None of what an Executor is not asked, or what does not decode."""
    if data[:4] == DELEVERAGE:
        order = sold_by(data)
        return None if isinstance(order, str) else order.deadline_s
    if data[:4] in (ADD_COLLATERAL, REPAY_FROM_RESERVE):
        paid = paid_by(data)
        return None if isinstance(paid, str) else paid[4]
    if data[:4] in (perp_bounded.ADD, perp_bounded.REDUCE):
        bounded = perp_bounded.order_from(data)
        return None if isinstance(bounded, str) else bounded.deadline_s
    return None
