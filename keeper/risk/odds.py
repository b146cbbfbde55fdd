"""How often simulated paths touch each position's boundary: model, covariance or history in; interval out."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from keeper.risk import kernels, passage
from keeper.risk.book import Floats, Shelf
from keeper.risk.factors import Factors, is_volatile
from keeper.risk.passage import Touched
from keeper.risk.paths import CHUNK, Grid, Jumps, bootstrap, gbm, jump_diffusion, student_t

STEPS = 168
"""Looks at the prices until the horizon where the model does not bring its own step: hourly over a week."""
PATHS_MAX = 10_000_000
_BATCH_NUMBERS = 6_000_000
"""Prices drawn at a time by one thread: 48 MB."""
_OTHER_STREAM = 1 << 64
"""Added to the seed where a second, independent stream is drawn; seeds on a command line are smaller."""
Advance = Callable[[int], None]


class Model(StrEnum):
    """How log returns are drawn."""

    GBM = "gbm"
    STUDENT_T = "student-t"
    JUMPS = "jumps"
    BOOTSTRAP = "bootstrap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Real log ``returns`` float64[R, K] of factors ``names``, ``step_days`` apart."""

    names: tuple[str, ...]
    returns: Floats
    step_days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What to draw: ``paths`` of a ``model`` over a horizon from ``seed``; ``bars`` for the bootstrap."""

    model: Model
    horizon_days: float
    paths: int
    seed: int
    freedom: float = 4.0
    """Degrees of freedom of Student's t; daily crypto returns lie near 3 to 4."""
    jumps: Jumps = field(default_factory=Jumps)
    """On top of the covariance's diffusion; volatile factors only, all at once."""
    bars: Bars | None = None

    @property
    def step_days(self) -> float:
        """Time between two looks at the prices."""
        return (
            self.bars.step_days if self.model is Model.BOOTSTRAP and self.bars else self.horizon_days / STEPS
        )

    @property
    def steps(self) -> int:
        """Looks until the horizon, the last one not before it."""
        return max(1, math.ceil(self.horizon_days / self.step_days - 1e-9))

    @property
    def block(self) -> int:
        """Bars that the bootstrap keeps together: a day of them, at most the horizon and half the history."""
        rows = 2 if self.bars is None else len(self.bars.returns)
        return max(1, min(round(1.0 / self.step_days), self.steps, rows // 2))


def touched(
    shelf: Shelf, factors: Factors, draw: Draw, threads: int = 1, advance: Advance | None = None
) -> Touched:
    """Which share of paths touches by the horizon, for every row; a position under now is touched by all.

    Deterministic by seed: a path's numbers depend on nothing but its number, and hits are whole, so neither
    threads nor batches change a digit. ``advance`` is told each batch's paths. ValueError for a draw that
    cannot be made (no bars, a volatile factor without history, no paths).
    """
    _check(draw, factors)
    batches = _batches(draw, len(shelf.feeds) + len(factors.names))

    def part(batch: tuple[int, int]) -> Touched:
        grid = Grid(
            paths=batch[1], steps=draw.steps, step_days=draw.step_days, seed=draw.seed, first=batch[0]
        )
        return _touched(shelf, factors, _levels(draw, grid, factors))

    total: Touched | None = None
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for (_, paths), one in zip(batches, pool.map(part, batches), strict=True):
            total = one if total is None else replace(one, hits=total.hits + one.hits)
            if advance is not None:
                advance(paths)
    assert total is not None, "there is at least one batch"
    known = np.asarray(total.known & _finite(shelf), np.bool_)
    hits = np.where(known[:, None], total.hits, draw.paths)
    low, high = passage.wilson(hits, draw.paths)
    low[~known], high[~known] = 0.0, 1.0
    return Touched(hits=hits, paths=draw.paths, low=low, high=high, known=known)


def _finite(shelf: Shelf) -> npt.NDArray[np.bool_]:
    """Rows whose two sides are numbers now: one that overflows would never be seen to touch anything."""
    assets, needed = np.empty(len(shelf)), np.empty(len(shelf))
    kernels.sides(shelf.book, assets, needed)
    return np.isfinite(assets) & np.isfinite(needed)


def lacking(factors: Factors, bars: Bars) -> tuple[str, ...]:
    """Volatile factors of which the bars know nothing: no path of theirs can be drawn from history."""
    return tuple(n for n in factors.names if n not in bars.names and is_volatile(n))


def _check(draw: Draw, factors: Factors) -> None:
    if not 1 <= draw.paths <= PATHS_MAX:
        raise ValueError(f"{draw.paths} paths; from 1 to {PATHS_MAX}")
    if not (math.isfinite(draw.horizon_days) and draw.horizon_days > 0.0):
        raise ValueError(f"horizon {draw.horizon_days} days is not positive")
    if draw.model is Model.BOOTSTRAP:
        if draw.bars is None:
            raise ValueError("a bootstrap needs bars of history")
        if missing := lacking(factors, draw.bars):
            raise ValueError(f"no history of {', '.join(missing)}")


def _batches(draw: Draw, columns: int) -> list[tuple[int, int]]:
    """(first path, how many) of each batch, whole chunks but for the last."""
    size = CHUNK * max(1, _BATCH_NUMBERS // (CHUNK * draw.steps * max(1, columns)))
    return [(first, min(size, draw.paths - first)) for first in range(0, draw.paths, size)]


def _levels(draw: Draw, grid: Grid, factors: Factors) -> Floats:
    """Log factor levels float64[P, T, K] after each step."""
    if draw.model is Model.STUDENT_T:
        return student_t(grid, factors.covariance, draw.freedom)
    if draw.model is Model.JUMPS:
        loading = np.array([1.0 if is_volatile(n) else 0.0 for n in factors.names])
        return jump_diffusion(grid, factors.covariance, draw.jumps, loading)
    if draw.model is Model.BOOTSTRAP and draw.bars is not None:
        return _from_bars(draw, draw.bars, grid, factors)
    return gbm(grid, factors.covariance)


def _from_bars(draw: Draw, bars: Bars, grid: Grid, factors: Factors) -> Floats:
    """Blocks of real returns without their mean: a history that rose promises nothing.

    Calm factors without history move by their covariance, from a stream of their own.
    """
    levels = gbm(replace(grid, seed=grid.seed + _OTHER_STREAM), factors.covariance)
    known = [k for k, n in enumerate(factors.names) if n in bars.names]
    centred = bars.returns - bars.returns.mean(axis=0)
    drawn = bootstrap(grid, centred, draw.block)
    levels[:, :, known] = drawn[:, :, [bars.names.index(factors.names[k]) for k in known]]
    return levels


def _touched(shelf: Shelf, factors: Factors, levels: Floats) -> Touched:
    """First passage over paths that begin with the price of now."""
    loading = factors.rows(shelf.feeds)
    moves = np.concatenate([np.zeros((len(levels), 1, levels.shape[2])), levels], axis=1) @ loading.T
    # a book without any price is one path that stands still
    prices = np.exp(moves) * shelf.book.prices if shelf.feeds else np.ones((len(levels), 1, 1))
    paths = passage.prepare(prices, np.array([prices.shape[1]]))
    return passage.first_passage(shelf.book, paths)
