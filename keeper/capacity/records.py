"""A position under stress, what may be moved for it, and what limits each move. Exact integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from keeper.model import Holding, Policy, Position, PositionId, Refusal, Route


class Kind(IntEnum):
    """What a way does, in the order in which they are tried: what lifts health most per dollar first."""

    REPAY = 0
    SUPPLY = 1
    SELL = 2


class Unit(IntEnum):
    """In what a limit counts."""

    TOKEN = 0
    """Units of the token that the way moves."""
    BOUGHT = 1
    """Units of the debt that a sale borrows or buys."""
    BASE = 2
    """Value in the position's base currency."""
    WEI = 3
    """Native units for gas, once an action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One thing that there is only so much of."""

    code: str
    text: str
    """What it is and how much there is, for a person."""
    left: int
    unit: Unit = Unit.TOKEN
    each: bool = False
    """True where it holds for each action anew, False where all actions share it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One action that could be taken once."""

    name: str
    kind: Kind
    held: Holding
    """What is moved: the debt repaid, the collateral added or sold."""
    draws: tuple[str, ...]
    """Keys of the limits that it draws on."""
    gas_wei: int
    """What its gas costs in the storm."""
    debt: Holding | None = None
    """SELL: what is repaid with it."""
    route: Route | None = None
    """SELL: what units bought cost, at the stressed price."""
    fee_ppm: int = 0
    """SELL: of the flash loan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One position under one stress."""

    position: Position
    """At the stressed prices."""
    policy: Policy
    ways: tuple[Way, ...]
    limits: Mapping[str, Limit]
    sale_goal_wad: int
    """Health that a sale above emergency must reach."""
    slippage_bps: int
    """What a sale below emergency leaves unsold of its limit, so that the worst price allowed still fits."""
    barred: tuple[Refusal, ...] = ()
    """Why other ways do not exist at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stress:
    """A fall by name, as factors in millionths on what each feed says; feeds not named stay."""

    name: str
    factors_ppm: Mapping[str, int]
    debt_factors_ppm: Mapping[str, int]
    """Where the feed prices a debt: against us is the other way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What capacity says of one position under one stress."""

    id: PositionId
    stress: str
    before_wad: int
    needs_wad: int
    """Health that the policy wants back; 0 where the stress does not cross the trigger."""
    reached_wad: int
    """Health that all limits together allow, at most ``needs_wad``."""
    ways: tuple[str, ...]
    """What is done for it, in order."""
    binding: tuple[str, ...] = ()
    """Codes of the limits that relaxed, together, raise it; empty where the need is met."""
    why: str = ""

    @property
    def short(self) -> bool:
        """True when there is a need, and capacity is below it."""
        return self.reached_wad < self.needs_wad
