"""The liquidation map of a book: a table with bars for a terminal, an SVG or a page for a browser, JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from keeper.cli import subject

if TYPE_CHECKING:
    from keeper.risk.heat import Band, Heat, Place

LABELS = 12
"""Sizes named under the drawing."""
BAR = 24
"""Characters of the longest bar."""
PARTS = " ▏▎▍▌▋▊▉█"
WIDTH, LEFT, RIGHT, ROW, CURVE, TOP = 900, 84, 24, 30, 260, 44
SHADES = ("#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b")
"""ColorBrewer Blues: light to dark, so that it holds in grey as well."""
DEBT, END, MINE = "#0072B2", "#D55E00", "#009E73"
HEADERS = ("move", "price", "liquidatable", "debt USD", "", "branching", "amplified", "price at the end")


def rows(found: Heat) -> list[tuple[str, ...]]:
    """The table, a bar for what is owed by all who are liquidatable at a size."""
    most = max((b.debt_usd for b in found.bands), default=0.0)
    return [
        (
            move(found, b.size),
            f"{found.price_at(b.size):,.6g}",
            f"{b.liquidatable:,}",
            f"{b.debt_usd:,.0f}",
            bar(b.debt_usd / most if most else 0.0),
            f"{b.branching:.2f}" + ("  UNSTABLE" if b.branching >= 1.0 else ""),
            f"{b.amplification:.2f}x" + ("" if b.settled else " or more"),
            f"{found.price_at(b.end):,.6g}",
        )
        for b in found.bands
    ]


def bar(share: float) -> str:
    """A bar of up to BAR characters, in eighths."""
    eighths = round(max(0.0, min(1.0, share)) * BAR * 8)
    return "█" * (eighths // 8) + (PARTS[eighths % 8] if eighths % 8 else "")


def said(found: Heat, mine: Sequence[str]) -> list[str]:
    """What the table does not hold."""
    lines = [f"of {len(found.queue)} positions that owe; moves and prices are of {found.driver}"]
    if found.unstable is None:
        lines.append("the branching ratio stays below 1: falls of these sizes end by themselves")
    else:
        price = f"{found.driver} at {found.price_at(found.unstable):,.6g}"
        lines.append(
            f"unstable from {move(found, found.unstable)} on ({price}): there a sale brings about as much again"
        )
    lines += [_place(found, p) for p in found.queue if p.name in mine]
    known = {p.name for p in found.queue}
    lines += [f"{name}: owes nothing here, it stands in no queue" for name in mine if name not in known]
    if found.left_out:
        some = "; ".join(f"{subject.cut(n, subject.NAME_MAX)}: {why}" for n, why in found.left_out[:3])
        lines.append(f"left out {len(found.left_out)}, of which {found.unknown} could not be judged: {some}")
    return lines


def move(found: Heat, size: float) -> str:
    """A size as the move that it is."""
    return f"+{size / (1.0 - size):.1%}" if found.rises else f"-{size:.1%}"


def document(found: Heat, mine: Sequence[str]) -> dict[str, object]:
    """The map as JSON."""
    return {
        "of": found.driver,
        "rises": found.rises,
        "price": found.price,
        "unstable_at": found.unstable,
        "unstable_price": None if found.unstable is None else found.price_at(found.unstable),
        "bands": [_band(found, b) for b in found.bands],
        "queue": [_queued(p) for p in found.queue],
        "mine": [_queued(p) for p in found.queue if p.name in mine],
        "left_out": [{"name": n, "why": w} for n, w in found.left_out],
        "unknown": found.unknown,
    }


def write(path: Path, found: Heat, mine: Sequence[str], title: str) -> None:
    """``.svg``, or ``.html`` that needs nothing else. Raises OSError."""
    drawing = svg(found, mine, title)
    if path.suffix == ".svg":
        path.write_text(drawing, encoding="utf-8")
        return
    listed = "".join(f"<li>{escape(line)}</li>" for line in said(found, mine))
    head = "".join(f"<th>{escape(h)}</th>" for h in HEADERS)
    cells = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows(found))
    style = (
        "body{font:16px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
        "svg{max-width:100%;height:auto}h1{font-size:1.3rem}table{border-collapse:collapse;display:block;"
        "overflow-x:auto;font-variant-numeric:tabular-nums}"
        "td,th{padding:.2rem .5rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}"
        "td:nth-child(5){text-align:left;color:#0072B2}"
    )
    path.write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style></head><body><h1>{escape(title)}</h1>{drawing}<ul>{listed}</ul>"
        f"<table><tr>{head}</tr>{cells}</table></body></html>\n",
        encoding="utf-8",
    )


def svg(found: Heat, mine: Sequence[str], title: str) -> str:
    """Above: collateral by asset and by the size at which it becomes liquidatable. Below: what is owed in all, where
    each fall ends, where it runs away, and our own place.
    """
    symbols = list(dict.fromkeys(s for b in found.bands for s, _ in b.new_collateral_usd))
    map_height = ROW * max(1, len(symbols))
    height = TOP + map_height + 40 + CURVE + 48
    most = max((usd for b in found.bands for _, usd in b.new_collateral_usd), default=0.0)
    step = (WIDTH - LEFT - RIGHT) / max(1, len(found.bands))
    body = [f'<text x="{LEFT}" y="20" font-size="14" font-weight="600">{escape(title)}</text>']
    body.append(
        f'<text x="{LEFT}" y="38" font-size="12" fill="#555">collateral that becomes liquidatable in each step</text>'
    )
    for i, symbol in enumerate(symbols):
        y = TOP + ROW * i
        body.append(
            f'<text x="{LEFT - 8}" y="{y + 20}" text-anchor="end" font-size="13">{escape(symbol)}</text>'
        )
        for k, band in enumerate(found.bands):
            usd = dict(band.new_collateral_usd).get(symbol, 0.0)
            body.append(_cell((LEFT + step * k, y, step), usd, most, f"{symbol} {move(found, band.size)}"))
    body.append(_curve(found, mine, TOP + map_height + 40))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui,sans-serif">{"".join(body)}</svg>'
    )


def _cell(at: tuple[float, float, float], usd: float, most: float, what: str) -> str:
    x, y, step = at
    shade = SHADES[0]
    if usd > 0.0 and most > 0.0:
        # by magnitude: three decades from the lightest to the darkest
        share = max(0.0, 1.0 + math.log10(usd / most) / 3.0)
        shade = SHADES[1 + round(share * (len(SHADES) - 2))]
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{step:.1f}" height="{ROW - 2}" fill="{shade}" stroke="#fff">'
        f"<title>{escape(what)}: {usd:,.0f} USD</title></rect>"
    )


def _curve(found: Heat, mine: Sequence[str], top: float) -> str:
    """Cumulative debt by size, a bar of the fixed point's fall, and the marks."""
    bottom = top + CURVE
    most = max((b.debt_usd for b in found.bands), default=0.0) or 1.0
    last = found.bands[-1].size if found.bands else 1.0

    def x(size: float) -> float:
        # bands are even in size, so that both pictures share one axis
        return LEFT + min(size / last, 1.0) * (WIDTH - LEFT - RIGHT)

    def y(usd: float) -> float:
        return bottom - usd / most * (CURVE - 24)

    points = " ".join(f"{x(b.size):.1f},{y(b.debt_usd):.1f}" for b in found.bands)
    parts = [
        f'<text x="{LEFT}" y="{top - 6}" font-size="12" fill="#555">owed by all who are liquidatable (line); '
        "where the fall ends after selling (ticks below)</text>",
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}" stroke="#000"/>',
        f'<polyline points="{LEFT},{bottom} {points}" fill="none" stroke="{DEBT}" stroke-width="2.2"/>',
        f'<text x="{LEFT - 8}" y="{y(most) + 4:.1f}" text-anchor="end" font-size="12">{_short(most)}</text>',
        f'<text x="{LEFT - 8}" y="{bottom + 4}" text-anchor="end" font-size="12">0</text>',
    ]
    every = math.ceil(len(found.bands) / LABELS)
    for i, b in enumerate(found.bands, 1):
        if i % every == 0:
            parts.append(
                f'<text x="{x(b.size):.1f}" y="{bottom + 16}" text-anchor="end" font-size="11">'
                f"{move(found, b.size)}</text>"
            )
        parts.append(
            f'<line x1="{x(b.size):.1f}" x2="{x(b.end):.1f}" y1="{bottom + 26}" y2="{bottom + 26}" stroke="{END}" '
            f'stroke-width="3" stroke-opacity=".55"><title>{move(found, b.size)} ends at {move(found, b.end)}, '
            f"branching {b.branching:.2f}</title></line>"
        )
    if found.unstable is not None:
        parts.append(_mark(x(found.unstable), (top, bottom), END, "unstable"))
    for place in found.queue:
        if place.name in mine and place.size is not None and place.size <= last:
            parts.append(_mark(x(place.size), (top + 18, bottom), MINE, subject.cut(place.name, 16)))
    return "".join(parts)


def _mark(x: float, span: tuple[float, float], colour: str, text: str) -> str:
    top, bottom = span
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="{colour}" stroke-width="2" '
        f'stroke-dasharray="5 4"/><text x="{x + 4:.1f}" y="{top + 12}" font-size="12" fill="{colour}">'
        f"{escape(text)}</text>"
    )


def _short(usd: float) -> str:
    for unit, name in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if usd >= unit:
            return f"{usd / unit:.3g} {name}"
    return f"{usd:.3g}"


def _place(found: Heat, place: Place) -> str:
    name = subject.cut(place.name, subject.NAME_MAX)
    if place.size is None:
        return f"{name}: not liquidatable within these moves"
    return (
        f"{name}: place {place.rank:,} of {len(found.queue):,}, at {move(found, place.size)} ({found.driver} at "
        f"{found.price_at(place.size):,.6g}); {place.ahead_usd:,.0f} USD of debt come before it"
    )


def _band(found: Heat, b: Band) -> dict[str, object]:
    return {
        "size": b.size,
        "price": found.price_at(b.size),
        "liquidatable": b.liquidatable,
        "debt_usd": b.debt_usd,
        "collateral_usd": b.collateral_usd,
        "new_collateral_usd": dict(b.new_collateral_usd),
        "branching": subject.number(b.branching),
        "amplification": subject.number(b.amplification),
        "end": subject.number(b.end),
        "repaid_usd": b.repaid_usd,
        "bad_debt_usd": b.bad_debt_usd,
        "settled": b.settled,
    }


def _queued(p: Place) -> dict[str, object]:
    return {"name": p.name, "size": p.size, "rank": p.rank, "ahead_usd": p.ahead_usd}
