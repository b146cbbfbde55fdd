"""What GMX's Reader says of a position at the prices of the same block, beside what our reader says."""

from __future__ import annotations

from collections.abc import Sequence

from keeper.errors import Unread
from keeper.model import Call, Perp, Position
from keeper.units import BPS, mul_div_down, mul_div_up
from keeper.venues.asking import Asking, Fact
from keeper.venues.gmx_v2 import GmxV2, book
from keeper.venues.gmx_v2.book import Slot, ask, word
from keeper.venues.gmx_v2.layout import FACTOR

ONE = 10**30
_SIZE, _TOKENS, _MARGIN = 4, 5, 6
_FEE, _BORROWING, _FUNDING, _PNL = 53, 35, 28, 63
"""Words of getPositionInfo; see read.py."""
Row = tuple[str, int | bool, int | bool]


async def facts(venue: GmxV2, account: str, found: Position | None, asking: Asking) -> tuple[Fact, ...]:
    """The Reader's own accruals and profit at the feeds' prices; how impact counts it does not say."""
    fed = await asking.together(questions(venue))
    said = await asking.together([opinion(venue.slot, account, fed)])
    rows = compared(found.perp if found is not None else None, said[0])
    return tuple(Fact(what=what, ours=ours, venue=theirs) for what, ours, theirs in rows)


def questions(venue: GmxV2) -> list[Call]:
    """The feeds, first."""
    return [*venue.source.calls(venue.slot)]


def opinion(slot: Slot, account: str, answers: Sequence[tuple[bool, bytes]]) -> Call:
    """The Reader's view at the prices of the feeds. Raises Unread."""
    priced: dict[str, tuple[int, int]] = {}
    for (token, feed), (ok, raw) in zip(slot.feeds, answers, strict=True):
        if not ok or len(raw) < 160:
            raise Unread(f"price feed {feed.address} did not answer")
        unit = mul_div_down(int.from_bytes(raw[32:64]), feed.multiplier, FACTOR)
        low = mul_div_down(unit, BPS - slot.spread_bps, BPS)
        priced[token] = low, mul_div_up(unit, BPS + slot.spread_bps, BPS)
    three = (slot.index, slot.long_token, slot.short_token)
    prices = tuple(word(p) for t in three for p in priced[t.address])
    head = (word(slot.store), word(0), slot.position(account))
    return ask(slot.reader, book.GET_INFO, *head, *prices, word(0), word(0), word(1))


def compared(perp: Perp | None, answer: tuple[bool, bytes]) -> tuple[Row, ...]:
    """(what, ours, the Reader's), to the last unit. Raises Unread."""
    ok, raw = answer
    if perp is None:
        # the Reader has no view on what is not there
        return (("closed", True, not ok or not int.from_bytes(raw[32 * _SIZE : 32 * _SIZE + 32])),)
    if not ok or len(raw) < 32 * (_PNL + 1):
        raise Unread("GMX's Reader gives no opinion on the position")
    said = [int.from_bytes(raw[i : i + 32]) for i in range(0, len(raw) - 31, 32)]
    won = said[_PNL] - 2**256 if said[_PNL] >= 2**255 else said[_PNL]
    costs = said[_FEE] + said[_BORROWING] + said[_FUNDING]
    left = (said[_MARGIN] - costs) * perp.collateral_price + won + perp.impact_usd
    return (
        ("size, 1e-30 USD", perp.size_usd, said[_SIZE]),
        ("index tokens", perp.tokens, said[_TOKENS]),
        ("margin", perp.margin, said[_MARGIN]),
        ("borrowing and funding", perp.owed, said[_BORROWING] + said[_FUNDING]),
        ("profit, 1e-30 USD", perp.pnl_usd, won),
        ("remaining, 1e-30 USD", perp.remaining_usd, left),
        ("liquidatable", perp.remaining_usd < perp.need_usd, left < perp.need_usd),
    )
