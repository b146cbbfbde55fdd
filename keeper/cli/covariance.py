"""Which covariance a risk command uses: defaults by class, or an estimate from ``--history``; and saying so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from keeper.risk.bookfile import NamedBook
    from keeper.risk.estimate import Estimate
    from keeper.risk.factors import Factors
    from keeper.risk.history import History
    from keeper.risk.odds import Bars

SHOWN = 8
"""So many volatilities are named on the line; the JSON holds all."""
HistoryOption = Annotated[
    Path | None,
    typer.Option(
        "--history", help="Real prices, CSV or CSV.gz: time, then a column for each asset (see docs)."
    ),
]
HalfLife = Annotated[
    float, typer.Option("--half-life", help="Days after which a return of --history counts half.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The factors with their covariance, what it stands on, and the bars when there are any."""

    factors: Factors
    line: str
    """For a person."""
    document: Mapping[str, object]
    """For JSON."""
    bars: Bars | None = None


def chosen(book: NamedBook, path: Path | None, half_life_days: float) -> Chosen:
    """The book's factors. Exit 2 on a wrong half-life, ConfigError on a wrong file."""
    from keeper.cli.endings import usage
    from keeper.risk.portfolio import factors_of

    if not 0.0 < half_life_days <= 3650.0:
        raise usage("--half-life", f"{half_life_days:g} is not above 0 and up to 3650 days")
    factors = factors_of(book)
    if path is None:
        line = f"covariance: defaults by class, no --history: {volatilities(factors, factors.names)}"
        return Chosen(factors=factors, line=line, document={"source": "defaults", **_numbers(factors)})
    return _from_history(factors, path, half_life_days)


def _from_history(factors: Factors, path: Path, half_life_days: float) -> Chosen:
    from keeper.risk import history
    from keeper.risk.estimate import estimate
    from keeper.risk.factors import with_covariance
    from keeper.risk.odds import Bars

    found = history.read(path)
    names, returns = history.factor_returns(found)
    used = [k for k, n in enumerate(names) if n in factors.names]
    if not used:
        from keeper.errors import ConfigError

        raise ConfigError(
            (f"{path}: none of {', '.join(names)} moves this book ({', '.join(factors.names)})",)
        )
    names, returns = tuple(names[k] for k in used), returns[:, used]
    made = estimate(names, returns, found.step_s, half_life_days)
    merged = with_covariance(factors, list(names), made.covariance)
    return Chosen(
        factors=merged,
        line=_line(merged, found, made, half_life_days),
        document={
            "source": "history",
            "file": str(path),
            "from": moment(found.times_s[0]),
            "to": moment(found.times_s[-1]),
            "step_s": found.step_s,
            "missing_bars": found.missing,
            "returns": made.count,
            "effective_returns": made.effective,
            "half_life_days": half_life_days,
            "shrinkage": made.shrinkage,
            "estimated": list(names),
            **_numbers(merged),
        },
        bars=Bars(names=names, returns=returns, step_days=found.step_s / 86_400.0),
    )


def _line(factors: Factors, found: History, made: Estimate, half_life_days: float) -> str:
    rest = [n for n in factors.names if n not in made.names]
    missing = f", {found.missing} missing" if found.missing else ""
    line = (
        f"covariance: EWMA with half-life {half_life_days:g} d, shrunk by {made.shrinkage:.1%} (Ledoit-Wolf), "
        f"from {made.count:,} returns of {span(found.step_s)}{missing}, {moment(found.times_s[0])} to "
        f"{moment(found.times_s[-1])}: {volatilities(factors, made.names)}"
    )
    return line + (f"; defaults for {volatilities(factors, rest)}" if rest else "")


def volatilities(factors: Factors, names: tuple[str, ...] | list[str]) -> str:
    """``ETH 80 %, USDC 2 % a year`` of the factors named."""
    shown = [
        f"{n} {100 * float(factors.covariance[k, k]) ** 0.5:.3g} %"
        for k, n in enumerate(factors.names)
        if n in names
    ]
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return f"{', '.join(shown[:SHOWN])}{more} a year" if shown else "nothing moves"


def _numbers(factors: Factors) -> dict[str, object]:
    return {
        "factors": list(factors.names),
        "volatility_year": [float(x) ** 0.5 for x in factors.covariance.diagonal()],
        "covariance_year": [[float(x) for x in row] for row in factors.covariance],
    }


def moment(seconds: float) -> str:
    """UTC to the minute."""
    return datetime.fromtimestamp(float(seconds), UTC).strftime("%Y-%m-%d %H:%MZ")


def span(seconds: float) -> str:
    """``1 h`` for 3600."""
    for unit, length in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length and abs(seconds / length - round(seconds / length)) < 1e-9:
            return f"{round(seconds / length)} {unit}"
    return f"{seconds:g} s"
