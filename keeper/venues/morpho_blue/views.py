"""What the contract says of an account, past our reader."""

from __future__ import annotations

from eth_utils.crypto import keccak

from keeper.errors import Unread
from keeper.model import Call, Position
from keeper.venues.aave_v3.book import selector, word
from keeper.venues.asking import Asking, Fact, Ours, need, reason, words_of
from keeper.venues.morpho_blue import MorphoBlue, book

LIQUIDATE = selector(f"liquidate({book.PARAMS},address,uint256,uint256,bytes)")
PRE_LIQUIDATE = selector("preLiquidate(address,uint256,uint256,bytes)")
PANIC = keccak(text="Panic(uint256)")[:4].hex()
NOT_PRE_LIQUIDATABLE = keccak(text="NotPreLiquidatablePosition()")[:4].hex()
HEALTHY, TAKEN = "position is healthy", "transfer"
"""Reasons of liquidate (ErrorsLib)."""


async def facts(venue: MorphoBlue, account: str, found: Position | None, asking: Asking) -> tuple[Fact, ...]:
    """Shares and totals after the contract's own accrual; whether ``liquidate`` takes the position."""
    ours = Ours.of(found)
    m = venue.market
    key = bytes.fromhex(m.key[2:])
    answers = await asking.together(
        [
            Call(target=m.morpho, data=book.ACCRUE + m.params),
            Call(target=m.morpho, data=book.MARKET + key),
            Call(target=m.morpho, data=book.POSITION + key + word(account)),
        ]
    )
    need("accrueInterest", answers[0])
    _, _, assets, total, _, _ = words_of("market", need("market", answers[1]), 6)
    _, shares, pledged = words_of("position", need("position", answers[2]), 3)
    # SharesMathLib.toAssetsUp: a virtual asset, a million virtual shares
    debt = -(-shares * (assets + 1) // (total + 10**6))
    takes = await _liquidates(venue, account, asking)
    for pre in m.pre:
        takes = takes or await _pre_liquidates(pre.address, venue, account, asking)
    return (
        Fact(what=f"collateral, {m.collateral.symbol}", ours=ours.units(m.collateral.address), venue=pledged),
        Fact(what=f"debt, {m.loan.symbol}", ours=ours.debt_units, venue=debt),
        Fact(what="liquidatable", ours=ours.low, venue=takes),
    )


async def _liquidates(venue: MorphoBlue, account: str, asking: Asking) -> bool:
    """Whether the contract would let one share of the debt be repaid by a liquidator."""
    m = venue.market
    tail = b"".join(word(n) for n in (account, 0, 1, 9 * 32, 0))
    ok, answer = await asking.attempt(Call(target=m.morpho, data=LIQUIDATE + m.params + tail))
    why = reason(answer)
    if not ok and HEALTHY in why:
        return False
    # past its verdict it wants a token that nobody pays here, or seizes more than is there
    if ok or TAKEN in why or answer.hex().startswith(PANIC):
        return True
    raise Unread(f"the venue's liquidate gave no verdict: {why}")


async def _pre_liquidates(pre: str, venue: MorphoBlue, account: str, asking: Asking) -> bool:
    """Whether a PreLiquidation that the owner authorised would take a share now."""
    who = Call(target=venue.market.morpho, data=book.IS_AUTHORIZED + word(account) + word(pre))
    (allowed,) = await asking.view("isAuthorized", who, 1)
    if not allowed:
        return False
    tail = b"".join(word(n) for n in (account, 0, 1, 4 * 32, 0))
    ok, answer = await asking.attempt(Call(target=pre, data=PRE_LIQUIDATE + tail))
    return ok or not answer.hex().startswith(NOT_PRE_LIQUIDATABLE)
