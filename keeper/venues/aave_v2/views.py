"""What the pool says of an account, past our reader."""

from __future__ import annotations

from keeper.model import Call, Position
from keeper.venues.aave_v2 import AaveV2, book
from keeper.venues.aave_v3.book import word
from keeper.venues.asking import Asking, Fact, Ours, words_of


async def facts(venue: AaveV2, account: str, found: Position | None, asking: Asking) -> tuple[Fact, ...]:
    """``getUserAccountData``'s health, and the tokens' own balances: values are the oracle's currency there, dollars
    here.
    """
    ours, pool = Ours.of(found), venue.market.pool
    call = Call(target=pool, data=book.GET_USER_ACCOUNT_DATA + word(account))
    told = await asking.view("getUserAccountData", call, 6)
    out = [Fact(what="health, wad", ours=ours.health_wad, venue=told[5])]
    for listing in venue.market.listings:
        holders = (listing.a_token, listing.debt_token, listing.stable_token)
        answers = await asking.together(
            [Call(target=h, data=book.BALANCE_OF + word(account)) for h in holders]
        )
        given, variable, fixed = (words_of("balanceOf", answer, 1)[0] for _, answer in answers)
        address, symbol = listing.token.address, listing.token.symbol
        owed = sum(h.amount.units for h in ours.owed if h.amount.token.address == address)
        if given or ours.units(address):
            out.append(Fact(what=f"collateral, {symbol}", ours=ours.units(address), venue=given))
        if variable or fixed or owed:
            out.append(Fact(what=f"debt, {symbol}", ours=owed, venue=variable + fixed))
    return tuple(out)
