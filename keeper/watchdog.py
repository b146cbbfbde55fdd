"""sd_notify, and when a ping is deserved: blocks are judged, or BLIND is written down for a reason outside us."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

TICKS_S = 20.0
"""Two ticks at their longest: so much later than the head may the last judgement be."""
STUCK_S_MAX = 60.0
"""What turns by itself (probes every 15 s, attempts to start) and was silent for so long hangs."""


class Notifier:
    """systemd's notify protocol: one datagram a message; does nothing where no socket is given."""

    def __init__(self, address: str | None) -> None:
        """``address``: value of NOTIFY_SOCKET (a leading @ is an abstract socket), or None."""
        self._address = "\0" + address[1:] if address and address.startswith("@") else address

    @classmethod
    def from_systemd(cls) -> Notifier:
        """The notifier of this process' own unit; read once, at start."""
        return cls(os.environ.get("NOTIFY_SOCKET"))

    def send(self, message: str) -> None:
        """Say ``message``; a missing or full receiver is no fault of ours, and never holds up the loop."""
        if self._address is None:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.setblocking(False)
            s.connect(self._address)
            s.send(message.encode())

    def ready(self, status: str) -> None:
        """The first tick is done, or BLIND is journaled."""
        self.send(f"READY=1\nSTATUS={status}")

    def ping(self, status: str) -> None:
        """Feed the watchdog."""
        self.send(f"WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The daemon drains its lanes and goes."""
        self.send("STOPPING=1")


class Listener(Protocol):
    """Whom a chain tells that it lives."""

    def ready(self, status: str) -> None: ...
    def ping(self, status: str) -> None: ...


class Chorus:
    """One unit, several chains: READY when every chain has told so, a ping when each has since the last.

    A chain that failed and waits for its restart is counted as long as another one lives: to restart the
    whole process would cost that one more than it could bring.
    """

    def __init__(self, notifier: Listener, names: Iterable[str]) -> None:
        self._notifier = notifier
        self._names = frozenset(names)
        self._said: dict[str, str] = {}
        self._ready: dict[str, str] = {}
        self._failed: set[str] = set()
        self._told = False

    def voice(self, name: str) -> Voice:
        """What the chain ``name`` talks to."""
        return Voice(self, name)

    def ready(self, name: str, status: str) -> None:
        """The chain has judged its first block, or its BLIND is journaled."""
        self._ready[name] = status
        if not self._told and self._ready.keys() == self._names and self._failed != self._names:
            self._told = True
            self._notifier.ready(_all_of(self._ready))

    def ping(self, name: str, status: str, *, failed: bool = False) -> None:
        """The chain deserves a ping; ``failed``: it does not live, and says so."""
        self._said[name] = status
        self._failed.discard(name)
        if failed:
            self._failed.add(name)
            self.ready(name, status)
        if self._said.keys() == self._names and self._failed != self._names:
            self._notifier.ping(_all_of(self._said))
            self._said.clear()


class Voice:
    """One chain's part in the chorus."""

    def __init__(self, chorus: Chorus, name: str) -> None:
        self._chorus = chorus
        self._name = name

    def ready(self, status: str) -> None:
        """This chain has judged its first block, or its BLIND is journaled."""
        self._chorus.ready(self._name, status)

    def ping(self, status: str) -> None:
        """This chain deserves a ping."""
        self._chorus.ping(self._name, status)

    def failed(self, status: str) -> None:
        """This chain ended and waits for its restart."""
        self._chorus.ping(self._name, status, failed=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What the watchdog judges at one moment, for one chain."""

    head_age_s: float
    judged_age_s: float
    """Since a block was last read and judged to its end."""
    block_time_s: float
    blind_journaled: bool
    endpoints_dead: bool = False
    """No endpoint answers."""
    missed_blocks: int = 0
    """Blocks that endpoints have shown beyond the head delivered last."""
    stuck_s: float = 0.0
    """Silence of what turns by itself: the probes of endpoints, the attempts of a start."""

    @property
    def fresh(self) -> bool:
        """A head came within three block times and ten seconds."""
        return self.head_age_s <= fresh_limit_s(self.block_time_s)

    @property
    def judging(self) -> bool:
        """A block was judged within the age of a fresh head and two ticks."""
        return self.judged_age_s <= fresh_limit_s(self.block_time_s) + TICKS_S

    @property
    def hangs(self) -> bool:
        """It is us: probes do not end, or endpoints show blocks of which our heads bring none."""
        return self.stuck_s > STUCK_S_MAX or (not self.fresh and self.missed_blocks > 0)

    @property
    def deserved(self) -> bool:
        """Ping: blocks are judged, or their absence is journaled as BLIND and is not ours to mend.

        A chain that stands still or whose endpoints are dead is no hang. Heads that come and are never judged
        while an endpoint answers are one, whatever the alarm says.
        """
        if self.hangs:
            return False
        if self.fresh and self.judging:
            return True
        return self.blind_journaled and (not self.fresh or self.endpoints_dead)


def fresh_limit_s(block_time_s: float) -> float:
    """Age above which a head is stale: 3 block times + 10 s."""
    return 3 * block_time_s + 10


def _all_of(said: dict[str, str]) -> str:
    """Every chain's word, once where all say the same."""
    return "; ".join(dict.fromkeys(said[name] for name in sorted(said)))
