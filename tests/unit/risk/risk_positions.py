"""Builders: lending positions from plain numbers, with the health that a lending protocol would report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from keeper.model import Amount, BookRow, Caps, Holding, Policy, Position, PositionId, Token
from keeper.units import UINT256_MAX, WAD

CAPS = Caps(per_action_usd=1, per_day_usd=1, gas_usd_max=1, gas_usd_emergency=1)


def policy(warn: float = 1.5, trigger: float = 1.3, emergency: float = 1.1) -> Policy:
    def wad(x: float) -> int:
        return int(Fraction(str(x)) * WAD)

    return Policy(
        name="test",
        warn_wad=wad(warn),
        trigger_wad=wad(trigger),
        target_wad=wad(trigger + 0.2),
        emergency_wad=wad(emergency),
        max_health_wad=wad(trigger + 1),
        hysteresis_wad=0,
        cooldown_blocks=0,
        act="always",
        strategies=(),
        caps=CAPS,
        idle_rate=0.0,
        horizon_days=1.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """``tokens`` of an asset at a price, counted at ``threshold`` (debt: 1)."""

    symbol: str
    tokens: float
    price: float
    threshold: float = 1.0


def identity(name: str = "0xA") -> PositionId:
    return PositionId(venue="test", chain_id=1, account=name, key="")


def lending(
    collateral: Sequence[Held],
    debt: Sequence[Held],
    *,
    name: str = "0xA",
    health_wad: int | str | None = "own",
    flags: tuple[str, ...] = (),
) -> Position:
    """A position; ``health_wad="own"`` computes what the protocol would say (exact average threshold)."""
    row = BookRow(
        feeds=tuple(h.symbol for h in (*collateral, *debt)),
        a=tuple(h.tokens * h.threshold for h in collateral) + (0.0,) * len(debt),
        b=(0.0,) * len(collateral) + tuple(h.tokens for h in debt),
        flags=flags,
    )
    return Position(
        id=identity(name),
        owner=name,
        block_number=1,
        health_wad=_own(collateral, debt) if isinstance(health_wad, str) else health_wad,
        collateral=tuple(_holding(h) for h in collateral),
        debt=tuple(_holding(h) for h in debt),
        base_decimals=8,
        row=row,
    )


def prices(*held: Held) -> Mapping[str, float]:
    return {h.symbol: h.price for h in held}


def _own(collateral: Sequence[Held], debt: Sequence[Held]) -> int:
    weighted = sum(
        (Fraction(h.tokens) * Fraction(h.price) * Fraction(h.threshold) for h in collateral), Fraction(0)
    )
    owed = sum((Fraction(h.tokens) * Fraction(h.price) for h in debt), Fraction(0))
    return int(weighted * WAD / owed) if owed else UINT256_MAX


def _holding(held: Held) -> Holding:
    token = Token(chain_id=1, address="0x" + "0" * 40, symbol=held.symbol, decimals=18)
    units = int(Fraction(held.tokens) * 10**18)
    return Holding(
        amount=Amount(token=token, units=units),
        stored=units,
        price_base=int(held.price * 10**8),
        value_base=int(Fraction(held.tokens) * Fraction(held.price) * 10**8),
        threshold_wad=int(Fraction(held.threshold) * WAD),
        feed=held.symbol,
    )
