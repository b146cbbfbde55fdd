"""What a replay knows besides feeds: what markets say of a stable whose feed stands at one dollar, and the warning.

No peeking: a source says the mean of the closes of the five minutes before the bar that is under way, as a pool's
average does; the warning is that of the last funding step before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from keeper.errors import ConfigError
from keeper.model import Omen, Quoted
from keeper.replay.bars import Bars
from keeper.replay.paths import Paths
from keeper.risk.book import Floats
from keeper.units import WAD

WINDOW_S = 300.0
"""As ``oracle.market`` averages a pool."""


def pegs_of(text: str) -> Mapping[str, tuple[str, ...]]:
    """``USDC=USDC/USD+USDC/USDT`` as asset -> the symbols that tell its market, the first the one it is sold at.
    Raises ValueError.
    """
    found: dict[str, tuple[str, ...]] = {}
    for part in (x.strip() for x in text.split(",") if x.strip()):
        name, _, symbols = part.partition("=")
        told = tuple(s.strip() for s in symbols.split("+") if s.strip())
        if not name.strip() or not told:
            raise ValueError(f'"{part}" is no ASSET=SYMBOL+SYMBOL')
        found[name.strip()] = told
    return found


def pegged(paths: Paths, bars: Bars, pegs: Mapping[str, Sequence[str]]) -> Paths:
    """The same with a feed at one dollar for each of ``pegs``, its market by its first symbol, all of them as
    sources. ConfigError naming a symbol that the file has not, or an asset that nobody holds.
    """
    row, said, market = paths.row.copy(), [paths.said], [paths.market]
    usd, quoted = list(paths.usd), dict(paths.quoted)
    problems = [
        f"{bars.path}: column symbol: has no {s} for --peg {name}; there is {', '.join(bars.symbols)}"
        for name, symbols in pegs.items()
        for s in symbols
        if s not in bars.symbols
    ]
    problems += [f"--peg {name}: no account holds or owes it" for name in pegs if name not in paths.assets]
    if problems:
        raise ConfigError(tuple(problems))
    for name, symbols in pegs.items():
        columns = [bars.symbols.index(s) for s in symbols]
        row[paths.assets.index(name)] = len(usd)
        usd.append(1.0)
        said.append(np.ones((1, len(paths.bar))))
        market.append(_by_moment(paths, bars, columns[0])[None, :])
        quoted[name] = tuple((s, _means(bars, c)) for s, c in zip(symbols, columns, strict=True))
    return replace(
        paths,
        row=row,
        said=np.ascontiguousarray(np.concatenate(said)),
        market=np.ascontiguousarray(np.concatenate(market)),
        usd=np.array(usd),
        quoted=quoted,
        notes=(
            *paths.notes,
            *(f"{n}: its feed stands at one dollar; sources: {', '.join(s)}" for n, s in pegs.items()),
        ),
    )


def _by_moment(paths: Paths, bars: Bars, column: int) -> Floats:
    """What it trades at: the close of the bar before, at a bar's last moment its own."""
    bar = paths.bar
    last = np.append(bar[1:] != bar[:-1], True)
    return np.asarray(bars.close[np.where(last, bar, np.maximum(bar - 1, 0)), column])


def _means(bars: Bars, column: int) -> Floats:
    """float64[T]: at each bar the mean of the closes of the window before it."""
    count = max(1, round(WINDOW_S / bars.step_s))
    close = bars.close[:, column]
    total = np.concatenate([[0.0], np.cumsum(close)])
    ends = np.maximum(np.arange(len(close)), 1)
    begins = np.maximum(ends - count, 0)
    return np.asarray((total[ends] - total[begins]) / (ends - begins))


def quoted_at(paths: Paths, at: int) -> tuple[Quoted, ...]:
    """What every source says at a moment."""
    bar = int(paths.bar[at])
    time_s = int(paths.times_s[bar])
    return tuple(
        Quoted(feed=asset, price_wad=round(float(series[bar]) * WAD), source=source, at_s=time_s)
        for asset, told in paths.quoted.items()
        for source, series in told
    )


def omen_at(paths: Paths, at: int) -> Omen | None:
    """The warning as it stood at a moment; None before the first step, or without funding."""
    found = paths.omens
    if found is None:
        return None
    step = int(np.searchsorted(found.times_s, paths.times_s[paths.bar[at]], side="right")) - 1
    if step < 0 or not np.isfinite(found.score[step]):
        return None
    return Omen(
        stands=bool(found.stands[step]),
        score=float(found.score[step]),
        line=found.rule.score,
        at_s=int(found.times_s[step]),
        source="the funding file",
    )
