"""``keeper risk --paths``: how often simulated price paths touch liquidation, with an interval."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import covariance, progress, subject, table

if TYPE_CHECKING:
    from keeper.risk.bookfile import NamedBook
    from keeper.risk.odds import Bars, Draw
    from keeper.risk.passage import Touched

_DAYS = {"m": 1.0 / 1440.0, "h": 1.0 / 24.0, "d": 1.0}
SEED_MAX = 2**63 - 1


class PathModel(StrEnum):
    """The models of ``keeper.risk.odds``, named here so that ``--help`` loads no kernels."""

    GBM = "gbm"
    STUDENT_T = "student-t"
    JUMPS = "jumps"
    BOOTSTRAP = "bootstrap"


Model = Annotated[
    PathModel | None,
    typer.Option(
        "--paths", help="Simulate instead: correlated normal steps, fat tails, jumps, or real history."
    ),
]
Horizon = Annotated[str, typer.Option("--horizon", help="With --paths: how long, e.g. 1h, 1d, 7d.")]
Number = Annotated[int, typer.Option("--n", help="With --paths: how many.")]
Seed = Annotated[int, typer.Option("--seed", help="With --paths: another seed, other paths.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of ``--paths``."""

    model: PathModel
    horizon: str
    paths: int
    seed: int


def show(named: NamedBook, on: covariance.Chosen, asked: Asked, *, json: bool) -> bool:
    """Draw, count and print; True when a position is touched already or cannot be judged."""
    from keeper.risk.book import build
    from keeper.risk.odds import touched

    draw = drawing(asked, on)
    shelf = build(named.rows, named.prices)
    with progress.bar(draw.paths, f"{asked.model} paths") as advance:
        found = touched(shelf, on.factors, draw, min(8, os.cpu_count() or 1), advance)
    under = _under(shelf.book)
    if json:
        print(table.document({**_document(named, draw, found, under), "covariance": on.document}))
    else:
        order = sorted(range(len(named.names)), key=lambda u: -float(found.high[u, 0]))
        rows = [_row(named.names[u], found, u, under[u]) for u in order]
        table.show(("position", f"P(touch) {asked.horizon}", "95 % interval", "paths that touch"), rows)
        subject.say_empty(named)
        subject.say(_said(draw))
        subject.say(on.line)
    return any(under) or not bool(found.known.all())


def drawing(asked: Asked, on: covariance.Chosen) -> Draw:
    """The options as a draw. Exit 2 naming the option that is wrong."""
    from keeper.cli.endings import usage
    from keeper.risk.odds import PATHS_MAX, Draw, lacking
    from keeper.risk.odds import Model as RiskModel

    if not 1 <= asked.paths <= PATHS_MAX:
        raise usage("--n", f"{asked.paths} is not from 1 to {PATHS_MAX}")
    if not 0 <= asked.seed <= SEED_MAX:
        raise usage("--seed", f"{asked.seed} is not from 0 to {SEED_MAX}")
    horizon = days(asked.horizon)
    if asked.model is PathModel.BOOTSTRAP:
        _check_bars(on, on.bars, horizon, asked.horizon)
        if on.bars is not None and (missing := lacking(on.factors, on.bars)):
            raise usage("--paths", f"bootstrap: --history has no column for {', '.join(missing)}")
    return Draw(
        model=RiskModel(asked.model.value),
        horizon_days=horizon,
        paths=asked.paths,
        seed=asked.seed,
        bars=on.bars,
    )


def _check_bars(on: covariance.Chosen, bars: Bars | None, horizon_days: float, text: str) -> None:
    from keeper.cli.endings import usage

    if bars is None:
        raise usage("--paths", "bootstrap draws from real prices: give --history FILE.csv")
    if horizon_days < bars.step_days * (1.0 - 1e-9):
        step = covariance.span(bars.step_days * 86_400.0)
        raise usage("--horizon", f"{text} is shorter than the history's step of {step}")


def days(text: str) -> float:
    """``7d`` as 7.0. Exit 2."""
    from keeper.cli.endings import usage

    found = re.fullmatch(r"(\d{1,5}(?:\.\d{1,3})?)([mhd])", text)
    length = float(found[1]) * _DAYS[found[2]] if found else 0.0
    if not 0.0 < length <= 3650.0:
        raise usage("--horizon", f'"{text}" is no time such as 30m, 1h, 1d or 7d, up to 3650d')
    return length


def _under(book: object) -> list[bool]:
    """Which positions are liquidatable at the prices of now."""
    import numpy as np

    from keeper.risk import kernels
    from keeper.risk.book import Book

    assert isinstance(book, Book)
    assets, needed = np.empty(len(book.a0)), np.empty(len(book.a0))
    kernels.sides(book, assets, needed)
    return [bool(x) for x in assets < needed]


def _row(name: str, found: Touched, u: int, under: bool) -> tuple[str, ...]:
    if not found.known[u]:
        return (subject.cut(name, 40), "unknown", "0 to 1", "-")
    hits, low, high = int(found.hits[u, 0]), float(found.low[u, 0]), float(found.high[u, 0])
    share = "liquidatable now" if under else f"{hits / found.paths:.3g}"
    return (subject.cut(name, 40), share, f"{low:.2g} to {high:.2g}", f"{hits:,} of {found.paths:,}")


def _said(draw: Draw) -> str:
    """What was drawn, in one line."""
    from keeper.risk.odds import Model as RiskModel

    looks = f"prices looked at every {covariance.span(draw.step_days * 86_400.0)} ({draw.steps} times)"
    jumps = draw.jumps
    what = {
        RiskModel.GBM: "correlated normal log returns",
        RiskModel.STUDENT_T: f"correlated Student-t steps with {draw.freedom:g} degrees of freedom",
        RiskModel.JUMPS: (
            f"normal steps and common jumps of volatile assets, {jumps.per_year:g} a year, "
            f"{math.expm1(jumps.mean):.1%} each on average"
        ),
        RiskModel.BOOTSTRAP: (
            f"blocks of {draw.block} bars of the history, mean removed; "
            "calm assets without a column move by their defaults"
        ),
    }[draw.model]
    return f"paths: {what}; {looks}; seed {draw.seed}"


def _document(named: NamedBook, draw: Draw, found: Touched, under: list[bool]) -> dict[str, object]:
    return {
        "model": draw.model.value,
        "horizon_days": draw.horizon_days,
        "step_days": draw.step_days,
        "paths": draw.paths,
        "seed": draw.seed,
        "positions": [
            {
                "name": name,
                "known": bool(found.known[u]),
                "liquidatable_now": under[u],
                "hits": int(found.hits[u, 0]) if found.known[u] else None,
                "p_touch": int(found.hits[u, 0]) / found.paths if found.known[u] else None,
                "low": float(found.low[u, 0]),
                "high": float(found.high[u, 0]),
            }
            for u, name in enumerate(named.names)
        ],
    }
