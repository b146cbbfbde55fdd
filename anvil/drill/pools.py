"""Uniswap v3 pools on a fork: thinner than they are, and moved with the oracle, by writing what they store.

A crash empties pools and traders bring them to the market's price; nobody's tokens are needed for that here. Storage
of UniswapV3Pool (v3-core, same on every chain): slot0 0, liquidity 4, ticks 5, tickBitmap 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from anvil.client import Chain

FEES = (100, 500, 3_000, 10_000)
ZERO = "0x" + "00" * 20
_SLOT0, _LIQUIDITY, _TICKS, _BITMAP = 0, 4, 5, 6
_BASE = 1.0001
_REACH = 24_000
"""Ticks to either side whose liquidity is thinned: a price eleven times as high or low."""
_TICK_MAX = 887_272
_PRICE_BITS = (1 << 184) - 1
"""sqrtPriceX96 and tick, the lower bits of slot0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One pool: its tokens in order, and its thinned liquidity by interval of ticks."""

    address: str
    tokens: tuple[str, str]
    tick: int
    edges: tuple[int, ...]
    """Initialised ticks within reach, ascending."""
    liquidity: tuple[int, ...]
    """Thinned, of the interval before each edge, and after the last."""


def thinned(chain: Chain, factory: str, tokens: Sequence[str], thin: int) -> tuple[Pool, ...]:
    """Every pool between two of ``tokens`` with a ``thin``-th of its liquidity from now on."""
    ordered = sorted(set(tokens), key=lambda t: int(t, 16))
    found = []
    for n, a in enumerate(ordered):
        for b in ordered[n + 1 :]:
            for fee in FEES:
                address = chain.call(factory, "getPool(address,address,uint24)(address)", a, b, fee)
                if address != ZERO:
                    found.append(_thin(chain, str(address), (a, b), thin))
    return tuple(found)


def bring(chain: Chain, pools: Iterable[Pool], multiples: dict[str, float]) -> None:
    """Each pool's price where its tokens' multiples of their start prices put it."""
    for pool in pools:
        ratio = multiples.get(pool.tokens[0], 1.0) / multiples.get(pool.tokens[1], 1.0)
        tick = pool.tick + round(math.log(ratio) / math.log(_BASE))
        tick = max(-_TICK_MAX, min(_TICK_MAX - 1, tick))
        # half a tick in, so that price and tick agree whatever the rounding
        root = int(_BASE ** ((tick + 0.5) / 2) * 2**96)
        old = _load(chain, pool.address, [_SLOT0])[0]
        word = (old & ~_PRICE_BITS) | ((tick & 0xFFFFFF) << 160) | root
        here = sum(edge <= tick for edge in pool.edges)
        _write(chain, pool.address, {_SLOT0: word, _LIQUIDITY: pool.liquidity[here]})


def _thin(chain: Chain, address: str, tokens: tuple[str, str], thin: int) -> Pool:
    spacing = int(chain.call(address, "tickSpacing()(int24)"))
    slot0, liquidity = _load(chain, address, [_SLOT0, _LIQUIDITY])
    tick = _signed(slot0 >> 160 & 0xFFFFFF, 24)
    edges = _edges(chain, address, tick, spacing)
    words = _load(chain, address, [_tick_slot(e) for e in edges])
    nets = [_signed(w >> 128, 128) for w in words]
    below = sum(e <= tick for e in edges)
    whole = [0] * (len(edges) + 1)
    whole[below] = liquidity
    for i in range(below, len(edges)):
        whole[i + 1] = whole[i] + nets[i]
    for i in range(below, 0, -1):
        whole[i - 1] = whole[i] - nets[i - 1]
    thinner = [max(x, 0) // thin for x in whole]
    changed = {
        _tick_slot(edge): ((after - before) % 2**128) << 128 | max(1, (word & (2**128 - 1)) // thin)
        for edge, word, (before, after) in zip(edges, words, pairwise(thinner), strict=True)
    }
    _write(chain, address, {**changed, _LIQUIDITY: thinner[below]})
    return Pool(address=address, tokens=tokens, tick=tick, edges=tuple(edges), liquidity=tuple(thinner))


def _edges(chain: Chain, address: str, tick: int, spacing: int) -> list[int]:
    """Initialised ticks within reach of ``tick``."""
    first, last = ((tick + d) // spacing >> 8 for d in (-_REACH, _REACH))
    places = range(first, last + 1)
    slots = [_mapping_slot("int16", place, _BITMAP) for place in places]
    words = _load(chain, address, slots)
    return [
        ((place << 8) + bit) * spacing
        for place, word in zip(places, words, strict=True)
        for bit in range(256)
        if word >> bit & 1
    ]


def _tick_slot(tick: int) -> int:
    return _mapping_slot("int24", tick, _TICKS)


def _mapping_slot(kind: str, key: int, slot: int) -> int:
    return int.from_bytes(keccak(encode([kind, "uint256"], [key, slot])))


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _load(chain: Chain, address: str, slots: Sequence[int]) -> list[int]:
    asked = [("eth_getStorageAt", (address, hex(slot), "latest")) for slot in slots]
    return [int(word, 16) for word in chain.batch(asked)]


def _write(chain: Chain, address: str, words: dict[int, int]) -> None:
    chain.batch(
        ("anvil_setStorageAt", (address, f"0x{slot:064x}", f"0x{word:064x}")) for slot, word in words.items()
    )
