"""Comet's integer arithmetic, exact to the unit: indices, principal and present value, liquidity, verdicts.

Everything rounds down but a borrower's principal (up) and signed division (towards zero). Sources: Comet.sol
and CometCore.sol: accruedInterestIndices, getUtilization, getSupplyRate, getBorrowRate, presentValue,
principalValue, isBorrowCollateralized, isLiquidatable.

The views ``isLiquidatable`` and ``isBorrowCollateralized`` use the *stored* index, ``absorb`` accrues first:
an account that the view calls safe can be absorbed in the same block. So the verdict here is taken after
accrual, and the stored one only to hold our words against the contract's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.units import UINT256_MAX, WAD

INDEX_SCALE = 10**15
"""BASE_INDEX_SCALE."""
PRICE_DECIMALS = 8
"""PRICE_FEED_DECIMALS: every feed must have them, and values come in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One side's rate by utilisation: per second, 1e18 = 100 %."""

    base: int
    slope_low: int
    slope_high: int
    kink: int

    def rate(self, utilization: int) -> int:
        """Rate per second at ``utilization`` (getSupplyRate, getBorrowRate)."""
        if utilization <= self.kink:
            return self.base + _factor(self.slope_low, utilization)
        return (
            self.base + _factor(self.slope_low, self.kink) + _factor(self.slope_high, utilization - self.kink)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A market's stored totals: indices at ``updated_s``, and the sums of principals."""

    supply_index: int
    borrow_index: int
    supply: int
    borrow: int
    updated_s: int

    @property
    def utilization(self) -> int:
        """Share of the base that is lent out, 1e18 = 100 %, by stored indices (getUtilization)."""
        supplied = present_supply(self.supply, self.supply_index)
        return present_borrow(self.borrow, self.borrow_index) * WAD // supplied if supplied else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pledge:
    """One collateral of one account: all that its worth is computed from."""

    units: int
    price: int
    """8 decimals of the market's quote unit."""
    scale: int
    factor: int
    """The factor that applies (liquidate or borrow), 1e18 = 100 %."""

    @property
    def value(self) -> int:
        """Worth before the factor, rounded down."""
        return self.units * self.price // self.scale

    @property
    def weighted(self) -> int:
        """Worth that counts: the second rounding down."""
        return _factor(self.value, self.factor)


def accrued(totals: Totals, supply: Curve, borrow: Curve, now_s: int) -> tuple[int, int]:
    """(supply index, borrow index) at ``now_s``: linear over the whole gap, rates by the stored utilisation."""
    age_s = now_s - totals.updated_s
    if age_s == 0:
        return totals.supply_index, totals.borrow_index
    used = totals.utilization
    return (
        totals.supply_index + _factor(totals.supply_index, supply.rate(used) * age_s),
        totals.borrow_index + _factor(totals.borrow_index, borrow.rate(used) * age_s),
    )


def present_supply(principal: int, supply_index: int) -> int:
    """Base units that a lender's principal is worth, rounded down (presentValueSupply)."""
    return principal * supply_index // INDEX_SCALE


def present_borrow(principal: int, borrow_index: int) -> int:
    """Base units owed for a borrower's principal, given without its sign; rounded down (presentValueBorrow)."""
    return principal * borrow_index // INDEX_SCALE


def present(principal: int, supply_index: int, borrow_index: int) -> int:
    """Signed base units of a signed principal; negative is debt (presentValue)."""
    if principal >= 0:
        return present_supply(principal, supply_index)
    return -present_borrow(-principal, borrow_index)


def principal_of(value: int, supply_index: int, borrow_index: int) -> int:
    """The signed principal stored for a present value; a debt rounds up (principalValue)."""
    if value >= 0:
        return value * INDEX_SCALE // supply_index
    return -((-value * INDEX_SCALE + borrow_index - 1) // borrow_index)


def value_of(base_units: int, price: int, scale: int) -> int:
    """Signed worth of signed base units in 8 decimals, towards zero (signedMulPrice)."""
    worth = abs(base_units) * price // scale
    return worth if base_units >= 0 else -worth


def liquidity(base_units: int, price: int, scale: int, pledges: Sequence[Pledge]) -> int:
    """What is left when the debt is taken from the collateral that counts, in 8 decimals."""
    return value_of(base_units, price, scale) + sum(p.weighted for p in pledges)


def is_short(principal: int, left: int) -> bool:
    """The verdict on an account that owes: liquidatable by the liquidate factors, or not collateralised by the
    borrow factors. Debt whose worth rounds to nothing is never short.
    """
    return principal < 0 and left < 0


def health_down(owed: int, weighted: int) -> int:
    """Collateral that counts over debt, wad, rounded down: below 1e18 exactly where the liquidity is negative.

    ``owed`` is the worth of the debt without its sign; where it rounds to nothing there is nothing to cover.
    """
    return weighted * WAD // owed if owed else UINT256_MAX


def _factor(number: int, factor: int) -> int:
    """``number`` times a factor of 1e18, rounded down (mulFactor)."""
    return number * factor // WAD
