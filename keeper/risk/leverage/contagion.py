"""Who falls with whom: what a book stands on, and how much of each position is gone when one of it fails.

Nodes are issuers, tokens, oracles, venues, chains and positions. A node that fails wholly costs each that stands on
it the share of its equity that it has there, at most all; losses pass on (DebtRank).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keeper.risk.book import Floats

SETTLED, WIPED = 1e-12, 1e-9


def debt_rank(weights: Floats, shocked: Floats, rounds: int = 1_000) -> Floats:
    """Distress float64[N] of N nodes after ``shocked`` float64[N] (0 to 1) has spread over ``weights`` [N, N].

    ``weights[i, j]`` is the share of j's equity that i's failure costs. h_j += sum_i w_ij dh_i, capped at 1, each
    node passing on what it has newly lost (Battiston et al. 2012, as Bardoscia et al. 2015 have it). NaN in,
    NaN out. ValueError on other shapes or values outside 0 to 1.
    """
    count = len(shocked)
    if weights.shape != (count, count):
        raise ValueError(f"weights are {weights.shape}, shocked names {count} nodes")
    if (weights < 0.0).any() or (weights > 1.0).any() or (shocked < 0.0).any() or (shocked > 1.0).any():
        raise ValueError("shares and shocks lie from 0 to 1")
    distress = shocked.astype(np.float64)
    fresh = distress.copy()
    for _ in range(rounds):
        after = np.minimum(1.0, distress + fresh @ weights)
        fresh = after - distress
        distress = after
        if not (fresh > SETTLED).any():
            break
    return distress


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """What one position has on one thing: ``usd`` of what it holds would be gone with it."""

    position: str
    on: str
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One thing failing wholly: equity that is gone over the whole book, and how many positions lose all."""

    name: str
    lost_usd: float
    share: float
    wiped: int


def failures(
    equities: Mapping[str, float], stakes: Sequence[Stake], links: Mapping[tuple[str, str], float]
) -> tuple[Failure, ...]:
    """What each thing's whole failure costs a book, dearest first.

    ``equities``: USD by position, those above 0. ``links[(of, on)]``: the share of ``of`` that is gone when ``on``
    fails (a token of its issuer's, a venue of its chain). What is owed is not forgiven: the loss of a position is
    what it holds, at most its equity. Nothing stands on a position here, so what it loses is min(1, sum_i w_ij h_i)
    of what the things have lost in the end, as ``debt_rank`` over all nodes would have it.
    """
    names = list(dict.fromkeys([*(s.on for s in stakes), *(n for of, on in links for n in (on, of))]))
    place = {n: k for k, n in enumerate(names)}
    row = {p: k for k, p in enumerate(equities)}
    equity = np.array(list(equities.values()), np.float64)
    held = np.zeros((len(names), len(row)))
    for s in stakes:
        if s.position in row:
            held[place[s.on], row[s.position]] += max(0.0, s.usd)
    shares = np.minimum(1.0, held / equity) if len(row) else held
    between = np.zeros((len(names), len(names)))
    for (of, on), share in links.items():
        between[place[on], place[of]] = min(1.0, max(0.0, share))
    total, found = float(equity.sum()), []
    for k, name in enumerate(names):
        shocked = np.zeros(len(names))
        shocked[k] = 1.0
        lost = np.minimum(1.0, debt_rank(between, shocked) @ shares)
        usd = float(lost @ equity)
        wiped = int((lost >= 1.0 - WIPED).sum())
        found.append(Failure(name=name, lost_usd=usd, share=usd / total if total > 0.0 else 0.0, wiped=wiped))
    return tuple(sorted(found, key=lambda f: (-f.lost_usd, f.name)))
