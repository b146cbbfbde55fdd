"""``keeper risk``: the whole book at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from keeper.cli import arguments, covariance, odds, progress, subject

if TYPE_CHECKING:
    from keeper.risk.adl import Adl
    from keeper.risk.bookfile import NamedBook
    from keeper.risk.portfolio import Portfolio, Touch


def command(
    config: arguments.Config = arguments.CONFIG,
    book: subject.BookOption = None,
    history: covariance.HistoryOption = None,
    half_life: covariance.HalfLife = 30.0,
    paths: odds.Model = None,
    horizon: odds.Horizon = "7d",
    n: odds.Number = 100_000,
    seed: odds.Seed = 1,
    json: arguments.Json = False,
) -> None:
    """Show the risk of the whole book.

    Who is likely to touch liquidation within an hour, a day and a week, what a liquidation would take, what
    drives the book's margin, and which named shock hurts most; with --paths, how often simulated prices touch
    it. Exits with 1 when a position is liquidatable or cannot be judged.

    Example: keeper risk --book book.json --history prices.csv --paths bootstrap --horizon 7d
    """
    from keeper.cli import table

    named = subject.named_book(config, book)
    on = covariance.chosen(named, history, half_life)
    if paths is not None:
        asked = odds.Asked(model=paths, horizon=horizon, paths=n, seed=seed)
        raise typer.Exit(int(odds.show(named, on, asked, json=json)))
    from keeper.risk.portfolio import portfolio
    from keeper.risk.shocks import LIBRARY

    with progress.bar(len(named.rows), "positions") as advance:
        found = portfolio(named, LIBRARY, on.factors, advance)
    together = joint_views(named)
    bad = any(t.by_horizon[0].boundary.value in ("UNDER", "UNKNOWN") for t in found.touches)
    if json:
        near = {"adl": [nearness(name, one) for name, one in named.adl]} if named.adl else {}
        owned = {"joint": together} if together else {}
        print(table.document({**document(found), **owned, **near, "covariance": on.document}))
    else:
        headers = ("position", "boundary", "beta 7 d", "P(touch) 1 h", "1 d", "7 d", "loss USD")
        table.show(headers, [row(t) for t in found.touches[: subject.ROWS_MAX]])
        subject.more(len(found.touches), "positions, likeliest first")
        subject.say_empty(named)
        for line in said(found):
            subject.say(line)
        for view in together:
            subject.say(joint_said(view))
        for name, one in named.adl:
            subject.say(f"auto-deleveraging of {subject.cut(name, 40)} by {one.by}: {one.said}")
        subject.say(on.line)
    raise typer.Exit(int(bad))


def document(found: Portfolio) -> dict[str, object]:
    """The book's risk as JSON."""
    from keeper.risk.portfolio import HORIZONS_DAYS

    return {
        "horizons_days": list(HORIZONS_DAYS),
        "positions": [
            {
                "name": t.name,
                "boundary": t.by_horizon[0].boundary.value,
                "beta": [subject.number(n.beta) for n in t.by_horizon],
                "p_touch": [n.p_touch for n in t.by_horizon],
                "loss_usd": subject.number(t.loss_usd),
            }
            for t in found.touches
        ],
        "contributions": dict(found.contributions),
        "hhi": found.hhi,
        "effective_bets": _bets(found),
        "first_to_break": found.touches[0].name if found.touches else None,
        "worst_shock": found.worst_shock,
        "worst_notional_usd": found.worst_notional_usd,
        "expected_loss_usd": [subject.number(x) for x in found.expected_loss_usd],
        "unknown": list(found.unknown),
    }


def joint_views(named: NamedBook) -> list[dict[str, object]]:
    """What owners of two legs and more are worth together, now and under the worst named shock, as JSON."""
    from keeper.model import Shock
    from keeper.risk.legs import joint_usd
    from keeper.risk.shocks import LIBRARY

    shocks = (Shock(name="now", moves={}), *LIBRARY)
    views: list[dict[str, object]] = []
    for owner, usd in joint_usd(named, shocks).items():
        legs = [name for name, of in zip(named.names, named.owners, strict=True) if of == owner]
        known = [i for i, x in enumerate(usd) if math.isfinite(x)]
        worst = min(known, key=lambda i: usd[i], default=0)
        views.append(
            {
                "owner": owner,
                "legs": legs,
                "worth_usd": subject.number(usd[0]),
                "worst_shock": shocks[worst].name if worst else None,
                "worst_usd": subject.number(usd[worst]),
            }
        )
    return views


def joint_said(view: Mapping[str, Any]) -> str:
    """One owner's legs in a line."""
    head = (
        f"joint {subject.cut(str(view['owner']), 12)}, {len(view['legs'])} legs ({', '.join(view['legs'])})"
    )
    if view["worth_usd"] is None:
        return f"{head}: not known, for one leg cannot be told"
    tail = "" if view["worst_shock"] is None else f", {view['worst_usd']:,.0f} under {view['worst_shock']}"
    return f"{head}: worth {view['worth_usd']:,.0f} USD now{tail}"


def nearness(name: str, one: Adl) -> dict[str, object]:
    """How near a perp is to being closed by its venue, as JSON."""
    return {
        "name": name,
        "by": one.by,
        "value": subject.number(one.value),
        "winning": one.winning,
        "enabled": one.enabled,
    }


def row(t: Touch) -> tuple[str, ...]:
    """One position's table row."""
    far = t.by_horizon[-1]
    known = far.boundary.value == "FOUND"
    return (
        subject.cut(t.name, 40),
        subject.boundary(far.boundary.value),
        f"{far.beta:.2f}" if known else "-",
        *(subject.chance(n) for n in t.by_horizon),
        "-" if t.loss_usd is None else f"{t.loss_usd:,.0f}" if math.isfinite(t.loss_usd) else "unknown",
    )


def said(found: Portfolio) -> list[str]:
    """What the table does not hold."""
    drivers = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.contributions if share)
    lines = [*_first(found), *_losses(found)]
    if drivers:
        lines.append(
            f"what moves the whole book: {drivers}; HHI {found.hhi:.2f}, effective bets {_bets(found):.1f}"
        )
    else:
        lines.append("what moves the whole book: nothing that is known")
    worst = f"{found.worst_shock} ({found.worst_notional_usd:,.0f} USD of requirements liquidatable)"
    lines.append(f"worst named shock: {worst if found.worst_shock else 'none liquidates what is known'}")
    return lines


def _first(found: Portfolio) -> list[str]:
    """Who breaks first, where anybody can be told to."""
    first = found.touches[0] if found.touches else None
    if first is None or first.by_horizon[-1].boundary.value == "NONE":
        return []
    how = subject.chance(first.by_horizon[-1])
    if first.by_horizon[-1].boundary.value == "UNDER":
        how = "liquidatable now"
    return [
        f"first to break: {subject.cut(first.name, 40)} ({how if how[0].isalpha() else f'P(touch) {how} in 7 d'})"
    ]


def _losses(found: Portfolio) -> list[str]:
    """What liquidations would take, and what protection is worth at most."""
    known = [t.loss_usd for t in found.touches if t.loss_usd is not None]
    lines = []
    if known:
        week = found.expected_loss_usd[-1]
        lines.append(
            f"loss USD: what one liquidation takes by its venue's rule, {math.fsum(known):,.2f} in all; times "
            f"P(touch) within 7 d {week:,.2f}, the most that a week of protection is worth"
        )
    threatened = [t for t in found.touches if t.by_horizon[-1].boundary.value != "NONE"]
    if without := sum(t.loss_usd is None for t in threatened):
        lines.append(f"no loss is told of {without} position{'s' * (without > 1)}: no venue's rule is known")
    return lines


def _bets(found: Portfolio) -> float:
    return 1.0 / found.hhi if found.hhi > 0 else 0.0
