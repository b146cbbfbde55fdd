"""A pre-liquidation's verdict, written from the published description of PreLiquidation alone, in exact rationals.

Nothing of ours is asked: the loan-to-value, how far it lies between preLLTV and LLTV, and the two lines that grow
with it are fractions, cut to whole units and wads where the published contract cuts, and to the same side.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

WAD = 10**18
SCALE = 10**36
"""A Morpho oracle's price is of one unit for one unit, times this."""
VIRTUAL_ASSETS, VIRTUAL_SHARES = 1, 10**6
HEALTHY, LIQUIDATABLE, TOO_LARGE = "healthy", "liquidatable", "too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """preLltv, preLCF1, preLCF2, preLIF1, preLIF2 and the market's LLTV, wads."""

    pre_lltv: int
    lcf: tuple[int, int]
    lif: tuple[int, int]
    lltv: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrower:
    """Interest accrued: the market's totals, what he owes of them in shares, his collateral at an oracle's price."""

    assets: int
    shares: int
    owes: int
    collateral: int
    price: int

    @property
    def quoted(self) -> int:
        """Collateral in loan units, rounded down."""
        return floor(Fraction(self.collateral * self.price, SCALE))

    @property
    def borrowed(self) -> int:
        """Debt in loan units, rounded up."""
        return ceil(self.worth(self.owes))

    def worth(self, shares: int) -> Fraction:
        """Loan units of shares."""
        return Fraction(shares * (self.assets + VIRTUAL_ASSETS), self.shares + VIRTUAL_SHARES)


def verdict(of: Borrower, terms: Published, shares: int) -> str | tuple[int, int, int]:
    """(repaid units, repaid shares, seized units) of a call that repays ``shares``, or the name of its refusal."""
    quoted, borrowed = of.quoted, of.borrowed
    if borrowed > floor(Fraction(quoted * terms.lltv, WAD)):
        return LIQUIDATABLE
    if borrowed <= floor(Fraction(quoted * terms.pre_lltv, WAD)):
        return HEALTHY
    if shares > repayable(of, terms):
        return TOO_LARGE
    rewarded = floor(Fraction(floor(of.worth(shares)) * _line(terms.lif, _grown(of, terms)), WAD))
    return ceil(of.worth(shares)), shares, floor(Fraction(rewarded * SCALE, of.price))


def repayable(of: Borrower, terms: Published) -> int:
    """Shares that one call may repay, between the two lines."""
    return floor(Fraction(of.owes * _line(terms.lcf, _grown(of, terms)), WAD))


def _grown(of: Borrower, terms: Published) -> int:
    """How far of the way from preLLTV to LLTV, a wad."""
    ltv = ceil(Fraction(of.borrowed * WAD, of.quoted))
    return floor(Fraction((ltv - terms.pre_lltv) * WAD, terms.lltv - terms.pre_lltv))


def _line(ends: tuple[int, int], grown: int) -> int:
    """first + grown (last - first), cut to a whole wad before the first is added."""
    return ends[0] + floor(Fraction(grown * (ends[1] - ends[0]), WAD))
