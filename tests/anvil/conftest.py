"""Real protocol code for tests: one node with the market, a second that forks it, and undo by snapshot.

Session fixtures start the nodes; ``chain`` and ``fork_chain`` wrap each test in a snapshot. With
``FORK_RPC_URL`` the fork is of that chain, and a market of our own is deployed on top of it. Clients are
synchronous and belong to the test's thread; async code gets ``upstream.url`` and opens its own connection.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from anvil.actors import Actors
from anvil.client import Chain
from anvil.compile import Artifact, compile_aave
from anvil.deploy import deploy
from anvil.deployment import Deployment
from anvil.node import Anvil, AnvilSettings
from anvil.tools import HERE, ToolMissing

GENESIS_S = 1_750_000_000
"""Start of every test chain, so that timestamps, indices and addresses repeat from run to run."""


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own loop; in a module that says ``ON_EACH_LOOP`` the daemon's as well."""
    usual = {"asyncio": asyncio.new_event_loop}
    module = item.getparent(pytest.Module)
    if module is None or not hasattr(module.obj, "ON_EACH_LOOP"):
        return usual
    return {**usual, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def market_code(anvil_binary: None) -> dict[str, Artifact]:
    """Compiled protocol code; skips with the reason when the tools for it are not there."""
    try:
        if shutil.which("node") is None:
            pytest.skip("node is not on PATH: the market cannot be compiled")
        if not (HERE / "node_modules").is_dir():
            pytest.skip("anvil/node_modules is missing: run `make setup`")
        return compile_aave()
    except ToolMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def upstream(market_code: dict[str, Artifact]) -> Iterator[Anvil]:
    """A node that mines each transaction at once, with the market on it."""
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S)) as node:
        yield node


@pytest.fixture(scope="session")
def deployment(upstream: Anvil, market_code: dict[str, Artifact]) -> Deployment:
    """Addresses of the market on ``upstream``."""
    chain = Chain(upstream.url)
    try:
        return deploy(chain, market_code)
    finally:
        chain.close()


@pytest.fixture(scope="session")
def fork(upstream: Anvil, deployment: Deployment) -> Iterator[Anvil]:
    """A second node that forks the first, or ``FORK_RPC_URL``."""
    with Anvil(AnvilSettings(fork_url=os.environ.get("FORK_RPC_URL") or upstream.url)) as node:
        yield node


@pytest.fixture(scope="session")
def fork_deployment(fork: Anvil, deployment: Deployment, market_code: dict[str, Artifact]) -> Deployment:
    """The market as the fork sees it: inherited from ``upstream``, or deployed on a user's chain."""
    chain = deployment.chain(fork.url)
    try:
        if os.environ.get("FORK_RPC_URL"):
            return deploy(chain, market_code)
        # the interval is the node's setting, not the chain's state: a fork does not inherit it
        chain.rpc("anvil_setBlockTimestampInterval", 12)
        return deployment
    finally:
        chain.close()


@pytest.fixture
def chain(upstream: Anvil, deployment: Deployment) -> Iterator[Chain]:
    """A client of ``upstream``; whatever the test does is undone."""
    yield from _undone(deployment.chain(upstream.url))


@pytest.fixture
def fork_chain(fork: Anvil, fork_deployment: Deployment) -> Iterator[Chain]:
    """A client of ``fork``; whatever the test does is undone."""
    yield from _undone(fork_deployment.chain(fork.url))


@pytest.fixture
def actors(chain: Chain, deployment: Deployment) -> Actors:
    """Borrowers on ``upstream``."""
    return Actors(chain, deployment)


@pytest.fixture
def fork_actors(fork_chain: Chain, fork_deployment: Deployment) -> Actors:
    """Borrowers on ``fork``."""
    return Actors(fork_chain, fork_deployment)


def _undone(client: Chain) -> Iterator[Chain]:
    snapshot = client.snapshot()
    try:
        yield client
    finally:
        client.revert(snapshot)
        client.close()
