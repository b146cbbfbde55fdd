"""What policies follow besides chain and journal: markets' words and the early warning; what is said of limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import orjson

from keeper.decision.tighten import stale, wants_warning
from keeper.model import Omen, Policy, PositionId, Quoted, Snapshot
from keeper.oracle.room import Told
from keeper.seams import Alarm, Severity
from keeper.units import WAD

WARNING_FILE = "early-warning.json"
"""In the state directory; ``keeper leverage --tell`` writes it."""
BYTES_MAX = 4_096
LIMIT_OVER, WARNING_STALE = "limit_over", "warning_stale"


class Beside:
    """The facts of one chain that no block holds, as they were last looked at."""

    def __init__(self) -> None:
        self.quoted: tuple[Quoted, ...] = ()
        self.omen: Omen | None = None
        self._standing: frozenset[tuple[str, str]] = frozenset()

    def see(self, told: tuple[Told, ...]) -> None:
        """What markets said at the oracle room's last look, as old as it was then."""
        self.quoted = tuple(
            Quoted(feed=t.feed, price_wad=round(t.price * WAD), source=t.source, at_s=t.at_s)
            for t in told
            if math.isfinite(t.price) and t.price > 0.0
        )

    def look(self, policies: Mapping[PositionId, Policy], state_dir: Path) -> None:
        """The early warning, where a policy follows it."""
        if any(wants_warning(p) for p in policies.values()):
            self.omen = omen_of(state_dir / WARNING_FILE)

    def on(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with these facts in it; itself where there are none."""
        if not self.quoted and self.omen is None:
            return snapshot
        return replace(snapshot, means=replace(snapshot.means, quoted=self.quoted, omen=self.omen))

    def tell(self, policies: Mapping[PositionId, Policy], at_s: int, alarms: Alarm) -> None:
        """What is over a limit or beyond a floor, and a warning that nobody measures any more."""
        found: dict[tuple[str, str], str] = {}
        for id, policy in policies.items():
            if policy.reduces:
                found[LIMIT_OVER, str(id)] = "; ".join(r.why for r in policy.reduces)
            if wants_warning(policy) and (why := stale(self.omen, at_s)):
                found[WARNING_STALE, ""] = f"the early warning moves nothing: {why}"
        for (code, subject), why in found.items():
            alarms.raise_alarm(Severity.WARNING, code, subject, why)
        for code, subject in sorted(self._standing - found.keys()):
            alarms.clear(code, subject)
        self._standing = frozenset(found)


def omen_of(path: Path) -> Omen | None:
    """The warning in a file; None where there is none or it is no such thing, which is then an alarm of its own."""
    try:
        with path.open("rb") as file:
            body = orjson.loads(file.read(BYTES_MAX))
        found = Omen(
            stands=bool(body["stands"]),
            score=float(body["score"]),
            line=float(body["line"]),
            at_s=int(body["at_s"]),
            source=str(body["source"])[:200],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if math.isfinite(found.score) and math.isfinite(found.line) else None


def omen_text(omen: Omen) -> str:
    """The file's text."""
    keys = ("stands", "score", "line", "at_s", "source")
    return orjson.dumps({k: getattr(omen, k) for k in keys}, option=orjson.OPT_APPEND_NEWLINE).decode()
