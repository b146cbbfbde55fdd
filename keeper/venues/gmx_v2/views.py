"""What GMX's Reader says of a position at the prices of the same block, beside what our reader says."""

from __future__ import annotations

from collections.abc import Sequence

from keeper.errors import Unread
from keeper.model import Call, Perp, Position
from keeper.units import BPS, mul_div_down, mul_div_up
from keeper.venues.aave_v3.book import selector
from keeper.venues.asking import Asking, Fact
from keeper.venues.gmx_v2 import GmxV2, book
from keeper.venues.gmx_v2.book import Slot, ask, word
from keeper.venues.gmx_v2.curves import applied, up
from keeper.venues.gmx_v2.layout import FACTOR, PER_SIZE

_SIZE, _TOKENS, _MARGIN, _BORROWED, _FUNDED = 4, 5, 6, 8, 9
_FEE, _BORROWING, _FUNDING, _PNL = 53, 35, 28, 63
"""Words of getPositionInfo; see read.py."""
JUDGE = selector(
    "isPositionLiquidatable(address,address,bytes32,(address,address,address,address),"
    "((uint256,uint256),(uint256,uint256),(uint256,uint256)),bool,bool)"
)
Row = tuple[str, int | bool, int | bool]
Answer = tuple[bool, bytes]


async def facts(venue: GmxV2, account: str, found: Position | None, asking: Asking) -> tuple[Fact, ...]:
    """The Reader's own accruals, profit and verdict at the feeds' prices."""
    fed = await asking.together(questions(venue))
    prices = priced(venue.slot, fed)
    said = await asking.together(
        [opinion(venue.slot, account, prices), *verdict(venue.slot, account, prices)]
    )
    perp = found.perp if found is not None else None
    rows = (*compared(perp, said[0]), *(judged(perp, said) if perp is not None else ()))
    return tuple(Fact(what=what, ours=ours, venue=theirs) for what, ours, theirs in rows)


def questions(venue: GmxV2) -> list[Call]:
    """The feeds, first."""
    return [*venue.source.calls(venue.slot)]


def priced(slot: Slot, answers: Sequence[Answer]) -> tuple[bytes, ...]:
    """The three pairs of prices by the feeds' answers, a word each. Raises Unread."""
    found: dict[str, tuple[int, int]] = {}
    for (token, feed), (ok, raw) in zip(slot.feeds, answers, strict=True):
        if not ok or len(raw) < 160:
            raise Unread(f"price feed {feed.address} did not answer")
        unit = mul_div_down(int.from_bytes(raw[32:64]), feed.multiplier, FACTOR)
        low = mul_div_down(unit, BPS - slot.spread_bps, BPS)
        found[token] = low, mul_div_up(unit, BPS + slot.spread_bps, BPS)
    three = (slot.index, slot.long_token, slot.short_token)
    return tuple(word(p) for t in three for p in found[t.address])


def opinion(slot: Slot, account: str, prices: Sequence[bytes]) -> Call:
    """The Reader's view at those prices."""
    head = (word(slot.store), word(0), slot.position(account))
    return ask(slot.reader, book.GET_INFO, *head, *prices, word(0), word(0), word(1))


def verdict(slot: Slot, account: str, prices: Sequence[bytes]) -> tuple[Call, Call, Call]:
    """The Reader's verdict at those prices, and the two accumulators that it counts by: as stored."""
    s = slot
    market = tuple(word(a) for a in (s.market, s.index.address, s.long_token.address, s.short_token.address))
    head = (word(s.store), word(0), s.position(account))
    borrowed = book.key("CUMULATIVE_BORROWING_FACTOR", s.market, s.long)
    funded = book.key("FUNDING_FEE_AMOUNT_PER_SIZE", s.market, s.collateral.address, s.long)
    return (
        ask(s.reader, JUDGE, *head, *market, *prices, word(1), word(1)),
        ask(s.store, book.GET_UINT, borrowed),
        ask(s.store, book.GET_UINT, funded),
    )


def compared(perp: Perp | None, answer: Answer) -> tuple[Row, ...]:
    """(what, ours, the Reader's), to the last unit. Raises Unread."""
    ok, raw = answer
    if perp is None:
        # the Reader has no view on what is not there
        return (("closed", True, not ok or not int.from_bytes(raw[32 * _SIZE : 32 * _SIZE + 32])),)
    if not ok or len(raw) < 32 * (_PNL + 1):
        raise Unread("GMX's Reader gives no opinion on the position")
    said = _words(raw)
    won = _signed(said[_PNL])
    costs = said[_FEE] + said[_BORROWING] + said[_FUNDING]
    left = (said[_MARGIN] - costs) * perp.collateral_price + won + perp.impact_usd
    return (
        ("size, 1e-30 USD", perp.size_usd, said[_SIZE]),
        ("index tokens", perp.tokens, said[_TOKENS]),
        ("margin", perp.margin, said[_MARGIN]),
        ("borrowing and funding", perp.owed, said[_BORROWING] + said[_FUNDING]),
        ("profit, 1e-30 USD", perp.pnl_usd, won),
        ("remaining, 1e-30 USD", perp.remaining_usd, left),
    )


def judged(perp: Perp, answers: Sequence[Answer]) -> tuple[Row, ...]:
    """Verdict, need and what remains, beside the Reader's, at borrowing and funding as stored: it counts no others.
    ``answers``: of ``opinion`` and ``verdict``. Raises Unread.
    """
    info, told, *stored = (raw if ok else b"" for ok, raw in answers)
    if len(info) < 32 * (_PNL + 1) or len(told) < 160 or any(len(raw) < 32 for raw in stored):
        raise Unread("GMX's Reader gives no verdict on the position")
    said, theirs = _words(info), _words(told)
    borrowed, funded = (int.from_bytes(raw[:32]) for raw in stored)
    price = perp.collateral_price
    owed = applied(perp.size_usd, borrowed - said[_BORROWED]) // price
    owed += up(perp.size_usd * (funded - said[_FUNDED]), FACTOR * PER_SIZE)
    left, remains, dead = perp.remaining_usd + (perp.owed - owed) * price, _signed(theirs[2]), bool(theirs[0])
    need = ("needed, 1e-30 USD", perp.need_usd, max(_signed(theirs[3]), _signed(theirs[4]), 1))
    ours = left < perp.need_usd
    if perp.impact_usd == perp.impact_least_usd < 0:
        # impact at its floor is what we take where only the chain knows it: the Reader may see more, never less
        return (
            need,
            ("no more than remains", True, left <= remains),
            ("liquidatable or near", True, ours or not dead),
        )
    return need, ("remaining as stored, 1e-30 USD", left, remains), ("liquidatable as stored", ours, dead)


def _words(raw: bytes) -> list[int]:
    return [int.from_bytes(raw[i : i + 32]) for i in range(0, len(raw) - 31, 32)]


def _signed(value: int) -> int:
    return value - 2**256 if value >= 2**255 else value
