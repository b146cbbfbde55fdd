"""A drill as one HTML file that needs nothing else: verdict, health over the blocks, both runs, what was made up."""

from __future__ import annotations

import math
from html import escape

from anvil.drill.outcome import HEADERS, Outcome, health_text, marks, rows, said
from anvil.drill.play import Run

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 340, 56, 20, 16, 44
HEALTH_TOP = 3.0
"""Health above, or none for want of debt, is drawn at the edge: what matters lies near 1."""
ALONE, GUARDED = "#D55E00", "#0072B2"
"""Okabe and Ito (2008): told apart by every kind of colour blindness; the lines differ by dash as well."""
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:900px;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.4rem;margin-bottom:.2rem} .verdict{font-weight:700;padding:.6rem .8rem;border-left:6px solid}
.ok{border-color:#009E73;background:#eef8f4} .bad{border-color:#D55E00;background:#fdf1ea}
table{border-collapse:collapse;width:100%;margin:1rem 0;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.35rem .5rem;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}
.id{overflow-wrap:anywhere;color:#555;font-size:.9rem} svg{max-width:100%;height:auto} li{margin:.2rem 0}
""".strip()


def html(found: Outcome) -> str:
    """The whole page."""
    head = "".join(f"<th>{escape(h)}</th>" for h in HEADERS)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows(found))
    *lines, verdict = said(found)
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Drill: {escape(found.shock)}</title><style>{_STYLE}</style></head><body>
<h1>Drill: {escape(found.shock)}</h1>
<p class="id">{escape(found.account)} on {escape(found.venue)}</p>
<p class="verdict {"ok" if found.passed else "bad"}">{escape(verdict[:1].upper() + verdict[1:])}</p>
{chart(found)}
<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>
<ul>{listed}</ul>
<p class="id">Run on a local fork with a throwaway key: nothing was sent to the chain.</p>
</body></html>
"""


def chart(found: Outcome) -> str:
    """Health over the blocks of both runs, as SVG."""
    values = [m.health for run in (found.alone, found.guarded) for m in run.moments if m.health < HEALTH_TOP]
    low, high = min(0.9, *values) - 0.03, max(1.1, *values) + 0.05
    first = min(m.block for r in (found.alone, found.guarded) for m in r.moments)
    last = max(m.block for r in (found.alone, found.guarded) for m in r.moments)
    scale = _Scale(first, max(last, first + 1), low, high)
    grid = "".join(_tick(scale, y) for y in _ticks(low, high))
    one = scale.y(1.0)
    danger = (
        f'<rect x="{LEFT}" y="{one:.1f}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - BOTTOM - one:.1f}" '
        'fill="#D55E00" fill-opacity=".10"/>'
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{one:.1f}" y2="{one:.1f}" stroke="#000" stroke-width="1.2"/>'
        f'<text x="{WIDTH - RIGHT - 4}" y="{one + 15:.1f}" text-anchor="end" font-size="12">'
        "liquidatable below 1</text>"
    )
    lines = _line(scale, found.alone, ALONE, "6 4") + _line(scale, found.guarded, GUARDED, "")
    label = f"Health by block under {found.shock}: without a keeper and with it"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}" '
        'font-family="system-ui,sans-serif">'
        f"{grid}{danger}{lines}{_legend()}"
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle" font-size="13">'
        f"blocks after {first}</text>"
        f'<text x="14" y="{HEIGHT / 2:.0f}" font-size="13" text-anchor="middle" '
        f'transform="rotate(-90 14 {HEIGHT / 2:.0f})">health factor</text></svg>'
    )


class _Scale:
    """Blocks and health to pixels."""

    def __init__(self, first: int, last: int, low: float, high: float) -> None:
        self.first, self.last, self.low, self.high = first, last, low, high

    def x(self, block: int) -> float:
        """Pixels from the left."""
        return LEFT + (block - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

    def y(self, health: float) -> float:
        """Pixels from the top."""
        share = (min(health, self.high) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _line(scale: _Scale, run: Run, colour: str, dash: str) -> str:
    points = " ".join(f"{scale.x(m.block):.1f},{scale.y(m.health):.1f}" for m in run.moments)
    style = f'stroke="{colour}" stroke-width="2.2" stroke-dasharray="{dash}"'
    drawn = f'<polyline points="{points}" fill="none" {style}/>'
    for m, liquidated, sent in marks(run):
        x, y, told = scale.x(m.block), scale.y(m.health), f"block {m.block}, health {health_text(m.health)}"
        if liquidated:
            cross = f"M{x - 6:.1f} {y - 6:.1f}l12 12m0 -12l-12 12"
            drawn += f'<path d="{cross}" stroke="{colour}" stroke-width="3"><title>liquidated, {told}</title></path>'
        elif sent:
            drawn += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"><title>rescue, {told}</title></circle>'
    return drawn


def _legend() -> str:
    rows_ = (
        (ALONE, "6 4", "without a keeper (x: liquidated)"),
        (GUARDED, "", "with the keeper (dot: it acted)"),
    )
    return "".join(
        f'<line x1="{LEFT + 12}" x2="{LEFT + 44}" y1="{TOP + 10 + 20 * i}" y2="{TOP + 10 + 20 * i}" '
        f'stroke="{colour}" stroke-width="2.2" stroke-dasharray="{dash}"/>'
        f'<text x="{LEFT + 52}" y="{TOP + 14 + 20 * i}" font-size="13">'
        f"{text}</text>"
        for i, (colour, dash, text) in enumerate(rows_)
    )


def _tick(scale: _Scale, health: float) -> str:
    y = scale.y(health)
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" font-size="12">{health:g}</text>'
    )


def _ticks(low: float, high: float) -> list[float]:
    step = next(s for s in (0.02, 0.05, 0.1, 0.25, 0.5, 1.0) if (high - low) / s <= 8)
    first = math.ceil(low / step)
    return [round(i * step, 4) for i in range(first, math.floor(high / step) + 1)]
