"""Several files of bars as one: the finer are gathered into bars of the coarsest, symbols side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from keeper.errors import ConfigError
from keeper.replay.bars import ALWAYS, FIELDS, Bars, Span, iso, read, symbols_of

LONGEST_S = 86_400.0
"""No bar is longer than a day: one that opens before the end of a span holds finer ones of a day at most."""


def of_files(paths: Sequence[Path], wanted: Sequence[str], span: Span = ALWAYS) -> Bars:
    """One history out of several files. Each symbol of ``wanted`` is taken from the file named first that has it, and
    the notes say so; with nothing wanted every symbol of every file, none twice. ``span`` is what a caller then takes
    ``between``: another unit is refused there and said elsewhere. ConfigError."""
    if len(paths) == 1:
        return read(paths[0], wanted, span)
    span = (span[0], None if span[1] is None else span[1] + LONGEST_S)
    if not wanted:
        return together([read(p, (), span) for p in paths])
    taken: dict[str, Path] = {}
    parts: list[Bars] = []
    notes: list[str] = []
    for path in paths:
        here = set(symbols_of(path)).intersection(wanted)
        notes += [
            f"{s}: prices of {taken[s]}, named before {path}, which has it too"
            for s in wanted
            if s in here and s in taken
        ]
        mine = [s for s in wanted if s in here and s not in taken]
        taken.update(dict.fromkeys(mine, path))
        if mine:
            parts.append(read(path, mine, span))
        elif not here:
            notes.append(f"{path}: has none of the symbols asked for, and is not read")
    if not parts:
        raise ConfigError((f"{', '.join(wanted)}: in none of {', '.join(map(str, paths))}; see --symbol",))
    found = together(parts)
    return replace(found, notes=(*found.notes, *notes))


def together(parts: Sequence[Bars]) -> Bars:
    """One history of every symbol, where all of them have prices; gaps hold the last close. ConfigError on a symbol
    that is there twice, and on files without a time in common."""
    if len(parts) == 1:
        return parts[0]
    names = [s for p in parts for s in p.symbols]
    step = max(p.step_s for p in parts)
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise ConfigError(
            tuple(
                f"{n}: is in {' and '.join(p.path for p in parts if n in p.symbols)}; say with --symbol which "
                "symbols are meant, and the file named first gives its prices"
                for n in twice
            )
        )
    gathered = [_coarser(p, step) for p in parts]
    first, last = max(g.times_s[0] for g in gathered), min(g.times_s[-1] for g in gathered)
    every = np.unique(np.concatenate([g.times_s for g in gathered]))
    times = every[(every >= first) & (every <= last)]
    if len(times) < 2:
        spans = "; ".join(f"{p.path}: {iso(p.times_s[0])} to {iso(p.times_s[-1])}" for p in parts)
        raise ConfigError((f"the files have no two bars in common: {spans}",))
    columns = {f: np.concatenate([_at(g, times, f) for g in gathered], axis=1) for f in FIELDS}
    live = np.concatenate([_live(g, times) for g in gathered], axis=1)
    notes = [n for p in parts for n in p.notes]
    notes += [f"{p.path}: bars of {p.step_s:g} s gathered into {step:g} s" for p in parts if p.step_s != step]
    return Bars(
        path=" + ".join(p.path for p in parts),
        symbols=tuple(names),
        times_s=times,
        step_s=step,
        live=live,
        notes=tuple(notes),
        open=columns["open"],
        high=columns["high"],
        low=columns["low"],
        close=columns["close"],
    )


def _coarser(bars: Bars, step_s: float) -> Bars:
    """The same in bars of ``step_s``: first open, highest high, lowest low, last close."""
    if bars.step_s == step_s:
        return bars
    slots = np.floor(bars.times_s / step_s)
    begins = np.flatnonzero(np.diff(slots, prepend=slots[0] - 1.0))
    ends = np.append(begins[1:], len(slots)) - 1
    return Bars(
        path=bars.path,
        symbols=bars.symbols,
        times_s=slots[begins] * step_s,
        step_s=step_s,
        open=bars.open[begins],
        high=np.maximum.reduceat(bars.high, begins, axis=0),
        low=np.minimum.reduceat(bars.low, begins, axis=0),
        close=bars.close[ends],
        live=np.logical_or.reduceat(bars.live, begins, axis=0),
        notes=bars.notes,
    )


def _at(
    bars: Bars, times: np.ndarray[tuple[int, ...], np.dtype[np.float64]], name: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    at = np.searchsorted(bars.times_s, times, side="right") - 1
    own = (bars.times_s[at] == times)[:, None]
    return np.asarray(np.where(own, bars.field(name)[at], bars.close[at]))


def _live(
    bars: Bars, times: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    at = np.searchsorted(bars.times_s, times, side="right") - 1
    return np.asarray(bars.live[at] & (bars.times_s[at] == times)[:, None])
