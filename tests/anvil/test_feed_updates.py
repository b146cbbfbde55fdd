"""Feeds in two parts on a chain: each answer is seen by its aggregator's log; a replaced aggregator is noticed."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from anvil.client import Chain
from anvil.compile import own_artifact
from anvil.deployment import Deployment
from anvil.transport import ChainTransport
from keeper.config import ChainSettings
from keeper.daemon.camera import Camera
from keeper.daemon.oracles import Around, Oracles, Unheard
from keeper.daemon.shadow import ShadowBook
from keeper.errors import Transient
from keeper.oracle import feeds
from keeper.oracle.faults import Fault
from keeper.venues.aave_v3.book import word
from tests.anvil_reading import Reader
from tests.morpho_stage import constants

pytestmark = pytest.mark.anvil

USD = 10**8


class Counting(ChainTransport):
    """Counts what is asked, and forgets how to search logs when told to."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self.asked: list[str] = []
        self.deaf = False

    async def request(self, method: str, params: Any, **_: Any) -> object:
        self.asked.append(method)
        if self.deaf and method == "eth_getLogs":
            raise Transient("no logs here")
        return await super().request(method, params)


class Watch:
    """The oracle room of a market whose WETH is priced by a proxy and its aggregator."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self.chain, self.deployment, me = chain, deployment, chain.accounts[0]
        code = own_artifact("AggregatorDouble")
        self.aggregator = chain.deploy(code, 3_000 * USD, USD, 10**6 * USD, "ETH / USD")
        for n in range(30):
            chain.rpc("evm_setNextBlockTimestamp", chain.block().timestamp_s + 1_200)
            chain.send(me, self.aggregator, "set(int256)", (3_000 + n % 2) * USD)
        self.proxy = chain.deploy(own_artifact("FeedProxyDouble"), self.aggregator)
        weth = deployment.token("WETH").address
        chain.send(me, deployment.oracle, "setAssetSources(address[],address[])", [weth], [self.proxy])
        self.venue = Reader(chain, deployment).venue
        self.transport = Counting(chain)
        settings = ChainSettings(
            name="local",
            chain_id=deployment.chain_id,
            block_time_s=12.0,
            multicall=deployment.multicall,
            native_token=None,
            endpoints=(),
        )
        self.camera = Camera(settings, self.transport, None)
        around = Around(chain=settings, endpoints=cast(Any, self.transport), camera=self.camera)
        self.oracles = Oracles(around, Unheard())

    def look(self) -> list[Fault]:
        venues, accounts = {self.venue.id: self.venue}, {self.venue.id: self.deployment.roles.actors[:1]}

        async def run() -> list[Fault]:
            snapshot = await self.camera.photograph(venues, accounts, self.chain.block(), ShadowBook(), {})
            found, _ = await self.oracles.find(snapshot, venues, {})
            return [f for f in found if "WETH" in f.why or f.code == "feed_updates_unread"]

        return asyncio.run(run())

    def set(self, price: int) -> None:
        self.chain.send(self.chain.accounts[0], self.aggregator, "set(int256)", price * USD)


@pytest.fixture
def watch(chain: Chain, deployment: Deployment) -> Watch:
    return Watch(chain, deployment)


def test_updates__when_a_fall_comes_and_goes_between_two_looks__then_it_is_told_with_its_round(
    watch: Watch,
) -> None:
    assert watch.look() == []
    watch.set(2_500)
    watch.set(3_000)
    (fault,) = watch.look()
    assert fault.code == "feed_jump"
    assert f"round 33, block {watch.chain.block().number}" in fault.why
    assert watch.look() == []


def test_updates__when_a_look_is_made__then_logs_are_one_request_and_seen_rounds_teach_the_heartbeat(
    watch: Watch,
) -> None:
    watch.look()
    watch.transport.asked.clear()
    watch.chain.mine(watch.chain.block().timestamp_s + 12)
    watch.look()
    assert watch.transport.asked.count("eth_getLogs") == 1
    # a photograph and a look: two batches, as before logs were read
    assert watch.transport.asked.count("eth_call") == 2
    # it kept a pace of twenty minutes for ten hours: it is stale after thirty-five, not after a day and a half
    watch.chain.mine(watch.chain.block().timestamp_s + 2_200)
    (fault,) = watch.look()
    assert fault.code == "feed_stale"
    assert "its heartbeat is 1200 s (assumed)" in fault.why


def test_updates__when_logs_cannot_be_had__then_it_is_said_and_the_answers_still_tell(watch: Watch) -> None:
    watch.look()
    watch.transport.deaf = True
    watch.set(2_500)
    assert {f.code for f in watch.look()} == {"feed_updates_unread", "feed_jump"}
    watch.transport.deaf = False
    watch.set(2_490)
    # what was missed is asked for when it can be
    assert {f.code for f in watch.look()} == {"feed_jump"}


def test_updates__when_the_aggregator_is_replaced__then_the_feed_is_looked_into_anew(watch: Watch) -> None:
    watch.look()
    assert watch.oracles.sources[watch.proxy] == watch.aggregator
    now_s = watch.chain.block().timestamp_s
    other = watch.chain.deploy(own_artifact("AggregatorDouble"), 3_000 * USD, USD, 10**6 * USD, "ETH / USD")
    # the proxy's next phase: what a proxy's owner does when he confirms another aggregator
    told = b"".join(word(n) for n in ((4 << 64) + 1, 3_000 * USD, now_s, now_s, (4 << 64) + 1))
    answers = {
        feeds.LATEST_ROUND: told,
        feeds.LATEST_ANSWER: word(3_000 * USD),
        feeds.AGGREGATOR: word(other),
        feeds.DECIMALS: word(8),
    }
    watch.chain.rpc("anvil_setCode", watch.proxy, constants(answers))
    watch.chain.mine()
    watch.look()
    watch.look()
    assert watch.oracles.sources[watch.proxy] == other
