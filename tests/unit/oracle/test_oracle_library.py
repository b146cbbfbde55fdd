"""Exchanges through ccxt, as far as it is pure: names of markets, what counts as an answer, a library not there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from threading import Event
from types import SimpleNamespace

import pytest

from keeper.clock import ManualClock
from keeper.config import TickerSettings
from keeper.daemon.slow import DEADLINE_S
from keeper.model import Refusal
from keeper.oracle import library
from keeper.oracle.exchanges import UNLISTED, Quote, quoted, unlisted
from keeper.oracle.library import Library, read_by
from keeper.oracle.tickers import WITHIN_S, Tickers, places

pytestmark = pytest.mark.unit

NOW_S = 1_790_000_000.0
OKX = TickerSettings(name="ccxt:okx", market="{BASE}-{QUOTE}", quote="USDT")


def okx(**changed: str) -> Library:
    return Library(
        TickerSettings(name="ccxt:okx", **{"market": "{BASE}-{QUOTE}", "quote": "USDT", **changed})
    )


@pytest.mark.parametrize(
    ("market", "called"),
    [("{BASE}-{QUOTE}", "ETH-USDT"), ("{base}{quote}", "ethusdt"), ("t{BASE}UST", "tETHUST")],
)
def test_market__in_the_exchanges_own_letters__is_named_by_its_shape(market: str, called: str) -> None:
    assert okx(market=market).market("ETH") == called


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, ""),
        ({"symbol": "BTC/USDT"}, "garbled"),
        ({"symbol": "ETH/USD"}, "garbled"),
        ({"bid": "2999"}, ""),
        ({"bid": True}, "garbled"),
        ({"ask": [3001.0]}, "garbled"),
        ({"bid": float("nan")}, "not_positive"),
        ({"bid": 3002.0}, "crossed"),
        ({"bid": 2000.0}, "wide"),
        ({"timestamp": (NOW_S - 400) * 1_000}, "stale"),
        ({"timestamp": "soon"}, "garbled"),
    ],
)
def test_answer__as_ccxt_reads_it__is_judged_as_every_other(changed: dict[str, object], code: str) -> None:
    told = {"symbol": "ETH/USDT", "bid": 2999.0, "ask": 3001.0, "timestamp": NOW_S * 1_000, **changed}
    found = quoted(read_by(okx(), "ccxt:okx"), "ETH", told, NOW_S)
    if code:
        assert isinstance(found, Refusal)
        assert (found.who, found.code) == ("ccxt:okx", code)
    else:
        assert isinstance(found, Quote)
        assert found.price == 3_000.0


class BaseError(Exception):
    """As ccxt's: the root of all that it raises."""


class Whole:
    """The library, with what makes an exchange's object."""

    BaseError = BaseError

    def __init__(self, make: Callable[[dict[str, object]], object]) -> None:
        self.okx = make


def stands_in(monkeypatch: pytest.MonkeyPatch, get: Callable[[str], object]) -> None:
    """In the library's place."""
    monkeypatch.setattr("keeper.oracle.library.importlib", SimpleNamespace(import_module=get))


def raising(error: Exception) -> Callable[..., object]:
    """Whatever it is asked."""

    def call(*_: object) -> object:
        raise error

    return call


def refused(one: Library) -> str:
    """Why it cannot be asked."""
    found = asyncio.run(one.ticker("ETH"))
    assert isinstance(found, Refusal)
    assert found.code == "failed"
    return found.why


@pytest.mark.parametrize("error", [ImportError("a"), OSError("a"), SyntaxError("a"), MemoryError("a")])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_library__when_it_cannot_be_imported__then_that_exchange_says_so_and_nothing_is_raised(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(monkeypatch, raising(error))
    one = okx()
    asyncio.run(one.ready())
    known = isinstance(error, (ImportError, OSError))
    assert ("requirements-tickers.lock" if known else "okx cannot be made") in refused(one)
    assert not one.same(okx())


@pytest.mark.parametrize(
    "error", [BaseError("a"), TypeError("a"), KeyError("a"), ValueError("a"), RuntimeError("a")]
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_library__when_one_exchange_cannot_be_made__then_it_is_refused_and_the_look_goes_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(monkeypatch, lambda _: Whole(raising(error)))
    tickers = Tickers(places([OKX]), ManualClock(now_s=NOW_S))
    (why,) = asyncio.run(tickers.prices(["ETH"]))["ETH"].refused
    assert (why.who, why.code) == ("ccxt:okx", "failed")
    # what ccxt and its exchanges raise is named; of anything else the thread's end is all that is known
    named = "" if isinstance(error, RuntimeError) else f" ({type(error).__name__})"
    assert why.why == f"ccxt's okx cannot be made{named}"


def test_library__when_its_import_hangs__then_looks_go_on_without_it_and_park_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on = Event()

    def hangs(_: str) -> object:
        goes_on.wait(30.0)
        return Whole(lambda _: SimpleNamespace())

    stands_in(monkeypatch, hangs)
    monkeypatch.setattr(library, "LOAD_S", 0.2)
    one, before = okx(), threading.active_count()

    async def looks() -> list[float]:
        took_s = []
        for _ in range(4):
            began_s = time.monotonic()
            await one.ready()
            took_s.append(time.monotonic() - began_s)
        return took_s

    try:
        first_s, *later_s = asyncio.run(looks())
        assert threading.active_count() == before + 1
        assert 0.1 < first_s < 5.0
        assert max(later_s) < 0.1, "only the first waits"
        assert "not loaded yet" in refused(one)
        assert not one.same(okx())
    finally:
        goes_on.set()
    assert one._thread is not None
    one._thread.join(10.0)
    assert "not loaded yet" in refused(one), "never in the middle of a look"
    asyncio.run(one.ready())
    assert one.why == ""


def test_library__what_it_waits_for_at_first__leaves_a_look_of_the_daemon_its_time() -> None:
    assert DEADLINE_S["oracle"] / 2 >= library.LOAD_S + WITHIN_S


def of_house(module: str, *bases: type) -> type:
    """A class as ccxt has one, in a module of its own."""
    return type(module, bases, {"__module__": f"ccxt.async_support.{module}"})


def test_same__when_both_are_derived_from_a_third__then_one_order_book_counts_once() -> None:
    root = of_house("base.exchange", object)
    hitbtc, okex = of_house("hitbtc", root), of_house("okx", root)
    bequant, fmfwio = of_house("bequant", hitbtc), of_house("fmfwio", hitbtc)

    def same(one: type, other: type) -> bool:
        a, b = okx(), okx()
        a._made, b._made = one(), other()
        return a.same(b)

    assert same(bequant, fmfwio)
    assert same(hitbtc, fmfwio)
    assert same(okex, okex)
    assert not same(okex, fmfwio)
    assert not same(okex, hitbtc)


@pytest.mark.parametrize(
    ("quote", "asks"),
    [
        ("USD", ["ETH", "USDC", "USDT", "DAI", "GHO", "PYUSD"]),
        ("USDT", ["ETH"]),
        ("USDC", ["ETH"]),
    ],
)
def test_asks__when_it_quotes_in_a_token__then_no_dollar_is_asked_in_it(quote: str, asks: list[str]) -> None:
    one = okx(quote=quote)
    every = ("ETH", "USDC", "USDT", "DAI", "GHO", "PYUSD")
    assert [a for a in every if one.asks(a)] == asks
    told = {a: asyncio.run(one.ticker(a)) for a in every}
    assert [a for a, t in told.items() if isinstance(t, Refusal) and t.code != UNLISTED] == asks


def test_tickers__when_all_that_is_asked_for_is_a_dollar__then_the_exchange_is_not_said_to_be_named_wrongly() -> (
    None
):
    class Unknown(Tickers):
        async def _asked(self, session: object, where: object, asset: str) -> object:
            return unlisted("ccxt:okx")

    def codes(*assets: str) -> list[str]:
        heard = asyncio.run(Unknown(places([OKX]), ManualClock(now_s=NOW_S)).prices(assets))
        return [r.code for h in heard.values() for r in h.refused]

    assert codes("USDC", "USDT") == [UNLISTED, UNLISTED]
    assert codes("USDC", "ETH") == ["refused", "refused"]


def test_places__of_both_kinds__hold_a_library_where_there_is_no_reader_of_ours() -> None:
    named = [TickerSettings(name="kraken"), TickerSettings(name="ccxt:okx", market="{BASE}-{QUOTE}")]
    assert [(w.exchange.name, w.library is not None) for w in places([*named, *named])] == [
        ("kraken", False),
        ("ccxt:okx", True),
    ]
