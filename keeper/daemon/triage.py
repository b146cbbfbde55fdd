"""Who comes first: the few that may need help at a block, found before the many are looked at.

See docs/decisions/triage.md. What is left out here is only judged later in the same tick, never skipped.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from keeper.daemon.isolation import read_alone
from keeper.decision.standing import moves
from keeper.errors import KeeperError, Transient
from keeper.model import Block, Outcome, Plan, Policy, PositionId, Refusal, Snapshot
from keeper.seams import Venue
from keeper.snapshot import Film

FEW_MAX = 32
"""So many positions are judged first; more are a crash of the whole market, in which everybody is the few."""
FIRST_S = 1.0
"""The rest of a tick waits no longer for the lane: a slow endpoint must not keep it from being judged."""
EVERY_HEALTH = 2**64 - 1
"""A line above every health: such a position is always looked at first."""


ASKED_S = 0.001
"""So long the loop is left to a reading's questions before anything is done beside them."""
Told = TypeVar("Told")
Done = TypeVar("Done")


@runtime_checkable
class Learns(Protocol):
    """Facts that would show another way after a plan on theirs came to nothing."""

    def refused(self, plan: Plan, why: Refusal) -> None:
        """Nothing of ``plan`` left the machine."""
        ...


def tell(facts: object, plan: Plan, why: Refusal) -> None:
    """Let the facts know, where they learn."""
    if isinstance(facts, Learns):
        facts.refused(plan, why)


@runtime_checkable
class Glances(Protocol):
    """Facts that can show the few before the many."""

    async def glance(
        self, block: Block, venues: Mapping[str, Venue]
    ) -> tuple[Snapshot, tuple[Outcome, ...]] | None:
        """The few of ``block`` that may be in need, and what became of earlier plans where that had to be known
        first; None where nobody is, or everybody must be looked at together. Raises Transient.
        """
        ...


@contextmanager
def unswept() -> Generator[None]:
    """No walk through memory for what refers to itself: it takes a millisecond at any moment, and can wait."""
    swept = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if swept:
            gc.enable()


async def beside(
    question: Coroutine[object, object, Told], work: Callable[[], Done]
) -> tuple[Told, Done | None]:
    """The question's answer, and ``work`` done once it is out; None where the answer came before that."""
    asking = asyncio.ensure_future(question)
    try:
        await asyncio.sleep(ASKED_S)
        done = None if asking.done() else work()
        return await asking, done
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


def line_wad(policy: Policy) -> int:
    """The health from which on a policy spends nothing, whatever else is true of its position."""
    # a limit counts all that its owner holds, which the few do not show
    if not policy.exposure_max_usd and (policy.close_prices or moves(policy)):
        # it may close at any health
        return EVERY_HEALTH
    return min(max(policy.trigger_wad, policy.close_at_wad), EVERY_HEALTH)


def lines_of(policies: Sequence[Policy]) -> npt.NDArray[np.uint64]:
    """``line_wad`` of each, as a venue compares them."""
    return np.array([line_wad(p) for p in policies], np.uint64)


def chosen(
    film: Film, low: Mapping[str, tuple[int, ...]], also: frozenset[PositionId]
) -> Mapping[str, tuple[int, ...]] | None:
    """The low and those in ``also``, by venue id and in the venue's order; None where they are not few."""
    found: dict[str, tuple[int, ...]] = {}
    for venue, accounts in film.request.venues:
        more = [k for k, a in enumerate(accounts) if venue.position_id(a) in also] if also else []
        found[venue.id] = tuple(sorted({*low.get(venue.id, ()), *more}))
    return found if sum(map(len, found.values())) <= FEW_MAX else None


class Seen(Protocol):
    """The few as an earlier look showed them."""

    def shown(self, film: Film, few: Mapping[str, Sequence[int]]) -> Snapshot | None:
        """The snapshot of ``few``, where the film shows exactly what that look showed."""
        ...


async def few_of(
    film: Film,
    lines: Mapping[str, npt.NDArray[np.uint64]],
    pending: Callable[[int], frozenset[PositionId]],
    seen: Seen | None = None,
) -> Snapshot | None:
    """The snapshot of those below their line, and of those whose transactions must be tended before anybody is
    planned for (``pending`` at the wallet's nonce). None where nobody is low or they are not few, and where it
    takes the whole snapshot to tell what is wrong. Raises Transient.
    """

    async def developed() -> Snapshot | None:
        try:
            low = film.low(lines)
            if low is None or not any(low.values()):
                return None
            few = chosen(film, low, pending(film.request.nonce))
            if few is None:
                return None
            known = None if seen is None else seen.shown(film, few)
            return await film.few(few) if known is None else known
        except Transient:
            raise
        except KeeperError:
            return None

    return await read_alone(developed)
