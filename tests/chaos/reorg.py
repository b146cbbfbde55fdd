"""Reorganisations of a real node, one to seven blocks deep, some with another transaction under our nonce.

The rooms that spend act on a tally; after every storm each action that was asked for was done once and none is still
under way, the keeper went on acting, and the journal says of each transaction what the chain says.
"""

from __future__ import annotations

from keeper import eventloop
from keeper.errors import Broken, Raced, Transient
from keeper.journal.write import Journal
from keeper.model import IntentState
from keeper.seams import TxFields
from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.chaos.ground import Ground, Hands, ground, hands, signer
from tests.keystores import address_of
from tests.plans import CHAIN_ID

REORGS = 10_000
REORGS_A_UNIT = 25
QUIET_BLOCKS = 16
QUIET_ACTIONS = 3
"""At least so many in the quiet: an action takes a block, one that must be paid more a few; fewest seen: 7."""
SETTLE_BLOCKS = 24
"""After the quiet, for what was asked for last: its deadline, a cancellation, and once more from the start."""
BLOCK_S = 2
INTENTS_MAX = 400
S = IntentState


def storm(on: Ground, many: int) -> Verdict:
    """``many`` reorganisations while a keeper acts, then quiet, then the comparison."""
    return eventloop.run(_storm(on, many))


async def _storm(on: Ground, many: int) -> Verdict:
    counts = {"reorganisations": 0, "planted": 0, "stopped": 0}
    first = on.first
    # mined by the hundred, and yet as far apart as a chain's
    on.chain.rpc("anvil_setBlockTimestampInterval", BLOCK_S)
    async with hands(on, final=False) as keeper:
        while counts["reorganisations"] < many:
            counts["stopped"] += await _tick(on, keeper)
            on.mine()
            if on.rng.random() < 0.5:
                counts["planted"] += await _reorganise(on, keeper.journal)
                counts["reorganisations"] += 1
        known = _asked(keeper.journal)
        for _ in range(QUIET_BLOCKS):
            counts["stopped"] += await _tick(on, keeper)
            on.mine()
        counts["stopped"] += await _settled(on, keeper)
        missed = _missed(on, keeper.journal, known)
        whys = [*missed, *await _compare(on, keeper)]
    counts |= {"actions": on.first - first, "missed": len(missed), "violations": len(whys)}
    return Verdict(counts=counts, failure="; ".join(whys[:3]))


async def _settled(on: Ground, keeper: Hands) -> int:
    """Blocks without a new action until all that was asked for is done and nothing is open; stops on the way."""
    stopped = 0
    for _ in range(SETTLE_BLOCKS):
        # what was given up (replaced, cancelled past its deadline) is undone, and is planned anew
        undone = _undone(on, keeper.journal)
        if not undone and not keeper.journal.open_intents(CHAIN_ID):
            break
        stopped += await _tick(on, keeper, act=bool(undone))
        on.mine()
    return stopped + await _tick(on, keeper, act=False)


def _undone(on: Ground, journal: Journal) -> list[int]:
    """Actions that the chain does not show as done although the journal holds an intent for them."""
    return [k for k in sorted(_asked(journal)) if not on.times(k)]


def _asked(journal: Journal) -> set[int]:
    return {int.from_bytes(i.plan.call.data[4:36]) for i in journal.intents(limit=INTENTS_MAX)}


def _missed(on: Ground, journal: Journal, known: set[int]) -> list[str]:
    """What did not happen: an action that was asked for, the end of an intent, or new actions in the quiet."""
    whys = [f"action {k} was asked for and never done" for k in _undone(on, journal)]
    whys += [f"{i.key} is {i.state} although all was quiet" for i in journal.open_intents(CHAIN_ID)]
    new = [k for k in _asked(journal) - known if on.times(k)]
    if len(new) < QUIET_ACTIONS:
        whys.append(f"{len(new)} new actions were done in {QUIET_BLOCKS} quiet blocks: {new}")
    return whys


async def _tick(on: Ground, keeper: Hands, act: bool = True) -> bool:
    """Whether it stopped for another's transaction under its nonce, which a person then accepts."""
    try:
        await keeper.tick(act=act)
    except (Transient, Raced):
        return False
    except Broken as error:
        if not str(error).startswith("foreign nonce"):
            raise
        used = int(on.chain.rpc("eth_getTransactionCount", address_of(), "latest"), 16)
        keeper.journal.adopt_nonce(CHAIN_ID, address_of(), used, "planted by this very storm")
        return True
    return False


async def _reorganise(on: Ground, journal: Journal) -> int:
    """One reorganisation; now and then another program's transaction takes a nonce of ours in it."""
    depth, planted = min(on.rng.randint(1, 7), int(on.chain.rpc("eth_blockNumber"), 16) - 1), []
    mined = [i for i in journal.followed_intents(CHAIN_ID) if i.attempts]
    head = int(on.chain.rpc("eth_blockNumber"), 16)
    at = [journal.inclusion(i.key) for i in mined]
    deep = [i for i, place in zip(mined, at, strict=True) if place and head - place.block_number < depth]
    if deep and on.rng.random() < 0.3:
        first = min(deep, key=lambda i: i.attempts[-1].nonce).attempts[-1]
        # a self-send with our key that our journal never saw; the signer's self-send rule lets it be made
        foreign = await signer().sign(
            TxFields(
                chain_id=CHAIN_ID, nonce=first.nonce, to=address_of(), data=b"", value_wei=0,
                gas_limit=30_000, max_fee_wei=10**14, tip_wei=10**9,
            )
        )  # fmt: skip
        planted = [["0x" + foreign.raw.hex(), 0]]
    on.chain.rpc("anvil_reorg", depth, planted)
    return len(planted)


async def _compare(on: Ground, keeper: Hands) -> list[str]:
    whys: list[str] = []
    for intent in keeper.journal.intents(limit=INTENTS_MAX):
        found = []
        for attempt in intent.attempts:
            receipt = await keeper.endpoints.request("eth_getTransactionReceipt", [attempt.hash])
            if isinstance(receipt, dict):
                found.append((attempt, int(receipt["blockNumber"], 16), receipt["status"] == "0x1"))
        expected = {S.ABANDONED, S.REPLACED}
        if found:
            attempt, _, ok = found[0]
            expected = (
                {S.CANCELLED} if attempt.cancel else {S.INCLUDED, S.SETTLED, S.FINAL} if ok else {S.REVERTED}
            )
        if len(found) > 1 or (intent.state not in expected and not intent.state.open):
            whys.append(f"{intent.key} is {intent.state}, the chain holds {[(a.n, b) for a, b, _ in found]}")
        if intent.state.open and found:
            whys.append(f"{intent.key} is {intent.state} although block {found[0][1]} holds it")
    asked = _asked(keeper.journal)
    for action in range(on.first, on.first + INTENTS_MAX):
        times = on.times(action)
        if times > 1:
            whys.append(f"action {action} was done {times} times")
        if times and action not in asked:
            whys.append(f"action {action} was done and no intent asked for it")
    on.first = on.first_open()
    return whys


def record_reorgs(counts: Counts, done: int, failures: list[str]) -> None:
    """reorgs, reorg_violations, reorg_missed (of them: not done, or still open), reorg_actions."""
    n, bad, missed = counts.get("reorganisations", 0), counts.get("violations", 0), counts.get("missed", 0)
    actions, least = counts.get("actions", 0), done * QUIET_ACTIONS
    record("reorgs", n, bound=f">= {REORGS}", holds=n >= REORGS, evidence="own_double", n=n)
    record("reorg_violations", bad, bound="= 0", holds=bad == 0, evidence="own_double", n=n)
    record("reorg_missed", missed, bound="= 0", holds=missed == 0, evidence="own_double", n=actions)
    record("reorg_actions", actions, bound=f">= {least}", holds=actions >= least, evidence="own_double", n=n)


def _unit(number: int) -> Verdict:
    # a chain and a journal of its own: what is followed until it is final would be asked for in every later unit
    with ground(number, history=True) as on:
        return storm(on, REORGS_A_UNIT)


REORG = Campaign(name="reorg", units=REORGS // REORGS_A_UNIT, run=_unit, record=record_reorgs, also=())
__all__ = ["REORG", "storm"]
