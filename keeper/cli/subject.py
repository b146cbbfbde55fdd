"""What a risk command looks at: a book file, or the guarded positions of a live configuration."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from keeper.config import Settings
    from keeper.daemon.wiring import View
    from keeper.model import Means, Position, PositionId
    from keeper.risk.bookfile import NamedBook
    from keeper.risk.distance import Nearest

ROWS_MAX = 200
"""Positions that a table shows; the JSON holds all."""
LEAST = 1e-6
"""Chances below are not told apart: a model's tail is not known so far out. The JSON has the model's number."""
WIDE = 110
"""Columns of a line under a table."""
NAME_MAX = 20
"""Characters of a position's name in a table: a label, or a cut id."""
BookOption = Annotated[
    Path | None, typer.Option("--book", help="A JSON book instead of a live configuration (see docs).")
]


def named_book(config: Path, book: Path | None) -> NamedBook:
    """The book file's rows, or those read now from the configuration's chains. Prepares the kernel cache."""
    from keeper.cli import kernels
    from keeper.risk import bookfile

    if book is not None:
        found = bookfile.read(book)
        kernels.prepare()
        return found
    from keeper.model import BookRow
    from keeper.risk import adl
    from keeper.risk.legs import equity
    from keeper.risk.stake import position_loss_usd

    read = guarded(config)
    views, positions = read.views, read.positions
    days = [days_of(p, v.snapshot.means, v.snapshot.prices) for v in views for p in v.snapshot.positions]
    lost = [u for v in views for u in v.snapshot.unreadable]
    ids = [p.id for p in positions] + [u.id for u in lost]
    nothing = BookRow(feeds=(), a=(), b=(), a0=math.nan)
    read_now = read.book(positions)
    return replace(
        read_now,
        names=tuple(read.name(id) for id in ids),
        rows=read_now.rows + (nothing,) * len(lost),
        levels=_levels(read.settings),
        tokens=read_now.tokens + ((),) * len(lost),
        losses=tuple(position_loss_usd(p) for p in positions) + (None,) * len(lost),
        days=tuple(days) + (None,) * len(lost),
        equities=tuple(equity(p) for p in positions) + (None,) * len(lost),
        # by account: one person's positions carry one address
        owners=tuple(id.account for id in ids),
        places=tuple((id.venue, str(id.chain_id)) for id in ids),
        oracles={f: oracle_of(f) for v in views for f in v.snapshot.prices},
        adl=tuple((read.name(p.id), near) for p in positions if (near := adl.of_position(p)) is not None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """The guarded positions of a configuration, as they stand now."""

    settings: Settings
    views: tuple[View, ...]
    positions: tuple[Position, ...]
    """Those that could be read, of every chain."""

    def name(self, id: PositionId) -> str:
        """Its label, else its identity."""
        return next((found for v in self.views if (found := v.labels.get(id))), str(id))

    def book(self, positions: Sequence[Position]) -> NamedBook:
        """Some of them as a book, by what their venues say."""
        from keeper.daemon.touching import symbols_of
        from keeper.risk.bookfile import NamedBook
        from keeper.risk.rows import conservative

        return NamedBook(
            names=tuple(self.name(p.id) for p in positions),
            rows=tuple(conservative(p) for p in positions),
            prices={feed: price for v in self.views for feed, price in v.snapshot.prices.items()},
            symbols=symbols_of(positions),
            tokens=tuple(collateral_tokens(p) for p in positions),
            places=tuple((p.id.venue, str(p.id.chain_id)) for p in positions),
        )


def guarded(config: Path) -> Guarded:
    """What stands on the configuration's chains now. Prepares the kernel cache. ConfigError, or Transient where a
    chain does not answer."""
    from keeper.cli import kernels
    from keeper.cli.endings import drive
    from keeper.config import load
    from keeper.daemon.wiring import photograph

    settings = load(config)
    kernels.prepare()
    views = drive(photograph(settings))
    return Guarded(
        settings=settings, views=views, positions=tuple(p for v in views for p in v.snapshot.positions)
    )


def days_of(position: Position, means: Means, prices: Mapping[str, float]) -> float | None:
    """Days until what holding it costs liquidates it, while no price moves: a loan by its market's rates, a perpetual
    by what its side pays in funding and borrowing. None where it was not read; inf when it never does."""
    from keeper.model.perp import USD_DECIMALS
    from keeper.risk import clocks, perp

    found = position.perp
    if found is None:
        return clocks.position_days(position, means, prices)
    if found.side is None or found.side.carry_year is None:
        return None
    one = 10**USD_DECIMALS
    # the venue charges both on the size at entry, which no price moves
    carry_usd_day = found.size_usd / one * (found.side.carry_year / one) / perp.DAYS_A_YEAR
    return clocks.funding_clock_days((found.remaining_usd - found.need_usd) / one, carry_usd_day)


def collateral_tokens(position: Position) -> tuple[float, ...]:
    """Tokens of counted collateral behind each entry of the position's row; a feed's first entry holds all."""
    feeds = position.row.feeds
    held = [0.0] * len(feeds)
    for h in position.collateral:
        if h.threshold_wad > 0 and h.feed in feeds:
            held[feeds.index(h.feed)] += h.amount.units / 10.0**h.amount.token.decimals
    return tuple(held)


def oracle_of(feed: str) -> str:
    """Whose contract says a venue's price: a feed's identity ends with the asset that it is of."""
    return feed.rpartition(":")[0] or feed


def _levels(settings: Settings) -> tuple[tuple[str, float], ...]:
    """The levels of the policy, where all guarded positions share one."""
    from keeper.units import wad_float

    used = {p.policy for p in settings.positions}
    if len(used) != 1:
        return ()
    policy = settings.policy(used.pop())
    wads = (("warn", policy.warn_wad), ("trigger", policy.trigger_wad), ("emergency", policy.emergency_wad))
    return tuple((name, wad_float(wad)) for name, wad in wads)


def feed_names(symbols: Mapping[str, str]) -> dict[str, str]:
    """Feed -> what a table calls it: its token's symbol, with the feed's end where two share a symbol."""
    taken = list(symbols.values())
    return {f: s if taken.count(s) == 1 else f"{s} {cut(f, 6, tail=True)}" for f, s in symbols.items()}


def cut(text: str, size: int, *, tail: bool = False) -> str:
    """At most ``size`` characters of it, its end when ``tail``; what is left out shows as one dot."""
    if len(text) <= size:
        return text
    return "…" + text[1 - size :] if tail else text[: size - 1] + "…"


def number(x: float | None) -> float | None:
    """A float that JSON can hold; NaN and infinities become null."""
    return x if x is not None and math.isfinite(x) else None


def health_cell(x: float | None) -> str:
    """Health for a table: ``-`` where nothing is to be covered, ``unknown`` where it cannot be told."""
    if x is None:
        return "-"
    return "unknown" if math.isnan(x) else f"{x:.4f}"


_BOUNDARIES = {
    "FOUND": "ahead",
    "NONE": "none",
    "UNDER": "liquidatable now",
    "UNKNOWN": "unknown",
}


def boundary(value: str) -> str:
    """A boundary in a person's words."""
    return _BOUNDARIES[value]


def chance(near: Nearest) -> str:
    """P(touch) for a table; only a proof is 0 and what cannot be judged is no number."""
    if near.boundary.value == "UNKNOWN":
        return "unknown"
    return (
        "0"
        if near.boundary.value == "NONE"
        else f"{near.p_touch:.3g}"
        if near.p_touch >= LEAST
        else f"<{LEAST:g}"
    )


def say(line: str) -> None:
    """A line under a table, wrapped."""
    bound = line.replace(" %", "\0%")
    print(textwrap.fill(bound, WIDE, subsequent_indent="  ", break_on_hyphens=False).replace("\0", " "))


def say_empty(named: NamedBook) -> None:
    """An empty table is no clean bill of health: say that nothing was judged."""
    if not named.names:
        say("no positions: nothing was judged")


def more(count: int, what: str) -> None:
    """Say that a table was cut."""
    if count > ROWS_MAX:
        say(f"{ROWS_MAX} of {count:,} {what}; all of them with --json")
