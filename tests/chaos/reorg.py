"""Reorganisations of a real node, one to seven blocks deep, some with another transaction under our nonce.

The rooms that spend act on a tally; after every storm each action was done once, and the journal says of each
transaction what the chain says.
"""

from __future__ import annotations

import asyncio

from keeper.chain.endpoints import Endpoints
from keeper.chain.head import latest
from keeper.clock import SystemClock
from keeper.confirmation import Confirmation
from keeper.errors import Raced, Transient
from keeper.journal.recover import recover
from keeper.journal.write import Journal
from keeper.model import IntentState
from keeper.seams import TxFields
from keeper.signer.key import Key
from keeper.signer.local import LocalSigner
from keeper.signer.policy import SigningPolicy
from keeper.transaction.send import Live
from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.chaos.kill9 import CALL, Ground, _next_action, _plan, _settings, _snapshot, ground
from tests.keystores import CANARY, address_of
from tests.plans import CHAIN_ID, position_id

REORGS = 10_000
REORGS_A_UNIT = 25
QUIET_BLOCKS = 16
S = IntentState


def storm(on: Ground, many: int) -> Verdict:
    """``many`` reorganisations while a keeper acts, then quiet, then the comparison."""
    return asyncio.run(_storm(on, many))


async def _storm(on: Ground, many: int) -> Verdict:
    clock, address = SystemClock(), address_of()
    endpoints = await Endpoints.open(_settings(on.node.url), clock, lambda event: None)
    path = on.folder / "journal.sqlite"
    fresh = not path.exists()
    try:
        with Journal.open(path, clock) as journal:
            if fresh:
                journal.adopt_nonce(CHAIN_ID, address, 0, "nobody else uses this key")
            policy = SigningPolicy(chain_id=CHAIN_ID, address=address, calls=(CALL,), fee_wei_max=10**20)
            signer = LocalSigner(Key(CANARY), policy)
            live = Live(journal, endpoints, signer)
            confirmation = Confirmation(journal, endpoints, live, address)
            await recover(journal, endpoints, clock, CHAIN_ID, address)
            rooms = (endpoints, journal, live, confirmation)
            reorgs = planted = 0
            while reorgs < many:
                await _tick(on, rooms, address)
                on.mine()
                if on.rng.random() < 0.5:
                    planted += await _reorganise(on, journal, signer)
                    reorgs += 1
            for _ in range(QUIET_BLOCKS):
                await _tick(on, rooms, address)
                on.mine()
            await _tick(on, rooms, address, act=False)
            whys = await _compare(on, endpoints, journal)
    finally:
        await endpoints.close()
    counts = {"reorganisations": reorgs, "planted": planted, "violations": len(whys)}
    return Verdict(counts=counts, failure="; ".join(whys[:3]))


async def _tick(
    on: Ground, rooms: tuple[Endpoints, Journal, Live, Confirmation], address: str, act: bool = True
) -> None:
    endpoints, journal, live, confirmation = rooms
    try:
        block = await latest(endpoints)
        taken = await _snapshot(endpoints, block, address)
        await confirmation.tend(block, taken)
        if act and not journal.open_intents(CHAIN_ID):
            action = await _next_action(endpoints, block, on.first)
            await live.act(_plan(journal.next_seq(position_id()), block, action), taken)
    except (Transient, Raced):
        return


async def _reorganise(on: Ground, journal: Journal, signer: LocalSigner) -> int:
    """One reorganisation; now and then another program's transaction takes a nonce of ours in it."""
    depth, planted = min(on.rng.randint(1, 7), int(on.chain.rpc("eth_blockNumber"), 16) - 1), []
    mined = [i for i in journal.followed_intents(CHAIN_ID) if i.attempts]
    head = int(on.chain.rpc("eth_blockNumber"), 16)
    at = [journal.inclusion(i.key) for i in mined]
    deep = [i for i, place in zip(mined, at, strict=True) if place and head - place.block_number < depth]
    if deep and on.rng.random() < 0.3:
        first = min(deep, key=lambda i: i.attempts[-1].nonce).attempts[-1]
        # a self-send with our key that our journal never saw; the signer's self-send rule lets it be made
        foreign = await signer.sign(
            TxFields(
                chain_id=CHAIN_ID, nonce=first.nonce, to=address_of(), data=b"", value_wei=0,
                gas_limit=30_000, max_fee_wei=10**14, tip_wei=10**9,
            )
        )  # fmt: skip
        planted = [["0x" + foreign.raw.hex(), 0]]
    on.chain.rpc("anvil_reorg", depth, planted)
    return len(planted)


async def _compare(on: Ground, endpoints: Endpoints, journal: Journal) -> list[str]:
    whys, done = [], set()
    for intent in journal.intents(limit=400):
        found = []
        for attempt in intent.attempts:
            receipt = await endpoints.request("eth_getTransactionReceipt", [attempt.hash])
            if isinstance(receipt, dict):
                found.append((attempt, int(receipt["blockNumber"], 16), receipt["status"] == "0x1"))
        expected = {S.ABANDONED, S.REPLACED}
        if found:
            attempt, _, ok = found[0]
            expected = (
                {S.CANCELLED} if attempt.cancel else {S.INCLUDED, S.SETTLED, S.FINAL} if ok else {S.REVERTED}
            )
            done.add(int.from_bytes(intent.plan.call.data[-32:])) if ok and not attempt.cancel else None
        if len(found) > 1 or (intent.state not in expected and not intent.state.open):
            whys.append(f"{intent.key} is {intent.state}, the chain holds {[(a.n, b) for a, b, _ in found]}")
        if intent.state.open and found:
            whys.append(f"{intent.key} is {intent.state} although block {found[0][1]} holds it")
    twice = [k for k in range(on.first, on.first + 400) if on.times(k) > 1]
    whys += [f"action {k} was done {on.times(k)} times" for k in twice]
    while on.times(on.first):
        on.first += 1
    return whys


def record_reorgs(counts: Counts, done: int, failures: list[str]) -> None:
    """reorgs, reorg_violations."""
    n, bad = counts.get("reorganisations", 0), counts.get("violations", 0)
    record("reorgs", n, bound=f">= {REORGS}", holds=n >= REORGS, evidence="own_double", n=n)
    record("reorg_violations", bad, bound="= 0", holds=bad == 0, evidence="own_double", n=n)


def _unit(number: int) -> Verdict:
    # a chain and a journal of its own: what is followed until it is final would be asked for in every later unit
    with ground(number, history=True) as on:
        return storm(on, REORGS_A_UNIT)


REORG = Campaign(name="reorg", units=REORGS // REORGS_A_UNIT, run=_unit, record=record_reorgs)
__all__ = ["REORG", "storm"]
