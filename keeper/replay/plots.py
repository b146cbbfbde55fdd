"""Plots as SVG text: no script, no font and no file from outside, colours that the page's own style sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from keeper.replay.bars import iso

WIDTH, HEIGHT = 720.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 14.0, 12.0, 34.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve: ``style`` is its class in the page's style sheet; NaN breaks it."""

    name: str
    style: str
    y: Sequence[float]
    marks: tuple[tuple[float, float, str], ...] = ()
    """(x, y, what happened) of points worth a circle."""
    crosses: tuple[tuple[float, float, str], ...] = ()
    """The same of what must not be taken for one of those: a cross."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the axes span, and lines drawn across at certain heights: (y, name)."""

    x: tuple[float, float]
    y: tuple[float, float]
    levels: tuple[tuple[float, str], ...] = ()
    of_time: bool = True
    unit: str = ""
    tall: float = HEIGHT
    dated: bool = True
    """Whether the times stand below; a panel above another one of the same times needs none."""

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies on the sheet."""
        spans = (self.x[1] - self.x[0] or 1.0, self.y[1] - self.y[0] or 1.0)
        across = LEFT + (x - self.x[0]) / spans[0] * (WIDTH - LEFT - RIGHT)
        return across, TOP + (self.y[1] - y) / spans[1] * (self.tall - TOP - BOTTOM)


def curves(x: Sequence[float], lines: Sequence[Line], frame: Frame) -> str:
    """Curves over time, with axes, levels and marks."""
    return _sheet(panel(x, lines, frame))


def panel(x: Sequence[float], lines: Sequence[Line], frame: Frame) -> list[str]:
    """The same as parts of a larger drawing."""
    parts = [*_axes(frame)]
    for line in lines:
        parts += [f'<path class="line {line.style}" d="{d}"/>' for d in _segments(x, line.y, frame)]
    for line in lines:
        for mx, my, said in line.marks:
            cx, cy = _within(mx, my, frame)
            parts.append(
                f'<circle class="mark {line.style}" cx="{cx:.1f}" cy="{cy:.1f}" r="3.2">'
                f"<title>{escape(said)}</title></circle>"
            )
        for mx, my, said in line.crosses:
            cx, cy = _within(mx, my, frame)
            parts.append(
                f'<path class="cross {line.style}" d="M{cx - 5:.1f},{cy - 5:.1f} l10,10 m0,-10 l-10,10">'
                f"<title>{escape(said)}</title></path>"
            )
    return parts


def scatter(
    points: Sequence[tuple[float, float, str, str]],
    chains: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    frame: Frame,
) -> str:
    """Points (x, y, style, what it is), and a line of each style through its chain."""
    parts = [*_axes(frame)]
    for style, chain in chains:
        x, y = [c[0] for c in chain], [c[1] for c in chain]
        parts += [f'<path class="line {style}" d="{d}"/>' for d in _segments(x, y, frame)]
    for px, py, style, said in points:
        cx, cy = frame.at(px, py)
        parts.append(
            f'<circle class="dot {style}" cx="{cx:.1f}" cy="{cy:.1f}" r="4"><title>{escape(said)}</title></circle>'
        )
    return _sheet(parts)


def stacks(names: Sequence[str], layers: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Horizontal bars, one a name, of stacked layers (style, a value a name); the sum stands at the end."""
    sums = [sum(values[n] for _, values in layers) for n in range(len(names))]
    most = max([*sums, 1.0])
    tall = 30.0
    height = tall * len(names) + 8.0
    parts = []
    for n, name in enumerate(names):
        y, x = 4.0 + tall * n, 110.0
        parts.append(f'<text class="label" x="102" y="{y + 18:.1f}" text-anchor="end">{escape(name)}</text>')
        for style, values in layers:
            wide = max(0.0, values[n]) / most * (WIDTH - 110.0 - 120.0)
            said = f"{name}: {style} {values[n]:,.0f} USD"
            parts.append(
                f'<rect class="bar {style}" x="{x:.1f}" y="{y + 4:.1f}" width="{wide:.1f}" height="20">'
                f"<title>{escape(said)}</title></rect>"
            )
            x += wide
        parts.append(f'<text class="tick" x="{x + 6:.1f}" y="{y + 18:.1f}">{sums[n]:,.0f}</text>')
    return f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img">{"".join(parts)}</svg>'


def _within(x: float, y: float, frame: Frame) -> tuple[float, float]:
    return frame.at(x, min(max(y, frame.y[0]), frame.y[1]))


def _segments(x: Sequence[float], y: Sequence[float], frame: Frame) -> list[str]:
    found: list[list[str]] = [[]]
    for a, b in zip(x, y, strict=True):
        if not math.isfinite(b):
            found.append([])
            continue
        px, py = frame.at(a, min(max(b, frame.y[0]), frame.y[1]))
        found[-1].append(f"{'L' if found[-1] else 'M'}{px:.1f},{py:.1f}")
    return [" ".join(s) for s in found if len(s) > 1]


def _axes(frame: Frame) -> list[str]:
    parts = []
    for tick in steps(*frame.y):
        _, y = frame.at(frame.x[0], tick)
        parts.append(f'<line class="grid" x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6:g}" y="{y + 4:.1f}" text-anchor="end">{tick:,g}{frame.unit}</text>'
        )
    for value, name in frame.levels:
        if not frame.y[0] <= value <= frame.y[1]:
            continue
        _, y = frame.at(frame.x[0], value)
        parts.append(f'<line class="level" x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{WIDTH - RIGHT:g}" y="{y - 4:.1f}" text-anchor="end">{escape(name)}</text>'
        )
    if frame.of_time and not frame.dated:
        return parts
    for tick in hours(*frame.x) if frame.of_time else steps(*frame.x):
        x, _ = frame.at(tick, frame.y[0])
        said = iso(tick)[5:] if frame.of_time else f"{tick:g}"
        anchor = "end" if frame.of_time and x > WIDTH - RIGHT - ROOM else "middle"
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{frame.tall - 10:g}" text-anchor="{anchor}">{said}</text>'
        )
    return parts


HOUR_S = 3_600.0
ROOM = 32.0
"""Half a date's width."""
HOURS = (0.25, 1, 3, 6, 12, 24, 48, 72, 120, 168, 336, 720, 1440, 2160, 4320, 8760)


def hours(first_s: float, last_s: float) -> list[float]:
    """Round times from first to last, at most seven; both ends where the span holds no two."""
    step = next(
        (h * HOUR_S for h in HOURS if (last_s - first_s) / (h * HOUR_S) <= 6.0), last_s - first_s or 1.0
    )
    begin = math.ceil(first_s / step)
    found = [n * step for n in range(begin, math.floor(last_s / step) + 1)]
    return found if len(found) > 1 else [first_s, last_s]


def steps(low: float, high: float) -> list[float]:
    """Round numbers from low to high, about five."""
    span = high - low
    if not span > 0.0 or not math.isfinite(span):
        return [low]
    rough = span / 5.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if unit * m >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _sheet(parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img">{"".join(parts)}</svg>'
