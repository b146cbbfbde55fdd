"""The depth of Uniswap v3 pools, read tick by tick: what a sale would cost at a price that is not here yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from eth_utils.address import to_checksum_address

from keeper.errors import Transient
from keeper.executor import ticks
from keeper.executor.abi import selector
from keeper.executor.quotes import Way, sizes
from keeper.executor.ticks import Pool
from keeper.model import Call, Route
from keeper.words import Words

Read = Callable[[Sequence[Call]], Awaitable[Words]]
"""One multicall at one block: words in call order. Raises Transient."""

SLOT0 = selector("slot0()")
LIQUIDITY = selector("liquidity()")
SPACING = selector("tickSpacing()")
FEE = selector("fee()")
TOKEN0 = selector("token0()")
TOKEN1 = selector("token1()")
BITMAP = selector("tickBitmap(int16)")
TICKS = selector("ticks(int24)")
HEAD = (SLOT0, LIQUIDITY, SPACING, FEE, TOKEN0, TOKEN1)
SPAN = 8_500
"""Ticks read to either side: prices from 43 to 234 per cent of today's, a fall by half and what lies behind it."""
EDGE_ROUNDS = 16
"""Halvings by which the largest amount that a way can pay is found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The oracle's prices of one whole token by address, any common unit, and each token's units."""

    base: Mapping[str, int]
    units: Mapping[str, int]


async def read_pools(addresses: Sequence[str], read: Read) -> dict[str, Pool]:
    """Every pool that answers, by address. Three rounds. Raises Transient when a round as a whole fails."""
    wanted = tuple(dict.fromkeys(addresses))
    if not wanted:
        return {}
    words = await read([Call(target=a, data=name) for a in wanted for name in HEAD])
    heads = {a: h for i, a in enumerate(wanted) if (h := _head(a, words, i * len(HEAD))) is not None}
    maps = [(a, w) for a, h in heads.items() for w in range(_word(h, h.low), _word(h, h.high) + 1)]
    words = await read([Call(target=a, data=BITMAP + _signed(w)) for a, w in maps])
    stops = [
        (a, ((w << 8) + bit) * heads[a].spacing) for i, (a, w) in enumerate(maps) for bit in _bits(words, i)
    ]
    words = await read([Call(target=a, data=TICKS + _signed(t)) for a, t in stops]) if stops else words
    nets: dict[str, list[tuple[int, int]]] = {a: [] for a in heads}
    for i, (a, tick) in enumerate(stops):
        if heads[a].low <= tick <= heads[a].high:
            nets[a].append((tick, _int(words.uint(i, 1))))
    return {a: replace(h, nets=tuple(sorted(nets[a]))) for a, h in heads.items()}


def curve(way: Way, pools: Mapping[str, Pool], prices: Prices | None, most: int) -> Route | None:
    """The way with what up to ``most`` units bought cost: at ``prices``, or where the pools stand (None).

    A pool is taken to have followed the oracle to ``prices`` with its liquidity left where it is.
    """
    there = [_placed(pools.get(p), prices) for p in way.pools]
    along = [p for p in there if p is not None]
    if len(along) < len(there):
        return None
    points: list[tuple[int, int]] = []
    for bought in sizes(most):
        sold = _through(way, along, bought)
        if sold is None:
            points += _edge(way, along, points[-1][0] if points else 0, bought)
            break
        points.append((bought, sold))
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


def _edge(way: Way, pools: Sequence[Pool], good: int, bad: int) -> list[tuple[int, int]]:
    """The most that is paid at all, nearly."""
    for _ in range(EDGE_ROUNDS):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if _through(way, pools, middle) is not None else (good, middle)
    sold = _through(way, pools, good) if good else None
    return [(good, sold)] if sold else []


def _through(way: Way, pools: Sequence[Pool], bought: int) -> int | None:
    """From the last pool to the first: what one is asked to pay, the one before it must bring."""
    stops = (way.sell.address, *way.via, way.buy.address)
    amount: int | None = bought
    for pool, sell in zip(reversed(pools), reversed(stops[:-1]), strict=True):
        if amount is None:
            return None
        amount = ticks.sold_for(pool, sell, amount)
    return amount


def _placed(pool: Pool | None, prices: Prices | None) -> Pool | None:
    if pool is None or prices is None:
        return pool
    pair = (pool.token0, pool.token1)
    if not all(prices.base.get(t) and prices.units.get(t) for t in pair):
        return None
    base, units = [prices.base[t] for t in pair], [prices.units[t] for t in pair]
    return ticks.moved(pool, ticks.sqrt_of((base[0], base[1]), (units[0], units[1])))


def _head(address: str, words: Words, at: int) -> Pool | None:
    try:
        tick, spacing = _int(words.uint(at, 1)), words.uint(at + 2)
        token0, token1 = (_address(words.uint(at + i)) for i in (4, 5))
        sqrt_price, liquidity, fee_ppm = words.uint(at), words.uint(at + 1), words.uint(at + 3)
    except Transient:
        return None
    if not (spacing and sqrt_price):
        return None  # made, and never given a price
    # to whole words of the bitmap, so that its borders are inside
    wide = spacing << 8
    return Pool(
        address=address,
        token0=token0,
        token1=token1,
        fee_ppm=fee_ppm,
        spacing=spacing,
        sqrt_price=sqrt_price,
        tick=tick,
        liquidity=liquidity,
        nets=(),
        low=max(-ticks.TICK_MAX, (tick - SPAN) // wide * wide),
        high=min(ticks.TICK_MAX, ((tick + SPAN) // wide + 1) * wide - spacing),
    )


def _word(pool: Pool, tick: int) -> int:
    return tick // pool.spacing >> 8


def _bits(words: Words, i: int) -> list[int]:
    found = words.uint(i)
    return [bit for bit in range(256) if found >> bit & 1]


def _signed(value: int) -> bytes:
    return (value % 2**256).to_bytes(32)


def _int(word: int) -> int:
    return word - 2**256 if word >> 255 else word


def _address(word: int) -> str:
    return str(to_checksum_address(word.to_bytes(20)))
