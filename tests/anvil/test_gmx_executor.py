"""GMX through the owner's Executor: a real daemon keeps a long in a crash, and what a thief of its key can do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from anvil.client import Chain
from anvil.deploy_gmx_executor import PerpTerms
from anvil.deploy_gmx_v2 import Gmx, deploy_gmx_v2, size_of
from anvil.gmx_keepers import executed, moved, pair, taken
from anvil.guard import START_S, Guard
from anvil.node import Anvil
from keeper.executor import verify
from keeper.executor.perp_bounded import NAME
from keeper.journal.read import Reader
from tests.perp_node import client, own_node
from tests.perp_stage import DEAD, guarded_home
from tests.venue_stage import armed

FEE_WEI = 2 * 10**16
LOW, DEEP = 1_905, 1_800
REDUCE = "reduce(bytes32,uint64,uint256,uint256,uint256,uint64)"
FAR_S = 2**40


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


@pytest.mark.anvil
@pytest.mark.parametrize("strategy", ["add_margin", "reduce_perp"])
def test_executor__crash__the_long_is_kept_through_it_and_its_twin_is_liquidated(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx, strategy: str
) -> None:
    made = pair(chain, at, chain.accounts[10:12], True, (20_000, 2_000))
    home = guarded_home(tmp_path, node, chain, at, [made], [strategy], terms=PerpTerms())
    executor = home.settings.venues[0].subaccount
    assert executor == verify.executor_address(made.guarded, NAME, at.subaccounts)
    armed(home, {"USDC": "50000"})
    chain.rpc("evm_setAutomine", False)
    with Guard(home.config) as guard:
        guard.caught_up(chain.block().number, within_s=START_S)
        for price in (LOW, 1_860, 1_830, DEEP):
            moved(chain, at, price)
            for _ in range(4):
                guard.caught_up(chain.mine().number)
                executed(chain, at, [made.guarded])
            taken(chain, at, [(made.guarded, True), (made.twin, True)])
        guard.caught_up(chain.mine().number)
    chain.rpc("evm_setAutomine", True)
    assert size_of(chain, at, made.keys[1]) == DEAD
    assert size_of(chain, at, made.keys[0]) != DEAD
    done = home.rescues(made.guarded)
    assert len(done) >= 1
    assert set(done) == {strategy}
    with Reader.open(home.settings.journal_path) as journal:
        told = [str(e.data["state"]) for e in journal.entries("order", limit=1_000)]
    assert told.count("PENDING") == told.count("EXECUTED") == len(done)
    # every order was the Executor's: the wallet itself is nobody's subaccount
    sent = [a for i in home.intents() for a in i.attempts]
    assert sent
    assert {str(i.plan.call.target) for i in home.intents() if i.attempts} == {executor}
