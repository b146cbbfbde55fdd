"""How often mined transactions are asked for: young and open ones every block, old ones ever more rarely."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.chain.line import HeadKind
from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.daemon.pace import STEP_BLOCKS_MAX, Pace, paced
from keeper.errors import Broken
from keeper.journal.write import Journal
from keeper.model import Attempt, Block, Intent, IntentState, Outcome
from keeper.transaction.send import Live
from keeper.units import WAD
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, WALLET, block, plan, snapshot
from tests.virtual_time import run, virtual

pytestmark = pytest.mark.unit
RECEIPT = "eth_getTransactionReceipt"
OUTCOME = Outcome(
    key=plan(1).key,
    state=IntentState.REPLACED,
    block_number=1,
    tx_hash=None,
    gas_used=0,
    gas_price_wei=0,
    health_after_wad=None,
    promised_min_wad=0,
    surprise="",
)


class House:
    """Journal, chain, sender and a confirmation that looks through a pace."""

    def __init__(self, home: Path) -> None:
        self.journal = Journal.open(home / "journal.sqlite", ManualClock(1.0))
        self.chain = ChainDouble()
        self.live = Live(self.journal, self.chain, FakeSigner())
        self.pace = Pace()
        self.confirmation = Confirmation(paced(self.journal, self.pace), self.chain, self.live, WALLET)
        self.journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")

    def act(self, seq: int = 1) -> None:
        at = self.chain.head
        wanted = plan(seq, at=at)
        made = run(self.live.act(wanted, snapshot(at, nonce=self.chain.nonce)))
        assert isinstance(made, Attempt)

    def tend(self) -> int:
        """One tending at the head; how many receipts it asked for."""
        at, nonce = self.chain.head, self.chain.nonce
        self.chain.calls.clear()
        self.pace.begin(at, nonce)
        taken = snapshot(at, nonce=nonce, health_wad=WAD * 13 // 10)
        run(self.confirmation.tend(at, taken))
        self.pace.tended(self.pace.begun)
        return self.chain.calls.count(RECEIPT)

    def blocks(self, count: int) -> list[int]:
        """Receipts asked for in each of the next blocks."""
        asked = []
        for _ in range(count):
            self.chain.mine(empty=True)
            asked.append(self.tend())
        return asked

    @property
    def state(self) -> IntentState:
        found = self.journal.intent(plan(1).key)
        assert found is not None
        return found.state


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.journal.close()


def included(house: House) -> None:
    house.act()
    house.chain.mine()
    assert house.tend() == 1


def test_tend__when_a_transaction_grows_old__then_asked_at_doubling_intervals_until_final(
    house: House,
) -> None:
    included(house)
    asked = house.blocks(70)
    at = [depth for depth, n in enumerate(asked, 1) if n]
    # young until it is settled; then after 1, 2, 4, 8 and every 16 blocks
    assert at == [1, 2, 3, 4, 6, 10, 18, 34, 50, 66]
    assert house.state is IntentState.FINAL


def test_tend__when_finality_stands_still__then_asked_ever_more_rarely_and_at_once_when_it_moves(
    house: House,
) -> None:
    house.chain.finalized = 50
    included(house)
    asked = house.blocks(600)
    at = [depth for depth, n in enumerate(asked, 1) if n]
    assert at[10:] == [82, 102, 127, 158, 197, 246, 307, 383, 478, 597]
    assert house.state is IntentState.SETTLED
    house.chain.reorg(3)
    assert house.tend() == 1
    house.chain.finalized = 101
    run(house.pace.learn(house.chain))
    assert house.blocks(1) == [1]
    assert house.state is IntentState.FINAL


def test_tend__when_the_chain_says_that_it_is_final__then_asked_and_sealed_in_that_block(
    house: House,
) -> None:
    included(house)
    house.blocks(20)
    assert house.blocks(1) == [0]
    house.chain.finalized = 110
    run(house.pace.learn(house.chain))
    assert house.blocks(1) == [1]
    assert house.state is IntentState.FINAL


@virtual
async def test_learn_beside__when_nothing_old_is_followed__then_nobody_is_asked() -> None:
    chain, pace = ChainDouble(), Pace()
    pace.learn_beside(chain)
    await asyncio.sleep(0)
    assert chain.calls == []
    _due(pace, block(110))
    pace.learn_beside(chain)
    pace.learn_beside(chain)
    await asyncio.sleep(0)
    assert chain.calls == ["eth_getBlockByNumber"]


def test_learn__when_nobody_answers__then_no_harm(house: House) -> None:
    included(house)
    house.blocks(20)
    house.chain.dead.add("eth_getBlockByNumber")
    run(house.pace.learn(house.chain))
    assert house.blocks(1) == [0]


def test_tend__when_something_is_open__then_that_is_asked_every_block_beside_the_old(house: House) -> None:
    included(house)
    house.blocks(20)
    house.act(2)
    assert all(n >= 1 for n in house.blocks(6))


def test_tend__when_a_reorganisation_takes_it_back_late__then_the_first_block_after_it_sees_that(
    house: House,
) -> None:
    included(house)
    house.blocks(20)
    assert house.state is IntentState.SETTLED
    assert house.blocks(1) == [0]
    house.chain.reorg(22)
    assert house.tend() >= 1
    assert house.state.open


def test_tend__when_the_heads_had_a_gap__then_everything_is_asked_again(house: House) -> None:
    included(house)
    house.blocks(20)
    assert house.blocks(1) == [0]
    house.pace.reset()
    assert house.blocks(3) == [1, 1, 0]


def _intent(number: int = 100) -> Intent:
    return Intent(key=plan(1).key, plan=plan(1), state=IntentState.SETTLED)


def _due(pace: Pace, at: Block, nonce: int = 5) -> bool:
    pace.begin(at, nonce)
    due = pace.due(_intent(), 100)
    assert pace.due(_intent(), 100) is due
    pace.tended(pace.begun)
    return due


def test_pace__when_the_nonce_falls__then_due_at_once() -> None:
    pace = Pace()
    due = [_due(pace, block(n)) for n in range(110, 118)]
    assert due == [True, True, False, True, False, False, False, True]
    assert not _due(pace, block(118))
    assert _due(pace, block(119), nonce=4)


@pytest.mark.parametrize(
    ("after", "due"),
    [
        (block(119), False),
        (replace(block(119), parent_hash=block(118, fork=1).hash), True),
        (block(118, fork=1), True),
        (block(117, fork=1), True),
        (block(122), False),
    ],
    ids=["child", "other parent", "same height", "lower", "skipped"],
)
def test_pace__when_the_next_block_is_not_built_on_the_last__then_due_at_once(
    after: Block, due: bool
) -> None:
    pace = Pace()
    for n in range(110, 119):
        _due(pace, block(n))
    assert _due(pace, after) is due


def test_pace__when_it_is_reset_half_way__then_this_block_goes_on_as_it_began() -> None:
    pace = Pace()
    for n in range(110, 112):
        assert _due(pace, block(n))
    assert not _due(pace, block(112))
    pace.reset()
    assert not pace.due(_intent(), 100)
    assert _due(pace, block(113))


def test_pace__when_blocks_after_a_reorganisation_have_no_photograph__then_still_due_until_tendings_looked() -> (
    None
):
    pace = Pace()
    for n in range(110, 114):
        _due(pace, block(n))
    pace.told(HeadKind.REORG)
    for n in range(114, 119):
        pace.begin(block(n), 5)
        assert pace.due(_intent(), 100), "asked what is due, and then no endpoint could be read"
    assert [_due(pace, block(n)) for n in (119, 120)] == [True, True]
    assert not all(_due(pace, block(n)) for n in (121, 122))


def test_pace__when_ticks_skip_blocks__then_the_interval_is_still_in_blocks() -> None:
    pace = Pace()
    due = [n for n in range(110, 110 + 40 * 10, 10) if _due(pace, block(n))]
    assert due[:4] == [110, 120, 130, 140]
    # the block in which it was included is 100
    late = [b - a - 10 - max(STEP_BLOCKS_MAX, (a - 100) // 4) for a, b in itertools.pairwise(due)]
    assert len(late) > 8
    assert max(late) <= 0


def test_pace__when_the_same_block_is_begun_again__then_what_was_due_still_is() -> None:
    pace = Pace()
    for n in range(110, 112):
        assert _due(pace, block(n))
    assert not _due(pace, block(112))
    # the few of a block were looked at, and now all of it
    assert _due(pace, block(113))
    assert _due(pace, block(113))


class Tending:
    """Tendings that end when they are told to, and blocks that come when they are told to."""

    def __init__(self) -> None:
        self.pace, self.newer, self.ends = Pace(), asyncio.Event(), asyncio.Event()
        self.begun = self.ended = 0

    async def waits(self) -> None:
        await self.newer.wait()

    async def tend(self) -> tuple[Outcome, ...]:
        self.begun += 1
        await self.ends.wait()
        self.ended += 1
        return (OUTCOME,)


@virtual
async def test_unless_newer__when_a_newer_block_waits__then_it_goes_on_and_is_told_with_a_later_one() -> None:
    made = Tending()
    made.pace.newer = made.waits
    made.newer.set()
    assert await made.pace.unless_newer(made.tend()) == ()
    assert (made.pace.late, made.begun, made.ended) == (True, 1, 0)
    assert await made.pace.caught_up() == ()
    made.newer.clear()
    waiting = asyncio.ensure_future(made.pace.caught_up())
    await asyncio.sleep(0)
    made.ends.set()
    assert await waiting == (OUTCOME,)
    assert (made.pace.late, made.ended) == (False, 1)
    assert await made.pace.caught_up() == ()


@virtual
async def test_unless_newer__when_no_newer_block_comes__then_its_outcomes_at_once() -> None:
    made = Tending()
    made.pace.newer = made.waits
    made.ends.set()
    assert await made.pace.unless_newer(made.tend()) == (OUTCOME,)
    assert not made.pace.late


@virtual
async def test_quiet__when_a_plan_depends_on_it__then_waited_for_though_a_newer_block_waits() -> None:
    made = Tending()
    made.pace.newer = made.waits
    made.newer.set()
    assert await made.pace.unless_newer(made.tend()) == ()
    made.ends.set()
    assert await made.pace.quiet() == (OUTCOME,)
    assert await made.pace.quiet() == ()


@virtual
async def test_behind__when_the_daemon_ends__then_nothing_of_it_runs_on() -> None:
    made = Tending()
    made.pace.newer = made.waits
    made.newer.set()
    await made.pace.unless_newer(made.tend())
    made.pace.drop()
    with pytest.raises(asyncio.CancelledError):
        await made.pace.quiet()
    assert made.ended == 0


@virtual
async def test_behind__when_it_broke__then_the_next_block_is_told() -> None:
    made = Tending()
    made.pace.newer = made.waits
    made.newer.set()

    async def breaks() -> tuple[Outcome, ...]:
        await made.ends.wait()
        raise Broken("an invariant failed")

    assert await made.pace.unless_newer(breaks()) == ()
    made.ends.set()
    await asyncio.sleep(0)
    with pytest.raises(Broken, match="an invariant"):
        await made.pace.caught_up()


def test_moved__when_the_chain_took_something_back__then_until_two_tendings_of_blocks_begun_since(
    house: House,
) -> None:
    pace = house.pace

    def begun(number: int, parent: int, nonce: int = 5) -> bool:
        at = replace(block(number), hash=f"0x{number:064x}", parent_hash=f"0x{parent:064x}")
        pace.begin(at, nonce)
        moved = pace.moved
        pace.tended(pace.begun)
        return moved

    assert [begun(9, 8), begun(10, 9), begun(11, 10)] == [True, True, False], (
        "nobody has looked since the start"
    )
    assert not begun(14, 13), "heads that were skipped are the line's to compare"
    assert [begun(15, 99), begun(16, 15), begun(17, 16)] == [True, True, False]
    assert [begun(18, 17, nonce=4), begun(19, 18), begun(20, 19)] == [True, True, False]
    assert [begun(21, 7), begun(22, 21), begun(23, 22)] == [True, True, False]
    # a line tells of it before the block that shows it is begun
    held = pace.begun
    pace.told(HeadKind.REORG)
    for _ in range(3):
        pace.tended(held)
    assert pace.moved, "what was tended is older than the move"
    assert [begun(25, 24), begun(26, 25), begun(27, 26)] == [True, True, False]
    for kind in set(HeadKind) - {HeadKind.REORG}:
        pace.told(kind)
    pace.reset()
    assert not pace.moved, "neither a gap nor a tending that failed moves a chain"
