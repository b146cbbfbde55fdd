"""The plain twin of the vector kernels: the same statistics in ordinary loops, for where nothing is
compiled.
"""

from __future__ import annotations

import math

from keeper.risk.book import Floats, Index, Ints


def statistics(
    start: Ints,
    middle: Ints,
    feed: Index,
    numbers: tuple[Floats, Floats, Floats, Floats],
    known: Ints,
    found: tuple[Floats, Ints, Ints, Floats, Floats],
) -> None:
    """As ``fused.fused``: ``numbers`` are (weight, a0, b0, prices), ``found`` the fields of a ``Tally``."""
    weight, a0, b0, prices = numbers
    low, worst, first, count, notional = found
    for u in range(a0.shape[0]):
        low[u] = math.inf if known[u] != 0 else math.nan
        worst[u] = -1 if known[u] != 0 else -2
        first[u] = -1 if known[u] != 0 else -2
        if known[u] == 0:
            continue
        for s in range(prices.shape[1]):
            c, d = a0[u], b0[u]
            for j in range(start[u], middle[u]):
                c += weight[j] * prices[feed[j], s]
            for j in range(middle[u], start[u + 1]):
                d += weight[j] * prices[feed[j], s]
            h = c / d if d > 0.0 else (math.inf if c >= 0.0 else -math.inf)
            if h < low[u]:
                low[u], worst[u] = h, s
            if c < d:
                count[s] += 1.0
                notional[s] += d
                if first[u] < 0:
                    first[u] = s
