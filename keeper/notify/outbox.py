"""What waits to be told to one target: one word a subject, the most severe first, never without bound. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from keeper.notify.alarm import Told
from keeper.notify.targets import RANK
from keeper.seams import Severity

OUTBOX_MAX = 2_000
"""Two alarms for each of 1,000 positions: what a dead target may cost in memory."""
LINES_MAX = 20
"""Alarms told word by word in one message; a crash of a thousand positions must not be a thousand messages."""
WHY_MAX = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """The hours in which only CRITICAL is told."""

    minutes: tuple[int, int]
    """First and last minute of the local day; may span midnight."""
    zone: str

    def holds(self, now_s: float) -> bool:
        """Whether the wall time lies within."""
        local = datetime.fromtimestamp(now_s, ZoneInfo(self.zone))
        minute, (first, last) = local.hour * 60 + local.minute, self.minutes
        return first <= minute < last if first < last else minute >= first or minute < last


class Outbox:
    """Alarms on their way to one target."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, str, str], Told] = {}
        self._urgent: set[tuple[int, str, str]] = set()
        """Of what waits: in the place of a CRITICAL that never arrived."""
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, told: Told) -> None:
        """Take it; an older word about the same goes. Over the bound the least severe, oldest one is dropped."""
        before = self._waiting.pop(told.key, None)
        if before is not None and before.severity is Severity.CRITICAL:
            self._urgent.add(told.key)
        self._waiting[told.key] = told
        if len(self._waiting) > OUTBOX_MAX:
            least = min(self._waiting.values(), key=lambda t: (RANK[t.severity], t.at_s))
            del self._waiting[least.key]
            self._urgent.discard(least.key)
            self._dropped += 1

    def due(self, *, quiet: bool) -> tuple[Told, ...]:
        """What may be told now, the most severe first, then the oldest."""
        may = [t for t in self._waiting.values() if not quiet or self._wakes(t)]
        return tuple(sorted(may, key=lambda t: (-RANK[t.severity], t.at_s)))

    def _wakes(self, told: Told) -> bool:
        return told.severity is Severity.CRITICAL or told.proof or told.key in self._urgent

    def delivered(self, told: tuple[Told, ...]) -> None:
        """These have arrived; a newer word on the same that came meanwhile stays."""
        for one in told:
            if self._waiting.get(one.key) is one:
                del self._waiting[one.key]
                self._urgent.discard(one.key)
        self._dropped = 0

    def message(self, told: tuple[Told, ...], now_s: float) -> tuple[str, str]:
        """(title, body): one alarm in its own words, several in lines, the rest counted."""
        lines = [_line(t, now_s) for t in told[:LINES_MAX]]
        rest = Counter(t.code for t in told[LINES_MAX:])
        if rest:
            counts = ", ".join(f"{code} {n}" for code, n in rest.most_common())
            lines.append(f"and {sum(rest.values())} more: {counts}")
        if self._dropped:
            lines.append(f"{self._dropped} older ones were given up while this could not be reached")
        if len(told) == 1:
            return f"keeper: {told[0].title}", "\n".join(lines)
        worst = max((t.severity for t in told if not t.cleared), key=lambda s: RANK[s], default=None)
        word = "all CLEARED" if worst is None else f"worst {worst.value}"
        return f"keeper: {len(told)} alarms, {word}", "\n".join(lines)


def _line(told: Told, now_s: float) -> str:
    why = told.why if len(told.why) <= WHY_MAX else told.why[: WHY_MAX - 1] + "…"
    where = f" (chain {told.chain_id}, block {told.block})" if told.chain_id else ""
    late_s = now_s - told.at_s
    late = f" [{late_s / 60:.0f} min ago]" if late_s >= 120 else ""
    return f"{told.title}{where}: {why}{late}"
