"""Fixed-point units and rounding whose direction is in the name.

Money is integers until it enters the float64 risk core, and integers again from sizing on.
"""

from decimal import ROUND_DOWN, Decimal
from typing import NewType

Wad = NewType("Wad", int)
"""An integer scaled by 1e18 (health factors, thresholds, 18-decimal ratios)."""
Ray = NewType("Ray", int)
"""An integer scaled by 1e27 (Aave rates and indices)."""
Bps = NewType("Bps", int)
"""An integer scaled by 1e4 (percentages in protocol configuration)."""

WAD = 10**18
RAY = 10**27
BPS = 10_000
GWEI = 10**9
UINT256_MAX = 2**256 - 1
QUANTITY_CHARS_MAX = 66
"""0x and 256 bits: what a node counts is no longer, and a number of thousands of digits is written by nobody."""
"""Protocols answer this health factor for an account without debt."""
YEAR_S = 31_536_000
"""Seconds in a protocol year (365 days), as in Aave's MathUtils.SECONDS_PER_YEAR."""


def mul_div_down(a: int, b: int, d: int) -> int:
    """``floor(a * b / d)`` for non-negative integers."""
    return a * b // d


def mul_div_up(a: int, b: int, d: int) -> int:
    """``ceil(a * b / d)`` for non-negative integers."""
    return -(-a * b // d)


def wad_from(value: Decimal | str | int) -> Wad:
    """Exact wad of a decimal number; digits beyond the eighteenth are refused, not rounded."""
    scaled = Decimal(value) * WAD
    whole = scaled.to_integral_value(rounding=ROUND_DOWN)
    if whole != scaled:
        raise ValueError(f"{value} has more than 18 decimals")
    return Wad(int(whole))


def wad_float(value: int) -> float:
    """A wad as a float, for display and for the float64 core only."""
    return value / WAD


def decimal_text(units: int, decimals: int) -> str:
    """Exact plain text of ``units / 10**decimals`` without a trailing zero, e.g. ``1.5``."""
    sign, units = ("-", -units) if units < 0 else ("", units)
    whole, part = divmod(units, 10**decimals)
    tail = f"{part:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{sign}{whole}.{tail}" if tail else f"{sign}{whole}"
