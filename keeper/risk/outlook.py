"""What the risk core says of each position: level, health now and under shocks, liquidation prices, margin.

The level comes from the protocol's own health integer; the float core must agree with it, or the position is
UNKNOWN. Every degenerate case has an answer here, and none of them is "healthy".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keeper.model import (
    WHOLE_BPS_AVERAGE,
    Level,
    LiquidationPrice,
    Outlook,
    Policy,
    Position,
    PositionId,
    Shock,
    Unreadable,
)
from keeper.risk import kernels
from keeper.risk.book import Floats, Shelf, build
from keeper.risk.rows import conservative
from keeper.risk.shocks import moved
from keeper.risk.stake import position_loss_usd
from keeper.units import UINT256_MAX, WAD, wad_float

HEALTH_GAP_REL = 1e-6
"""Largest relative gap between the float core and the protocol's integer before neither is believed."""
_HEALTH_GAP_ABS = 1e-8
"""Rounding of values to 8 decimals moves the health of a one-dollar debt by this much."""
_DUST_USD = 1.0
"""Below this debt the protocol's rounding exceeds any relative bound; its integer alone decides."""


def level_of(health_wad: int | None, policy: Policy) -> Level:
    """The level of a protocol health integer by strict comparison; 2**256-1 (no debt) is SAFE, None
    UNKNOWN.
    """
    if health_wad is None:
        return Level.UNKNOWN
    if health_wad < policy.emergency_wad:
        return Level.URGENT
    if health_wad < policy.trigger_wad:
        return Level.ACT
    return Level.WATCH if health_wad < policy.warn_wad else Level.SAFE


def assess(
    positions: Sequence[Position],
    unreadable: Sequence[Unreadable],
    prices: Mapping[str, float],
    shocks: Sequence[Shock],
    policies: Mapping[PositionId, Policy],
) -> tuple[Outlook, ...]:
    """One outlook per position and then per unreadable, in their order; pure, and raises nothing on bad
    numbers.

    ``prices``: feed identity -> USD per whole token; ``shocks``: moves by feed (see ``shocks.for_feeds``).
    """
    rows, bounds = [p.row for p in positions], [conservative(p) for p in positions]
    sweep = _sweep(build(bounds, prices), shocks)
    # nearly always every row is exact: then there is one book
    same = all(row is bound for row, bound in zip(rows, bounds, strict=True))
    plain = sweep.assets if same else _sides(build(rows, prices))[0].tolist()
    read = tuple(
        [_outlook(_seen(p, sweep, u, plain[u]), policies.get(p.id)) for u, p in enumerate(positions)]
    )
    return read + tuple(_unread(u) for u in unreadable)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sweep:
    """What one pass found, as plain numbers (indexing arrays one by one costs more than the pass): [U] sides,
    [U][S] health, [N] one-price roots, and the book's own [U+1] indptr, [N] feed, [F] prices."""

    shelf: Shelf
    assets: list[float]
    requirement: list[float]
    under: list[list[float]]
    roots: list[float]
    indptr: list[int]
    feed: list[int]
    prices: list[float]
    shocks: tuple[str, ...]
    bad_shocks: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One position with its place in the sweep."""

    position: Position
    sweep: _Sweep
    u: int
    assets: float
    requirement: float
    health: float
    health_plain: float
    """By the row as it stands; ``health`` is by its conservative bound."""


def _seen(position: Position, sweep: _Sweep, u: int, plain: float) -> _Seen:
    assets, requirement = sweep.assets[u], sweep.requirement[u]
    health = float(kernels.health_of(assets, requirement))
    return _Seen(
        position=position,
        sweep=sweep,
        u=u,
        assets=assets,
        requirement=requirement,
        health=health,
        health_plain=health if plain == assets else float(kernels.health_of(plain, requirement)),
    )


def _sides(shelf: Shelf) -> tuple[Floats, Floats]:
    assets, requirement = np.empty(len(shelf)), np.empty(len(shelf))
    kernels.sides(shelf.book, assets, requirement)
    return assets, requirement


def _sweep(shelf: Shelf, shocks: Sequence[Shock]) -> _Sweep:
    assets, requirement = _sides(shelf)
    scenarios = np.ones((len(shocks), len(shelf.feeds)))
    bad: set[str] = set()
    for s, shock in enumerate(shocks):
        factors = [1.0 + moved(shock, feed) for feed in shelf.feeds]
        if not all(math.isfinite(x) and x >= 0.0 for x in factors):
            bad.add(shock.name)
        scenarios[s] = factors
    under = np.empty((len(shelf), len(shocks)))
    kernels.health_under(shelf.book, np.ascontiguousarray(scenarios * shelf.book.prices), under)
    roots = np.empty(len(shelf.book.a))
    kernels.one_price(shelf.book, assets, requirement, roots)
    names = tuple(s.name for s in shocks)
    return _Sweep(
        shelf=shelf,
        assets=assets.tolist(),
        requirement=requirement.tolist(),
        under=under.tolist(),
        roots=roots.tolist(),
        indptr=shelf.book.indptr.tolist(),
        feed=shelf.book.feed.tolist(),
        prices=shelf.book.prices.tolist(),
        shocks=names,
        bad_shocks=frozenset(bad),
    )


def _outlook(seen: _Seen, policy: Policy | None) -> Outlook:
    level, whys = _judge(seen, policy)
    under = _health_under(seen)
    unusable = seen.sweep.bad_shocks
    breaking = (name for name, h in under if h is not None and h < 1.0 and name not in unusable)
    bad = tuple(f"shock {name} moves a price below 0 or is no number" for name in sorted(unusable))
    margin = seen.assets - seen.requirement
    return Outlook(
        id=seen.position.id,
        health=_health(seen),
        margin_usd=margin if math.isfinite(margin) else 0.0,
        leverage=_leverage(seen.position),
        health_under=under,
        distance=_distance(seen),
        nearest_shock=next(breaking, None),
        level=level,
        why="; ".join(whys + bad),
        loss_usd=None if level is Level.SAFE else position_loss_usd(seen.position),
    )


def _judge(seen: _Seen, policy: Policy | None) -> tuple[Level, tuple[str, ...]]:
    """The level, and why when it is UNKNOWN. Order: is it readable, do the two healths agree, what do they
    say.
    """
    fault = _fault(seen) or _disagreement(seen)
    if fault:
        return Level.UNKNOWN, (fault,)
    health_wad = _health_wad(seen)
    if health_wad == UINT256_MAX:
        return Level.SAFE, ()
    if policy is None:
        return Level.UNKNOWN, ("no policy covers this position",)
    return level_of(health_wad, policy), ()


def _health_wad(seen: _Seen) -> int:
    """The protocol's health integer, or the float core's rounded down where the venue has none."""
    if seen.position.health_wad is not None:
        return seen.position.health_wad
    if seen.health == math.inf:
        return UINT256_MAX
    below = max(0.0, seen.health) * (1.0 - 1e-12)
    return min(int(min(below, 1e50) * WAD), UINT256_MAX - 1)


def _fault(seen: _Seen) -> str:
    """Why the row gives no number, or ""."""
    position, sweep, shelf = seen.position, seen.sweep, seen.sweep.shelf
    if shelf.faults[seen.u]:
        return shelf.faults[seen.u]
    start, stop = sweep.indptr[seen.u], sweep.indptr[seen.u + 1]
    missing = [shelf.feeds[k] for k in sweep.feed[start:stop] if math.isnan(sweep.prices[k])]
    if missing:
        return f"no usable price of {', '.join(missing)}"
    if position.health_wad is None and start == stop and seen.assets == seen.requirement == 0.0:
        return "the venue gives no health and the row is empty: nothing was read"
    if position.health_wad is not None and position.health_wad < 0:
        return f"the protocol's health {position.health_wad} is negative"
    if math.isnan(seen.health):
        return "the row's assets or requirement is no finite number"
    return ""


def _disagreement(seen: _Seen) -> str:
    """Why the float core and the protocol's integer cannot both be right, or ""."""
    position = seen.position
    owed = any(h.amount.units > 0 for h in position.debt)
    if position.health_wad is None:
        return "debt is held but the row requires nothing" if owed and seen.requirement == 0.0 else ""
    if seen.requirement <= _DUST_USD and not (owed and _value(position, debt=True) > _DUST_USD):
        return ""
    if position.health_wad == UINT256_MAX:
        return f"the protocol says no debt, the row requires {seen.requirement:.6g} USD"
    chain = position.health_wad / WAD
    gap = HEALTH_GAP_REL * chain + _HEALTH_GAP_ABS
    # both ends coincide but for rows that carry a conservative bound (a whole-bps average threshold)
    if seen.health <= chain + gap and seen.health_plain >= chain - gap:
        return ""
    return f"health {seen.health_plain:.12g} by the row, {chain:.12g} by the protocol"


def _health_under(seen: _Seen) -> tuple[tuple[str, float | None], ...]:
    """Health under each shock; None where nothing has to be covered, 0 under a shock that is no shock; empty
    where the row gives no number."""
    if math.isnan(seen.health):
        return ()
    values, bad = seen.sweep.under[seen.u], seen.sweep.bad_shocks
    return tuple(
        [
            (name, 0.0 if name in bad or math.isnan(h) else _shown(h))
            for name, h in zip(seen.sweep.shocks, values, strict=True)
        ]
    )


def _health(seen: _Seen) -> float | None:
    """Health now; the protocol's own where the row only bounds it from below; None where there is none."""
    wad = seen.position.health_wad
    if WHOLE_BPS_AVERAGE in seen.position.row.flags and wad is not None and wad != UINT256_MAX:
        return wad_float(wad)
    return None if math.isnan(seen.health) else _shown(seen.health)


def _shown(health: float) -> float | None:
    """+inf -> None (nothing to cover), -inf and NaN -> 0.0 (covers nothing, or cannot be known)."""
    if health == math.inf:
        return None
    return health if math.isfinite(health) else 0.0


def _distance(seen: _Seen) -> tuple[LiquidationPrice, ...]:
    """Where each feed alone brings margin to 0, nearest first."""
    sweep = seen.sweep
    if not (math.isfinite(seen.health) and seen.requirement > 0.0):
        return ()
    found = []
    for j in range(sweep.indptr[seen.u], sweep.indptr[seen.u + 1]):
        k, price = sweep.feed[j], sweep.roots[j]
        if math.isfinite(price):
            away = price / sweep.prices[k] - 1.0
            found.append(LiquidationPrice(feed=sweep.shelf.feeds[k], price=price, distance=away))
    return tuple(sorted(found, key=lambda x: abs(x.distance)))


def _leverage(position: Position) -> float | None:
    """Assets over equity at market value; None when equity is not positive. A perpetual's: notional over equity."""
    if position.perp is not None:
        return position.perp.leverage
    assets, owed = _value(position, debt=False), _value(position, debt=True)
    return assets / (assets - owed) if assets - owed > 0.0 else None


def _value(position: Position, *, debt: bool) -> float:
    holdings = position.debt if debt else position.collateral
    return float(sum(h.value_base for h in holdings)) / 10.0**position.base_decimals


def _unread(unread: Unreadable) -> Outlook:
    return Outlook(
        id=unread.id,
        health=None,
        margin_usd=0.0,
        leverage=None,
        health_under=(),
        distance=(),
        nearest_shock=None,
        level=Level.UNKNOWN,
        why=unread.why,
    )
