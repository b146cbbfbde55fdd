"""The fork path: a second node that takes its state from the first, offline."""

from __future__ import annotations

import os

import pytest

from anvil import shock
from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.compile import Artifact
from anvil.deploy import deploy
from anvil.deployment import Deployment
from anvil.liquidator import Liquidator
from anvil.node import Anvil, AnvilSettings

pytestmark = pytest.mark.fork
WAD = 10**18


def test_fork__reads__what_the_upstream_holds(
    fork_chain: Chain, fork_deployment: Deployment, chain: Chain
) -> None:
    assert fork_chain.call(fork_deployment.pool, "POOL_REVISION()(uint256)") == 10
    for token in fork_deployment.tokens:
        supplied = fork_chain.call(token.a_token, "totalSupply()(uint256)")
        assert supplied > 0
        if not os.environ.get("FORK_RPC_URL"):
            assert supplied == chain.call(token.a_token, "totalSupply()(uint256)")


def test_fork__position_crashes__is_liquidated_and_upstream_is_untouched(
    fork_actors: Actors, fork_deployment: Deployment, actors: Actors
) -> None:
    account = fork_deployment.roles.actors[0]
    fork_actors.open(Borrower(account=account, collateral={"WETH": 10 * WAD}, debt={"USDC": 17_000 * 10**6}))
    liquidator = Liquidator(fork_actors)
    shock.set_prices(fork_actors.chain, fork_deployment, {"WETH": 1_900 * 10**8})
    (done,) = liquidator.act([account])
    assert done.loss_usd8 == pytest.approx(done.debt_usd8 * 5 // 100, abs=2)
    assert actors.price_usd8("WETH") == 3_000 * 10**8
    assert actors.account(account).debt_base == 0


def test_fork__next_test__sees_nothing_of_the_last(fork_actors: Actors, fork_deployment: Deployment) -> None:
    assert fork_actors.price_usd8("WETH") == 3_000 * 10**8
    assert fork_actors.account(fork_deployment.roles.actors[0]).debt_base == 0


def test_deploy__on_a_fork_whose_accounts_carry_foreign_code__makes_a_market_of_its_own(
    upstream: Anvil, deployment: Deployment, market_code: dict[str, Artifact]
) -> None:
    with Anvil(AnvilSettings(fork_url=upstream.url)) as node:
        client = Chain(node.url)
        foreign_code = "0xef0100" + deployment.multicall[2:].lower()
        client.rpc("anvil_setCode", client.accounts[2], foreign_code)
        second = deploy(client, market_code)
        assert second.pool != deployment.pool
        assert client.call(second.pool, "POOL_REVISION()(uint256)") == 10
        assert not client.has_code(second.roles.treasury)
        client.close()
