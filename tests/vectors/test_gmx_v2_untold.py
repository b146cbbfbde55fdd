"""Where GMX's own arithmetic divides by zero: such a market is UNKNOWN by name, and breaks nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keeper.venues.gmx_v2 import layout, read
from keeper.venues.gmx_v2.curves import borrowing_a_second, borrowing_untold, funding_a_second
from tests.perps import BLOCK, OWNER, slot
from tests.vectors.test_gmx_v2_vectors import documents, market_of

pytestmark = pytest.mark.vectors
KINK = layout.Kink(optimal=75 * 10**28, base=10**22, above=10**23)
HELD = {3: 10**34, 4: 10**18, 5: 10**9}
"""Words of a position: size, tokens, margin."""


@pytest.fixture(scope="module")
def market() -> layout.Market:
    """One whose longs reserve something, with a kink."""
    found = next(m for m in (market_of(c["m"]) for c in documents()[0]) if m.long.tokens.total)
    sides = [replace(b, kink=KINK) for b in found.borrowing]
    return replace(found, borrowing=(sides[0], sides[1]), smaller_side_free=False)


class Stored:
    """A position's words alone."""

    ok = (True,)
    count = (14,)

    def uint(self, call: int, word: int = 0) -> int:
        return HELD.get(word, 0)


def read_of(market: layout.Market) -> Any:
    at = slot()
    rules: Any = None
    frame = read.Frame(slot=at, block=BLOCK, market=market, rules=rules)
    words: Any = Stored()
    about = read.About(told=None, shadow=None, page=1)
    return read._one(frame, read.position_id(at, OWNER), words, about)


def test_market__its_pool_is_empty__the_position_is_unread_and_says_why(market: layout.Market) -> None:
    empty = replace(market, pool=layout.Sides(long=0, short=0))
    assert "is empty" in read_of(empty)
    assert "is empty" in borrowing_untold(empty, False) or not empty.short.usd.total


def test_market__nothing_may_be_reserved__the_position_is_unread_and_says_why(market: layout.Market) -> None:
    closed = replace(market, borrowing=(replace(market.borrowing[0], reserve=0), market.borrowing[1]))
    assert "may reserve nothing" in read_of(closed)
    # without a kink the share of the pool is not asked for
    plain = replace(closed.borrowing[0], kink=replace(KINK, optimal=0))
    assert borrowing_untold(replace(closed, borrowing=(plain, plain)), True) == ""


def test_market__nobody_holds_anything__nobody_pays(market: layout.Market) -> None:
    none = layout.Interest(usd=layout.Pair(long=0, short=0), tokens=layout.Pair(long=0, short=0))
    flat = replace(market, long=none, short=none, funding=replace(market.funding, increase=10**20))
    assert funding_a_second(flat) == (0, True)
    assert borrowing_untold(flat, True) == borrowing_untold(flat, False) == ""
    assert borrowing_a_second(flat, True) == 0


def test_market__as_the_vectors_have_it__can_be_told(market: layout.Market) -> None:
    assert borrowing_untold(market, True) == ""
    assert borrowing_a_second(market, True) > 0
