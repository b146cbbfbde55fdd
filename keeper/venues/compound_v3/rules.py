"""How Comet liquidates: the whole account at once. Source: Comet.absorbInternal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.model import Position
from keeper.seams import LiquidationRule, LogFilter
from keeper.units import WAD
from keeper.venues.compound_v3.book import Market

ABSORB_DEBT = "0x" + keccak(text="AbsorbDebt(address,address,uint256,uint256)").hex()
"""CometMainInterface.AbsorbDebt; absorber and borrower are indexed."""
APPROVAL = "0x" + keccak(text="Approval(address,address,uint256)").hex()
"""CometExt.Approval: owner and spender are indexed; the amount is all or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absorbed:
    """What an absorption leaves, in 8 decimals."""

    seized_base: int
    """Worth of the collateral taken: all of it."""
    credited_base: int
    """What the account is credited for it."""
    lost_base: int
    """The owner's loss: seized less credited, and whatever the credit exceeds the debt by stays as a loan."""


def rule() -> LiquidationRule:
    """The rule in words; a debt may be left at any size, but none may be borrowed below baseBorrowMin."""
    return LiquidationRule(
        close_factor="all collateral and all debt at once (Comet.absorb), below 1 after accrual", dust_base=0
    )


def absorbed(position: Position) -> Absorbed:
    """An absorption of the position at its prices (deltaValue = sum of worth x liquidation factor)."""
    taken = [h for h in position.collateral if h.threshold_wad]
    seized = sum(h.value_base for h in taken)
    credited = sum(h.value_base * 10_000 // h.bonus_bps if h.bonus_bps else 0 for h in taken)
    return Absorbed(seized_base=seized, credited_base=credited, lost_base=seized - credited)


def verdict(position: Position) -> bool:
    """Whether ``absorb`` would take the account now."""
    return position.health_wad is not None and position.health_wad < WAD


def permissions(market: Market, account: str) -> LogFilter:
    """Whom ``account`` let act for it, by ``allow``; the first releases left no such logs."""
    return LogFilter(target=market.comet, topics=(APPROVAL, "0x" + account[2:].lower().rjust(64, "0")))


def permitted(logs: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Who may act now, by the last word on each, from the logs of ``permissions`` in their order."""
    now: dict[str, bool] = {}
    for log in logs:
        topics = log["topics"]
        assert isinstance(topics, Sequence)
        now[str(to_checksum_address("0x" + str(topics[2])[-40:]))] = bool(int(str(log["data"]), 16))
    return tuple(sorted(who for who, may in now.items() if may))


def liquidations(market: Market, account: str) -> LogFilter:
    """Absorptions of ``account`` in this market."""
    return LogFilter(
        target=market.comet, topics=(ABSORB_DEBT, None, "0x" + account[2:].lower().rjust(64, "0"))
    )
