"""What a venue's liquidators take of a loan that they may take from, each by its own rule; pure, in USD.

Every rule says what one call takes of one collateral and one debt, or of the whole account, and what is left unpaid:
``bad`` is debt that no collateral is left for, and it is named, never hidden. Nobody leaves a profit lying: where a
rule gives a liquidator the choice, the most is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from keeper.risk.loss import MakerRule, maker_barked_usd, morpho_incentive

MAKER = MakerRule(dust_usd=0.0)
"""A chop of 1.13 and auctions that sell a tenth below the market, as ``keeper risk`` assumes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """Aave's ways: how much of a debt one call may repay. Ratios of 1, USD."""

    of_all: bool
    """The half is of all debts, not of the one that is repaid."""
    full_below: float
    """Health below which all of the debt may be repaid; 0 never."""
    small_usd: float = 0.0
    """A collateral or a debt below it may be closed whole."""
    left_usd: float = 0.0
    """Neither side may be left with less, unless one of them is cleared."""


AAVE_V3_3 = Halves(of_all=True, full_below=0.95, small_usd=2_000.0, left_usd=1_000.0)
"""Aave v3.3 and later, LiquidationLogic: CLOSE_FACTOR_HF_THRESHOLD, MIN_BASE_MAX_CLOSE_FACTOR_THRESHOLD,
MIN_LEFTOVER_BASE (MustNotLeaveDust)."""
AAVE_V3_0 = Halves(of_all=False, full_below=0.95)
"""Aave v3.0 to v3.2 and Spark, LiquidationLogic: DEFAULT_LIQUIDATION_CLOSE_FACTOR of the debt that is repaid."""
AAVE_V2 = Halves(of_all=False, full_below=0.0)
"""Aave v2, LendingPoolCollateralManager: LIQUIDATION_CLOSE_FACTOR_PERCENT, half of the debt that is repaid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Of an account: its health, and in USD one collateral, one debt, and all debts."""

    health: float
    have: float
    owed: float
    all_owed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one call takes: debt repaid, collateral taken for it, debt that nobody pays any more."""

    repaid: float
    taken: float
    bad: float = 0.0


def halves(side: Side, bonus: float, rule: Halves) -> Taken:
    """One ``liquidationCall`` of Aave: half or all of a debt, the bonus on top, never more than there is."""
    whole = side.health < rule.full_below or side.have < rule.small_usd or side.owed < rule.small_usd
    repaid = min(side.owed, side.owed if whole else 0.5 * (side.all_owed if rule.of_all else side.owed))
    if rule.left_usd and not whole:
        repaid = _undusted(repaid, side, bonus, rule.left_usd)
    taken = min(repaid * (1.0 + bonus), side.have)
    return Taken(repaid=taken / (1.0 + bonus), taken=taken)


def _undusted(repaid: float, side: Side, bonus: float, least: float) -> float:
    """No more than leaves ``least`` on both sides, where neither is cleared."""
    taken = repaid * (1.0 + bonus)
    if repaid >= side.owed or taken >= side.have:
        return repaid
    if 0.0 < side.owed - repaid < least:
        repaid = side.owed - least
    if 0.0 < side.have - repaid * (1.0 + bonus) < least:
        repaid = (side.have - least) / (1.0 + bonus)
    return repaid


def morpho(have: float, owed: float, lltv: float) -> Taken:
    """Morpho Blue's ``liquidate``: no close factor, all at once for LIF = min(1.15, 1 / (1 - 0.3 (1 - LLTV))).

    Where collateral does not cover, the rest of the debt is taken off the lenders' shares in the same call.
    ValueError for an LLTV outside (0, 1].
    """
    incentive = morpho_incentive(lltv)
    taken = min(owed * incentive, have)
    repaid = min(owed, taken / incentive)
    return Taken(repaid=repaid, taken=taken, bad=owed - repaid if taken >= have else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Absorbed:
    """What an ``absorb`` leaves: USD of each collateral taken, debt cleared, and what is credited in the base
    asset."""

    taken: tuple[float, ...]
    cleared: float
    credited: float
    bad: float


def absorb(have: Sequence[float], factors: Sequence[float], owed: float) -> Absorbed:
    """Compound v3's ``absorb``: the whole account, each collateral credited at value x liquidationFactor.

    What exceeds the debt is the account's, in the base asset (Comet.absorbInternal: a new balance of 0 or more);
    what falls short is the protocol's reserves'. The discount at which it sells on (storeFrontPriceFactor) is no part
    of what the account loses. ValueError for unlike lengths.
    """
    worth = math.fsum(v * f for v, f in zip(have, factors, strict=True))
    return Absorbed(
        taken=tuple(have), cleared=owed, credited=max(0.0, worth - owed), bad=max(0.0, owed - worth)
    )


def auctioned(have: float, owed: float, rule: MakerRule = MAKER) -> Taken:
    """Maker's ``Dog.bark`` and its Clipper: all of the vault is auctioned for debt x chop, below the market.

    ``have`` at the market's price: the oracle's lags by an hour (OSM). What is not sold goes back to the owner; where
    all is sold and the tab is not met, the rest is the system's (``vow``). The penalty counts as taken.
    """
    barked = maker_barked_usd(owed, rule)
    taken = min(barked * rule.chop / (1.0 - rule.discount), have)
    repaid = min(barked, taken * (1.0 - rule.discount))
    return Taken(repaid=repaid, taken=taken, bad=barked - repaid)
