"""A dry-run's own version of each position: fills applied, the owner's acts followed, liquidations survived.

Dry-run decides on shadow positions so that the second decision is as true as the first: once a plan has been
"filled", the chain's position is no longer the one that a live keeper would see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from keeper.model import AddMargin, Position, PositionId, Repay, Step, Supply
from keeper.seams import Shadow


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """A shadow, beside what the chain last showed of the real position."""

    shadow: Shadow
    chain_collateral: Mapping[str, int]
    chain_debt: Mapping[str, int]
    liquidated_block: int | None = None
    """Block at which the real position was liquidated; its shadow stands on its own from then on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowBook:
    """Every shadow of one chain, and what dry fills took from the wallet (token address -> units)."""

    positions: Mapping[PositionId, Shadowed] = field(default_factory=dict)
    wallet: Mapping[str, int] = field(default_factory=dict)

    @property
    def shadows(self) -> dict[PositionId, Shadow]:
        """What a venue's ``decode`` takes."""
        return {id: s.shadow for id, s in self.positions.items()}


def begin(position: Position) -> Shadowed:
    """A shadow equal to the chain's position."""
    collateral, debt = _stored(position)
    return Shadowed(
        shadow=Shadow(id=position.id, collateral=collateral, debt=debt),
        chain_collateral=collateral,
        chain_debt=debt,
    )


def filled(book: ShadowBook, real: Position, shadow: Shadow, steps: tuple[Step, ...]) -> ShadowBook:
    """The book after a dry fill: ``shadow`` replaces the position's, and the wallet has paid ``steps``."""
    before = book.positions.get(real.id) or begin(real)
    wallet = dict(book.wallet)
    for step in steps:
        if isinstance(step, AddMargin) or (isinstance(step, Supply | Repay) and step.through is None):
            token = step.amount.token.address
            wallet[token] = wallet.get(token, 0) - step.amount.units
    positions = {**book.positions, real.id: replace(before, shadow=shadow)}
    return ShadowBook(positions=positions, wallet=wallet)


def moved(shadowed: Shadowed, real: Position) -> bool:
    """True when the chain's stored integers differ from those last seen: owner or liquidator acted."""
    collateral, debt = _stored(real)
    return dict(shadowed.chain_collateral) != collateral or dict(shadowed.chain_debt) != debt


def follow(book: ShadowBook, real: Position, *, liquidated: bool) -> ShadowBook:
    """The book after the chain's position moved at ``real.block_number``.

    The owner's acts are applied to the shadow as differences of stored integers, never below zero. A
    liquidation is not: with the keeper armed it would not have happened, so the shadow stands on its own.
    """
    before = book.positions[real.id]
    collateral, debt = _stored(real)
    shadow = before.shadow
    if not liquidated:
        shadow = Shadow(
            id=real.id,
            collateral=_shift(shadow.collateral, before.chain_collateral, collateral),
            debt=_shift(shadow.debt, before.chain_debt, debt),
        )
    after = Shadowed(
        shadow=shadow,
        chain_collateral=collateral,
        chain_debt=debt,
        liquidated_block=real.block_number if liquidated else before.liquidated_block,
    )
    return replace(book, positions={**book.positions, real.id: after})


def _stored(position: Position) -> tuple[dict[str, int], dict[str, int]]:
    return (
        {h.amount.token.address: h.stored for h in position.collateral},
        {h.amount.token.address: h.stored for h in position.debt},
    )


def _shift(shadow: Mapping[str, int], before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    tokens = {**shadow, **before, **after}
    moved_units = {t: shadow.get(t, 0) + after.get(t, 0) - before.get(t, 0) for t in tokens}
    return {t: units for t, units in moved_units.items() if units > 0}
