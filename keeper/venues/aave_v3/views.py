"""What the pool says of an account, past our reader."""

from __future__ import annotations

from keeper.model import Call, Position
from keeper.units import BPS, WAD
from keeper.venues.aave_v3 import AaveV3, book
from keeper.venues.aave_v3.book import word
from keeper.venues.asking import Asking, Fact, Ours


async def facts(venue: AaveV3, account: str, found: Position | None, asking: Asking) -> tuple[Fact, ...]:
    """``getUserAccountData``, in the market's base units."""
    ours = Ours.of(found)
    call = Call(target=venue.market.pool, data=book.GET_USER_ACCOUNT_DATA + word(account))
    told = await asking.view("getUserAccountData", call, 6)
    counted = [h for h in ours.given if h.threshold_wad]
    collateral = sum(h.value_base for h in counted)
    weighted = sum(h.value_base * (h.threshold_wad * BPS // WAD) for h in counted)
    return (
        Fact(what="collateral, base", ours=collateral, venue=told[0]),
        Fact(what="debt, base", ours=sum(h.value_base for h in ours.owed), venue=told[1]),
        Fact(what="threshold, bps", ours=weighted // collateral if collateral else 0, venue=told[3]),
        Fact(what="health, wad", ours=ours.health_wad, venue=told[5]),
    )
