"""Price paths of factors: correlated GBM, Student-t, jumps, and blocks of real history. Deterministic by
seed.

Paths come in chunks of ``CHUNK``, each from its own child of the seed, so the numbers of a path do not depend
on how many paths are asked for or on how many threads work.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keeper.risk.book import Floats

CHUNK = 256
Rng = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """``steps`` of ``step_days`` for each of ``paths``, from ``seed``; number ``first`` is the first of them, a
    multiple of ``CHUNK``: many paths can be drawn piece by piece."""

    paths: int
    steps: int
    step_days: float
    seed: int
    first: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Jumps:
    """Common jumps of all factors: how many a year, mean and deviation of the log size at loading 1.

    Defaults: ETH's hours that fell by more than 6 %, Binance spot 2018-2026 (8.7 a year, mean -8.2 %,
    deviation 2.9 %), rounded outward.
    """

    per_year: float = 9.0
    mean: float = -0.085
    deviation: float = 0.03


def gbm(grid: Grid, covariance_year: Floats) -> Floats:
    """Log factor levels float64[P, T, K], start 0: correlated normal steps, each price a martingale."""
    root = root_of(covariance_year * (grid.step_days / 365.0))
    drift = -0.5 * np.diag(covariance_year) * (grid.step_days / 365.0)

    def chunk(rng: Rng) -> Floats:
        return np.asarray(rng.standard_normal((CHUNK, grid.steps, len(root))) @ root.T + drift)

    return _levels(grid, chunk)


def student_t(grid: Grid, covariance_year: Floats, freedom: float = 4.0) -> Floats:
    """As ``gbm`` with multivariate t steps of the same covariance: all factors share each step's wildness.

    ValueError unless ``freedom`` > 2 (no variance below). No drift correction: e^t has no mean.
    """
    if not freedom > 2.0:
        raise ValueError(f"a Student-t with {freedom} degrees of freedom has no variance")
    root = root_of(covariance_year * (grid.step_days / 365.0))

    def chunk(rng: Rng) -> Floats:
        normal = rng.standard_normal((CHUNK, grid.steps, len(root))) @ root.T
        wild = np.sqrt((freedom - 2.0) / rng.chisquare(freedom, (CHUNK, grid.steps, 1)))
        return np.asarray(normal * wild)

    return _levels(grid, chunk)


def jump_diffusion(grid: Grid, covariance_year: Floats, jumps: Jumps, loading: Floats) -> Floats:
    """``gbm`` and common jumps (Merton 1976): at each, factor k moves by its ``loading`` float64[K] x
    size.
    """
    root = root_of(covariance_year * (grid.step_days / 365.0))
    drift = -0.5 * np.diag(covariance_year) * (grid.step_days / 365.0)
    rate = jumps.per_year * grid.step_days / 365.0

    def chunk(rng: Rng) -> Floats:
        calm = rng.standard_normal((CHUNK, grid.steps, len(root))) @ root.T + drift
        count = rng.poisson(rate, (CHUNK, grid.steps, 1))
        size = count * jumps.mean + np.sqrt(count) * jumps.deviation * rng.standard_normal(count.shape)
        return np.asarray(calm + size * loading)

    return _levels(grid, chunk)


def bootstrap(grid: Grid, returns: Floats, block: int) -> Floats:
    """Blocks of real log ``returns`` float64[N, K] (one row a step), all factors together, wrapping round.

    Rows with a gap are left out first. ValueError when fewer rows than a block remain.
    """
    usable = returns[np.isfinite(returns).all(axis=1)]
    if block < 1 or len(usable) < block:
        raise ValueError(f"{len(usable)} complete rows of history for blocks of {block}")
    blocks = -(-grid.steps // block)

    def chunk(rng: Rng) -> Floats:
        first = rng.integers(0, len(usable), (CHUNK, blocks, 1))
        rows = (first + np.arange(block)).reshape(CHUNK, -1)[:, : grid.steps] % len(usable)
        return np.asarray(usable[rows])

    return _levels(grid, chunk)


def root_of(covariance: Floats) -> Floats:
    """R with R R' = covariance, also where that is singular (a factor that does not move). ValueError if not
    PSD.
    """
    value, vector = np.linalg.eigh(covariance)
    if len(value) and value[0] < -1e-9 * max(1e-300, abs(value[-1])):
        raise ValueError("covariance is not positive semidefinite")
    return np.asarray(vector * np.sqrt(np.maximum(value, 0.0)))


def _levels(grid: Grid, chunk: Callable[[Rng], Floats]) -> Floats:
    if grid.paths < 1 or grid.steps < 1 or not (math.isfinite(grid.step_days) and grid.step_days > 0.0):
        raise ValueError(f"no paths to draw: {grid}")
    if grid.first < 0 or grid.first % CHUNK or grid.seed < 0:
        raise ValueError(f"paths begin at a multiple of {CHUNK} and seeds at 0: {grid}")
    begin = grid.first // CHUNK
    numbers = range(begin, begin - (-grid.paths // CHUNK))
    # the children that ``SeedSequence(seed).spawn`` would number so
    seeds = [np.random.SeedSequence(grid.seed, spawn_key=(n,)) for n in numbers]
    steps = np.concatenate([chunk(np.random.Generator(np.random.PCG64DXSM(s))) for s in seeds])
    return np.asarray(np.cumsum(steps[: grid.paths], axis=1))
