"""Executors of Morpho Blue (real) and Compound v3 (a double): random states rescued each way, a daemon's night."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from anvil.client import Chain
from anvil.deploy_compound_v3 import deploy_compound_v3_on
from anvil.deploy_morpho import deploy_morpho
from anvil.deployment import Deployment
from anvil.node import Anvil
from tests.bench.figures import record
from tests.rescue_states import Rescued, rescued
from tests.venue_executor_stage import Ground

SAMPLE = 3
STATES = 200
SEED = 20_261_121
EVIDENCE = {"morpho_blue": "real_bytecode", "compound_v3": "own_double"}


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
