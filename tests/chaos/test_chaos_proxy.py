"""The chaos proxy in front of a real node: each rule and each fault as a client of it sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from eth_account import Account

from anvil.client import Chain
from anvil.node import Anvil, AnvilSettings
from keeper.chain.endpoints import Endpoints
from keeper.chain.head import Heads, Mailbox
from keeper.chain.line import HeadEvent, HeadKind
from keeper.chain.rpc import RateLimited, Rpc
from keeper.clock import SystemClock
from keeper.config import ChainSettings, EndpointSettings
from keeper.errors import Rejected, Transient
from tests.chaos.rpc.faults import Dice, Fault, Faults, mixed
from tests.chaos.rpc.network import Network
from tests.chaos.rpc.proxy import Proxy
from tests.keystores import CANARY, address_of
from tests.patience import standstill

pytestmark = pytest.mark.anvil
GWEI = 10**9
HOST = "0x" + "ab" * 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A node without automatic mining and the network before it."""

    chain: Chain
    net: Network

    def proxy(self, name: str = "one", client: str = "geth", **faults: Any) -> Proxy:
        """An endpoint of that temper."""
        return Proxy.open(self.net, name, Faults(**faults), client=client)


@pytest.fixture
def ground(anvil_binary: None) -> Iterator[Ground]:
    with Anvil(AnvilSettings(mining=False)) as node, Network(node.url, node.ws_url) as net:
        chain = Chain(node.url)
        chain.rpc("anvil_setBalance", address_of(), hex(10**20))
        chain.rpc("evm_mine")
        yield Ground(chain=chain, net=net)
        chain.close()


def raw(nonce: int, *, fee: int = 10 * GWEI, tip: int = GWEI, gas: int = 21_000, value: int = 1) -> str:
    """A signed transfer."""
    fields = {
        "chainId": 31337, "nonce": nonce, "to": "0x" + "11" * 20, "value": value, "gas": gas,
        "maxFeePerGas": fee, "maxPriorityFeePerGas": tip, "type": 2, "data": b"",
    }  # fmt: skip
    return "0x" + bytes(Account.from_key(CANARY).sign_transaction(fields).raw_transaction).hex()


def ask(proxy: Proxy, method: str, *params: object, timeout_s: float = 60.0) -> Any:
    """One request as the keeper makes it."""

    async def once() -> object:
        rpc = Rpc(proxy.name, proxy.url)
        try:
            return await rpc.call(method, params, timeout_s=timeout_s)
        finally:
            await rpc.close()

    return asyncio.run(once())


def refused(proxy: Proxy, transaction: str) -> str:
    """The node's words."""
    with pytest.raises(Rejected) as told:
        ask(proxy, "eth_sendRawTransaction", transaction)
    return told.value.message


def test_proxy__when_replaced_by_less_than_ten_per_cent__then_refused_though_anvil_would_take_it(
    ground: Ground,
) -> None:
    one = ground.proxy()
    ask(one, "eth_sendRawTransaction", raw(0))
    slightly = raw(0, fee=10 * GWEI + GWEI // 10, tip=GWEI + GWEI // 100)
    assert refused(one, slightly) == "replacement transaction underpriced"
    bare = Chain(ground.chain.url)
    bare.rpc("eth_sendRawTransaction", raw(0))
    assert bare.rpc("eth_sendRawTransaction", slightly).startswith("0x")
    bare.close()
    assert ask(one, "eth_sendRawTransaction", raw(0, fee=11 * GWEI, tip=11 * GWEI // 10)).startswith("0x")


def test_proxy__when_a_rule_is_broken__then_geth_s_own_words_with_the_numbers_come_back(
    ground: Ground,
) -> None:
    one, other = ground.proxy(), ground.proxy("two", client="nethermind")
    ask(one, "eth_sendRawTransaction", raw(0))
    ground.net.mine()
    assert refused(one, raw(0, fee=20 * GWEI)) == "nonce too low: next nonce 1, tx nonce 0"
    assert refused(other, raw(0, fee=20 * GWEI)) == "OldNonce, Current nonce: 1, nonce of rejected tx: 0"
    told = refused(one, raw(1, value=10**21))
    assert told.startswith("insufficient funds for gas * price + value: balance 99")
    assert refused(one, raw(1, gas=20_000)) == "intrinsic gas too low: gas 20000, minimum needed 21000"
    assert refused(one, raw(1, tip=0)) == "transaction underpriced: gas tip cap 0, minimum needed 1"
    ask(one, "eth_sendRawTransaction", raw(1))
    assert refused(one, raw(1)) == "already known"
    assert refused(other, raw(1)) == "AlreadyKnown"


def test_proxy__when_a_nonce_is_missing__then_nothing_is_mined_until_it_comes(ground: Ground) -> None:
    one = ground.proxy()
    ask(one, "eth_sendRawTransaction", raw(1))
    ground.net.mine()
    assert int(ground.chain.rpc("eth_getTransactionCount", address_of(), "latest"), 16) == 0
    ask(one, "eth_sendRawTransaction", raw(0))
    ground.net.mine()
    assert int(ground.chain.rpc("eth_getTransactionCount", address_of(), "latest"), 16) == 2


def test_proxy__when_the_base_fee_passes_a_transaction_over__then_it_is_kept_and_mined_later(
    ground: Ground,
) -> None:
    one = ground.proxy()
    ask(one, "eth_sendRawTransaction", raw(0))
    for _ in range(2):
        ground.chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
        ground.net.mine()
    assert int(ground.chain.rpc("eth_getTransactionCount", address_of(), "latest"), 16) == 0
    assert refused(one, raw(0)) == "already known"
    ground.chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    ground.net.mine()
    assert int(ground.chain.rpc("eth_getTransactionCount", address_of(), "latest"), 16) == 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.TOO_MANY, "HTTP 429"),
        (Fault.SERVER_ERROR, "HTTP 50"),
        (Fault.RESET_BEFORE, "closed the connection"),
        (Fault.RESET_AFTER, "closed the connection"),
        (Fault.TRUNCATED, "no JSON object"),
        (Fault.WRONG_ID, "another request's id"),
        (Fault.HANG, "did not answer in time"),
    ],
)
def test_proxy__when_a_fault_is_certain__then_the_keeper_s_body_calls_it_by_its_name(
    ground: Ground, fault: Fault, expected: str
) -> None:
    one = ground.proxy(rates={fault: 1.0})
    with pytest.raises(Transient) as told:
        ask(one, "eth_chainId", timeout_s=1.0 if fault is Fault.HANG else 60.0)
    assert expected in str(told.value)
    assert isinstance(told.value, RateLimited) == (fault is Fault.TOO_MANY)
    assert one.met == {fault: 1}


@pytest.mark.parametrize(
    ("fault", "held"), [(Fault.RESET_BEFORE, 0), (Fault.RESET_AFTER, 1), (Fault.SWALLOW, 0)]
)
def test_proxy__when_a_send_is_cut__then_it_depends_on_the_side_whether_the_pool_has_it(
    ground: Ground, fault: Fault, held: int
) -> None:
    one = ground.proxy(rates={fault: 1.0})
    if fault is Fault.SWALLOW:
        assert ask(one, "eth_sendRawTransaction", raw(0)).startswith("0x")
    else:
        with pytest.raises(Transient):
            ask(one, "eth_sendRawTransaction", raw(0))
    assert len(ground.net.pool) == held


def test_proxy__when_it_lags__then_heads_state_and_unknown_hashes_are_of_the_past(ground: Ground) -> None:
    one = ground.proxy(lag_blocks=2)
    ask(one, "eth_sendRawTransaction", raw(0))
    ground.net.mine()
    ground.net.mine()
    head = ground.chain.block()
    assert int(ask(one, "eth_blockNumber"), 16) == head.number - 2
    assert int(ask(one, "eth_getBlockByNumber", "latest", False)["number"], 16) == head.number - 2
    assert ask(one, "eth_getTransactionCount", address_of(), "latest") == "0x0"
    with pytest.raises(Rejected, match="header not found"):
        ask(one, "eth_call", {"to": HOST, "data": "0x"}, {"blockHash": head.hash})


def test_proxy__when_it_lies_about_state__then_only_its_calls_are_of_the_past(ground: Ground) -> None:
    ground.chain.rpc("anvil_setCode", HOST, "0x4360005260206000f3")  # returns block.number
    for _ in range(3):
        ground.net.mine()
    honest, liar, head = ground.proxy(), ground.proxy("liar", old_state_blocks=2), ground.chain.block()
    for block in ("latest", {"blockHash": head.hash}):
        told = [int(ask(one, "eth_call", {"to": HOST, "data": "0x"}, block), 16) for one in (honest, liar)]
        assert told == [head.number, head.number - 2]
    assert int(ask(liar, "eth_blockNumber"), 16) == head.number
    assert ask(liar, "eth_getBlockByNumber", "latest", False)["hash"] == head.hash


def test_proxy__when_it_travels_in_time__then_some_heads_are_older_than_it_has_shown(ground: Ground) -> None:
    for _ in range(4):
        ground.net.mine()
    one, head = ground.proxy(rates={Fault.STALE: 0.5}), ground.chain.block().number
    told = [int(ask(one, "eth_blockNumber"), 16) for _ in range(20)]
    assert max(told) == head
    assert head - 3 <= min(told) < head


def test_proxy__when_its_head_is_another__then_its_own_hash_can_be_asked_of_it_alone(ground: Ground) -> None:
    one, sound = ground.proxy(rates={Fault.OTHER_HEAD: 1.0}), ground.proxy("two")
    other = ask(one, "eth_getBlockByNumber", "latest", False)
    assert other["hash"] != ask(sound, "eth_getBlockByNumber", "latest", False)["hash"]
    assert ask(one, "eth_getBlockByHash", other["hash"], False)["number"] == other["number"]
    assert ask(sound, "eth_getBlockByHash", other["hash"], False) is None


def test_proxy__when_seeded__then_the_same_faults_come_again() -> None:
    def drawn(seed: str) -> list[Fault | None]:
        dice = Dice(mixed(0.5), seed)
        return [dice.draw() for _ in range(200)]

    assert drawn("a") == drawn("a") != drawn("b")
    assert 60 < sum(f is not None for f in drawn("a")) < 140


def test_stream__when_it_dies_silently__then_the_keeper_notices_within_two_blocks_and_five_seconds(
    ground: Ground,
) -> None:
    one = ground.proxy()
    events: list[tuple[float, HeadKind]] = []
    heads: list[int] = []

    async def live() -> tuple[float, float]:
        endpoint = EndpointSettings(name="one", url=one.url, ws_url=one.ws_url, rate_per_s=1e4, concurrency=8)
        chain = ChainSettings(
            name="local", chain_id=31337, block_time_s=0.25, multicall=HOST, native_token=None,
            endpoints=(endpoint,),
        )  # fmt: skip
        clock = SystemClock()
        endpoints = await Endpoints.open(chain, clock, lambda event: None)

        def tell(event: HeadEvent) -> None:
            events.append((time.monotonic(), event.kind))

        mailbox, following = Mailbox(), Heads(chain, endpoints, clock, tell)
        tasks = [asyncio.create_task(following.run(mailbox)), asyncio.create_task(_collect(mailbox, heads))]
        try:
            await _until(lambda: HeadKind.STREAM_UP in [k for _, k in events])
            await _until(lambda: not following.polling)
            one.silent = True
            silent_s = time.monotonic()
            async with standstill() as lost_s:
                await _until(lambda: HeadKind.STREAM_DOWN in [k for _, k in events])
                lost = lost_s()
            down_s = next(s for s, k in events if k is HeadKind.STREAM_DOWN)
            seen = len(heads)
            await _until(lambda: len(heads) > seen + 3)
            return down_s - silent_s, lost
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await endpoints.close()

    ground.net.blocks_every(0.25)
    took_s, lost_s = asyncio.run(live())
    ground.net.stop_blocks()
    assert took_s > 3.0
    assert took_s - lost_s < 2 * 0.25 + 5 + 1.0


async def _collect(mailbox: Mailbox, heads: list[int]) -> None:
    while True:
        heads.append((await mailbox.get()).number)


async def _until(holds: Any, within_s: float = 90.0) -> None:
    async with asyncio.timeout(within_s):
        while True:
            if holds():
                return
            await asyncio.sleep(0.02)
