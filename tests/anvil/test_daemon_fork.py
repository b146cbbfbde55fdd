"""The same rescue with the daemon pointed at a fork: of the first node, or of FORK_RPC_URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from anvil.actors import Actors
from anvil.client import Chain
from anvil.deployment import Deployment
from anvil.liquidator import Liquidator
from anvil.node import Anvil
from anvil.scenario import fund, load_scenario, open_pairs
from anvil.stage import Home, Stage, keystore, write_config
from tests.anvil_daemon import armed, night


@pytest.mark.fork
def test_daemon__on_a_fork__rescues_once_and_the_twin_is_liquidated(
    fork: Anvil, fork_chain: Chain, fork_deployment: Deployment, fork_actors: Actors, tmp_path: Path
) -> None:
    story = load_scenario("crash")
    pairs = open_pairs(fork_actors, story)
    address = keystore(tmp_path)
    fund(fork_actors, story, address)
    home = Home(folder=tmp_path, mode="live", address=address, block_s=story.seconds_per_block)
    on = Stage(
        folder=tmp_path,
        node=fork,
        chain=fork_chain,
        market=fork_deployment,
        actors=fork_actors,
        liquidator=Liquidator(fork_actors),
        scenario=story,
        pairs=pairs,
        config=write_config(fork, fork_deployment, pairs, home),
    )
    armed(on)
    try:
        with night(on) as lives:
            before = lives.nonce
            lives.falls(WETH=0.8, wstETH=0.8)
            lives.block()
            assert lives.rescues("plain") == 1
            lives.falls(WETH=0.66, wstETH=0.66)
            lives.block()
            assert lives.rescues("plain") == 2
            assert lives.health("plain") >= 1_249 * 10**15
            assert lives.nonce == before + sum(lives.rescues(p.label) for p in pairs)
            lost = {x.user for x in on.liquidator.act(on.accounts, mine=True)}
            assert pairs[0].twin in lost
            assert not lost & {p.guarded for p in pairs}
            lives.guard.caught_up(on.chain.block().number)
    finally:
        # the node's setting is not part of the snapshot that the fixture goes back to
        on.chain.rpc("evm_setAutomine", True)
