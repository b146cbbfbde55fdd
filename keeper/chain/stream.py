"""``newHeads`` of one endpoint over a WebSocket connection of its own.

Calls never travel here: a handler that waits for a call behind a flood of messages deadlocks. A link that is
open but silent is noticed by pings and by the age of the last head, and is then dropped without a handshake.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from keeper.chain.rpc import QUANTITY, WrongChain
from keeper.config import EndpointSettings
from keeper.errors import Transient

OPEN_TIMEOUT_S = 5.0
PING_S = 5.0
CLOSE_TIMEOUT_S = 2.0
MESSAGE_BYTES_MAX = 2**24

_QUIET = logging.Logger("keeper.chain.stream", level=logging.CRITICAL + 1)
"""The library's own debug log would print the URL, with its token."""


class _NoRedirect(connect):
    """A redirect would carry the token to a host that nobody configured."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def follow(
    endpoint: EndpointSettings,
    chain_id: int,
    stale_s: float,
    on_open: Callable[[], None],
    on_head: Callable[[object], Awaitable[None]],
) -> NoReturn:
    """Subscribe and hand every header on, until something goes wrong: then Transient says what.

    ``on_open`` is called once subscribed. No head for ``stale_s`` seconds counts as trouble. Raises
    WrongChain when the endpoint serves another chain.
    """
    ws = await _open(endpoint)
    try:
        told = _quantity(await _answer(ws, endpoint.name, 1, "eth_chainId", []), endpoint.name)
        if told != chain_id:
            raise WrongChain(endpoint.name, told, "stream ")
        subscription = await _answer(ws, endpoint.name, 2, "eth_subscribe", ["newHeads"])
        on_open()
        deadline_s = asyncio.get_running_loop().time() + stale_s
        while True:
            message = await _receive(ws, endpoint.name, deadline_s)
            params = message.get("params")
            if message.get("method") == "eth_subscription" and isinstance(params, dict):
                if params.get("subscription") != subscription:
                    raise Transient(f"{endpoint.name}: stream answered another subscription")
                await on_head(params.get("result"))
                deadline_s = asyncio.get_running_loop().time() + stale_s
    finally:
        await _drop(ws)


async def _open(endpoint: EndpointSettings) -> ClientConnection:
    if endpoint.ws_url is None:
        raise ValueError(f"{endpoint.name} has no ws_url")
    try:
        return await _NoRedirect(
            endpoint.ws_url,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=MESSAGE_BYTES_MAX,
            compression=None,
            proxy=None,
            logger=_QUIET,
        )
    except (WebSocketException, OSError, ValueError, RuntimeError) as error:
        why = _cause(error)
    # raised outside the handler: the library's exceptions hold the URL
    raise Transient(f"{endpoint.name}: stream cannot be opened ({why})")


async def _drop(ws: ClientConnection) -> None:
    """End the connection now: a closing handshake on a dead link would take its whole time-out."""
    ws.transport.abort()
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await ws.wait_closed()
    except TimeoutError:
        return


async def _answer(
    ws: ClientConnection, name: str, number: int, method: str, params: Sequence[object]
) -> object:
    """Ask over the stream and wait for the answer; a header that comes first is of no use yet."""
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    try:
        await ws.send(orjson.dumps(body).decode())
    except (WebSocketException, RuntimeError):
        raise Transient(f"{name}: stream closed") from None
    deadline_s = asyncio.get_running_loop().time() + OPEN_TIMEOUT_S
    while True:
        message = await _receive(ws, name, deadline_s)
        if message.get("id") == number:
            if not isinstance(message.get("result"), str):
                raise Transient(f"{name}: stream refused {method}")
            return message["result"]


async def _receive(ws: ClientConnection, name: str, deadline_s: float) -> dict[str, object]:
    try:
        async with asyncio.timeout_at(deadline_s):
            message = orjson.loads(await ws.recv())
    except TimeoutError:
        message, why = None, "silent for too long"
    except (WebSocketException, RuntimeError) as error:
        message, why = None, f"broke ({_cause(error)})"
    except ValueError:
        message, why = None, "answered no JSON"
    else:
        why = "answered no JSON object"
    if not isinstance(message, dict):
        raise Transient(f"{name}: stream {why}")
    return message


def _quantity(told: object, name: str) -> int:
    if not isinstance(told, str) or not QUANTITY.fullmatch(told):
        raise Transient(f"{name}: stream answered no chain id")
    return int(told, 16)


def _cause(error: BaseException) -> str:
    """Our own words; the library's would repeat the URL."""
    if isinstance(error, InvalidStatus):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return errno.errorcode[error.errno]
    return type(error).__name__
