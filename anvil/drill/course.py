"""Which prices move in a drill, oracle update by oracle update: a named shock, a file of steps, or what once was."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keeper.model import Shock
from keeper.risk.shocks import move

DEPTH_MAX = 0.999
"""A price of exactly nothing is no answer of a feed."""
BLOCKS_MAX = 2_000
"""Of one course, rests included: a drill runs every one of them twice."""
FALL_MAX = 0.9
"""The largest single update that is asked about."""


class CourseError(Exception):
    """A course that cannot be run; the message names file, line, column and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One update of the feeds: everything as multiples of the start, as a shock by assets; then ``rest`` blocks."""

    shock: Shock
    rest: int = 0
    why: str = ""

    def multiple(self, symbol: str) -> float:
        """Price of ``symbol`` over that at the start."""
        return 1.0 + max(move(self.shock, symbol), -DEPTH_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A whole fall."""

    name: str
    updates: tuple[Update, ...]

    @property
    def worst(self) -> Update:
        """The update with the largest move of anything named."""
        return max(self.updates, key=lambda u: max((abs(x) for x in u.shock.moves.values()), default=0.0))


def spread(shock: Shock, updates: int) -> Course:
    """The shock in equal ratios over so many updates; one is all at once."""
    steps = tuple(
        Update(shock=powered(shock, i / updates), why=shock.name if i == 1 else "")
        for i in range(1, updates + 1)
    )
    return Course(name=shock.name, updates=steps)


def powered(shock: Shock, exponent: float) -> Shock:
    """Every factor of the shock to the power ``exponent``: 0 is nothing, 1 the shock itself."""
    moves = {name: max(1.0 + x, 1.0 - DEPTH_MAX) ** exponent - 1.0 for name, x in shock.moves.items()}
    return Shock(name=shock.name, moves=moves)


def driver(shock: Shock, symbols: Iterable[str]) -> tuple[str, float]:
    """Which of ``symbols`` the shock moves most, and by how much in logarithms; ("", 0.0) where it moves none."""
    moves = {s: math.log1p(max(move(shock, s), -DEPTH_MAX)) for s in symbols}
    name = max(moves, key=lambda s: abs(moves[s]), default="")
    return (name, moves[name]) if name and moves[name] else ("", 0.0)


def at_size(shock: Shock, symbols: Iterable[str], size: float) -> Update:
    """The shock scaled so that what it moves most moves by ``size`` (a fall is 0.25 for -25 %; a rise by the same
    factor turned over), in one update."""
    _, log = driver(shock, symbols)
    return Update(shock=powered(shock, math.log1p(-size) / -abs(log)))


def largest_update(course: Course, symbols: Sequence[str]) -> float:
    """The largest move of any of ``symbols`` from one update to the next, as ``at_size`` measures it."""
    before, most = dict.fromkeys(symbols, 1.0), 0.0
    for update in course.updates:
        now = {s: update.multiple(s) for s in symbols}
        most = max(most, *(abs(math.log(now[s] / before[s])) for s in symbols))
        before = now
    return -math.expm1(-most)


def read(path: Path) -> Course:
    """A CSV of steps: ``block`` and one column an asset, multiples of the start price; an empty cell keeps the last.

    Blocks rise; a row's prices land in its block and stand until the next row's. Raises CourseError naming line and
    column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{path}: cannot be read: {error}") from error
    rows = [(n, row) for n, row in enumerate(csv.reader(text.splitlines()), 1) if any(c.strip() for c in row)]
    if not rows:
        raise CourseError(f"{path}: is empty; write a first line like block,ETH,BTC")
    head = [c.strip() for c in rows[0][1]]
    symbols = head[1:]
    if head[0].lower() != "block" or not symbols or len(set(head)) < len(head) or not all(symbols):
        raise CourseError(f"{path}:1: the first line names block and the assets, each once: block,ETH,BTC")
    if len(rows) < 2:
        raise CourseError(f"{path}: names assets and no step")
    updates, last = list[Update](), None
    standing = dict.fromkeys(symbols, 1.0)
    for n, row in rows[1:]:
        block = _block(f"{path}:{n}", row, last)
        standing = {**standing, **_cells(f"{path}:{n}", symbols, row[1:])}
        if last is not None:
            updates[-1] = replace(updates[-1], rest=max(0, block - last - 2))
        updates.append(Update(shock=Shock(name=path.name, moves={s: x - 1.0 for s, x in standing.items()})))
        last = block
    return bounded(Course(name=path.name, updates=tuple(updates)))


def bounded(course: Course) -> Course:
    """The course, when it is short enough. Raises CourseError."""
    blocks = sum(2 + u.rest for u in course.updates)
    if blocks > BLOCKS_MAX:
        raise CourseError(f"{course.name}: {blocks} blocks; a drill runs at most {BLOCKS_MAX}")
    return course


def _block(where: str, row: Sequence[str], last: int | None) -> int:
    try:
        block = int(row[0])
    except ValueError:
        raise CourseError(f'{where}: block "{row[0].strip()}" is no whole number') from None
    if block < 0 or (last is not None and block <= last):
        raise CourseError(f"{where}: block {block} does not come after {last}")
    return block


def _cells(where: str, symbols: Sequence[str], cells: Sequence[str]) -> Mapping[str, float]:
    if len(cells) > len(symbols):
        raise CourseError(f"{where}: {len(cells)} prices for {len(symbols)} assets")
    found = {}
    for symbol, cell in zip(symbols, cells, strict=False):
        if not cell.strip():
            continue
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not 1.0 - DEPTH_MAX <= value <= 100.0:
            raise CourseError(
                f'{where}: {symbol} "{cell.strip()}" is no multiple of the start price ({1 - DEPTH_MAX:.3f} to 100)'
            )
        found[symbol] = value
    return found
