"""One hedge, kept by a key of its own: photographed beside the tick, ordered in two steps, behind every rescue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from keeper.config.pairing import HedgeSettings
from keeper.confirmation import Confirmation
from keeper.daemon.camera import Camera
from keeper.daemon.facts import Facts
from keeper.daemon.hedging import KIND, row_of, sort_of, terms
from keeper.daemon.loop import ChainLoop
from keeper.daemon.orders import INTENTS_MAX as FOLLOWED_MAX
from keeper.daemon.orders import KIND as ORDER
from keeper.daemon.pairs import Link
from keeper.daemon.shadow import ShadowBook
from keeper.daemon.tick import Tick
from keeper.errors import Disputed, Raced, Transient, Unsigned
from keeper.journal.write import Journal
from keeper.model import (
    Amount,
    Block,
    Bounds,
    CancelOrder,
    Entry,
    GrowPerp,
    IntentState,
    Level,
    Means,
    Outcome,
    Plan,
    PlanKey,
    Policy,
    Position,
    PositionId,
    ReducePerp,
    Refusal,
    Snapshot,
    Step,
)
from keeper.plan.guard import DEADLINE_BLOCKS
from keeper.seams import Alarm, Severity, Venue
from keeper.transaction.send import Live
from keeper.units import UINT256_MAX, WAD, mul_div_down
from keeper.venues.gmx_v2.hedged import HedgedSlot
from strategies.hedge import USD, WHO, Order, Seen, propose
from strategies.perp import FEE_TIMES, FEE_TIPS

NOT_SENT = "hedge_not_sent"
DAY_S = 86_400
INTENTS_MAX = 1_000
"""Of a hedge, the newest orders that are counted against its day."""
UNPRICED_BASE_FEES = 4
DANGER = (Level.ACT, Level.URGENT, Level.UNKNOWN)
NEVER = frozenset(
    {
        IntentState.ABANDONED,
        IntentState.EXPIRED,
        IntentState.REVERTED,
        IntentState.REPLACED,
        IntentState.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """Which hedge, and what it is seen and bounded by."""

    link: Link
    settings: HedgeSettings
    policy: Policy
    """Of the short: what an order's gas may cost."""
    venue: HedgedSlot
    camera: Camera
    journal: Journal
    """As this hedge's key sees it."""
    alarms: Alarm

    @property
    def id(self) -> PositionId:
        """Under which its orders are journaled."""
        return self.venue.position_id(self.link.short.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """An order of this hedge's own that nobody executed in its time, to be taken back."""

    step: CancelOrder
    why: str


class HedgeFacts:
    """The slot and the wallet of the hedge's key at a block, and what became of its transactions."""

    def __init__(self, hedge: Hedge, confirmation: Confirmation | None) -> None:
        self._hedge, self._confirmation = hedge, confirmation

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """Raises Transient."""
        accounts = dict.fromkeys(venues, (self._hedge.link.short.account,))
        snapshot = await self._hedge.camera.photograph(venues, accounts, block, ShadowBook(), {})
        if self._confirmation is None:
            return snapshot, ()
        return snapshot, await self._confirmation.tend(block, snapshot)

    def acted(self, plan: Plan) -> None:
        """The chain shows it."""


class Hedger:
    """Keeps one short at its share, one order at a time."""

    def __init__(self, hedge: Hedge, facts: Facts, live: Live | None) -> None:
        """``live``: None in a dry-run."""
        self._hedge, self._facts, self._live = hedge, facts, live
        self._said = ""

    async def look(self, tick: Tick, loop: ChainLoop, *, armed: bool) -> Snapshot:
        """What one block asks of the hedge, done where nothing is in danger. Raises Transient, Broken."""
        hedge = self._hedge
        found, _ = await self._facts.take(tick.block, {hedge.venue.id: hedge.venue})
        snapshot = replace(found, means=_means(found.means, tick.snapshot.means))
        told = self._wish(tick, snapshot, danger(loop))
        plan = None if isinstance(told, Refusal) else self._plan(told, snapshot)
        if isinstance(plan, Refusal):
            told, plan = plan, None
        self._say(tick, told, armed=armed and self._live is not None)
        if plan is not None and armed and self._live is not None:
            await self._act(plan, snapshot, self._live)
        return snapshot

    def _wish(self, tick: Tick, snapshot: Snapshot, why: str) -> Order | Back | Refusal:
        hedge = self._hedge
        under_way = hedge.journal.open_intents(tick.block.chain_id)
        if why:
            for intent in under_way:
                # what is not mined yet is not to land in the middle of a rescue
                if intent.state in (IntentState.SIGNED, IntentState.SENT):
                    given_up = f"given up: {why}"
                    hedge.journal.set_state(intent.key, IntentState.CANCELLING, given_up, tick.block.number)
            return _no("waits", f"it waits: {why}")
        if low := _endangered(tick):
            # blocks went on while this one was looked at: what it shows is no ground for an order any more
            return _no("waits", f"it waits: in block {tick.block.number} {low}")
        if under_way:
            return _no("under_way", f"{under_way[0].key} is under way: one order at a time")
        short = snapshot.position(hedge.id)
        if (late := self._late(short)) is not None:
            return late
        loan = tick.snapshot.position(hedge.link.loan)
        asked = terms(hedge.settings, hedge.link.settings.assets)
        return propose(loan, short, asked, self._seen(tick, snapshot, short))

    def _late(self, short: Position | None) -> Back | None:
        """What of the hedge's own waits longer than the venue takes; never an order of its owner's."""
        perp = short.perp if short is not None else None
        if perp is None or (waits := perp.pending) is None or waits.age_s < perp.order_expires_s:
            return None
        journal = self._hedge.journal
        followed = journal.intents(self._hedge.id, limit=FOLLOWED_MAX)
        if not any(
            e.data.get("order") == waits.key for i in followed for e in journal.entries(ORDER, str(i.key))
        ):
            return None
        step = CancelOrder(amount=Amount(token=perp.collateral, units=0), order=waits.key, late=True)
        why = (
            f"{WHO} takes order {waits.key[:10]} back: it waits since {waits.age_s} s, and nobody executed it"
        )
        return Back(step=step, why=why)

    def _seen(self, tick: Tick, snapshot: Snapshot, short: Position | None) -> Seen:
        """The key's own wallet, as far as it lets the venue's router take margin from it."""
        means, perp = snapshot.means, short.perp if short is not None else None
        if perp is not None:
            free = min(
                means.balance(perp.collateral),
                means.allowance(perp.collateral, self._hedge.venue.spender),
            )
            means = replace(means, balances=(Amount(token=perp.collateral, units=free),))
        carry = perp.side.carry_year if perp is not None and perp.side is not None else None
        return Seen(
            keeper=tick.snapshot.means.wallet,
            means=means,
            opened_today_usd=self._opened(tick.block) / USD,
            funding_year_pct=None if carry is None else carry * 100 / USD,
        )

    def _opened(self, block: Block) -> int:
        """USD (30 decimals) ordered within a day, what may still act or has acted."""
        since_s = block.timestamp_s - DAY_S
        return sum(
            step.size_usd
            for i in self._hedge.journal.intents(self._hedge.id, limit=INTENTS_MAX)
            if i.plan.block.timestamp_s > since_s and i.state not in NEVER
            for step in i.plan.steps
            if isinstance(step, GrowPerp)
        )

    def _plan(self, order: Order | Back, snapshot: Snapshot) -> Plan | Refusal:
        """The order as one bounded transaction, or why none."""
        hedge, block, means = self._hedge, snapshot.block, snapshot.means
        position = snapshot.position(hedge.id)
        if position is None or position.perp is None:
            return _no("unknown", "the short cannot be read")
        step = order.step if isinstance(order, Back) else step_of(order, position, block, means)
        if (no := hedge.venue.can(step, position, means)) is not None:
            return no
        gas_limit = hedge.venue.gas(step)
        most = gas_wei_max(hedge.policy.caps.gas_usd_max, gas_limit, block, means)
        call = hedge.venue.encode(step, position)
        if call.value_wei + gas_limit * block.base_fee_wei > means.native_wei:
            return _no(
                "gas_tank", f"the hedge's wallet holds {means.native_wei / WAD:.6f}: too little for gas"
            )
        return Plan(
            key=PlanKey(position=hedge.id, seq=hedge.journal.next_seq(hedge.id)),
            strategy=WHO,
            steps=(step,),
            call=call,
            bounds=Bounds(
                health_after_min_wad=0,
                health_after_max_wad=UINT256_MAX,
                cost_usd_max=hedge.policy.caps.gas_usd_max,
                fee_wei_max=most,
                gas_limit=gas_limit,
                deadline_block=block.number + DEADLINE_BLOCKS,
            ),
            block=block,
            urgent=False,
            health_before_wad=None,
            why=order.why,
        )

    async def _act(self, plan: Plan, snapshot: Snapshot, live: Live) -> None:
        alarms, subject = self._hedge.alarms, str(self._hedge.id)
        try:
            result = await live.act(plan, snapshot)
        except Raced as e:
            result = _no("raced", str(e))
        except (Unsigned, Transient) as e:
            code = "disputed" if isinstance(e, Disputed) else "unreachable"
            result = _no("unsigned" if isinstance(e, Unsigned) else code, str(e))
        if not isinstance(result, Refusal):
            alarms.clear(NOT_SENT, subject)
            return
        if result.code not in ("raced", "waits"):
            alarms.raise_alarm(Severity.WARNING, NOT_SENT, subject, f"{result.code}: {result.why}")

    def _say(self, tick: Tick, told: Order | Back | Refusal, *, armed: bool) -> None:
        sort = f"{told.step.order if isinstance(told, Back) else sort_of(told)} {armed}"
        if sort != self._said:
            head = (
                "orders" if armed else "would be ordered, and is signed by nobody until `keeper arm --hedge`"
            )
            subject = str(self._hedge.link.short)
            self._hedge.journal.record(
                _row_back(tick, subject, told, head)
                if isinstance(told, Back)
                else row_of(tick, subject, told, head)
            )
            self._said = sort


def _row_back(tick: Tick, subject: str, back: Back, head: str) -> Entry:
    return Entry(
        kind=KIND,
        chain_id=tick.block.chain_id,
        block_number=tick.block.number,
        subject=subject,
        why=f"{head}: {back.why}",
        data={"takes_back": back.step.order},
    )


def danger(loop: ChainLoop) -> str:
    """Why no hedge is touched now; empty while nothing guarded is below its trigger, unread or being rescued, and
    what is seen is of now."""
    tick = loop.last
    if tick is None or loop.permit.closing:
        return "no block has been judged, or the daemon is stopping"
    if not loop.idle or tick.plans:
        return "a rescue goes first"
    if low := _endangered(tick):
        return low
    if old := loop.parts.old_head():
        return old
    if loop.parts.journal.open_intents(tick.block.chain_id):
        return "a rescue is under way"
    return ""


def _endangered(tick: Tick) -> str:
    low = next((o for o in tick.outlooks if o.level in DANGER), None)
    return "" if low is None else f"{low.id} is {low.level}"


def step_of(order: Order, position: Position, block: Block, means: Means) -> Step:
    """The order as a step of the venue, with the fee of its execution."""
    perp = position.perp
    assert perp is not None
    price_wei = FEE_TIMES * block.base_fee_wei + FEE_TIPS * means.tip_wei
    if order.opens:
        return GrowPerp(
            amount=order.margin,
            size_usd=order.size_usd,
            worst_price=order.worst_price,
            fee_wei=perp.increase_gas * price_wei,
        )
    tokens = mul_div_down(perp.tokens, order.size_usd, max(perp.size_usd, 1))
    return ReducePerp(
        amount=Amount(token=perp.index, units=max(1, tokens)),
        size_usd=order.size_usd,
        worst_price=order.worst_price,
        fee_wei=perp.decrease_gas * price_wei,
    )


def gas_wei_max(gas_usd: int, gas_limit: int, block: Block, means: Means) -> int:
    """Most wei that an order's transaction may burn."""
    if means.native_price_base:
        unit = 10**means.native_price_decimals
        return min(mul_div_down(gas_usd, WAD * unit, means.native_price_base), means.native_wei)
    return min(gas_limit * (UNPRICED_BASE_FEES * block.base_fee_wei + means.tip_wei), means.native_wei)


def _means(own: Means, rescue: Means) -> Means:
    """The wallet of the hedge's key; what gas costs in dollars as the tick knows it."""
    return replace(
        own,
        native_price_base=rescue.native_price_base,
        native_price_decimals=rescue.native_price_decimals,
    )


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=WHO, code=code, why=why)
