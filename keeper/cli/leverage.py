"""``keeper leverage``: how much the book is geared, on what, and what a per cent does to what is one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments, subject

if TYPE_CHECKING:
    from keeper.replay.omens import Omens
    from keeper.risk.borrowing import Borrower, Leverage

HEADERS = ("position", "assets USD", "debt USD", "equity USD", "leverage", "own share", "health")


def command(
    config: arguments.Config = arguments.CONFIG,
    book: subject.BookOption = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", help="Bars of one symbol, for the early warning (see docs).")
    ] = None,
    symbol: Annotated[str, typer.Option("--symbol", help="Which of them.")] = "ETH/USDT",
    funding: Annotated[
        Path | None, typer.Option("--funding", help="Funding: ts, symbol, rate; parquet or CSV.")
    ] = None,
    tell: Annotated[
        Path | None, typer.Option("--tell", help="Write the warning there: STATE_DIR/early-warning.json.")
    ] = None,
    json: arguments.Json = False,
) -> None:
    """Show the leverage of each position and of the whole book.

    Leverage is assets over equity (of a perp, notional over its margin), own share its inverse. Under the table: what
    1 % of each factor does to equity, how concentrated the exposures are, and long against short. With --prices and
    --funding also the early-warning score, and how it fared on that history; --tell lets a daemon whose policy
    follows it know (docs/strategies/tighten-on-warning.md). Exits with 1 when a position cannot be
    judged or has no equity left.

    Example: keeper leverage --book book.json
    """
    from keeper.cli import table

    named = subject.named_book(config, book)
    from keeper.risk.borrowing import measure

    found = measure(named)
    signs = omens(prices, symbol, funding)
    if tell is not None:
        told(tell, signs, symbol)
    if json:
        print(table.document({**document(found), "warning": warning_document(signs)}))
    else:
        table.show(HEADERS, [row(b) for b in found.borrowers[: subject.ROWS_MAX]])
        subject.more(len(found.borrowers), "positions")
        subject.say_empty(named)
        for line in [*said(found), *(signs.said() if signs is not None else [])]:
            subject.say(line)
    bad = bool(found.unknown) or any(not b.equity > 0.0 for b in found.borrowers)
    raise typer.Exit(int(bad))


def omens(prices: Path | None, symbol: str, funding: Path | None) -> Omens | None:
    """The early warning of a history, where one is given."""
    if prices is None and funding is None:
        return None
    if prices is None or funding is None:
        from keeper.cli.endings import usage

        raise usage("--funding", "the early warning needs both --prices and --funding")
    from keeper.replay import bars
    from keeper.replay import omens as signs

    return signs.omens(bars.read(prices, (symbol,)), 0, signs.funding(funding, symbol.split("/")[0]))


def told(path: Path, found: Omens | None, symbol: str) -> None:
    """The warning of the newest step, written whole or not at all. ConfigError."""
    import math

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


def warning_document(found: Omens | None) -> dict[str, object] | None:
    """The early warning as JSON."""
    if found is None:
        return None
    return {
        "time_s": float(found.times_s[-1]),
        "score": subject.number(float(found.score[-1])),
        "line": found.rule.score,
        "stands": bool(found.stands[-1]),
        "falls": len(found.crashes),
        "warned": sum(x is not None for x in found.record.leads),
        "false_alarms_per_year": subject.number(found.record.false_alarms_per_year),
        "by_chance": subject.number(found.covered),
    }


def row(b: Borrower) -> tuple[str, ...]:
    """One position's line."""
    own = b.equity / b.assets if b.assets > 0.0 else 1.0
    return (
        subject.cut(b.name, subject.NAME_MAX),
        f"{b.assets:,.0f}",
        f"{b.debt:,.0f}",
        f"{b.equity:,.0f}",
        f"{b.ratio:.2f}x" if b.equity > 0.0 else "no equity",
        f"{100.0 * own:.1f} %",
        f"{b.health:.4f}" if b.debt or b.ratio > 0.0 else "no debt",
    )


def said(found: Leverage) -> list[str]:
    """What the table does not hold."""
    lines = [
        f"whole book: {found.assets:,.0f} USD on {found.equity:,.0f} of equity; exposure to volatile factors "
        f"{found.account:.2f} times equity"
    ]
    if found.exposures:
        moves = ", ".join(
            f"{s.factor} {s.delta_usd:+,.0f} USD ({s.percent:+.2f} %)" for s in found.exposures[:6]
        )
        lines.append(f"1 % up of each factor moves equity by: {moves}")
        bets = 1.0 / found.hhi if found.hhi > 0.0 else 0.0
        lines.append(
            f"concentration (HHI) {found.hhi:.2f}: as {bets:.1f} even bets; skew {found.skew:+.2f} (1 all long)"
        )
    if found.unknown:
        lines.append(
            f"cannot be judged: {', '.join(subject.cut(n, subject.NAME_MAX) for n in found.unknown[:6])}"
        )
    return lines


def document(found: Leverage) -> dict[str, object]:
    """The book's leverage as JSON."""
    return {
        "positions": [
            {
                "name": b.name,
                "assets_usd": b.assets,
                "debt_usd": b.debt,
                "equity_usd": b.equity,
                "leverage": subject.number(b.ratio),
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
        "unknown": list(found.unknown),
    }
