"""GMX v2 guarded by a real daemon over the doubles: a crash, a squeeze, and every way in which an order may end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from anvil.client import Chain
from anvil.demo import Clock, tell
from anvil.deploy_gmx_v2 import Gmx, deploy_gmx_v2, orders_of, size_of
from anvil.gmx_keepers import Pair, executed, moved, pair, taken
from anvil.guard import START_S, Guard
from anvil.node import Anvil
from anvil.perp_scenario import load_perp_scenario
from anvil.perp_stage import PerpStage, perp_stage
from anvil.report import keep
from keeper.cli.adopt import adopt
from keeper.config import load
from keeper.inspection import inspect
from keeper.journal.read import Reader
from tests.bench.figures import record
from tests.perp_node import client, own_node
from tests.perp_stage import DEAD, guarded_home
from tests.venue_stage import Guarded, armed

DOLLARS = (20_000, 2_000)
ENDS = 9
"""Ways in which an order may end, or the daemon while it waits, that are played below."""


@pytest.fixture
def node() -> Iterator[Anvil]:
    with own_node() as made:
        yield made


@pytest.fixture
def chain(node: Anvil) -> Iterator[Chain]:
    with client(node) as made:
        yield made


@pytest.fixture
def at(chain: Chain) -> Gmx:
    return deploy_gmx_v2(chain)


@pytest.fixture(scope="module")
def handled(request: pytest.FixtureRequest) -> Iterator[set[str]]:
    """Names of the tests that saw an order through to its end; a figure where all were asked for."""
    seen: set[str] = set()
    yield seen
    asked = [i for i in request.session.items if "handled" in getattr(i, "fixturenames", ())]
    if len(asked) == ENDS:
        record(
            "perp_orders_handled",
            len(seen),
            unit="ways",
            bound=f"= {ENDS}: cancelled, frozen, late, front-run, killed between creation and execution",
            holds=len(seen) == ENDS,
            evidence="own_double",
            n=ENDS,
        )


def with_own(on: PerpStage) -> PerpStage:
    """The story with its long on the keeper's own account, which orders by GMX's ExchangeRouter, granted nothing."""
    wallet, before = str(load(on.config).wallet.address), on.pairs[0]
    on.chain.rpc("anvil_impersonateAccount", wallet)
    mine = pair(on.chain, on.at, (wallet, on.chain.accounts[40]), True, DOLLARS, before.label)
    on.chain.rpc("anvil_stopImpersonatingAccount", wallet)
    text = on.config.read_text().replace(before.guarded, wallet)
    on.config.write_text(text.replace(on.at.subaccounts, on.at.exchange, 1))
    # what the owner sent with his key before the keeper had it
    asyncio.run(adopt(load(on.config), accept=True, actor="test", why="the owner opened his position"))
    return replace(on, pairs=(mine, *on.pairs[1:]))


@pytest.mark.anvil
def test_story__crash_then_squeeze__guarded_stand_and_their_twins_are_liquidated(tmp_path: Path) -> None:
    """The long is the wallet's own account's, the short one whose owner granted the wallet orders."""
    story = load_perp_scenario("perp")
    assert story is not None
    long, short = story.position
    # enough for a part of each: what is left must come out of the positions
    half = replace(story, keeper_usdc=980, position=(long, replace(short, size_usd=10_000, margin_usd=1_000)))
    with perp_stage(half, tmp_path, mode="live") as bare:
        on = with_own(bare)
        lacks = {f.code for f in asyncio.run(inspect(load(on.config)))}
        assert not lacks & {
            "contract",
            "grant_missing",
            "own_account",
            "not_account",
            "not_subaccount",
            "policy_measure",
        }
        report = tell(on, Clock(), dry_run=False)
        with Reader.open(load(on.config).journal_path) as journal:
            told = [str(e.data["state"]) for e in journal.entries("order", limit=10_000)]
            alarms = {str(e.data["code"]) for e in journal.entries("alarm", limit=10_000)}
            sent = [i for i in journal.intents() if i.attempts and not str(i.key).startswith("grant:")]
    keep(report, ())
    assert report.ok, report.lines
    verbs = [{verb for d in x.done for verb, _ in d.steps} for x in report.lines]
    assert verbs == [{"addmargin", "reduceperp"}] * 2
    by_router = {(i.key.position.account, str(i.plan.call.target)) for i in sent}
    assert by_router == {
        (p.guarded, r) for p, r in zip(on.pairs, (on.at.exchange, on.at.subaccounts), strict=True)
    }
    assert all(x.twin_lost_usd > 0 for x in report.lines)
    done = [verb for x in report.lines for d in x.done for verb, _ in d.steps]
    # one order a transaction, and each was executed
    assert report.transactions == len(done) == told.count("PENDING") == told.count("EXECUTED")
    assert not alarms & {"order_cancelled", "order_late", "surprise", "unknown"}


BLOCKS_MOST = 12
"""In which the keeper has done what it is to do, on a machine with other work; it takes two or three."""
LOW = 1_905
"""Below trigger, and far above liquidation."""
FAR_BELOW = ((16 * 10**14,) * 2, (16 * 10**14,) * 2, (10**24,) * 2)
"""Signed prices with ETH at 1,600: a stop is met, and filled worse than it allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One guarded long, its live keeper, and the venue's keepers."""

    home: Guarded
    made: Pair
    chain: Chain
    at: Gmx

    @contextmanager
    def awake(self, *, killed: bool = False) -> Iterator[Callable[[], Any]]:
        """The daemon runs; the yielded function mines one block and waits for it. ``killed``: it ends by SIGKILL."""
        self.chain.rpc("evm_setAutomine", False)
        try:
            with Guard(self.home.config) as guard:
                guard.caught_up(self.chain.block().number, within_s=START_S)
                yield lambda: guard.caught_up(self.chain.mine().number)
                if killed:
                    os.kill(guard.pid, signal.SIGKILL)
        finally:
            self.chain.rpc("evm_setAutomine", True)

    def price(self, eth_usd: float) -> None:
        moved(self.chain, self.at, eth_usd)

    def executed(self, prices: object = None) -> None:
        executed(self.chain, self.at, [self.made.guarded], prices)

    def taken(self) -> None:
        taken(self.chain, self.at, [(self.made.guarded, True)])

    def orders(self) -> list[bytes]:
        return orders_of(self.chain, self.at, self.made.guarded)

    def size(self) -> tuple[int, int, int]:
        return size_of(self.chain, self.at, self.made.keys[0])

    def ordered(self, block: Callable[[], Any], price: float | None = LOW) -> list[bytes]:
        """Blocks until the account has an order on the venue, where need be after the price has fallen."""
        if price is not None:
            self.price(price)
            block()
        for _ in range(BLOCKS_MOST):
            if found := self.orders():
                return found
            block()
        raise AssertionError("no order came")

    def states(self) -> list[str]:
        """States of orders as journaled, in order."""
        return [str(e.data["state"]) for e in self.home.entries("order")]

    def told(self) -> str:
        """Every word that the journal has of orders."""
        return "".join(e.why for e in self.home.entries("order"))

    def alarms(self) -> set[str]:
        return {code for code, _ in self.home.alarms()}


def night(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx, strategies: tuple[str, ...] = ("add_margin",)
) -> Night:
    made = pair(chain, at, chain.accounts[10:12], True, DOLLARS)
    home = guarded_home(tmp_path, node, chain, at, [made], strategies)
    armed(home, {"USDC": "50000"})
    return Night(home=home, made=made, chain=chain, at=at)


@pytest.mark.chaos
def test_order__front_run_by_liquidation__cancelled_and_said(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx, handled: set[str], request: pytest.FixtureRequest
) -> None:
    on = night(tmp_path, node, chain, at)
    with on.awake() as block:
        on.ordered(block)
        _liquidated_first(on, block)
        block()
        block()
    _said_to_be_liquidated(on)
    handled.add(request.node.name)


@pytest.mark.chaos
def test_order__front_run_by_liquidation_while_the_daemon_is_dead__said_after_the_restart(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx, handled: set[str], request: pytest.FixtureRequest
) -> None:
    on = night(tmp_path, node, chain, at)
    with on.awake(killed=True) as block:
        on.ordered(block)
        block()
    _liquidated_first(on, chain.mine)
    chain.mine()
    with on.awake() as block:
        block()
    _said_to_be_liquidated(on)
    with on.awake() as block:
        block()
    assert on.states() == ["PENDING", "CANCELLED"], "told once, whatever restarts"
    handled.add(request.node.name)


def _liquidated_first(on: Night, block: Callable[[], Any]) -> None:
    on.price(1_780)
    block()
    on.taken()
    block()
    on.executed()


def _said_to_be_liquidated(on: Night) -> None:
    assert on.size() == DEAD
    assert on.states()[-1] == "CANCELLED"
    assert "liquidated before" in on.home.entries("order")[-1].why
    assert "order_cancelled" in on.alarms()


@pytest.mark.chaos
@pytest.mark.parametrize("dead", [False, True])
def test_order__too_late_to_cure__cancelled_by_the_venue_and_a_larger_one_follows(
    tmp_path: Path,
    node: Anvil,
    chain: Chain,
    at: Gmx,
    dead: bool,
    handled: set[str],
    request: pytest.FixtureRequest,
) -> None:
    on = night(tmp_path, node, chain, at)
    with on.awake(killed=dead) as block:
        on.ordered(block)
        block()
        if not dead:
            _too_late(on, block)
    if dead:
        _too_late(on, chain.mine)
        chain.mine()
    with on.awake() as block:
        for _ in range(7):
            on.executed()
            block()
    assert on.states().count("CANCELLED") >= 1
    assert "LiquidatablePosition" in on.told()
    assert on.states()[-1] == "EXECUTED"
    assert on.size() != DEAD
    assert on.home.rescues(on.made.guarded)[-1] == "add_margin"
    handled.add(request.node.name)


def _too_late(on: Night, block: Callable[[], Any]) -> None:
    on.price(1_760)
    block()
    on.executed()
    block()


@pytest.mark.chaos
@pytest.mark.parametrize("dead", [False, True])
def test_order__nobody_executes_it__taken_back_and_issued_anew(
    tmp_path: Path,
    node: Anvil,
    chain: Chain,
    at: Gmx,
    dead: bool,
    handled: set[str],
    request: pytest.FixtureRequest,
) -> None:
    on = night(tmp_path, node, chain, at)
    with on.awake(killed=dead) as block:
        (first,) = on.ordered(block)
        block()
        if not dead:
            second = _grown_old(on, block, first)
    if dead:
        with on.awake() as block:
            second = _grown_old(on, block, first)
    assert first not in second
    assert len(second) == 1
    assert on.states() == ["PENDING", "TIMEOUT", "CANCELLED", "PENDING", "EXECUTED"]
    assert "order_late" in on.alarms()
    handled.add(request.node.name)


def _grown_old(on: Night, block: Callable[[], Any], first: bytes) -> list[bytes]:
    """Nobody executes for longer than the venue's own time; then somebody does. Orders that wait before that."""
    on.chain.rpc("evm_increaseTime", 400)
    for _ in range(BLOCKS_MOST):
        on.price(LOW)
        block()
        if (found := on.orders()) and first not in found:
            break
    on.executed()
    block()
    block()
    return found


@pytest.mark.chaos
def test_daemon__killed_between_creation_and_execution__acts_once(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx, handled: set[str], request: pytest.FixtureRequest
) -> None:
    on = night(tmp_path, node, chain, at)
    with on.awake(killed=True) as block:
        waiting = on.ordered(block)
    assert len(waiting) == 1
    chain.mine()
    with on.awake() as block:
        block()
        block()
        assert on.orders() == waiting
        on.executed()
        for _ in range(3):
            block()
    assert on.orders() == []
    assert on.home.rescues(on.made.guarded) == ["add_margin"]
    assert on.states() == ["PENDING", "EXECUTED"]
    assert on.size()[2] > size_of(chain, at, on.made.keys[1])[2]
    handled.add(request.node.name)


@pytest.mark.chaos
def test_stop__frozen_by_the_venue__said_taken_back_after_a_kill_and_placed_anew(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx, handled: set[str], request: pytest.FixtureRequest
) -> None:
    on = night(tmp_path, node, chain, at, ("add_margin", "stop_on_venue"))
    with on.awake(killed=True) as block:
        (stop,) = on.ordered(block, None)
        block()
        on.executed(FAR_BELOW)
        block()
        assert on.states() == ["PENDING", "FROZEN"]
        assert "order_frozen" in on.alarms()
        assert on.orders() == [stop], "nothing is given beside it"
    with on.awake() as block:
        for _ in range(BLOCKS_MOST):
            block()
            if on.orders() not in ([stop], []):
                break
        block()
    (fresh,) = on.orders()
    assert fresh != stop
    assert on.states() == ["PENDING", "FROZEN", "CANCELLED", "PENDING"]
    assert on.size() != DEAD
    assert on.home.rescues(on.made.guarded) == ["stop_on_venue"] * 3
    handled.add(request.node.name)


@pytest.mark.chaos
def test_stop__daemon_dead__the_venue_closes_the_position_before_liquidation(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx, handled: set[str], request: pytest.FixtureRequest
) -> None:
    on = night(tmp_path, node, chain, at, ("add_margin", "stop_on_venue"))
    with on.awake() as block:
        on.ordered(block, None)
        block()
    chain.send(chain.accounts[0], at.wnt_feed, "set(int256)", 1_845 * 10**8)
    on.executed()
    chain.mine()
    assert on.size() == DEAD
    assert size_of(chain, at, on.made.keys[1]) != DEAD
    assert on.orders() == []
    handled.add(request.node.name)
