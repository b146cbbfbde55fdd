"""``keeper replay``: a price history through the same rooms: who is liquidated, and what each keeper costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments, subject

if TYPE_CHECKING:
    from keeper.model import Policy
    from keeper.replay.bars import Bars
    from keeper.replay.compare import Row
    from keeper.replay.fleet import Fleet
    from keeper.replay.paths import Feed, Paths
    from keeper.replay.run import Voyage

LISTED_MAX = 12
"""Notes and accounts named under the table; the JSON holds all."""
Prices = Annotated[
    Path, typer.Option("--prices", help="Bars: ts, symbol, open, high, low, close; parquet or CSV.")
]
Accounts = Annotated[
    Path | None,
    typer.Option("--accounts", help="A CSV of accounts by asset, or a folder of them (see docs)."),
]
Symbols = Annotated[
    str, typer.Option("--symbol", help="Which of the file's symbols, e.g. ETH/USDT,BTC/USDT.")
]
Fields = Annotated[
    str, typer.Option("--field", help="What a feed sees of each bar, in order: low,high,close.")
]
FeedOption = Annotated[
    str, typer.Option("--feed", help="chainlink (deviation and heartbeat), every (each price), or osm.")
]
Keepers = Annotated[str, typer.Option("--keepers", help="nobody,threshold,cdp_keeper,ladder,ours.")]


def command(
    prices: Prices,
    accounts: Accounts = None,
    config: arguments.Config = arguments.CONFIG,
    book: subject.BookOption = None,
    symbol: Symbols = "",
    first: Annotated[str, typer.Option("--from", help="UTC, e.g. 2021-05-18.")] = "",
    last: Annotated[str, typer.Option("--to", help="UTC; bars that open before.")] = "",
    field: Fields = "low,close",
    feed: FeedOption = "chainlink",
    hold: Annotated[
        str, typer.Option("--hold", help="Assets without prices whose first value is held.")
    ] = "",
    keepers: Keepers = "nobody,threshold,ladder,ours",
    policy: Annotated[
        str, typer.Option("--policy", help="A policy of the configuration; else --trigger and --target.")
    ] = "",
    trigger: Annotated[float, typer.Option("--trigger", help="Health below which keepers act.")] = 1.25,
    target: Annotated[float, typer.Option("--target", help="Health that they restore.")] = 1.40,
    json: arguments.Json = False,
) -> None:
    """Replay a price history on positions: yours, a book's, or a folder of accounts.

    Each keeper sees only what a feed has said by then; acts land after a delay, pay gas that rises in a fall, and
    sell into a market of stated depth. Liquidators act at once. Every keeper has the same trigger and target, no
    wallet money (cdp_keeper: a tenth of the debt), and limits that do not bind. Exits with 1 when ours left an
    account to liquidators.

    Example: keeper replay --prices eth_1m.parquet --symbol ETH/USDT --accounts accounts.csv.gz --from 2021-05-18
    """
    from keeper.cli import kernels, progress, table
    from keeper.replay import compare, run
    from keeper.replay.market import Market

    names = _names("--keepers", keepers, compare.NAMES)
    wanted = _policy(config, policy, trigger, target)
    fleet = _fleet(accounts, config, book)
    kernels.prepare()
    bars = _bars(prices, symbol, first, last)
    paths = _paths(bars, fleet, (field, feed, hold))
    market = Market()
    made = compare.makes(names, wanted, fleet.assets, market)
    with progress.bar(len(names) * len(fleet.accounts), "replay") as advance:
        voyages = [run.voyage(fleet, paths, make, market, advance) for make in made.values()]
    rows = [compare.row(v) for v in voyages]
    if json:
        print(table.document(document(bars, fleet, paths, voyages)))
    else:
        table.show(HEADERS, [cells(r) for r in rows])
        for line in said(bars, fleet, paths, voyages):
            subject.say(line)
    ours = [r for r in rows if r.keeper == "ours"]
    raise typer.Exit(int(any(r.liquidated for r in ours)))


HEADERS = (
    "keeper",
    "liquidated",
    "lost USD",
    "acts",
    "cost USD",
    "gas USD",
    "refused",
    "lowest",
    "all in USD",
)


def cells(row: Row) -> tuple[str, ...]:
    """One keeper's line of the table."""
    money = [f"{x:,.0f}" for x in (row.lost_usd, row.cost_usd, row.gas_usd, row.whole_usd)]
    return (
        row.keeper,
        str(row.liquidated),
        money[0],
        str(row.acts),
        money[1],
        money[2],
        str(row.failed),
        f"{row.lowest:.3f}",
        money[3],
    )


def said(bars: Bars, fleet: Fleet, paths: Paths, voyages: Sequence[Voyage]) -> list[str]:
    """What the table does not hold."""
    from keeper.replay.bars import iso

    span = f"{iso(bars.times_s[0])} to {iso(bars.times_s[-1])} UTC, {len(bars.times_s)} bars of {bars.step_s:g} s"
    lines = [f"{len(fleet.accounts)} accounts, {span}, prices of {', '.join(bars.symbols)}"]
    lines += [f"note: {n}" for n in paths.notes[:LISTED_MAX]]
    if len(paths.notes) > LISTED_MAX:
        lines.append(f"note: and {len(paths.notes) - LISTED_MAX} more; --json has them all")
    left = fleet.left_out[:3]
    lines += [f"left out: {name}: {why}" for name, why in left]
    if len(fleet.left_out) > len(left):
        lines.append(f"left out: and {len(fleet.left_out) - len(left)} more")
    for v in voyages:
        if v.keeper == "ours" and v.liquidated:
            lost = sorted((t for t in v.trips if t.liquidations), key=lambda t: -t.lost_usd)
            some = ", ".join(
                f"{subject.cut(t.name, subject.NAME_MAX)} ({t.lost_usd:,.0f} USD)" for t in lost[:4]
            )
            lines.append(f"ours left to liquidators: {some}{' and more' if len(lost) > 4 else ''}")
    return lines


def document(bars: Bars, fleet: Fleet, paths: Paths, voyages: Sequence[Voyage]) -> dict[str, object]:
    """The replay as JSON."""
    from keeper.replay import compare

    return {
        "prices": str(bars.path),
        "from_s": float(bars.times_s[0]),
        "to_s": float(bars.times_s[-1]),
        "bars": len(bars.times_s),
        "accounts": len(fleet.accounts),
        "left_out": [{"name": n, "why": w} for n, w in fleet.left_out],
        "notes": list(paths.notes),
        "keepers": [
            {
                "keeper": r.keeper,
                "liquidated": r.liquidated,
                "lost_usd": r.lost_usd,
                "acts": r.acts,
                "cost_usd": r.cost_usd,
                "gas_usd": r.gas_usd,
                "refused": r.failed,
                "lowest": subject.number(r.lowest),
                "equity_usd": r.equity_usd,
                "accounts": [
                    {
                        "name": t.name,
                        "health_start": subject.number(t.start),
                        "health_lowest": subject.number(t.lowest),
                        "health_end": subject.number(t.end),
                        "lost_usd": t.lost_usd,
                        "cost_usd": t.cost_usd + t.gas_usd,
                        "events": [
                            {
                                "time_s": e.time_s,
                                "what": e.what,
                                "health_before": subject.number(e.health_before),
                                "health_after": subject.number(e.health_after),
                                "usd": e.usd,
                                "cost_usd": e.cost_usd,
                                "why": e.why,
                            }
                            for e in t.events
                        ],
                    }
                    for t in v.trips
                ],
            }
            for r, v in ((compare.row(v), v) for v in voyages)
        ],
    }


def _names(option: str, text: str, known: Sequence[str]) -> list[str]:
    from keeper.cli.endings import usage

    found = [x.strip() for x in text.split(",") if x.strip()]
    wrong = [x for x in found if x not in known]
    if wrong or not found:
        raise usage(option, f'"{", ".join(wrong) or text}" is not among {", ".join(known)}')
    return list(dict.fromkeys(found))


def _policy(config: Path, name: str, trigger: float, target: float) -> Policy:
    from keeper.cli.endings import usage
    from keeper.replay.compare import plain_policy

    if not name:
        if not 1.0 < trigger < target <= 100.0:
            raise usage("--trigger", f"{trigger:g} must be above 1 and below --target {target:g}")
        return plain_policy(trigger, target)
    from keeper.config import load

    found = {p.name: p for p in load(config).policies}
    if name not in found:
        raise usage("--policy", f'"{name}" is not in {config}: there are {", ".join(found)}')
    return found[name]


def _fleet(accounts: Path | None, config: Path, book: Path | None) -> Fleet:
    from keeper.cli.endings import usage
    from keeper.replay import fleet

    if accounts is not None and book is not None:
        raise usage("--accounts", "give either --accounts or --book, not both")
    if accounts is not None:
        found = fleet.read(accounts)
    else:
        found = fleet.of_book(subject.named_book(config, book), str(book or config))
    if not found.accounts:
        from keeper.errors import ConfigError

        why = "; ".join(f"{n}: {w}" for n, w in found.left_out[:3])
        raise ConfigError(
            (f"{found.path}: no lending position with debt to replay{': ' + why if why else ''}",)
        )
    return found


def _bars(prices: Path, symbol: str, first: str, last: str) -> Bars:
    from keeper.cli.endings import usage
    from keeper.replay import bars

    moments: list[float | None] = []
    for option, text in (("--from", first), ("--to", last)):
        try:
            moments.append(bars.moment(text) if text else None)
        except ValueError:
            raise usage(option, f'"{text}" is no UTC time: 2021-05-18, or 2021-05-18T12:00:00Z') from None
    symbols = [s.strip() for s in symbol.split(",") if s.strip()]
    return bars.read(prices, symbols).between(moments[0], moments[1])


def _paths(bars: Bars, fleet: Fleet, options: tuple[str, str, str]) -> Paths:
    from keeper.cli.endings import usage
    from keeper.replay import paths
    from keeper.replay.bars import FIELDS

    field, feed, hold = options
    feeds: dict[str, dict[str, Feed]] = {
        "chainlink": {},
        "every": {"*": paths.EVERY},
        "osm": {"*": paths.OSM},
    }
    if feed not in feeds:
        raise usage("--feed", f'"{feed}" is not among {", ".join(feeds)}')
    moments = _names("--field", field, FIELDS)
    held = [x.strip() for x in hold.split(",") if x.strip()]
    return paths.project(bars, fleet.assets, moments, feeds[feed], held)
