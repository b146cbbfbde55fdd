"""What a slot is refused for when it is loaded, a market without a minimum, and the feeds that it names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from eth_abi.abi import encode

from keeper.config import VenueSettings
from keeper.errors import ConfigError
from keeper.model import Call, Token
from keeper.sockets import Fed
from keeper.venues.gmx_v2 import GmxV2, book, store
from keeper.venues.gmx_v2.book import Feed
from keeper.venues.gmx_v2.layout import Price, Prices
from keeper.venues.gmx_v2.prices import Told
from keeper.words import Words
from tests.perps import BLOCK, USDC, WETH, slot

pytestmark = pytest.mark.unit
FEEDS = {WETH.address: "0x" + "f1" * 20, USDC.address: "0x" + "f2" * 20}
SETTINGS = VenueSettings(
    name="gmx",
    kind="gmx_v2",
    chain="local",
    provider=slot().subaccounts,
    reader=slot().reader,
    market=f"{slot().market}:{USDC.address}:long",
)


def loaded(decimals: int | None = 8, exponent: int = 60 - 8 - 18, short: Token = USDC) -> book.Slot:
    """The slot of a chain whose feed of ether has those decimals, and that multiplier of ten."""
    s = slot()
    words: dict[tuple[str, bytes], int | None] = {
        (s.subaccounts, book.DATA_STORE): int(s.store, 16),
        (s.subaccounts, book.ROUTER): int(s.router, 16),
        (s.subaccounts, book.EVENT_EMITTER): int(s.emitter, 16),
        (s.subaccounts, book.ORDER_VAULT): int(s.vault, 16),
        (FEEDS[WETH.address], book.DECIMALS): decimals,
        (FEEDS[USDC.address], book.DECIMALS): 8,
    }
    for token in (WETH, USDC):
        at = FEEDS[token.address]
        words[token.address, book.DECIMALS] = token.decimals
        words[s.store, book.GET_ADDRESS + book.key("PRICE_FEED", token.address)] = int(at, 16)
        power = exponent if token == WETH else 60 - 8 - 6
        words[s.store, book.GET_UINT + book.key("PRICE_FEED_MULTIPLIER", token.address)] = 10**power
        words[s.store, book.GET_UINT + book.key("PRICE_FEED_HEARTBEAT_DURATION", token.address)] = 3_600

    async def read(calls: Sequence[Call]) -> Words:
        return answers([told(call) for call in calls])

    def told(call: Call) -> bytes | None:
        if call.data[:4] == book.GET_MARKET:
            market = (s.market, WETH.address, WETH.address, short.address)
            return b"".join(book.word(a) for a in market)
        found = words.get((call.target.lower(), call.data))
        return None if found is None else book.word(found)

    return asyncio.run(book.slot(replace(SETTINGS, market=f"{s.market}:{short.address}:long"), 1, read))


def answers(each: Sequence[bytes | None]) -> Words:
    rows = [(raw is not None, raw or b"") for raw in each]
    return Words([encode(["(bool,bytes)[]"], [rows])], [len(rows)])


def test_load__a_feed_whose_decimals_are_not_those_of_the_multiplier__refused_by_name() -> None:
    assert [f.decimals for _, f in loaded().feeds] == [8, 8]
    assert loaded(18, 60 - 18 - 18).feeds[0][1].decimals == 18
    for change, words in (
        ({"decimals": 18}, "has 18 decimals, and GMX multiplies its answer by 1000.*not 1e24"),
        ({"exponent": 33}, "has 8 decimals.*not 1e34"),
        ({"decimals": None}, "does not say its decimals"),
    ):
        with pytest.raises(
            ConfigError, match=f"price feed {FEEDS[WETH.address]}.* of .*{words}".replace("f1", "[fF]1")
        ):
            loaded(**cast(Any, change))


def test_load__a_market_of_one_token__refused_by_name() -> None:
    with pytest.raises(ConfigError, match="alone: how GMX halves"):
        loaded(short=WETH)


def test_market__its_minimum_for_liquidation_is_not_stored__is_unread_and_says_so() -> None:
    at = slot()
    missing = book.GET_UINT + book.key("MIN_COLLATERAL_FACTOR_FOR_LIQUIDATION", at.market)
    one = Price(min=1, max=1)
    prices = Prices(index=one, long=one, short=one)
    calls = store.calls(at)
    assert missing in [c.data for c in calls]
    full = answers([book.word(1)] * len(calls))
    assert not isinstance(store.market(at, full, prices, BLOCK), str)
    void = answers([book.word(0 if c.data == missing else 1) for c in calls])
    assert "names no MIN_COLLATERAL_FACTOR_FOR_LIQUIDATION" in str(store.market(at, void, prices, BLOCK))


def test_feeds__of_a_slot__are_told_to_the_oracle_room_where_prices_come_from_them() -> None:
    at = replace(
        slot(),
        feeds=tuple((t, Feed(address=a, multiplier=1, heartbeat_s=1, decimals=8)) for t, a in FEEDS.items()),
    )
    venue = GmxV2(at)
    assert isinstance(venue, Fed)
    nothing = Words((), ())
    assert venue.feed_calls() == ()
    named = venue.feeds(nothing)
    assert [(n.symbol, n.address, n.expected_decimals) for n in named] == [
        ("WETH", FEEDS[WETH.address], 8),
        ("USDC", FEEDS[USDC.address], 8),
    ]
    assert {n.id for n in named} == set(venue.priced) == {at.feed(WETH), at.feed(USDC)}
    assert GmxV2(at, Told(quoted={}, at_s=0)).feeds(nothing) == ()
