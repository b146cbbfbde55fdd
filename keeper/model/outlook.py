"""What the risk core says of a position. Facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from keeper.model.identity import PositionId


class Level(StrEnum):
    """How near a position is to harm. UNKNOWN is never healthy."""

    SAFE = "SAFE"
    WATCH = "WATCH"
    ACT = "ACT"
    URGENT = "URGENT"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shock:
    """Relative price moves by feed: -0.3 is a fall of 30 %. ``*`` stands for every feed not named."""

    name: str
    moves: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationPrice:
    """Where one feed alone, the others held, brings margin to 0; ``distance`` = price / now - 1."""

    feed: str
    price: float
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the risk core says of one position; ``level`` is final only after decision's hysteresis."""

    id: PositionId
    health: float | None
    """None without debt (nothing to cover)."""
    margin_usd: float
    leverage: float | None
    """Assets at market value over equity; None when equity is not positive."""
    health_under: tuple[tuple[str, float | None], ...]
    """(shock name, health under it) in the order of the shocks given."""
    distance: tuple[LiquidationPrice, ...]
    nearest_shock: str | None
    """The mildest given shock that liquidates, by the order given; None when none does."""
    level: Level
    why: str = ""
    loss_usd: float | None = None
    """What one liquidation would take by the venue's rule; None while SAFE, and where the venue names no bonus."""
