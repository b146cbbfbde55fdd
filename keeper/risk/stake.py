"""What a position would lose if it were liquidated, by its venue's rule: what protecting it may cost at most.

Values are those of now, the health just below 1 unless it is lower already: what one liquidation takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from keeper.model import WHOLE_BPS_AVERAGE, Position
from keeper.risk.loss import (
    AAVE_V3_0,
    AAVE_V3_3,
    GMX_MIN_COLLATERAL_USD,
    GmxRule,
    LossRule,
    MakerRule,
    comet_loss_usd,
    gmx_liquidatable,
    gmx_loss_usd,
    loss_usd,
    maker_loss_usd,
    morpho_rule,
)
from keeper.units import UINT256_MAX, wad_float

JUST_BELOW = math.nextafter(1.0, 0.0)
AAVE_LIKE = {"aave_v3": AAVE_V3_3, "aave_v3_0": AAVE_V3_0, "spark": AAVE_V3_0}
LENDING_VENUES = (*AAVE_LIKE, "compound_v3", "morpho_blue", "maker")
"""Rules of lending that a book file can name."""
PERP_VENUES = ("gmx_v2",)
_WHOLE = LossRule(bonus=0.05, close_factor=1.0)
"""Where nothing else is known of a venue: all of the debt at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One collateral: USD now, and of its rule the part that the venue uses: ``bonus`` on top of what is repaid
    (Aave), ``liquidation_factor`` credited of its value (Compound), ``threshold`` (Morpho's LLTV)."""

    value_usd: float
    threshold: float
    bonus: float = 0.0
    liquidation_factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """A lending position as a book file tells it; ``penalty`` is Maker's (0.13 = a chop of 1.13)."""

    venue: str
    collateral: tuple[Held, ...]
    debt_usd: float
    penalty: float = 0.13


def position_loss_usd(position: Position) -> float | None:
    """What one liquidation would take of a position as read; None without debt and where the venue names no
    bonus, so that nothing is known."""
    bonuses = [h.bonus_bps / 10_000 - 1 for h in position.collateral if h.threshold_wad and h.bonus_bps]
    if not bonuses or not position.debt:
        return None
    unit = 10**position.base_decimals
    if position.id.venue == "compound_v3":
        # credited at worth x liquidation factor, all of it at once; the factor is what the bonus is one over
        held = [h for h in position.collateral if h.threshold_wad and h.bonus_bps]
        factors = [min(1.0, 10_000 / h.bonus_bps) for h in held]
        return comet_loss_usd([h.value_base / unit for h in held], factors, True)
    line = "aave_v3_0" if WHOLE_BPS_AVERAGE in position.row.flags else position.id.venue
    rule = replace(AAVE_LIKE.get(line, _WHOLE), bonus=max(bonuses))
    collateral_usd = sum(h.value_base for h in position.collateral) / unit
    wad = position.health_wad
    health = JUST_BELOW if wad is None or wad == UINT256_MAX else min(wad_float(wad), JUST_BELOW)
    return loss_usd(collateral_usd, sum(h.value_base for h in position.debt) / unit, health, rule)


def loan_loss_usd(loan: Loan) -> float:
    """What one liquidation would take of a lending position. ValueError for a venue without a rule."""
    values = [h.value_usd for h in loan.collateral]
    collateral_usd = math.fsum(values)
    if loan.debt_usd == 0.0:
        return 0.0
    if loan.venue == "compound_v3":
        return comet_loss_usd(values, [h.liquidation_factor for h in loan.collateral], True)
    if loan.venue == "maker":
        rule = MakerRule(chop=1.0 + loan.penalty, dust_usd=0.0)
        return maker_loss_usd(collateral_usd, loan.debt_usd, False, rule)
    health = min(_health(loan), JUST_BELOW)
    return loss_usd(collateral_usd, loan.debt_usd, health, _rule(loan))


def perp_loss_usd(remaining_usd: float, size_usd: float, rule: GmxRule) -> float:
    """What a liquidation would take of a GMX position of ``size_usd`` entry notional: of what is left now where it
    is liquidatable already, else of what would be left when it becomes so."""
    if gmx_liquidatable(remaining_usd, size_usd, rule):
        return gmx_loss_usd(remaining_usd, size_usd, rule)
    least = max(GMX_MIN_COLLATERAL_USD, size_usd * rule.collateral_min)
    at_the_line = least + size_usd * (rule.close_fee + rule.impact_max)
    return gmx_loss_usd(math.nextafter(at_the_line, 0.0), size_usd, rule)


def expected_usd(losses: Sequence[float | None], chances: Sequence[float]) -> float:
    """Sum of loss x chance over the positions whose loss is known."""
    return math.fsum(x * p for x, p in zip(losses, chances, strict=True) if x is not None and p > 0.0)


def _health(loan: Loan) -> float:
    return math.fsum(h.value_usd * h.threshold for h in loan.collateral) / loan.debt_usd


def _rule(loan: Loan) -> LossRule:
    if loan.venue == "morpho_blue":
        # several collaterals are several markets of which the dearest may be meant
        return morpho_rule(min((h.threshold for h in loan.collateral), default=1.0))
    if loan.venue not in AAVE_LIKE:
        raise ValueError(f"no rule of {loan.venue} is known")
    return replace(AAVE_LIKE[loan.venue], bonus=max((h.bonus for h in loan.collateral), default=0.0))
