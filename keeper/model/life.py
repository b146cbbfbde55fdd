"""What becomes of a plan: intents, attempts, outcomes, and the journal's entries. Facts again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from eth_utils.crypto import keccak

from keeper.errors import Undecodable
from keeper.model.wish import Plan, PlanKey

T = TypeVar("T")


class IntentState(StrEnum):
    """Life of an intent. Terminal: FINAL, REVERTED, REPLACED, CANCELLED, EXPIRED, ABANDONED, DRY."""

    PLANNED = "PLANNED"
    SIGNED = "SIGNED"
    SENT = "SENT"
    INCLUDED = "INCLUDED"
    SETTLED = "SETTLED"
    FINAL = "FINAL"
    REVERTED = "REVERTED"
    REPLACED = "REPLACED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    """Never signed, and its last block had passed when that was found. One that was signed is CANCELLED when it is
    late: only the chain ends what has bytes."""
    ABANDONED = "ABANDONED"
    DRY = "DRY"
    """Dry-run: simulated and filled on the shadow position, never signed."""

    @property
    def open(self) -> bool:
        """True while the intent may still have an effect that planning must wait for."""
        return self in _OPEN

    @property
    def in_vain(self) -> bool:
        """True of an end without effect that the chain may still take back, until it is final."""
        return self in _IN_VAIN


_OPEN = frozenset({IntentState.PLANNED, IntentState.SIGNED, IntentState.SENT, IntentState.CANCELLING})
_IN_VAIN = frozenset({IntentState.REVERTED, IntentState.REPLACED, IntentState.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """EIP-1559 fee fields of one attempt."""

    gas_limit: int
    max_fee_wei: int
    tip_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One signed transaction of an intent: same nonce, rising ``n`` and fees."""

    key: PlanKey
    nonce: int
    n: int
    raw: bytes = field(repr=False)
    hash: str
    fee: Fee
    sent_block: int
    cancel: bool = False
    """True for the self-send that frees the nonce of a plan whose time has passed."""
    signer: str = field(default="", compare=False)
    """Whose nonce it is, as the journal keeps it: lower case; empty until it is kept."""

    @property
    def altered(self) -> bool:
        """Whether the bytes are not those that were signed: the file that keeps them has no checksums."""
        return "0x" + keccak(self.raw).hex() != self.hash.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A plan that the journal has accepted, and where it stands."""

    key: PlanKey
    plan: Plan
    state: IntentState
    attempts: tuple[Attempt, ...] = ()
    why: str = ""

    @property
    def may_act(self) -> bool:
        """Signed with something to do, not mined as far as is known, and not being cancelled."""
        waiting = self.state in (IntentState.SIGNED, IntentState.SENT)
        return waiting and bool(self.plan.steps) and bool(self.attempts) and not self.attempts[-1].cancel

    def unsigned_end(self, at_block: int) -> IntentState:
        """How it ends where nothing was ever signed for it, the chain being at ``at_block``."""
        late = at_block > self.plan.bounds.deadline_block
        return IntentState.EXPIRED if late else IntentState.ABANDONED

    @property
    def signer(self) -> str:
        """The key that signed it, to which its nonce belongs: lower case; empty while nobody has."""
        return self.attempts[0].signer if self.attempts else ""

    def is_of(self, address: str) -> bool:
        """Whether its nonce is that key's, or nobody's yet: what another one signed is none of its business."""
        return self.signer in ("", address.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an intent, as the chain tells it."""

    key: PlanKey
    state: IntentState
    block_number: int
    tx_hash: str | None
    gas_used: int
    gas_price_wei: int
    health_after_wad: int | None
    promised_min_wad: int
    surprise: str
    """Empty when the promise was kept; else what differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the append-only journal."""

    kind: str
    """tick, level, decision, plan, attempt, outcome, alarm, control, shadow, start, stop, order, pair, hedge,
    thresholds."""
    chain_id: int
    block_number: int
    subject: str
    """The position, plan key or endpoint that it is about; empty for the daemon itself."""
    why: str
    data: Mapping[str, object] = field(default_factory=dict)
    """Plain JSON; integers beyond 2**53 as strings."""
    id: int = 0
    at_s: float = 0.0

    def told(self, key: str, kind: Callable[[str], T]) -> T:
        """What ``kind`` makes of the word at ``key``. Raises Undecodable where a damaged file has none."""
        try:
            return kind(str(self.data[key]))
        except (KeyError, ValueError) as error:
            of = f"{self.kind} {self.id} of {self.subject or 'the daemon'}"
            raise Undecodable(f"the journal is damaged: {key} of its {of}: {error!r}; restore it") from error
