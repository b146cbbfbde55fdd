"""A loan on ETH and a short that hedges it, as GMX v2 would count it: builders for tests of the joint view."""

from __future__ import annotations

from keeper.model import Acting, Amount, BookRow, Perp, PerpOrder, Position, PositionId, Token
from keeper.units import UINT256_MAX, WAD
from tests.build import ALICE, CHAIN_ID, USDC, WETH, collateral, debt, position

USD = 10**30
INDEX = Token(chain_id=CHAIN_ID, address=WETH.address, symbol="ETH", decimals=18)
SHORT = PositionId(venue="gmx_v2", chain_id=CHAIN_ID, account=ALICE, key="market/usdc/short")


def loan(price: str, *, eth: str = "10", owed: str = "12000") -> Position:
    """Ether at 0.83 against dollars."""
    return position([collateral(WETH, eth, price=price)], [debt(USDC, owed)])


def perp(
    price: float,
    *,
    eth: float = 5.0,
    entry: float = 2000.0,
    margin_usd: float = 2_000.0,
    long: bool = False,
    disabled: bool = False,
    orders: tuple[PerpOrder, ...] = (),
) -> Perp:
    """The short's own numbers at a price; 1 % of its entry notional must remain."""
    tokens, size = int(eth * 10**18), int(eth * entry) * USD
    here = int(price) * 10**12
    won = size - tokens * here
    return Perp(
        long=long,
        size_usd=size,
        tokens=tokens,
        margin=int(margin_usd * 10**6),
        index=INDEX,
        collateral=USDC,
        index_price=here,
        index_mid=here,
        collateral_price=10**24,
        collateral_mid=10**24,
        stable=True,
        pnl_usd=won,
        won_usd=won,
        impact_usd=0,
        impact_least_usd=0,
        closing_usd=0,
        fee_factor=6 * 10**26,
        owed=0,
        remaining_usd=int(margin_usd) * USD + won,
        minimum_factor=10**28,
        minimum_factor_after=10**28,
        minimum_usd=USD,
        size_least_usd=10 * USD,
        orders=orders,
        order_expires_s=300,
        increase_gas=3_000_000,
        decrease_gas=3_000_000,
        disabled=disabled,
        acting=Acting(subaccount=ALICE, allowed=True, actions_left=10, until_s=2**40),
    )


def short(found: Perp | None, *, at: int = 100) -> Position:
    """Its position; None: closed, by whomever. Health is the price it may rise to over the price now."""
    health = UINT256_MAX
    if found is not None and found.tokens:
        spare = found.remaining_usd - found.need_usd
        worth = found.tokens * found.index_price
        health = max(spare + worth, 0) * WAD // worth
    return Position(
        id=SHORT,
        owner=ALICE,
        block_number=at,
        health_wad=health,
        collateral=(),
        debt=(),
        base_decimals=30,
        row=BookRow(feeds=(), a=(), b=()),
        perp=found,
    )


def order(key: str = "0x" + "11" * 32, *, resting: bool = False) -> PerpOrder:
    """One of the owner's orders."""
    return PerpOrder(
        key=key, kind=4, size_usd=USD, margin=0, trigger_price=0, age_s=5, resting=resting, frozen=False
    )


def dollars(usd: int) -> Amount:
    """USDC."""
    return Amount(token=USDC, units=usd * 10**6)
