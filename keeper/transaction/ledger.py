"""What this room needs of a journal: every method is durable before it returns."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from keeper.model import Attempt, Entry, Intent, IntentState, Plan, PlanKey


class Ledger(Protocol):
    """The part of the journal that stands between a plan and its signature."""

    def batch(self) -> AbstractContextManager[None]:
        """Several writes as one durable commit; nothing is awaited inside."""
        ...

    def refuse_replaced(self) -> None:
        """Raises Broken where what was kept is kept no more."""
        ...

    def open_intent(self, plan: Plan, *, spend_usd: int | None = None, dry: bool = False) -> Intent:
        """Check and insert in one exclusive transaction. Raises Raced."""
        ...

    def add_attempt(self, attempt: Attempt, signer: str) -> None:
        """Keep the signed bytes. Raises Broken on a second nonce for one intent."""
        ...

    def replan(self, plan: Plan, attempt: Attempt, signer: str, *, spend_usd: int) -> None:
        """A larger plan in an open intent's place, with its signed bytes. Raises Raced, Broken."""
        ...

    def carried(self, intent: Intent, n: int) -> Plan:
        """The plan that the n-th attempt of an intent is of, which a larger one may have replaced."""
        ...

    def set_state(self, key: PlanKey, state: IntentState, why: str, block_number: int) -> None:
        """Move an intent. Raises Broken on an impossible move."""
        ...

    def record(self, entry: Entry) -> int:
        """Append to the diary."""
        ...

    def intent(self, key: PlanKey) -> Intent | None:
        """The intent of that key, with its attempts."""
        ...

    def open_intents(self, chain_id: int | None = None) -> tuple[Intent, ...]:
        """Intents that may still have an effect."""
        ...

    def followed_intents(self, chain_id: int | None = None) -> tuple[Intent, ...]:
        """Intents included, but not beyond a reorganisation."""
        ...

    def next_nonce(self, chain_id: int, signer: str) -> int | None:
        """The nonce to sign next; None when none was adopted."""
        ...

    def taken_nonce(self, chain_id: int, signer: str) -> int | None:
        """A nonce that we signed for and that somebody else's transaction used; None when all were ours."""
        ...
