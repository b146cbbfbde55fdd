"""``keeper risk``: the whole book at once."""

from __future__ import annotations

import typer

from keeper.cli import arguments, subject


def command(
    config: arguments.Config = arguments.CONFIG,
    book: subject.BookOption = None,
    json: arguments.Json = False,
) -> None:
    """Show the risk of the whole book.

    Who is likely to touch liquidation within an hour, a day and a week, what drives the book's margin, and
    which named shock hurts most. Exits with 1 when a position is liquidatable or cannot be judged.

    Example: keeper risk --book book.json --json
    """
    from keeper.cli import table

    named = subject.named_book(config, book)
    from keeper.risk.portfolio import HORIZONS_DAYS, portfolio
    from keeper.risk.shocks import LIBRARY

    found = portfolio(named, LIBRARY)
    bad = any(t.by_horizon[0].boundary.value in ("UNDER", "UNKNOWN") for t in found.touches)
    bets = 1.0 / found.hhi if found.hhi > 0 else 0.0
    if json:
        positions = [
            {
                "name": t.name,
                "boundary": t.by_horizon[0].boundary.value,
                "beta": [subject.number(n.beta) for n in t.by_horizon],
                "p_touch": [n.p_touch for n in t.by_horizon],
            }
            for t in found.touches
        ]
        body = {
            "horizons_days": list(HORIZONS_DAYS),
            "positions": positions,
            "contributions": dict(found.contributions),
            "hhi": found.hhi,
            "effective_bets": bets,
            "first_to_break": found.touches[0].name if found.touches else None,
            "worst_shock": found.worst_shock,
            "worst_notional_usd": found.worst_notional_usd,
            "unknown": list(found.unknown),
        }
        print(table.document(body))
        raise typer.Exit(int(bad))
    rows = [
        (
            subject.cut(t.name, 40),
            t.by_horizon[-1].boundary.value,
            *(f"{n.p_touch:.3g}" for n in t.by_horizon),
        )
        for t in found.touches
    ]
    table.show(("position", "boundary", "P(touch) 1 h", "1 d", "7 d"), rows)
    drivers = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.contributions if share)
    print(f"drivers: {drivers or 'none'}; HHI {found.hhi:.2f}, effective bets {bets:.1f}")
    worst = f"{found.worst_shock} ({found.worst_notional_usd:,.0f} USD liquidatable)"
    print(f"worst named shock: {worst if found.worst_shock else 'none liquidates'}")
    raise typer.Exit(int(bad))
