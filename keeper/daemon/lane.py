"""The act-lane of one chain and key: plans wait here, one at a time is carried as far as it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

import structlog

from keeper.daemon import carried
from keeper.daemon.parts import Parts
from keeper.daemon.permit import Permit
from keeper.daemon.standby import WAITS
from keeper.daemon.tick import Tick
from keeper.daemon.triage import tell
from keeper.errors import Broken, Disputed, Raced, Transient, Unsigned, Unwritable
from keeper.model import Attempt, Entry, Plan, PlanKey, PositionId, Refusal, Snapshot
from keeper.seams import Severity

LANE_MAX = 64
"""Plans that may wait for the lane; beyond it a plan is dropped and the next tick decides anew."""


class Judge(Protocol):
    """Who made the plans: asked again before they are sent, and told of those that were not."""

    def may_send(self, plan: Plan) -> Refusal | None: ...
    def undone(self, ids: Collection[PositionId]) -> None: ...
    def practises(self, id: PositionId) -> bool: ...


class Lane:
    """A bounded queue of plans, and what is done with each."""

    def __init__(self, parts: Parts, permit: Permit, judge: Judge) -> None:
        self._parts = parts
        self._permit = permit
        self._judge = judge
        self._queue: asyncio.Queue[tuple[Plan, Snapshot]] = asyncio.Queue(maxsize=LANE_MAX)
        self.waiting: dict[PositionId, Plan] = {}
        """What waits, or is being sent."""
        self.served = False
        """Whether somebody takes what is put on the lane."""
        self.given: frozenset[PlanKey] = frozenset()
        """Of the running tick: plans of those in need, which are on the lane already."""
        self._paper = carried.subjects(parts.alarms, "not_acting")
        """Positions whose plans stayed on paper in the last tick."""
        self._log = structlog.get_logger("keeper")

    def hand(self, tick: Tick) -> tuple[Plan, ...]:
        """Take the tick's plans, or say loudly why they stay on paper; those taken."""
        given: list[Plan] = []
        paper: set[str] = set()
        freed: set[PositionId] = set()
        armed = self._permit.armed
        if self._permit.standby is not None:
            self._permit.standby.see(tick.snapshot)
        for plan in tick.plans:
            if plan.key in self.given:
                continue
            why = "the daemon is stopping" if self._permit.closing else self._permit.on_paper(plan, armed)
            if why:
                freed.add(plan.key.position)
                paper.add(self._left_on_paper(plan, why))
                continue
            try:
                self._queue.put_nowait((plan, tick.snapshot))
            except asyncio.QueueFull:
                self.not_sent(plan, Refusal(who="lane", code="lane_full", why="too many plans wait"))
                continue
            self.waiting[plan.key.position] = plan
            given.append(plan)
        self._judge.undone(freed)
        if not tick.few:
            self._clear_paper(tick, paper)
        return tuple(given)

    def _left_on_paper(self, plan: Plan, why: str) -> str:
        subject = str(plan.key.position)
        told = f"{plan.why}; not done: {why}"
        # a standby that waits is as it should be; that there is something to wait for is worth a word
        severity = Severity.WARNING if why.startswith(WAITS) else Severity.CRITICAL
        self._parts.alarms.raise_alarm(severity, "not_acting", subject, told)
        return subject

    def _clear_paper(self, tick: Tick, paper: Collection[str]) -> None:
        # what could not be read may still be in need of what was not done
        lost = {str(u.id) for u in tick.snapshot.unreadable}
        for subject in self._paper.difference(paper, lost):
            self._parts.alarms.clear("not_acting", subject)
        self._paper = frozenset(paper) | (self._paper & lost)

    async def serve(self) -> None:
        """One plan at a time, for ever."""
        self.served = True
        while True:
            plan, snapshot = await self._queue.get()
            try:
                await self.act(plan, snapshot)
            finally:
                self.waiting.pop(plan.key.position, None)
                self._queue.task_done()

    async def drained(self) -> None:
        """Returns when no plan waits for the lane or is on it."""
        await self._queue.join()

    async def act(self, plan: Plan, snapshot: Snapshot) -> Attempt | None:
        """Carry one plan as far as it goes; None when nothing was sent, which is journaled and alarmed."""
        # asked a moment ago for what comes first; for all of them right before the signature
        if plan.key not in self.given and (why := self._judge.may_send(plan)) is not None:
            self.not_sent(plan, why)
            return None
        try:
            result = await self._parts.sender.act(plan, snapshot)
        except Unsigned as e:
            result = Refusal(who="signer", code="unsigned", why=str(e))
        except Raced as e:
            result = Refusal(who="lane", code="raced", why=str(e))
        except Transient as e:
            code = "disputed" if isinstance(e, Disputed) else "unreachable"
            result = Refusal(who="lane", code=code, why=str(e))
        except Broken as e:
            self._permit.stop_acting(e)
            result = Refusal(who="lane", code="broken", why=str(e))
        if isinstance(result, Refusal):
            self.not_sent(plan, result)
            return None
        self._sent(plan, snapshot, result)
        return result

    def _sent(self, plan: Plan, snapshot: Snapshot, attempt: Attempt) -> None:
        self._parts.alarms.clear("not_sent", str(plan.key.position))
        self._log.info(
            "attempt",
            chain=plan.key.position.chain_id,
            block=snapshot.block.number,
            plan=str(plan.key),
            why=plan.why,
            tx_hash=attempt.hash or "dry-run",
            nonce=attempt.nonce,
            max_fee_gwei=round(attempt.fee.max_fee_wei / 1e9, 3),
        )
        if not self._judge.practises(plan.key.position):
            # a dry-run's practice leaves no shadow, which could not be simulated the next time
            self._parts.facts.acted(plan)

    def not_sent(self, plan: Plan, refusal: Refusal) -> None:
        """Nothing left the machine: free the cooldown, so that the next tick may try anew, and say why."""
        tell(self._parts.facts, plan, refusal)
        id = plan.key.position
        intent = self._parts.journal.intent(plan.key)
        if intent is None or not intent.state.open:
            self._judge.undone({id})
        self._log.warning("not sent", plan=str(plan.key), code=refusal.code, why=refusal.why)
        data = {"who": refusal.who, "code": refusal.code, "plan": str(plan.key)}
        at, chain_id = plan.block.number, id.chain_id
        told = Entry(
            kind="refusal", chain_id=chain_id, block_number=at, subject=str(id), why=refusal.why, data=data
        )
        with suppress(Unwritable):  # the alarm below is in the log all the same
            self._parts.journal.record(told)
        if refusal.code not in ("raced", "overtaken"):
            self._parts.alarms.raise_alarm(
                Severity.CRITICAL, "not_sent", str(id), f"{refusal.code}: {refusal.why}"
            )
