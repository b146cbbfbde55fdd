"""What the market says, from Uniswap v3 pools on chain: averaged, so that one block's swap moves little. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from eth_utils.crypto import keccak

from keeper.model import Call, Token
from keeper.words import Words

OBSERVE = keccak(text="observe(uint32[])")[:4]
SLOT0 = keccak(text="slot0()")[:4]
LIQUIDITY = keccak(text="liquidity()")[:4]
WINDOW_S = 300
"""A pool's average over five minutes: long enough that holding a false price is dear, short enough to lead a feed."""
SPOT_APART = 0.02
"""Spot and average further apart than this: somebody moves the pool; neither is believed."""
_BASE = math.log(1.0001)
TICK_MAX = 887_272
SIGN24, SIGN56 = 1 << 23, 1 << 55


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool that prices ``base`` in ``quote``."""

    address: str
    base: Token
    quote: Token

    @property
    def base_is_first(self) -> bool:
        """Pools order their tokens by address."""
        return int(self.base.address, 16) < int(self.quote.address, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a pool said; ``why`` says why it is not believed."""

    pool: Pool
    price: float | None
    """Of one whole base token in whole quote tokens."""
    spot: float | None = None
    why: str = ""


def calls(pools: Sequence[Pool]) -> tuple[Call, ...]:
    """Three calls a pool."""
    ago = b"".join(w.to_bytes(32) for w in (32, 2, WINDOW_S, 0))
    return tuple(
        Call(target=p.address, data=data) for p in pools for data in (OBSERVE + ago, SLOT0, LIQUIDITY)
    )


def seen(pools: Sequence[Pool], words: Words) -> tuple[Seen, ...]:
    """Prices of the pools; nonsense or silence gives no price, with a reason."""
    return tuple(_one(pool, words, 3 * i) for i, pool in enumerate(pools))


def _one(pool: Pool, words: Words, at: int) -> Seen:
    if not words.ok[at] or words.count[at] < 6:
        return Seen(
            pool=pool, price=None, why="observe failed: the pool keeps too few observations, or is none"
        )
    if not words.ok[at + 1] or words.count[at + 1] < 7:
        return Seen(pool=pool, price=None, why="slot0 failed")
    if not words.ok[at + 2] or not words.count[at + 2] or not words.uint(at + 2):
        return Seen(pool=pool, price=None, why="nobody provides liquidity at its price")
    answer = words.uints(at)
    # (offset, offset, length, cumulative then, cumulative now, ...)
    if answer[2] != 2:
        return Seen(pool=pool, price=None, why="observe answered nonsense")
    then, now = _signed(answer[3], SIGN56), _signed(answer[4], SIGN56)
    tick = (now - then) / WINDOW_S
    spot_tick = _signed(words.uint(at + 1, 1) & (2**24 - 1), SIGN24)
    if abs(tick) > TICK_MAX or abs(spot_tick) > TICK_MAX:
        return Seen(pool=pool, price=None, why="observe answered nonsense")
    price, spot = price_of(pool, tick), price_of(pool, spot_tick)
    if abs(spot / price - 1.0) > SPOT_APART:
        return Seen(pool=pool, price=None, spot=spot, why=f"spot {spot:g} is far from its average {price:g}")
    return Seen(pool=pool, price=price, spot=spot)


def price_of(pool: Pool, tick: float) -> float:
    """Whole quote tokens for one whole base token at a tick."""
    raw = math.exp(tick * _BASE)
    decimals = 10.0 ** (pool.base.decimals - pool.quote.decimals)
    return raw * decimals if pool.base_is_first else decimals / raw


def _signed(word: int, sign: int) -> int:
    """The low bits of a word as a signed integer of that sign bit."""
    low = word & (2 * sign - 1)
    return low - 2 * sign if low & sign else low
