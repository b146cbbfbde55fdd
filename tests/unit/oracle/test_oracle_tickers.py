"""One exchange's nonsense costs that exchange; what nobody lists and no guarded position uses is not asked for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from keeper.clock import ManualClock
from keeper.config import TickerSettings
from keeper.model import Refusal
from keeper.oracle.exchanges import EXCHANGES, Heard, no, quoted, unlisted
from keeper.oracle.feeds import Feed
from keeper.oracle.room import Room, Site
from keeper.oracle.tickers import Tickers, places
from keeper.seams import Severity
from tests import build

pytestmark = pytest.mark.unit

NOW_S = 1_790_000_000.0
WETH = Feed(
    id="eth",
    symbol="WETH",
    address="0x" + "cd" * 20,
    expected_decimals=8,
    source="0x" + "ab" * 20,
    description="ETH / USD",
)
GHO = replace(WETH, id="gho", symbol="GHO", description="GHO / USD")
PART = replace(WETH, id="part", symbol="BTC", description="BTC / USD")


def room() -> Room:
    site = Site(
        chain="c", chain_id=1, block_time_s=12.0, named=(), tokens={"eth": build.WETH, "gho": build.USDC}
    )
    return Room(site, (WETH, GHO, PART), (), {})


def deep(n: int = 100_000) -> object:
    nested: object = "1"
    for _ in range(n):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("coinbase", {"bid": deep(), "ask": "1", "time": "2026-11-21T00:00:00Z"}),
        ("coinbase", {"bid": "1", "ask": "1", "time": deep()}),
        ("coinbase", {"bid": "1", "ask": "1", "time": "0001-01-01T00:00:00"}),
        ("bitstamp", {"bid": "1", "ask": "1", "pair": deep(), "timestamp": "1"}),
        ("gemini", {"bid": True, "ask": "1", "volume": {"ETH": 1, "timestamp": 1}}),
    ],
)
def test_quoted__when_an_answer_is_nested_or_of_no_time__then_that_exchange_is_garbled_and_nothing_is_raised(
    name: str, body: object
) -> None:
    said = quoted(EXCHANGES[name], "ETH", body, NOW_S)
    assert isinstance(said, Refusal)
    assert said.code in ("garbled", "stale")


def test_quoted__when_kraken_knows_no_such_pair__then_it_does_not_list_it() -> None:
    assert quoted(EXCHANGES["kraken"], "GHO", {"error": ["EQuery:Unknown asset pair"]}, NOW_S) == unlisted(
        "kraken"
    )


class Breaking(Tickers):
    async def _asked(self, session: object, where: object, asset: str) -> object:
        raise RecursionError


def test_tickers__when_asking_one_breaks__then_it_is_refused_and_the_look_goes_on() -> None:
    tickers = Breaking(places([TickerSettings(name="gemini")]), ManualClock(now_s=NOW_S))
    heard = asyncio.run(tickers.prices(["ETH"]))["ETH"]
    assert [(r.who, r.code) for r in heard.refused] == [("gemini", "failed")]


def test_room__when_a_listing_is_long__then_exchanges_are_asked_for_guarded_feeds_and_composed_parts_only() -> (
    None
):
    assert room().asked(["eth"]) == ("ETH", "BTC")
    assert room().asked([]) == ("BTC",)


def test_market__when_a_pool_tells_the_price_or_nobody_lists_it__then_no_warning_stands() -> None:
    here = room()
    silent = Heard(price=None, refused=(unlisted("kraken"), unlisted("gemini")), why="nobody")
    here.heard = {"GHO": silent}
    prices, found = here._market_now({"gho": 1.0})
    assert (prices, found) == ({"gho": 1.0}, [])
    _, found = here._market_now({})
    assert [(f.code, f.severity) for f in found] == [("market_unread", Severity.INFO)]
    here.heard = {"GHO": replace(silent, refused=(unlisted("kraken"), no("gemini", "slow", "is slow")))}
    _, found = here._market_now({})
    assert ("market_unread", Severity.WARNING) in [(f.code, f.severity) for f in found]
