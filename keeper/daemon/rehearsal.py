"""A plan played on the newest state of another endpoint: is the health promised the health that would be?

``eth_simulateV1`` runs the plan's call and, in the same simulated block, asks the venue's contract for the position's
health; where none tells it in a call of its own, the whole reading of the position. Where no endpoint offers the
method nothing is told, and the plain call decides alone, as it would without this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from keeper.chain.batch import Batch
from keeper.chain.endpoints import Endpoints
from keeper.daemon.isolation import alone
from keeper.errors import Rejected, Transient
from keeper.model import PERP_STEPS, Block, Call, CancelOrder, PlaceStop, Plan, Position, PositionId
from keeper.phrases import health_text
from keeper.seams import Priority, Seen, Venue
from keeper.words import Words

REHEARSAL_S = 2.0
_TIMESTAMP, _NUMBER = "0x0f28c97d", "0x42cbb15c"
"""Multicall3: getCurrentBlockTimestamp(), getBlockNumber()."""
_UNKNOWN_METHOD = (-32601, -32004)
_UNKNOWN_WORDS = (
    "not found",
    "not exist",
    "not support",
    "not available",
    "not whitelisted",
    "unknown method",
)


@runtime_checkable
class TellsHealth(Protocol):
    """A venue whose contract tells an account's health in one call, to the wei as ``decode`` would. Pure."""

    def health_call(self, account: str) -> Call:
        """The question."""
        ...

    def health_told(self, words: Words) -> int | None:
        """The health of its only answer, in wad; None where it tells none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a rehearsal told of a plan's promise; ``broken`` is empty when it is kept, or nothing was told."""

    broken: str


class Stage:
    """What a rehearsal needs to know of the house; the daemon sets it anew when its loop stands."""

    def __init__(self, *, venue_of: Callable[[PositionId], Venue], seen: Callable[[str], Seen]) -> None:
        self.venue_of = venue_of
        """The venue of a position, as last loaded."""
        self.seen = seen
        """What a venue remembers of its last reading."""


class Rehearsals:
    """Plays plans of one chain; learns once whether its endpoints can."""

    def __init__(self, endpoints: Endpoints, stage: Stage) -> None:
        self._endpoints = endpoints
        self.stage = stage
        self._able = True

    async def of(self, plan: Plan, call: Mapping[str, object]) -> Promise:
        """Whether the plan keeps its health bounds on the newest state. A failure tells nothing."""
        id = plan.key.position
        if not self._able or plan.bounds.health_after_min_wad <= 0:
            return Promise(broken="")
        venue = self.stage.venue_of(id)
        seen = self.stage.seen(venue.id)
        play = _Play(self._endpoints, call)
        # one word of the protocol's own instead of the whole market: it stands between a head and a signature
        own = venue if isinstance(venue, TellsHealth) else None
        calls = venue.calls((id.account,), seen) if own is None else (own.health_call(id.account),)
        try:
            words = await Batch(calls).read(
                play, self._endpoints.chain.multicall, plan.block.hash, timeout_s=REHEARSAL_S
            )
        except Rejected as error:
            self._able = not _unknown_method(error)
            return Promise(broken="")
        except Transient:
            return Promise(broken="")
        block = replace(plan.block, number=play.number, timestamp_s=play.timestamp_s)
        if own is not None:
            told_wad = own.health_told(words)
            return Promise(broken="" if told_wad is None else _broken(plan, told_wad, block))
        # what cannot be decoded here was decoded a moment ago: the plain call decides
        reading, _ = alone(lambda: venue.decode(block, (id.account,), words, seen, {}))
        seen_after = next((p for p in reading.positions if p.id == id), None) if reading else None
        if seen_after is not None and any(isinstance(step, PERP_STEPS) for step in plan.steps):
            return Promise(broken=_unordered(plan, seen_after, block))
        found = seen_after.health_wad if seen_after is not None else None
        if reading is None or found is None or reading.again:
            return Promise(broken="")
        return Promise(broken=_broken(plan, found, block))


def _unordered(plan: Plan, position: Position, block: Block) -> str:
    """Of two steps the first one's promise: the order waits on the venue, or is gone where it is taken back."""
    orders = position.perp.orders if position.perp is not None else ()
    for step in plan.steps:
        if isinstance(step, CancelOrder):
            there = any(o.key == step.order for o in orders)
            return f"order {step.order} is still there after it in block {block.number}" if there else ""
        if not any(o.resting == isinstance(step, PlaceStop) for o in orders):
            return f"no order waits on the venue after it in block {block.number}"
    return ""


def _broken(plan: Plan, health_wad: int, block: Block) -> str:
    low, high = plan.bounds.health_after_min_wad, plan.bounds.health_after_max_wad
    where = f"health {health_text(health_wad)} after it in block {block.number}"
    if health_wad < low:
        return f"{where} is below the promised {health_text(low)}"
    return f"{where} is above the promised {health_text(high)}" if health_wad > high else ""


class _Play:
    """A Transport for one reading: answers it as it would be after the plan's call."""

    def __init__(self, endpoints: Endpoints, first: Mapping[str, object]) -> None:
        self._endpoints = endpoints
        self._first = first
        self.number = 0
        self.timestamp_s = 0

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        """The reading's return data. Raises Rejected (method unknown) or Transient (nothing to be told)."""
        reading = params[0]
        assert isinstance(reading, dict)
        where, asked = reading["to"], (str(reading["data"]), _TIMESTAMP, _NUMBER)
        calls = [dict(self._first), *({"to": where, "data": data} for data in asked)]
        told = await self._endpoints.request_elsewhere(
            "eth_simulateV1",
            [{"blockStateCalls": [{"calls": calls}]}, "latest"],
            priority=priority,
            timeout_s=timeout_s,
        )
        try:
            return self._result(told)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise Transient(f"eth_simulateV1 answered something else: {type(error).__name__}") from error

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """A rehearsal sends nothing."""
        raise Transient("a rehearsal sends nothing")

    def _result(self, told: object) -> str:
        block = told[0]  # type: ignore[index]
        _, read, timestamp, number = block["calls"]
        if any(int(call["status"], 16) != 1 for call in block["calls"]):
            raise Transient("the call reverts there: the plain call tells why")
        # as the contracts saw them: some nodes (anvil) tell others in the header
        self.number, self.timestamp_s = int(number["returnData"], 16), int(timestamp["returnData"], 16)
        return str(read["returnData"])


def _unknown_method(error: Rejected) -> bool:
    return error.code in _UNKNOWN_METHOD or any(w in error.message.lower() for w in _UNKNOWN_WORDS)
