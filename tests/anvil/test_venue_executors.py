"""Executors of Morpho Blue (real) and Compound v3 (a double): random states rescued each way, a daemon's night."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from anvil.client import Chain
from anvil.deploy_compound_v3 import deploy_compound_v3_on
from anvil.deploy_morpho import deploy_morpho
from anvil.deployment import Deployment
from anvil.node import Anvil
from keeper.clock import SystemClock
from keeper.config import load
from keeper.journal.write import Journal
from tests.bench.figures import record
from tests.executor_daemon import WAD, changed
from tests.executor_daemon import terms as executor_terms
from tests.rescue_states import Rescued, rescued
from tests.venue_executor_stage import Ground, VenueExecutor
from tests.venue_stage import Guarded, home, running

SAMPLE = 3
STATES = 200
SEED = 20_261_121
BLOCKS_MAX = 8
ROOT = Path(__file__).parents[2]
EVIDENCE = {"morpho_blue": "real_bytecode", "compound_v3": "own_double"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One keeper over both."""

    at: Guarded
    stages: Mapping[str, VenueExecutor]


@pytest.fixture(scope="module")
def built(upstream: Anvil, deployment: Deployment) -> Iterator[Ground]:
    """Both protocols beside the Aave market, for this file."""
    client = deployment.chain(upstream.url)
    snapshot = client.snapshot()
    site = deploy_morpho(client, deployment)
    yield Ground(
        chain=client, deployment=deployment, morpho=site, comet=deploy_compound_v3_on(client, deployment)
    )
    client.revert(snapshot)
    client.close()


@pytest.fixture
def ground(built: Ground, chain: Chain) -> Ground:
    return Ground(chain=chain, deployment=built.deployment, morpho=built.morpho, comet=built.comet)


@pytest.mark.anvil
@pytest.mark.parametrize("kind", ["morpho_blue", "compound_v3"])
def test_rescues__random_states__each_way_reaches_what_it_promised(ground: Ground, kind: str) -> None:
    _held(rescued(ground, kind, SAMPLE, seed=SEED), SAMPLE)


@pytest.mark.chaos
@pytest.mark.parametrize("kind", ["morpho_blue", "compound_v3"])
def test_rescues__200_random_states__each_way_reaches_what_it_promised(ground: Ground, kind: str) -> None:
    found = rescued(ground, kind, STATES, seed=SEED)
    for way, done in sorted(found.done.items()):
        record(
            f"rescues_{way}_{kind}", done, unit="states", bound=f"= {STATES}", holds=done == STATES,
            evidence=EVIDENCE[kind], n=STATES, seed=SEED,
        )  # fmt: skip
    _held(found, STATES)


def _held(found: Rescued, states: int) -> None:
    assert found.wrong == []
    assert found.done == {
        "deleverage": states,
        "supply_from_reserve": states,
        "repay_from_reserve": states,
    }, found.refused


@pytest.fixture
def guarded(tmp_path: Path, upstream: Anvil, ground: Ground) -> Night:
    """Two borrowers with empty wallets, an Executor each, and a keeper whose wallet holds gas and nothing else."""
    owners = ground.deployment.roles.actors
    ground.oracles(3_000)
    kinds = ("morpho_blue", "compound_v3")
    stages = {kind: VenueExecutor(ground, kind, owner) for kind, owner in zip(kinds, owners, strict=False)}
    at = home(
        tmp_path,
        upstream,
        ground.chain,
        [(ground.settings(kind), {kind: stage.owner}) for kind, stage in stages.items()],
        multicall=ground.deployment.multicall,
        native=ground.deployment.token("WETH").address,
    )
    uniswap = ground.deployment.uniswap
    second = f"[[chains.endpoints]]\nname = 'anvil-2'\nurl = '{upstream.url}'\nrate_per_s = 1000\n"
    words = {
        "native_token =": f"uniswap_quoter = '{uniswap.quoter}'\nnative_token =",
        "[[venues]]": f"{second}[[venues]]",
        "[policies.default]\n": "[policies.default]\nstrategies = ['repay', 'add_collateral', 'deleverage']\n",
    }
    for kind, stage in stages.items():
        words[f'label = "{kind}"'] = f"label = '{kind}'\nexecutor = '{stage.executor}'"
        stage.bot, stage.guardian = at.wallet, owners[4]
        stage.configure(executor_terms(stage))
        stage.borrow(10 * WAD, 18_800 * 10**6)
        stage.authorise()
    changed(at.config, words)
    at = replace(at, settings=load(at.config))
    with Journal.open(at.settings.journal_path, SystemClock()) as journal:
        journal.set_control("armed", at.settings.digest, "test", "for the night")
    return Night(at=at, stages=stages)


@pytest.mark.anvil
def test_daemon__wallet_empty_after_a_crash__both_are_at_target_after_one_transaction_each(
    ground: Ground, guarded: Night
) -> None:
    at, stages = guarded.at, guarded.stages
    _told(at)
    # just above 1: health 1.006 on Morpho, 1.053 on Compound
    stages["morpho_blue"].trade_to("WETH", "USDC", 500, 2_200)
    held = {kind: stage.leftovers() for kind, stage in stages.items()}
    with running(at) as block:
        block()
        assert not at.intents()
        ground.chain.rpc("evm_setAutomine", True)
        ground.oracles(2_200)
        ground.chain.rpc("evm_setAutomine", False)
        assert 1.0 < stages["morpho_blue"].health() / WAD < 1.01
        for _ in range(BLOCKS_MAX):
            block()
            if all(at.rescues(stage.owner) for stage in stages.values()):
                break
        block()
    for kind, stage in stages.items():
        assert at.rescues(stage.owner) == ["deleverage"], kind
        assert 1.25 <= stage.health() / WAD <= 1.40, kind
        assert stage.leftovers() == held[kind] == {}
        assert stage.seq() == 1
        assert stage.actors.balance("USDC", stage.owner) == 0
    assert len(at.intents()) == 2


def _told(at: Guarded) -> None:
    """What the commands say before the night: code as committed, and nothing that would refuse by night."""
    verified = _run(at, "executor", "verify", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert [e["verdict"] for e in json.loads(verified.stdout)["executors"]] == ["as committed"] * 2
    checked = _run(at, "check", "--json")
    codes = {f["code"] for f in json.loads(checked.stdout)["findings"]}
    assert codes.isdisjoint(
        {"unreadable", "no_grant", "grant_too_small", "grant_unlimited", "foreign_authorization", "executor"}
    ), checked.stdout


def _run(at: Guarded, *line: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keeper", *line, "--config", str(at.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=ROOT, check=False)
