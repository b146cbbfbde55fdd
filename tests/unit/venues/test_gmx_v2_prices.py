"""Prices told from outside: fresh, there and not crossed, or the whole slot is UNKNOWN by name; none is repaired."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.model import Block, Call
from keeper.seams import Seen
from keeper.venues.gmx_v2 import GmxV2, store
from keeper.venues.gmx_v2.book import Slot
from keeper.venues.gmx_v2.layout import Prices
from keeper.venues.gmx_v2.prices import SOURCES, USUAL, Source, Told
from keeper.words import Words
from tests.aave_market import encode_answers
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


class Ours:
    """Somebody's own source: two questions to a contract of his."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def calls(self, slot: Slot) -> tuple[Call, ...]:
        return tuple(Call(target="0x" + "77" * 20, data=bytes([i])) for i in range(2))

    def prices(self, slot: Slot, words: Words, block: Block) -> Prices | str:
        self.heard = [words.uint(i) for i in range(len(words))]
        return f"ours says no at {block.number}"


def test_source__of_somebodys_own__asks_in_the_batch_and_hears_its_own_answers_alone() -> None:
    ours = Ours()
    venue, head = GmxV2(slot(), ours), store.size(slot())
    calls = venue.calls((OWNER,), Seen())
    assert calls[head : head + 2] == ours.calls(slot())
    answers = [i.to_bytes(32) for i in range(len(calls))]
    reading = venue.decode(BLOCK, (OWNER,), encode_answers(answers), Seen(), {})
    assert ours.heard == [head, head + 1]
    assert [u.why for u in reading.unreadable] == [f"ours says no at {BLOCK.number}"]
    assert venue.feeds(NOTHING) == (), "nobody is told to watch feeds that price nothing"


def test_sources__by_name__each_is_a_source_and_the_usual_one_is_taken() -> None:
    made = {name: make() for name, make in SOURCES.items()}
    assert all(isinstance(source, Source) for source in (*made.values(), FRESH, Ours()))
    assert type(GmxV2(slot()).source) is type(made[USUAL])
