"""Exchanges through ccxt, as far as it is pure: names of markets, what counts as an answer, a library not there."""

from __future__ import annotations

import asyncio

import pytest

from keeper.config import TickerSettings
from keeper.model import Refusal
from keeper.oracle import library
from keeper.oracle.exchanges import Quote, quoted
from keeper.oracle.library import Library, read_by
from keeper.oracle.tickers import places

pytestmark = pytest.mark.unit

NOW_S = 1_790_000_000.0


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


def test_library__when_it_cannot_be_imported__then_that_exchange_says_so_and_nothing_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(id: str) -> object:
        raise ImportError(id)

    monkeypatch.setattr(library, "_made", broken)
    one = okx()
    asyncio.run(one.ready())
    found = asyncio.run(one.ticker("ETH"))
    assert isinstance(found, Refusal)
    assert (found.code, "keeper[tickers]" in found.why) == ("failed", True)
    assert not one.same(okx())


def test_places__of_both_kinds__hold_a_library_where_there_is_no_reader_of_ours() -> None:
    named = [TickerSettings(name="kraken"), TickerSettings(name="ccxt:okx", market="{BASE}-{QUOTE}")]
    assert [(w.exchange.name, w.library is not None) for w in places([*named, *named])] == [
        ("kraken", False),
        ("ccxt:okx", True),
    ]
