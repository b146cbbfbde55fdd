"""GMX v2 guarded by a real daemon over the doubles: a crash, a squeeze, and every way in which an order may end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anvil.client import Chain
from anvil.demo import Clock, tell
from anvil.deploy_gmx_v2 import CODE_SIZE_MAX, Gmx, deploy_gmx_v2, orders_of, size_of
from anvil.gmx_keepers import Pair, executed, moved, pair, taken
from anvil.guard import START_S, Guard
from anvil.node import Anvil, AnvilSettings
from anvil.perp_scenario import load_perp_scenario
from anvil.perp_stage import perp_stage
from anvil.report import keep
from anvil.tools import ToolMissing, find_anvil
from keeper.config import load
from keeper.journal.read import Reader
from tests.perp_stage import DEAD, guarded_home
from tests.venue_stage import Guarded, armed, running

GENESIS_S = 1_750_000_000
DOLLARS = (20_000, 2_000)


@pytest.fixture
def node() -> Iterator[Anvil]:
    try:
        find_anvil()
    except ToolMissing as missing:
        pytest.skip(str(missing))
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S, code_size_max=CODE_SIZE_MAX)) as node:
        yield node


@pytest.fixture
def chain(node: Anvil) -> Iterator[Chain]:
    client = Chain(node.url)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def at(chain: Chain) -> Gmx:
    return deploy_gmx_v2(chain)


def states(home: Guarded) -> list[str]:
    """States of orders as journaled, in order."""
    return [str(e.data["state"]) for e in home.entries("order")]


def rescues(home: Guarded, account: str) -> list[str]:
    return home.rescues(account)


@pytest.mark.anvil
def test_story__crash_then_squeeze__guarded_stand_and_their_twins_are_liquidated(tmp_path: Path) -> None:
    story = load_perp_scenario("perp")
    assert story is not None
    with perp_stage(story, tmp_path, mode="live") as on:
        report = tell(on, Clock(), dry_run=False)
        with Reader.open(load(on.config).journal_path) as journal:
            told = [str(e.data["state"]) for e in journal.entries("order", limit=10_000)]
            alarms = {str(e.data["code"]) for e in journal.entries("alarm", limit=10_000)}
    keep(report, ())
    assert report.ok, report
    assert all(x.twin_lost_usd > 0 for x in report.lines)
    done = [verb for x in report.lines for d in x.done for verb, _ in d.steps]
    assert {"addmargin", "reduceperp"} <= set(done)
    # one order a transaction, and each was executed
    assert report.transactions == len(done) == told.count("PENDING") == told.count("EXECUTED")
    assert not alarms & {"order_cancelled", "order_late", "surprise", "unknown"}


def long_home(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx, strategies: tuple[str, ...] = ("add_margin",)
) -> tuple[Pair, Guarded]:
    made = pair(chain, at, chain.accounts[10:12], True, DOLLARS)
    home = guarded_home(tmp_path, node, chain, at, [made], strategies)
    armed(home, {"USDC": "50000"})
    return made, home


def until_ordered(block: Callable[[], Any], chain: Chain, at: Gmx, account: str) -> list[bytes]:
    """Blocks until the account has an order on the venue."""
    for _ in range(6):
        if found := orders_of(chain, at, account):
            return found
        block()
    raise AssertionError("no order came")


@pytest.mark.chaos
def test_order__front_run_by_liquidation__cancelled_and_said(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx
) -> None:
    made, home = long_home(tmp_path, node, chain, at)
    with running(home) as block:
        moved(chain, at, 1_905)
        block()
        until_ordered(block, chain, at, made.guarded)
        moved(chain, at, 1_780)
        block()
        taken(chain, at, [(made.guarded, True)])
        block()
        executed(chain, at, [made.guarded])
        block()
        block()
    assert size_of(chain, at, made.keys[0]) == DEAD
    assert states(home)[-1] == "CANCELLED"
    assert "liquidated before" in home.entries("order")[-1].why
    assert "order_cancelled" in {code for code, _ in home.alarms()}


@pytest.mark.chaos
def test_order__too_late_to_cure__cancelled_by_the_venue_and_a_larger_one_follows(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx
) -> None:
    made, home = long_home(tmp_path, node, chain, at)
    with running(home) as block:
        moved(chain, at, 1_905)
        block()
        until_ordered(block, chain, at, made.guarded)
        moved(chain, at, 1_760)
        block()
        executed(chain, at, [made.guarded])
        block()
        for _ in range(6):
            executed(chain, at, [made.guarded])
            block()
    assert states(home).count("CANCELLED") >= 1
    assert "LiquidatablePosition" in "".join(e.why for e in home.entries("order"))
    assert states(home)[-1] == "EXECUTED"
    assert size_of(chain, at, made.keys[0]) != DEAD
    assert home.rescues(made.guarded)[-1] == "add_margin"


@pytest.mark.chaos
def test_order__nobody_executes_it__taken_back_and_issued_anew(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx
) -> None:
    made, home = long_home(tmp_path, node, chain, at)
    with running(home) as block:
        moved(chain, at, 1_905)
        block()
        (first,) = until_ordered(block, chain, at, made.guarded)
        chain.rpc("evm_increaseTime", 400)
        for _ in range(6):
            moved(chain, at, 1_905)
            block()
        second = orders_of(chain, at, made.guarded)
        executed(chain, at, [made.guarded])
        block()
        block()
    assert first not in second
    assert len(second) == 1
    assert states(home) == ["PENDING", "TIMEOUT", "CANCELLED", "PENDING", "EXECUTED"]
    assert "order_late" in {code for code, _ in home.alarms()}


@pytest.mark.chaos
def test_daemon__killed_between_creation_and_execution__acts_once(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx
) -> None:
    made, home = long_home(tmp_path, node, chain, at)
    chain.rpc("evm_setAutomine", False)
    with Guard(home.config) as guard:
        guard.caught_up(chain.block().number, within_s=START_S)
        moved(chain, at, 1_905)
        for _ in range(6):
            guard.caught_up(chain.mine().number)
            if orders_of(chain, at, made.guarded):
                break
        waiting = orders_of(chain, at, made.guarded)
        os.kill(guard.pid, signal.SIGKILL)
    assert len(waiting) == 1
    chain.mine()
    with Guard(home.config) as guard:
        guard.caught_up(chain.mine().number, within_s=START_S)
        guard.caught_up(chain.mine().number)
        assert orders_of(chain, at, made.guarded) == waiting
        executed(chain, at, [made.guarded])
        for _ in range(3):
            guard.caught_up(chain.mine().number)
    chain.rpc("evm_setAutomine", True)
    assert orders_of(chain, at, made.guarded) == []
    assert home.rescues(made.guarded) == ["add_margin"]
    assert states(home) == ["PENDING", "EXECUTED"]
    assert size_of(chain, at, made.keys[0])[2] > size_of(chain, at, made.keys[1])[2]


@pytest.mark.chaos
def test_stop__daemon_dead__the_venue_closes_the_position_before_liquidation(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx
) -> None:
    made, home = long_home(tmp_path, node, chain, at, ("add_margin", "stop_on_venue"))
    with running(home) as block:
        block()
        until_ordered(block, chain, at, made.guarded)
        block()
    (stop,) = orders_of(chain, at, made.guarded)
    chain.send(chain.accounts[0], at.wnt_feed, "set(int256)", 1_845 * 10**8)
    chain.rpc("evm_setAutomine", True)
    executed(chain, at, [made.guarded])
    chain.mine()
    assert size_of(chain, at, made.keys[0]) == DEAD
    assert size_of(chain, at, made.keys[1]) != DEAD
    assert orders_of(chain, at, made.guarded) == []
    assert stop
