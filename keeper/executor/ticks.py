"""Uniswap v3's own arithmetic over a pool's ticks: what an exact amount costs, from any price. Exact integers.

Sources: v3-core TickMath, SqrtPriceMath, SwapMath, TickBitmap and UniswapV3Pool.swap. Word boundaries of the tick
bitmap are stops too, because the pool rounds up at each: a quote here equals the Quoter's to the last unit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from math import isqrt

from keeper.units import mul_div_up

Q96 = 2**96
TICK_MAX = 887_272
PPM = 1_000_000
_RATIOS = (
    0xFFFCB933BD6FAD37AA2D162D1A594001, 0xFFF97272373D413259A46990580E213A, 0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0, 0xFFCB9843D60F6159C9DB58835C926644, 0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861, 0xFE5DEE046A99A2A811C461F1969C3053, 0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54, 0xF3392B0822B70005940C7A398E4B70F3, 0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825, 0xA9F746462D870FDF8A65DC1F90E061E5, 0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6, 0x9AA508B5B7A84E1C677DE54F3E99BC9, 0x5D6AF8DEDB81196699C329225EE604,
    0x2216E584F5FA1EA926041BEDFE98, 0x48A170391F7DC42444E8FA2,
)  # fmt: skip
"""TickMath: 1.0001 ** (-2**i / 2) in Q128."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One pool at one block: where it stands, and its liquidity between two ticks."""

    address: str
    token0: str
    token1: str
    fee_ppm: int
    spacing: int
    sqrt_price: int
    """Q64.96."""
    tick: int
    liquidity: int
    """In range at ``tick``."""
    nets: tuple[tuple[int, int], ...]
    """(initialised tick, liquidity that is gained when the price rises through it), ascending."""
    low: int
    """From this tick ..."""
    high: int
    """... to this one every initialised tick is in ``nets``; beyond, nothing is known."""


@dataclass(slots=True, kw_only=True)
class _Walk:
    """A swap under way."""

    sqrt_price: int
    tick: int
    liquidity: int
    left: int
    paid: int = 0
    ticks: tuple[int, ...] = field(default=())


def sqrt_at(tick: int) -> int:
    """TickMath.getSqrtRatioAtTick: sqrt(1.0001 ** tick) as Q64.96."""
    if abs(tick) > TICK_MAX:
        raise ValueError(f"tick {tick} is none")
    ratio, i = 1 << 128, 0
    while abs(tick) >> i:
        if abs(tick) >> i & 1:
            ratio = ratio * _RATIOS[i] >> 128
        i += 1
    if tick > 0:
        ratio = (2**256 - 1) // ratio
    return -(-ratio >> 32)


def tick_at(sqrt_price: int) -> int:
    """TickMath.getTickAtSqrtRatio: the greatest tick whose price is not above."""
    low, high = -TICK_MAX, TICK_MAX
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sqrt_at(middle) <= sqrt_price else (low, middle - 1)
    return low


def sqrt_of(prices: tuple[int, int], units: tuple[int, int]) -> int:
    """The price at which (token0, token1) trade as these prices of a whole token say; ``units``: of one token."""
    return isqrt((prices[0] * units[1] << 192) // (prices[1] * units[0]))


def moved(pool: Pool, sqrt_price: int) -> Pool | None:
    """The pool as it would stand at another price, its liquidity left where it is; None beyond what is known."""
    tick = tick_at(sqrt_price)
    if not pool.low <= tick < pool.high:
        return None
    ticks = [t for t, _ in pool.nets]
    here, there = bisect_right(ticks, pool.tick), bisect_right(ticks, tick)
    passed = sum(net for _, net in pool.nets[min(here, there) : max(here, there)])
    liquidity = pool.liquidity + (passed if there > here else -passed)
    return replace(pool, sqrt_price=sqrt_price, tick=tick, liquidity=liquidity)


def sold_for(pool: Pool, sell: str, bought: int) -> int | None:
    """Units of ``sell`` that an exact ``bought`` units of the other token cost, fee included; None where the
    known liquidity does not suffice.
    """
    down = sell == pool.token0
    walk = _Walk(
        sqrt_price=pool.sqrt_price,
        tick=pool.tick,
        liquidity=pool.liquidity,
        left=bought,
        ticks=tuple(t for t, _ in pool.nets),
    )
    while walk.left > 0:
        stop, initialised = _next(pool, walk, down)
        if not pool.low <= stop <= pool.high:
            return None
        edge = sqrt_at(stop)
        _step(walk, edge, pool.fee_ppm, down)
        if walk.sqrt_price != edge:
            break
        if initialised:
            net = pool.nets[bisect_left(walk.ticks, stop)][1]
            walk.liquidity += -net if down else net
        walk.tick = stop - 1 if down else stop
    return walk.paid if walk.left == 0 else None


def _next(pool: Pool, walk: _Walk, down: bool) -> tuple[int, bool]:
    """TickBitmap.nextInitializedTickWithinOneWord."""
    compressed = walk.tick // pool.spacing
    if down:
        border = (compressed >> 8 << 8) * pool.spacing
        i = bisect_right(walk.ticks, compressed * pool.spacing) - 1
        found = i >= 0 and walk.ticks[i] >= border
        return (walk.ticks[i], True) if found else (border, False)
    border = ((compressed + 1 >> 8 << 8) + 255) * pool.spacing
    i = bisect_left(walk.ticks, (compressed + 1) * pool.spacing)
    found = i < len(walk.ticks) and walk.ticks[i] <= border
    return (walk.ticks[i], True) if found else (border, False)


def _step(walk: _Walk, edge: int, fee_ppm: int, down: bool) -> None:
    """SwapMath.computeSwapStep of an exact output."""
    here, liquidity = walk.sqrt_price, walk.liquidity
    most = _amount1(edge, here, liquidity) if down else _amount0(here, edge, liquidity)
    if walk.left >= most:
        there, out = edge, most
    else:
        there, out = _after(here, liquidity, walk.left, down), walk.left
    taken = _amount0_up(there, here, liquidity) if down else _amount1_up(here, there, liquidity)
    walk.paid += taken + mul_div_up(taken, fee_ppm, PPM - fee_ppm)
    walk.left -= out
    walk.sqrt_price = there


def _after(here: int, liquidity: int, out: int, down: bool) -> int:
    """SqrtPriceMath.getNextSqrtPriceFromOutput."""
    if down:
        return here - mul_div_up(out, Q96, liquidity)
    wide = liquidity << 96
    return mul_div_up(wide, here, wide - out * here)


def _amount0(low: int, high: int, liquidity: int) -> int:
    return (liquidity << 96) * (high - low) // high // low


def _amount0_up(low: int, high: int, liquidity: int) -> int:
    return -(-mul_div_up(liquidity << 96, high - low, high) // low)


def _amount1(low: int, high: int, liquidity: int) -> int:
    return liquidity * (high - low) // Q96


def _amount1_up(low: int, high: int, liquidity: int) -> int:
    return mul_div_up(liquidity, high - low, Q96)
