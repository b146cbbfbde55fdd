"""Plain SVG of a ladder (health of each position) and of a two-factor grid (lowest health); no library
needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.risk.portfolio import ShockResult

_COLOURS = ("#1b6ca8", "#c0392b", "#27824d", "#8e44ad", "#b9770e", "#117a8b", "#566573", "#a04000")
_TOP = 3.0
"""Health above this is drawn at the edge: what matters lies near 1."""


def lines(names: Sequence[str], found: Sequence[ShockResult]) -> str:
    """One line a position over the shocks in their order; the dashed line is health 1."""
    width, height, left = 760, 380, 60
    step = (width - left - 20) / max(1, len(found) - 1)

    def y(h: float) -> float:
        return 20 + (height - 80) * (1 - min(max(h, 0.0), _TOP) / _TOP)

    parts = [_text(8, y(v) + 4, f"{v:g}") for v in (0, 1, 2, 3)]
    parts.append(
        f'<path d="M{left} {y(1):.1f}H{width - 20}" stroke="#c0392b" stroke-dasharray="6 4" fill="none"/>'
    )
    for s, one in enumerate(found):
        if s % max(1, len(found) // 10) == 0:
            parts.append(_text(left + s * step - 20, height - 34, one.name.rsplit(" ", 2)[-2]))
    for u, name in enumerate(names):
        points = [
            f"{left + s * step:.1f},{y(h):.1f}"
            for s, h in enumerate(r.health[u] for r in found)
            if h is not None and math.isfinite(h)
        ]
        colour = _COLOURS[u % len(_COLOURS)]
        parts.append(
            f'<polyline points="{" ".join(points)}" stroke="{colour}" stroke-width="2" fill="none"/>'
        )
        if u < len(_COLOURS):
            parts.append(_text(left + 10 + 160 * (u % 4), height - 14 + 12 * (u // 4), name[:24], colour))
    return _page(width, height, parts)


def heat_map(found: Sequence[ShockResult], across: int) -> str:
    """Lowest health of the book in every cell: red below 1, grey where a position is unknown."""
    cell, left = 58, 20
    rows = len(found) // max(1, across)
    parts = []
    for n, one in enumerate(found):
        x, y = left + n % across * cell, 20 + n // across * cell
        worst = min((h for h in one.health if h is not None), default=_TOP)
        unknown = any(h is not None and math.isnan(h) for h in one.health)
        colour = "#999999" if unknown else _colour(worst)
        parts.append(
            f'<rect x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}" fill="{colour}">'
            f"<title>{escape(one.name)}</title></rect>"
        )
        parts.append(_text(x + 8, y + 33, "?" if unknown else f"{worst:.2f}"))
    return _page(left + across * cell + 20, 40 + rows * cell, parts)


def _colour(health: float) -> str:
    if health < 1.0:
        return "#e57373"
    share = min(1.0, (health - 1.0) / 1.0)
    return f"rgb({int(255 - 110 * share)},{int(213 + 10 * share)},{int(128 + 20 * share)})"


def _text(x: float, y: float, text: str, colour: str = "#333333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}">{escape(text)}</text>'


def _page(width: int, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-size="12"'
    return (
        head
        + ' font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>'
        + "".join(parts)
        + "</svg>\n"
    )
