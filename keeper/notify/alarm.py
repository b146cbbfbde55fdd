"""Alarms: journaled, logged, said once per (code, subject) and repeated by age while CRITICAL."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from keeper.errors import Broken
from keeper.model import Entry
from keeper.seams import Clock, Severity

REPEAT_CRITICAL_S = 300.0
"""A CRITICAL alarm that still stands is said again this often; silence would mean it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alarm that has been raised and not cleared."""

    severity: Severity
    code: str
    subject: str
    why: str
    since_s: float
    said_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a person is to hear of one alarm."""

    severity: Severity
    """Of the alarm; also of its end."""
    code: str
    subject: str
    why: str
    chain_id: int
    """0: the whole daemon."""
    block: int
    at_s: float
    """Wall time."""
    cleared: bool = False
    again: bool = False
    """The same was told before, for the same cause: it only goes on."""
    proof: bool = False
    """Told to see whether it arrives: at once, and to everybody who would hear a CRITICAL."""

    @property
    def key(self) -> tuple[int, str, str]:
        """What the alarm is about; a later word on it replaces one that still waits."""
        return self.chain_id, self.code, self.subject

    @property
    def title(self) -> str:
        """``CRITICAL blind mainnet``."""
        word = "CLEARED" if self.cleared else self.severity.value
        return " ".join(part for part in (word, self.code, self.subject) if part)


Tell = Callable[[Told], None]
"""Hands an alarm on to those who carry it to a person; never waits, never raises."""


class Alarms:
    """The ``Alarm`` seam: writes an alarm entry and a log line, without repeating itself every block."""

    def __init__(
        self,
        record: Callable[[Entry], object],
        clock: Clock,
        chain_id: int,
        tell: Tell = lambda _: None,
    ) -> None:
        self._record = record
        self._clock = clock
        self.chain_id = chain_id
        self._tell = tell
        self._block_number = 0
        self._standing: dict[tuple[str, str], Standing] = {}
        self._log = structlog.get_logger("keeper.alarm")

    def at_block(self, number: int) -> None:
        """The block that following alarms are about."""
        self._block_number = number

    @property
    def standing(self) -> tuple[Standing, ...]:
        """Alarms raised and not yet cleared."""
        return tuple(self._standing.values())

    def raise_alarm(
        self, severity: Severity, code: str, subject: str, why: str, again_s: float | None = None
    ) -> None:
        """Say it, unless the same (code, subject) stands as severe, for the same cause, and is not due.

        ``again_s``: how often what is less than CRITICAL is due again; None: it is said once.
        """
        now_s = self._clock.monotonic_s()
        before = self._standing.get((code, subject))
        again = before is not None and before.severity is severity and _cause(before.why) == _cause(why)
        if before is not None and again:
            every_s = REPEAT_CRITICAL_S if severity is Severity.CRITICAL else again_s
            if every_s is None or now_s - before.said_s < every_s:
                return
        since_s = now_s if before is None else before.since_s
        self._standing[code, subject] = Standing(
            severity=severity, code=code, subject=subject, why=why, since_s=since_s, said_s=now_s
        )
        self._write(severity.value, code, subject, why)
        self._tell(self._told(severity, code, subject, why, again=again))

    def clear(self, code: str, subject: str) -> None:
        """The condition is over; said once if it had been raised."""
        before = self._standing.pop((code, subject), None)
        if before is not None:
            age_s = self._clock.monotonic_s() - before.since_s
            over = f"over after {age_s:.0f} s: {before.why}"
            self._write("CLEARED", code, subject, over)
            self._tell(replace(self._told(before.severity, code, subject, over), cleared=True))

    def _told(self, severity: Severity, code: str, subject: str, why: str, *, again: bool = False) -> Told:
        return Told(
            severity=severity,
            code=code,
            subject=subject,
            why=why,
            chain_id=self.chain_id,
            block=self._block_number,
            at_s=self._clock.now_s(),
            again=again,
        )

    def _write(self, severity: str, code: str, subject: str, why: str) -> None:
        say = self._log.error if severity == Severity.CRITICAL.value else self._log.warning
        say("alarm", severity=severity, code=code, subject=subject, why=why, block=self._block_number)
        entry = Entry(
            kind="alarm",
            chain_id=self.chain_id,
            block_number=self._block_number,
            subject=subject,
            why=why,
            data={"severity": severity, "code": code},
        )
        try:
            self._record(entry)
        except Broken as e:
            # a full disk must not silence the alarm about it, nor end the watch
            self._log.error("alarm not journaled", code=code, subject=subject, why=str(e))


def _cause(why: str) -> str:
    """The leading code of a ``why`` ("caps: ..."), blind to figures, which move every block; "" without one."""
    code, colon, _ = why.partition(":")
    return re.sub(r"\d+", "#", code) if colon else ""
