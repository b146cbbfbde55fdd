"""``keeper cascade``: what liquidations do to prices, and those prices to the book, until nobody is left to
liquidate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from keeper.cli import arguments, subject, venue_book

if TYPE_CHECKING:
    from keeper.model import Shock
    from keeper.risk.bookfile import NamedBook
    from keeper.risk.spiral import Cascade, Law, Sold

ShockOption = Annotated[
    str, typer.Option("--shock", help="A named shock, or moves in per cent: ETH=-30 or '*=-25,LINK=-50'.")
]
Depth = Annotated[
    str,
    typer.Option(
        "--depth", help="USD whose sale lowers a price by 2 %: '*=5e6,ETH=4e7'; * for what is not named."
    ),
]


Bonus = Annotated[float, typer.Option("--bonus", help="Liquidators' bonus in per cent of the debt repaid.")]
Close = Annotated[
    float, typer.Option("--close", help="Per cent of a debt repaid at once while health is above 0.95.")
]
Rpc = Annotated[
    str,
    typer.Option(
        "--rpc", help="Instead of a book: everybody who owes on one market of this endpoint's chain."
    ),
]
Provider = Annotated[
    str | None, typer.Option("--provider", help="With --rpc: PoolAddressesProvider of the market.")
]
MarketId = Annotated[str | None, typer.Option("--market", help="With --rpc: id of a Morpho Blue market.")]
FromBlock = Annotated[int, typer.Option("--from-block", help="With --rpc: where the borrowers' logs begin.")]
Accounts = Annotated[
    Path | None,
    typer.Option("--accounts", help="With --rpc: a file of addresses, one a line, instead of logs."),
]
Mine = Annotated[
    list[str] | None,
    typer.Option("--mine", help="Whose place in the queue: a label or an address; repeat it."),
]
MapOption = Annotated[bool, typer.Option("--map", help="Where along the shock the liquidations lie.")]
Steps = Annotated[
    int | None, typer.Option("--steps", help="Of the map, from nothing to the shock.", show_default="20")
]
STEPS = 20
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Write the map as .svg, or as .html that needs nothing else.")
]


def command(
    shock: ShockOption,
    depth: Depth,
    config: arguments.Config = arguments.CONFIG,
    book: subject.BookOption = None,
    rpc: Rpc = "",
    provider: Provider = None,
    market: MarketId = None,
    from_block: FromBlock = 0,
    accounts: Accounts = None,
    bonus: Bonus = 5.0,
    close: Close = 50.0,
    map: MapOption = False,
    steps: Steps = None,
    plot: Plot = None,
    mine: Mine = None,
    json: arguments.Json = False,
) -> None:
    """Show the liquidation cascade that a shock starts.

    Liquidated collateral is sold into markets of the depth given, which lowers prices and liquidates more, to the
    fixed point; a staked token's sale lowers its base too. Lending positions only. --map shows where along the shock
    everybody's liquidation lies, where it runs away, and your place. Exits with 1 when a position is liquidatable
    without any shock or cannot be judged.

    Example: keeper cascade --book book.json --shock 'ETH=-30' --depth 'ETH=4e7,*=5e6'
    """
    from keeper.cli import table
    from keeper.cli.endings import usage
    from keeper.model import Shock
    from keeper.risk.portfolio import shock as shocked
    from keeper.risk.spiral import NoDepth, other_rules, project

    depths, asked = depths_of(depth), law(bonus, close)
    started = shock_of(shock)
    charted(map or plot is not None, plot, steps, mine)
    crowd = venue_book.Wanted(
        rpc=rpc, provider=provider, market=market, first=from_block, accounts=accounts, book=book
    )
    named = venue_book.read(config, crowd)
    if "=" in shock:
        refuse_unmoved(named, started, crowd=bool(rpc))
    if map or plot is not None:
        wish = Wish(STEPS if steps is None else steps, plot, tuple(mine or ()), json)
        raise typer.Exit(mapped(named, (started, depths, asked), wish))
    try:
        found = project(named, started, depths, asked)
    except NoDepth as error:
        raise usage("--depth", f"{error}; write e.g. {depth},*=5e6") from None
    (now,) = shocked(named, (Shock(name="now", moves={}),))
    if json:
        print(table.document({**document(started.name, found), "other_rules": dict(other_rules(named))}))
    else:
        _show(named, found, started.name)
    raise typer.Exit(int(now.liquidatable > 0 or now.unknown > 0))


def _show(named: NamedBook, found: Cascade, shock: str) -> None:
    from keeper.cli import table

    names = subject.feed_names(named.symbols)
    rows = [row(x, names.get(x.feed, x.feed)) for x in found.feeds]
    table.show(("asset", "price now", "after the shock", "at the end", "sold USD", "2 % depth USD"), rows)
    subject.say_empty(named)
    for line in (*said(found, shock, len(named.names)), *ruled(named)):
        subject.say(line)


class Wish(NamedTuple):
    """How the map is wanted."""

    steps: int
    plot: Path | None
    mine: tuple[str, ...]
    json: bool


def charted(wanted: bool, plot: Path | None, steps: int | None, mine: Sequence[str] | None) -> None:
    """Exit 2 for a map that cannot be drawn, and for its options where none is wanted."""
    from keeper.cli.endings import usage

    given = [o for o, there in (("--mine", bool(mine)), ("--steps", steps is not None)) if there]
    if given and not wanted:
        raise usage(given[0], "belongs to the map: add --map")
    steps = STEPS if steps is None else steps
    if not 2 <= steps <= 60:
        raise usage("--steps", f"{steps} is not from 2 to 60")
    if plot is not None and plot.suffix not in (".svg", ".html"):
        raise usage("--plot", f"{plot}: write FILE.svg or FILE.html")


def mapped(named: NamedBook, what: tuple[Shock, Mapping[str, float], Law], wish: Wish) -> int:
    """Print the map of the book along the shock, and draw it. Exit 2 where a depth is missing."""
    from keeper.cli import heatmap, table
    from keeper.cli.endings import say, usage
    from keeper.risk.heat import SIZE_MAX, heat
    from keeper.risk.spiral import NoDepth, other_rules

    shock, depths, asked = what
    moves = [abs(math.log1p(max(x, -SIZE_MAX))) for x in shock.moves.values()]
    last = -math.expm1(-max(moves, default=0.0))
    try:
        found = heat(named, shock, depths, asked, [last * (i + 1) / wish.steps for i in range(wish.steps)])
    except NoDepth as error:
        raise usage("--depth", f"{error}; write e.g. *=5e6") from None
    except ValueError as error:
        raise usage("--shock", f"{shock.name}: {error}") from None
    mine = venue_book.owned(named, wish.mine)
    if wish.plot is not None:
        title = f"Liquidations along {shock.name}, {len(found.queue):,} positions"
        try:
            heatmap.write(wish.plot, found, mine, title)
        except OSError as error:
            raise usage("--plot", f"{wish.plot} cannot be written: {error.strerror}") from None
        say(f"written: {wish.plot}")
    if wish.json:
        body = {"shock": shock.name, **heatmap.document(found, mine)}
        print(table.document({**body, "other_rules": dict(other_rules(named))}))
    else:
        table.show(heatmap.HEADERS, heatmap.rows(found))
        subject.say_empty(named)
        for line in (*heatmap.said(found, mine), *ruled(named)):
            subject.say(line)
    now = any(p.size == 0.0 for p in found.queue)
    return int(now or found.unknown > 0)


def refuse_unmoved(named: NamedBook, shock: Shock, *, crowd: bool) -> None:
    """Exit 2 for a name in a written shock that moves no price of the book: most likely misspelt. Of a market's
    ``crowd``, where an asset that is listed may be held by nobody, only said, unless no price moves at all."""
    from keeper.cli.endings import say, usage
    from keeper.risk.spiral import movable, unmoved

    there = movable(named)
    wrong = unmoved(named, shock) if named.symbols else ()
    if not wrong:
        return
    names = ", ".join(subject.cut(s, 16) for s in there[:30]) or "none that may move"
    told = f"{', '.join(wrong)} moves none of the book's prices; there are {names}"
    if not crowd or len(wrong) == len(shock.moves):
        raise usage("--shock", told)
    say(told)


def ruled(named: NamedBook) -> Sequence[str]:
    """Whose venue does not liquidate by --close and --bonus, by which it was reckoned all the same."""
    from keeper.risk.spiral import other_rules

    found = ", ".join(f"{venue} ({count})" for venue, count in other_rules(named))
    if not found:
        return ()
    return (
        f"liquidated by --close and --bonus, though their venues have other rules: {found}; Morpho and Compound take "
        "all at once, Maker a whole vault with a penalty: try --close 100 and their bonus",
    )


def depths_of(text: str) -> dict[str, float]:
    """``*=5e6,ETH=4e7`` as a mapping. Exit 2."""
    return pairs("--depth", text, "USD above 0, e.g. ETH=4e7", low=0.0)


def shock_of(text: str) -> Shock:
    """A named shock (its name, or the beginning of one), or moves in per cent. Exit 2."""
    from keeper.cli.endings import usage
    from keeper.model import Shock
    from keeper.risk.shocks import LIBRARY

    if "=" in text:
        moves = pairs(
            "--shock", text, "per cent from -100 to 10000, e.g. ETH=-30", low=-100.0000001, high=10_000.0
        )
        return Shock(name=text, moves={asset: max(x / 100.0, -1.0) for asset, x in moves.items()})
    found = [s for s in LIBRARY if s.name.lower().startswith(text.lower())] if text else []
    if len(found) != 1:
        raise usage(
            "--shock", f'"{text}" names {len(found)} shocks; there are {", ".join(s.name for s in LIBRARY)}'
        )
    return found[0]


def pairs(option: str, text: str, wanted: str, *, low: float, high: float = math.inf) -> dict[str, float]:
    """``A=1,B=2`` as a mapping of numbers above ``low`` and up to ``high``. Exit 2."""
    from keeper.cli.endings import usage

    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (x.strip() for x in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or not low < value <= high or value == math.inf:
            raise usage(option, f'"{part.strip()}" is not NAME={wanted}')
        if name.lower() in (n.lower() for n in found):
            raise usage(option, f"{name} is given twice")
        found[name] = value
    return found


def law(bonus: float, close: float) -> Law:
    """How liquidators act. Exit 2."""
    from keeper.cli.endings import usage
    from keeper.risk.spiral import Law

    if not 0.0 <= bonus <= 100.0:
        raise usage("--bonus", f"{bonus:g} is not from 0 to 100 per cent")
    if not 0.0 < close <= 100.0:
        raise usage("--close", f"{close:g} is not above 0 and up to 100 per cent")
    return Law(close=close / 100.0, bonus=bonus / 100.0)


def row(x: Sold, name: str) -> tuple[str, ...]:
    """One asset's table row."""
    return (
        subject.cut(name, 16),
        f"{x.now:,.6g}",
        f"{x.shocked:,.6g} ({fall(x.shocked, x.now)})",
        f"{x.end:,.6g} ({fall(x.end, x.now)})",
        f"{x.sold_usd:,.0f}",
        depth_cell(x),
    )


def depth_cell(x: Sold) -> str:
    """The market into which an asset is sold: of its base, and of its ratio where that has one."""
    base = "does not move" if math.isinf(x.depth_usd) else f"{x.depth_usd:,.0f}"
    return base if math.isinf(x.ratio_depth_usd) else f"{base}; ratio {x.ratio_depth_usd:,.0f}"


def fall(price: float, before: float) -> str:
    """The move from one price to another."""
    return f"{100.0 * (price / before - 1.0):+.1f} %"


def said(found: Cascade, name: str, positions: int) -> Sequence[str]:
    """What the table does not hold."""
    lines = [
        f"{name}: {len(found.hits)} of {positions} positions liquidated, {found.repaid_usd:,.0f} USD repaid "
        f"({found.first_repaid_usd:,.0f} in the first round), {found.bad_debt_usd:,.0f} USD of debt left "
        "without collateral",
        _ending(found),
    ]
    if found.insolvent:
        some = ", ".join(subject.cut(n, subject.NAME_MAX) for n in found.insolvent[:8])
        more = " and more" if len(found.insolvent) > 8 else ""
        lines.append(f"insolvent, owing with nothing left: {some}{more}")
    worst = sorted(found.hits, key=lambda x: -x[1])[:8]
    if worst:
        names = ", ".join(f"{subject.cut(n, subject.NAME_MAX)} {h}x" for n, h in worst)
        lines.append(f"liquidated: {names}{' and more' if len(found.hits) > len(worst) else ''}")
    if found.left_out:
        some = ", ".join(f"{subject.cut(n, subject.NAME_MAX)} ({why})" for n, why in found.left_out[:4])
        more = f" and {len(found.left_out) - 4} more" if len(found.left_out) > 4 else ""
        lines.append(f"left out: {some}{more}")
    return lines


def _ending(found: Cascade) -> str:
    if not found.settled:
        return f"NO fixed point within {found.rounds + 1} rounds: the numbers are a lower bound"
    if not found.hits and found.insolvent:
        count = len(found.insolvent)
        return (
            f"nobody is liquidated, for nothing is left to take: {count} position{'s' if count > 1 else ''} "
            f"INSOLVENT, {found.bad_debt_usd:,.0f} USD owed is lost"
        )
    if not found.hits:
        return "nobody is liquidated: prices stay where the shock put them"
    return (
        f"fixed point after {found.rounds} round{'s' if found.rounds > 1 else ''} of liquidations; prices fell "
        f"{found.amplification:.2f} times as far as the shock alone (logarithms, the asset hit hardest)"
    )


def document(name: str, found: Cascade) -> dict[str, object]:
    """The cascade as JSON."""
    return {
        "shock": name,
        "settled": found.settled,
        "rounds": found.rounds,
        "amplification": found.amplification,
        "liquidated": len(found.hits),
        "repaid_usd": found.repaid_usd,
        "first_repaid_usd": found.first_repaid_usd,
        "bad_debt_usd": found.bad_debt_usd,
        "insolvent": list(found.insolvent),
        "assets": [
            {
                "feed": x.feed,
                "price": x.now,
                "price_shocked": x.shocked,
                "price_end": x.end,
                "sold_usd": x.sold_usd,
                "depth_2pct_usd": subject.number(x.depth_usd),
                "ratio_depth_2pct_usd": subject.number(x.ratio_depth_usd),
                "amplification": x.amplification,
            }
            for x in found.feeds
        ],
        "positions": [{"name": n, "liquidations": h} for n, h in found.hits],
        "left_out": [{"name": n, "why": why} for n, why in found.left_out],
        "unknown": found.unknown,
    }
