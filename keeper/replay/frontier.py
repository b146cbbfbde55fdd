"""A keeper's frontier: what each trigger and target costs, how many it leaves to liquidators, and its margin.

Walk-forward: what is chosen is chosen on the past alone and judged on what came after. The tail margin of a voyage
is the largest further fall of the market, in one update, that 95 % of the accounts at risk survive at their worst
moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keeper.replay.run import Voyage

TAIL = 0.05
AT_RISK = 0.10
"""An account is at risk when a further fall of a tenth would have liquidated it, nobody acting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One setting of a keeper on one history, USD."""

    trigger: float
    target: float
    liquidated: int
    whole_usd: float
    """Everything that owners paid: to liquidators, for impact, fees and gas."""
    lost_usd: float
    acts: int
    gap: float
    """The tail margin; NaN without accounts at risk."""
    gap_median: float
    gap_least: float


Sail = Callable[[float, float], Voyage]
"""A voyage at (trigger, target)."""


def at_risk(nobody: Voyage) -> frozenset[str]:
    """Accounts by whose margins a keeper is judged."""
    return frozenset(t.name for t in nobody.trips if t.gap < AT_RISK)


def point(sailed: Voyage, levels: tuple[float, float], risk: frozenset[str]) -> Point:
    """What one voyage comes to."""
    gaps = np.array([t.gap for t in sailed.trips if t.name in risk])
    tail, middle, least = (
        (float(np.quantile(gaps, TAIL)), float(np.median(gaps)), float(gaps.min()))
        if len(gaps)
        else (math.nan, math.nan, math.nan)
    )
    return Point(
        trigger=levels[0],
        target=levels[1],
        liquidated=sailed.liquidated,
        whole_usd=sailed.lost_usd + sailed.cost_usd,
        lost_usd=sailed.lost_usd,
        acts=sum(t.acts for t in sailed.trips),
        gap=tail,
        gap_median=middle,
        gap_least=least,
    )


def grid(triggers: Iterable[float], widths: Iterable[float]) -> tuple[tuple[float, float], ...]:
    """(trigger, target) for each trigger and each distance above it."""
    steps = tuple(widths)
    return tuple((round(t, 6), round(t + w, 6)) for t in triggers for w in steps)


def swept(
    sail: Sail, levels: Sequence[tuple[float, float]], risk: frozenset[str], done: Callable[[Point], None]
) -> tuple[Point, ...]:
    """A point for each setting; ``done`` hears of each."""
    points = []
    for trigger, target in levels:
        found = point(sail(trigger, target), (trigger, target), risk)
        points.append(found)
        done(found)
    return tuple(points)


def efficient(points: Sequence[Point]) -> tuple[Point, ...]:
    """Those that no other beats in liquidations without costing as much, the fewest liquidations first."""
    ordered = sorted(points, key=lambda p: (p.liquidated, p.whole_usd, -_known(p.gap)))
    kept: list[Point] = []
    for p in ordered:
        if not kept or p.whole_usd < min(k.whole_usd for k in kept):
            kept.append(p)
    return tuple(kept)


def best(points: Sequence[Point], liquidated_max: int, gap_least: float) -> Point | None:
    """The cheapest that leaves no more to liquidators and keeps at least that margin."""
    good = [p for p in points if p.liquidated <= liquidated_max and _known(p.gap) >= gap_least]
    return min(good, key=lambda p: p.whole_usd, default=None)


def at_margin(points: Sequence[Point], gap: float) -> float:
    """What is paid at a tail margin of ``gap``, USD, by the lower hull of cost over margin: the cheapest setting that
    keeps it, or less between one below and one above. +inf where none keeps it; the cheapest of all where it is NaN.
    """
    if math.isnan(gap):
        return min((p.whole_usd for p in points), default=math.inf)
    above = [(_known(p.gap), p.whole_usd) for p in points if _known(p.gap) >= gap]
    below = [(_known(p.gap), p.whole_usd) for p in points if _known(p.gap) < gap]
    least = min((usd for _, usd in above), default=math.inf)
    for high, dear in above:
        for low, cheap in below:
            share = (gap - low) / (high - low)
            least = min(least, cheap + share * (dear - cheap))
    return least


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """One fold: chosen on ``trained``, judged on ``tested``."""

    trained: tuple[str, ...]
    tested: str
    chosen: Point
    """As it was on the test."""
    hindsight: Point
    """The best of the test itself."""


def walk(histories: Mapping[str, Sequence[Point]]) -> tuple[Forward, ...]:
    """Each history, in order, judged with the setting that would have been chosen on those before it: the fewest
    liquidations, then the least paid. The same settings in each."""
    names = list(histories)
    folds = []
    for n in range(1, len(names)):
        past = names[:n]
        totals = {
            (p.trigger, p.target): (
                sum(_at(histories[h], p).liquidated for h in past),
                sum(_at(histories[h], p).whole_usd for h in past),
            )
            for p in histories[names[n]]
        }
        chosen = min(totals, key=lambda k: totals[k])
        tests = histories[names[n]]
        folds.append(
            Forward(
                trained=tuple(past),
                tested=names[n],
                chosen=next(p for p in tests if (p.trigger, p.target) == chosen),
                hindsight=min(tests, key=lambda p: (p.liquidated, p.whole_usd)),
            )
        )
    return tuple(folds)


def _at(points: Sequence[Point], like: Point) -> Point:
    return next(p for p in points if (p.trigger, p.target) == (like.trigger, like.target))


def _known(gap: float) -> float:
    return gap if math.isfinite(gap) else 1.0
