"""sd_notify, and when a ping is deserved: the loop turns, and the head is fresh or BLIND is written down."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What the watchdog judges at one moment, for one chain."""

    head_age_s: float
    block_time_s: float
    blind_journaled: bool

    @property
    def fresh(self) -> bool:
        """A head came within three block times and ten seconds."""
        return self.head_age_s <= fresh_limit_s(self.block_time_s)

    @property
    def deserved(self) -> bool:
        """Ping: the head is fresh, or its absence has been journaled as BLIND (a dead chain is no hang)."""
        return self.fresh or self.blind_journaled


def fresh_limit_s(block_time_s: float) -> float:
    """Age above which a head is stale: 3 block times + 10 s."""
    return 3 * block_time_s + 10
