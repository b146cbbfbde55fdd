"""Where a slot's prices come from: GMX itself keeps none on chain. Pure.

``Source`` is the seam, ``SOURCES`` what a slot may be priced by; why a configuration chooses none is in
docs/decisions/gmx-prices.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from keeper.model import Block, Call
from keeper.units import BPS, mul_div_down, mul_div_up
from keeper.venues.gmx_v2.book import LATEST, Slot, ask
from keeper.venues.gmx_v2.layout import FACTOR, Price, Prices
from keeper.words import Words


@runtime_checkable
class Source(Protocol):
    """What prices a slot at one block. Pure: what it needs of the chain it asks in the batch, what it needs of
    elsewhere it was given before, with the second at which that was true.
    """

    def calls(self, slot: Slot) -> tuple[Call, ...]:
        """Its part of the batch, the same at each call for one slot: the answers are told apart by their places."""
        ...

    def prices(self, slot: Slot, words: Words, block: Block) -> Prices | str:
        """The three prices (dollars of one smallest unit x 1e30, lowest and highest) from the words of ``calls``, or
        why there are none: a price that is missing, crossed, zero or too old for ``block`` makes the slot UNKNOWN by
        these words, and is never repaired.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeds:
    """The Chainlink feeds that the store names, widened by the slot's ``spread_bps``."""

    def calls(self, slot: Slot) -> tuple[Call, ...]:
        """One question a feed."""
        return tuple(ask(feed.address, LATEST) for _, feed in slot.feeds)

    def prices(self, slot: Slot, words: Words, block: Block) -> Prices | str:
        """Dollars of one smallest unit; never of a feed that is silent for longer than its heartbeat."""
        found: dict[str, Price] = {}
        for i, (token, feed) in enumerate(slot.feeds):
            if not words.ok[i] or words.count[i] < 5:
                return f"price feed {feed.address} of {token} did not answer"
            answer, updated_s = words.uint(i, 1), words.uint(i, 3)
            if not 0 < answer < 2**255:
                return f"price feed {feed.address} of {token} answers no price"
            if block.timestamp_s - updated_s > feed.heartbeat_s:
                age_s = block.timestamp_s - updated_s
                return f"price feed {feed.address} of {token} is {age_s} s old, its heartbeat is {feed.heartbeat_s} s"
            unit = mul_div_down(answer, feed.multiplier, FACTOR)
            try:
                found[token] = Price(
                    min=mul_div_down(unit, BPS - slot.spread_bps, BPS),
                    max=mul_div_up(unit, BPS + slot.spread_bps, BPS),
                )
            except ValueError as error:
                return f"{token}: {error}"
        return _three(slot, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Signed prices as somebody outside fetched them: token -> (lowest, highest), dollars of one smallest unit."""

    quoted: Mapping[str, tuple[int, int]]
    at_s: int
    age_s_max: int = 60

    def calls(self, slot: Slot) -> tuple[Call, ...]:
        """Nothing is asked on chain."""
        return ()

    def prices(self, slot: Slot, words: Words, block: Block) -> Prices | str:
        """What was told, while it is fresh, there and not crossed."""
        if abs(block.timestamp_s - self.at_s) > self.age_s_max:
            return f"prices were told at {self.at_s}, the block is of {block.timestamp_s}: too far apart"
        missing = [
            t.symbol for t in (slot.index, slot.long_token, slot.short_token) if t.address not in self.quoted
        ]
        if missing:
            return f"no price was told of {', '.join(missing)}"
        try:
            return _three(slot, {t: Price(min=low, max=high) for t, (low, high) in self.quoted.items()})
        except ValueError as error:
            return str(error)


SOURCES: Mapping[str, Callable[[], Source]] = {"feeds": Feeds}
"""By name what a slot of a configuration may be priced by. ``Told`` is not among them: nobody here fetches quotes,
which whoever embeds the venue hands over by ``GmxV2(slot, Told(...))`` before each reading."""
USUAL = "feeds"


def _three(slot: Slot, found: Mapping[str, Price]) -> Prices:
    return Prices(
        index=found[slot.index.address],
        long=found[slot.long_token.address],
        short=found[slot.short_token.address],
    )
