"""``keeper leverage``: how much the book is geared, on what, and what a per cent does to what is one's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from keeper.cli import arguments, cascade, covariance, leverage_market, subject, venue_book
from keeper.cli.leverage_book import WhatIf
from keeper.cli.leverage_market import Files

if TYPE_CHECKING:
    from keeper.cli.leverage_market import Crowd
    from keeper.cli.measure import Measure
    from keeper.replay.omens import Omens
    from keeper.risk.bookfile import NamedBook
    from keeper.risk.leverage.borrowing import Borrower, Leverage
    from keeper.risk.leverage.concentration import Slice
    from keeper.risk.leverage.contagion import Failure

HEADERS = ("position", "assets USD", "debt USD", "equity USD", "leverage", "own share", "left USD", "health")
Account = Annotated[
    list[str] | None, typer.Option("--account", help="Only this label, address or owner; repeat it.")
]
Target = Annotated[float | None, typer.Option("--target", help="A leverage to keep: what band, what sale.")]
Cost = Annotated[float, typer.Option("--cost", help="With --target: per cent that a sale and return cost.")]
Floor = Annotated[
    float | None, typer.Option("--floor", help="USD of equity not to be lost: what may be at risk.")
]
Times = Annotated[float, typer.Option("--times", help="With --floor: multiple of what stands above it.")]
Ratchet = Annotated[
    float, typer.Option("--ratchet", help="With --floor: it follows so many per cent of the highest equity.")
]
Highest = Annotated[float | None, typer.Option("--highest", help="With --ratchet: the highest equity, USD.")]
Depends = Annotated[
    Path | None,
    typer.Option("--depends", help="CSV what,on,share: what else stands on what (see docs)."),
]
Prices = Annotated[Path | None, typer.Option("--prices", help="Bars of one symbol, parquet or CSV.")]
Symbol = Annotated[str, typer.Option("--symbol", help="Which of them.")]
FundingFile = Annotated[Path | None, typer.Option("--funding", help="Funding: ts, symbol, rate.")]
Mark = Annotated[
    Path | None, typer.Option("--mark", help="A perp's price: ts, symbol, price and, if known, index.")
]
Interest = Annotated[
    Path | None,
    typer.Option("--open-interest", help="ts, symbol, open_interest, or long and short (one unit)."),
]
Tell = Annotated[
    Path | None, typer.Option("--tell", help="Write the warning there: STATE_DIR/early-warning.json.")
]
Prepare = Annotated[
    Path | None,
    typer.Option("--prepare", help="With --target: write what the OWNER signs to gear one loan up to it."),
]
Safe = Annotated[bool, typer.Option("--safe", help="With --prepare: a Safe's batch and its hashes.")]
Loss = Annotated[
    float, typer.Option("--loss", help="With --prepare: per cent below the oracle's price at the most.")
]
Slippage = Annotated[
    float, typer.Option("--slippage", help="With --prepare: per cent below the quote of now.")
]
Margin = Annotated[
    float, typer.Option("--margin", help="With --prepare: health above the policy's target at the least.")
]
Minutes = Annotated[int, typer.Option("--minutes", help="With --prepare: after so many the swap reverts.")]


class Seen(NamedTuple):
    """A book, measured."""

    named: NamedBook
    found: Leverage
    slices: Sequence[Slice]
    failed: Sequence[Failure]
    measures: Sequence[Measure]
    on: covariance.Chosen


def command(
    context: typer.Context,
    config: arguments.Config = arguments.CONFIG,
    book: subject.BookOption = None,
    rpc: cascade.Rpc = "",
    provider: cascade.Provider = None,
    market: cascade.MarketId = None,
    from_block: cascade.FromBlock = 0,
    accounts: cascade.Accounts = None,
    account: Account = None,
    history: covariance.HistoryOption = None,
    half_life: covariance.HalfLife = 30.0,
    target: Target = None,
    cost: Cost = 0.5,
    floor: Floor = None,
    times: Times = 3.0,
    ratchet: Ratchet = 0.0,
    highest: Highest = None,
    depends: Depends = None,
    prices: Prices = None,
    symbol: Symbol = "ETH/USDT",
    funding: FundingFile = None,
    mark: Mark = None,
    open_interest: Interest = None,
    tell: Tell = None,
    prepare: Prepare = None,
    safe: Safe = False,
    loss: Loss = 1.0,
    slippage: Slippage = 0.3,
    margin: Margin = 0.10,
    minutes: Minutes = 30,
    json: arguments.Json = False,
) -> None:
    """Show the leverage of each position and of the whole book, and of the market it lives in.

    Of the book: what 1 % costs, what is left at liquidation, concentration by asset, venue, oracle, chain and issuer,
    what each one's failure would take, and with --target or --floor what a band or a floor would ask. Of the market,
    from files: regime, funding, basis, open interest, flush, and the early warning with how it fared; these alone
    where there is no book. Exits with 1 when a position cannot be judged or has no equity left.

    With --target and --prepare FILE instead: what the owner of one Aave v3 loan signs to gear it up; 1 where refused.

    Example: keeper leverage --book book.json --floor 5000 --times 3
    """
    files = Files(prices=prices, symbol=symbol, funding=funding, mark=mark, interest=open_interest)
    wish = wished(target, cost, (floor, times), (ratchet, highest))
    unmixed(context, prepared=prepare is not None)
    if prepare is not None:
        bounds = (loss, slippage, margin, minutes)
        raise typer.Exit(geared_up(config, wish, (account or [], safe, bounds), prepare))
    crowd = leverage_market.crowd(files) if files.any else None
    if tell is not None:
        told(tell, None if crowd is None else crowd.warning, symbol)
    alone = crowd is not None and book is None and not rpc and not config.exists()
    wanted = venue_book.Wanted(
        rpc=rpc, provider=provider, market=market, first=from_block, accounts=accounts, book=book
    )
    whole = None if alone else venue_book.read(config, wanted)
    seen = None if whole is None else seen_of(only(whole, account or ()), (history, half_life), depends, wish)
    raise typer.Exit(ended(seen, crowd, json=json))


OF_SHEET = ("--safe", "--loss", "--slippage", "--margin", "--minutes")
WITH_SHEET = ("--prepare", "--target", "--cost", "--account", "--config", *OF_SHEET)


def named(context: typer.Context, name: str | None) -> bool:
    """Whether an option was given on the command line."""
    source = context.get_parameter_source(name) if name else None
    return source is not None and source.name == "COMMANDLINE"


def unmixed(context: typer.Context, *, prepared: bool) -> None:
    """A sheet reads its own options alone, and nothing else reads them: none is ignored without a word. Exit 2."""
    from keeper.cli.endings import usage

    given = [p.opts[0] for p in context.command.params if named(context, p.name) and p.opts]
    if prepared and (other := [o for o in given if o not in WITH_SHEET]):
        raise usage("--prepare", f"takes no {', '.join(other)}: it reads the configuration's position alone")
    if not prepared and (lone := [o for o in given if o in OF_SHEET]):
        raise usage(lone[0], "goes with --prepare FILE")


def ended(seen: Seen | None, crowd: Crowd | None, *, json: bool) -> int:
    """Everything shown; 1 when a position cannot be judged or has no equity left."""
    from keeper.cli import table

    if json:
        print(table.document(document(seen, crowd)))
    else:
        show(seen, crowd)
    bad = seen is not None and (seen.found.unknown or any(not b.equity > 0.0 for b in seen.found.borrowers))
    return int(bool(bad))


def geared_up(
    config: Path,
    wish: WhatIf,
    asked: tuple[Sequence[str], bool, tuple[float, float, float, int]],
    out: Path,
) -> int:
    """``--prepare``: the exit code. Exit 2 where it lacks its target or its file."""
    from keeper.cli import leverage_boost
    from keeper.cli.endings import usage
    from keeper.config import load

    labels, safe, (loss, slippage, margin, minutes) = asked
    if math.isnan(wish.target):
        raise usage("--prepare", "goes with --target L")
    wanted = leverage_boost.Asked(
        target=wish.target,
        labels=labels,
        cost_pct=wish.cost_pct,
        loss_pct=loss,
        slippage_pct=slippage,
        margin=margin,
        minutes=minutes,
        safe=safe,
    )
    return leverage_boost.command(load(config), wanted, out)


def wished(
    target: float | None,
    cost: float,
    floor: tuple[float | None, float],
    ratchet: tuple[float, float | None],
) -> WhatIf:
    """The band and the floor asked about. Exit 2."""
    from keeper.cli.endings import usage

    checks = (
        ("--target", target, 1.05, 100.0, "a leverage from 1.05 to 100"),
        ("--cost", cost, 0.0, 10.0, "per cent from 0 to 10"),
        ("--floor", floor[0], 0.0, 1e15, "USD of 0 or more"),
        ("--times", floor[1], 0.1, 100.0, "from 0.1 to 100"),
        ("--ratchet", ratchet[0], 0.0, 99.0, "per cent from 0 to 99"),
        ("--highest", ratchet[1], 0.0, 1e15, "USD of 0 or more"),
    )
    for option, value, low, high, what in checks:
        if value is not None and not low <= value <= high:
            raise usage(option, f"{value:g} is not {what}")
    return WhatIf(
        target=math.nan if target is None else target,
        cost_pct=cost,
        floor_usd=math.nan if floor[0] is None else floor[0],
        times=floor[1],
        ratchet_pct=ratchet[0],
        highest_usd=math.nan if ratchet[1] is None else ratchet[1],
    )


def only(book: NamedBook, names: Sequence[str]) -> NamedBook:
    """The positions of these labels, addresses or owners, in any case of letters. Exit 2 for one that is nobody's."""
    from keeper.cli.endings import usage

    if not names:
        return book
    owners = book.owners or ("",) * len(book.names)
    keys = [{n.lower(), o.lower()} for n, o in zip(book.names, owners, strict=True)]
    for name in names:
        if not any(name.lower() in k for k in keys):
            some = ", ".join(subject.cut(n, subject.NAME_MAX) for n in book.names[:8])
            raise usage("--account", f'"{name}" is nobody in this book; there is {some or "nobody"}')
    wanted = {n.lower() for n in names}
    kept = [u for u, k in enumerate(keys) if k & wanted]
    per_row = ("names", "rows", "tokens", "losses", "days", "owners", "equities", "places")
    picked: dict[str, Any] = {
        f: tuple(getattr(book, f)[u] for u in kept) if getattr(book, f) else () for f in per_row
    }
    return replace(book, **picked)


def seen_of(named: NamedBook, past: tuple[Path | None, float], depends: Path | None, wish: WhatIf) -> Seen:
    """The book measured. ConfigError, exit 2."""
    from keeper.cli import leverage_book
    from keeper.risk import history
    from keeper.risk.leverage import borrowing, standing

    on = covariance.chosen(named, *past)
    found = borrowing.measure(named)
    slices = standing.slices(named, found)
    failed = standing.fallen(named, found, {})
    if depends is not None:
        more = leverage_book.links(depends, standing.names_of(failed))
        failed = standing.fallen(named, found, more)
    # whoever names no owner says nothing of whose it is
    one_owner = bool(named.owners) and "" not in named.owners and len(set(named.owners)) == 1
    lines = [
        *leverage_book.measures(found, slices, on, one_owner=one_owner),
        *leverage_book.paced(named, None if past[0] is None else history.read(past[0])),
        *leverage_book.asked_about(found, wish),
    ]
    return Seen(named, found, slices, failed, lines, on)


def show(seen: Seen | None, crowd: Crowd | None) -> None:
    """Tables for a person: positions, what they come to, who falls with whom; the market."""
    from keeper.cli import leverage_book, measure, table

    if seen is not None:
        borrowers = seen.found.borrowers
        table.show(HEADERS, [row(b) for b in borrowers[: subject.ROWS_MAX]])
        subject.more(len(borrowers), "positions")
        subject.say_empty(seen.named)
        if unknown := seen.found.unknown:
            names = ", ".join(subject.cut(n, subject.NAME_MAX) for n in unknown[:6])
            subject.say(f"cannot be judged, and counted nowhere: {names} (a price or a number is missing)")
        print()
        table.show(measure.HEADERS, measure.rows(seen.measures))
        if lost := leverage_book.failure_rows(seen.failed):
            print()
            table.show(leverage_book.FAILURE_HEADERS, lost)
        subject.say(seen.on.line)
    if crowd is not None:
        if seen is not None:
            print()
        table.show(measure.HEADERS, measure.rows(leverage_market.measures(crowd)))
        for line in leverage_market.said(crowd):
            subject.say(line)


def told(path: Path, found: Omens | None, symbol: str) -> None:
    """The warning of the newest step, written whole or not at all. ConfigError."""
    from keeper.cli.endings import usage
    from keeper.daemon.beside import omen_text
    from keeper.errors import ConfigError
    from keeper.model import Omen

    if found is None or not math.isfinite(float(found.score[-1])):
        raise usage("--tell", "needs --prices and --funding, and more of both than the warning's window")
    newest = Omen(
        stands=bool(found.stands[-1]),
        score=float(found.score[-1]),
        line=found.rule.score,
        at_s=int(found.times_s[-1]),
        source=symbol,
    )
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(omen_text(newest))
        draft.replace(path)
    except OSError as error:
        raise ConfigError((f"{path}: cannot be written: {error.strerror}",)) from error


def row(b: Borrower) -> tuple[str, ...]:
    """One position's line."""
    from keeper.risk.leverage.ratios import equity_ratio

    own = equity_ratio(b.assets, b.assets - b.equity)
    return (
        subject.cut(b.name, subject.NAME_MAX),
        f"{b.assets:,.0f}",
        f"{b.debt:,.0f}",
        f"{b.equity:,.0f}",
        f"{b.ratio:.2f}x" if b.equity > 0.0 else "no equity",
        f"{100.0 * own:.1f} %" if math.isfinite(own) else "-",
        f"{b.left:,.0f}" if math.isfinite(b.left) else "-",
        f"{b.health:.4f}" if math.isfinite(b.health) else "no debt",
    )


def document(seen: Seen | None, crowd: Crowd | None) -> dict[str, object]:
    """Everything as JSON; null for what was not asked."""
    return {
        **({} if seen is None else book_document(seen)),
        "warning": None if crowd is None else leverage_market.fared(crowd.warning),
        "market": None if crowd is None else leverage_market.document(crowd),
    }


def book_document(seen: Seen) -> dict[str, object]:
    """The book's leverage as JSON."""
    found = seen.found
    return {
        "positions": [
            {
                "name": b.name,
                "assets_usd": b.assets,
                "debt_usd": b.debt,
                "equity_usd": b.equity,
                "leverage": subject.number(b.ratio),
                "left_usd": subject.number(b.left),
                "health": subject.number(b.health),
                "threshold": subject.number(b.threshold),
            }
            for b in found.borrowers
        ],
        "assets_usd": found.assets,
        "debt_usd": found.debt,
        "equity_usd": found.equity,
        "account_leverage": subject.number(found.account),
        "sensitivity": [
            {"factor": s.factor, "usd_per_percent": s.delta_usd, "equity_percent": subject.number(s.percent)}
            for s in found.exposures
        ],
        "hhi": subject.number(found.hhi),
        "skew": subject.number(found.skew),
        "concentration": [
            {"by": s.by, "hhi": subject.number(s.hhi), "usd": dict(s.usd), "unknown_usd": s.unknown_usd}
            for s in seen.slices
        ],
        "failures": [
            {"name": f.name, "lost_usd": f.lost_usd, "share": f.share, "wiped": f.wiped} for f in seen.failed
        ],
        "measures": [m.document for m in seen.measures],
        "covariance": seen.on.document,
        "unknown": list(found.unknown),
    }
