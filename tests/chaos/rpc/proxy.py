"""One endpoint of a network: HTTP and WebSocket on a loopback port, with a client's words and its own faults."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from tests.chaos.rpc.clients import NO_BLOCK, voice
from tests.chaos.rpc.faults import Dice, Fault, Faults
from tests.chaos.rpc.network import Network, UpstreamFailed

HANG_S = 60.0
STALE_BLOCKS_MAX = 3
_HEADS = ("eth_blockNumber", "eth_getBlockByNumber")
_STATE_AT = {
    "eth_call": 1,
    "eth_getTransactionCount": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getStorageAt": 2,
}
"""Where a method names the block that it asks of."""


class Answer(Exception):
    """An error answer on its way to the client."""

    def __init__(self, code: int, message: str) -> None:
        self.error = {"code": code, "message": message}
        super().__init__(message)


class Proxy:
    """Made by ``open``; its faults may be changed at any moment."""

    def __init__(self, net: Network, name: str, client: str, dice: Dice) -> None:
        self.name = name
        self.dice = dice
        self.silent = False
        """The WebSocket stays open and says nothing more, not even a pong."""
        self.requests: list[str] = []
        self.met: dict[Fault, int] = {}
        self._net = net
        self._client = client
        self._say = voice(client)
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._sockets: dict[web.WebSocketResponse, str] = {}
        self._other: dict[str, str] = {}
        """Hashes that only this endpoint knows -> those that they stand for."""
        self._behind: list[Mapping[str, Any]] = []
        self._telling: set[asyncio.Task[None]] = set()

    @classmethod
    def open(cls, net: Network, name: str, faults: Faults | None = None, *, client: str = "geth") -> Proxy:
        """Listen on a free port until the network closes."""
        made = cls(net, name, client, Dice(faults or Faults(), name))
        net.do(made._open())
        return made

    @property
    def url(self) -> str:
        """HTTP JSON-RPC."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        """WebSocket, same port."""
        return f"ws://127.0.0.1:{self._port}"

    def be(self, faults: Faults) -> None:
        """Another temper from now on."""
        self.dice.faults = faults

    async def _open(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/", self._http)
        app.router.add_get("/", self._stream)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self._net.listen(self._head)
        self._net.at_close(self._close)

    async def _close(self) -> None:
        for task in tuple(self._telling):
            task.cancel()
        for ws in tuple(self._sockets):
            await ws.close()
        assert self._runner is not None
        await self._runner.cleanup()

    async def _http(self, request: web.Request) -> web.StreamResponse:
        asked = orjson.loads(await request.read())
        self.requests.append(asked["method"])
        fault = self.dice.draw()
        if fault is not None:
            self.met[fault] = self.met.get(fault, 0) + 1
        await asyncio.sleep(self.dice.latency_s())
        if fault is Fault.TOO_MANY:
            return web.Response(status=429, headers={"Retry-After": f"{self.dice.faults.retry_after_s:g}"})
        if fault is Fault.SERVER_ERROR:
            return web.Response(
                status=self.dice.random.choice((500, 502, 503, 504)), text="<html>down</html>"
            )
        if fault is Fault.HANG:
            await asyncio.sleep(HANG_S)
        if fault in (Fault.RESET_BEFORE, Fault.HANG):
            return _reset(request)
        body = await self.answer(asked, fault)
        if fault is Fault.RESET_AFTER:
            return _reset(request)
        if fault is Fault.WRONG_ID:
            body["id"] = asked["id"] + 1 if isinstance(asked["id"], int) else "?"
        text = orjson.dumps(body)
        if fault is Fault.TRUNCATED:
            text = text[: self.dice.random.randrange(len(text))]
        return web.Response(body=text, content_type="application/json")

    async def answer(self, asked: Mapping[str, Any], fault: Fault | None = None) -> dict[str, Any]:
        """The whole JSON-RPC answer to one request."""
        body: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
        try:
            body["result"] = await self._result(asked["method"], list(asked.get("params") or []), fault)
        except Answer as refused:
            body["error"] = refused.error
        except UpstreamFailed as failed:
            body["error"] = failed.error
        return body

    async def _result(self, method: str, params: list[Any], fault: Fault | None) -> Any:
        if method == "eth_sendRawTransaction":
            return await self._take(str(params[0]), fault)
        stale = fault is Fault.STALE
        lag = self.dice.faults.lag_blocks + (self.dice.random.randint(1, STALE_BLOCKS_MAX) if stale else 0)
        params = [self._real(p) for p in params]
        if lag:
            params = await self._as_of(method, params, lag)
            if method == "eth_blockNumber":
                return hex(await self._height(lag))
        if method == "eth_call" and self.dice.faults.old_state_blocks:
            params = [params[0], hex(await self._height(self.dice.faults.old_state_blocks)), *params[2:]]
        result = await self._net.call(method, params)
        if fault is Fault.OTHER_HEAD and method == "eth_getBlockByNumber" and isinstance(result, dict):
            return self._other_head(result)
        return result

    async def _take(self, raw: str, fault: Fault | None) -> str:
        try:
            tx, refused = await self._net.submit(bytes.fromhex(raw[2:]))
        except ValueError as bad:
            raise Answer(-32000, str(bad)) from bad
        if refused is not None:
            raise Answer(*self._say(refused))
        if fault is Fault.SWALLOW:
            self._net.pool.drop(tx.hash)
        return tx.hash

    async def _height(self, lag: int) -> int:
        return max(0, int(await self._net.call("eth_blockNumber", []), 16) - lag)

    async def _as_of(self, method: str, params: list[Any], lag: int) -> list[Any]:
        """The same question to somebody who has not seen the newest blocks."""
        at = 0 if method == "eth_getBlockByNumber" else _STATE_AT.get(method)
        if at is None:
            return params
        number = await self._height(lag)
        if len(params) <= at:
            return [*params, hex(number)]
        block = params[at]
        if block in ("latest", "pending"):
            return [*params[:at], hex(number), *params[at + 1 :]]
        if isinstance(block, dict) and "blockHash" in block:
            found = await self._net.call("eth_getBlockByHash", [block["blockHash"], False])
            if found is None or int(found["number"], 16) > number:
                code, text = NO_BLOCK[self._client]
                raise Answer(code, text.format(block["blockHash"]))
        return params

    def _other_head(self, block: Mapping[str, Any]) -> dict[str, Any]:
        real = str(block["hash"])
        other = "0x" + real[-2:] + real[2:-2]
        self._other[other] = real
        return {**block, "hash": other}

    def _real(self, param: Any) -> Any:
        if isinstance(param, dict) and param.get("blockHash") in self._other:
            return {**param, "blockHash": self._other[param["blockHash"]]}
        return self._other.get(param, param) if isinstance(param, str) else param

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(autoping=False, max_msg_size=2**24)
        await ws.prepare(request)
        async for message in ws:
            if self.silent:
                continue
            if message.type is WSMsgType.PING:
                await ws.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                asked = orjson.loads(message.data)
                if asked["method"] == "eth_subscribe":
                    self._sockets[ws] = hex(id(ws))
                    answer = {"jsonrpc": "2.0", "id": asked["id"], "result": hex(id(ws))}
                else:
                    answer = await self.answer(asked)
                await ws.send_str(orjson.dumps(answer).decode())
        self._sockets.pop(ws, None)
        return ws

    def _head(self, head: Mapping[str, Any]) -> None:
        """A new head, told as late as this endpoint is."""
        self._behind.append(head)
        lag = self.dice.faults.lag_blocks
        due = self._behind[: len(self._behind) - lag]
        self._behind = self._behind[len(due) :]
        for told in due:
            task = asyncio.create_task(self._tell(told))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _tell(self, head: Mapping[str, Any]) -> None:
        await asyncio.sleep(self.dice.latency_s())
        for ws, id in tuple(self._sockets.items()):
            if self.silent or ws.closed:
                continue
            params = {"subscription": id, "result": head}
            text = orjson.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": params}).decode()
            try:
                await ws.send_str(text)
            except ConnectionError:
                self._sockets.pop(ws, None)


def _reset(request: web.Request) -> web.Response:
    """The connection ends in the middle of the exchange."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
