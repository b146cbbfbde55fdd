"""What each asset's feed says over the run: from bars, through a feed's habits, without looking into the future.

A bar becomes up to three moments in this order: its low, its high, its close. Its low and high are known to a feed as
they happen, its close only at its end. All assets are at their lows together, which is the worse case for loans
against them and is said so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from keeper.errors import ConfigError
from keeper.replay import prints
from keeper.replay.bars import WICK_MAX, Bars
from keeper.replay.omens import Omens
from keeper.risk import screen
from keeper.risk.assets import CALM, asset
from keeper.risk.book import Floats, Ints

Bools = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
YEAR_S = 31_536_000.0
DOLLARS = ("USDT", "USD", "USDC", "DAI", "BUSD")
"""Quotes taken for a dollar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """When a feed is written. ``kind``: ``every`` (at each moment), ``deviation`` or ``scheduled``."""

    kind: str = "deviation"
    deviation: float = 0.005
    heartbeat_s: float = 3_600.0
    """Of ``deviation``: an answer at least so often. Of ``scheduled``: the hop between two answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Interest a year (0.03 is 3 %), compounded at every moment, by an asset's name, base, class or ``*``."""

    borrow: Mapping[str, float] = field(default_factory=dict)
    supply: Mapping[str, float] = field(default_factory=dict)

    def of(self, name: str, *, debt: bool) -> float:
        """One asset's; 0 where nothing is said of it."""
        table, known = self.borrow if debt else self.supply, asset(name)
        return next((table[k] for k in (name, known.base, known.kind, "*") if k in table), 0.0)


EVERY = Feed(kind="every")
ETH_USD = Feed()
"""Chainlink's ETH/USD and BTC/USD on Ethereum: 0.5 %, one hour."""
ALT_USD = Feed(deviation=0.01, heartbeat_s=3_600.0)
STABLE_USD = Feed(deviation=0.0025, heartbeat_s=86_400.0)
OSM = Feed(kind="scheduled", heartbeat_s=3_600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """``said`` float64[R, M]: R different feeds over their own price at the first close, at M moments; ``row``
    int64[K] which of them is an asset's; ``market`` float64[R, M] what it trades at then; ``bar`` int64[M] the bar of
    each moment; ``usd`` float64[R] price at the first close, 1 for what has no series."""

    assets: tuple[str, ...]
    row: Ints
    said: Floats
    market: Floats
    bar: Ints
    times_s: Floats
    step_s: float
    """Between moments, on average."""
    usd: Floats
    held: tuple[str, ...]
    """Assets without a series, whose price is held."""
    notes: tuple[str, ...]
    kept: Ints | None = None
    """int64[K] which path an asset follows as collateral, its income in it; None: its price alone."""
    owed: Ints | None = None
    """The same as a debt, interest in it."""
    quoted: Mapping[str, tuple[tuple[str, Floats], ...]] = field(default_factory=dict)
    """Asset -> (source, dollars float64[T] by bar) of those whose feed stands at one dollar: what markets say."""
    omens: Omens | None = None
    """The early warning, where funding was given."""

    def row_of(self, name: str) -> int:
        """Which path is an asset's price."""
        return int(self.row[self.assets.index(name)])

    def kept_row(self, name: str) -> int:
        """Which path one unit of collateral follows."""
        return int((self.row if self.kept is None else self.kept)[self.assets.index(name)])

    def owed_row(self, name: str) -> int:
        """Which path one unit of debt follows."""
        return int((self.row if self.owed is None else self.owed)[self.assets.index(name)])

    def moves(self) -> Bools:
        """bool[R]: the rows that a fall of the market would move; dollars and the like hold."""
        found = np.zeros(len(self.said), np.bool_)
        for name in self.assets:
            if asset(name).kind not in CALM:
                found[[self.row_of(name), self.kept_row(name), self.owed_row(name)]] = True
        return found

    def usd_of(self, name: str) -> float | None:
        """Dollars of one at the first close; None without a series."""
        return float(self.usd[self.row_of(name)]) if name in self.assets and name not in self.held else None


def project(
    bars: Bars, assets: Sequence[str], moments: Sequence[str], feeds: Mapping[str, Feed], hold: Sequence[str]
) -> Paths:
    """Paths of ``assets`` through ``moments`` of each bar (``low``, ``high``, ``close``), by their ``feeds`` (by an
    asset's class or name; ``*`` for the rest). ConfigError naming volatile assets that have no series and are not in
    ``hold``."""
    series = {a: _series(bars, a) for a in assets}
    held = tuple(a for a in assets if series[a] is None)
    _refuse_lacking(bars, lacking(bars, assets, hold))
    step = bars.step_s / len(moments)
    # what is held by choice is no dollar: it keeps a row of its own
    columns = {a: -1 - n if series[a] is None and a in hold else series[a] for n, a in enumerate(assets)}
    keys = {a: (columns[a], feed_of(a, feeds) if series[a] is not None else EVERY) for a in assets}
    rows = list(dict.fromkeys(keys.values()))
    said, market = np.ones((2, len(rows), len(bars.times_s) * len(moments)))
    usd = np.ones(len(rows))
    for k, (column, feed) in enumerate(rows):
        if column is not None and column >= 0:
            usd[k] = bars.close[0, column]
            market[k] = _moments(bars, column, moments) / usd[k]
            said[k] = _said(market[k], step, feed)
    return Paths(
        assets=tuple(assets),
        row=np.array([rows.index(keys[a]) for a in assets], np.int64),
        said=said,
        market=market,
        bar=np.repeat(np.arange(len(bars.times_s)), len(moments)),
        times_s=bars.times_s,
        step_s=step,
        usd=usd,
        held=held,
        notes=(*bars.notes, *_held_notes(held, hold)),
    )


def with_interest(paths: Paths, rates: Rates) -> Paths:
    """The same with collateral and debt that grow: rows of their own beside the prices, compounded at each moment."""
    rows: dict[tuple[int, float], int] = {(k, 0.0): k for k in range(len(paths.said))}

    def side(*, debt: bool) -> Ints:
        keys = [(paths.row_of(a), rates.of(a, debt=debt)) for a in paths.assets]
        return np.array([rows.setdefault(key, len(rows)) for key in keys], np.int64)

    kept, owed = side(debt=False), side(debt=True)
    per_bar = max(1, len(paths.bar) // len(paths.times_s))
    elapsed_s = paths.times_s[paths.bar] - paths.times_s[0]
    elapsed_s = elapsed_s + paths.step_s * (np.arange(len(paths.bar)) % per_bar)
    grown = [np.exp(math.log1p(rate) * elapsed_s / YEAR_S) for _, rate in rows]
    of = [row for row, _ in rows]
    return replace(
        paths,
        said=np.ascontiguousarray(paths.said[of] * grown),
        market=np.ascontiguousarray(paths.market[of] * grown),
        usd=paths.usd[of],
        kept=kept,
        owed=owed,
    )


def lacking(bars: Bars, assets: Sequence[str], hold: Sequence[str]) -> list[str]:
    """Assets that have no series, are no dollars and are not held on purpose. ConfigError where one has several."""
    return [a for a in assets if a not in hold and asset(a).kind not in CALM and _series(bars, a) is None]


def _refuse_lacking(bars: Bars, names: Sequence[str]) -> None:
    if names:
        there = ", ".join(bars.symbols)
        raise ConfigError(
            (
                f"{bars.path}: has no prices of {', '.join(names)} (there are {there}); add them, leave those "
                f"accounts out, or hold the price on purpose (--hold {','.join(names)})",
            )
        )


def _held_notes(held: Sequence[str], hold: Sequence[str]) -> list[str]:
    return [
        f"{', '.join(names)}: no prices in the file, {how}"
        for names, how in (
            ([a for a in held if a in hold], "held at the first value"),
            ([a for a in held if a not in hold], "taken for a dollar"),
        )
        if names
    ]


WRITTEN = 1e-6
"""A change of a path by more than this share is an update; interest between two updates is less."""


def changes(paths: Paths) -> Ints:
    """int64[C]: the first and last moments, each at which any path is written, and the one before it."""
    said = paths.said
    at = np.flatnonzero((np.abs(said[:, 1:] - said[:, :-1]) > WRITTEN * said[:, :-1]).any(axis=0))
    return np.unique(np.concatenate([[0], at, at + 1, [said.shape[1] - 1]])).astype(np.int64)


def feed_of(name: str, feeds: Mapping[str, Feed]) -> Feed:
    """An asset's feed: by its own name, what it follows, its class, else ``*``, else by class as on Ethereum."""
    known = asset(name)
    for key in (name, known.base, known.kind, "*"):
        if key in feeds:
            return feeds[key]
    return STABLE_USD if known.kind in CALM else ETH_USD if known.kind in ("eth", "btc") else ALT_USD


def _said(seen: Floats, step_s: float, feed: Feed) -> Floats:
    out = np.empty_like(seen)
    if feed.kind == "every":
        return seen.copy()
    if feed.kind == "scheduled":
        screen.scheduled(seen, step_s, feed.heartbeat_s, out)
    else:
        screen.deviating(seen, step_s, feed.deviation, feed.heartbeat_s, out)
    return out


def _moments(bars: Bars, column: int, moments: Sequence[str]) -> Floats:
    """float64[T x len(moments)]; a print further than ``WICK_MAX`` from its own bar counts as the bar's own end, a
    close that reverts at once as the one before it."""
    opened, close = prints.settled(bars.open[:, column], bars.close[:, column])
    body, top = np.minimum(opened, close), np.maximum(opened, close)
    found = []
    for name in moments:
        price = {"open": opened, "close": close}.get(name, bars.field(name)[:, column])
        if name == "low":
            price = np.minimum(np.where(price < body * (1.0 - WICK_MAX), body, price), body)
        elif name == "high":
            price = np.maximum(np.where(price > top * (1.0 + WICK_MAX), top, price), top)
        found.append(price)
    return np.ascontiguousarray(np.stack(found, axis=1).reshape(-1))


def _series(bars: Bars, name: str) -> int | None:
    """Which of the bars' symbols is this asset's dollar price: its own, else its base's."""
    wanted = (name.upper(), asset(name).base.upper()) if asset(name).kind not in CALM else (name.upper(),)
    for base in wanted:
        found = [
            k
            for k, symbol in enumerate(bars.symbols)
            if symbol.split("@")[0].split(":")[0].upper() in {f"{base}/{q}" for q in DOLLARS}
        ]
        if len(found) > 1:
            names = ", ".join(bars.symbols[k] for k in found)
            raise ConfigError(
                (f"{bars.path}: {name} has several prices ({names}); choose one with --symbol",)
            )
        if found:
            return found[0]
    return None


def years(paths: Paths) -> float:
    """Length of the run."""
    return float(paths.times_s[-1] - paths.times_s[0]) / 31_536_000.0 if len(paths.times_s) > 1 else math.nan
