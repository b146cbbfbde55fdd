"""How orders end, over a journal and records: by the log, by the position alone, and held to what they were for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from eth_abi.abi import encode

from keeper.clock import ManualClock
from keeper.daemon.facts import Guarded
from keeper.daemon.orders import SILENT_BLOCKS, OrderFacts
from keeper.journal.write import Journal
from keeper.model import (
    AddMargin,
    Amount,
    Attempt,
    Block,
    Fee,
    IntentState,
    Outcome,
    Perp,
    Plan,
    Snapshot,
)
from keeper.notify.alarm import Alarms
from keeper.seams import Priority, Venue
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
            return {"logs": [log("OrderCreated", self.number)]} if params == ["0xa1"] else None
        return self.logs

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        raise AssertionError("nothing is sent here")


@dataclass
class Watch:
    """One followed order, block by block."""

    street: Street
    alarms: Alarms
    facts: OrderFacts

    def block(self, now: Perp, logs: Sequence[dict[str, object]] = ()) -> tuple[Outcome, ...]:
        self.street.number += 1
        self.street.perp, self.street.logs = now, list(logs)
        at = replace(BLOCK, number=self.street.number, timestamp_s=BLOCK.timestamp_s + self.street.number)
        venue = GmxV2(slot())
        return asyncio.run(self.facts.take(at, {venue.id: venue}))[1]

    def restarted(self) -> None:
        self.facts = facts(self.street, self.alarms)

    def states(self) -> list[str]:
        return [str(e.data["state"]) for e in self.street.journal.entries("order")]

    def standing(self) -> set[str]:
        return {a.code for a in self.alarms.standing}


def facts(street: Street, alarms: Alarms) -> OrderFacts:
    guarded = Guarded(label="long", policy=perps.POLICY, venue_id=GmxV2(slot()).id, id=ID)
    return OrderFacts(street, street, street.journal, [guarded], alarms)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """An order of a top-up that was signed twice: the first bytes were mined, and nobody noticed until a restart."""
    clock = ManualClock(1_000_000.0)
    with Journal.open(tmp_path / "journal.sqlite", clock) as journal:
        made = replace(plans.plan(position=ID, at=BLOCK), steps=(TOP_UP,), strategy="add_margin")
        journal.open_intent(made)
        for n in (1, 2):
            fee = Fee(gas_limit=1, max_fee_wei=n, tip_wei=n)
            journal.add_attempt(
                Attempt(
                    key=made.key, nonce=1, n=n, raw=b"x", hash=f"0xa{n}", fee=fee, sent_block=BLOCK.number
                ),
                WALLET,
            )
        journal.record_outcome(
            Outcome(
                key=made.key,
                state=IntentState.INCLUDED,
                block_number=BLOCK.number,
                tx_hash="0xa1",
                gas_used=1,
                gas_price_wei=1,
                health_after_wad=None,
                promised_min_wad=0,
                surprise="",
            ),
            BLOCK.hash,
        )
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
