"""Chains without a mempool: the same bytes again and again, dearer ones only behind the base fee."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.daemon.unpooled import Unpooled
from keeper.journal.write import Journal
from keeper.model import Intent, IntentState
from keeper.transaction.send import Live
from keeper.units import GWEI, WAD
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, WALLET, plan, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit


class House:
    """A sequencer that forgets what it was sent, and a confirmation that presses."""

    def __init__(self, home: Path, *, pooled: bool = False, urgent: bool = True) -> None:
        self.journal = Journal.open(home / "journal.sqlite", ManualClock(1.0))
        self.journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        self.chain = ChainDouble()
        live = Live(self.journal, self.chain, FakeSigner())
        lane = live if pooled else Unpooled(live, self.journal)
        self.confirmation = Confirmation(self.journal, self.chain, lane, WALLET)
        self.chain.swallow = True
        at = self.chain.head
        run(live.act(plan(at=at, urgent=urgent), snapshot(at)))

    def block(self, base_gwei: int = 10) -> None:
        at = self.chain.mine(base_fee_wei=base_gwei * GWEI)
        taken = snapshot(at, nonce=self.chain.nonce, health_wad=WAD * 13 // 10)
        run(self.confirmation.tend(at, taken))

    @property
    def intent(self) -> Intent:
        found = self.journal.intent(plan().key)
        assert found is not None
        return found


def test_press__when_the_sequencer_forgets_an_urgent_one__then_the_same_bytes_every_block(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    for _ in range(5):
        house.block()
    assert len(house.intent.attempts) == 1
    assert set(house.chain.sent) == {house.intent.attempts[0].raw}
    assert len(house.chain.sent) >= 6
    assert house.confirmation.troubles == {}
    house.chain.swallow = False
    house.block()
    house.block()
    assert house.intent.state is IntentState.INCLUDED


def test_press__when_the_chain_has_a_mempool__then_the_fee_rises_instead(tmp_path: Path) -> None:
    house = House(tmp_path, pooled=True)
    for _ in range(5):
        house.block()
    assert len(house.intent.attempts) == 6


def test_press__when_the_base_fee_has_left_it_behind__then_raised_all_the_same(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.block(base_gwei=60)
    assert [a.n for a in house.intent.attempts] == [0, 1]
    assert house.intent.attempts[1].fee.max_fee_wei > 60 * GWEI
    house.block(base_gwei=60)
    assert len(house.intent.attempts) == 2


def test_press__when_the_sequencer_is_down__then_that_is_a_trouble_and_nothing_is_signed(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    house.chain.dead.add("eth_sendRawTransaction")
    house.block()
    assert len(house.intent.attempts) == 1
    assert "not_taken" in house.confirmation.troubles[plan().key]


def test_press__when_its_time_is_over__then_cancelled_as_elsewhere(tmp_path: Path) -> None:
    house = House(tmp_path)
    for _ in range(11):
        house.block()
    assert house.intent.attempts[-1].cancel
