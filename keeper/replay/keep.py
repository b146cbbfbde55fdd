"""Trips on disk as they end: a replay that was killed goes on where it stopped, and ends with the same numbers.

One JSON line a trip, under a first line that says of which inputs it is; a last line that was cut is made again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import keeper
from keeper.errors import ConfigError
from keeper.replay.run import Event, Trip

FORMAT = "keeper replay 1"


def digest(*parts: object) -> str:
    """Of everything that decides the numbers."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def code() -> str:
    """Digest of the sources that make trips: results of another version are not gone on with."""
    body = hashlib.sha256()
    here = Path(keeper.__file__).parent
    for path in sorted(p for root in (here, here.parent / "strategies") for p in root.rglob("*.py")):
        body.update(path.relative_to(here.parent).as_posix().encode())
        body.update(path.read_bytes())
    return body.hexdigest()


class Kept:
    """The trips of one run in one file; ``of(keeper)`` is the book of one keeper's voyage."""

    def __init__(self, path: Path, run: str) -> None:
        """Opens or begins the file. ConfigError where it is of another run, or no such file."""
        self._path, self._trips = path, dict[tuple[str, str], Trip]()
        head = {"format": FORMAT, "run": run}
        try:
            lines = path.read_text().splitlines() if path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError((f"{path}: cannot be read: {error}",)) from error
        if lines and _parsed(lines[0]) != head:
            raise ConfigError(
                (
                    f"{path}: is of another replay (other prices, accounts, settings or another version); "
                    "remove it or name another",
                )
            )
        whole = []
        for number, line in enumerate(lines[1:], start=2):
            body = _parsed(line)
            if body is None:
                continue
            try:
                made = trip_of(body)
            except (KeyError, TypeError, ValueError) as error:
                why = f"lacks {error}" if isinstance(error, KeyError) else str(error)
                raise ConfigError(
                    (f"{path}: line {number}: is no result of a replay: {why}; remove that line or the file",)
                ) from error
            whole.append(body)
            self._trips[made.keeper, made.name] = made
        # written anew: a line that was cut in the middle goes
        text = [json.dumps(head), *(json.dumps(body) for body in whole)]
        draft = path.with_name(path.name + ".part")
        try:
            draft.write_text("\n".join(text) + "\n")
            draft.replace(path)
            self._file = path.open("a")
        except OSError as error:
            raise ConfigError((f"{path}: cannot be written: {error.strerror}",)) from error

    @property
    def count(self) -> int:
        """Trips that are there."""
        return len(self._trips)

    def of(self, keeper: str, advance: Callable[[int], None]) -> Page:
        """The book of one keeper."""
        return Page(self, keeper, advance)

    def known(self, keeper: str, name: str) -> Trip | None:
        """A trip that has been made."""
        return self._trips.get((keeper, name))

    def noted(self, made: Trip) -> None:
        """On disk before the next begins."""
        self._trips[made.keeper, made.name] = made
        self._file.write(json.dumps(body_of(made)) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Nothing more is noted."""
        self._file.close()


class Page:
    """One keeper's trips, with or without a file behind them; tells a progress bar of each."""

    def __init__(self, kept: Kept | None, keeper: str, advance: Callable[[int], None]) -> None:
        self._kept, self._keeper, self._advance = kept, keeper, advance

    def known(self, name: str) -> Trip | None:
        """A trip that has been made."""
        found = self._kept.known(self._keeper, name) if self._kept is not None else None
        if found is not None:
            self._advance(1)
        return found

    def noted(self, made: Trip) -> None:
        """A trip has ended."""
        if self._kept is not None:
            self._kept.noted(made)
        self._advance(1)


def body_of(made: Trip) -> dict[str, object]:
    """A trip as JSON; numbers survive exactly."""
    return {
        "name": made.name,
        "keeper": made.keeper,
        "start": _text(made.start),
        "lowest": _text(made.lowest),
        "end": _text(made.end),
        "gap": made.gap,
        "equity_usd": made.equity_usd,
        "lost_usd": made.lost_usd,
        "cost_usd": made.cost_usd,
        "gas_usd": made.gas_usd,
        "events": [{**asdict(e), "pair": list(e.pair)} for e in made.events],
    }


def trip_of(body: dict[str, object]) -> Trip:
    """The trip again, its course apart. KeyError, TypeError, ValueError where it is none."""
    made = Trip(str(body["name"]), str(body["keeper"]), float(str(body["start"])))
    made.lowest, made.end, made.gap = (float(str(body[k])) for k in ("lowest", "end", "gap"))
    made.equity_usd, made.lost_usd = float(str(body["equity_usd"])), float(str(body["lost_usd"]))
    made.cost_usd, made.gas_usd = float(str(body["cost_usd"])), float(str(body["gas_usd"]))
    events = body["events"]
    if not isinstance(events, list):
        raise TypeError("events is no list")
    made.events = [Event(**{**e, "pair": tuple(e["pair"])}) for e in events]
    return made


def _text(value: float) -> object:
    return value if math.isfinite(value) else str(value)


def _parsed(line: str) -> dict[str, object] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
