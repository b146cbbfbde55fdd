"""``keeper shock``: what named shocks, a ladder or a grid of moves do to the book."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments, progress, subject

if TYPE_CHECKING:
    from keeper.cli.drawing import Scene
    from keeper.model import Shock
    from keeper.risk.bookfile import NamedBook
    from keeper.risk.portfolio import ShockResult

COLUMNS_ARE = (
    "breaks: positions that a shock makes liquidatable; notional USD: what they must cover; then each "
    "position's health"
)
JOINT_IS = "; joint USD: what all legs of the owner are worth together, before any liquidation"
COLUMNS = 3
"""So many positions stand side by side in a table that a terminal can show."""
Ladder = Annotated[
    str | None, typer.Option("--ladder", help="One asset step by step, e.g. ETH; * is the market.")
]
Grid = Annotated[str | None, typer.Option("--grid", help="Two assets against each other, e.g. ETH,USDC.")]
Steps = Annotated[
    str | None,
    typer.Option("--steps", help="Moves in per cent for --ladder and --grid; default: [shocks] ladder_pct."),
]
STEPS = "-50,-40,-30,-20,-10,-5,0,5,10,20"
"""Of a grid, and of a book file, which names no ladder of its own."""
User = Annotated[
    Path | None, typer.Option("--shocks", help="A TOML file with your own [shocks.NAME] tables.")
]
Plot = Annotated[Path | None, typer.Option("--plot", help="Draw it into FILE.svg or FILE.png.")]


def command(
    config: arguments.Config = arguments.CONFIG,
    book: subject.BookOption = None,
    ladder: Ladder = None,
    grid: Grid = None,
    steps: Steps = None,
    shocks: User = None,
    plot: Plot = None,
    json: arguments.Json = False,
) -> None:
    """Show what shocks do to the book.

    Without an option the configuration's own ladder ([shocks] ladder_pct, every volatile price at once) and the
    named library: what breaks, for how much, and each position's health. Exits with 1 when a position is
    liquidatable without any shock or cannot be judged.

    Example: keeper shock --book book.json --ladder ETH --plot eth.svg
    """
    from keeper.cli.endings import usage

    if plot is not None and plot.suffix not in (".svg", ".png"):
        raise usage("--plot", f"{plot.name} ends neither in .svg nor in .png")
    # an own ladder belongs to a configuration: a book file has none, and a grid is no ladder
    mine = None if book is not None or grid is not None or shocks is not None else own_ladder(config)
    chosen = scenarios(ladder, grid, steps or mine or STEPS, shocks)
    if mine is not None and ladder is None:
        from keeper.risk import shocks as library

        chosen = (*library.ladder(library.ANY, parsed_steps(steps or mine)), *chosen)
    named = subject.named_book(config, book)
    check_moves(named, ladder, grid)
    from keeper.model import Shock
    from keeper.risk.legs import joint_usd
    from keeper.risk.portfolio import shock

    with progress.bar(len(named.rows), "positions") as advance:
        now, *found = shock(named, (Shock(name="now", moves={}), *chosen), advance)
    worth = joint_usd(named, chosen)
    if plot is not None:
        from keeper.cli import drawing

        drawn = drawing.Scene(
            names=named.names,
            now=now,
            shocks=tuple(found),
            levels=named.levels,
            subtitle=subtitle(named, now),
        )
        draw(plot, drawn, ladder, grid, steps or mine or STEPS)
    told(named, (now, found), worth, json=json)
    raise typer.Exit(int(now.liquidatable > 0 or now.unknown > 0))


def told(
    named: NamedBook,
    results: tuple[ShockResult, Sequence[ShockResult]],
    worth: Mapping[str, Sequence[float]],
    *,
    json: bool,
) -> None:
    """The table or the JSON: (now, what each shock does), and what owners of several legs are worth."""
    from keeper.cli import table

    now, found = results
    if json:
        shocks = [{**document(r), **shares(worth, s)} for s, r in enumerate(found)]
        print(table.document({"positions": list(named.names), "shocks": shocks}))
        return
    shown = columns(now)
    names = [subject.cut(named.names[u], subject.NAME_MAX) for u in shown]
    joint = joint_cells(worth, len(found))
    head = ("shock", "breaks", "notional USD", *(("joint USD",) if worth else ()))
    lines = [row(r, shown) for r in found]
    rows = [(*line[:3], *cells, *line[3:]) for line, cells in zip(lines, joint, strict=True)]
    table.show((*head, *names), rows)
    if shown:
        subject.say(COLUMNS_ARE + (JOINT_IS if worth else ""))
    subject.say_empty(named)
    if len(shown) < len(named.names):
        print(f"the {len(shown)} nearest of {len(named.names)} positions; all of them with --json")


def own_ladder(config: Path) -> str:
    """``[shocks] ladder_pct`` as ``--steps`` would have it. Raises ConfigError."""
    from keeper.config import load

    return ",".join(f"{pct:g}" for pct in load(config).shocks_pct)


def check_moves(named: NamedBook, ladder: str | None, grid: str | None) -> None:
    """A ladder that moves nothing would read as healthy at every step. Exit 2."""
    from keeper.cli.endings import usage
    from keeper.model import Shock
    from keeper.risk.shocks import move

    moving = sorted({s for f, s in named.symbols.items() if f not in named.fixed})
    asked = (
        [("--ladder", ladder)] if ladder else [("--grid", n.strip()) for n in (grid or "").split(",") if grid]
    )
    for option, name in asked:
        shock = Shock(name=name, moves={name: -0.5})
        if moving and not any(move(shock, symbol) for symbol in moving):
            raise usage(option, f"nothing here follows {name}; this book has {', '.join(moving[:12])}")


def draw(path: Path, scene: Scene, ladder: str | None, grid: str | None, steps: str) -> None:
    """The picture that fits the options."""
    from keeper.cli import drawing

    if ladder is not None:
        drawing.ladder(path, scene, ladder, parsed_steps(steps))
    elif grid is not None:
        one, two = (n.strip() for n in grid.split(","))
        drawing.heat_map(path, scene, (one, two), parsed_steps(steps))
    else:
        drawing.named(path, scene)


def subtitle(named: NamedBook, now: ShockResult) -> str:
    """What the book is now, in one line of a picture."""
    shown = ", ".join(f"{named.symbols.get(f, f)} {p:,.6g}" for f, p in list(named.prices.items())[:4])
    more = ", …" if len(named.prices) > 4 else ""
    return f"{len(named.names)} positions, {now.liquidatable} liquidatable now; prices in USD: {shown}{more}"


def scenarios(ladder: str | None, grid: str | None, steps: str, user: Path | None) -> tuple[Shock, ...]:
    """The shocks asked for. Exit 2 on a wrong option, ConfigError on a wrong file."""
    from keeper.cli.endings import usage
    from keeper.risk import shocks as library

    if sum(x is not None for x in (ladder, grid, user)) > 1:
        raise usage("--ladder", "give one of --ladder, --grid and --shocks")
    if ladder is not None:
        return library.ladder(ladder, parsed_steps(steps))
    if grid is not None:
        names = [n.strip() for n in grid.split(",")]
        if len(names) != 2 or not all(names) or names[0] == names[1]:
            raise usage("--grid", f"{grid} does not name two assets, e.g. ETH,USDC")
        return library.grid((names[0], parsed_steps(steps)), (names[1], parsed_steps(steps)))
    return library.LIBRARY if user is None else from_file(user)


def from_file(path: Path) -> tuple[Shock, ...]:
    """A user's shocks. Raises ConfigError."""
    import tomllib

    from keeper.errors import ConfigError
    from keeper.risk.shocks import from_tables

    try:
        tables = tomllib.loads(path.read_text()).get("shocks", {})
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror or error}",)) from error
    except ValueError as error:
        raise ConfigError((f"{path}: is not TOML: {error}",)) from error
    if not isinstance(tables, dict) or not tables or not all(isinstance(t, dict) for t in tables.values()):
        raise ConfigError((f"{path}: has no [shocks.NAME] tables",))
    return from_tables(tables)


def parsed_steps(text: str) -> list[float]:
    """Relative moves from per cents. Exit 2 when one is no number or below -100."""
    from keeper.cli.endings import usage

    try:
        moves = [float(x) / 100.0 for x in text.split(",")]
    except ValueError:
        raise usage("--steps", f"{text} is not a list of per cents, e.g. -30,-20,-10") from None
    if not all(-1.0 <= x <= 100.0 for x in moves) or len(moves) > 200:
        raise usage("--steps", "takes up to 200 moves from -100 to 10000 per cent")
    return moves


def document(r: ShockResult) -> dict[str, object]:
    """One shock as JSON; ``source`` says where a named one's numbers come from."""
    from keeper.risk.shocks import SOURCES

    return {
        "name": r.name,
        **({"source": SOURCES[r.name]} if r.name in SOURCES else {}),
        "liquidatable": r.liquidatable,
        "unknown": r.unknown,
        "notional_usd": r.notional_usd,
        "health": [subject.number(h) for h in r.health],
    }


def shares(worth: Mapping[str, Sequence[float]], s: int) -> dict[str, object]:
    """What each owner of several legs is worth under one shock, for JSON; nothing where there is none."""
    found = {owner: subject.number(usd[s]) for owner, usd in worth.items()}
    return {"joint_usd": found} if found else {}


def joint_cells(worth: Mapping[str, Sequence[float]], shocks: int) -> list[tuple[str, ...]]:
    """Cells of the column on joint worth: of the one owner of several legs, of each by name where there are more."""
    if not worth:
        return [()] * shocks
    named = len(worth) > 1

    def cell(owner: str, usd: float) -> str:
        told = f"{usd:,.0f}" if math.isfinite(usd) else "unknown"
        return f"{subject.cut(owner, 10)} {told}" if named else told

    return [("; ".join(cell(owner, usd[s]) for owner, usd in worth.items()),) for s in range(shocks)]


def columns(now: ShockResult) -> list[int]:
    """Positions that fit into the table: unknown ones first, then those nearest to liquidation."""
    known = {u: h for u, h in enumerate(now.health) if h is not None and not math.isnan(h)}
    unknown = [u for u, h in enumerate(now.health) if h is not None and u not in known]
    idle = [u for u, h in enumerate(now.health) if h is None]
    return [*unknown, *sorted(known, key=lambda u: known[u]), *idle][:COLUMNS]


def row(r: ShockResult, shown: Sequence[int]) -> tuple[str, ...]:
    """One shock's table row, with the health of the positions ``shown``."""
    return (
        subject.cut(r.name, 30),
        str(r.liquidatable),
        f"{r.notional_usd:,.0f}",
        *(subject.health_cell(r.health[u]) for u in shown),
    )
