"""How near a winning perp is to being closed by its venue (auto-deleveraging): by the rules that venues publish.

Hyperliquid closes the highest index first, once an account's equity is below zero and the book does not take it.
GMX v2 closes winners of a side whose unrealised profit exceeds a share of the pool.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from keeper.model import Position
from keeper.model.perp import USD_DECIMALS
from keeper.risk import perp

HYPERLIQUID, GMX_V2 = "hyperliquid", "gmx_v2"
NEAR = 0.25
"""With less than so much of the way left a person is told: in a fall the rest goes in minutes."""
_KEYS: Mapping[str, tuple[str, ...]] = {
    HYPERLIQUID: (),
    GMX_V2: ("pool_usd", "pnl_usd", "pnl_factor_max"),
}


def adl_index(mark: float, entry: float, notional: float, equity: float) -> float:
    """Hyperliquid's auto-deleveraging index: (mark / entry) x (notional / account value); the highest is closed
    first. +inf where equity is not above 0."""
    return mark / entry * (abs(notional) / equity) if equity > 0.0 else math.inf


def pnl_headroom(pnl: float, pool: float, most: float) -> float:
    """Share of GMX's way to auto-deleveraging that is left: 1 - (pnl / pool) / most; below 0 it is enabled."""
    return 1.0 - pnl / pool / most if pool > 0.0 and most > 0.0 else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Adl:
    """One position's nearness. Of Hyperliquid ``value`` is its index: only its rank among others tells, which nobody
    publishes. Of GMX it is the share of the way that is left: 1 far off, 0 and below enabled."""

    by: str
    value: float
    winning: bool
    """Only winners are closed."""

    @property
    def enabled(self) -> bool:
        """Whether the venue may close it now; where it cannot be told, it may."""
        return self.winning and self.by == GMX_V2 and not self.value > 0.0

    @property
    def near(self) -> bool:
        """Whether little of the way is left, or none."""
        return self.winning and self.by == GMX_V2 and not self.value > NEAR

    @property
    def said(self) -> str:
        """In a person's words."""
        if not self.winning:
            return "not winning: nothing to close"
        if self.by == HYPERLIQUID:
            return f"index {self.value:.3g} (mark/entry x notional/equity; the highest is closed first)"
        if math.isnan(self.value):
            return "cannot be told: the pool or its limit is not known"
        return (
            "enabled now" if self.enabled else f"{100 * self.value:.0f} % of the way to the pool's limit left"
        )


class Checked(Protocol):
    """What collects problems of a file: the reader of ``bookfile``."""

    problems: list[str]

    def number(self, value: object, where: str, *, low: float = ...) -> float: ...


def hyperliquid(leg: perp.Leg, mark: float, equity_usd: float) -> Adl:
    """Of one position in an account of that equity."""
    notional = leg.size * mark
    return Adl(
        by=HYPERLIQUID,
        value=adl_index(mark, leg.entry, notional, equity_usd),
        winning=leg.size * (mark - leg.entry) > 0.0,
    )


def gmx_v2(leg: perp.Leg, mark: float, pool: tuple[float, float, float]) -> Adl:
    """Of one position in a market whose side has (pool USD, unrealised profit USD, largest share for ADL)."""
    pool_usd, pnl_usd, most = pool
    return Adl(
        by=GMX_V2,
        value=pnl_headroom(pnl_usd, pool_usd, most),
        winning=leg.size * (mark - leg.entry) > 0.0,
    )


def of_position(position: Position) -> Adl | None:
    """Of a guarded position, by what its venue says of the position's side; None where it closes no winners."""
    found = position.perp
    if found is None or found.side is None:
        return None
    usd, side = 10.0**USD_DECIMALS, found.side
    value = pnl_headroom(side.won_usd / usd, side.pool_usd / usd, side.factor_adl / usd)
    return Adl(by=GMX_V2, value=value, winning=found.won_usd > 0)


def from_file(
    reader: Checked, value: object, leg: perp.Leg, at: tuple[float, float], where: str
) -> Adl | None:
    """``adl`` of a perp in a book file, at (mark, equity USD). Problems go to the reader."""
    if not isinstance(value, Mapping):
        reader.problems.append(f"{where}: must be an object")
        return None
    by = value.get("by")
    if by not in _KEYS:
        reader.problems.append(f"{where}.by = {by!r}: must be one of {', '.join(_KEYS)}")
        return None
    needed = _KEYS[str(by)]
    reader.problems += [f"{where}: lacks {k}" for k in needed if k not in value]
    reader.problems += [f"{where}: unknown key {k}" for k in value if k not in (*needed, "by")]
    mark, equity = at
    if by == HYPERLIQUID:
        return hyperliquid(leg, mark, equity)
    pool, pnl, most = (reader.number(value[k], f"{where}.{k}") if k in value else math.nan for k in needed)
    return gmx_v2(leg, mark, (pool, pnl, most))
