"""What ``keeper leverage`` says of a market: regime, funding, basis, open interest, flush, and the early warning."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keeper.cli import subject
from keeper.cli.measure import Measure, unknown

if TYPE_CHECKING:
    from keeper.replay.bars import Bars
    from keeper.replay.omens import Funding, Omens
    from keeper.replay.series import Series
    from keeper.risk.book import Floats

REGIME_DAYS = 90.0
"""A correction is told from the highest close of so many days."""
PAST_DAYS = 30.0
"""A z-score measures against so many days."""
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What was given, and of which symbol."""

    prices: Path | None
    symbol: str
    funding: Path | None
    mark: Path | None
    interest: Path | None

    @property
    def any(self) -> bool:
        """Whether anything was."""
        return any(p is not None for p in (self.prices, self.funding, self.mark, self.interest))

    @property
    def base(self) -> str:
        """ETH of ETH/USDT: by that funding, mark and open interest go."""
        return self.symbol.split("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The series that were given, read."""

    files: Files
    bars: Bars | None
    paid: Funding | None
    mark: Series | None
    interest: Series | None
    notes: tuple[str, ...]
    warning: Omens | None
    flush: Omens | None


def crowd(files: Files) -> Crowd:
    """Every file read; early warning and flushes where prices and funding are there. ConfigError."""
    from keeper.replay import bars as histories
    from keeper.replay import omens, series

    def above_0(name: str, *, optional: bool) -> series.Column:
        return series.Column(name=name, low=0.0, what="a number above 0", optional=optional)

    bars = histories.read(files.prices, (files.symbol,)) if files.prices else None
    paid = omens.funding(files.funding, files.base) if files.funding else None
    mark = interest = None
    if files.mark:
        price = above_0("price", optional=False), above_0("index", optional=True)
        mark = series.read(files.mark, files.base, price)
    if files.interest:
        columns = [above_0(n, optional=True) for n in ("open_interest", "long", "short")]
        interest = _whole(series.read(files.interest, files.base, columns))
    warned = flushed = None
    if bars is not None and paid is not None:
        more: list[Callable[[Floats], Floats]] = []
        if mark is not None:
            more.append(lambda t: basis_at(mark, bars, t))
        if interest is not None:
            more.append(lambda t: change_at(interest, t))
        warned = omens.omens(bars, 0, paid, more=more)
        held = (lambda t: interest.at(t, "open_interest")) if interest is not None else None
        flushed = omens.flushed(bars, 0, paid, held)
    notes = [*(bars.notes if bars else ()), *(mark.notes if mark else ())]
    return Crowd(
        files=files,
        bars=bars,
        paid=paid,
        mark=mark,
        interest=interest,
        notes=(*notes, *(interest.notes if interest else ())),
        warning=warned,
        flush=flushed,
    )


def basis_at(mark: Series, bars: Bars | None, times_s: Floats) -> Floats:
    """(mark - index) / index at times; the index of the file itself, or the last close known then."""
    import numpy as np

    from keeper.risk.leverage import warning

    own = mark.at(times_s, "price")
    if "index" in mark.values:
        return warning.basis(own, mark.at(times_s, "index"))
    if bars is None:
        return np.full(len(times_s), math.nan)
    closes = bars.times_s + bars.step_s
    place = np.searchsorted(closes, times_s, side="right") - 1
    fresh = (place >= 0) & (times_s - closes[np.maximum(place, 0)] <= 2.0 * bars.step_s)
    return warning.basis(own, np.where(fresh, bars.close[np.maximum(place, 0), 0], math.nan))


def change_at(interest: Series, times_s: Floats) -> Floats:
    """Open interest at times over that of a day before, less 1."""
    import numpy as np

    before = interest.at(times_s - DAY_S, "open_interest")
    return np.asarray(interest.at(times_s, "open_interest") / before - 1.0)


def measures(found: Crowd) -> list[Measure]:
    """Every number of the market, the unknown ones with what they need."""
    return [
        _regime(found),
        *_funding(found),
        *_basis(found),
        *_interest(found),
        _flush(found),
        _warning(found),
    ]


def _whole(interest: Series) -> Series:
    """With ``open_interest``, which may be given as long and short."""
    from dataclasses import replace

    from keeper.errors import ConfigError

    there = interest.values
    if "open_interest" in there:
        return interest
    if "long" not in there or "short" not in there:
        raise ConfigError(
            (f"{interest.path}: row 1: lacks the column open_interest, or long and short instead of it",)
        )
    return replace(interest, values={**there, "open_interest": there["long"] + there["short"]})


def _z(name: str, values: Floats, step_s: float, said: str) -> Measure:
    """The newest of a series against its last thirty days."""
    from keeper.risk.leverage.warning import z_score

    window = max(2, round(PAST_DAYS * DAY_S / step_s))
    z = float(z_score(values[-window - 1 :], window)[-1])
    title = f"{name}, z-score"
    if math.isnan(z):
        why = f"needs {window} steps before it that move, all known; there are {len(values) - 1}"
        return unknown(title, "sigma", why)
    how = "unusually high" if z >= 2.0 else "unusually low" if z <= -2.0 else "ordinary"
    return Measure(name=title, value=z, unit="sigma", means=f"{how} against its {PAST_DAYS:g} days: {said}")


def _regime(found: Crowd) -> Measure:
    from keeper.risk.leverage.pace import regime

    name = f"below the highest of {REGIME_DAYS:g} days"
    if found.bars is None:
        return unknown(name, "% down", "no prices (--prices)")
    steps = max(1, round(REGIME_DAYS * DAY_S / found.bars.step_s))
    kind, fall = regime(found.bars.close[-steps:, 0].tolist())
    lines = {"normal": "less than 10 %", "correction": "10 % and more", "bear": "20 % and more"}
    base = found.files.base
    means = f"{base}: {kind} ({lines.get(kind, 'unknown')})"
    return Measure(name=name, value=100.0 * fall, unit="% down", means=means, digits=1)


def _funding(found: Crowd) -> list[Measure]:
    from keeper.risk.leverage.warning import annualised

    paid = found.paid
    if paid is None:
        return [unknown("demand for leverage (funding)", "% a year", "no funding (--funding)")]
    hours = paid.step_s / 3_600.0
    year = 100.0 * float(annualised(paid.rate, hours)[-1])
    side = (
        "longs pay shorts: leverage is wanted long" if year > 0.0 else "shorts pay longs: it is wanted short"
    )
    means = f"{side if year else 'nobody pays'} ({100.0 * float(paid.rate[-1]):+.4f} % every {hours:g} h)"
    said = "leverage is dear" if year > 0.0 else "leverage is cheap"
    return [
        Measure(name="demand for leverage (funding)", value=year, unit="% a year", means=means, digits=1),
        _z("funding", paid.rate, paid.step_s, said),
    ]


def _basis(found: Crowd) -> list[Measure]:
    mark = found.mark
    if mark is None:
        return [unknown("basis", "%", "no perp's price (--mark)")]
    values = basis_at(mark, found.bars, mark.times_s)
    if math.isnan(float(values[-1])):
        why = "no index to compare with: a column index beside price, or --prices up to the same time"
        return [unknown("basis", "%", why)]
    side = "above" if values[-1] > 0.0 else "below"
    return [
        Measure(
            name="basis",
            value=100.0 * float(values[-1]),
            unit="%",
            means=f"the perp stands {side} its index",
            digits=3,
        ),
        _z("basis", values, mark.step_s, "the perp against spot"),
    ]


def _interest(found: Crowd) -> list[Measure]:
    from keeper.risk.leverage.concentration import skew
    from keeper.risk.leverage.pace import demand, velocity

    held = found.interest
    if held is None:
        return [unknown("open interest", "% in a day", "no open interest (--open-interest)")]
    levels = held.values["open_interest"]
    change = change_at(held, held.times_s)
    day = float(change[-1])
    pace = velocity(levels.tolist(), held.step_s)
    new = demand(levels.tolist(), held.step_s)
    lines = [
        Measure(
            name="open interest",
            value=100.0 * day,
            unit="% in a day",
            means="leverage leaves" if day < 0.0 else "leverage builds",
            digits=1,
        )
        if math.isfinite(day)
        else unknown("open interest", "% in a day", "the file has no value of a day before its last"),
        Measure(
            name="velocity of leverage",
            value=pace,
            unit="ln a day",
            means=f"the last step's pace; {new:+,.0f} a day in the file's unit, of {float(levels[-1]):,.0f}",
        ),
        _z("open interest's change in a day", change, held.step_s, "what came or left"),
    ]
    if "long" not in held.values or "short" not in held.values:
        why = "the file has no columns long and short (on most venues they are equal by construction)"
        return [*lines, unknown("skew of open interest", "-1 to 1", why)]
    tilt = skew(float(held.values["long"][-1]), float(held.values["short"][-1]))
    side = "long" if tilt > 0.0 else "short"
    means = f"{50.0 * (1.0 + abs(tilt)):.0f} % of it is {side}"
    return [*lines, Measure(name="skew of open interest", value=tilt, unit="-1 to 1", means=means)]


def _flush(found: Crowd) -> Measure:
    flush, name = found.flush, "flush now"
    if flush is None:
        return unknown(name, "0 or 1", "needs --prices and --funding")
    import numpy as np

    from keeper.replay.bars import iso

    without = "" if found.interest is not None else ", by price and funding alone (no --open-interest)"
    last = np.flatnonzero(flush.stands)
    when = f"the last was at {iso(float(flush.times_s[last[-1]]))}" if len(last) else "none in this history"
    stands = bool(flush.stands[-1])
    means = f"leverage is being flushed{without}" if stands else f"no; {when}{without}"
    return Measure(name=name, value=float(stands), unit="0 or 1", means=means, digits=0)


def _warning(found: Crowd) -> Measure:
    signs, name = found.warning, "early warning"
    if signs is None:
        return unknown(name, "score", "needs --prices and --funding")
    last = float(signs.score[-1])
    if math.isnan(last):
        return unknown(name, "score", f"its window of {signs.rule.window} steps is not full")
    said = "a warning STANDS" if signs.stands[-1] else "no warning stands"
    return Measure(name=name, value=last, unit="score", means=f"{said}; its line is {signs.rule.score:g}")


def said(found: Crowd) -> list[str]:
    """How warning and flush fared on this history, and what was odd in the files."""
    lines = [f"as of: {newest(found)}"]
    if found.warning is not None:
        lines.append(
            f"the early warning: {found.warning.fared}; by chance alone before {_chance(found.warning)}"
        )
    if found.flush is not None:
        lines.append(
            f"a flush as a sign of more to come: {found.flush.fared}; by chance alone before "
            f"{_chance(found.flush)}"
        )
    return [*lines, *(f"note: {n}" for n in found.notes[:6])]


def newest(found: Crowd) -> str:
    """How new the last value of each file is: "now" here is no later than that."""
    from keeper.replay.bars import iso

    ends = {
        "prices": None if found.bars is None else found.bars.times_s[-1] + found.bars.step_s,
        "funding": None if found.paid is None else found.paid.times_s[-1],
        "mark": None if found.mark is None else found.mark.times_s[-1],
        "open interest": None if found.interest is None else found.interest.times_s[-1],
    }
    return ", ".join(f"{name} {iso(float(at))}" for name, at in ends.items() if at is not None) + " UTC"


def _chance(found: Omens) -> str:
    return f"{100 * found.covered:.0f} % of them"


def document(found: Crowd) -> dict[str, object]:
    """The market as JSON."""
    return {
        "symbol": found.files.symbol,
        "measures": [m.document for m in measures(found)],
        "warning": fared(found.warning),
        "flush": fared(found.flush),
        "notes": list(found.notes),
    }


def fared(found: Omens | None) -> dict[str, object] | None:
    """A sign as JSON: what it says now, and how it fared on the history."""
    if found is None:
        return None
    return {
        "time_s": float(found.times_s[-1]),
        "score": subject.number(float(found.score[-1])),
        "line": found.rule.score,
        "stands": bool(found.stands[-1]),
        "falls": len(found.crashes),
        "warned": len(found.warned),
        "lead_h": [subject.number(found.lead_h(c)) for c in found.crashes],
        "false_alarms_per_year": subject.number(found.record.false_alarms_per_year),
        "by_chance": subject.number(found.covered),
    }
