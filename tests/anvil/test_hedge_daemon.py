"""A hedge with a key of its own: the real daemon, a loan on the real Aave v3.6, GMX's double, flat at first."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anvil.client import Chain
from anvil.deploy_gmx_v2 import orders_of, size_of
from anvil.gmx_keepers import executed
from anvil.guard import START_S
from anvil.node import Anvil
from keeper.cli.adopt import adopt
from keeper.clock import SystemClock
from keeper.daemon.hedges import ARMED
from keeper.daemon.hedging import KIND
from keeper.journal.write import Journal
from keeper.model import HEDGE
from keeper.notify.control import ask
from tests.joint_stage import ETH, Joint, hedge_home, joint
from tests.perp_node import client, own_node
from tests.venue_stage import Guarded, armed, running

USD = 10**30
WAIT_S = 60.0
BLOCKS_MOST = 12
"""In which a rescue is on the chain, on a machine with other work; it takes two."""


@pytest.fixture
def node() -> Iterator[Anvil]:
    with own_node() as made:
        yield made


@pytest.fixture
def chain(node: Anvil) -> Iterator[Chain]:
    with client(node) as made:
        yield made


@pytest.fixture
def at(node: Anvil, chain: Chain) -> Joint:
    return joint(node, chain, flat=True)


def sent(chain: Chain, key: str, count: int) -> None:
    """Wait until the key has sent so many transactions, those in the pool included."""
    deadline_s = time.monotonic() + WAIT_S
    while int(chain.rpc("eth_getTransactionCount", key, "pending"), 16) < count:
        assert time.monotonic() < deadline_s, f"{key} did not send its transaction {count}"
        time.sleep(0.2)


def ordered(at: Joint, key: str, count: int, block: Callable[[], dict[str, Any]]) -> int:
    """The key's next order, created, executed by the venue's keeper and seen; the size after it in dollars."""
    sent(at.chain, key, count)
    block()
    assert len(orders_of(at.chain, at.gmx, at.owner)) == 1
    executed(at.chain, at.gmx, [at.owner])
    block()
    assert orders_of(at.chain, at.gmx, at.owner) == []
    return size_of(at.chain, at.gmx, at.short)[0] // USD


def quiet(at: Joint, key: str, count: int, block: Callable[[], dict[str, Any]]) -> None:
    """Some blocks in which the key sends nothing."""
    for _ in range(2):
        block()
        time.sleep(0.2)
    assert int(at.chain.rpc("eth_getTransactionCount", key, "pending"), 16) == count


def rescues_armed(home: Guarded) -> None:
    """And what the hedge's key has sent before is accepted."""
    armed(home, {"USDC": "5000"})
    asyncio.run(adopt(home.settings, accept=True, actor="test", why="its approval"))


def told(home: Guarded, what: str, within_s: float = WAIT_S) -> str:
    """Wait until the hedge's row says it; the row."""
    deadline_s = time.monotonic() + within_s
    while not (found := [e.why for e in home.entries(KIND) if what in e.why]):
        assert time.monotonic() < deadline_s, [e.why for e in home.entries(KIND)]
        time.sleep(0.2)
    return found[-1]


@pytest.mark.anvil
def test_hedge_with_a_key__from_flat__is_opened_to_its_caps_and_made_smaller_with_the_loan(
    tmp_path: Path, node: Anvil, chain: Chain, at: Joint
) -> None:
    home, key = hedge_home(tmp_path, node, at)
    rescues_armed(home)
    with running(home) as block:
        block()
        dry = told(home, "hedge opens $6,000")
        unarmed = int(chain.rpc("eth_getTransactionCount", key, "pending"), 16)
        answer = asyncio.run(ask(home.settings.control_path, {"do": "arm", "hedge": True}))
        block()
        first = ordered(at, key, 2, block)
        second = ordered(at, key, 3, block)
        # half of the collateral is 10,000 dollars, the caps of the day and of the hedge are 9,000
        quiet(at, key, 3, block)
        chain.rpc("evm_setAutomine", True)
        at.actors.repay(at.owner, "USDC", 8_000 * 10**6)
        at.actors.withdraw(at.owner, "WETH", 5 * ETH)
        chain.rpc("evm_setAutomine", False)
        block()
        less = ordered(at, key, 4, block)
        quiet(at, key, 4, block)
    assert "is signed by nobody until" in dry
    assert (unarmed, answer["ok"]) == (1, True)
    assert any("$6,000 an order" in line and "NOT ARMED" in line for line in answer["lines"])
    assert (first, second) == (6_000, 9_000)
    assert 4_900 <= less <= 5_100
    intents = [i for i in home.intents() if i.key.position.venue == HEDGE]
    assert [i.plan.strategy for i in intents] == ["hedge"] * 3
    assert [e.data["state"] for e in home.entries("order")] == ["PENDING", "EXECUTED"] * 3
    assert len(home.intents()) == len(intents)
    assert {c for c, _ in home.alarms()} & {"hedge_stopped", "hedge_not_sent", "surprise", "stuck"} == set()


@pytest.mark.chaos
@pytest.mark.parametrize("point", ["planned", "signed", "journaled", "broadcast", "sent"])
def test_hedge_with_a_key__killed_at_any_point__orders_exactly_once(
    tmp_path: Path, node: Anvil, chain: Chain, at: Joint, point: str
) -> None:
    home, key = hedge_home(tmp_path, node, at)
    rescues_armed(home)
    with Journal.open(home.settings.journal_path, SystemClock()) as journal:
        journal.set_control(ARMED, home.settings.digest, "test", "hedge")
    chain.rpc("evm_setAutomine", False)
    command = [sys.executable, "-m", "tests.anvil.kill_worker", str(home.config), point]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        deadline_s = time.monotonic() + START_S
        while worker.poll() is None:
            if time.monotonic() > deadline_s:
                worker.kill()
            chain.mine()
            time.sleep(1.0)
    assert worker.returncode == -signal.SIGKILL
    with running(home) as block:
        block()
        # killed before its bytes were durable, it decides anew; after, the same bytes go out again
        size = 0
        deadline_s = time.monotonic() + 2 * WAIT_S
        while size == 0:
            assert time.monotonic() < deadline_s, [(e.kind, e.why) for e in home.entries(KIND)]
            executed(chain, at.gmx, [at.owner])
            block()
            assert len(orders_of(chain, at.gmx, at.owner)) <= 1
            size = size_of(chain, at.gmx, at.short)[0] // USD
            time.sleep(0.2)
        second = ordered(at, key, 3, block)
        quiet(at, key, 3, block)
    assert (size, second) == (6_000, 9_000)
    acted = [i for i in home.intents() if i.key.position.venue == HEDGE and i.attempts]
    assert [i.plan.strategy for i in acted] == ["hedge"] * 2


@pytest.mark.chaos
def test_hedge_with_a_key__while_the_loan_is_below_its_trigger__waits_and_the_loan_is_rescued(
    tmp_path: Path, node: Anvil, chain: Chain, at: Joint
) -> None:
    home, key = hedge_home(tmp_path, node, at)
    rescues_armed(home)
    with Journal.open(home.settings.journal_path, SystemClock()) as journal:
        journal.set_control(ARMED, home.settings.digest, "test", "hedge")
    at.moved(1_700)
    chain.mine()
    with running(home) as block:
        for _ in range(BLOCKS_MOST):
            block()
            if (rescued := at.health()) > 1.3:
                break
        size = ordered(at, key, 2, block)
    # it may be ordering more already
    loan, hedge, *_ = home.intents()
    assert (loan.plan.strategy, hedge.plan.strategy) == ("repay", "hedge")
    # ordered only after the block that showed the loan above its trigger again
    included = next(e.block_number for e in home.entries("outcome") if e.subject == str(loan.key))
    assert hedge.plan.block.number >= included > loan.plan.block.number
    assert rescued > 1.3
    assert size == 6_000


@pytest.mark.chaos
def test_hedge_with_a_key__whose_order_nobody_executes_on_a_flat_slot__takes_it_back_and_orders_anew(
    tmp_path: Path, node: Anvil, chain: Chain, at: Joint
) -> None:
    home, key = hedge_home(tmp_path, node, at)
    rescues_armed(home)
    with Journal.open(home.settings.journal_path, SystemClock()) as journal:
        journal.set_control(ARMED, home.settings.digest, "test", "hedge")
    with running(home) as block:
        block()
        sent(chain, key, 2)
        block()
        (first,) = orders_of(chain, at.gmx, at.owner)
        block()
        at.moved(2_000)
        chain.mine(chain.block().timestamp_s + 400)
        for count in (3, 4):
            for _ in range(8):
                block()
                if int(chain.rpc("eth_getTransactionCount", key, "pending"), 16) >= count:
                    break
                time.sleep(1.0)
            told = [(e.kind, e.why, e.data) for kind in (KIND, "order") for e in home.entries(kind)]
            assert int(chain.rpc("eth_getTransactionCount", key, "pending"), 16) == count, told
            block()
        found = orders_of(chain, at.gmx, at.owner)
        block()
    assert len(found) == 1
    assert first not in found
    assert [e.data["state"] for e in home.entries("order")] == ["PENDING", "TIMEOUT", "CANCELLED", "PENDING"]
    assert any("takes_back" in e.data for e in home.entries(KIND))
    assert "hedge_not_sent" not in {c for c, _ in home.alarms()}
