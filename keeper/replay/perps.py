"""Perpetual positions along a price history: margin, profit, and funding as it was paid; each isolated.

    equity(t) = margin at its haircut + size (p(t) - entry) - fees - |size| entry closing - size (F(t) - F(0))
    F(t)      = sum of rate x p over the funding times up to t, dollars for one token of a long
    need(t)   = |size| x rate x (p(t) or entry) + minimum, the floor at the least
    health    = 1 + (equity - need) / weight, liquidated below 1
    weight    = need: health is equity / need. By price, as GMX v2's reader tells it (``gmx_v2.forms``):
                need + |size| entry (1 + closing) of a long, |size| p(t) of a short

A positive rate is paid by longs to shorts. Whoever is liquidated loses what his venue counts as gone by closing and
``LIQUIDATION_FEE`` of the notional, at most what is left; the rest goes back to him.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from keeper.errors import ConfigError
from keeper.replay.bars import iso
from keeper.replay.omens import Funding
from keeper.replay.paths import Paths
from keeper.risk.book import Floats
from keeper.risk.bookfile import NamedBook

LIQUIDATION_FEE = 0.003
"""Of the notional, as ``book-file`` takes it for GMX v2 unless given."""
CLOSE_FEE = 0.0006
YEAR_S = 31_536_000.0
GAP_STEPS = 3.0
"""Funding that is missing for longer than so many of its own intervals is no funding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpAccount:
    """One isolated position at the start, in tokens; ``margin`` (asset, amount, haircut)."""

    name: str
    index: str
    size: float
    """Negative when short."""
    entry: float
    rate: float
    on_entry: bool
    minimum_usd: float
    fees_usd: float
    margin: tuple[tuple[str, float, float], ...]
    prices: Mapping[str, float]
    """The book's, by asset: where the path begins."""
    floor_usd: float = 0.0
    """No need is below it, whatever the size."""
    closing: float = 0.0
    """Share of the size at entry that its venue counts as gone by closing: less as the size is."""
    close_fee: float = CLOSE_FEE
    """Of what is closed."""
    carry_year: float | None = None
    """What holding it costs a year, share of the size at entry, where its venue told its rates; 0 or more."""
    by_price: bool = False
    """Health is told by how far the price may move."""
    pays_out: bool = False
    """Its venue pays the profit of a closed part to the owner: it is margin no more."""
    note: str = ""
    """What of its venue a replay does not play."""

    @property
    def assets(self) -> tuple[str, ...]:
        """Index and margin."""
        return tuple(dict.fromkeys((self.index, *(a for a, _, _ in self.margin))))


def of_book(path: Path, book: NamedBook) -> tuple[PerpAccount, ...]:
    """The ``perp`` positions of a book file that ``bookfile`` has read and found right; ``cross`` is not replayed."""
    positions = orjson.loads(path.read_bytes())["positions"]
    found = []
    for name, item in zip(book.names, positions, strict=True):
        table = item.get("perp")
        if table is None:
            continue
        margin = [(m["asset"], float(m["amount"]), float(m.get("haircut", 1.0))) for m in table["margin"]]
        feeds = {table["index"], *(asset for asset, _, _ in margin)}
        follows = {f: book.symbols.get(f, f) for f in feeds}
        found.append(
            PerpAccount(
                name=name,
                index=follows[table["index"]],
                size=float(table["size"]),
                entry=float(table["entry"]),
                rate=float(table["maintenance_rate"]),
                on_entry=table.get("maintenance_on", "mark") == "entry",
                minimum_usd=float(table.get("minimum_margin_usd", 0.0)),
                fees_usd=float(table.get("fees_usd", 0.0)),
                margin=tuple((follows[a], amount, haircut) for a, amount, haircut in margin),
                prices={follows[f]: book.prices[f] for f in feeds},
            )
        )
    return tuple(found)


def times_of(paths: Paths) -> Floats:
    """float64[M]: seconds of each moment; those of one bar are spread over it."""
    per_bar = max(1, len(paths.bar) // len(paths.times_s))
    return np.asarray(paths.times_s[paths.bar] + paths.step_s * (np.arange(len(paths.bar)) % per_bar + 1))


def funding_of(price: Floats, times_s: Floats, paid: Funding) -> Floats:
    """float64[M] F: dollars that one token of a long has paid by each moment, at the last price before each payment.

    What was paid before the first moment is the past.
    """
    inside = (paid.times_s > times_s[0]) & (paid.times_s <= times_s[-1])
    at = np.searchsorted(times_s, paid.times_s[inside], side="right") - 1
    due = paid.rate[inside] * price[at]
    lands = np.searchsorted(times_s, paid.times_s[inside], side="left")
    total = np.zeros(len(times_s))
    np.add.at(total, lands, due)
    return np.asarray(np.cumsum(total))


def covered(path: Path, symbol: str, paid: Funding, times_s: Floats) -> None:
    """ConfigError naming file and column where the funding does not span the run, or has a hole in it."""
    first, last = float(times_s[0]), float(times_s[-1])
    most = GAP_STEPS * paid.step_s
    inside = paid.times_s[(paid.times_s >= first - most) & (paid.times_s <= last + most)]
    edges = np.concatenate([[first], np.clip(inside, first, last), [last]])
    widest = int(np.argmax(np.diff(edges))) if len(edges) > 1 else 0
    hole = float(np.diff(edges)[widest])
    if not len(inside) or hole > most:
        where = f"{iso(edges[widest])} to {iso(edges[widest + 1])}"
        raise ConfigError(
            (
                f"{path}: column ts: has no funding of {symbol} from {where}; a perpetual position pays it every "
                f"{paid.step_s / 3_600:g} h: give it, or another span",
            )
        )


def _carried(account: PerpAccount, times_s: Floats) -> Floats:
    """float64[M] F by the rates that were read: either side pays them, so a short's token is paid for below 0."""
    a_second = (account.carry_year or 0.0) * account.entry / YEAR_S
    return np.asarray(math.copysign(a_second, account.size) * (times_s - times_s[0]))


class PerpVessel:
    """One position under way; ``at`` is its present moment. Only ``cut`` and ``liquidate`` change it."""

    def __init__(self, account: PerpAccount, paths: Paths, paid: Funding | None) -> None:
        """Without ``paid`` the account's own rates are charged, or nothing, which whoever shows it says."""
        self.name, self.account, self.paths = account.name, account, paths
        self.times_s = times_of(paths)
        self.price = account.prices[account.index] * paths.said[paths.row_of(account.index)]
        self.margin_usd = np.zeros(len(self.price))
        for asset, amount, haircut in account.margin:
            self.margin_usd += amount * haircut * account.prices[asset] * paths.said[paths.row_of(asset)]
        self.paid = _carried(account, self.times_s)
        if paid is not None:
            self.paid = funding_of(self.price, self.times_s, paid)
        self.size, self.at = account.size, 0
        self.cash_usd = -account.size * account.entry - account.fees_usd
        self.funding_usd = 0.0
        self.out_usd = 0.0
        """Profit that left the position with the parts that were closed: the owner's, and no margin."""
        self.way = np.full(len(self.price), math.inf)
        """Health at each moment that it has sailed through."""

    def equity(self, first: int, last: int) -> Floats:
        """USD at the moments from ``first`` up to before ``last``, as the position stands."""
        span = slice(first, last)
        owed = self.size * (self.paid[span] - self.paid[self.at])
        gone = abs(self.size) * self.account.entry * self.account.closing
        return np.asarray(self.margin_usd[span] + self.cash_usd + self.size * self.price[span] - gone - owed)

    def worth_usd(self) -> float:
        """What it is to its owner now: equity, and what left it before."""
        return float(self.equity(self.at, self.at + 1)[0]) + self.out_usd

    def won_usd(self) -> float:
        """Profit of one token of its size, dollars of a long's and negative of a short's; 0 at a loss. Signed as the
        size, which it is multiplied by."""
        moved = float(self.price[self.at]) - self.account.entry
        return moved if moved * self.size > 0.0 else 0.0

    def need(self, first: int, last: int) -> Floats:
        """Least equity at the same moments."""
        price = self.account.entry if self.account.on_entry else self.price[first:last]
        share = abs(self.size) * self.account.rate * price + self.account.minimum_usd
        return np.asarray(np.maximum(share, self.account.floor_usd) + np.zeros(last - first))

    def weight(self, first: int, last: int) -> Floats:
        """What health counts the spare equity by."""
        need = np.maximum(self.need(first, last), 1e-9)
        if not self.account.by_price:
            return np.asarray(need)
        if self.size > 0.0:
            return np.asarray(need + self.size * self.account.entry * (1.0 + self.account.closing))
        return np.asarray(-self.size * self.price[first:last])

    def healths(self, first: int, last: int) -> Floats:
        """By the module's formula; +inf once closed."""
        if not self.size:
            return np.full(last - first, math.inf)
        equity, need, weight = (f(first, last) for f in (self.equity, self.need, self.weight))
        return np.asarray(1.0 + (equity - need) / weight if self.account.by_price else equity / weight)

    def health(self) -> float:
        """Now."""
        return float(self.healths(self.at, self.at + 1)[0])

    @property
    def notional_usd(self) -> float:
        """Size at the present price."""
        return abs(self.size) * float(self.price[self.at])

    def sail(self, to: int) -> float:
        """On to a moment; what was paid of funding on the way is settled. The lowest health of the way."""
        lowest = float((way := self.healths(self.at, to + 1)).min())
        self.way[self.at : to + 1] = way
        due = self.size * float(self.paid[to] - self.paid[self.at])
        self.cash_usd -= due
        self.funding_usd += due
        self.at = to
        return lowest

    def below(self, line: float) -> int:
        """The first moment from now on with health below ``line``; the number of moments when there is none."""
        hits = np.flatnonzero(self.healths(self.at, len(self.price)) < line)
        return self.at + int(hits[0]) if len(hits) else len(self.price)

    def cut(self, share: float, fee: float) -> float:
        """``share`` of the size is closed at the present price for ``fee`` of it: a loss comes out of the margin, a
        profit stays in it or leaves, as the venue has it. The fee."""
        closed = self.size * min(max(share, 0.0), 1.0)
        price = float(self.price[self.at])
        cost = abs(closed) * price * fee
        leaves = closed * self.won_usd() if self.account.pays_out else 0.0
        self.out_usd += leaves
        self.cash_usd += closed * price - cost - leaves
        self.size = 0.0 if share >= 1.0 else self.size - closed
        return cost

    def liquidate(self) -> float:
        """Everything closed by the venue. What it took beyond the market's price: its fee and what closing costs, as
        whoever closes a part pays it."""
        left = float(self.equity(self.at, self.at + 1)[0])
        fee = min(max(left, 0.0), self.notional_usd * LIQUIDATION_FEE)
        gone = abs(self.size) * self.account.entry * self.account.closing
        self.cut(1.0, 0.0)
        # below zero the venue's insurance bears the rest
        self.cash_usd -= fee + gone + min(left, 0.0)
        return max(left + gone, 0.0) - (max(left, 0.0) - fee)


def assets_of(accounts: Sequence[PerpAccount]) -> tuple[str, ...]:
    """Everything that needs a price."""
    return tuple(dict.fromkeys(a for account in accounts for a in account.assets))
