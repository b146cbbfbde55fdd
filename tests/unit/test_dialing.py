"""Names are asked of the system by everything of ours that dials over HTTP, though the extra brings aiodns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from keeper.chain.contract import close_web3, open_web3
from keeper.chain.rpc import Rpc
from keeper.clock import ManualClock
from keeper.config import TickerSettings
from keeper.errors import Transient
from keeper.executor.bids import Ask
from keeper.notify.courier import Undelivered
from keeper.notify.post import DeadManSwitch
from keeper.notify.telegram import Telegram
from keeper.oracle.aggregator import Aggregator
from keeper.oracle.aggregator import Where as Whom
from keeper.oracle.dialects import DIALECTS
from keeper.oracle.tickers import Tickers, places
from tests.build import USDC, WETH
from tests.mandates import EXECUTOR, ROUTER

pytestmark = pytest.mark.unit

HOST = "name.example"
URL = f"https://{HOST}"
ASK = Ask(
    executor=EXECUTOR,
    sell=WETH,
    buy=USDC,
    sell_units=10**18,
    least=1,
    slippage_bps=50,
    routers=(ROUTER,),
)


async def endpoint() -> None:
    # without a chain's number it is aiohttp that asks
    rpc = Rpc("a", URL, None)
    try:
        await rpc.call("eth_blockNumber", (), timeout_s=5.0)
    finally:
        await rpc.close()


async def contracts() -> None:
    w3 = await open_web3(URL)
    try:
        await w3.eth.chain_id
    finally:
        await close_web3(w3)


async def ping() -> None:
    switch = DeadManSwitch(URL, 60.0, ManualClock())
    switch.feed()
    await switch.ping()


async def chat() -> None:
    await Telegram(URL, "1:a").say(1, "hello")


async def exchanges() -> None:
    await Tickers(places([TickerSettings(name="kraken", url=URL)]), ManualClock()).prices(["ETH"])


async def swaps() -> None:
    aggregator = Aggregator(Whom(dialect=next(iter(DIALECTS.values())), url=URL), ManualClock())
    try:
        await aggregator.bid(ASK, within_s=5.0)
    finally:
        await aggregator.close()


class Others:
    """What aiohttp takes by itself, where aiodns is installed."""

    def __init__(self, *_: object, **__: object) -> None: ...

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[object]:
        """No name of ours may come here."""
        raise OSError("asked past the system")

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("dials", [endpoint, contracts, ping, chat, exchanges, swaps])
def test_dialing__when_the_extra_brings_a_resolver_of_names__then_the_systems_own_is_asked_all_the_same(
    dials: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[object]:
        asked.append(host)
        raise OSError("no such name")

    monkeypatch.setattr("aiohttp.connector.DefaultResolver", Others)
    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)

    async def once() -> None:
        with contextlib.suppress(aiohttp.ClientError, Transient, Undelivered, OSError):
            await dials()

    asyncio.run(once())
    assert set(asked) == {HOST}
