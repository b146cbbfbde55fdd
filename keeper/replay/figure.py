"""One account's replay as one picture: a price by its feed above, health under each keeper below.

A file of SVG of its own, light or dark as its reader's screen is; keepers differ by dash as well as by colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np

from keeper.replay import page, plots
from keeper.replay.paths import Paths
from keeper.replay.run import Trip
from keeper.risk.book import Floats, Ints

BUCKETS = 120
"""Of the run's moments: of each the first, and where any health and the price are lowest and highest."""
HEAD, PRICE, HEALTH, FOOT = 66.0, 150.0, 250.0, 18.0
STYLES = ("nobody", "beside", "ours")
HEALTH_TOP = 2.6
"""Health above it, or above twice the highest level, is drawn at the edge: what matters lies near 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One keeper's trip and how it is named; ``style``: one of ``STYLES``."""

    name: str
    style: str
    trip: Trip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What is drawn. ``asset``: whose price; ``levels``: (health, name) drawn across."""

    title: str
    paths: Paths
    asset: str
    curves: tuple[Curve, ...]
    levels: tuple[tuple[float, str], ...] = ()


def figure(sheet: Sheet) -> str:
    """The whole file."""
    tall = HEAD + PRICE + HEALTH + FOOT
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {plots.WIDTH:g} {tall:g}" role="img" '
        f'font-family="system-ui,sans-serif"><title>{escape(sheet.title)}</title><style>{STYLE}</style>',
        f'<rect class="sheet" width="{plots.WIDTH:g}" height="{tall:g}"/>',
        f'<text class="head" x="{plots.LEFT:g}" y="22">{escape(sheet.title)}</text>',
        *_legend(sheet.curves),
        *_moved(HEAD, _price(sheet)),
        *_moved(HEAD + PRICE, _health(sheet)),
        f'<text class="tick" x="{plots.WIDTH - plots.RIGHT:g}" y="{tall - 8:g}" text-anchor="end">'
        "month-day hour, UTC; a line ends where nothing is at risk any more</text></svg>",
    ]
    return "\n".join(body) + "\n"


def moments(sheet: Sheet) -> Ints:
    """Which are drawn: no lowest and no highest of any curve is left out, nor what acts changed."""
    count = len(sheet.paths.bar)
    every = np.arange(count, dtype=np.int64)
    series = [page.health_at(c.trip, sheet.paths, every) for c in sheet.curves]
    series.append(_dollars(sheet)[1])
    found = {0, count - 1, *(at for c in sheet.curves for at, _ in c.trip.course)}
    found |= {max(0, at - 1) for c in sheet.curves for at, _ in c.trip.course}
    edges = np.linspace(0, count, min(BUCKETS, count) + 1).astype(np.int64)
    for first, last in pairwise(edges.tolist()):
        found.add(first)
        for values in series:
            part = values[first:last]
            if np.isfinite(part).any():
                found |= {int(first + np.nanargmin(part)), int(first + np.nanargmax(part))}
    return np.array(sorted(found), np.int64)


def _price(sheet: Sheet) -> list[str]:
    at, (said, every) = moments(sheet), _dollars(sheet)
    y = every[at]
    room = 0.06 * float(y.max() - y.min()) or 0.01 * float(y[0])
    frame = plots.Frame(
        x=_span(sheet), y=(float(y.min()) - room, float(y.max()) + room), tall=PRICE, dated=False
    )
    line = plots.Line(name=sheet.asset, style="price", y=y.tolist())
    return [_label(said), *plots.panel(_times(sheet, at).tolist(), (line,), frame)]


def _dollars(sheet: Sheet) -> tuple[str, Floats]:
    """What the upper panel says and draws: the feed's dollars, the market's where the feed stands at one dollar."""
    paths, name = sheet.paths, sheet.asset
    row = paths.row_of(name)
    if name in paths.quoted:
        return f"{name}, dollars on the market (its feed stands at one)", np.asarray(paths.market[row])
    return f"{name}, dollars by its feed", np.asarray(paths.said[row] * paths.usd[row])


def _health(sheet: Sheet) -> list[str]:
    at = moments(sheet)
    top, lines = max([HEALTH_TOP, *(2.0 * level for level, _ in sheet.levels)]), []
    for curve in sheet.curves:
        y = np.minimum(page.health_at(curve.trip, sheet.paths, at), top)
        acts, lost = (_placed(sheet, curve.trip, marks) for marks in page.happened(curve.trip))
        lines.append(plots.Line(name=curve.name, style=curve.style, y=y.tolist(), marks=acts, crosses=lost))
    known = [v for line in lines for v in line.y if math.isfinite(v)]
    low, high = min([0.9, *known]), max([1.3, *known])
    frame = plots.Frame(
        x=_span(sheet), y=(low - 0.03, high + 0.05), tall=HEALTH, levels=((1.0, "liquidation"), *sheet.levels)
    )
    named = _label("health factor by the venue's oracle")
    return [named, *plots.panel(_times(sheet, at).tolist(), lines, frame)]


def _placed(sheet: Sheet, trip: Trip, marks: page.Marks) -> page.Marks:
    """An event knows its bar alone; where its course tells the moment within the bar, the mark stands there."""
    at = np.array([at for at, _ in trip.course], np.int64)
    inside = dict(
        zip(sheet.paths.times_s[sheet.paths.bar[at]].tolist(), _times(sheet, at).tolist(), strict=True)
    )
    return tuple((inside.get(x, x), y, said) for x, y, said in marks)


def _times(sheet: Sheet, at: Ints) -> Floats:
    """A bar's moments share its time in events; in curves they are spread over it."""
    bar = sheet.paths.bar[at]
    inside = at - np.searchsorted(sheet.paths.bar, bar)
    return np.asarray(sheet.paths.times_s[bar] + sheet.paths.step_s * inside)


def _span(sheet: Sheet) -> tuple[float, float]:
    ends = _times(sheet, np.array([0, len(sheet.paths.bar) - 1], np.int64))
    return float(ends[0]), float(ends[1])


def _label(text: str) -> str:
    return f'<text class="label" x="{plots.LEFT:g}" y="4">{escape(text)}</text>'


def _moved(down: float, parts: Sequence[str]) -> list[str]:
    return [f'<g transform="translate(0,{down:g})">', *parts, "</g>"]


def _legend(curves: Sequence[Curve]) -> list[str]:
    """Names beside a piece of their line, then what the marks mean."""
    parts, x = list[str](), plots.LEFT
    for curve in curves:
        parts.append(f'<path class="line {curve.style}" d="M{x:g},40 h26"/>')
        parts.append(f'<text class="label" x="{x + 32:g}" y="44">{escape(curve.name)}</text>')
        x += 52.0 + 7.0 * len(curve.name)
    parts.append(f'<circle class="mark" cx="{x + 4:g}" cy="40" r="3.2"/>')
    parts.append(f'<text class="label" x="{x + 14:g}" y="44">act</text>')
    parts.append(f'<path class="cross" d="M{x + 48:g},35 l10,10 m0,-10 l-10,10"/>')
    parts.append(f'<text class="label" x="{x + 64:g}" y="44">liquidation</text>')
    return parts


STYLE = """
:root{--ink:#1d2330;--soft:#5b6475;--rule:#e4e7ec;--paper:#fff;--nobody:#7a818e;--beside:#b45309;--ours:#0b7a5c;
--price:#2467a8;--lost:#c8372d}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaf0;--soft:#a3acbb;--rule:#2b3240;--paper:#12161f;--nobody:#9aa3b2;
--beside:#f0a23b;--ours:#35c398;--price:#6fb1ea;--lost:#ef6b61}}
.sheet{fill:var(--paper)}.head{fill:var(--ink);font-size:15px;font-weight:600}.label{fill:var(--ink);font-size:12px}
.tick{fill:var(--soft);font-size:11px}.grid{stroke:var(--rule)}.level{stroke:var(--lost);stroke-dasharray:2 4}
.line{fill:none;stroke:currentColor;stroke-width:1.8;stroke-linejoin:round}
.mark{fill:currentColor;stroke:var(--paper);color:var(--ink)}
.cross{fill:none;stroke:currentColor;stroke-width:2.4;color:var(--ink)}
.nobody{color:var(--nobody)}.beside{color:var(--beside)}.ours{color:var(--ours)}.price{color:var(--price)}
.line.nobody{stroke-dasharray:2 3}.line.beside{stroke-dasharray:8 3}
"""
