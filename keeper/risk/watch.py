"""Certificates: a position is looked at again only when prices have moved enough to matter. Alarms equal a
full scan.

Slack of a position at threshold T: no move with max |d log p| below r = ln(1 + (A - T R) / sum_k |g_k|), g
the gradient of A - T R in log prices, takes it below T (also with short positions, where 1/2 ln(health / T)
fails). Positions lie in buckets by slack; a bucket is opened when some price has moved by its lower bound
since its snapshot. A changed position is ``drop``ped into the bucket that is opened every block. Interest
that accrues between blocks must be in the prices (index x price of a scaled unit) or the position dropped.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from keeper.risk.book import Book, Floats, Ints
from keeper.risk.jit import Kernels, inlined, kernel, record_type, signature

PAYS_ABOVE = 2_000
"""Positions from which certificates beat a full scan clearly; below, scan."""
_BUCKETS = 40
_SMALLEST = 3e-4
"""Lower bound of the first certified bucket: a move of three basis points."""
_RATIO = 2.0**0.25
_ROUNDING = 1e-9
"""Certificates are shortened by this share, far above what rounding can add up to."""


NEXT, PREVIOUS, BUCKET, BELOW = 0, 1, 2, 3
"""Columns of ``Watch.place``."""


class Watch(NamedTuple):
    """State of B buckets, U positions, F feeds.

    ``head`` int64[B] first member; ``place`` int64[U, 4] next and previous member, bucket, and 1 for an
    alarm; ``bound`` float64[B] lower bounds; ``seen``, ``unseen`` float64[B+1, F] prices at each bucket's
    snapshot and their inverses, row B the last block's; ``wild`` float64[F] 1 / s, ``scale`` s; ``moved``
    float64[B] a bound on the move since the snapshot; ``changed`` int64[U] whose alarm came or went;
    ``queue`` int64[U] scratch; ``tally`` int64[3] alarms standing, changes and evaluations of the last block.
    """

    head: Ints
    place: Ints
    bound: Floats
    seen: Floats
    unseen: Floats
    wild: Floats
    scale: Floats
    moved: Floats
    changed: Ints
    queue: Ints
    tally: Ints


def start(positions: int, feeds: int, scale: Floats | None = None) -> Watch:
    """Nothing certified yet: every position is in the bucket that is opened every block.

    ``scale`` float64[F] in (0, 1], all 1 when not given. ValueError outside.
    """
    if scale is None:
        scale = np.ones(feeds)
    if scale.shape != (feeds,) or not ((scale > 0.0) & (scale <= 1.0)).all():
        raise ValueError(f"scale must be {feeds} numbers above 0 and at most 1")
    place = np.zeros((positions, 4), np.int64)
    place[:, NEXT] = np.arange(1, positions + 1)
    place[:, PREVIOUS] = np.arange(-1, positions - 1)
    place[-1:, NEXT] = -1
    head = np.full(_BUCKETS, -1)
    head[0] = 0 if positions else -1
    bound = _SMALLEST * _RATIO ** np.arange(-1.0, _BUCKETS - 1.0)
    bound[0] = 0.0
    return Watch(
        head=head,
        place=place,
        bound=bound,
        seen=np.full((_BUCKETS + 1, feeds), math.nan),
        unseen=np.full((_BUCKETS + 1, feeds), math.nan),
        scale=np.array(scale, np.float64),
        wild=1.0 / np.array(scale, np.float64),
        moved=np.full(_BUCKETS, math.inf),
        changed=np.zeros(positions, np.int64),
        queue=np.zeros(positions, np.int64),
        tally=np.zeros(3, np.int64),
    )


def alarms(watch: Watch) -> Ints:
    """Positions below the threshold, ascending; those with a NaN price or a faulty row are among them."""
    return np.flatnonzero(watch.place[:, BELOW])


@inlined
def unlink(watch: Watch, u: int) -> None:
    """Take u out of its bucket's list."""
    left, right = watch.place[u, PREVIOUS], watch.place[u, NEXT]
    if left >= 0:
        watch.place[left, NEXT] = right
    else:
        watch.head[watch.place[u, BUCKET]] = right
    if right >= 0:
        watch.place[right, PREVIOUS] = left


@inlined
def link(watch: Watch, u: int, k: int) -> None:
    """Put u at the head of bucket k's list."""
    right = watch.head[k]
    watch.place[u, NEXT], watch.place[u, PREVIOUS], watch.place[u, BUCKET] = right, -1, k
    if right >= 0:
        watch.place[right, PREVIOUS] = u
    watch.head[k] = u


@kernel
def drop(watch: Watch, u: int) -> None:
    """Void u's certificate: its balance, index regime, mode or threshold has changed."""
    unlink(watch, u)
    link(watch, u, 0)


@inlined
def slack(book: Book, threshold: float, scale: Floats, u: int) -> tuple[float, bool]:
    """(r, below): the move that cannot change on which side of T the position is; 0 when that is unknown.

    The same r = ln(1 + |A - T R| / sum s |g|) certifies both sides: what lies below stays below.
    """
    margin = book.a0[u] - threshold * book.b0[u]
    size = 0.0
    for j in range(book.indptr[u], book.indptr[u + 1]):
        g = (book.a[j] - threshold * book.b[j]) * book.prices[book.feed[j]]
        margin += g
        size += abs(g) * scale[book.feed[j]]
    below = not margin >= 0.0
    if not math.isfinite(margin):
        return 0.0, below
    if size == 0.0:
        return math.inf, below
    # ln(1 + x) >= 2 x / (2 + x): no logarithm, and never too long
    x = abs(margin) / size
    return 2.0 * x / (2.0 + x) * (1.0 - _ROUNDING) - 1e-12, below


@inlined
def travelled(watch: Watch, b: int, now: Floats, inverse: Floats) -> float:
    """At least max |log now - log seen| / s since bucket b's snapshot; inf when something cannot be compared.

    |ln x| <= max(x, 1/x) - 1 saves the logarithm and errs on the side of looking.
    """
    farthest = 0.0
    for k in range(now.shape[0]):
        away = (max(now[k] * watch.unseen[b, k], watch.seen[b, k] * inverse[k]) - 1.0) * watch.wild[k]
        if not (away <= farthest and now[k] > 0.0):
            farthest = away if away == away and now[k] > 0.0 else math.inf
    return farthest


@inlined
def remember(watch: Watch, b: int, now: Floats, inverse: Floats) -> None:
    """Take bucket b's snapshot."""
    for k in range(now.shape[0]):
        watch.seen[b, k] = now[k]
        watch.unseen[b, k] = inverse[k]


@inlined
def step(book: Book, threshold: float, watch: Watch, inverse: Floats) -> None:
    """One block at the book's prices; ``inverse`` is scratch for their inverses.

    By the triangle inequality each block's largest move bounds how far every bucket has travelled, so a
    bucket's own snapshot is compared only when that bound reaches it.
    """
    now, buckets = book.prices, watch.head.shape[0]
    for k in range(now.shape[0]):
        inverse[k] = 1.0 / now[k]
    block = travelled(watch, buckets, now, inverse)
    remember(watch, buckets, now, inverse)
    watch.tally[1], watch.tally[2] = 0, 0
    waiting = 0
    for b in range(buckets):
        before = watch.moved[b]
        watch.moved[b] += block
        if watch.moved[b] >= watch.bound[b] and before > 0.0 and watch.head[b] >= 0:
            watch.moved[b] = travelled(watch, b, now, inverse)
        if not watch.moved[b] >= watch.bound[b]:
            continue
        watch.moved[b] = 0.0
        remember(watch, b, now, inverse)
        # all opened members are gathered before any is filed again
        u = watch.head[b]
        watch.head[b] = -1
        while u >= 0:
            watch.queue[waiting] = u
            waiting += 1
            u = watch.place[u, NEXT]
    for i in range(waiting):
        judge(book, threshold, watch, watch.queue[i])


@inlined
def judge(book: Book, threshold: float, watch: Watch, u: int) -> None:
    """Evaluate u and file it into the farthest bucket whose bound its slack covers from that bucket's
    snapshot.
    """
    r, below = slack(book, threshold, watch.scale, u)
    watch.tally[2] += 1
    now_below = 1 if below else 0
    if now_below != watch.place[u, BELOW]:
        watch.place[u, BELOW] = now_below
        watch.tally[0] += 2 * now_below - 1
        watch.changed[watch.tally[1]] = u
        watch.tally[1] += 1
    best, longest = 0, 0.0
    for b in range(1, watch.head.shape[0]):
        left = watch.bound[b] - watch.moved[b]
        if left > longest and r - watch.moved[b] >= watch.bound[b]:
            best, longest = b, left
    link(watch, u, best)


@kernel
def observe(book: Book, threshold: float, watch: Watch) -> None:
    """One block at the book's prices: alarms (A - T R < 0, or unknown), changes and evaluations into the
    watch.

    A price that is NaN opens every bucket: what cannot be compared has moved.
    """
    step(book, threshold, watch, np.empty(book.prices.shape[0]))


@kernel
def observe_path(book: Book, threshold: float, watch: Watch, path: Floats, seen: Ints) -> None:
    """Many blocks, price rows ``path`` float64[T, F] (the book's own prices are overwritten); ``seen``
    int64[2] adds up alarms standing and evaluations."""
    inverse = np.empty(book.prices.shape[0])
    for t in range(path.shape[0]):
        for k in range(path.shape[1]):
            book.prices[k] = path[t, k]
        step(book, threshold, watch, inverse)
        seen[0] += watch.tally[0]
        seen[1] += watch.tally[2]


@kernel
def scan(book: Book, threshold: float, below: Ints) -> None:
    """The full scan that ``observe`` must equal: every position evaluated, 1 for an alarm."""
    for u in range(book.a0.shape[0]):
        margin = book.a0[u] - threshold * book.b0[u]
        for j in range(book.indptr[u], book.indptr[u + 1]):
            margin += (book.a[j] - threshold * book.b[j]) * book.prices[book.feed[j]]
        below[u] = 0 if margin >= 0.0 else 1


@kernel
def scan_path(book: Book, threshold: float, below: Ints, path: Floats, seen: Ints) -> None:
    """``scan`` at each row of ``path``; ``seen[0]`` adds up alarms standing. For tests and benchmarks."""
    for t in range(path.shape[0]):
        for k in range(path.shape[1]):
            book.prices[k] = path[t, k]
        scan(book, threshold, below)
        for u in range(below.shape[0]):
            seen[0] += below[u]


def _types(pattern: str) -> object:
    return signature(pattern, W=record_type(start(1, 1)))


KERNELS: Kernels = (
    (drop, lambda: _types("Wl")),
    (observe, lambda: _types("BdW")),
    (scan, lambda: signature("Bdi")),
)
