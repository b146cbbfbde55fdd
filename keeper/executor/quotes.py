"""Swaps and flash loans of one block: what is asked when a position is in need, and the answers as facts."""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode

from keeper.errors import Transient
from keeper.executor.abi import path, selector
from keeper.executor.read import BALANCE_OF
from keeper.model import Call, Lender, Route, Source, Token
from keeper.units import mul_div_up
from keeper.words import Words

QUOTE = selector("quoteExactOutput(bytes,uint256)")
"""Uniswap v3 QuoterV2; its first word is the amount in."""
PREMIUM = selector("FLASHLOAN_PREMIUM_TOTAL()")
CONFIGURATION = selector("getConfiguration(address)")
CASH = selector("getVirtualUnderlyingBalance(address)")
PAUSED_STATE = selector("getPausedState()")
FLASH_FEE = selector("getFlashLoanFeePercentage()")
"""Balancer v2: of the vault, and of its ProtocolFeesCollector (a wad)."""
PPM_WAD = 10**12
ACTIVE_BIT, PAUSED_BIT, FLASH_BIT = 56, 60, 63
"""ReserveConfiguration of Aave v3."""
BPS_PPM = 100
SIZES_64 = (1, 2, 4, *range(8, 65, 8))
"""Sizes asked, in 64ths of the largest: evenly, and small ones for a pool that has little; a chord between two lies
above a convex curve, so against us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A route that exists, without prices: pools in the order in which the collateral passes them."""

    executor: str
    sell: Token
    buy: Token
    fees: tuple[int, ...]
    via: tuple[str, ...]
    pools: tuple[str, ...]
    router: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Where one Executor can borrow one token: what is asked about it each time."""

    executor: str
    source: Source
    token: str
    pool: str
    other_token: str = ""
    pool_fee: int = 0
    fees: str = ""
    """BALANCER: the contract that tells what a loan costs."""


def route_calls(way: Way, quoter: str, most: int) -> tuple[Call, ...]:
    """What ``most`` units bought, and less, would cost in collateral."""
    backwards = path((way.sell.address, *way.via, way.buy.address)[::-1], way.fees[::-1])
    return tuple(
        Call(target=quoter, data=QUOTE + encode(["bytes", "uint256"], [backwards, units]))
        for units in sizes(most)
    )


def sizes(most: int) -> tuple[int, ...]:
    """The sizes asked for, ascending, none of them nothing."""
    return tuple(sorted({units for i in SIZES_64 if (units := most * i // 64) > 0}))


def route(way: Way, most: int, words: Words) -> Route | None:
    """The way with its prices; None where no size could be quoted."""
    points: list[tuple[int, int]] = []
    for i, units in enumerate(sizes(most)):
        if words.ok[i] and words.count[i]:
            sold = words.uint(i)
            # a quote that falls is no curve: what follows it is not believed
            if sold <= 0 or (points and sold <= points[-1][1]):
                break
            points.append((units, sold))
    if not points:
        return None
    return Route(
        executor=way.executor,
        sell=way.sell,
        buy=way.buy,
        fees=way.fees,
        via=way.via,
        pools=way.pools,
        router=way.router,
        points=tuple(points),
    )


def sold_up(found: Route, bought: int) -> int | None:
    """Collateral units that ``bought`` debt units cost, by chords of the curve, rounded up; None beyond it."""
    if found.calldata:  # an offer of one size: all of it or nothing
        (most, sold) = found.points[0]
        return sold if bought <= most else None
    below = (0, 0)
    for at in found.points:
        if bought <= at[0]:
            return below[1] + mul_div_up(bought - below[0], at[1] - below[1], at[0] - below[0])
        below = at
    return None


def bought_down(found: Route, sold: int) -> int:
    """Debt units that ``sold`` collateral units surely buy, by the same chords, rounded down."""
    if found.calldata:
        return found.points[0][0] if sold >= found.points[0][1] else 0
    below = (0, 0)
    for at in found.points:
        if sold <= at[1]:
            return below[0] + (sold - below[1]) * (at[0] - below[0]) // (at[1] - below[1])
        below = at
    return below[0]


def lender_calls(window: Window) -> tuple[Call, ...]:
    """What must be known of a flash loan; the order is what ``lender`` expects."""
    token = bytes.fromhex(window.token[2:]).rjust(32, b"\0")
    if window.source is Source.AAVE_V3:
        return (
            Call(target=window.pool, data=CONFIGURATION + token),
            Call(target=window.pool, data=PREMIUM),
            Call(target=window.pool, data=CASH + token),
        )
    holder = bytes.fromhex(window.pool[2:]).rjust(32, b"\0")
    cash = Call(target=window.token, data=BALANCE_OF + holder)
    if window.source is Source.BALANCER:
        return (
            cash,
            Call(target=window.fees, data=FLASH_FEE),
            Call(target=window.pool, data=PAUSED_STATE),
        )
    return (cash,)


def cash_call(window: Window) -> Call:
    """What of ``lender_calls`` tells how much there is to lend."""
    calls = lender_calls(window)
    return calls[-1] if window.source is Source.AAVE_V3 else calls[0]


def lender(window: Window, words: Words) -> Lender | None:
    """The loan as it could be taken; None where it is switched off or could not be read."""
    fee_ppm = window.pool_fee
    try:
        if window.source is Source.AAVE_V3:
            bits = words.uint(0)
            if not bits >> ACTIVE_BIT & 1 or bits >> PAUSED_BIT & 1 or not bits >> FLASH_BIT & 1:
                return None
            fee_ppm, cash = words.uint(1) * BPS_PPM, words.uint(2)
        elif window.source is Source.BALANCER:
            if words.uint(2):
                return None
            cash, fee_ppm = words.uint(0), -(-words.uint(1) // PPM_WAD)
        else:
            cash = words.uint(0)
    except Transient:
        return None
    return Lender(
        executor=window.executor,
        source=window.source,
        token=window.token,
        fee_ppm=fee_ppm,
        cash_units=cash,
        pool=window.pool,
        other_token=window.other_token,
        pool_fee=window.pool_fee,
    )


def fee_up(loan: Lender, units: int) -> int:
    """Debt units that borrowing ``units`` costs at the most."""
    return mul_div_up(units, loan.fee_ppm, 1_000_000)
