"""Exchanges that answer, lie, limit, fail or keep silent, on loopback: the median of those that agree, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from aiohttp import web

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.deployment import Deployment
from anvil.transport import ChainTransport
from keeper.clock import ManualClock
from keeper.config import ChainSettings, TickerSettings
from keeper.daemon.camera import Camera
from keeper.daemon.oracles import Around, Oracles, Unheard
from keeper.daemon.shadow import ShadowBook
from keeper.oracle.exchanges import Heard
from keeper.oracle.faults import Fault
from keeper.oracle.tickers import BODY_BYTES_MAX, EVERY_S, Tickers, places
from tests import build
from tests.anvil_reading import Reader

pytestmark = pytest.mark.anvil

NOW_S = 1_790_000_000.0
NAMES = ("kraken", "coinbase", "bitstamp", "gemini")
Quoted = tuple[float, float, float]
"""(bid, ask, unix seconds)."""


def body(name: str, asset: str, told: Quoted) -> object:
    """As each exchange answers, cut to what matters."""
    bid, ask, at_s = told
    if name == "kraken":
        return {
            "error": [],
            "result": {f"X{asset}ZUSD": [[int(at_s), f"{bid}", f"{ask}"]], "last": int(at_s)},
        }
    if name == "coinbase":
        time = datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")
        return {"trade_id": 1, "price": f"{bid}", "time": time, "bid": f"{bid}", "ask": f"{ask}"}
    if name == "bitstamp":
        return {"timestamp": f"{at_s:.0f}", "bid": f"{bid}", "ask": f"{ask}", "pair": f"{asset}/USD"}
    return {
        "bid": f"{bid}",
        "ask": f"{ask}",
        "volume": {asset: "1", "USD": "2", "timestamp": int(at_s * 1_000)},
    }


class Street:
    """Four exchanges on one loopback server; ``lies`` replace one's answer."""

    def __init__(self, price: float = 3_000.0, at_s: float = NOW_S) -> None:
        self.told: dict[str, Quoted] = dict.fromkeys(NAMES, (price - 1, price + 1, at_s - 5))
        self.lies: dict[str, Callable[[], Any]] = {}
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name, path = request.path.split("/")[1:3][0], request.path
        self.asked.append(path)
        if name in self.lies:
            told = self.lies[name]()
            return cast(web.StreamResponse, await told if asyncio.iscoroutine(told) else told)
        if "ETH" not in request.path_qs.upper():
            return web.Response(status=404)
        return web.json_response(body(name, "ETH", self.told[name]))

    async def heard(
        self, *, times: int = 1, clock: ManualClock | None = None, dead: str = "", asset: str = "ETH"
    ) -> Heard:
        """What the tickers make of it."""
        app = web.Application()
        app.router.add_get("/{tail:.*}", self.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            urls = {n: "http://127.0.0.1:1" if n == dead else f"http://127.0.0.1:{port}/{n}" for n in NAMES}
            named = [TickerSettings(name=n, url=url) for n, url in urls.items()]
            tickers = Tickers(places(named), clock or ManualClock(now_s=NOW_S))
            found: Mapping[str, Heard] = {}
            for _ in range(times):
                found = await tickers.prices([asset])
                if clock is not None:
                    clock.advance(EVERY_S)
            return found[asset]
        finally:
            await runner.cleanup()


def lied(name: str, lie: Quoted | Callable[[], Any]) -> Heard:
    street = Street()
    if callable(lie):
        street.lies[name] = lie
    else:
        street.told[name] = lie
    return asyncio.run(street.heard())


def test_tickers__when_all_answer_honestly__then_the_median_is_the_price_and_nobody_is_refused() -> None:
    street = Street()
    street.told |= {"kraken": (2_989.0, 2_991.0, NOW_S), "gemini": (3_019.0, 3_021.0, NOW_S)}
    assert asyncio.run(street.heard()) == Heard(price=3_000.0, at_s=NOW_S - 5)
    assert len(street.asked) == 4


async def _never() -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


LIES: tuple[tuple[str, Quoted | Callable[[], Any]], ...] = (
    ("not_positive", (0.0, 0.0, NOW_S)),
    ("not_positive", (-3_000.0, 3_000.0, NOW_S)),
    ("not_positive", (float("nan"), 3_000.0, NOW_S)),
    ("crossed", (3_001.0, 2_999.0, NOW_S)),
    ("wide", (2_900.0, 3_100.0, NOW_S)),
    ("stale", (2_999.0, 3_001.0, NOW_S - 301)),
    ("from_future", (2_999.0, 3_001.0, NOW_S + 61)),
    ("far_from_others", (1_499.0, 1_501.0, NOW_S)),
    ("garbled", lambda: web.Response(text="<html>checking your browser</html>")),
    ("garbled", lambda: web.json_response(["bid", "ask"])),
    ("garbled", lambda: web.json_response({"timestamp": "soon", "bid": "1", "ask": "2"})),
    ("garbled", lambda: web.json_response(body("bitstamp", "BTC", (90_000.0, 90_001.0, NOW_S)))),
    ("garbled", lambda: web.Response(body=b"[" * (BODY_BYTES_MAX + 1))),
    ("limited", lambda: web.Response(status=429)),
    ("failing", lambda: web.Response(status=503)),
    ("refused", lambda: web.Response(status=403)),
    ("refused", lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})),
)


@pytest.mark.parametrize(("code", "lie"), LIES)
def test_tickers__when_one_lies__then_it_is_refused_by_name_and_the_others_count(
    code: str, lie: Quoted | Callable[[], Any]
) -> None:
    heard = lied("bitstamp", lie)
    assert heard.price == 3_000.0
    assert [(r.who, r.code) for r in heard.refused] == [("bitstamp", code)]


def test_tickers__when_one_is_silent_or_gone__then_nobody_waits_for_it_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keeper.oracle.tickers.WITHIN_S", 0.2)
    street = Street()
    street.lies["kraken"] = _never
    clock = ManualClock(now_s=NOW_S)
    heard = asyncio.run(street.heard(clock=clock, dead="gemini"))
    assert {(r.who, r.code) for r in heard.refused} == {("kraken", "slow"), ("gemini", "unreachable")}
    assert heard.price == 3_000.0


def test_tickers__when_asked_again_at_once__then_the_last_answer_stands_and_nobody_is_asked() -> None:
    street = Street()
    asyncio.run(street.heard(times=5))
    assert len(street.asked) == 4


def test_tickers__when_an_asset_is_listed_nowhere__then_each_is_asked_for_it_once_and_keeps_its_other_assets() -> (
    None
):
    street = Street()
    clock = ManualClock(now_s=NOW_S)
    heard = asyncio.run(street.heard(times=4, clock=clock, asset="GHO"))
    assert {r.code for r in heard.refused} == {"unlisted"}
    assert len(street.asked) == 4


def test_tickers__when_only_one_is_left_or_they_do_not_agree__then_nothing_is_believed() -> None:
    street = Street()
    for name in NAMES[1:]:
        street.lies[name] = lambda: web.Response(status=503)
    alone = asyncio.run(street.heard())
    assert alone.price is None
    assert "at least 2" in alone.why
    split = Street()
    split.told |= dict.fromkeys(NAMES[:2], (1999.0, 2001.0, NOW_S))
    parted = asyncio.run(split.heard())
    assert parted.price is None
    assert len(parted.refused) == 4


def test_tickers__when_one_exchange_is_named_twice__then_it_does_not_agree_with_itself() -> None:
    given = (("kraken", None), ("kraken", "http://127.0.0.1:1"), ("gemini", None))
    named = [TickerSettings(name=n, url=url) for n, url in given]
    assert [w.exchange.name for w in places(named)] == ["kraken", "gemini"]
    assert "127.0.0.1" not in repr(places(named))


def looked(chain: Chain, deployment: Deployment, price: float) -> list[Fault]:
    """What the oracle room finds with exchanges at that price, and no pool."""

    async def run() -> list[Fault]:
        # answers are judged by the machine's clock: the daemon's own
        street = Street(price, datetime.now(UTC).timestamp())
        app = web.Application()
        app.router.add_get("/{tail:.*}", street.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        settings = ChainSettings(
            name="local",
            chain_id=deployment.chain_id,
            block_time_s=12.0,
            multicall=deployment.multicall,
            native_token=None,
            endpoints=(),
            tickers=tuple(TickerSettings(name=n, url=f"{url}/{n}") for n in NAMES[:3]),
        )
        camera = Camera(settings, ChainTransport(chain), None)
        venues, accounts = {venue.id: venue}, {venue.id: (account,)}
        try:
            snapshot = await camera.photograph(venues, accounts, chain.block(), ShadowBook(), {})
            around = Around(chain=settings, endpoints=cast(Any, camera.transport), camera=camera)
            policies = {venue.position_id(account): build.policy()}
            faults, _ = await Oracles(around, Unheard()).find(snapshot, venues, policies)
            return faults
        finally:
            await runner.cleanup()

    venue, account = Reader(chain, deployment).venue, deployment.roles.actors[0]
    return asyncio.run(run())


def test_oracle_room__when_exchanges_are_below_the_feed__then_the_fall_is_told_before_the_feed_moves(
    chain: Chain, deployment: Deployment
) -> None:
    weth, usdc = deployment.token("WETH"), deployment.token("USDC")
    held, owed = {"WETH": 10 * weth.unit}, {"USDC": 19_000 * usdc.unit}
    Actors(chain, deployment).open(Borrower(account=deployment.roles.actors[0], collateral=held, debt=owed))
    calm = {f.code for f in looked(chain, deployment, 3_000.0)}
    assert "predicted" not in calm
    assert "oracle_apart" not in calm
    faults = {f.code: f for f in looked(chain, deployment, 2_600.0)}
    assert "WETH 3000 -> 2600 (deviation)" in faults["predicted"].why
    assert faults["oracle_apart"].subject.endswith(weth.address)
