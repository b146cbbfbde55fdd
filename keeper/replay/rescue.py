"""Who could have been rescued, by a rule that knows nothing of our planner, and the least that it would have cost.

An account is rescuable when it ends below 1 with nobody acting, and one sale, included at the last oracle update that
still left health at 1 or above, at that moment's gas and market, would have brought it to target. Gas is paid from
what the sale brings. The sale must have been sent one inclusion delay before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from keeper.replay.fleet import Account, Fleet
from keeper.replay.idle import book_of
from keeper.replay.market import Market
from keeper.replay.paths import Paths
from keeper.replay.policies import LEAST_USD, brings
from keeper.replay.run import Trip, Voyage
from keeper.replay.vessel import Vessel
from keeper.risk import screen
from keeper.risk.book import Ints

NEVER = "it stays above 1 by itself"
CANDIDATES = 64
"""Moments at which the clairvoyant looks for the cheapest time to act."""
ROUNDS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """What a clairvoyant could have done for one account."""

    name: str
    why: str
    """Empty: it was rescuable; else why it does not count."""
    moment: int
    """The last oracle update with health at 1 or above; -1 where it never crosses."""
    in_time: bool
    """Whether a sale that was only sent at that update would still have come before the crossing."""
    cost_usd: float
    """Of the rescue at that moment, gas included; NaN where none was possible."""
    bound_usd: float
    """The least that one sale at any of many moments before, or being liquidated, costs; 0 where it never crosses."""


def rescues(
    fleet: Fleet, paths: Paths, market: Market, target: Callable[[Account], float], nobody: Voyage
) -> tuple[Rescue, ...]:
    """Every account of the fleet; ``nobody`` is the voyage in which nobody acts, on the same market."""
    first = np.empty(len(fleet.accounts), np.int64)
    book = book_of(fleet.accounts, paths)
    screen.first_below(book, paths.said, np.zeros_like(first), np.ones(len(first)), first)
    lost = {t.name: t.lost_usd for t in nobody.trips}
    usd = nobody.usd
    return tuple(
        _rescue(Vessel(a, paths, usd), market, int(c), target(a), lost[a.name])
        for a, c in zip(fleet.accounts, first, strict=True)
    )


def _rescue(vessel: Vessel, market: Market, crossed: int, target: float, lost_usd: float) -> Rescue:
    if crossed >= len(vessel.paths.bar):
        return Rescue(name=vessel.name, why=NEVER, moment=-1, in_time=False, cost_usd=math.nan, bound_usd=0.0)
    if crossed == 0:
        why = "it is below 1 at the start"
        return Rescue(
            name=vessel.name, why=why, moment=-1, in_time=False, cost_usd=math.nan, bound_usd=lost_usd
        )
    update = last_update(vessel, crossed)
    delay = market.delay(vessel.paths, update)
    vessel.at = update
    cost, why = single(vessel, market, target)
    if not why and update < delay:
        why = "it crosses before anything that was sent at the start could be included"
    return Rescue(
        name=vessel.name,
        why=why,
        moment=update,
        in_time=update + delay < crossed,
        cost_usd=cost,
        bound_usd=min(lost_usd, _cheapest(vessel, market, update)),
    )


def last_update(vessel: Vessel, crossed: int) -> int:
    """The last moment before ``crossed`` at which any of its feeds was written; 0 where none was."""
    rows, _, _ = vessel.weights()
    said = vessel.paths.said[rows, :crossed]
    written = np.flatnonzero((said[:, 1:] != said[:, :-1]).any(axis=0))
    return int(written[-1]) + 1 if len(written) else 0


def single(vessel: Vessel, market: Market, target: float) -> tuple[float, str]:
    """(cost of the cheapest single sale that reaches target now, gas in it, "") or (NaN, why none does)."""
    gas = market.gas_usd(vessel.paths, vessel.at)
    weighted, owed = vessel.weighted_usd(), vessel.debt_usd()
    costs = []
    why = "it has nothing to sell"
    for i, lot in enumerate(vessel.collateral):
        for j in range(len(vessel.debt)):
            most = vessel.held_usd(i)
            if most < LEAST_USD or lot.asset == vessel.debt[j].asset:
                continue

            def reached(sold: float, i: int = i, j: int = j, counted: float = lot.threshold) -> float:
                back = min(max(0.0, brings(vessel, market, (i, j), sold) - gas), vessel.owed_usd(j))
                return (weighted - counted * sold) / max(owed - back, 1e-9)

            sold = _least(reached, most, target)
            if math.isnan(sold):
                why = "no single sale reaches target at that moment's gas and market"
                continue
            loss = sold * vessel.ahead(lot.asset) - brings(vessel, market, (i, j), sold) * vessel.ahead(
                vessel.debt[j].asset
            )
            costs.append(loss + gas)
    return (min(costs), "") if costs else (math.nan, why)


def _least(reached: Callable[[float], float], most: float, target: float) -> float:
    """The smallest sale that reaches target, by bisection from the first of a few sizes that does; NaN without."""
    sizes = [most * n / 16.0 for n in range(1, 17)]
    found = next((s for s in sizes if reached(s) >= target), math.nan)
    if math.isnan(found):
        return math.nan
    low, high = found - most / 16.0, found
    for _ in range(ROUNDS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if reached(middle) >= target else (middle, high)
    return high


def _cheapest(vessel: Vessel, market: Market, update: int) -> float:
    """The least cost of one sale at one of many moments up to ``update`` that keeps the worst moment at 1."""
    paths = vessel.paths
    rows, a, b = vessel.weights()
    margin = (np.array(a) - np.array(b)) @ paths.said[rows]
    worst = int(np.argmin(margin[update:])) + update
    vessel.at = worst
    short = -float(margin[worst])
    moments: Ints = np.unique(np.linspace(0, update, CANDIDATES + 1).astype(np.int64))
    return min((_needed(vessel, market, int(t), worst, short) for t in moments), default=math.inf)


def _needed(vessel: Vessel, market: Market, at: int, worst: int, short: float) -> float:
    """Cost of the sale at ``at`` that leaves no shortfall at ``worst``; +inf where none does. It may sell more of one
    asset than is there: a bound, not a plan."""
    paths = vessel.paths
    vessel.at = at
    gas = market.gas_usd(paths, at)
    best = math.inf
    for i, lot in enumerate(vessel.collateral):
        row = paths.kept_row(lot.asset)
        later = float(paths.said[row, worst] / paths.said[row, at])
        for j, debt in enumerate(vessel.debt):
            owed = paths.owed_row(debt.asset)
            grown = float(paths.said[owed, worst] / paths.said[owed, at])
            unit = grown * (1.0 - market.pool_fee) - lot.threshold * later
            if lot.asset == debt.asset or unit <= 0.0 or short <= 0.0:
                continue
            sold = short / unit
            brought = brings(vessel, market, (i, j), sold)
            loss = sold * vessel.ahead(lot.asset) - brought * vessel.ahead(debt.asset)
            best = min(best, gas + loss)
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one keeper did by that rule."""

    crossing: int
    """Accounts below 1 at some time with nobody acting."""
    rescuable: int
    excluded: tuple[tuple[str, int], ...]
    """(why, how many of the crossing)."""
    liquidated: tuple[str, ...]
    """Rescuable and yet liquidated."""
    failures: int
    """Of those: a refused or failed act came before."""
    gaps: int
    """Of those: the keeper was never asked in time: levels too low for the move."""
    bound_usd: float
    regret_usd: float
    """What was paid above the clairvoyant's bound, all accounts."""


def score(found: Sequence[Rescue], sailed: Voyage) -> Score:
    """The keeper's voyage against what was possible."""
    crossing = [r for r in found if r.why != NEVER]
    reasons: dict[str, int] = {}
    for r in crossing:
        if r.why:
            reasons[r.why] = reasons.get(r.why, 0) + 1
    trips: dict[str, Trip] = {t.name: t for t in sailed.trips}
    lost = [r.name for r in crossing if not r.why and trips[r.name].liquidations]
    failed = sum(_failed(trips[name]) for name in lost)
    bound = sum(r.bound_usd for r in found)
    return Score(
        crossing=len(crossing),
        rescuable=sum(not r.why for r in crossing),
        excluded=tuple(sorted(reasons.items())),
        liquidated=tuple(lost),
        failures=failed,
        gaps=len(lost) - failed,
        bound_usd=bound,
        regret_usd=sailed.lost_usd + sailed.cost_usd - bound,
    )


def _failed(trip: Trip) -> bool:
    """Whether an act failed before the first liquidation."""
    for event in trip.events:
        if event.what == "liquidated":
            return False
        if event.what == "failed":
            return True
    return False
