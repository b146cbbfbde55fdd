"""``keeper distance``: how far each position is from liquidation, by price and by likelihood."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments, covariance, progress, subject

if TYPE_CHECKING:
    from keeper.model import LiquidationPrice
    from keeper.risk.portfolio import Distance

MOVES = 2
"""So many moves of the likeliest shock are shown in the table."""


def command(
    config: arguments.Config = arguments.CONFIG,
    book: subject.BookOption = None,
    days: Annotated[float, typer.Option("--days", help="Horizon of the likelihoods.")] = 7.0,
    history: covariance.HistoryOption = None,
    half_life: covariance.HalfLife = 30.0,
    json: arguments.Json = False,
) -> None:
    """Show how far each position is from liquidation.

    By each price alone, and by the most likely joint move over the horizon (beta: how many standard
    deviations away it is). Exits with 1 when a position is liquidatable or cannot be judged.

    Example: keeper distance --book book.json --days 1
    """
    from keeper.cli import table
    from keeper.cli.endings import usage

    if not 0.0 < days <= 3650.0:
        raise usage("--days", f"{days:g} is not a horizon above 0 and up to 3650 days")
    named = subject.named_book(config, book)
    on = covariance.chosen(named, history, half_life)
    from keeper.risk.portfolio import distances

    with progress.bar(len(named.rows), "positions") as advance:
        found = distances(named, days, on.factors, advance)
    if json:
        positions = [document(d) for d in found]
        print(table.document({"horizon_days": days, "positions": positions, "covariance": on.document}))
    else:
        headers = (
            "position",
            "health",
            "liquidates at",
            "beta",
            f"P(touch) {days:g} d",
            "most likely shock",
            "days by rates",
        )
        names = subject.feed_names(named.symbols)
        nearest = sorted(found, key=lambda d: -d.nearest.p_touch) if len(found) > subject.ROWS_MAX else found
        table.show(headers, [row(d, names) for d in nearest[: subject.ROWS_MAX]])
        subject.more(len(found), "positions, likeliest first")
        subject.say_empty(named)
        if any(d.days is not None for d in found):
            subject.say(
                "days by rates: until interest or funding alone liquidates, at the rates and prices of now"
            )
        subject.say(on.line)
    raise typer.Exit(int(any(d.nearest.boundary.value in ("UNDER", "UNKNOWN") for d in found)))


def document(d: Distance) -> dict[str, object]:
    """One position's distances as JSON."""
    return {
        "name": d.name,
        "health": subject.number(d.health),
        "margin_usd": subject.number(d.margin_usd),
        "boundary": d.nearest.boundary.value,
        "beta": subject.number(d.nearest.beta),
        "p_end": d.nearest.p_end,
        "p_touch": d.nearest.p_touch,
        "moves": dict(d.nearest.moves),
        "contributions": dict(d.nearest.contributions),
        "effective_bets": d.nearest.effective_bets,
        "days_by_rates": subject.number(d.days),
        "liquidation_prices": {x.feed: {"price": x.price, "distance": x.distance} for x in d.prices},
    }


def row(d: Distance, names: Mapping[str, str]) -> tuple[str, ...]:
    """One position's table row: the nearest price and the two largest moves; the JSON holds all."""
    near = sorted(d.prices, key=lambda x: abs(x.distance))
    prices = "-" if not near else _price(near[0], names)
    if d.nearest.boundary.value == "UNDER":
        prices = "now"
    large = sorted(d.nearest.moves, key=lambda m: -abs(m[1]))
    moves = ", ".join(f"{subject.cut(name, 10)} {100 * x:+.1f}%" for name, x in large[:MOVES])
    moves += f" +{len(large) - MOVES}" if len(large) > MOVES else ""
    known = d.nearest.boundary.value
    beta = f"{d.nearest.beta:.2f}" if known == "FOUND" else subject.boundary(known)
    name = subject.cut(d.name, subject.NAME_MAX)
    chance = subject.chance(d.nearest)
    return (name, subject.health_cell(d.health), prices, beta, chance, moves or "-", days_cell(d))


def days_cell(d: Distance) -> str:
    """Days for a table; ``-`` where no rate is known, ``never`` where what it owns earns enough."""
    if d.days is None:
        return "-"
    return "never" if math.isinf(d.days) else f"{d.days:,.1f}" if d.days < 1000.0 else f"{d.days:,.0f}"


def _price(x: LiquidationPrice, names: Mapping[str, str]) -> str:
    return f"{subject.cut(names.get(x.feed, x.feed), 14)} {x.price:.6g} ({100 * x.distance:+.1f}%)"
