"""Which transaction created an order: any attempt of its plan, whichever was mined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode

from keeper.clock import ManualClock
from keeper.daemon.facts import Guarded
from keeper.daemon.orders import OrderFacts, _hashes
from keeper.errors import Transient
from keeper.journal.write import Journal
from keeper.model import Attempt, Fee, Intent, IntentState, Outcome, PlaceStop, Plan
from keeper.venues.gmx_v2 import GmxV2, events
from tests.loop_double import GivenFacts, heard
from tests.perps import GRANTED, POLICY, perp, position, slot, world
from tests.plans import WALLET, plan

pytestmark = pytest.mark.unit
VENUE, ID = GmxV2(slot()), position(perp(2_000)).id
ORDER = "0x" + "ab" * 32
HASHES = ("0x" + "01" * 32, "0x" + "02" * 32)


class Receipts:
    """A chain that knows receipts only: hash -> receipt, None, or why it does not answer."""

    def __init__(self, told: dict[str, object]) -> None:
        self.told, self.asked = told, list[str]()

    async def request(self, method: str, params: Any, **_: Any) -> object:
        """One receipt."""
        assert method == "eth_getTransactionReceipt"
        self.asked.append(params[0])
        found = self.told.get(params[0])
        if isinstance(found, Exception):
            raise found
        return found

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """Nothing is sent here."""
        raise AssertionError(raw)


def created() -> dict[str, object]:
    """The receipt of a transaction that created the order."""
    kinds = ["address", "string", events._DATA]
    data = encode(kinds, [WALLET, "OrderCreated", [([], [])] * 7])
    topics = [events.LOG2, events.named("OrderCreated"), ORDER, "0x" + "00" * 12 + WALLET[2:]]
    return {"logs": [{"address": VENUE.slot.emitter, "topics": topics, "data": "0x" + data.hex()}]}


def mined(home: Path, known: str | None) -> Journal:
    """A journal with a plan that leaves a stop, signed twice and mined; ``known``: as which, where that was told."""
    journal = Journal.open(home / "journal.sqlite", ManualClock(1.0))
    step = PlaceStop(amount=GRANTED, size_usd=1, trigger_price=1, worst_price=1, fee_wei=1)
    made = replace(plan(position=ID), steps=(step,))
    journal.adopt_nonce(ID.chain_id, WALLET, 0, "test")
    journal.open_intent(made)
    fee = Fee(gas_limit=300_000, max_fee_wei=10**10, tip_wei=10**9)
    for n, tx_hash in enumerate(HASHES):
        raw = tx_hash.encode()
        journal.add_attempt(
            Attempt(key=made.key, nonce=0, n=n, raw=raw, hash=tx_hash, fee=fee, sent_block=100), WALLET
        )
    journal.record_outcome(included(made, known))
    return journal


def included(made: Plan, known: str | None) -> Outcome:
    """What confirmation tells of it."""
    return Outcome(
        key=made.key,
        state=IntentState.INCLUDED,
        block_number=101,
        tx_hash=known,
        gas_used=1,
        gas_price_wei=1,
        health_after_wad=None,
        promised_min_wad=0,
        surprise="",
    )


def facts(journal: Journal, chain: Receipts) -> OrderFacts:
    """A daemon that starts anew on that journal."""
    guarded = Guarded(label="short", policy=POLICY, venue_id=VENUE.id, id=ID)
    return OrderFacts(GivenFacts(), chain, journal, [guarded], heard())


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.asyncio
async def test_order__when_the_daemon_starts_anew__then_the_receipt_of_every_attempt_is_asked_for(
    tmp_path: Path, which: int
) -> None:
    chain = Receipts({HASHES[which]: created()})
    with mined(tmp_path, None) as journal:
        made = facts(journal, chain)
        (followed,) = made._open.values()
        named = await made._named(followed, VENUE, world(perp(2_000))[0])
    assert named.order == ORDER
    assert sorted(chain.asked) == sorted(HASHES)


@pytest.mark.asyncio
async def test_order__when_one_attempt_is_not_answered__then_asked_again_unless_the_other_made_it(
    tmp_path: Path,
) -> None:
    silent = Transient("no answer")
    shot = world(perp(2_000))[0]
    with mined(tmp_path, HASHES[0]) as journal:
        unsure = facts(journal, Receipts({HASHES[1]: silent}))
        (followed,) = unsure._open.values()
        with pytest.raises(Transient):
            await unsure._named(followed, VENUE, shot)
        nothing = facts(journal, Receipts({}))
        (followed,) = nothing._open.values()
        assert (await nothing._named(followed, VENUE, shot)).order == ""
        found = facts(journal, Receipts({HASHES[1]: silent, HASHES[0]: created()}))
        (followed,) = found._open.values()
        assert (await found._named(followed, VENUE, shot)).order == ORDER


def test_order__when_its_inclusion_was_told__then_that_attempt_is_asked_first() -> None:
    attempts = tuple(
        Attempt(
            key=plan().key,
            nonce=0,
            n=n,
            raw=b"",
            hash=h,
            fee=Fee(gas_limit=1, max_fee_wei=1, tip_wei=1),
            sent_block=1,
        )
        for n, h in enumerate(HASHES)
    )
    intent = Intent(key=plan().key, plan=plan(), state=IntentState.INCLUDED, why="", attempts=attempts)
    assert _hashes(intent) == HASHES[::-1]
    assert _hashes(intent, HASHES[0]) == HASHES
