"""How much a rescue's gas may cost, and how soon it must be mined: from the loss at stake and the time left. Pure.

The time left is counted in blocks until health 1 as projected: by what prices ordinarily do in a block, and by what
this position's health has done in the last ones, whichever is sooner. The money at stake is what a liquidation
would take.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from keeper.units import WAD, mul_div_down

PRESSING_BLOCKS = 10.0
"""With so few blocks left fees are bid high at once and rise every block: the base fee itself can grow 3.2 times."""
SIGMAS = 2.0
"""A touch within the projected blocks has the probability 2 Phi(-2), one in twenty-two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Urgency:
    """How soon a rescue must be mined."""

    blocks_left: float
    """Until health 1 as projected; infinite when nothing tends there."""
    emergency: bool
    """Health is below the policy's emergency."""

    @property
    def pressing(self) -> bool:
        """Fees are bid high and rise every block."""
        return self.emergency or self.blocks_left <= PRESSING_BLOCKS


def blocks_left(log_health: float, sigma_block: float, past: Sequence[tuple[int, float]]) -> float:
    """Blocks until log health 0, the sooner of diffusion and trend; 0 at or below it, or where it is unknown.

    ``sigma_block``: standard deviation of log health in one block, as prices ordinarily move. ``past``: (blocks
    ago, log health then), newest first. Diffusion reaches SIGMAS x sigma x sqrt(n) after n blocks, with the
    greater of the ordinary and the observed sigma; the trend is the mean fall over the past given.
    """
    if not log_health > 0.0:
        return 0.0
    known = [(ago, was) for ago, was in past if ago > 0 and math.isfinite(was)]
    sigma = max(sigma_block, _observed_sigma(log_health, known))
    ratio = log_health / (SIGMAS * sigma) if sigma > 0.0 else math.inf
    fall = max(((was - log_health) / ago for ago, was in known[-1:]), default=0.0)
    trend = log_health / fall if fall > 0.0 else math.inf
    # a product overflows to infinity, a power raises
    return min(ratio * ratio, trend)


def money_cap_usd(gas_usd: float, loss_usd: float | None, loss_pct: int, *, emergency: bool) -> float:
    """Most that gas may cost: the policy's dollars, and the share of the loss at stake; all of it in an emergency.

    A loss that is not known (None) limits nothing: the dollars do.
    """
    if loss_usd is None:
        return gas_usd
    return min(gas_usd, loss_usd if emergency else loss_usd * loss_pct / 100)


def cap_wei(usd: float, native_price_base: int, native_price_decimals: int) -> int:
    """Dollars as wei at the native token's price, rounded down to whole cents first."""
    cents = math.floor(usd * 100)
    return mul_div_down(cents, WAD * 10**native_price_decimals, 100 * native_price_base)


def _observed_sigma(log_health: float, past: Sequence[tuple[int, float]]) -> float:
    """Root of the mean squared fall a block between the points given; a rise may be our own rescue."""
    points = [(0, log_health), *past]
    moves = [max(0.0, was - later) ** 2 for (_, later), (_, was) in itertools.pairwise(points)]
    span = points[-1][0]
    return math.sqrt(sum(moves) / span) if span else 0.0
