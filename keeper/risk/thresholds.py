"""Where one price, the others held, brings health to any given level (liquidation is the level 1)."""

from __future__ import annotations

from collections.abc import Mapping

from keeper.model import BookRow


def price_at_health(row: BookRow, prices: Mapping[str, float], feed: str, health: float) -> float | None:
    """The positive price of ``feed`` at which assets = health x requirement; None where there is none.

    assets - h * requirement is affine in one price p: (a_k - h b_k) p + rest = 0, hence p = -rest / slope.
    """
    slope = rest = 0.0
    for name, a, b in zip(row.feeds, row.a, row.b, strict=True):
        weight = a - health * b
        if name == feed:
            slope += weight
        else:
            rest += weight * prices[name]
    rest += row.a0 - health * row.b0
    if slope == 0.0:
        return None
    price = -rest / slope
    return price if price > 0.0 else None
