"""One real daemon over an Aave v2 market: found by its provider, repaid, topped up, and verified against the pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from anvil.client import Chain
from anvil.deployment import Deployment
from anvil.node import Anvil
from keeper.units import WAD
from tests.aave_v2_market import deploy_aave_v2, set_in_ether
from tests.aave_v2_states import BORROW, DEPOSIT, PRICES, USD8, VARIABLE, settings
from tests.command import typed
from tests.venue_stage import VenueReader, armed, home, running

pytestmark = pytest.mark.anvil

ROOT = Path(__file__).parents[2]
BLOCKS_MAX = 8


def test_daemon__ether_falls_a_tenth__repays_one_and_tops_up_the_other_by_the_wallet(
    tmp_path: Path, upstream: Anvil, chain: Chain, deployment: Deployment
) -> None:
    old = deploy_aave_v2(chain, deployment)
    users, lender, me = deployment.roles.actors[:2], deployment.roles.lender, chain.accounts[0]
    for user, given, owed, units in (
        (users[0], "WETH", "USDC", 19_300 * 10**6),
        (users[1], "WETH", "DAI", 19_300 * 10**18),
    ):
        token = old.token(given).address
        chain.send(me, token, "mint(address,uint256)", lender, 10**19)
        chain.send(lender, old.pool, DEPOSIT, token, 10**19, user, 0)
        chain.send(user, old.pool, BORROW, old.token(owed).address, units, VARIABLE, 0, user)
    at = home(
        tmp_path,
        upstream,
        chain,
        [(settings(old), {"dollars": users[0], "dai": users[1]})],
        multicall=deployment.multicall,
        native=deployment.token("WETH").address,
    )
    for symbol, units in (("USDC", 40_000 * 10**6), ("WETH", 10**19)):
        chain.send(me, deployment.token(symbol).address, "mint(address,uint256)", at.wallet, units)
    armed(at, {"USDC": "30000", "WETH": "10"})
    with running(at) as block:
        block()
        assert not at.intents()
        chain.rpc("evm_setAutomine", True)
        set_in_ether(chain, old, {**PRICES, "WETH": 2_700 * USD8})
        chain.rpc("evm_setAutomine", False)
        for _ in range(BLOCKS_MAX):
            block()
            if at.rescues(users[0]) and at.rescues(users[1]):
                break
    assert (at.rescues(users[0]), at.rescues(users[1])) == (["repay"], ["add_collateral"])
    assert len(at.intents()) == 2, "each position was acted on once"
    reader = VenueReader(chain, settings(old), old.multicall)
    for user in users:
        assert 1.30 <= (reader.position(user).health_wad or 0) / WAD <= 1.40
    told = typed(ROOT, "verify", "--config", str(at.config), "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.count("health, wad") == 2
