"""What the market says of an account, past our reader."""

from __future__ import annotations

from keeper.model import Call, Position
from keeper.units import WAD
from keeper.venues.aave_v3.book import selector, word
from keeper.venues.asking import Asking, Fact, Ours, need, words_of
from keeper.venues.compound_v3 import CompoundV3, book

ACCRUE_ACCOUNT = selector("accrueAccount(address)")
COLLATERALIZED = selector("isBorrowCollateralized(address)")


async def facts(venue: CompoundV3, account: str, found: Position | None, asking: Asking) -> tuple[Fact, ...]:
    """Debt, verdicts and balances after the market's own accrual, as ``absorb`` would find them."""
    ours = Ours.of(found)
    m, who = venue.market, word(account)
    n = len(m.assets)
    answers = await asking.together(
        [
            Call(target=m.comet, data=ACCRUE_ACCOUNT + who),
            Call(target=m.comet, data=book.BORROW_BALANCE_OF + who),
            Call(target=m.comet, data=book.IS_LIQUIDATABLE + who),
            Call(target=m.comet, data=COLLATERALIZED + who),
            Call(target=m.comet, data=book.BALANCE_OF + who),
            *(
                Call(target=m.comet, data=book.USER_COLLATERAL + who + word(a.token.address))
                for a in m.assets
            ),
            *(Call(target=m.comet, data=book.ASSET_INFO + word(i)) for i in range(n)),
        ]
    )
    names = ("accrueAccount", "borrowBalanceOf", "isLiquidatable", "isBorrowCollateralized", "balanceOf")
    said = [need(name, answer) for name, answer in zip(names, answers, strict=False)]
    owed, absorbable, collateralized, lent = (
        words_of(n, a, 1)[0] for n, a in zip(names[1:], said[1:], strict=True)
    )
    held = [words_of("userCollateral", need("userCollateral", a), 1)[0] for a in answers[5 : 5 + n]]
    infos = [words_of("getAssetInfo", need("getAssetInfo", a), 8) for a in answers[5 + n :]]
    borrow_factor = {a.token.address: info[4] for a, info in zip(m.assets, infos, strict=True)}
    pledged = [h for h in ours.given if h.threshold_wad]
    carried = sum(h.value_base * borrow_factor[h.amount.token.address] // WAD for h in pledged)
    enough = carried >= sum(h.value_base for h in ours.owed)
    return (
        Fact(what=f"debt, {m.base.token.symbol}", ours=ours.debt_units, venue=owed),
        *(
            Fact(what=f"collateral, {a.token.symbol}", ours=mine, venue=units)
            for a, units in zip(m.assets, held, strict=True)
            if (mine := ours.units(a.token.address)) or units
        ),
        Fact(what=f"lent, {m.base.token.symbol}", ours=ours.units(m.base.token.address), venue=lent),
        Fact(what="liquidatable", ours=ours.low, venue=bool(absorbable)),
        Fact(what="collateralized", ours=enough, venue=bool(collateralized)),
    )
