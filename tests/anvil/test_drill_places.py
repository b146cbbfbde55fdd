"""``keeper drill`` beyond the plain case: other venues, a Safe, an old Executor, no configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anvil.client import Chain
from anvil.deploy_compound_v3 import deploy_compound_v3_on
from anvil.deploy_morpho import deploy_morpho
from anvil.deployment import Deployment
from anvil.node import Anvil
from anvil.perp_scenario import load_perp_scenario
from anvil.perp_stage import perp_stage
from anvil.scenario import load_scenario
from anvil.stage import stage
from keeper.config import load
from keeper.executor.verify import executor_address
from keeper.venues import registry
from tests.anvil_daemon import ROOT
from tests.executor_daemon import WAD, changed, owned, terms
from tests.safe_owner import deploy_safe
from tests.venue_executor_stage import Ground, VenueExecutor
from tests.venue_stage import home

pytestmark = pytest.mark.chaos
COARSE = ("--precision", "10", "--json")
LONG_S = 600


def drill(url: str, *line: str, folder: Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON document and stderr."""
    ran = subprocess.run(
        [sys.executable, "-m", "keeper", "drill", "--rpc", url, *line],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LONG_S,
    )
    return ran.returncode, json.loads(ran.stdout) if ran.stdout.startswith("{") else {}, ran.stderr


@pytest.fixture(scope="module")
def built(upstream: Anvil, deployment: Deployment) -> Iterator[Ground]:
    """Morpho Blue and Compound v3 beside the Aave market, for this file."""
    client = deployment.chain(upstream.url)
    snapshot = client.snapshot()
    site = deploy_morpho(client, deployment)
    comet = deploy_compound_v3_on(client, deployment)
    yield Ground(chain=client, deployment=deployment, morpho=site, comet=comet)
    client.revert(snapshot)
    client.close()


@pytest.mark.parametrize("kind", ["morpho_blue", "compound_v3"])
def test_drill__other_venue_with_an_executor_not_deployed_yet__is_made_up_and_the_position_kept(
    built: Ground, upstream: Anvil, chain: Chain, tmp_path: Path, kind: str
) -> None:
    ground = replace(built, chain=chain)
    ground.oracles(3_000)
    owner, stranger = ground.deployment.roles.actors[6:8]
    opened = VenueExecutor.__new__(VenueExecutor)
    opened.ground, opened.kind, opened.chain = ground, kind, chain
    opened.owner, opened.stranger, opened.market = owner, stranger, ground.deployment
    opened.borrow(10 * WAD, 18_800 * 10**6)
    at = home(
        tmp_path,
        upstream,
        chain,
        [(ground.settings(kind), {kind: owner})],
        multicall=ground.deployment.multicall,
        native=ground.deployment.token("WETH").address,
    )
    executor = executor_address(owner, registry.executor_of(kind))
    changed(
        at.config,
        {
            "native_token =": f"uniswap_quoter = '{ground.deployment.uniswap.quoter}'\nnative_token =",
            "[policies.default]\n": "[policies.default]\nstrategies = ['repay', 'add_collateral', 'deleverage']\n",
            f'label = "{kind}"': f"label = '{kind}'\nexecutor = '{executor}'",
        },
    )
    line = (owner, "--shock", "ETH=-45", "--updates", "16", "--config", str(at.config), *COARSE)
    code, told, errors = drill(upstream.url, *line, folder=tmp_path)
    assert code == 0, errors
    assert told["without_keeper"]["liquidations"] >= 1
    assert told["without_keeper"]["lost_usd"] > 100
    assert told["with_keeper"]["liquidations"] == 0
    assert told["with_keeper"]["transactions"] >= 1
    assert any("deploys his Executor" in line for line in told["made_of"])
    assert not chain.has_code(executor)


def test_drill__a_safe_owns_it_and_nobody_has_a_configuration__is_impersonated_and_guarded_as_proposed(
    tmp_path: Path,
) -> None:
    with stage(load_scenario("crash"), tmp_path, mode="live") as on:
        pair, signer = on.pairs[0], on.market.roles.actors[-3]
        safe = deploy_safe(on.chain, signer)
        on.chain.rpc("anvil_impersonateAccount", safe)
        on.chain.rpc("anvil_setBalance", safe, hex(10**21))
        on.actors.open(replace(pair.borrower, account=safe))
        steps = tmp_path / "steps.csv"
        rows = "".join(f"{3 * n},{1 - 0.035 * n:.3f}\n" for n in range(1, 13))
        steps.write_text(f"block,ETH\n{rows}")
        line = (safe, "--provider", on.market.provider, "--shock", str(steps), *COARSE)
        code, told, errors = drill(on.node.url, *line, folder=tmp_path)
        assert code in (0, 1), errors
        assert told["without_keeper"]["liquidations"] >= 1
        assert told["with_keeper"]["transactions"] >= 1
        assert any("no configuration was given" in line for line in told["made_of"])
        assert any("30% of the debt" in line for line in told["made_of"])
        # it has 30 % of the debt and no more: what it can do it does, and the exit code tells the end
        assert told["passed"] == (code == 0) == (told["with_keeper"]["liquidations"] == 0)


def test_drill__an_executor_older_than_an_hour__keeps_its_terms_and_takes_the_bot_a_day_after_the_word(
    tmp_path: Path,
) -> None:
    with owned(tmp_path) as there:
        executor = there.executor
        executor.configure(terms(executor))
        executor.grant("WETH", 8 * WAD)
        there.on.chain.mine(there.on.chain.block().timestamp_s + 7_200)
        account = there.on.pairs[0].guarded
        line = (account, "--shock", "ETH=-45", "--updates", "12", "--config", str(there.on.config), *COARSE)
        code, told, errors = drill(there.on.node.url, *line, folder=tmp_path)
        assert code == 0, errors
        assert any("stand as they are" in line for line in told["made_of"])
        assert any("a day passes" in line for line in told["made_of"])
        assert told["with_keeper"]["liquidations"] == 0


def test_drill__what_cannot_be_drilled__is_told_in_one_line(tmp_path: Path) -> None:
    with owned(tmp_path) as there:
        on, account = there.on, there.on.pairs[0].guarded
        nobody, url = on.market.roles.actors[-1], on.node.url
        shock = ("--shock", "ETH=-30")
        provider = ("--provider", on.market.provider)
        config = ("--config", str(on.config))
        cases = [
            ((nobody, *shock, *provider), 78, "has no position on the markets known"),
            ((nobody, *shock, *config), 78, "guards no position of"),
            ((account, "--shock", "LINK=-50", *config), 78, "moves none of what the position holds"),
            ((account, *shock, *config, "--block", "999999"), 69, "the fork did not start"),
            (("--liquidation", "0x" + "11" * 32), 78, "knows no such transaction"),
        ]
        for line, wanted, said in cases:
            code, _, errors = drill(url, *line, folder=tmp_path)
            assert (code, said in errors) == (wanted, True), (line, errors)
            assert "Traceback" not in errors


def test_drill__a_perpetual_position__is_told_to_be_none_of_a_drills(tmp_path: Path) -> None:
    story = load_perp_scenario("perp")
    assert story is not None
    with perp_stage(story, tmp_path, mode="live") as on:
        url = str(load(on.config).chains[0].endpoints[0].url)
        line = (on.pairs[0].guarded, "--shock", "ETH=-30", "--config", str(on.config))
        code, _, errors = drill(url, *line, folder=tmp_path)
        assert (code, "cannot hold the oracle of a gmx_v2 market" in errors) == (78, True), errors
        assert "Traceback" not in errors
