"""How likely each position touches its liquidation boundary within a day, as ``keeper risk`` tells it.

Asked for by who scrapes figures, on a thread of theirs: no tick waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from keeper.daemon.isolation import alone, without_culprits
from keeper.daemon.watched import Watched
from keeper.model import BookRow, Level, Position, PositionId, Snapshot
from keeper.notify.metrics import ChainFigures, Figures, PositionFigures
from keeper.risk.book import build
from keeper.risk.distance import Boundary, nearest, nearest_all
from keeper.risk.factors import for_symbols
from keeper.risk.rows import conservative

DAYS = 1.0
"""``TOUCH_HORIZON`` of the figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One chain's newest judged block, which nobody changes any more."""

    snapshot: Snapshot
    ids: Mapping[tuple[str, str], PositionId]
    """By (label, venue)."""


def asked(chains: Sequence[Watched]) -> Callable[[Figures], Figures]:
    """Looks at the daemon at once; what it returns fills in a reading's chances, on any thread."""
    seen = {}
    for watched in chains:
        loop = watched.loop
        if loop is not None and loop.last is not None:
            ids = {(g.label, g.venue_id): g.id for g in loop.parts.guarded}
            seen[watched.chain.name] = _Seen(snapshot=loop.last.snapshot, ids=ids)
    return partial(_filled, seen)


def _filled(seen: Mapping[str, _Seen], figures: Figures) -> Figures:
    chains = tuple(_chain(c, seen[c.name]) if c.name in seen else c for c in figures.chains)
    return replace(figures, chains=chains)


def _chain(chain: ChainFigures, seen: _Seen) -> ChainFigures:
    positions, prices = {p.id: p for p in seen.snapshot.positions}, seen.snapshot.prices

    def of_all(ids: Sequence[PositionId]) -> dict[PositionId, float]:
        return touches([positions[id] for id in ids], prices)

    # a risk core that breaks over one position must cost neither the others nor the other figures
    told, _ = alone(lambda: without_culprits(of_all, tuple(positions)))
    found = told[0] if told is not None else {}

    def of(p: PositionFigures) -> PositionFigures:
        id = seen.ids.get((p.label, p.venue))
        if id is None or p.level == Level.UNKNOWN.value:
            return p
        return replace(p, touch=found.get(id))

    return replace(chain, positions=tuple(map(of, chain.positions)))


def touches(positions: Sequence[Position], prices: Mapping[str, float]) -> dict[PositionId, float]:
    """Position -> 2 Phi(-beta) over a day, default volatilities; what cannot be judged is left out, never 0."""
    if not positions:
        return {}
    shelf = build([conservative(p) for p in positions], prices)
    found = nearest_all(shelf, for_symbols(symbols_of(positions)), DAYS)
    return {
        p.id: near.p_touch
        for p, near in zip(positions, found, strict=True)
        if near.boundary is not Boundary.UNKNOWN
    }


def symbols_of(positions: Sequence[Position]) -> dict[str, str]:
    """Feed -> symbol of what moves the positions; dollars in which a venue only counts move nothing, and are none."""
    return {
        h.feed: h.amount.token.symbol
        for p in positions
        for h in (*p.collateral, *p.debt)
        if p.perp is None or h.feed in p.row.feeds
    }


def warm() -> None:
    """Compile, or load, what ``touches`` needs: not in the middle of a night that somebody looks at."""
    nearest(BookRow(feeds=("x",), a=(2.0,), b=(0.0,), a0=-1.0), {"x": 1.0}, for_symbols({"x": "WETH"}), DAYS)
