"""How orders end, over a journal and records: by the log, by the position alone, and held to what they were for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from eth_abi.abi import encode

from keeper.clock import ManualClock
from keeper.daemon.facts import Guarded
from keeper.daemon.followed import EACH_BLOCKS, THEN_BLOCKS, UNTOLD_S
from keeper.daemon.lastlogs import REORG_BLOCKS, REQUESTS_MAX
from keeper.daemon.orders import SILENT_BLOCKS, OrderFacts, with_orders
from keeper.daemon.owner_stops import OwnerStops
from keeper.daemon.stops import ORDERS_MAX, Stops
from keeper.errors import Rejected, Transient
from keeper.journal.write import Journal
from keeper.model import (
    AddMargin,
    Amount,
    Attempt,
    Block,
    CancelOrder,
    Fee,
    IntentState,
    Outcome,
    Perp,
    PlaceStop,
    Plan,
    ReducePerp,
    Snapshot,
    Step,
)
from keeper.notify.alarm import Alarms
from keeper.seams import Priority, Severity, Venue
from keeper.venues.gmx_v2 import GmxV2
from keeper.venues.gmx_v2.events import _DATA, LOG2, named
from tests import perps, plans
from tests.perps import BLOCK, OWNER, USDC, WALLET, order, perp, position, slot

pytestmark = pytest.mark.unit

ORDER = order(0).key
TOP_UP = AddMargin(amount=Amount(token=USDC, units=500 * 10**6), fee_wei=1)
ID = position(perp(1_900)).id


def log(name: str, number: int) -> dict[str, object]:
    """As the venue's emitter tells of the order."""
    nothing: list[object] = [([], []) for _ in range(7)]
    data = encode(["address", "string", _DATA], [WALLET, name, tuple(nothing)])
    topics = [LOG2, named(name), ORDER, "0x" + OWNER[2:].rjust(64, "0")]
    at = {"blockNumber": hex(number), "transactionHash": "0x", "logIndex": "0x0"}
    return {"address": slot().emitter, "topics": topics, "data": "0x" + data.hex(), **at}


@dataclass
class Street:
    """A chain as a test lays it out, as facts and as transport; the order was created by ``0xa1``."""

    journal: Journal
    perp: Perp
    number: int = BLOCK.number
    logs: list[dict[str, object]] = field(default_factory=list)
    outcomes: tuple[Outcome, ...] = ()
    span_blocks_max: int | None = None
    """The endpoint refuses logs of more blocks than these."""
    silent: bool = False
    """It answers no question for logs at all."""
    asked: list[tuple[int, int]] = field(default_factory=list)
    created: set[str] = field(default_factory=lambda: {"0xa1"})
    """Transactions that created the order."""
    receipts: list[str] = field(default_factory=list)
    answered: int = 0
    together: int = 0
    """The most receipts that were asked for at one time."""

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        shot = replace(perps.world(self.perp)[0], block=block)
        outcomes, self.outcomes = self.outcomes, ()
        return shot, outcomes

    def acted(self, plan: Plan) -> None:
        raise AssertionError("nothing acts here")

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        if method == "eth_getTransactionReceipt":
            self.receipts.append(str(params[0]))
            self.together = max(self.together, len(self.receipts) - self.answered)
            await asyncio.sleep(0)
            self.answered += 1
            return {"logs": [log("OrderCreated", self.number)]} if params[0] in self.created else None
        query = cast(dict[str, Any], params[0])
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        self.asked.append((first, last))
        if self.silent:
            raise Transient("no answer")
        if self.span_blocks_max is not None and last - first >= self.span_blocks_max:
            raise Rejected(-32005, "query exceeds the range that is allowed")
        return [log for log in self.logs if first <= int(str(log["blockNumber"]), 16) <= last]

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        raise AssertionError("nothing is sent here")


@dataclass
class Watch:
    """One followed order, block by block."""

    street: Street
    alarms: Alarms
    facts: OrderFacts
    shot: Snapshot = field(init=False)

    def block(self, now: Perp, logs: Sequence[dict[str, object]] = ()) -> tuple[Outcome, ...]:
        self.street.number += 1
        self.street.perp, self.street.logs = now, list(logs)
        at = replace(BLOCK, number=self.street.number, timestamp_s=BLOCK.timestamp_s + self.street.number)
        venue = GmxV2(slot())
        self.shot, outcomes = asyncio.run(self.facts.take(at, {venue.id: venue}))
        return outcomes

    def restarted(self) -> None:
        self.facts = facts(self.street, self.alarms)

    def states(self) -> list[str]:
        return [str(e.data["state"]) for e in self.street.journal.entries("order")]

    def standing(self) -> set[str]:
        return {a.code for a in self.alarms.standing}


def facts(street: Street, alarms: Alarms) -> OrderFacts:
    guarded = Guarded(label="long", policy=perps.POLICY, venue_id=GmxV2(slot()).id, id=ID)
    return OrderFacts(street, street, street.journal, [guarded], alarms)


def included(journal: Journal, step: Step, *hashes: str) -> None:
    """A plan of that step whose first attempt was mined."""
    made = replace(plans.plan(position=ID, at=BLOCK), steps=(step,), strategy="add_margin")
    made = replace(made, key=replace(made.key, seq=(seq := journal.next_seq(ID))))
    journal.open_intent(made)
    for n, hash in enumerate(hashes, 1):
        fee = Fee(gas_limit=1, max_fee_wei=n, tip_wei=n)
        journal.add_attempt(
            Attempt(key=made.key, nonce=seq, n=n, raw=b"x", hash=hash, fee=fee, sent_block=BLOCK.number),
            WALLET,
        )
    journal.record_outcome(
        Outcome(
            key=made.key,
            state=IntentState.INCLUDED,
            block_number=BLOCK.number,
            tx_hash=hashes[0],
            gas_used=1,
            gas_price_wei=1,
            health_after_wad=None,
            promised_min_wad=0,
            surprise="",
        ),
        BLOCK.hash,
    )


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """An order of a top-up that was signed twice: the first bytes were mined, and nobody noticed until a restart."""
    clock = ManualClock(1_000_000.0)
    with Journal.open(tmp_path / "journal.sqlite", clock) as journal:
        included(journal, TOP_UP, "0xa1", "0xa2")
        street, alarms = Street(journal=journal, perp=perp(1_900)), Alarms(journal.record, clock, 1)
        yield Watch(street=street, alarms=alarms, facts=facts(street, alarms))


WAITS = replace(perp(1_900), orders=(order(3),))
DONE = replace(perp(1_900, margin=2_500), increased_s=BLOCK.timestamp_s + 200)


def test_order__executed_as_promised__said_once_and_nothing_alarms(watch: Watch) -> None:
    watch.block(WAITS)
    assert watch.block(DONE, [log("OrderExecuted", 102)]) == ()
    watch.restarted()
    watch.block(DONE, [log("OrderExecuted", 102)])
    assert watch.states() == ["PENDING", "EXECUTED"]
    assert watch.standing() == set()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (replace(DONE, margin=2_100 * 10**6), "promised at the least"),
        (replace(DONE, increased_s=0), "nothing was added"),
    ],
)
def test_order__executed_by_its_log_and_the_position_shows_less__alarms(
    watch: Watch, found: Perp, words: str
) -> None:
    watch.block(WAITS)
    watch.restarted()
    watch.block(found, [log("OrderExecuted", 102)])
    assert watch.states() == ["PENDING", "EXECUTED"]
    assert words in watch.street.journal.entries("order")[-1].why
    assert watch.standing() == {"surprise"}


@pytest.mark.parametrize(("found", "state"), [(perp(2_400), "CANCELLED"), (DONE, "EXECUTED")])
def test_order__gone_and_no_log_says_how__ends_by_what_the_position_shows(
    watch: Watch, found: Perp, state: str
) -> None:
    watch.block(WAITS)
    for _ in range(SILENT_BLOCKS):
        assert watch.block(found) == ()
        assert watch.states() == ["PENDING"]
    ended = watch.block(found)
    assert watch.states() == ["PENDING", state]
    assert [o.state for o in ended] == ([IntentState.REVERTED] if state == "CANCELLED" else [])
    assert "no log says so" in watch.street.journal.entries("order")[-1].why


@pytest.mark.parametrize("limit", [10_000, 100, 10])
def test_order__waited_for_days_and_an_endpoint_limits_spans__its_end_is_found_where_it_was_last_seen(
    watch: Watch, limit: int
) -> None:
    watch.street.span_blocks_max = limit
    watch.block(WAITS)
    watch.street.number += 50_000
    watch.block(WAITS)
    assert watch.street.asked == [], "nothing is asked while it waits"
    (ended,) = watch.block(perp(2_400), [log("OrderCancelled", watch.street.number + 1)])
    assert ended.state is IntentState.REVERTED
    assert watch.states() == ["PENDING", "CANCELLED"]
    assert "no log" not in watch.street.journal.entries("order")[-1].why
    assert len(watch.street.asked) <= 3
    assert min(first for first, _ in watch.street.asked) >= watch.street.number - 1 - REORG_BLOCKS


def test_order__ended_while_the_daemon_was_down__the_newest_logs_are_asked_first(watch: Watch) -> None:
    watch.block(WAITS)
    watch.restarted()
    watch.street.span_blocks_max, watch.street.number = 2_000, 60_000
    watch.block(DONE, [log("OrderExecuted", 58_500)])
    assert watch.states() == ["PENDING", "EXECUTED"]
    assert len(watch.street.asked) <= REQUESTS_MAX


@pytest.mark.parametrize("silent", [False, True])
def test_order__every_request_for_logs_is_refused_or_lost__ends_by_what_the_position_shows(
    watch: Watch, silent: bool
) -> None:
    watch.street.span_blocks_max, watch.street.silent = 0, silent
    watch.block(WAITS)
    for _ in range(SILENT_BLOCKS):
        assert watch.block(perp(2_400)) == ()
    (ended,) = watch.block(perp(2_400))
    assert ended.state is IntentState.REVERTED
    assert watch.states() == ["PENDING", "CANCELLED"]
    assert "order_cancelled" in watch.standing()


STOP = PlaceStop(amount=TOP_UP.amount, size_usd=20_000 * perps.USD, trigger_price=1, worst_price=1, fee_wei=1)
REDUCE = ReducePerp(amount=TOP_UP.amount, size_usd=10**30, worst_price=1, fee_wei=1)


def ends(
    watch: Watch, seq: int, step: Step, *, taken_back: bool = False, resting: bool = False
) -> list[Outcome]:
    """An order of ours that waited one block and was cancelled in the next."""
    journal = watch.street.journal
    included(journal, step, f"0xb{seq}")
    if taken_back:
        back = CancelOrder(amount=TOP_UP.amount, order=ORDER)
        included(journal, back, f"0xc{seq}")
    watch.street.created = {f"0xb{seq}"}
    watch.restarted()
    watch.block(replace(perp(2_000), orders=(replace(order(3), resting=resting),)))
    return list(watch.block(perp(2_000), [log("OrderCancelled", watch.street.number + 1)]))


def held(watch: Watch, step: Step) -> str:
    """Why a plan of that step waits after what ended lately."""
    now = replace(BLOCK, number=watch.street.number, timestamp_s=BLOCK.timestamp_s + watch.street.number)
    plan = replace(plans.plan(position=ID, at=BLOCK), steps=(step,), block=now)
    stop = Stops(watch.street.journal, ManualClock(1_000_000.0), lambda: (2, 2)).of(plan)
    return stop.code if stop is not None else ""


def test_stop__renewed_again_and_again__no_alarm_no_outcome_and_no_rescue_waits(watch: Watch) -> None:
    watch.block(DONE, [log("OrderExecuted", watch.street.number + 1)])
    for seq in range(2, 2 + ORDERS_MAX):
        assert ends(watch, seq, STOP, taken_back=True, resting=True) == []
    assert watch.states()[-2:] == ["PENDING", "CANCELLED"]
    assert "taken back" in watch.street.journal.entries("order")[-1].why
    assert watch.standing() == set()
    assert [held(watch, s) for s in (TOP_UP, REDUCE, STOP)] == [""] * 3


def test_stop__among_the_owner_s_own__is_known_for_ours_by_the_journal_alone_and_after_a_restart(
    watch: Watch,
) -> None:
    watch.block(DONE, [log("OrderExecuted", watch.street.number + 1)])
    included(watch.street.journal, STOP, "0xb2")
    watch.street.created = {"0xb2"}
    watch.restarted()
    owners, ours = replace(order(3, resting=True), key="0x" + "ef" * 32), order(3, resting=True)
    for _ in range(2):
        watch.block(replace(perp(2_000), orders=(owners, ours)))
        watch.restarted()
        seen = watch.shot.positions[0].perp
        assert seen is not None
        assert [o.ours for o in seen.orders] == [False, True]
        assert seen.stop is not None
        assert seen.stop.key == ours.key


def test_stop__cancelled_by_its_venue__said_and_holds_no_rescue_up(watch: Watch) -> None:
    watch.block(DONE, [log("OrderExecuted", watch.street.number + 1)])
    for seq in range(2, 2 + ORDERS_MAX):
        assert ends(watch, seq, STOP, resting=True) == []
    assert watch.standing() == {"order_cancelled"}
    assert [held(watch, s) for s in (TOP_UP, REDUCE)] == [""] * 2


def test_order__late_and_taken_back__frees_the_cooldown_and_is_no_surprise(watch: Watch) -> None:
    watch.block(replace(perp(1_900), orders=(order(301),)))
    assert watch.standing() == {"order_late"}
    included(watch.street.journal, CancelOrder(amount=TOP_UP.amount, order=ORDER, late=True), "0xc")
    (ended,) = watch.block(perp(2_000), [log("OrderCancelled", watch.street.number + 1)])
    assert (ended.state, ended.surprise) == (IntentState.REVERTED, "")
    assert watch.standing() == set()


def test_reductions__cancelled_three_times__the_next_waits_and_a_top_up_does_not(watch: Watch) -> None:
    watch.block(DONE, [log("OrderExecuted", watch.street.number + 1)])
    for seq in range(2, 2 + ORDERS_MAX):
        (ended,) = ends(watch, seq, REDUCE)
        assert ended.surprise
    back = CancelOrder(amount=TOP_UP.amount, order=ORDER, late=True)
    assert [held(watch, s) for s in (TOP_UP, REDUCE, back)] == ["", "orders_in_vain", ""]
    for seq in range(5, 5 + ORDERS_MAX):
        ends(watch, seq, TOP_UP)
    assert held(watch, TOP_UP) == "orders_in_vain"


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_order__no_endpoint_gives_its_receipt_or_its_end__an_alarm_names_it_until_one_does(
    watch: Watch, restarts: bool, named: bool
) -> None:
    """Once named, another order is under way there: what the position shows proves nothing of this one."""
    now = replace(perp(1_900), orders=(replace(order(3), key="0x" + "ef" * 32),))
    watch.street.created = {"0xa1"} if named else set()
    watch.block(WAITS)
    for _ in range(SILENT_BLOCKS + 1):
        watch.block(now)
    # counted from the plan, or from the block in which it was gone, however often the daemon begins anew
    since = watch.street.number - SILENT_BLOCKS if named else BLOCK.number
    watch.street.number = UNTOLD_S - 2 + (since if named else 0)
    if restarts:
        watch.restarted()
    watch.block(now)
    assert watch.standing() == set(), "not before its time"
    for _ in range(2):
        watch.block(now)
        (told,) = watch.alarms.standing
    assert (told.code, told.subject) == ("order_untold", str(ID))
    words = [f"since block {since}", "explorer", *([ORDER, "log of its end"] if named else ["0xa1 or 0xa2"])]
    assert [word for word in words if word not in told.why] == []
    assert len(watch.street.journal.entries("alarm")) == 1, "said once"
    watch.street.created = {"0xa1"}
    watch.street.number += THEN_BLOCKS
    watch.block(DONE if named else WAITS, [log("OrderExecuted", watch.street.number + 1)] if named else [])
    assert watch.standing() == set()
    assert watch.states()[-1] == ("EXECUTED" if named else "PENDING")


def test_order__its_transaction_left_the_chain_again__is_no_doubt_about_an_order(watch: Watch) -> None:
    watch.street.created, key = set(), plans.plan(position=ID, at=BLOCK).key
    watch.block(perp(1_900))
    watch.street.journal.set_state(key, IntentState.SENT, "a reorganisation took it out", 101)
    watch.street.number = 2 * UNTOLD_S
    watch.block(perp(1_900))
    assert watch.standing() == set()


def test_order__its_receipt_is_missing__is_asked_for_at_once_by_all_hashes_and_later_now_and_then(
    watch: Watch,
) -> None:
    watch.street.created = set()
    for _ in range(EACH_BLOCKS):
        watch.block(perp(1_900))
    assert (len(watch.street.receipts), watch.street.together) == (2 * EACH_BLOCKS, 2)
    watch.street.receipts.clear()
    for _ in range(5 * THEN_BLOCKS):
        watch.block(perp(1_900))
    assert watch.street.receipts == ["0xa1", "0xa2"] * 5


def test_order__the_log_of_its_end_is_missing__is_asked_for_now_and_then(watch: Watch) -> None:
    watch.block(WAITS)
    now = replace(perp(1_900), orders=(replace(order(3), key="0x" + "ef" * 32),))
    for _ in range(EACH_BLOCKS + 1):
        watch.block(now)
    assert len(watch.street.asked) == EACH_BLOCKS + 1
    watch.street.asked.clear()
    for _ in range(5 * THEN_BLOCKS):
        watch.block(now)
    assert len(watch.street.asked) == 5


def test_order__the_keeper_breaks_on_what_it_is_told__then_the_photograph_is_taken_and_a_person_told(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.block(WAITS)
    with monkeypatch.context() as broken:
        broken.setattr(OrderFacts, "_ended", lambda *_: 1 / 0)
        for _ in range(2):
            assert watch.block(DONE, [log("OrderExecuted", watch.street.number + 1)]) == ()
            assert watch.shot.position(ID) is not None
        (told,) = watch.alarms.standing
        assert (told.code, "ZeroDivisionError" in told.why, ORDER in told.why) == ("order_untold", True, True)
    watch.block(DONE, [log("OrderExecuted", watch.street.number + 1)])
    assert (watch.standing(), watch.states()[-1]) == (set(), "EXECUTED")


def test_order__the_keeper_breaks_on_its_receipt__then_one_alarm_stands_and_is_not_told_again_and_again(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keeper.daemon.orders.order_events", lambda *_: 1 / 0)
    for _ in range(UNTOLD_S + 5 * THEN_BLOCKS):
        watch.block(perp(1_900))
    assert len(watch.street.journal.entries("alarm")) == 1
    assert "ZeroDivisionError" in watch.alarms.standing[0].why


@pytest.mark.parametrize("word", ["state", "order", "gone_s", "before"])
def test_order__whose_row_of_the_diary_is_damaged__is_found_again_by_its_receipt(
    watch: Watch, word: str
) -> None:
    watch.block(WAITS)
    raw = watch.street.journal._connection.connection.driver_connection
    assert raw is not None
    raw.execute("DROP TRIGGER entry_is_not_updated")
    told = {"state": "PENDONG", "order": None, "gone_s": "1e9x", "before": {"mbrgin": "1"}}[word]
    kept = f"$.{word}", json.dumps(told)
    raw.execute("UPDATE entry SET data = json_set(data, ?, json(?)) WHERE kind = 'order'", kept)
    if told is None:
        raw.execute("UPDATE entry SET data = json_remove(data, '$.order') WHERE kind = 'order'")
    raw.commit()
    watch.restarted()
    watch.block(WAITS)
    watch.block(DONE, [log("OrderExecuted", watch.street.number + 1)])
    assert (watch.states()[-1], watch.standing()) == ("EXECUTED", set())


def test_notice__when_it_breaks__then_the_photograph_is_taken_and_the_others_are_told(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OwnerStops, "tell", lambda *_: 1 / 0)
    monkeypatch.setattr("keeper.daemon.order_notices.untold", lambda *_: "nobody tells")
    watch.block(WAITS)
    assert watch.shot.position(ID) is not None
    assert watch.standing() == {"order_untold"}
    monkeypatch.setattr("keeper.daemon.order_notices.untold", lambda *_: 1 / 0)
    watch.block(WAITS)
    assert watch.shot.position(ID) is not None


def test_facts__made_anew_without_a_slot__end_what_stood_of_it_and_a_hedge_of_its_own_alone(
    watch: Watch,
) -> None:
    other = f"hedge:{ID.chain_id}:{ID.account}:0x01"
    for subject in (str(ID), other):
        for code in ("order_untold", "owner_stop"):
            watch.alarms.raise_alarm(Severity.WARNING, code, subject, "in place: it stood; before")
    hedge = Guarded(label="h", policy=perps.POLICY, venue_id="h", id=replace(ID, venue="hedge", key="0x02"))
    with_orders(watch.street, watch.street, watch.street.journal, [hedge], watch.alarms)
    assert len(watch.alarms.standing) == 4
    with_orders(watch.street, watch.street, watch.street.journal, [], watch.alarms)
    assert [(a.code, a.subject) for a in watch.alarms.standing] == [("order_untold", other)]
