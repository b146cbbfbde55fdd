"""Prices told from outside: fresh, there and not crossed, or the whole slot is UNKNOWN by name; none is repaired."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.seams import Seen
from keeper.venues.gmx_v2 import GmxV2
from keeper.venues.gmx_v2.prices import Told
from keeper.words import Words
from tests.perps import BLOCK, OWNER, USDC, WETH, slot

pytestmark = pytest.mark.unit
NOTHING = Words((), ())
ETH_USD = (2_000 * 10**12, 2_001 * 10**12)
DOLLAR = (10**24, 10**24)
FRESH = Told(quoted={WETH.address: ETH_USD, USDC.address: DOLLAR}, at_s=BLOCK.timestamp_s - 60)


def test_prices__told_in_time__are_those_of_index_long_and_short() -> None:
    found = FRESH.prices(slot(), NOTHING, BLOCK)
    assert not isinstance(found, str)
    assert [(p.min, p.max) for p in (found.index, found.long, found.short)] == [ETH_USD, ETH_USD, DOLLAR]
    assert FRESH.calls(slot()) == ()


def quoted(eth: tuple[int, int], usdc: tuple[int, int] = DOLLAR) -> Told:
    return replace(FRESH, quoted={WETH.address: eth, USDC.address: usdc})


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (quoted((ETH_USD[1], ETH_USD[0])), "2001000000000000 to 2000000000000000 is missing or crossed"),
        (quoted(ETH_USD, (DOLLAR[0] + 1, DOLLAR[1])), "is missing or crossed"),
        (quoted((0, ETH_USD[1])), "is missing or crossed"),
        (quoted((-1, ETH_USD[1])), "is missing or crossed"),
        (quoted((0, 0)), "is missing or crossed"),
        (replace(FRESH, quoted={WETH.address: ETH_USD}), "no price was told of USDC"),
        (replace(FRESH, quoted={}), "no price was told of WETH, WETH, USDC"),
        (replace(FRESH, at_s=BLOCK.timestamp_s - 61), "too far apart"),
        (replace(FRESH, at_s=BLOCK.timestamp_s + 61), "too far apart"),
    ],
)
def test_prices__missing_crossed_or_old__no_position_is_read_and_it_says_which(
    told: Told, words: str
) -> None:
    venue = GmxV2(slot(), told)
    reading = venue.decode(BLOCK, (OWNER,), NOTHING, Seen(), {})
    assert (reading.positions, reading.reserves) == ((), ())
    assert [u.id for u in reading.unreadable] == [venue.position_id(OWNER)]
    assert words in reading.unreadable[0].why
