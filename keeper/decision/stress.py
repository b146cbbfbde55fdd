"""What a rescue must survive besides reaching target: one further move of every volatile price, up or down."""

from __future__ import annotations

from keeper.decision.defaults import STABLE_BAND
from keeper.model import Holding, Policy, Position
from keeper.phrases import health_text
from keeper.units import UINT256_MAX

PPM = 1_000_000


def factors_ppm(policy: Policy) -> tuple[int, ...]:
    """What volatile prices are multiplied by, in millionths: nothing, the fall, the rise; nothing alone without one.

    Both ways, because a debt in a volatile asset is hurt by a rise. What stands within ``STABLE_BAND`` of one
    dollar holds.
    """
    move = round(policy.stress_pct * PPM / 100)
    return (PPM, PPM - move, PPM + move) if move > 0 else (PPM,)


def moved_ppm(holding: Holding, position: Position, factor_ppm: int) -> int:
    """The factor of one holding's price."""
    dollar = 10**position.base_decimals
    stable = abs(holding.price_base - dollar) <= int(STABLE_BAND * dollar)
    return PPM if stable else factor_ppm


def health_under_wad(position: Position, factor_ppm: int) -> int:
    """Health after the move, by value x threshold over debt, rounded down; 2**256-1 without debt."""
    owed = sum(-(-h.value_base * moved_ppm(h, position, factor_ppm) // PPM) for h in position.debt)
    if not owed:
        return UINT256_MAX
    counted = sum(
        h.value_base * moved_ppm(h, position, factor_ppm) // PPM * h.threshold_wad
        for h in position.collateral
    )
    return counted // owed


def lowest_wad(position: Position, policy: Policy) -> int:
    """The lowest health under the stress set; 2**256-1 where the policy asks for none."""
    return min((health_under_wad(position, f) for f in factors_ppm(policy)[1:]), default=UINT256_MAX)


def survives(position: Position, policy: Policy) -> bool:
    """Whether the stress set leaves health at emergency or above."""
    return lowest_wad(position, policy) >= policy.emergency_wad


def fragile_text(position: Position, policy: Policy) -> str:
    """How it would stand after the stress that it does not survive."""
    return (
        f"STRESS NOT MET: a further {policy.stress_pct:g} % leaves health "
        f"{health_text(lowest_wad(position, policy))} < emergency {health_text(policy.emergency_wad)}"
    )
