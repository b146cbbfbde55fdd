"""How numbers are said in a why: short, rounded so that nothing reads healthier or cheaper than it is."""

from __future__ import annotations

from datetime import date

from keeper.model import Amount
from keeper.units import UINT256_MAX, WAD


def health_text(health_wad: int | None) -> str:
    """Health with up to four decimals, cut off rather than rounded: ``1.1789``, ``1.25``, ``no debt``."""
    if health_wad is None:
        return "unknown"
    if health_wad == UINT256_MAX:
        return "no debt"
    whole, part = divmod(health_wad * 10**4 // WAD, 10**4)
    return f"{whole}.{f'{part:04d}'.rstrip('0').ljust(2, '0')}"


def amount_text(amount: Amount) -> str:
    """Units and symbol, rounded up: two decimals from a thousand on, six below: ``3,214.55 USDC``."""
    decimals = amount.token.decimals
    shown = min(decimals, 2 if amount.units >= 1000 * 10**decimals else 6)
    step = 10 ** (decimals - shown)
    whole, part = divmod(-(-amount.units // step), 10**shown)
    tail = f"{part:0{shown}d}".rstrip("0").ljust(min(shown, 2), "0") if shown else ""
    return f"{whole:,}{f'.{tail}' if tail else ''} {amount.token.symbol}"


def usd_text(usd: float) -> str:
    """Dollars and cents: ``$0.84``."""
    return f"${usd:,.2f}"


def minute_text(at_s: int) -> str:
    """A unix time to its minute, cut off: ``2026-11-21 15:04 UTC``."""
    days, second = divmod(at_s, 86_400)
    # a date's ordinal counts days from year 1; 1970-01-01 is day 719,163
    return f"{date.fromordinal(719_163 + days)} {second // 3600:02d}:{second // 60 % 60:02d} UTC"
