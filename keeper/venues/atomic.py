"""What is equal at every venue that acts within the transaction: inclusion is the effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from keeper.model import PERP_STEPS, Deleverage, Intent, IntentState, Refusal, Repay, Snapshot, Step, Supply
from keeper.seams import Effect, Progress
from keeper.venues.kept import Kept


class Named(Protocol):
    """A market as its protocol's ``book.py`` loads it."""

    @property
    def id(self) -> str:
        """Kind, chain, and the protocol's own name of it."""
        ...


Market = TypeVar("Market", bound=Named)
Question = TypeVar("Question")
Layout = TypeVar("Layout")


class AtomicVenue(Generic[Market, Question, Layout]):
    """A venue of one market that acts within the transaction; pure, apart from keeping its last batches."""

    __slots__ = ("_kept", "market")

    def __init__(self, market: Market) -> None:
        self.market = market
        self._kept = Kept[Question, Layout]()

    @property
    def id(self) -> str:
        """The market's, e.g. ``compound_v3:{chain}:{comet}``."""
        return self.market.id

    def effect(self, intent: Intent, snapshot: Snapshot) -> Effect:
        """Whether a newer snapshot shows the account again after the intent."""
        return effect(intent, snapshot)

    def _laid(self, question: Question, make: Callable[[], Layout]) -> Layout:
        """The batch of that question: the same one has the same calldata."""
        return self._kept.get(question, make)


def lent(step: Step) -> Supply | Repay | Deleverage:
    """The step as one of a lending market's. ValueError for a perpetual position's."""
    if isinstance(step, PERP_STEPS):
        raise ValueError(f"{type(step).__name__} is no step of a lending market")
    return step


def foreign(step: Step, who: str) -> Refusal | None:
    """Why a lending market takes no step of a perpetual position's."""
    if not isinstance(step, PERP_STEPS):
        return None
    return Refusal(who=who, code="no_such_step", why=f"{who} lends: it knows no {type(step).__name__}")


def effect(intent: Intent, snapshot: Snapshot) -> Effect:
    """Whether the intent's effect shows: PENDING until a snapshot newer than the plan's shows the account.

    Whether health rose as promised is judged by confirmation, at the block that included it.
    """
    if intent.state in (IntentState.REVERTED, IntentState.EXPIRED, IntentState.CANCELLED):
        return Effect(progress=Progress.FAILED, why=f"the transaction ended {intent.state}")
    if intent.state not in (IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL):
        return Effect(progress=Progress.PENDING, why=f"the transaction is {intent.state}")
    seen, planned = snapshot.block.number, intent.plan.block.number
    if seen <= planned:
        return Effect(progress=Progress.PENDING, why=f"block {seen} is not newer than the plan's {planned}")
    if snapshot.position(intent.key.position) is None:
        return Effect(progress=Progress.PENDING, why=f"the position cannot be read at block {seen}")
    return Effect(progress=Progress.DONE, why=f"executed, and read again at block {seen}")
