"""Who tells the oracle its prices, and how long the market waits after its sequencer stood."""

from __future__ import annotations

from typing import Protocol

from keeper.model import Call
from keeper.sockets import Named
from keeper.venues.aave_v3.book import Listing, checksum, selector, word
from keeper.words import Words

SOURCE_OF = selector("getSourceOfAsset(address)")
"""AaveOracle: the feed behind an asset's price."""
NO_SENTINEL_FROM = 11
"""POOL_REVISION of Aave 3.7, which asks no sentinel although its provider may still name one."""


class Priced(Protocol):
    """A market of any release: its oracle, and what it prices."""

    @property
    def oracle(self) -> str: ...
    @property
    def base_decimals(self) -> int: ...
    @property
    def listings(self) -> tuple[Listing, ...]: ...


def calls(market: Priced) -> tuple[Call, ...]:
    """One question for each listing."""
    return tuple(Call(target=market.oracle, data=SOURCE_OF + word(r.token.address)) for r in market.listings)


def named(market: Priced, words: Words) -> tuple[Named, ...]:
    """The sources that were named."""
    return tuple(
        Named(
            id=r.feed,
            symbol=r.token.symbol,
            address=checksum(words.uint(i)),
            expected_decimals=market.base_decimals,
        )
        for i, r in enumerate(market.listings)
        if words.ok[i] and words.count[i] and words.uint(i)
    )
