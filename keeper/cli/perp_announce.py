"""What a GmxV2Executor takes only a day after it was announced, and which announced terms are still enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

if TYPE_CHECKING:
    from keeper.cli.perp_terms import Terms
    from keeper.model import Policy
    from keeper.venues.gmx_v2.book import Read

TERMS_WORDS, BOTS_AT, BOTS = 13, 19, 3
"""Places in ``PerpState``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stands:
    """What the Executor says already. The plain one says nothing: it is new, or still to be deployed."""

    executor: str
    now_s: int
    late: bool = False
    """The hour after its deployment is over: what loosens is announced a day before."""
    terms: Sequence[int] = ()
    bots: Mapping[str, int] = field(default_factory=dict)
    """Bot, in small letters -> when its term ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One call of the owner's, and since when its announcement is a day old."""

    data: bytes
    loosens: bool
    ready_s: int = 0
    """0: not announced, or nothing to announce."""

    def refused(self, now_s: int) -> bool:
        """NotAnnounced, if it were sent now."""
        return self.loosens and not 0 < self.ready_s <= now_s

    def taken(self, now_s: int) -> str:
        """From when: ``now``, ``announce first``, or a time."""
        from keeper.executor.grants import day

        if not self.refused(now_s):
            return "now"
        return f"from {day(self.ready_s)}" if self.ready_s else "announce first"


async def stands(executor: str, position: bytes, read: Read, now_s: int) -> Stands:
    """Of one that is deployed. Raises Transient."""
    from keeper.executor.granted import SETUP_UNTIL
    from keeper.executor.perp_bounded import STATE_OF
    from keeper.model import Call

    asked = (Call(target=executor, data=SETUP_UNTIL), Call(target=executor, data=STATE_OF + position))
    words = await read(asked)
    bots = {
        "0x" + words.uint(1, BOTS_AT + i).to_bytes(20).hex(): words.uint(1, BOTS_AT + BOTS + i)
        for i in range(BOTS)
    }
    return Stands(
        executor=executor,
        now_s=now_s,
        late=now_s > words.uint(0),
        terms=tuple(words.uint(1, i) for i in range(TERMS_WORDS)),
        bots=bots,
    )


async def bot(at: Stands, wallet: str, until_s: int, data: bytes, read: Read) -> Change:
    """``setBot``, which loosens where its term grows. Raises Transient."""
    loosens = at.late and until_s > at.bots.get(wallet.lower(), 0)
    (ready_s,) = await _ready(at, [data], read) if loosens else (0,)
    return Change(data=data, loosens=loosens, ready_s=ready_s)


async def position(
    at: Stands, wanted: tuple[Policy, Terms], call: Callable[[Terms], bytes], read: Read
) -> Change:
    """``setPosition``: of these terms, or of those near to them that were announced and are still enough. Raises
    Transient."""
    from keeper.cli.perp_terms import looser, near

    policy, words = wanted
    if not at.late or not looser(words, at.terms):
        return Change(data=call(words), loosens=False)
    each = [call(t) for t in near(policy, words)]
    told = await _ready(at, each, read)
    known = [(data, ready_s) for data, ready_s in zip(each, told, strict=True) if ready_s]
    known = [(d, s) for d, s in known if s <= at.now_s] or known or [(each[0], 0)]
    data, ready_s = known[0]
    return Change(data=data, loosens=True, ready_s=ready_s)


def announcement(data: bytes) -> bytes:
    """``announce`` of a call."""
    from keeper.executor.grants import ANNOUNCE

    return ANNOUNCE + keccak(data)


def notes(changes: Sequence[Change], now_s: int, *, announce: bool) -> tuple[str, ...]:
    """What the signer must know of times."""
    from keeper.executor.grants import day

    refused = [c for c in changes if c.refused(now_s)]
    unknown = [c for c in refused if not c.ready_s]
    if announce and unknown:
        return (
            "a day after these are signed, the same command without --announce prints what is then taken",
        )
    if unknown:
        again = "sign what the same command prints with --announce, and a day later this"
        return (
            f"{len(unknown)} of these are refused (NotAnnounced) until a day after they were announced: {again}",
        )
    if refused:
        return (f"announced; taken from {day(max(c.ready_s for c in refused))} on",)
    return ("nothing is to be announced: sign what the same command prints without it",) if announce else ()


async def _ready(at: Stands, each: Sequence[bytes], read: Read) -> list[int]:
    from keeper.executor.granted import READY_AT
    from keeper.model import Call

    words = await read([Call(target=at.executor, data=READY_AT + keccak(data)) for data in each])
    return [words.uint(i) for i in range(len(each))]
