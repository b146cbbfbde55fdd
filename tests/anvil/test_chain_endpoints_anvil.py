"""The chain room over real sockets to real nodes: failover, restarts, black holes, wrong chains."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from anvil.node import Anvil, AnvilSettings
from keeper.chain.contract import close_web3, open_web3
from keeper.chain.endpoints import EndpointEvent, Endpoints
from keeper.chain.head import HeadEvent, HeadKind, Heads, Mailbox, latest
from keeper.clock import SystemClock
from keeper.config import ChainSettings, EndpointSettings
from keeper.daemon.head_time import HeadTime
from keeper.errors import ConfigError, Rejected, Transient
from keeper.notify.alarm import Alarms
from tests.anvil.proxy import Proxy
from tests.patience import PATIENCE_S, becomes, standstill

pytestmark = pytest.mark.anvil

CHAIN_ID = 31337
UNBOUND = "http://127.0.0.1:9/secret-token-1234"


def _endpoint(name: str, url: str, ws_url: str | None = None) -> EndpointSettings:
    return EndpointSettings(name=name, url=url, ws_url=ws_url, rate_per_s=500, concurrency=8)


def _chain(*endpoints: EndpointSettings, chain_id: int = CHAIN_ID) -> ChainSettings:
    return ChainSettings(
        name="local",
        chain_id=chain_id,
        block_time_s=1,
        multicall="0x" + "ca" * 20,
        native_token=None,
        endpoints=tuple(endpoints),
    )


class Watch:
    """Endpoints and heads of one chain, with everything they said."""

    def __init__(
        self, endpoints: Endpoints, heads: Heads, box: Mailbox, head_events: asyncio.Queue[HeadEvent]
    ) -> None:
        self.endpoints, self.heads, self.box = endpoints, heads, box
        self.head_events = head_events
        self._passed: list[HeadEvent] = []

    async def head_after(self, number: int, timeout_s: float) -> float:
        """Seconds until a head above ``number`` came."""
        started = time.monotonic()
        async with asyncio.timeout(timeout_s):
            while (await self.box.get()).number <= number:
                pass
        return time.monotonic() - started

    async def event(self, kind: HeadKind, timeout_s: float) -> HeadEvent:
        """The next event of that kind, those that came already first."""
        async with asyncio.timeout(timeout_s):
            while not (found := [e for e in self._passed if e.kind is kind]):
                self._passed.append(await self.head_events.get())
        self._passed.remove(found[0])
        return found[0]


@contextlib.asynccontextmanager
async def _watch(chain: ChainSettings, events: list[EndpointEvent] | None = None) -> AsyncIterator[Watch]:
    told: list[EndpointEvent] = [] if events is None else events
    endpoints = await Endpoints.open(chain, SystemClock(), told.append)
    head_events: asyncio.Queue[HeadEvent] = asyncio.Queue()
    heads, box = Heads(chain, endpoints, SystemClock(), head_events.put_nowait), Mailbox()
    watch = Watch(endpoints, heads, box, head_events)
    task = asyncio.create_task(heads.run(box))
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await endpoints.close()


def _mined_every_second(port: int | None = None) -> Anvil:
    return Anvil(AnvilSettings(block_time_s=1, port=port))


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


@pytest.mark.asyncio
async def test_failover__when_an_endpoint_dies_mid_run__then_every_request_is_still_answered() -> None:
    events: list[EndpointEvent] = []
    with Anvil() as second:
        first = Anvil().start()
        try:
            chain = _chain(_endpoint("first", first.url), _endpoint("second", second.url))
            endpoints = await Endpoints.open(chain, SystemClock(), events.append)
            for n in range(40):
                if n == 10:
                    first.stop()
                assert await endpoints.request("eth_chainId", []) == hex(CHAIN_ID)
            assert [e.name for e in events if e.kind == "down"] == ["first"]
            await endpoints.close()
        finally:
            first.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.asyncio
async def test_restart__when_the_only_node_comes_back__then_it_is_proven_anew_and_used() -> None:
    events: list[EndpointEvent] = []
    node = Anvil().start()
    port = _port(node.url)
    try:
        endpoints = await Endpoints.open(_chain(_endpoint("only", node.url)), SystemClock(), events.append)
        node.stop()
        for _ in range(3):
            with pytest.raises(Transient):
                await endpoints.request("eth_blockNumber", [], timeout_s=1)
        node = Anvil(AnvilSettings(port=port)).start()
        assert await endpoints.request("eth_blockNumber", []) == "0x0"
        assert [e.kind for e in events] == ["up", "down", "recovered"]
        await endpoints.close()
    finally:
        node.stop()


@pytest.mark.asyncio
async def test_wrong_chain__when_another_chain_takes_the_port_mid_session__then_it_is_never_used_again() -> (
    None
):
    events: list[EndpointEvent] = []
    node = Anvil().start()
    port = _port(node.url)
    try:
        endpoints = await Endpoints.open(_chain(_endpoint("only", node.url)), SystemClock(), events.append)
        assert await endpoints.request("eth_blockNumber", []) == "0x0"
        node.stop()
        node = Anvil(AnvilSettings(port=port, chain_id=1)).start()
        with pytest.raises(Transient):
            await endpoints.request("eth_blockNumber", [], timeout_s=1)
        assert events[-1].kind == "wrong_chain"
        assert "serves chain id 1, configured is 31337" in events[-1].why
        assert all(isinstance(r, Transient) for r in await endpoints.broadcast(b"\x02"))
        await endpoints.close()
    finally:
        node.stop()


@pytest.mark.asyncio
async def test_wrong_chain__when_configured_so__then_open_refuses_in_one_sentence() -> None:
    with Anvil() as node, pytest.raises(ConfigError, match="serves chain id 31337, configured is 8453"):
        await Endpoints.open(_chain(_endpoint("a", node.url), chain_id=8453), SystemClock(), lambda e: None)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.asyncio
async def test_black_hole__when_a_node_stops_answering__then_the_next_answers_and_it_rests() -> None:
    events: list[EndpointEvent] = []
    with Anvil() as node:
        async with Proxy(_port(node.url)) as proxy:
            chain = _chain(_endpoint("hole", f"http://127.0.0.1:{proxy.port}"), _endpoint("good", node.url))
            # where blocks are short another is asked before one can be said to have failed: it is only asked later
            chain = replace(chain, block_time_s=12)
            endpoints = await Endpoints.open(chain, SystemClock(), events.append)
            proxy.hole()
            took_s = []
            for _ in range(7):
                started = time.monotonic()
                assert await endpoints.request("eth_blockNumber", []) == "0x0"
                took_s.append(time.monotonic() - started)
            # a machine that stood still for a moment is no endpoint that did: the middle one of three
            assert sorted(took_s[:3])[1] < 2.5
            assert min(took_s[3:]) < 0.2
            assert [e.name for e in events if e.kind == "down"] == ["hole"]
            await endpoints.close()


@pytest.mark.asyncio
async def test_secret__when_an_endpoint_is_unreachable__then_nothing_it_says_holds_its_url() -> None:
    events: list[EndpointEvent] = []
    endpoints = await Endpoints.open(_chain(_endpoint("dead", UNBOUND)), SystemClock(), events.append)
    with pytest.raises(Transient) as caught:
        await endpoints.request("eth_blockNumber", [], timeout_s=1)
    told = f"{caught.value!r} {events} {endpoints.status()}"
    assert "dead: cannot be reached (ECONNREFUSED)" in told
    assert "secret-token" not in told
    await endpoints.close()


@pytest.mark.asyncio
async def test_heads__when_the_server_is_killed_and_restarted__then_they_resume_with_a_gap_told() -> None:
    node = _mined_every_second().start()
    port = _port(node.url)
    try:
        async with _watch(_chain(_endpoint("only", node.url, node.ws_url))) as watch:
            await watch.event(HeadKind.STREAM_UP, PATIENCE_S)
            await watch.head_after(1, PATIENCE_S)
            node.stop()
            await watch.event(HeadKind.STREAM_DOWN, PATIENCE_S)
            node = _mined_every_second(port).start()
            await watch.event(HeadKind.GAP, PATIENCE_S)
            await watch.head_after(0, PATIENCE_S)
            await becomes(lambda: watch.heads.fresh_age_s(SystemClock()) < 3)
    finally:
        node.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.asyncio
async def test_heads__when_the_stream_falls_silent__then_it_is_noticed_and_polling_takes_over() -> None:
    with _mined_every_second() as node:
        async with Proxy(_port(node.url)) as proxy:
            ws_url = f"ws://127.0.0.1:{proxy.port}"
            async with _watch(_chain(_endpoint("only", node.url, ws_url))) as watch:
                await watch.event(HeadKind.STREAM_UP, PATIENCE_S)
                await watch.head_after(1, PATIENCE_S)
                while watch.heads.polling:
                    await watch.box.get()
                last = watch.heads.last
                assert last is not None
                proxy.hole()
                started = time.monotonic()
                async with standstill() as lost_s:
                    event = await watch.event(HeadKind.STREAM_DOWN, PATIENCE_S)
                    # 2 x block time + 5 s is the promise for a silent stream; pings would take up to 10 s
                    assert time.monotonic() - started - lost_s() < 8.5, event
                    # by then the node has made more than that
                    started = time.monotonic()
                    await watch.head_after(last.number + 3, PATIENCE_S)
                    assert time.monotonic() - started - lost_s() < 6
                assert watch.heads.polling
                proxy.heal()
                await watch.event(HeadKind.GAP, PATIENCE_S)


@pytest.mark.asyncio
async def test_heads__when_the_chain_is_reorganised__then_the_depth_is_told() -> None:
    with _mined_every_second() as node:
        async with _watch(_chain(_endpoint("only", node.url, node.ws_url))) as watch:
            await watch.head_after(5, PATIENCE_S)
            await watch.endpoints.request("anvil_reorg", [3, []])
            event = await watch.event(HeadKind.REORG, PATIENCE_S)
            assert event.depth in (3, 4, 5), "blocks mined meanwhile may be of them"
            last = watch.heads.last
            assert last is not None
            await watch.head_after(last.number, PATIENCE_S)


@pytest.mark.asyncio
async def test_heads__when_the_first_streams_endpoint_dies__then_the_next_ones_stream_is_followed() -> None:
    with _mined_every_second() as second:
        first = _mined_every_second().start()
        try:
            chain = _chain(
                _endpoint("first", first.url, first.ws_url), _endpoint("second", second.url, second.ws_url)
            )
            async with _watch(chain) as watch:
                assert "first" in (await watch.event(HeadKind.STREAM_UP, PATIENCE_S)).why
                first.stop()
                assert "second" in (await watch.event(HeadKind.STREAM_UP, PATIENCE_S)).why
                await watch.head_after(0, PATIENCE_S)
        finally:
            first.stop()


@pytest.mark.asyncio
async def test_latest__when_asked__then_the_nodes_own_head() -> None:
    with Anvil() as node:
        endpoints = await Endpoints.open(_chain(_endpoint("a", node.url)), SystemClock(), lambda e: None)
        block = await latest(endpoints)
        assert (block.chain_id, block.number, len(block.hash)) == (CHAIN_ID, 0, 66)
        params: Sequence[object] = [{"to": "0x" + "00" * 20}, {"blockHash": "0x" + "12" * 32}]
        with pytest.raises(Rejected):
            await endpoints.request("eth_call", params)
        await endpoints.close()


@pytest.mark.asyncio
async def test_web3__when_opened_off_the_hot_path__then_it_reads_and_closes_cleanly() -> None:
    with Anvil() as node:
        w3 = await open_web3(node.url)
        assert await w3.eth.chain_id == CHAIN_ID
        await close_web3(w3)
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.asyncio
async def test_head_time__when_a_local_chain_lives_in_a_time_of_its_own__then_it_is_neither_old_nor_ahead() -> (
    None
):
    with Anvil(AnvilSettings(timestamp_s=1_750_000_000)) as node:
        # one that is never there, as in a drill: whoever answers tells what they are
        chain = _chain(_endpoint("dead", UNBOUND), _endpoint("a", node.url))
        endpoints = await Endpoints.open(chain, SystemClock(), lambda e: None)
        try:
            alarms = Alarms(lambda _: None, SystemClock(), CHAIN_ID)
            head_time, block = HeadTime(chain, alarms), await latest(endpoints)
            for behind_s in (SystemClock().now_s() - block.timestamp_s, -1e6):
                await head_time.see(block, behind_s, endpoints)
                assert (head_time.old, alarms.standing) == ("", ())
        finally:
            await endpoints.close()
