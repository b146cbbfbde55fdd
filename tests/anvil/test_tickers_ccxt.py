"""Exchanges read through ccxt, on loopback in their own words: the same checks and names, one GET a question."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.deployment import Deployment
from anvil.node import Anvil
from keeper.clock import ManualClock
from keeper.config import TickerSettings
from keeper.config.exchanges import ccxt_ids
from keeper.model import Refusal
from keeper.oracle.exchanges import Heard, no
from keeper.oracle.library import Library
from keeper.oracle.tickers import BODY_BYTES_MAX, EVERY_S, Tickers, places
from tests.command import typed

pytestmark = pytest.mark.anvil

NOW_S = 1_790_000_000.0
ROOT = Path(__file__).parents[2]
TICKER = "/api/v5/market/ticker?instId="
Quoted = tuple[float, float, float]
"""(bid, ask, unix seconds)."""
Reply = tuple[int, str]
"""(status, body)."""


def okx(told: Quoted, asset: str = "ETH", **changed: object) -> Reply:
    """OKX's ticker, cut to what matters; ``changed`` replaces fields, None takes one away."""
    bid, ask, at_s = told
    row = {"instType": "SPOT", "instId": f"{asset}-USD", "last": f"{bid}", "ts": f"{at_s * 1_000:.0f}"}
    row |= {"bidPx": f"{bid}", "askPx": f"{ask}", **changed}  # type: ignore[dict-item]
    kept = {k: v for k, v in row.items() if v is not None}
    return 200, json.dumps({"code": "0", "msg": "", "data": [kept]})


def binance(told: Quoted) -> Reply:
    """Binance's ticker of a day, cut to what matters."""
    bid, ask, at_s = told
    row = {"symbol": "ETHUSDT", "bidPrice": f"{bid}", "askPrice": f"{ask}", "closeTime": int(at_s * 1_000)}
    return 200, json.dumps(row)


def gemini(told: Quoted) -> Reply:
    """Gemini's, which a reader of our own reads."""
    bid, ask, at_s = told
    volume = {"ETH": "1", "USD": "2", "timestamp": int(at_s * 1_000)}
    return 200, json.dumps({"bid": f"{bid}", "ask": f"{ask}", "volume": volume})


NO_SYMBOL: Reply = 400, json.dumps({"code": -1121, "msg": "Invalid symbol."})
UNKNOWN: Reply = 200, json.dumps({"code": "51001", "msg": "Instrument ID does not exist", "data": []})
HONEST: Quoted = (2_999.0, 3_001.0, NOW_S - 5)


@dataclass
class Street:
    """Exchanges on one loopback server, each under its name: what they say of ether; all else is unknown there."""

    told: dict[str, Reply] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Verb and path of each question."""
    headers: list[Mapping[str, str]] = field(default_factory=list)
    pause_s: float = 0.0
    url: str = ""

    def answer(self, verb: str, path: str, headers: Mapping[str, str]) -> Reply:
        """By the exchange's name in front."""
        self.asked.append(f"{verb} {path}")
        self.headers.append(headers)
        time.sleep(self.pause_s)
        name = path.split("/")[1]
        unknown = UNKNOWN if name == "okx" else NO_SYMBOL
        return self.told.get(name, unknown) if "ETH" in path.upper() else unknown


@contextmanager
def open_street(**told: Reply) -> Iterator[Street]:
    """The server in a thread, for as long as it is asked."""
    street = Street(told=told)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = street.answer(self.command, self.path, dict(self.headers))
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, format: str, *args: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Who asked has hung up: it was too slow for him."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    street.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield street
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def named(street: Street, **urls: str) -> list[TickerSettings]:
    """OKX and Binance through ccxt, Gemini by our own reader."""
    at = {n: f"{street.url}/{n}" for n in ("okx", "binance", "gemini")} | urls
    return [
        TickerSettings(name="ccxt:okx", url=at["okx"], market="{BASE}-{QUOTE}"),
        TickerSettings(name="ccxt:binance", url=at["binance"], market="{BASE}{QUOTE}", quote="USDT"),
        TickerSettings(name="gemini", url=at["gemini"]),
    ]


def heard(tickers: Tickers, *assets: str) -> Mapping[str, Heard]:
    """What they make of it."""
    return asyncio.run(tickers.prices(assets or ("ETH",)))


def lied(lie: Reply) -> Heard:
    """OKX says that, the two others the truth."""
    with open_street(okx=lie, binance=binance(HONEST), gemini=gemini(HONEST)) as street:
        return heard(Tickers(places(named(street)), ManualClock(now_s=NOW_S)))["ETH"]


def test_ccxt__when_all_answer_honestly__then_one_get_each_of_that_market_and_nothing_else_is_sent() -> None:
    told = okx((2_989.0, 2_991.0, NOW_S)), binance((3_019.0, 3_021.0, NOW_S - 9)), gemini(HONEST)
    with open_street(okx=told[0], binance=told[1], gemini=told[2]) as street:
        found = heard(Tickers(places(named(street)), ManualClock(now_s=NOW_S)))
    assert found == {"ETH": Heard(price=3_000.0, at_s=NOW_S - 9)}
    assert sorted(street.asked) == [
        "GET /binance/api/v3/ticker/24hr?symbol=ETHUSDT",
        "GET /gemini/v1/pubticker/ethusd",
        f"GET /okx{TICKER}ETH-USD",
    ]
    sent = {key.lower() for headers in street.headers for key in headers}
    assert not [k for k in sent if "key" in k or "sign" in k or k in ("authorization", "cookie")]
    assert {headers["Accept-Encoding"] for headers in street.headers} == {"identity"}


LIES: tuple[tuple[str, Reply], ...] = (
    ("not_positive", okx((-3_000.0, 3_000.0, NOW_S))),
    ("crossed", okx((3_001.0, 2_999.0, NOW_S))),
    ("wide", okx((2_900.0, 3_100.0, NOW_S))),
    ("stale", okx((2_999.0, 3_001.0, NOW_S - 301))),
    ("from_future", okx((2_999.0, 3_001.0, NOW_S + 61))),
    ("far_from_others", okx((1_499.0, 1_501.0, NOW_S))),
    ("garbled", okx(HONEST, bidPx=None)),
    ("garbled", okx(HONEST, askPx="")),
    ("garbled", okx(HONEST, bidPx="soon")),
    ("garbled", okx(HONEST, ts=None)),
    ("garbled", okx(HONEST, "BTC")),
    ("garbled", (200, json.dumps({"code": "0", "data": []}))),
    ("refused", (200, json.dumps(["bid", "ask"]))),
    ("garbled", (200, "<html>checking your browser</html>")),
    ("garbled", (200, "[" * 20_000)),
    ("garbled", (200, "[" * (BODY_BYTES_MAX + 1))),
    ("limited", (429, "")),
    ("limited", (200, json.dumps({"code": "50011", "msg": "Too Many Requests", "data": []}))),
    ("failing", (503, "")),
    ("failing", (200, json.dumps({"code": "50001", "msg": "Service temporarily unavailable", "data": []}))),
    ("refused", (403, "")),
    ("refused", (302, "")),
    ("refused", (200, json.dumps({"code": "50030", "msg": "No permission", "data": []}))),
    ("refused", UNKNOWN),
    ("refused", (404, "")),
)


@pytest.mark.parametrize(("code", "lie"), LIES)
def test_ccxt__when_one_lies_or_knows_no_such_market__then_it_is_refused_by_name_and_the_others_count(
    code: str, lie: Reply
) -> None:
    found = lied(lie)
    assert found.price == 3_000.0
    assert [(r.who, r.code) for r in found.refused] == [("ccxt:okx", code)]


def test_ccxt__when_a_market_is_named_wrongly__then_it_says_what_was_asked_for() -> None:
    (why,) = lied(UNKNOWN).refused
    assert "ETH-USD" in why.why
    assert "market right" in why.why


def test_ccxt__when_it_lists_one_asset_and_not_another__then_that_one_counts_and_the_other_is_nobodys_fault() -> (
    None
):
    with open_street(okx=okx(HONEST), binance=binance(HONEST), gemini=gemini(HONEST)) as street:
        found = heard(Tickers(places(named(street)), ManualClock(now_s=NOW_S)), "ETH", "GHO", "USDT")
    assert (found["ETH"].price, found["ETH"].refused) == (3_000.0, ())
    assert {r.code for a in ("GHO", "USDT") for r in found[a].refused if r.who.startswith("ccxt")} == {
        "unlisted"
    }
    assert not [q for q in street.asked if "USDTUSDT" in q], "a token is not asked for in itself"


def test_ccxt__when_one_is_silent_and_one_gone__then_each_is_named_in_time_and_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keeper.oracle.tickers.WITHIN_S", 0.3)
    with open_street(okx=okx(HONEST)) as street:
        street.pause_s = 2.0
        clock = ManualClock(now_s=NOW_S)
        tickers = Tickers(places(named(street, binance="http://127.0.0.1:1")[:2]), clock)

        async def twice() -> tuple[float, Mapping[str, Heard], int]:
            await asyncio.gather(*(w.library.ready() for w in tickers._where if w.library is not None))
            began_s = time.monotonic()
            found = await tickers.prices(["ETH"])
            took_s, before = time.monotonic() - began_s, len(street.asked)
            clock.advance(EVERY_S)
            await tickers.prices(["ETH"])
            return took_s, found, len(street.asked) - before

        took_s, found, again = asyncio.run(twice())
    told = {(r.who, r.code) for r in found["ETH"].refused}
    assert told == {("ccxt:okx", "slow"), ("ccxt:binance", "unreachable")}
    assert (found["ETH"].price, again) == (None, 0)
    assert took_s < 1.5


def test_ccxt__when_two_names_are_of_one_house__then_it_does_not_agree_with_itself() -> None:
    with open_street(okx=okx(HONEST)) as street:
        two = [
            TickerSettings(name=f"ccxt:{n}", url=f"{street.url}/okx", market="{BASE}-{QUOTE}")
            for n in ("okx", "myokx")
        ]
        found = heard(Tickers(places(two), ManualClock(now_s=NOW_S)))["ETH"]
    assert found.price is None
    assert [(r.who, r.code) for r in found.refused] == [("ccxt:myokx", "refused")]
    assert "of one house with ccxt:okx" in found.refused[0].why


def invents(made: Any) -> Callable[..., dict[str, object]]:
    """A reading that takes the machine's time for the answer's, as ccxt's of some exchanges do."""
    return lambda ticker, market=None: {
        "symbol": "ETH/USD",
        "bid": 2_999.0,
        "ask": 3_001.0,
        "timestamp": made.milliseconds(),
    }


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"parse_ticker": invents}, "tells no time"),
        ({"fetch_ticker": lambda made: None}, "cannot be read by ccxt"),
    ],
)
def test_ccxt__when_it_invents_or_is_broken__then_that_exchange_is_garbled_and_nothing_is_raised(
    broken: dict[str, Callable[[Any], object]], words: str
) -> None:
    with open_street(okx=okx(HONEST)) as street:
        tickers = Tickers(places(named(street)[:1]), ManualClock(now_s=NOW_S))

        async def told() -> Mapping[str, Heard]:
            (library,) = [w.library for w in tickers._where if w.library is not None]
            await library.ready()
            for key, value in broken.items():
                setattr(library._made, key, value(library._made))
            return await tickers.prices(["ETH"])

        (why,) = asyncio.run(told())["ETH"].refused
    assert (why.who, why.code) == ("ccxt:okx", "garbled")
    assert words in why.why


def test_ccxt__when_it_says_in_its_own_words_that_it_is_asked_too_often__then_it_is_left_alone() -> None:
    limit = 200, json.dumps({"code": "50011", "msg": "Too Many Requests", "data": []})
    clock = ManualClock(now_s=NOW_S)
    with open_street(okx=limit) as street:
        tickers = Tickers(places(named(street)[:1]), clock)

        async def thrice() -> None:
            for _ in range(3):
                assert [r.code for r in (await tickers.prices(["ETH"]))["ETH"].refused] == ["limited"]
                clock.advance(EVERY_S)

        asyncio.run(thrice())
    assert len(street.asked) == 1


def test_ccxt__when_it_would_send_anything_but_a_get__then_there_is_no_way_to() -> None:
    with open_street(okx=okx(HONEST)) as street:
        tickers = Tickers(places(named(street)[:1]), ManualClock(now_s=NOW_S))

        async def order() -> None:
            (library,) = [w.library for w in tickers._where if w.library is not None]
            await library.ready()

            async def ask(url: str, headers: Mapping[str, str]) -> bytes:
                raise AssertionError("asked")

            library.opens(["ETH"], ask)
            made: Any = library._made
            made.apiKey, made.secret, made.password = "a", "b", "c"
            try:
                await made.create_order("ETH/USD", "market", "buy", 1)
            finally:
                library.closes()

        with pytest.raises(AttributeError, match="post"):
            asyncio.run(order())
        assert street.asked == []


def test_ccxt__of_all_its_exchanges__as_many_ask_one_get_as_the_pages_say() -> None:
    ids = ccxt_ids() or frozenset()
    asked: dict[str, int] = dict.fromkeys(ids, 0)

    async def one(id: str) -> None:
        library = Library(TickerSettings(name=f"ccxt:{id}", market="{BASE}-{QUOTE}"))
        await library.ready()

        async def ask(url: str, headers: Mapping[str, str]) -> Refusal:
            assert url.startswith("https://")
            asked[id] += 1
            return no(id, "refused", "that is all")

        library.opens(["ETH"], ask)
        await library.ticker("ETH")
        library.closes()

    async def every() -> None:
        for id in sorted(ids):
            await one(id)

    asyncio.run(every())
    single = sum(n == 1 for n in asked.values())
    page = (ROOT / "docs/decisions/market-prices.md").read_text()
    assert f"of its {len(ids)} exchanges {single} ask one GET" in page


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("bequant", "fmfwio", True),
        ("binanceus", "binanceusdm", True),
        ("kucoineu", "kucoinfutures", True),
        ("myokx", "okxus", True),
        ("binance", "binanceus", True),
        ("okx", "binance", False),
        ("hitbtc", "kucoin", False),
    ],
)
def test_same__of_ccxts_own_exchanges__siblings_are_of_one_house_too(
    one: str, other: str, same: bool
) -> None:
    async def made(id: str) -> Library:
        library = Library(TickerSettings(name=f"ccxt:{id}", market="{BASE}-{QUOTE}"))
        await library.ready()
        assert library.why == ""
        return library

    async def both() -> bool:
        return (await made(one)).same(await made(other))

    assert asyncio.run(both()) is same


def test_daemon__when_no_exchange_is_read_through_ccxt__then_it_is_not_imported() -> None:
    line = (
        "import sys; import keeper.daemon.oracles; from keeper.config import TickerSettings; "
        "from keeper.oracle.tickers import places; places([TickerSettings(name='ccxt:okx', market='{BASE}')]); "
        "sys.exit('ccxt' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", line], cwd=ROOT, timeout=120, check=False).returncode == 0


@pytest.fixture
def guarded(chain: Chain, deployment: Deployment) -> str:
    """A borrower of ether's."""
    user = deployment.roles.actors[0]
    owed = {"USDC": 12_000 * 10**6}
    Actors(chain, deployment).open(Borrower(account=user, collateral={"WETH": 10 * 10**18}, debt=owed))
    return user


@pytest.mark.parametrize(
    ("told", "code", "words"),
    [
        (UNKNOWN, "ticker_refused", "ETH-USD"),
        (okx(HONEST, bidPx=None), "ticker_refused", "no bid"),
        ((200, "nonsense"), "ticker_refused", "ccxt:okx"),
    ],
)
def test_check__when_an_exchange_answers_wrongly__then_it_is_named(
    told: Reply, code: str, words: str, tmp_path: Path, upstream: Anvil, deployment: Deployment, guarded: str
) -> None:
    with open_street(okx=told) as street:
        (tmp_path / "keeper.toml").write_text(f"""schema = 1
state_dir = "state"
[[chains]]
name = "local"
chain_id = {deployment.chain_id}
multicall = "{deployment.multicall}"
[[chains.tickers]]
name = "ccxt:okx"
market = "{{BASE}}-{{QUOTE}}"
url = "{street.url}/okx"
[[chains.endpoints]]
name = "first"
url = "{upstream.url}"
[[venues]]
name = "market"
kind = "aave_v3"
chain = "local"
provider = "{deployment.provider}"
[[positions]]
label = "vault"
venue = "market"
account = "{guarded}"
""")
        done = typed(tmp_path, "check", "--json")
    found = [f for f in json.loads(done.stdout)["findings"] if f["code"] == code]
    assert "Traceback" not in done.stderr
    assert found
    assert all(words in f["why"] for f in found), found
