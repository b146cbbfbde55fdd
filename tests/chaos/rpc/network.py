"""A network of bad endpoints in front of one anvil: one pool by geth's rules, and as many proxies as wanted.

anvil only executes: the pool keeps what it accepted, hands anvil what may be mined, and hands it again when a
block's base fee has made anvil forget it. Everything runs on one loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import aiohttp
import orjson

from tests.chaos.rpc.pool import Pool, Refused, Rules, State, Tx, read_tx

T = TypeVar("T")
Push = Callable[[Mapping[str, Any]], None]


class UpstreamFailed(Exception):
    """anvil refused: its code, message and data."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        self.error = dict(error)
        super().__init__(str(error))


@dataclass(slots=True, kw_only=True)
class Seen:
    """A transaction's way through the network, for whoever measures."""

    tx: Tx
    first_s: float
    """When a pool first had it, on the wall clock."""
    block: int | None = None
    """Where it was mined."""
    answers: list[Refused | None] = field(default_factory=list)


class Network:
    """``with Network(node.url, node.ws_url) as net: net.proxy(...); net.mine()``."""

    def __init__(self, url: str, ws_url: str, *, rules: Rules | None = None) -> None:
        self.pool = Pool(rules=rules or Rules())
        self.seen: dict[str, Seen] = {}
        self.held_back: set[str] = set()
        """Senders whose transactions no builder takes, though every pool has them."""
        self.head: Mapping[str, Any] = {}
        self.made_s: dict[int, float] = {}
        """Block -> when it was made, on the wall clock."""
        self._orders: list[Mapping[str, str]] = []
        self._url, self._ws_url = url, ws_url
        self._listeners: list[Push] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._session: aiohttp.ClientSession | None = None
        self._closers: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._mining = asyncio.Lock()

    def __enter__(self) -> Network:
        self._thread.start()
        self.do(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, T], timeout_s: float = 60.0) -> T:
        """Run something on the network's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def mine(self) -> int:
        """One block of whatever the pool can offer; its number."""
        return self.do(self._mine())

    def order(self, *sends: Mapping[str, str]) -> None:
        """``eth_sendTransaction`` fields of unlocked accounts, all for the next block."""
        self._orders.extend(sends)

    def blocks_every(self, period_s: float) -> None:
        """Blocks by the clock from now on."""
        self.do(self._start(self._blocks(period_s)))

    def stop_blocks(self) -> None:
        """No more blocks by the clock."""
        self.do(self._stop_blocks())

    async def call(self, method: str, params: object) -> Any:
        """anvil's own answer. Raises UpstreamFailed."""
        assert self._session is not None
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        async with self._session.post(self._url, data=body) as response:
            answer = orjson.loads(await response.read())
        if "error" in answer:
            raise UpstreamFailed(answer["error"])
        return answer["result"]

    async def submit(self, raw: bytes) -> tuple[Tx, Refused | None]:
        """A raw transaction to the pool, and on to anvil when it may be mined. Raises ValueError."""
        tx = read_tx(raw)
        state = await self.state_of(tx.sender)
        refused = self.pool.add(tx, state)
        known = self.seen.setdefault(tx.hash, Seen(tx=tx, first_s=time.time()))
        known.answers.append(refused)
        return tx, refused

    async def state_of(self, sender: str) -> State:
        """What the newest block says of an account."""
        nonce, balance, head = await asyncio.gather(
            self.call("eth_getTransactionCount", [sender, "latest"]),
            self.call("eth_getBalance", [sender, "latest"]),
            self.call("eth_getBlockByNumber", ["latest", False]),
        )
        return State(
            nonce=int(nonce, 16),
            balance_wei=int(balance, 16),
            gas_limit=int(head["gasLimit"], 16),
            base_fee_wei=int(head["baseFeePerGas"], 16),
        )

    def listen(self, push: Push) -> None:
        """Be told of every head that anvil announces."""
        self._listeners.append(push)

    def at_close(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Something else to end with the network."""
        self._closers.append(close)

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), headers={"Content-Type": "application/json"}
        )
        ready = asyncio.Event()
        self._tasks.append(asyncio.create_task(self._heads(ready)))
        await asyncio.wait_for(ready.wait(), 60)

    async def _close(self) -> None:
        await self._stop_blocks()
        for close in self._closers:
            await close()
        assert self._session is not None
        await self._session.close()
        # handlers of clients that are gone, heads on their way
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _heads(self, ready: asyncio.Event) -> None:
        assert self._session is not None
        async with self._session.ws_connect(self._ws_url, max_msg_size=0) as ws:
            await ws.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
            await ws.receive_json()
            ready.set()
            async for message in ws:
                told = orjson.loads(message.data)
                self.head = told["params"]["result"]
                for push in self._listeners:
                    push(self.head)

    async def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._ticking = asyncio.create_task(work)

    async def _stop_blocks(self) -> None:
        ticking: asyncio.Task[None] | None = getattr(self, "_ticking", None)
        if ticking is not None:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    async def _blocks(self, period_s: float) -> None:
        due_s = time.monotonic()
        while True:
            due_s += period_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            await self._mine()

    async def _mine(self) -> int:
        async with self._mining:
            while self._orders:
                await self.call("eth_sendTransaction", [self._orders.pop(0)])
            for tx in (t for s in self.pool.senders for t in self._offered(s)):
                try:
                    await self.call("eth_sendRawTransaction", ["0x" + tx.raw.hex()])
                except UpstreamFailed:
                    # it has it already, or its base fee forbids it: the next block asks again
                    continue
            await self.call("evm_mine", [])
            senders = self.pool.senders
            nonces = await asyncio.gather(
                *(self.call("eth_getTransactionCount", [s, "latest"]) for s in senders)
            )
            self.pool.settle({s: int(n, 16) for s, n in zip(senders, nonces, strict=True)})
            return await self._note_mined()

    async def _note_mined(self) -> int:
        block = await self.call("eth_getBlockByNumber", ["latest", False])
        number = int(block["number"], 16)
        self.made_s[number] = time.time()
        for tx_hash in block["transactions"]:
            if tx_hash in self.seen:
                self.seen[tx_hash].block = number
        return number

    def _offered(self, sender: str) -> list[Tx]:
        return [] if sender in self.held_back else self.pool.pending(sender)
