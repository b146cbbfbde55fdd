"""Liquidation cascades: liquidations sell collateral, selling moves prices, moved prices liquidate more.

Rounds in the manner of Jacobi: every position is judged at the round's prices, what is seized is sold
together, and the next round's prices are p0 (1 + shock) exp(-sum over its factors of sold / depth): what is
sold of a staked token lowers its base for everybody, and its ratio to the base where that has a market. The
fixed point is reached when a round liquidates nobody. A position is judged again only when prices have fallen
past the slack it had (see ``watch``), with the same result as judging everybody every round. Lending
positions: entries with b = 0 are collateral at threshold a.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from keeper.risk.book import Book, Floats, Ints
from keeper.risk.jit import Kernels, inlined, lean, record_type, signature

ROUNDS_MAX = 1000
DUST = 1e-12
"""Share of a side below which it counts as gone."""


class Market(NamedTuple):
    """``price`` float64[F] after the first shock, ``depth`` float64[K] USD of selling that moves a factor by 1/e,
    ``base`` and ``ratio`` int64[F] the two factors of each feed; ``close`` share of debt repaid at once while
    health > ``full_below``, else all; ``bonus`` of what is repaid.
    """

    price: Floats
    depth: Floats
    base: Ints
    ratio: Ints
    close: float
    full_below: float
    bonus: float


class Fall(NamedTuple):
    """State and result. ``a``, ``b`` float64[N] what is left; ``value`` float64[N] tokens a unit of ``a``
    stands for (1 / threshold, 0 for debt); ``price`` float64[F] now; ``sold`` float64[F] USD by feed; ``due``
    float64[U] fall of log prices at which a position is judged again; ``hit`` int64[U] rounds in which it was
    liquidated; ``total`` float64[3]: rounds, USD repaid, judgements; ``fresh`` float64[F] USD sold this
    round; ``pull`` float64[K] USD sold by factor, ``step`` float64[K] this round's."""

    a: Floats
    b: Floats
    value: Floats
    price: Floats
    sold: Floats
    due: Floats
    hit: Ints
    total: Floats
    fresh: Floats
    pull: Floats
    step: Floats


@inlined
def seize(book: Book, market: Market, fall: Fall, u: Any, fresh: Floats) -> float:
    """Liquidate u once: repay the close share of every debt, sell collateral worth it and the bonus, pro
    rata.

    Returns USD repaid; adds USD sold by feed to ``fresh``. All collateral is gone where it does not cover.
    """
    worth, weighted, owed = 0.0, 0.0, 0.0
    for j in range(np.uint64(book.indptr[u]), np.uint64(book.indptr[u + np.uint64(1)])):
        p = fall.price[np.uint64(book.feed[j])]
        weighted += fall.a[j] * p
        worth += fall.a[j] * fall.value[j] * p
        owed += fall.b[j] * p
    share = 1.0 if weighted <= market.full_below * owed else market.close
    repaid = min(share * owed, worth / (1.0 + market.bonus))
    if not repaid > 0.0:
        return 0.0
    kept = 1.0 - repaid * (1.0 + market.bonus) / worth
    left = 1.0 - repaid / owed
    # what rounding leaves is nothing: else a dust of collateral is seized again in every round
    kept = kept if kept > DUST else 0.0
    left = left if left > DUST else 0.0
    for j in range(np.uint64(book.indptr[u]), np.uint64(book.indptr[u + np.uint64(1)])):
        k = np.uint64(book.feed[j])
        fresh[k] += fall.a[j] * fall.value[j] * fall.price[k] * (1.0 - kept)
        fall.a[j] *= kept
        fall.b[j] *= left
    return repaid


@inlined
def slack(book: Book, fall: Fall, u: Any) -> float:
    """How far every log price may still fall (none rises in a cascade) before u can be liquidatable; < 0 when
    it is.

    margin(y) >= A e^-r - R for falls up to r, so r = ln(A / R); debts that fall only help.
    """
    owned, owed = 0.0, 0.0
    for j in range(np.uint64(book.indptr[u]), np.uint64(book.indptr[u + np.uint64(1)])):
        p = fall.price[np.uint64(book.feed[j])]
        owned += fall.a[j] * p
        owed += fall.b[j] * p
    if not owed > 0.0:
        return math.inf if owed == 0.0 else -1.0
    if owned < owed:
        return -1.0
    if not owned < math.inf:
        return -1.0
    # ln x >= 2 (x - 1) / (x + 1) for x >= 1: no logarithm, and never too long
    return 2.0 * (owned - owed) / (owned + owed) * (1.0 - 1e-9) - 1e-12


@inlined
def sell(market: Market, fall: Fall) -> float:
    """Bring what was seized in a round to market; the largest log fall of any feed by it."""
    fresh, step = fall.fresh, fall.step
    step[:] = 0.0
    for k in range(market.price.shape[0]):
        step[market.base[k]] += fresh[k]
        step[market.ratio[k]] += fresh[k]
        fall.sold[k] += fresh[k]
        fresh[k] = 0.0
    for f in range(market.depth.shape[0]):
        fall.pull[f] += step[f]
    largest = 0.0
    for k in range(market.price.shape[0]):
        one, two = market.base[k], market.ratio[k]
        largest = max(largest, step[one] / market.depth[one] + step[two] / market.depth[two])
        fallen = fall.pull[one] / market.depth[one] + fall.pull[two] / market.depth[two]
        fall.price[k] = market.price[k] * math.exp(-fallen)
    return largest


@lean
def run(book: Book, market: Market, fall: Fall, certified: bool) -> None:
    """To the fixed point, or ``ROUNDS_MAX``; ``certified`` False judges everybody in every round."""
    fresh = fall.fresh
    fallen = 0.0
    for _ in range(ROUNDS_MAX):
        # no feed has fallen further since any earlier round than the sum of the rounds' largest falls
        fallen += sell(market, fall)
        hits = 0
        for u in range(np.uint64(book.a0.shape[0])):
            if certified and fall.due[u] > fallen:
                continue
            fall.total[2] += 1.0
            r = slack(book, fall, u)
            if r >= 0.0:
                fall.due[u] = fallen + r
                continue
            repaid = seize(book, market, fall, u, fresh)
            fall.total[1] += repaid
            if repaid > 0.0:
                fall.hit[u] += 1
                hits += 1
                fall.due[u] = fallen + max(0.0, slack(book, fall, u))
            else:
                fall.due[u] = math.inf
        fall.total[0] += 1.0
        if hits == 0:
            return


def start(book: Book, market: Market) -> Fall:
    """Nothing liquidated yet. ValueError for a book with constants, mixed entries or a missing price: not
    lending.
    """
    mixed = (book.a != 0.0) & (book.b != 0.0)
    if (
        mixed.any()
        or (book.a < 0.0).any()
        or book.a0.any()
        or book.b0.any()
        or not np.isfinite(market.price).all()
    ):
        raise ValueError("a cascade takes lending positions at known prices only")
    return Fall(
        a=book.a.copy(),
        b=book.b.copy(),
        value=np.where(book.a > 0.0, 1.0, 0.0),
        price=market.price.copy(),
        sold=np.zeros(len(market.price)),
        due=np.zeros(len(book.a0)),
        hit=np.zeros(len(book.a0), np.int64),
        total=np.zeros(3),
        fresh=np.zeros(len(market.price)),
        pull=np.zeros(len(market.depth)),
        step=np.zeros(len(market.depth)),
    )


def alone(price: Floats, depth: Floats, close: float, full_below: float, bonus: float) -> Market:
    """A market in which every feed is a factor of its own; ``depth`` float64[F]."""
    feeds = len(price)
    return Market(
        price=price,
        depth=np.append(depth, math.inf),
        base=np.arange(feeds),
        ratio=np.full(feeds, feeds),
        close=close,
        full_below=full_below,
        bonus=bonus,
    )


def with_thresholds(fall: Fall, threshold: Floats) -> Fall:
    """``threshold`` float64[N]: an entry's collateral is worth 1 / threshold of its weight."""
    return fall._replace(value=np.where(fall.a > 0.0, 1.0 / np.where(threshold > 0.0, threshold, 1.0), 0.0))


def _types() -> object:
    one, whole = np.ones(1), np.ones(1, np.int64)
    book_market = record_type(Market(one, one, whole, whole, 0.5, 0.95, 0.05))
    fall = record_type(Fall(one, one, one, one, one, one, whole, one, one, one, one))
    return signature("BMFb", M=book_market, F=fall)


KERNELS: Kernels = ((run, _types),)
