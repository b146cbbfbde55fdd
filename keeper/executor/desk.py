"""The Executors of one chain: their part of every block's batch, and the prices asked when one is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from keeper.executor import quotes, read
from keeper.executor.quotes import Way, Window
from keeper.executor.read import Post
from keeper.executor.splits import splits
from keeper.model import (
    Block,
    Call,
    Holding,
    Lender,
    Mandate,
    Means,
    Position,
    Route,
    Side,
    Snapshot,
    Token,
)
from keeper.sizing import owed_up
from keeper.units import BPS, RAY, mul_div_up
from keeper.words import Words

ROOM_BPS = 10_200
"""Prices are asked up to the whole debt and what a flash loan of it may cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One thing that was asked beside the batch, with how many calls it took."""

    what: Way | Window
    most: int
    size: int


class Desk:
    """``seams.Supplement`` of the Executors of one chain. Pure: it says what to ask and reads what came."""

    def __init__(
        self,
        posts: Sequence[Post] = (),
        *,
        ways: Sequence[Way] = (),
        windows: Sequence[Window] = (),
        quoter: str | None = None,
        router: str = "",
    ) -> None:
        self.posts = tuple(posts)
        self.ways = tuple(ways)
        """Every way to swap, quoted or not."""
        self.windows = tuple(windows)
        """Every place to borrow."""
        self._quoter = quoter
        self.router = router
        """Through which a sale may be split over several pools."""
        self._calls = tuple(c for post in self.posts for c in read.calls(post))

    def calls(self) -> tuple[Call, ...]:
        """The Executors' part of the batch."""
        return self._calls

    def decode(self, block: Block, words: Words, means: Means) -> Means:
        """``means`` with the mandates; an Executor that could not be read has none, and sells nothing."""
        found: list[Mandate] = []
        at = 0
        for post in self.posts:
            mandate = read.mandate(post, block, words.part(at, at + read.size(post)), means)
            at += read.size(post)
            if mandate is not None:
                found.append(mandate)
        return replace(means, mandates=tuple(found))

    def wants(self, snapshot: Snapshot) -> tuple[Call, ...]:
        """What must be asked besides, at the same block: prices for the positions in need. Often nothing."""
        return tuple(c for asked in self._asked(snapshot) for c in self._calls_of(asked))

    def answered(self, snapshot: Snapshot, words: Words) -> Means:
        """The snapshot's means with what ``wants`` asked."""
        routes: list[Route] = []
        lenders: list[Lender] = []
        at = 0
        for asked in self._asked(snapshot):
            part = words.part(at, at + asked.size)
            at += asked.size
            if isinstance(asked.what, Way):
                route = quotes.route(asked.what, asked.most, part)
                routes += [route] if route is not None else []
            else:
                lender = quotes.lender(asked.what, part)
                lenders += [lender] if lender is not None else []
        for mandate in snapshot.means.mandates:
            mine = [r for r in routes if r.executor == mandate.executor]
            routes += splits(mine, mandate.routers, self.router)
        return replace(snapshot.means, routes=tuple(routes), lenders=tuple(lenders))

    def _asked(self, snapshot: Snapshot) -> tuple[_Asked, ...]:
        """In a fixed order, each window once."""
        if self._quoter is None:
            return ()
        positions, found = snapshot.by_id(), list[_Asked]()
        for mandate in snapshot.means.mandates:
            position = positions.get(mandate.id)
            if position is None or not _in_need(position, mandate):
                continue
            found += self._of(position, mandate)
        return tuple({(a.what, a.most): a for a in found}.values())

    def _of(self, position: Position, mandate: Mandate) -> list[_Asked]:
        found: list[_Asked] = []
        allowed = {r.lower() for r in mandate.routers}
        for way in self.ways:
            if way.executor != mandate.executor or (way.router and way.router.lower() not in allowed):
                continue
            most = _most(position, mandate, way)
            if most:
                found.append(_Asked(what=way, most=most, size=len(quotes.sizes(most))))
        owed = {h.amount.token.address for h in position.debt}
        if mandate.routers:
            found += [
                _Asked(what=w, most=0, size=len(quotes.lender_calls(w)))
                for w in self.windows
                if w.executor == mandate.executor and w.token in owed
            ]
        return found

    def _calls_of(self, asked: _Asked) -> tuple[Call, ...]:
        if isinstance(asked.what, Window):
            return quotes.lender_calls(asked.what)
        assert self._quoter is not None  # nothing is asked without one
        return quotes.route_calls(asked.what, self._quoter, asked.most)


def _in_need(position: Position, mandate: Mandate) -> bool:
    health = position.health_wad
    return health is not None and health < mandate.terms.trigger_wad


def _most(position: Position, mandate: Mandate, way: Way) -> int:
    """Debt units up to which a way's price is worth knowing; 0 where the position has no use for it."""
    collateral, debt = _held(position.collateral, way.sell), _held(position.debt, way.buy)
    if collateral is None or debt is None or not collateral.threshold_wad:
        return 0
    if not (mandate.asset(way.sell, Side.COLLATERAL) and mandate.asset(way.buy, Side.DEBT)):
        return 0
    if not (collateral.price_base and debt.price_base):
        return 0
    return mul_div_up(owed_up(debt.amount.units, RAY), ROOM_BPS, BPS)


def _held(side: Sequence[Holding], token: Token) -> Holding | None:
    return next((h for h in side if h.amount.token == token), None)
