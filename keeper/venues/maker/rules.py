"""How vaults are liquidated: the whole vault goes to auction. Sources: Dog.bark, Clipper."""

from __future__ import annotations

from eth_utils.crypto import keccak

from keeper.model import Position
from keeper.seams import LiquidationRule, LogFilter
from keeper.units import RAY, WAD
from keeper.venues.maker.book import Market

BARK = "0x" + keccak(text="Bark(bytes32,address,uint256,uint256,uint256,address,uint256)").hex()
"""Dog.Bark; collateral type, vault and auction are indexed."""


def rule(market: Market) -> LiquidationRule:
    """The rule in words, and the dust limit in dollars of 18 decimals."""
    return LiquidationRule(
        close_factor=f"the whole vault by auction (Dog.bark), penalty {market.chop / WAD - 1:.0%}",
        dust_base=market.dust // RAY,
    )


def penalty_base(position: Position) -> int:
    """What a bark adds to the debt at most, in the position's base units."""
    chop = max((h.bonus_bps for h in position.collateral), default=10_000)
    return sum(h.value_base for h in position.debt) * max(0, chop - 10_000) // 10_000


def liquidations(market: Market, account: str) -> LogFilter:
    """Barks at one vault."""
    urn = "0x" + account[2:].lower().rjust(64, "0")
    return LogFilter(target=market.dog, topics=(BARK, market.ilk, urn))
