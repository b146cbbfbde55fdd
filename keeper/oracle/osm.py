"""Prices that are known an hour ahead: the oracle security module's current and next value, read from its storage.

Only whitelisted contracts may call ``peek`` and ``peep``; what they answer stands in two slots that anybody can read.
Layout of OSM: slot 1 stopped; slot 2 source (20 bytes), hop (2), zzz (8); slots 3 and 4 current and next, each value
in the low 16 bytes and validity in the high ones.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from keeper.errors import Transient
from keeper.oracle.faults import Fault
from keeper.seams import Priority, Severity, Transport

STOPPED, TIMES, CURRENT, NEXT = 1, 2, 3, 4
LOW = 2**128 - 1
MOVED_BPS = 300
"""A next price that far below the current one is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delayed:
    """A delayed price at one block, wads; None where it is void."""

    current: int | None
    next: int | None
    taken_s: int
    """zzz: when the current one was taken over, cut to the hop."""
    hop_s: int
    stopped: bool

    @property
    def due_s(self) -> int:
        """From when anybody may make the next price count."""
        return self.taken_s + self.hop_s

    @property
    def lowest(self) -> int | None:
        """The lowest price that counts now or will within the hop; None where one of them is void."""
        if self.current is None or self.next is None:
            return None
        return min(self.current, self.next)


def delayed(stopped: int, times: int, current: int, next_: int) -> Delayed:
    """From the four words of storage."""
    return Delayed(
        current=current & LOW if current >> 128 == 1 else None,
        next=next_ & LOW if next_ >> 128 == 1 else None,
        taken_s=times >> 176 & (2**64 - 1),
        hop_s=times >> 160 & 0xFFFF,
        stopped=bool(stopped),
    )


async def read(transport: Transport, address: str, block_hash: str) -> Delayed:
    """The module's state at one block. Raises Transient."""

    async def slot(number: int) -> int:
        answer = await transport.request(
            "eth_getStorageAt", [address, hex(number), {"blockHash": block_hash}], priority=Priority.TRIGGER
        )
        if not isinstance(answer, str) or not answer.startswith("0x") or len(answer) > 66:
            raise Transient(f"eth_getStorageAt answered {type(answer).__name__}, not a word")
        return int(answer, 16)

    words = await asyncio.gather(*(slot(n) for n in (STOPPED, TIMES, CURRENT, NEXT)))
    found = delayed(*words)
    if not found.hop_s or not found.taken_s:
        raise Transient(f"{address} has no storage of a delayed price feed")
    return found


def faults(subject: str, now: Delayed, now_s: int) -> tuple[Fault, ...]:
    """What a person must hear of a delayed price."""
    if now.stopped or now.current is None or now.next is None:
        why = "the delayed price is stopped or void: vaults are judged by the last one that was poked"
        return (Fault(severity=Severity.CRITICAL, code="osm_stopped", subject=subject, why=why),)
    if now.next * 10_000 > now.current * (10_000 - MOVED_BPS):
        return ()
    move = (now.next / now.current - 1.0) * 100
    left = max(0, now.due_s - now_s)
    why = f"the next price is {now.next / 1e18:g} ({move:+.1f} %) and counts in {left} s at the earliest"
    return (Fault(severity=Severity.WARNING, code="osm_ahead", subject=subject, why=why),)
