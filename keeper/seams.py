"""The sockets where a venue, a strategy, a transport, a sender, a signer, a clock or an alarm plugs in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from keeper.model import (
    Allowance,
    Amount,
    Attempt,
    Block,
    Call,
    Intent,
    Means,
    Outlook,
    Plan,
    Policy,
    Position,
    PositionId,
    Proposal,
    Refusal,
    Reserve,
    Snapshot,
    Step,
    Token,
    Unreadable,
)
from keeper.words import Words


class Priority(IntEnum):
    """Order inside an endpoint's lane; smaller goes first."""

    SEND = 0
    TRIGGER = 1
    RECEIPT = 2
    PAGE = 3


class Transport(Protocol):
    """One JSON-RPC call to the best live endpoint of one chain."""

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        """The ``result`` field. Raises Rejected (the node answered an error) or Transient (nobody answered)."""
        ...

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """``eth_sendRawTransaction`` to every endpoint at once: a hash or the error of each, in their order."""
        ...


class Clock(Protocol):
    """Time as a parameter."""

    def now_s(self) -> float: ...
    def monotonic_s(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A dry-run's own version of one position: stored integers by token address, replacing the chain's."""

    id: PositionId
    collateral: Mapping[str, int]
    debt: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a venue remembers from the last reading so that the next one needs a single round trip."""

    assets: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Account -> indices, in the venue's own numbering, of what it held; an account not in it is read in full."""
    modes: frozenset[int] = frozenset()
    """Special regimes in use (Aave e-mode categories), whose parameters the next batch asks for."""
    stale: str = ""
    """Why the venue's static facts must be loaded anew; empty while they hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a venue read for the accounts asked, at one block."""

    positions: tuple[Position, ...]
    unreadable: tuple[Unreadable, ...]
    reserves: tuple[Reserve, ...]
    prices: Mapping[str, float]
    seen: Seen
    again: bool
    """True when an account holds reserves that this batch did not ask for: call again with ``seen``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationRule:
    """How a venue liquidates; shared with the paper market and the loss estimate."""

    close_factor: str
    """Human words and the source; ``rules.py`` of the venue holds the exact function."""
    dust_base: int
    reduces_below: bool = True
    """A perpetual may be reduced below maintenance, too; False: there only margin helps, so that at the trigger
    a reduction comes before every other way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which logs of which contract: ``topics`` as ``eth_getLogs`` takes them, None for any."""

    target: str
    topics: tuple[str | None, ...]


class Progress(StrEnum):
    """Whether an intent's effect is on the venue."""

    DONE = "DONE"
    PENDING = "PENDING"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What the venue shows of an intent."""

    progress: Progress
    why: str


class Venue(Protocol):
    """One market of one protocol on one chain. Everything but loading is pure."""

    @property
    def id(self) -> str:
        """``kind:chain_id:key``, e.g. ``aave_v3:1:0x...provider``."""
        ...

    @property
    def kind(self) -> str: ...

    @property
    def tokens(self) -> tuple[Token, ...]:
        """Every token that the market lists."""
        ...

    @property
    def spender(self) -> str:
        """The contract that pulls tokens when the keeper supplies or repays."""
        ...

    @property
    def rules(self) -> LiquidationRule: ...

    def position_id(self, account: str) -> PositionId:
        """The identity of ``account``'s position here."""
        ...

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        """The batch that reads the market and ``accounts``; the order is what ``decode`` expects."""
        ...

    def decode(
        self,
        block: Block,
        accounts: Sequence[str],
        words: Words,
        seen: Seen,
        shadows: Mapping[PositionId, Shadow],
    ) -> Reading:
        """Positions of ``accounts`` from the words of ``calls``; a failed part becomes Unreadable."""
        ...

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        """None when the venue would accept the step now, else why not (paused, frozen, cap, ...)."""
        ...

    def encode(self, step: Step, position: Position) -> Call:
        """The transaction that performs the step on behalf of the position's account."""
        ...

    def gas(self, step: Step) -> int:
        """A gas limit that the step does not exceed, and by which its cost is estimated."""
        ...

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        """The position as it would stand after the steps at the same prices; health rounded down."""
        ...

    def fill(self, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
        """A dry-run's position after the steps, had they been included at ``block``; protocol rounding."""
        ...

    def effect(self, intent: Intent, snapshot: Snapshot) -> Effect:
        """Whether the intent's effect shows in ``snapshot``."""
        ...

    def liquidation_logs(self, account: str) -> LogFilter:
        """The logs that a liquidation of ``account`` leaves."""
        ...


@runtime_checkable
class Screens(Protocol):
    """A venue that tells from a batch's words alone, before any of it is decoded, whose health is low. Pure."""

    def below(
        self, accounts: Sequence[str], words: Words, seen: Seen, lines_wad: npt.NDArray[np.uint64]
    ) -> tuple[int, ...]:
        """Indices of the accounts whose health, as ``decode`` would tell it, is below their line or unknown.

        Never leaves out one that ``decode`` would read below its line; a line of 2**64 - 1 is above every health.
        """
        ...

    def words_of(self, accounts: Sequence[str], words: Words, seen: Seen, chosen: Sequence[int]) -> Words:
        """The words of ``calls`` for the accounts at ``chosen`` alone, out of those for all of them."""
        ...


@runtime_checkable
class OneOfMany(Protocol):
    """A venue whose contract holds many markets, so that calls name the market besides."""

    @property
    def terms(self) -> tuple[str | int, ...]:
        """What a call names it by, word by word: addresses and integers."""
        ...


@runtime_checkable
class Delegates(Protocol):
    """A venue where an owner may let others act on all that he has there. Pure."""

    def permission_logs(self, account: str) -> LogFilter:
        """The logs in which ``account`` allowed or forbade somebody."""
        ...

    def permitted(self, logs: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
        """Whom those logs, in their order, leave allowed, apart from what the venue itself knows of."""
        ...


class Supplement(Protocol):
    """Facts beside the venues' that planning needs of one chain, read at the same block. Pure."""

    def calls(self) -> tuple[Call, ...]:
        """Its part of every block's batch."""
        ...

    def decode(self, block: Block, words: Words, means: Means) -> Means:
        """``means`` with what ``calls`` asked."""
        ...

    def wants(self, snapshot: Snapshot) -> tuple[Call, ...]:
        """What this snapshot makes worth asking besides; in calm times nothing."""
        ...

    def answered(self, snapshot: Snapshot, words: Words) -> Means:
        """The snapshot's means with what ``wants`` asked."""
        ...


class Strategy(Protocol):
    """One policy of rescue; pure."""

    name: str

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """A way to target, or why not."""
        ...


@runtime_checkable
class StandsBy(Protocol):
    """A strategy that is asked in calm times, too: what it leaves on a venue protects while nobody is awake."""

    @property
    def stands_by(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TxFields:
    """An EIP-1559 transaction before its signature."""

    chain_id: int
    nonce: int
    to: str
    data: bytes
    value_wei: int
    gas_limit: int
    max_fee_wei: int
    tip_wei: int
    intent: str = ""
    """What it is for, as the signer's own memory keeps it: the plan's key. Not part of the transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signature's product."""

    raw: bytes = field(repr=False)
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A signature that a signer with a memory of its own still has."""

    nonce: int
    gas_limit: int
    max_fee_wei: int
    tip_wei: int
    cancel: bool
    signed: Signed


@runtime_checkable
class Remembers(Protocol):
    """A signer whose own memory outlives the daemon: what it signed for an intent can be asked again."""

    async def stored(self, intent: str) -> tuple[Kept, ...]:
        """Everything signed for the intent, oldest first. Raises Transient."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """A signer that can do beforehand what needs no key."""

    def prepare(self, tx: TxFields) -> None:
        """``tx`` is likely to be signed soon: judge and encode it. Nothing is signed, and nothing promised."""
        ...


class Signer(Protocol):
    """The only holder of a key."""

    @property
    def address(self) -> str: ...

    async def sign(self, tx: TxFields) -> Signed:
        """Signed bytes. Raises Unsigned when this request is not allowed, any other Broken when nothing more is."""
        ...


class Sender(Protocol):
    """What happens to a plan: Live sends it, Dry fills it on the shadow, Paper fills it in a replay."""

    async def act(self, plan: Plan, snapshot: Snapshot) -> Attempt | Refusal:
        """Carry the plan as far as one block allows; journals every state it passes."""
        ...


class Severity(StrEnum):
    """How loud an alarm is."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class Alarm(Protocol):
    """Tells a person."""

    def raise_alarm(self, severity: Severity, code: str, subject: str, why: str) -> None:
        """Say it once per (code, subject) until it clears; CRITICAL repeats by age."""
        ...

    def clear(self, code: str, subject: str) -> None:
        """The condition is over; say so if it had been raised."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletFacts:
    """The keeper's wallet at the snapshot's block, before it is merged into Means."""

    native_wei: int
    nonce: int
    balances: tuple[Amount, ...]
    allowances: tuple[Allowance, ...]
