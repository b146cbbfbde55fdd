"""A book's liquidation cascade: first shock in, fixed point out. Records around the kernel of ``cascade``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keeper.model import BookRow, Shock
from keeper.risk import cascade
from keeper.risk.assets import ALT, CALM, Asset, asset
from keeper.risk.book import Floats, Ints, Shelf, build, row_fault, usable
from keeper.risk.bookfile import NamedBook
from keeper.risk.shocks import ANY, for_feeds, move, moved
from keeper.risk.stake import AAVE_LIKE

TWO_PERCENT = -math.log(0.98)
"""A market's depth is quoted as what moves its price by 2 %; the kernel wants what moves it by 1/e."""
_OWED = "|owed"
"""Marks the debt side of a feed that one position both owns and owes: its price is not lowered by selling, which
would lessen the debt."""


class NoDepth(ValueError):
    """A volatile asset has no market of known depth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """How liquidators act: ``close`` share of debt at once while health > ``full_below``, else all; ``bonus``."""

    close: float = 0.5
    full_below: float = 0.95
    bonus: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """One feed: its price now, after the first shock and at the end, USD sold of it, and the 2 % depths of what it
    follows and, of a staked token, of its ratio to that."""

    feed: str
    now: float
    shocked: float
    end: float
    sold_usd: float
    depth_usd: float
    ratio_depth_usd: float = math.inf

    @property
    def amplification(self) -> float | None:
        """Log fall at the end over that of the first shock; None where the shock did not lower it."""
        if not self.shocked < self.now:
            return None
        return math.log(self.now / self.end) / math.log(self.now / self.shocked) if self.end > 0.0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """``rounds`` to the fixed point (``settled``) or to the limit; positions by name with the rounds in which they
    were liquidated; USD at the prices of each round; ``left_out``: (name, why)."""

    settled: bool
    rounds: int
    hits: tuple[tuple[str, int], ...]
    repaid_usd: float
    first_repaid_usd: float
    """What the first round alone repays: the shock's own doing."""
    bad_debt_usd: float
    feeds: tuple[Sold, ...]
    left_out: tuple[tuple[str, str], ...]
    unknown: int
    """How many of those left out could not be judged."""
    insolvent: tuple[str, ...] = ()
    """Who owes at the end and owns nothing any more, whether or not anything was left to liquidate."""

    @property
    def amplification(self) -> float:
        """The largest of any feed that was sold; 1 when nothing was."""
        return max((x.amplification or 1.0 for x in self.feeds if x.sold_usd > 0.0), default=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """2 % depths float64[K] of factors, the last one a market that nothing moves; ``base`` and ``ratio`` int64[F]."""

    depth_usd: Floats
    base: Ints
    ratio: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a cascade runs on: rows with debt (``shelf``: weights, ``held``: tokens for weights), their names, and the
    markets that collateral is sold into; positions left out with why, and how many of those are unknown."""

    book: NamedBook
    shelf: Shelf
    held: Shelf
    names: tuple[str, ...]
    pools: Pools
    left_out: tuple[tuple[str, str], ...]
    unknown: int

    @property
    def symbols(self) -> tuple[str, ...]:
        """What each feed of the shelf prices."""
        return tuple(self.book.symbols.get(f, f) for f in map(_plain, self.shelf.feeds))

    def moves(self, shock: Shock) -> Floats:
        """Relative move of each feed of the shelf, float64[F]; fixed feeds do not move."""
        first = for_feeds(shock, {f: s for f, s in self.book.symbols.items() if f not in self.book.fixed})
        return np.array([moved(first, _plain(f)) for f in self.shelf.feeds], np.float64)

    def market(self, prices: Floats, law: Law) -> cascade.Market:
        """Its markets at ``prices`` float64[F]."""
        return cascade.Market(
            price=prices,
            depth=self.pools.depth_usd / TWO_PERCENT,
            base=self.pools.base,
            ratio=self.pools.ratio,
            close=law.close,
            full_below=law.full_below,
            bonus=law.bonus,
        )


def _plain(feed: str) -> str:
    return feed.removesuffix(_OWED)


def project(book: NamedBook, shock: Shock, depths_usd: Mapping[str, float], law: Law) -> Cascade:
    """The cascade that ``shock`` (written by asset) starts in markets of ``depths_usd`` by asset.

    ``depths_usd``: USD whose sale lowers the asset's price by 2 %; ``*`` for those not named. What is sold of a
    staked token lowers its base, and with it all that follows the base; its ratio falls only where its own depth is
    named. Stables, currencies and gold that are not named do not move; nor do fixed feeds. NoDepth where a
    volatile asset has none.
    """
    on = ground(book, depths_usd)
    shelf, held, names, left_out, pools = on.shelf, on.held, on.names, on.left_out, on.pools
    market = on.market(shelf.book.prices * (1.0 + on.moves(shock)), law)
    fall = run(on, market)
    return Cascade(
        settled=bool(fall.total[0] < cascade.ROUNDS_MAX),
        rounds=int(fall.total[0]) - 1,
        hits=tuple((n, int(h)) for n, h in zip(names, fall.hit, strict=True) if h > 0),
        repaid_usd=float(fall.total[1]),
        first_repaid_usd=_first(shelf, held, market),
        bad_debt_usd=bad_debt(shelf, fall),
        insolvent=tuple(n for n, usd in zip(names, stranded_usd(shelf, fall), strict=True) if usd > 0.0),
        feeds=_sold(shelf, market, fall, pools),
        left_out=left_out,
        unknown=on.unknown,
    )


def ground(book: NamedBook, depths_usd: Mapping[str, float]) -> Ground:
    """The lending positions of a book with debt, and the markets of ``depths_usd`` by asset. NoDepth as
    ``project``.
    """
    rows, tokens, names, left_out, unknown = _eligible(book)
    shelf, held = build(rows, _prices(book)), build(tokens, _prices(book))
    return Ground(
        book=book,
        shelf=shelf,
        held=held,
        names=tuple(names),
        pools=_pools(book, shelf.feeds, depths_usd),
        left_out=tuple(left_out),
        unknown=unknown,
    )


def run(on: Ground, market: cascade.Market) -> cascade.Fall:
    """To the fixed point."""
    fall = cascade.with_thresholds(cascade.start(on.shelf.book, market), _thresholds(on.shelf, on.held))
    cascade.run(on.shelf.book, market, fall, True)
    return fall


def unmoved(book: NamedBook, shock: Shock) -> tuple[str, ...]:
    """Names of the shock that move no price of the book: not there, or fixed. ``*`` is never among them."""
    symbols = movable(book)
    alone = ((name, Shock(name=name, moves={name: -0.5})) for name in shock.moves if name != ANY)
    return tuple(name for name, one in alone if not any(move(one, s) for s in symbols))


def movable(book: NamedBook) -> tuple[str, ...]:
    """Symbols of the book's prices that are not fixed, each once."""
    return tuple(dict.fromkeys(s for f, s in book.symbols.items() if f not in book.fixed))


def other_rules(book: NamedBook) -> tuple[tuple[str, int], ...]:
    """(venue, positions) of loans whose venue liquidates by another rule than a close share and a bonus: Morpho and
    Compound take all at once, Maker sells a whole vault with a penalty.
    """
    counts: dict[str, int] = {}
    for row, held, (venue, _) in zip(book.rows, book.tokens, book.places, strict=False):
        # every line of Aave's has a close share and a bonus
        if held and any(row.b) and venue and venue not in AAVE_LIKE and not venue.startswith("aave"):
            counts[venue] = counts.get(venue, 0) + 1
    return tuple(sorted(counts.items()))


def _thresholds(shelf: Shelf, held: Shelf) -> Floats:
    """Each collateral entry's weight over its tokens: both books were built from the same feeds in order."""
    tokens = held.book.a
    return np.where(tokens > 0.0, shelf.book.a / np.where(tokens > 0.0, tokens, 1.0), 0.0)


def _first(shelf: Shelf, held: Shelf, market: cascade.Market) -> float:
    """USD repaid in the first round, before any selling has moved a price: ``cascade.seize`` of all at once."""
    book, at = shelf.book, market.price[shelf.book.feed]
    user = np.repeat(np.arange(len(shelf)), np.diff(book.indptr))
    weighted, worth, owed = (
        np.bincount(user, weight * at, minlength=len(shelf)) for weight in (book.a, held.book.a, book.b)
    )
    share = np.where(weighted <= market.full_below * owed, 1.0, market.close)
    repaid = np.minimum(share * owed, worth / (1.0 + market.bonus))
    return float(repaid[weighted < owed].sum())


def bad_debt(shelf: Shelf, fall: cascade.Fall) -> float:
    """USD owed at the end by positions that own nothing any more."""
    return float(stranded_usd(shelf, fall).sum())


def stranded_usd(shelf: Shelf, fall: cascade.Fall) -> Floats:
    """USD that each position owes at the end, float64[U]; 0 where it still owns something. Where a price is nothing,
    or no collateral ever was, no liquidator comes and the debt is lost all the same.
    """
    at = fall.price[shelf.book.feed]
    user = np.repeat(np.arange(len(shelf)), np.diff(shelf.book.indptr))
    owned = np.bincount(user, fall.a * at, minlength=len(shelf))
    owed = np.bincount(user, fall.b * at, minlength=len(shelf))
    return np.where(owned <= 0.0, owed, 0.0)


def _sold(shelf: Shelf, market: cascade.Market, fall: cascade.Fall, pools: Pools) -> tuple[Sold, ...]:
    found = [
        Sold(
            feed=feed,
            now=float(shelf.book.prices[k]),
            shocked=float(market.price[k]),
            end=float(fall.price[k]),
            sold_usd=float(fall.sold[k]),
            depth_usd=float(pools.depth_usd[pools.base[k]]),
            ratio_depth_usd=float(pools.depth_usd[pools.ratio[k]]),
        )
        for k, feed in enumerate(shelf.feeds)
        if not feed.endswith(_OWED)
    ]
    return tuple(sorted(found, key=lambda x: -x.sold_usd))


def _eligible(
    book: NamedBook,
) -> tuple[list[BookRow], list[BookRow], list[str], list[tuple[str, str]], int]:
    """(rows, the same with tokens for weights, names, left out with why, how many of those are unknown)."""
    rows: list[BookRow] = []
    tokens: list[BookRow] = []
    names: list[str] = []
    left_out: list[tuple[str, str]] = []
    unknown = 0
    for u, (name, row) in enumerate(zip(book.names, book.rows, strict=True)):
        held = book.tokens[u] if u < len(book.tokens) else ()
        lost = row_fault(row) or _unpriced(row, book.prices)
        why = lost or ("" if _is_lending(row, held) else "no lending position: it sells no collateral")
        if why:
            left_out.append((name, why))
            unknown += bool(lost)
            continue
        if any(row.b):
            names.append(name)
            rows.append(_split(row, row.a))
            tokens.append(_split(row, tuple(h if a > 0.0 else 0.0 for a, h in zip(row.a, held, strict=True))))
    return rows, tokens, names, left_out, unknown


def _is_lending(row: BookRow, held: Sequence[float]) -> bool:
    return len(held) == len(row.feeds) and row.a0 == row.b0 == 0.0 and min(row.a, default=0.0) >= 0.0


def _unpriced(row: BookRow, prices: Mapping[str, float]) -> str:
    missing = [f for f in row.feeds if math.isnan(usable(prices.get(f)))]
    return f"no usable price of {', '.join(missing)}" if missing else ""


def _split(row: BookRow, a: Sequence[float]) -> BookRow:
    """The row with ``a`` for weights; what it owes of a feed that it also owns goes to the feed's other side."""
    owned = {f for f, x in zip(row.feeds, row.a, strict=True) if x > 0.0}
    owes = [(f, b) for f, b in zip(row.feeds, row.b, strict=True) if b > 0.0]
    feeds = row.feeds + tuple(f + _OWED if f in owned else f for f, _ in owes)
    zeros = (0.0,) * len(owes)
    return replace(
        row, feeds=feeds, a=(*a, *zeros), b=(0.0,) * len(row.feeds) + tuple(b for _, b in owes), flags=()
    )


def _prices(book: NamedBook) -> dict[str, float]:
    return {**book.prices, **{f + _OWED: p for f, p in book.prices.items()}}


def _pools(book: NamedBook, feeds: Sequence[str], depths_usd: Mapping[str, float]) -> Pools:
    """The factors that selling each feed lowers. Feeds that follow the same base share its market."""
    depths: dict[str, float] = {}
    links: list[tuple[str, str]] = []
    for feed in feeds:
        symbol = book.symbols.get(feed.removesuffix(_OWED), feed)
        known = asset(symbol)
        base, ratio = known.base, f"{known.ratio}/{known.base}" if known.ratio else ""
        if feed.endswith(_OWED) or feed in book.fixed:
            base = ratio = ""
        if base:
            depths.setdefault(base, _base_depth(symbol, known, depths_usd))
        if ratio:
            depths.setdefault(ratio, _ratio_depth(known, depths_usd))
        links.append((base, ratio))
    place = {name: k for k, name in enumerate((*depths, ""))}
    return Pools(
        depth_usd=np.array([*depths.values(), math.inf], np.float64),
        base=np.array([place[base] for base, _ in links], np.int64),
        ratio=np.array([place[ratio] for _, ratio in links], np.int64),
    )


def _base_depth(symbol: str, known: Asset, depths_usd: Mapping[str, float]) -> float:
    """Of the base that a symbol follows: by its own name first, then by one that is the same (WETH)."""
    named = {name.lower(): usd for name, usd in depths_usd.items() if not asset(name).ratio}
    if known.base.lower() in named:
        return named[known.base.lower()]
    for name, usd in depths_usd.items():
        if not asset(name).ratio and asset(name).base == known.base:
            return usd
    if known.kind in CALM:
        return math.inf
    if ANY not in depths_usd:
        follows = f", which {symbol} follows," if known.ratio else ""
        raise NoDepth(
            f"no depth of {known.base if known.kind != ALT or known.ratio else symbol}{follows} is given"
        )
    return depths_usd[ANY]


def _ratio_depth(known: Asset, depths_usd: Mapping[str, float]) -> float:
    """Of a staked token against its base: the smallest named of those that share the ratio (stETH, wstETH)."""
    named = [usd for name, usd in depths_usd.items() if asset(name).ratio == known.ratio]
    return min(named, default=math.inf)
