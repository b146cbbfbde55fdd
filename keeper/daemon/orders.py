"""What became of orders on venues that act in two steps: from the receipt that created one to the log that ended it.

Each state is journaled under the plan's key (``order``: PENDING, then EXECUTED, CANCELLED, FROZEN or TIMEOUT), so a
restart goes on where it was. That no second order is given meanwhile needs no memory: the chain's own list of orders
is part of every photograph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from keeper.daemon.facts import Facts, Guarded
from keeper.daemon.triage import Glances
from keeper.errors import Transient
from keeper.journal.write import Journal
from keeper.model import (
    HEDGE,
    PERP_STEPS,
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
)
from keeper.seams import Alarm, Priority, Progress, Severity, Transport, Venue
from keeper.venues.gmx_v2 import GmxV2
from keeper.venues.gmx_v2.effect import Before, missed
from keeper.venues.gmx_v2.events import OrderEvent, OrderState, fields, of_order, order_events

KIND = "order"
MINED = frozenset({IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL})
INTENTS_MAX = 32
"""Of a position, the newest plans whose orders are looked for after a restart: a stop rests below many rescues."""
SILENT_BLOCKS = 3
"""An order that is gone for so many blocks without a log that says how has ended by what the position shows."""
ALARMS = {
    OrderState.CANCELLED: (Severity.CRITICAL, "order_cancelled"),
    OrderState.FROZEN: (Severity.CRITICAL, "order_frozen"),
    OrderState.TIMEOUT: (Severity.CRITICAL, "order_late"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """One order of ours that has not ended."""

    key: PlanKey
    order: str
    """Empty until the receipt named it."""
    state: OrderState
    hashes: tuple[str, ...]
    """Of the transactions of which one created it."""
    since_block: int
    before: Before | None = None
    """What it was to change; None where nobody saw the position while it waited."""
    gone_block: int = 0
    """Since when it waits no more while no log says how it ended."""


class OrderFacts:
    """Facts with the ends of orders among the outcomes."""

    def __init__(
        self, facts: Facts, transport: Transport, journal: Journal, guarded: Sequence[Guarded], alarms: Alarm
    ) -> None:
        self._facts, self._transport, self._journal, self._alarms = facts, transport, journal, alarms
        self._log = structlog.get_logger("keeper")
        self._open: dict[PlanKey, Followed] = {}
        for g in guarded:
            for intent in journal.intents(g.id, limit=INTENTS_MAX):
                self._remember(intent)

    def _remember(self, intent: Intent) -> None:
        """An order that was under way when the daemon ended."""
        if intent.state not in MINED or not _orders(intent.plan) or not intent.attempts:
            return
        told = self._journal.entries(KIND, str(intent.key), limit=100)
        last = max(told, key=lambda e: e.id, default=None)
        state = OrderState(str(last.data["state"])) if last is not None else OrderState.PENDING
        if state.ended:
            return
        self._open[intent.key] = Followed(
            key=intent.key,
            order=str(last.data["order"]) if last is not None else "",
            state=state,
            hashes=tuple(a.hash for a in intent.attempts),
            since_block=intent.plan.block.number,
            before=_kept(told),
        )

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """As the facts within, and how orders ended. Raises Transient."""
        snapshot, outcomes = await self._facts.take(block, venues)
        return snapshot, (*outcomes, *await self._follow(snapshot, outcomes, venues))

    async def glance(
        self, block: Block, venues: Mapping[str, Venue]
    ) -> tuple[Snapshot, tuple[Outcome, ...]] | None:
        """As the facts within. Raises Transient."""
        seen = await self._facts.glance(block, venues) if isinstance(self._facts, Glances) else None
        if seen is not None:
            self._begin(seen[1])
        return seen

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
        self._begin(outcomes)
        ended: list[Outcome] = []
        for followed in tuple(self._open.values()):
            id = followed.key.position
            venue = next((v for v in venues.values() if v.position_id(id.account) == id), None)
            if not isinstance(venue, GmxV2):
                continue
            try:
                found = await self._look(followed, venue, snapshot)
            except Transient as error:
                self._log.info(KIND, plan=str(followed.key), why=f"asked again in the next block: {error}")
                continue
            if found is not None:
                ended.append(found)
        return ended

    def _begin(self, outcomes: Sequence[Outcome]) -> None:
        """What was included just now: an order each."""
        for outcome in outcomes:
            intent = self._journal.intent(outcome.key)
            if intent is not None and outcome.state is IntentState.INCLUDED and _orders(intent.plan):
                self._open[outcome.key] = Followed(
                    key=outcome.key,
                    order="",
                    state=OrderState.PENDING,
                    hashes=(outcome.tx_hash or "",),
                    since_block=outcome.block_number,
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
        waits = _waiting(position, followed.order)
        if waits is not None:
            if waits is not followed.state:
                self._tell(followed, waits, f"order {followed.order[:10]} is {waits} on the venue", snapshot)
            return None
        event = await self._ended(followed, venue, snapshot) or self._unsaid(followed, venue, snapshot)
        if event is None:
            return None
        why = event.why
        if event.state is OrderState.CANCELLED and position.perp is None:
            why = await self._liquidated(followed, venue, snapshot) or why
        words = f"order {followed.order[:10]} {event.state}" + (f": {why}" if why else "")
        if event.state is OrderState.CANCELLED:
            self._tell(followed, event.state, words, snapshot)
            return _in_vain(followed, words, snapshot)
        short = self._short(followed, venue, snapshot)
        self._tell(followed, event.state, words + (f", and {short}" if short else ""), snapshot)
        if short:
            self._alarms.raise_alarm(
                Severity.CRITICAL, "surprise", str(followed.key), f"{words}, and {short}"
            )
        return None

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
        since = followed.gone_block or now
        self._open[followed.key] = replace(followed, gone_block=since)
        intent = self._journal.intent(followed.key)
        if now - since < SILENT_BLOCKS or intent is None:
            return None
        shown = venue.effect(intent, snapshot)
        if shown.progress is Progress.PENDING:
            return None
        done = shown.progress is Progress.DONE
        return OrderEvent(
            order=followed.order,
            account=followed.key.position.account,
            state=OrderState.EXECUTED if done else OrderState.CANCELLED,
            why=f"no log says so: {shown.why}",
            block_number=now,
        )

    async def _named(self, followed: Followed, venue: GmxV2, snapshot: Snapshot) -> Followed:
        """The order's key, from the receipt of the transaction that created it."""
        for tx_hash in followed.hashes:
            receipt = await self._transport.request(
                "eth_getTransactionReceipt", [tx_hash], priority=Priority.RECEIPT
            )
            logs = receipt.get("logs") if isinstance(receipt, dict) else None
            made = order_events(logs if isinstance(logs, list) else [], venue.slot.emitter)
            created = next((e for e in made if e.state is OrderState.PENDING), None)
            if created is None:
                continue
            position = snapshot.position(followed.key.position)
            named = replace(followed, order=created.order, before=_before(position, created.order))
            words = f"order {created.order[:10]} was created, and waits"
            return self._tell(named, OrderState.PENDING, words, snapshot)
        return followed

    async def _ended(self, followed: Followed, venue: GmxV2, snapshot: Snapshot) -> OrderEvent | None:
        """The venue's last word on an order that waits no more; None where no log says it yet."""
        logs = await self._logs(of_order(venue.slot.emitter, followed.order), followed, snapshot)
        events = [e for e in order_events(logs, venue.slot.emitter) if e.state.ended]
        return events[-1] if events else None

    async def _liquidated(self, followed: Followed, venue: GmxV2, snapshot: Snapshot) -> str:
        """Words where a liquidation came before the order."""
        asked = venue.liquidation_logs(followed.key.position.account)
        for log in await self._logs(asked, followed, snapshot):
            items = fields(str(log.get("data")), "PositionDecrease")
            if items.get("orderType") == 7 and items.get("isLong") == venue.slot.long:
                return "the position was liquidated before it was executed"
        return ""

    async def _logs(self, asked: object, followed: Followed, snapshot: Snapshot) -> list[dict[str, object]]:
        target, topics = asked.target, asked.topics  # type: ignore[attr-defined]
        query = {
            "address": target,
            "topics": list(topics),
            "fromBlock": hex(followed.since_block),
            "toBlock": hex(snapshot.block.number),
        }
        logs = await self._transport.request("eth_getLogs", [query], priority=Priority.RECEIPT)
        return [log for log in logs if isinstance(log, dict)] if isinstance(logs, list) else []

    def _tell(self, followed: Followed, state: OrderState, why: str, snapshot: Snapshot) -> Followed:
        """Into the journal and to a person; an order that ended is followed no more."""
        key, id = followed.key, followed.key.position
        self._journal.record(
            Entry(
                kind=KIND,
                chain_id=id.chain_id,
                block_number=snapshot.block.number,
                subject=str(key),
                why=why,
                data={
                    "state": state.value,
                    "order": followed.order,
                    "at_s": snapshot.block.timestamp_s,
                    **({"before": _plain(followed.before)} if followed.before is not None else {}),
                },
            )
        )
        self._log.info(KIND, plan=str(key), state=state.value, why=why)
        for _, code in ALARMS.values():
            if state is OrderState.EXECUTED:
                self._alarms.clear(code, str(id))
        if state in ALARMS:
            severity, code = ALARMS[state]
            self._alarms.raise_alarm(severity, code, str(id), why)
        if state.ended:
            self._open.pop(key, None)
        else:
            self._open[key] = replace(followed, state=state)
        return replace(followed, state=state)


def _orders(plan: Plan) -> bool:
    """Whether the plan leaves an order on a venue."""
    return any(isinstance(s, PERP_STEPS) and not isinstance(s, CancelOrder) for s in plan.steps)


def _before(position: Position | None, order: str) -> Before | None:
    """The position while that order waits; None where it cannot be read, or the order is gone already."""
    perp = position.perp if position is not None else None
    if perp is None or all(o.key != order for o in perp.orders):
        return None
    return Before(size_usd=perp.size_usd, margin=perp.margin, owed=perp.owed)


def _plain(before: Before) -> dict[str, str]:
    return {"size_usd": str(before.size_usd), "margin": str(before.margin), "owed": str(before.owed)}


def _kept(told: Sequence[Entry]) -> Before | None:
    """Inverse of ``_plain``, of the first entry of an order that has it."""
    found = next((e.data["before"] for e in told if "before" in e.data), None)
    return Before(**{k: int(str(v)) for k, v in found.items()}) if isinstance(found, Mapping) else None


def _waiting(position: Position, key: str) -> OrderState | None:
    """How the order stands in the photograph; None where it is not there."""
    perp = position.perp
    order = next((o for o in perp.orders if o.key == key), None) if perp is not None else None
    if perp is None or order is None:
        return None
    if order.frozen:
        return OrderState.FROZEN
    late = not order.resting and order.age_s >= perp.order_expires_s
    return OrderState.TIMEOUT if late else OrderState.PENDING


def _in_vain(followed: Followed, why: str, snapshot: Snapshot) -> Outcome:
    """An order without effect frees the position's cooldown, as a transaction without effect does."""
    position = snapshot.position(followed.key.position)
    return Outcome(
        key=followed.key,
        state=IntentState.REVERTED,
        block_number=snapshot.block.number,
        tx_hash=None,
        gas_used=0,
        gas_price_wei=0,
        health_after_wad=position.health_wad if position is not None else None,
        promised_min_wad=0,
        surprise=why,
    )


def with_orders(
    facts: Facts, transport: Transport, journal: Journal, guarded: Sequence[Guarded], alarms: Alarm
) -> Facts:
    """The same with the ends of orders told; unchanged where no venue acts in two steps."""
    mine = [g for g in guarded if g.id.venue in ("gmx_v2", HEDGE)]
    return OrderFacts(facts, transport, journal, mine, alarms) if mine else facts
