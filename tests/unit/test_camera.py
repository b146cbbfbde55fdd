"""The camera: encoded once, asked once a block, every answer of its own block, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address

from keeper.config import ChainSettings
from keeper.daemon.camera import TIP_BLOCKS_MAX, Camera
from keeper.daemon.shadow import ShadowBook, Shadowed
from keeper.errors import Transient
from keeper.model import Block, Call, Snapshot
from keeper.seams import Priority, Shadow
from keeper.venues.aave_v3 import AaveV3
from tests.aave_market import ALICE, BOB, MULTICALL, FakeMarket, market
from tests.aave_snapshot import WALLET
from tests.virtual_time import run as in_virtual_time

pytestmark = pytest.mark.unit

NONCE, TIP = "eth_getTransactionCount", "eth_maxPriorityFeePerGas"


class Node:
    """A Transport over the market in memory. ``fails`` names methods that nobody answers."""

    def __init__(self, chain: FakeMarket) -> None:
        self.chain = chain
        self.asked: list[tuple[str, Sequence[Any]]] = []
        self.fails: set[str] = set()
        self.nonces: dict[str, str] = {}
        self.under_way = 0
        self.hold: asyncio.Event | None = None
        """What reads wait for, when set."""
        self.tip = "0x5"
        self.tip_hold: asyncio.Event | None = None

    async def request(
        self,
        method: str,
        params: Sequence[Any],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        self.asked.append((method, params))
        self.under_way += 1
        try:
            await asyncio.sleep(0)
            if method in self.fails:
                raise Transient(f"nobody answered {method}")
            if method == NONCE:
                return self.nonces.get(params[1]["blockHash"], "0x7")
            if method == TIP:
                told = self.tip
                if self.tip_hold is not None:
                    await self.tip_hold.wait()
                return told
            if self.hold is not None:
                await self.hold.wait()
            return self._multicall(params[0]["data"])
        finally:
            self.under_way -= 1

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        raise AssertionError("a camera sends nothing")

    def _multicall(self, data: str) -> str:
        (calls,) = decode(["(address,bool,bytes)[]"], bytes.fromhex(data[10:]))
        answers = [self.chain.answer(Call(target=_checksum(t), data=d)) for t, _, d in calls]
        told = [(a is not None, a or b"") for a in answers]
        return "0x" + encode(["(bool,bytes)[]"], [told]).hex()

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.asked)

    @property
    def calldata(self) -> list[str]:
        return [params[0]["data"] for name, params in self.asked if name == "eth_call"]


class Place:
    """A camera in front of a market with ALICE and BOB."""

    def __init__(self, wallet: str | None = WALLET) -> None:
        chain = market(wallet={"WETH": 5, "USDC": 7, "native": 11})
        self.venue: AaveV3 = chain.venue()
        self.node = Node(chain)
        settings = ChainSettings(
            name="test", chain_id=1, block_time_s=12.0, multicall=MULTICALL, native_token=None, endpoints=()
        )
        self.camera = Camera(settings, self.node, wallet)

    async def shoot(self, block: Block, *accounts: str, shadows: ShadowBook | None = None) -> Snapshot:
        return await self.camera.photograph(
            {self.venue.id: self.venue},
            {self.venue.id: accounts or (ALICE, BOB)},
            block,
            shadows or ShadowBook(),
            {},
        )


def _checksum(address: str) -> str:
    return to_checksum_address(address)


def block(number: int) -> Block:
    at = market().block(number)
    return replace(at, hash=f"0x{number:064x}", parent_hash=f"0x{number - 1:064x}")


def run(work: Callable[[Place], Coroutine[Any, Any, None]], wallet: str | None = WALLET) -> list[str]:
    """What the loop complained of: exceptions that nobody looked at, tasks destroyed while pending."""
    complaints: list[str] = []
    here = Place(wallet)

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, c: complaints.append(str(c["message"])))
        await work(here)
        gc.collect()
        await asyncio.sleep(0)

    in_virtual_time(watched())
    gc.collect()
    return complaints


def test_photograph__when_the_accounts_stay__then_the_same_calldata_object_is_sent() -> None:
    async def work(here: Place) -> None:
        for number in (1, 2, 3, 4):
            await here.shoot(block(number))
        # the first block asks twice (it learns what each account holds), later ones once
        *_, before, last = here.node.calldata
        assert before is last
        assert len(here.node.calldata) == 5

    assert run(work) == []


def test_photograph__when_accounts_change_and_come_back__then_their_own_answers_are_given() -> None:
    async def work(here: Place) -> None:
        for _ in range(3):
            for accounts in ((ALICE,), (BOB,), (ALICE, BOB), (BOB, ALICE)):
                seen = await here.shoot(block(1), *accounts)
                assert [p.id.account for p in seen.positions] == list(accounts)

    assert run(work) == []


def test_photograph__when_one_block_is_asked_again__then_nothing_is_read_anew() -> None:
    async def work(here: Place) -> None:
        first = await here.shoot(block(1))
        asked = len(here.node.asked)
        id = here.venue.position_id(ALICE)
        held = next(p for p in first.positions if p.id == id)
        shadow = Shadow(
            id=id,
            collateral={h.amount.token.address: 2 * h.stored for h in held.collateral},
            debt={h.amount.token.address: h.stored for h in held.debt},
        )
        shadowed = Shadowed(shadow=shadow, chain_collateral={}, chain_debt={})
        again = await here.shoot(block(1), shadows=ShadowBook(positions={id: shadowed}))
        learned = [name for name, _ in here.node.asked[asked:]]
        # a first photograph may still have to learn; then the block is known
        assert learned in ([], ["eth_call"])
        third = await here.shoot(block(1))
        assert len(here.node.asked) == asked + len(learned)
        assert third.digest == first.digest
        assert again.digest != first.digest
        assert here.node.count(NONCE) == here.node.count(TIP) == 1

    assert run(work) == []


def test_photograph__nonce__is_of_the_block_by_its_hash() -> None:
    async def work(here: Place) -> None:
        here.node.nonces = {block(1).hash: "0x3", block(2).hash: "0x4"}
        assert (await here.shoot(block(1))).means.nonce == 3
        assert (await here.shoot(block(2))).means.nonce == 4
        # the chain went back: the first block is another block than the second, whatever came last
        assert (await here.shoot(block(1))).means.nonce == 3
        asked = [params for name, params in here.node.asked if name == NONCE]
        assert asked == [[WALLET, {"blockHash": block(n).hash}] for n in (1, 2, 1)]

    assert run(work) == []


def test_photograph__when_the_nonce_fails__then_the_tick_fails_and_the_block_may_be_asked_again() -> None:
    async def work(here: Place) -> None:
        here.node.fails = {NONCE}
        with pytest.raises(Transient, match=NONCE):
            await here.shoot(block(1))
        assert here.node.under_way == 0
        here.node.fails = set()
        assert (await here.shoot(block(1))).means.nonce == 7

    assert run(work) == []


def test_photograph__when_the_tip_fails__then_a_default_bid_stands() -> None:
    async def work(here: Place) -> None:
        here.node.fails = {TIP}
        means = (await here.shoot(block(1))).means
        assert (means.nonce, means.tip_wei) == (7, 10**8)

    assert run(work) == []


def test_photograph__when_the_tip_is_late__then_the_last_one_is_bid_and_the_new_one_next_time() -> None:
    async def work(here: Place) -> None:
        assert (await here.shoot(block(1))).means.tip_wei == 5
        here.node.tip, here.node.tip_hold = "0x9", asyncio.Event()
        assert (await here.shoot(block(2))).means.tip_wei == 5
        here.node.tip_hold.set()
        await asyncio.sleep(0.001)
        # one block, one photograph: what was told meanwhile does not change it
        assert (await here.shoot(block(2))).means.tip_wei == 5
        here.node.tip_hold = None
        assert (await here.shoot(block(3))).means.tip_wei == 9

    assert run(work) == []


def test_photograph__when_the_last_tip_is_old__then_the_new_one_is_waited_for() -> None:
    async def work(here: Place) -> None:
        assert (await here.shoot(block(1))).means.tip_wei == 5
        here.node.tip, here.node.tip_hold = "0x9", asyncio.Event()
        waiting = asyncio.ensure_future(here.shoot(block(2 + TIP_BLOCKS_MAX)))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not waiting.done()
        here.node.tip_hold.set()
        assert (await waiting).means.tip_wei == 9

    assert run(work) == []


@pytest.mark.parametrize("fails", [{"eth_call"}, {"eth_call", NONCE}, {"eth_call", NONCE, TIP}, {NONCE, TIP}])
def test_photograph__when_reads_fail__then_no_task_and_no_unseen_exception_is_left(fails: set[str]) -> None:
    async def work(here: Place) -> None:
        here.node.fails = fails
        for number in (1, 1, 2):
            with pytest.raises(Transient):
                await here.shoot(block(number))
        assert here.node.under_way == 0
        assert len(asyncio.all_tasks()) == 1

    assert run(work) == []


def test_photograph__when_it_is_cut_off__then_the_same_block_can_be_photographed_later() -> None:
    async def work(here: Place) -> None:
        here.node.hold = asyncio.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await here.shoot(block(1))
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        here.node.hold.set()
        assert len((await here.shoot(block(1))).positions) == 2

    assert run(work) == []


def test_photograph__when_a_newer_block_comes_between__then_each_reads_its_own_block() -> None:
    async def work(here: Place) -> None:
        here.node.hold = asyncio.Event()
        older = asyncio.create_task(here.shoot(block(1)))
        await asyncio.sleep(0.01)
        newer = asyncio.create_task(here.shoot(block(2)))
        await asyncio.sleep(0.01)
        here.node.hold.set()
        shots = await asyncio.gather(older, newer)
        assert [s.block.number for s in shots] == [1, 2]
        read = [params[1]["blockHash"] for name, params in here.node.asked if name == "eth_call"]
        # both learn in a second round: asked of the block that each is about
        assert sorted(read) == sorted([block(1).hash, block(2).hash] * 2)

    assert run(work) == []


def test_photograph__without_a_wallet__asks_for_no_nonce() -> None:
    async def work(here: Place) -> None:
        assert (await here.shoot(block(1))).means.nonce == 0
        assert {name for name, _ in here.node.asked} == {"eth_call"}

    assert run(work, wallet=None) == []
