"""What this room needs of its neighbours: the journal's memory, and the lane that presses transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from keeper.model import (
    Attempt,
    Block,
    Entry,
    Intent,
    IntentState,
    Means,
    Outcome,
    Plan,
    PlanKey,
    PositionId,
    Refusal,
)


class Inclusion(Protocol):
    """Where an intent was last seen on the chain."""

    @property
    def block_number(self) -> int: ...
    @property
    def block_hash(self) -> str: ...


class Record(Protocol):
    """What this room needs of the journal."""

    def open_intents(self, chain_id: int | None = None) -> tuple[Intent, ...]: ...
    def followed_intents(self, chain_id: int | None = None) -> tuple[Intent, ...]: ...
    def inclusion(self, key: PlanKey) -> Inclusion | None: ...
    def set_state(self, key: PlanKey, state: IntentState, why: str, block_number: int) -> None: ...
    def record_outcome(self, outcome: Outcome, block_hash: str = "") -> None: ...
    def carried(self, intent: Intent, n: int) -> Plan: ...
    def intents(self, position: PositionId | None = None) -> tuple[Intent, ...]: ...
    def seal(self, key: PlanKey, block_number: int) -> None: ...
    def record(self, entry: Entry) -> int: ...
    def entries(
        self, kind: str | None = None, subject: str | None = None, *, limit: int = 1000
    ) -> tuple[Entry, ...]: ...


@runtime_checkable
class AsksEach(Protocol):
    """A transport that can ask several endpoints by themselves."""

    async def request_each(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float = 4.0, wait_s: float
    ) -> tuple[object, ...]:
        """Up to ``count`` endpoints' answers, each its result or its error. Raises Transient where there is none."""
        ...


class Verdict(Protocol):
    """How the pools answered a broadcast."""

    @property
    def reached(self) -> bool: ...
    @property
    def wants_more(self) -> bool: ...
    @property
    def overtaken(self) -> bool: ...


class Lane(Protocol):
    """What this room needs of the sender: to press a transaction that is not mined."""

    async def bump(self, key: PlanKey, block: Block, means: Means | None) -> Attempt | Refusal: ...
    async def cancel(self, key: PlanKey, block: Block, means: Means | None) -> Attempt | Refusal: ...
    async def clear(self, key: PlanKey, behind: PlanKey, block: Block, means: Means) -> Attempt | Refusal: ...
    @property
    def unsure(self) -> bool: ...
    async def settle(self, chain_id: int, at_block: int = 0) -> None: ...
    async def rebroadcast(self, intent: Intent) -> Verdict: ...
