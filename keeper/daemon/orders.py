"""What became of orders on venues that act in two steps: from the receipt that created one to the log that ended it.

Each state is journaled under the plan's key (``order``: PENDING, then EXECUTED, CANCELLED, FROZEN or TIMEOUT), so a
restart goes on where it was. That no second order is given meanwhile needs no memory: the chain's own list of orders
is part of every photograph.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from keeper.daemon.facts import Facts, Guarded
from keeper.daemon.followed import (
    MINED,
    Followed,
    before_of,
    due,
    in_vain,
    leaves_order,
    plain,
    recalled,
    resting,
    span_of,
    waiting,
    with_ours,
)
from keeper.daemon.isolation import apart
from keeper.daemon.lastlogs import Log, last_logs, logs_of
from keeper.daemon.order_notices import Notices
from keeper.daemon.owner_stops import known
from keeper.daemon.triage import Glances
from keeper.errors import Transient, Undecodable, Unwritable
from keeper.journal.write import Journal
from keeper.model import (
    HEDGE,
    Block,
    CancelOrder,
    Entry,
    Intent,
    IntentState,
    Outcome,
    PlaceStop,
    Plan,
    PlanKey,
    Position,
    Refusal,
    Snapshot,
    Step,
)
from keeper.seams import Alarm, Progress, Severity, Transport, Venue
from keeper.venues.gmx_v2 import GmxV2
from keeper.venues.gmx_v2.effect import missed
from keeper.venues.gmx_v2.events import (
    LIQUIDATION,
    OrderEvent,
    OrderState,
    fields,
    of_order,
    order_events,
)

KIND = "order"
UNDER_WAY = frozenset({IntentState.SIGNED, IntentState.SENT, IntentState.CANCELLING})
INTENTS_MAX = 32
"""Of a position, the newest plans whose orders are looked for after a restart: a stop rests below many rescues."""
SILENT_BLOCKS = 3
"""An order that is gone for so many blocks without a log that says how has ended by what the position shows."""
ALARMS = {
    OrderState.CANCELLED: (Severity.CRITICAL, "order_cancelled"),
    OrderState.FROZEN: (Severity.CRITICAL, "order_frozen"),
    OrderState.TIMEOUT: (Severity.CRITICAL, "order_late"),
}


class OrderFacts:
    """Facts with the ends of orders among the outcomes."""

    def __init__(
        self, facts: Facts, transport: Transport, journal: Journal, guarded: Sequence[Guarded], alarms: Alarm
    ) -> None:
        self._facts, self._transport, self._journal, self._alarms = facts, transport, journal, alarms
        self._log = structlog.get_logger("keeper")
        self._open: dict[PlanKey, Followed] = {}
        self._ours = known(journal)
        """Keys of the orders that the journal names."""
        self._notices = Notices(guarded, journal, alarms)
        for g in guarded:
            for intent in journal.intents(g.id, limit=INTENTS_MAX):
                self._remember(intent)

    def _remember(self, intent: Intent) -> None:
        """An order that was under way when the daemon ended."""
        if intent.state not in MINED or not leaves_order(intent.plan) or not intent.attempts:
            return
        told = self._journal.entries(KIND, str(intent.key), limit=100)
        try:
            found = recalled(intent, told)
        except Undecodable as error:
            # its receipt still tells which order it was, and the venue how it ended
            self._log.error(KIND, plan=str(intent.key), why=str(error))
            found = recalled(intent, ())
        if not found.state.ended:
            self._open[intent.key] = found

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """As the facts within, and how orders ended. Raises Transient."""
        snapshot, outcomes = await self._facts.take(block, venues)
        ended = await self._follow(snapshot, outcomes, venues)
        shown = with_ours(snapshot, self._ours)
        self._notices.tell(shown, venues, tuple(self._open.values()))
        return shown, (*outcomes, *ended)

    async def glance(
        self, block: Block, venues: Mapping[str, Venue]
    ) -> tuple[Snapshot, tuple[Outcome, ...]] | None:
        """As the facts within. Raises Transient."""
        seen = await self._facts.glance(block, venues) if isinstance(self._facts, Glances) else None
        if seen is None:
            return None
        self._begin(seen[1], block)
        return with_ours(seen[0], self._ours), seen[1]

    def acted(self, plan: Plan) -> None:
        """As the facts within."""
        self._facts.acted(plan)

    def refused(self, plan: Plan, why: Refusal) -> None:
        """As the facts within, where they want to know."""
        if (tell := getattr(self._facts, "refused", None)) is not None:
            tell(plan, why)

    async def _follow(
        self, snapshot: Snapshot, outcomes: Sequence[Outcome], venues: Mapping[str, Venue]
    ) -> list[Outcome]:
        self._begin(outcomes, snapshot.block)
        found = await asyncio.gather(*(self._one(f, venues, snapshot) for f in tuple(self._open.values())))
        return [outcome for outcome in found if outcome is not None]

    async def _one(
        self, followed: Followed, venues: Mapping[str, Venue], snapshot: Snapshot
    ) -> Outcome | None:
        id = followed.key.position
        venue = next((v for v in venues.values() if v.position_id(id.account) == id), None)
        if not isinstance(venue, GmxV2):
            return None
        found: list[Outcome | None] = []

        async def look() -> None:
            found.append(await self._look(followed, venue, snapshot))

        try:
            broke = await apart(look())
        except (Transient, Unwritable) as error:
            self._log.info(KIND, plan=str(followed.key), why=f"asked again in the next block: {error}")
            return None
        if (now := self._open.get(followed.key)) is not None and now.broke != broke:
            self._open[followed.key] = replace(now, broke=broke)
        return found[0] if found else None

    def _begin(self, outcomes: Sequence[Outcome], block: Block) -> None:
        """What was included just now: an order each."""
        for outcome in outcomes:
            intent = self._journal.intent(outcome.key)
            if intent is not None and outcome.state is IntentState.INCLUDED and leaves_order(intent.plan):
                self._open[outcome.key] = Followed(
                    key=outcome.key,
                    order="",
                    state=OrderState.PENDING,
                    hashes=(outcome.tx_hash or "",),
                    seen_block=outcome.block_number,
                    asked_s=block.timestamp_s,
                )

    async def _look(self, followed: Followed, venue: GmxV2, snapshot: Snapshot) -> Outcome | None:
        """One order at one block; the outcome where it ended without effect."""
        position = snapshot.position(followed.key.position)
        if not followed.order:
            followed = await self._named(followed, venue, snapshot)
            if not followed.order:
                return None
        if position is None:
            return None  # unread: the order is watched until somebody can say
        waits = waiting(position, followed.order)
        if waits is not None:
            self._waits(followed, waits, position, snapshot)
            return None
        event, followed = await self._ended(followed, venue, snapshot)
        event = event or self._unsaid(followed, venue, snapshot)
        if event is None:
            return None
        why = event.why
        if event.state is OrderState.CANCELLED and position.perp is None:
            why = await self._liquidated(followed, venue, snapshot) or why
        words = f"order {followed.order[:10]} {event.state}" + (f": {why}" if why else "")
        if event.state is OrderState.CANCELLED:
            return self._cancelled(followed, words, snapshot)
        short = self._short(followed, venue, snapshot)
        self._tell(followed, event.state, words + (f", and {short}" if short else ""), snapshot)
        if short:
            self._alarms.raise_alarm(
                Severity.CRITICAL, "surprise", str(followed.key), f"{words}, and {short}"
            )
        return None

    def _waits(self, followed: Followed, how: OrderState, position: Position, snapshot: Snapshot) -> None:
        """It is there in this photograph."""
        # what rests may rest for weeks, and the position changes meanwhile
        before = resting(position, followed.order) or followed.before
        seen = replace(
            followed, seen_block=snapshot.block.number, gone_block=0, before=before, asked_s=0, kept=False
        )
        if how is followed.state:
            self._open[followed.key] = seen
        else:
            self._tell(seen, how, f"order {followed.order[:10]} is {how} on the venue", snapshot)

    def _cancelled(self, followed: Followed, words: str, snapshot: Snapshot) -> Outcome | None:
        """It ended without effect: nothing to hear of where we took it back; None for a stop, for which no cooldown
        waits and which ends none."""
        ours = self._taken_back(followed)
        told = f"{words}; taken back" if ours else words
        self._tell(replace(followed, ours=ours), OrderState.CANCELLED, told, snapshot)
        if isinstance(self._step(followed), PlaceStop):
            return None
        return in_vain(followed, "" if ours else words, snapshot)

    def _taken_back(self, followed: Followed) -> bool:
        """Whether a plan of ours that was sent named it."""
        newest = self._journal.intents(followed.key.position, limit=INTENTS_MAX)
        sent = [i for i in newest if i.attempts and (i.state in MINED or i.state in UNDER_WAY)]
        return any(
            isinstance(s, CancelOrder) and s.order == followed.order for i in sent for s in i.plan.steps
        )

    def _step(self, followed: Followed) -> Step | None:
        """What the order is for."""
        intent = self._journal.intent(followed.key)
        return intent.plan.steps[0] if intent is not None and intent.plan.steps else None

    def _short(self, followed: Followed, venue: GmxV2, snapshot: Snapshot) -> str:
        """How the position differs from what an executed order was for; empty where it does not."""
        intent, position = self._journal.intent(followed.key), snapshot.position(followed.key.position)
        if intent is None or position is None or not intent.plan.steps:
            return ""
        if isinstance(step := intent.plan.steps[0], PlaceStop):
            shows = ""  # that it rests no more is what its execution means
        else:
            shown = venue.effect(intent, snapshot)
            shows = shown.why if shown.progress is Progress.FAILED else ""
        return shows or (missed(step, followed.before, position) if followed.before is not None else "")

    def _unsaid(self, followed: Followed, venue: GmxV2, snapshot: Snapshot) -> OrderEvent | None:
        """How an order ended by the position alone, once no log has said it for some blocks."""
        now = snapshot.block.number
        since, at_s = followed.gone_block or now, followed.asked_s or snapshot.block.timestamp_s
        followed = replace(followed, gone_block=since, asked_s=at_s)
        self._open[followed.key] = followed
        intent = self._journal.intent(followed.key)
        if now - since < SILENT_BLOCKS or intent is None:
            return None
        shown = venue.effect(intent, snapshot)
        if shown.progress is Progress.PENDING:
            if not followed.kept:
                self._open[followed.key] = replace(followed, kept=True)
                why = f"order {followed.order[:10]} waits no more, and nobody tells how it ended: {shown.why}"
                self._record(replace(followed, kept=True), followed.state, why, snapshot)
            return None
        done = shown.progress is Progress.DONE
        step, position = self._step(followed), snapshot.position(followed.key.position)
        if isinstance(step, PlaceStop) and followed.before is not None and position is not None:
            # a stop that is gone has closed its part, or nothing
            done = not missed(step, followed.before, position)
        return OrderEvent(
            order=followed.order,
            account=followed.key.position.account,
            state=OrderState.EXECUTED if done else OrderState.CANCELLED,
            why=f"no log says so: {shown.why}",
            block_number=now,
        )

    async def _named(self, followed: Followed, venue: GmxV2, snapshot: Snapshot) -> Followed:
        """The order's key, from the receipt of the transaction that created it."""
        now = snapshot.block.number
        if not due(followed, followed.seen_block, now):
            return followed
        told = await asyncio.gather(*(logs_of(self._transport, h) for h in followed.hashes))
        events = (e for logs in told for e in order_events(logs, venue.slot.emitter))
        made = next((e for e in events if e.state is OrderState.PENDING), None)
        if made is None:
            self._open[followed.key] = followed = replace(followed, asked_block=now)
            return followed
        position = snapshot.position(followed.key.position)
        named = replace(followed, order=made.order, before=before_of(position, made.order), asked_s=0)
        return self._tell(
            named, OrderState.PENDING, f"order {made.order[:10]} was created, and waits", snapshot
        )

    async def _ended(
        self, followed: Followed, venue: GmxV2, snapshot: Snapshot
    ) -> tuple[OrderEvent | None, Followed]:
        """The venue's last word on an order that waits no more; None where no log says it yet."""

        def ended(logs: Sequence[Log]) -> list[OrderEvent]:
            return [e for e in order_events(logs, venue.slot.emitter) if e.state.ended]

        now = snapshot.block.number
        if not due(followed, followed.gone_block or now, now):
            return None, followed
        where, span = of_order(venue.slot.emitter, followed.order), span_of(followed, snapshot)
        logs, width = await last_logs(self._transport, where, span, lambda told: bool(ended(told)))
        events = ended(logs)
        return (events[-1] if events else None), replace(followed, span_blocks=width, asked_block=now)

    async def _liquidated(self, followed: Followed, venue: GmxV2, snapshot: Snapshot) -> str:
        """Words where a liquidation came before the order."""

        def liquidated(logs: Sequence[Log]) -> bool:
            found = [fields(str(log.get("data")), "PositionDecrease") for log in logs]
            return any(
                f.get("orderType") == LIQUIDATION and f.get("isLong") == venue.slot.long for f in found
            )

        where, span = venue.liquidation_logs(followed.key.position.account), span_of(followed, snapshot)
        logs, _ = await last_logs(self._transport, where, span, liquidated)
        return "the position was liquidated before it was executed" if liquidated(logs) else ""

    def _tell(self, followed: Followed, state: OrderState, why: str, snapshot: Snapshot) -> Followed:
        """Into the journal and to a person; an order that ended is followed no more."""
        key, id = followed.key, followed.key.position
        self._record(followed, state, why, snapshot)
        self._ours.add(followed.order)
        for _, code in ALARMS.values():
            if state is OrderState.EXECUTED:
                self._alarms.clear(code, str(id))
        if followed.ours:
            for waited in (OrderState.FROZEN, OrderState.TIMEOUT):
                self._alarms.clear(ALARMS[waited][1], str(id))
        elif state in ALARMS:
            severity, code = ALARMS[state]
            self._alarms.raise_alarm(severity, code, str(id), why)
        if state.ended:
            self._open.pop(key, None)
        else:
            self._open[key] = replace(followed, state=state)
        return replace(followed, state=state)

    def _record(self, followed: Followed, state: OrderState, why: str, snapshot: Snapshot) -> None:
        """Into the journal and the log."""
        gone = {"gone_s": followed.asked_s, "gone_block": followed.gone_block}
        self._journal.record(
            Entry(
                kind=KIND,
                chain_id=followed.key.position.chain_id,
                block_number=snapshot.block.number,
                subject=str(followed.key),
                why=why,
                data={
                    "state": state.value,
                    "order": followed.order,
                    "at_s": snapshot.block.timestamp_s,
                    "step": type(self._step(followed)).__name__,
                    **({"taken_back": True} if followed.ours else {}),
                    **({"before": plain(followed.before)} if followed.before is not None else {}),
                    **(gone if followed.kept else {}),
                },
            )
        )
        self._log.info(KIND, plan=str(followed.key), state=state.value, why=why)


def with_orders(
    facts: Facts, transport: Transport, journal: Journal, guarded: Sequence[Guarded], alarms: Alarm
) -> Facts:
    """The same with the ends of orders told; unchanged where no venue acts in two steps."""
    mine = [g for g in guarded if g.id.venue in ("gmx_v2", HEDGE)]
    if mine:
        return OrderFacts(facts, transport, journal, mine, alarms)
    Notices(
        (), journal, alarms
    )  # a reload may have taken the last of them, and nobody else clears what stood of it
    return facts
