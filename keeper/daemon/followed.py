"""One order of ours that its venue has not ended: what is known of it, and what a photograph says. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from keeper.daemon.lastlogs import SPAN_BLOCKS, Span
from keeper.model import (
    PERP_STEPS,
    CancelOrder,
    Entry,
    Intent,
    IntentState,
    Outcome,
    Plan,
    PlanKey,
    Position,
    Snapshot,
)
from keeper.venues.gmx_v2.effect import Before
from keeper.venues.gmx_v2.events import OrderState

MINED = frozenset({IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL})
UNTOLD_S = 120
"""By the chain's own seconds: an answer that no endpoint gives for so long is an alarm, and is still asked for. GMX
executes an order within seconds, and lets it be taken back after minutes."""

EACH_BLOCKS, THEN_BLOCKS = 10, 10
"""So many blocks long an answer that is missing is asked for in each, and then once in so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """One order of ours that has not ended."""

    key: PlanKey
    order: str
    """Empty until the receipt named it."""
    state: OrderState
    hashes: tuple[str, ...]
    """Of the transactions of which one created it."""
    seen_block: int
    """In which it waited, as far as anybody saw: its end is looked for from there on."""
    before: Before | None = None
    """What it was to change; None where nobody saw the position while it waited."""
    gone_block: int = 0
    """Since when it waits no more while no log says how it ended."""
    span_blocks: int = SPAN_BLOCKS
    """Of how many blocks logs are asked for at once."""
    ours: bool = False
    """Whether it ended because a plan of ours took it back."""
    asked_s: int = 0
    """The chain's second since which an answer is asked for that no endpoint gives: the receipt that names it, later
    the log of its end; 0 while it waits in the photographs."""
    kept: bool = False
    """Whether the diary knows that it is gone."""
    asked_block: int = 0
    """In which endpoints were asked last for what none of them gives."""
    broke: str = ""
    """Why the keeper's own code broke on it, which stops nothing else."""


def recalled(intent: Intent, told: Sequence[Entry]) -> Followed:
    """An order as the diary tells of it. Raises Undecodable."""
    last = max(told, key=lambda e: e.id, default=None)
    at = Followed(
        key=intent.key,
        order="",
        state=OrderState.PENDING,
        hashes=tuple(a.hash for a in intent.attempts),
        seen_block=intent.plan.block.number,
        asked_s=intent.plan.block.timestamp_s,
    )
    if last is None:
        return at
    # how long nobody has answered is not forgotten by a restart
    gone_s, gone_block = (last.told(k, int) if k in last.data else 0 for k in ("gone_s", "gone_block"))
    return replace(
        at,
        order=last.told("order", str),
        state=last.told("state", OrderState),
        before=kept_before(told),
        asked_s=gone_s,
        gone_block=gone_block,
        kept="gone_block" in last.data,
    )


def leaves_order(plan: Plan) -> bool:
    """Whether the plan leaves an order on a venue."""
    return any(isinstance(s, PERP_STEPS) and not isinstance(s, CancelOrder) for s in plan.steps)


def due(followed: Followed, since_block: int, now_block: int) -> bool:
    """Whether endpoints are asked in this block for what none has given since then: at first in every one, later now
    and then, for a photograph waits for their answers."""
    return now_block - since_block <= EACH_BLOCKS or now_block - followed.asked_block >= THEN_BLOCKS


def untold(followed: Followed, snapshot: Snapshot) -> str:
    """What to say of an answer that nobody gives for too long, or that cannot be taken; empty before that."""
    if followed.broke:
        what = followed.order or " or ".join(h for h in followed.hashes if h)
        return (
            f"what became of order {what} is not known: the keeper broke on what it was told ({followed.broke}); "
            "look at the orders on the venue's page, and report it"
        )
    if not followed.asked_s or snapshot.block.timestamp_s - followed.asked_s < UNTOLD_S:
        return ""
    sent = " or ".join(h for h in followed.hashes if h) or "unknown"
    since = (
        f"since block {followed.gone_block or followed.seen_block} (second {followed.asked_s} of the chain)"
    )
    then = (
        "look the transaction up in an explorer and the orders on the venue's page, see `keeper check` for endpoints "
        "and add one that keeps receipts and logs; it is asked for again and again, and nothing is given twice "
        "meanwhile: the venue's own list of orders is in every photograph"
    )
    if not followed.order:
        what = f"no endpoint gives the receipt with the order of transaction {sent}, {since}"
        return f"{what}: its key, whether it waits and how it ends are not known; {then}"
    what = f"order {followed.order} of transaction {sent} waits on the venue no more, {since}"
    return f"{what}: no endpoint gives the log of its end, and the position alone does not tell; {then}"


def span_of(followed: Followed, snapshot: Snapshot) -> Span:
    """Where the logs of its end are."""
    return Span(first_block=followed.seen_block, last_block=snapshot.block.number, width=followed.span_blocks)


def resting(position: Position, order: str) -> Before | None:
    """The position as it stands now while that order rests; None where the order does not rest."""
    rests = position.perp is not None and any(o.key == order and o.resting for o in position.perp.orders)
    return before_of(position, order) if rests else None


def before_of(position: Position | None, order: str) -> Before | None:
    """The position while that order waits; None where it cannot be read, or the order is gone already."""
    perp = position.perp if position is not None else None
    if perp is None or all(o.key != order for o in perp.orders):
        return None
    return Before(size_usd=perp.size_usd, margin=perp.margin, owed=perp.owed)


def with_ours(snapshot: Snapshot, ours: Collection[str]) -> Snapshot:
    """The same with the orders marked that are ours by their key: the chain lists them among the owner's own."""

    def marked(p: Position) -> Position:
        if p.perp is None or not any(o.key in ours for o in p.perp.orders):
            return p
        orders = tuple(replace(o, ours=o.key in ours) for o in p.perp.orders)
        return replace(p, perp=replace(p.perp, orders=orders))

    found = tuple(marked(p) for p in snapshot.positions)
    same = all(a is b for a, b in zip(found, snapshot.positions, strict=True))
    return snapshot if same else replace(snapshot, positions=found)


def plain(before: Before) -> dict[str, str]:
    """As the diary keeps it."""
    return {"size_usd": str(before.size_usd), "margin": str(before.margin), "owed": str(before.owed)}


def kept_before(told: Sequence[Entry]) -> Before | None:
    """Inverse of ``plain``, of the first entry of an order that has it."""
    found = next((e.data["before"] for e in told if "before" in e.data), None)
    if not isinstance(found, Mapping):
        return None
    try:
        return Before(**{k: int(str(v)) for k, v in found.items()})
    except (TypeError, ValueError):  # damaged: what it was to change is not known
        return None


def waiting(position: Position, key: str) -> OrderState | None:
    """How the order stands in the photograph; None where it is not there."""
    perp = position.perp
    order = next((o for o in perp.orders if o.key == key), None) if perp is not None else None
    if perp is None or order is None:
        return None
    if order.frozen:
        return OrderState.FROZEN
    late = not order.resting and order.age_s >= perp.order_expires_s
    return OrderState.TIMEOUT if late else OrderState.PENDING


def in_vain(followed: Followed, why: str, snapshot: Snapshot) -> Outcome:
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
