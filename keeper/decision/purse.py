"""The wallet's means as they are promised, position by position, so that no unit is offered twice in a
tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from keeper.model import (
    Allowance,
    Amount,
    Block,
    Deleverage,
    Mandate,
    Means,
    Proposal,
    Repay,
    Reserve,
    Step,
    Supply,
    from_wallet,
)
from keeper.seams import Venue


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """What is left of the snapshot's means."""

    means: Means

    def without(self, promised: Sequence[Amount]) -> Purse:
        """The purse less amounts already promised, whoever pulls them: balance and every allowance of the
        token.
        """
        means = self.means
        return Purse(
            means=replace(
                means,
                balances=tuple(_less(b, promised) for b in means.balances),
                allowances=tuple(_granted_less(a, promised) for a in means.allowances),
            )
        )

    def leaving(self, steps: Sequence[Step], venue: Venue) -> Purse:
        """The purse after steps have filled the venue's supply room and taken of its cash."""
        means = self.means
        reserves = tuple(_taken_up(r, steps) if r.venue == venue.id else r for r in means.reserves)
        return Purse(means=replace(means, reserves=reserves))

    def paying(self, chosen: Sequence[Proposal], venue: Venue | None, block: Block) -> Purse:
        """The purse after a choice: tokens, the venue's supply room and its cash, and gas at twice the base fee."""
        steps = [step for p in chosen for step in p.steps]
        left = self.without(from_wallet(steps)).means
        if venue is None:
            return Purse(means=left)
        gas_wei = sum(venue.gas(s) for s in steps) * (2 * block.base_fee_wei + left.tip_wei)
        left = replace(left, native_wei=max(0, left.native_wei - gas_wei))
        return Purse(means=left).paid_in(steps).leaving(steps, venue)

    def paid_in(self, steps: Sequence[Step]) -> Purse:
        """The purse after Executors have paid in what the steps take of their reserves."""
        paid = [s for s in steps if isinstance(s, Supply | Repay) and s.through is not None]
        if not paid:
            return self
        mandates = tuple(_funds_less(m, paid) for m in self.means.mandates)
        return Purse(means=replace(self.means, mandates=mandates))


def _less(have: Amount, promised: Sequence[Amount]) -> Amount:
    gone = sum(p.units for p in promised if p.token == have.token)
    return replace(have, units=max(0, have.units - gone))


def _granted_less(have: Allowance, promised: Sequence[Amount]) -> Allowance:
    gone = sum(p.units for p in promised if p.token == have.token)
    return replace(have, units=max(0, have.units - gone))


def _funds_less(mandate: Mandate, paid_in: Sequence[Supply | Repay]) -> Mandate:
    """An Executor's reserve serves every position of its owner."""
    gone = [s.amount for s in paid_in if s.through is not None and s.through.executor == mandate.executor]
    if not gone:
        return mandate
    assets = tuple(
        replace(a, funds=max(0, a.funds - sum(g.units for g in gone if g.token == a.token)))
        for a in mandate.assets
    )
    return replace(mandate, assets=assets)


def _taken_up(reserve: Reserve, steps: Sequence[Step]) -> Reserve:
    """Room that supplies fill, and cash that sold collateral leaves with: what the step before took is not there."""
    filled = sum(s.amount.units for s in steps if isinstance(s, Supply) and s.amount.token == reserve.token)
    left = sum(s.amount.units for s in steps if isinstance(s, Deleverage) and s.amount.token == reserve.token)
    room = reserve.supply_room_units
    return replace(
        reserve,
        supply_room_units=None if room is None else max(0, room - filled),
        cash_units=max(0, reserve.cash_units - left),
    )
