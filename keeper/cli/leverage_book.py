"""What ``keeper leverage`` says of a book: each number with its unit and what it means for whose book it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keeper.cli import subject
from keeper.cli.measure import Measure, unknown

if TYPE_CHECKING:
    from keeper.cli.covariance import Chosen
    from keeper.risk.bookfile import NamedBook
    from keeper.risk.history import History
    from keeper.risk.leverage.borrowing import Borrower, Leverage
    from keeper.risk.leverage.concentration import Slice
    from keeper.risk.leverage.contagion import Failure

FACTORS_MAX = 6
PACE_BARS = 48
"""Bars of the history by which the pace of health is told."""
FAILURES_MAX = 8
FAILURE_HEADERS = ("if it fails wholly", "equity lost USD", "of all equity", "positions left with nothing")
MAXIMUM_DAYS = 3_650.0
WHERE = {
    "venue": 'no venue is named ("venue" of a position in the book file)',
    "oracle": 'no oracle is named ("oracle" of a price in the book file)',
    "chain": 'no chain is named ("chain" of a position in the book file)',
    "issuer": "nothing held has an issuer that is listed",
    "asset": "no exposure to a volatile asset",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """A band or a floor that is asked about; NaN where it is not."""

    target: float = math.nan
    cost_pct: float = 0.5
    floor_usd: float = math.nan
    times: float = 3.0
    ratchet_pct: float = 0.0
    highest_usd: float = math.nan


def measures(found: Leverage, slices: Sequence[Slice], covered: Chosen, *, one_owner: bool) -> list[Measure]:
    """The book's leverage, sensitivity, concentration and the price of keeping it; many borrowers also as one."""
    return [
        *_gearing(found),
        *(_slice(s) for s in slices),
        _skew(found),
        _churn(found, covered),
        *_system(found, one_owner=one_owner),
    ]


def _gearing(found: Leverage) -> list[Measure]:
    from keeper.risk.leverage.ratios import equity_ratio

    net = math.fsum(s.percent for s in found.exposures)
    if not found.equity > 0.0:
        why = "no equity is left" if found.borrowers else "nothing was judged"
        return [unknown("exposure", "x equity", why)]
    way = "costs" if net >= 0.0 else "brings"
    lines = [
        Measure(
            name="exposure",
            value=found.account,
            unit="x equity",
            means=f"1 % down of every volatile asset {way} {abs(net):.2f} % of equity",
        ),
        Measure(
            name="own share",
            value=100.0 * equity_ratio(found.assets, found.assets - found.equity),
            unit="% of assets",
            means=f"{found.equity:,.0f} of {found.assets:,.0f} USD are one's own",
            digits=1,
        ),
    ]
    for s in found.exposures[:FACTORS_MAX]:
        way = "costs" if s.delta_usd >= 0.0 else "brings"
        lines.append(
            Measure(
                name=f"1 % of {s.factor}",
                value=abs(s.delta_usd),
                unit="USD",
                means=f"1 % down {way} {abs(s.percent):.2f} % of equity",
                digits=0,
            )
        )
    return [*lines, *_left(found.borrowers)]


def _left(borrowers: Sequence[Borrower]) -> list[Measure]:
    """What is one's own when liquidation begins, and how often the tightest loan was looped."""
    from keeper.risk.leverage.ratios import loops_of

    loans = [b for b in borrowers if math.isfinite(b.left) and b.equity > 0.0]
    if not loans:
        return [unknown("left at liquidation", "USD", "no loan with debt and equity")]
    left, now = math.fsum(b.left for b in loans), math.fsum(b.equity for b in loans)
    gone = 100.0 * (1.0 - left / now)
    lines = [
        Measure(
            name="left at liquidation",
            value=left,
            unit="USD",
            means=f"of {now:,.0f} in loans; {gone:.0f} % is gone before a liquidator takes his penalty"
            if gone > 0.0
            else f"of {now:,.0f} in loans: liquidation is here",
            digits=0,
        )
    ]
    steep = max(loans, key=lambda b: b.ratio)
    if not 0.0 < steep.threshold < 1.0:
        return lines
    times, most = loops_of(steep.ratio, steep.threshold), 1.0 / (1.0 - steep.threshold)
    name = subject.cut(steep.name, subject.NAME_MAX)
    return [
        *lines,
        Measure(
            name="loops",
            value=times,
            unit="times",
            means=f"borrowed again at its threshold that is {name}'s {steep.ratio:.2f}x; {most:.2f}x is liquidation"
            if math.isfinite(times)
            else f"{name} is above what any number of loops reaches ({most:.2f}x): liquidatable",
            digits=1,
        ),
    ]


def _slice(one: Slice) -> Measure:
    from keeper.risk.leverage.concentration import CONCENTRATED_HHI, effective

    name = f"concentration by {one.by}"
    if not math.isfinite(one.hhi):
        return unknown(name, "HHI", WHERE[one.by])
    top, share = one.largest
    bets = effective(list(one.usd.values()))
    high = ", highly concentrated" if one.hhi > CONCENTRATED_HHI else ""
    means = f"as {bets:.1f} even ones{high}; {subject.cut(top, 28)} holds {100 * share:.0f} %"
    if one.unknown_usd > 0.0:
        means += f"; {one.unknown_usd:,.0f} USD more have none that is known"
    return Measure(name=name, value=one.hhi, unit="HHI", means=means)


def _skew(found: Leverage) -> Measure:
    if not math.isfinite(found.skew):
        return unknown("skew", "-1 to 1", WHERE["asset"])
    side = "long" if found.skew > 0.0 else "short"
    means = f"{50.0 * (1.0 + abs(found.skew)):.0f} % of all exposure is {side}"
    return Measure(
        name="skew",
        value=found.skew,
        unit="-1 to 1",
        means=means if found.skew else "as much long as short",
    )


def _churn(found: Leverage, covered: Chosen) -> Measure:
    import numpy as np

    from keeper.risk.leverage.borrowing import weights
    from keeper.risk.leverage.ratios import churn

    held = weights(found, covered.factors)
    if not np.isfinite(held).all():
        return unknown("cost of keeping it", "% a year", "no equity is left")
    change = 100.0 * (churn(held, covered.factors.covariance, 1.0) - 1.0)
    return Measure(
        name="cost of keeping it",
        value=change,
        unit="% a year",
        means="of equity, were this leverage kept constant and every price ended where it began",
        digits=1,
    )


def _system(found: Leverage, *, one_owner: bool) -> list[Measure]:
    """The borrowers as one, where there are several."""
    from keeper.risk.leverage.borrowing import system

    all_ = system(found.borrowers)
    if all_.count < 2 or one_owner:
        return []
    half = f"{all_.half:.2f}x" if math.isfinite(all_.half) else "no equity at all"
    sunk = f"; {all_.sunk} owe {all_.sunk_debt:,.0f} USD and own nothing" if all_.sunk else ""
    why = "" if math.isfinite(all_.ratio) else "unknown: together they own nothing; "
    return [
        Measure(
            name="systemic leverage",
            value=all_.ratio,
            unit="x",
            means=f"{why}{all_.count:,} borrowers as one; half of the debt stands at {half} and above{sunk}",
        ),
        Measure(
            name="concentration of debt",
            value=all_.hhi,
            unit="HHI",
            means=f"as {1.0 / all_.hhi:,.1f} even borrowers",
            digits=4,
        ),
    ]


def paced(book: NamedBook, history: History | None) -> list[Measure]:
    """Days until a level of health at the pace of the history's last bars, of whoever is there first."""
    import numpy as np

    from keeper.risk import kernels
    from keeper.risk.assets import asset
    from keeper.risk.book import build
    from keeper.risk.leverage.pace import days_to_trigger

    level, line = next(((n, x) for n, x in book.levels if n == "trigger"), ("liquidation", 1.0))
    name = f"days to {level}"
    if history is None:
        return [unknown(name, "days", "no past prices (--history)")]
    shelf = build(book.rows, book.prices)
    column = {c.lower(): k for k, c in enumerate(history.names)}
    past = history.prices[-PACE_BARS:] / history.prices[-1]
    moves = np.ones((len(past), len(shelf.feeds)))
    for f, feed in enumerate(shelf.feeds):
        symbol = book.symbols.get(feed, feed)
        k = column.get(symbol.lower(), column.get(asset(symbol).base.lower()))
        if k is not None and feed not in book.fixed:
            moves[:, f] = past[:, k]
    health = np.empty((len(shelf), len(past)))
    kernels.health_under(shelf.book, np.ascontiguousarray(moves * shelf.book.prices), health)
    days = [days_to_trigger([float(x) for x in h], history.step_s, line) for h in health]
    known = [(d, n) for d, n in zip(days, book.names, strict=True) if not math.isnan(d)]
    if not known:
        return [unknown(name, "days", "no position with debt whose prices are known")]
    least, who = min(known)
    where = f"{subject.cut(who, subject.NAME_MAX)} at the pace of the last {len(past)} bars"
    if least > MAXIMUM_DAYS:
        return [Measure(name=name, value=math.inf, unit="days", means="no health falls at present")]
    means = f"{where} (health {line:g})" if least else f"{subject.cut(who, subject.NAME_MAX)} is there"
    return [Measure(name=name, value=least, unit="days", means=means, digits=1)]


def asked_about(found: Leverage, wish: WhatIf) -> list[Measure]:
    """What a band and a floor would ask of this book."""
    lines: list[Measure] = []
    if math.isfinite(wish.target):
        lines += _band(found, wish)
    if math.isfinite(wish.floor_usd):
        lines += _floor(found, wish)
    return lines


def _band(found: Leverage, wish: WhatIf) -> list[Measure]:
    from keeper.risk.leverage.ratios import band, health_of_ratio

    low, high = band(wish.target, wish.cost_pct / 100.0)
    held = math.fsum(b.assets for b in found.borrowers if b.debt > 0.0)
    owed = math.fsum(b.debt for b in found.borrowers)
    own = held - owed
    if not own > 0.0:
        return [unknown("band", "x", "no loan with equity")]
    weighted = math.fsum(b.threshold * b.assets for b in found.borrowers if b.debt > 0.0) / held
    ratio, sale = held / own, held - wish.target * own
    inside = "inside: nothing to do"
    if ratio < low:
        inside = (
            f"below it: the keeper never borrows. Your own act: {-sale:,.0f} USD borrowed, and as much bought and "
            f"supplied, restore {wish.target:g}x at health {health_of_ratio(wish.target, weighted):.4f}, costs apart "
            "(--prepare FILE writes it for your signature)"
        )
    if ratio > high:
        inside = f"above it: {sale:,.0f} USD sold against debt restore {wish.target:g}x, costs apart"
    return [
        Measure(
            name="band, lowest",
            value=low,
            unit="x",
            means=f"around {wish.target:g}x where a sale and its return cost {wish.cost_pct:g} %",
        ),
        Measure(
            name="band, highest",
            value=high,
            unit="x",
            means=f"health {health_of_ratio(high, weighted):.4f} as a trigger, "
            f"{health_of_ratio(wish.target, weighted):.4f} as a target",
        ),
        Measure(name="leverage of the loans", value=ratio, unit="x", means=inside),
    ]


def _floor(found: Leverage, wish: WhatIf) -> list[Measure]:
    """By the strategy's own arithmetic."""
    from keeper.decision.floor import allowed_wad
    from keeper.units import WAD

    highest = max(found.equity, wish.highest_usd if math.isfinite(wish.highest_usd) else 0.0)
    # TIPP: the floor follows a share of the highest equity seen (Estep-Kritzman 1988)
    floor = max(wish.floor_usd, wish.ratchet_pct / 100.0 * highest)
    equity = max(found.equity, 0.0)
    most = allowed_wad(int(equity * WAD), int(floor * WAD), int(wish.times * WAD)) / WAD
    risk = 100.0 * math.fsum(abs(s.delta_usd) for s in found.exposures)
    over = max(0.0, risk - most)
    gap = (equity - floor) / risk if risk > 0.0 else math.inf
    means = f"{wish.times:g} x ({equity:,.0f} - floor {floor:,.0f}); {risk:,.0f} are at risk"
    then = f"{over:,.0f} USD too much" if over else "within it"
    fall = f"{100.0 * gap:.1f} % at once" if gap > 0.0 else "no fall at all: equity is at the floor or below"
    return [
        Measure(name="may be at risk", value=most, unit="USD", means=f"{means}: {then}", digits=0),
        Measure(
            name="fall to the floor",
            value=100.0 * max(gap, 0.0),
            unit="% down",
            means=f"equity reaches the floor after {fall}; from what is allowed after {100.0 / wish.times:.1f} %"
            if math.isfinite(gap)
            else "nothing volatile is held: no fall reaches it",
            digits=1,
        ),
    ]


def failure_rows(failed: Sequence[Failure]) -> list[tuple[str, ...]]:
    """The dearest failures' lines."""
    return [
        (subject.cut(f.name, 40), f"{f.lost_usd:,.0f}", f"{100.0 * f.share:.0f} %", str(f.wiped))
        for f in failed[:FAILURES_MAX]
        if f.lost_usd > 0.0
    ]


def links(path: Path | None, names: Sequence[str]) -> Mapping[tuple[str, str], float]:
    """``what,on,share`` of a CSV file. ConfigError naming file, row and column."""
    import csv

    from keeper.errors import ConfigError

    if path is None:
        return {}
    try:
        lines = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((f"{path}: cannot be read: {error}",)) from error
    header = [h.strip() for h in lines.fieldnames or []]
    if lacking := [c for c in ("what", "on", "share") if c not in header]:
        raise ConfigError((f"{path}: row 1: lacks the column {', '.join(lacking)}; write what,on,share",))
    found: dict[tuple[str, str], float] = {}
    problems: list[str] = []
    for n, row in enumerate(lines, start=2):
        what, on = (str(row[k] or "").strip() for k in ("what", "on"))
        try:
            share = float(row["share"] or "")
        except ValueError:
            share = math.nan
        if not 0.0 < share <= 1.0:
            problems.append(f"{path}: row {n}, column share: {row['share']!r} is not above 0 and up to 1")
        if what not in names:
            there = ", ".join(names[:12])
            problems.append(f"{path}: row {n}, column what: {what!r} is not in this book; there is {there}")
        if not on or on == what:
            problems.append(f"{path}: row {n}, column on: {on!r} is nothing that it could stand on")
        found[what, on] = share
    if problems:
        raise ConfigError(tuple(problems[:20]))
    return found
