"""GMX v2 perpetuals: one market, collateral and side as a Venue; accrued and judged by ourselves, in one multicall.

book.py (addresses, keys) -> store.py (a market's numbers) -> read.py (words to positions) -> encode.py (steps to
orders, projections, fills); curves.py and rules.py are the protocol's arithmetic on layout.py, forms.py the two
affine forms, prices.py where prices come from, events.py what its log says of orders, effect.py their two steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from keeper.config import VenueSettings
from keeper.model import Block, Call, Intent, Means, Position, PositionId, Refusal, Snapshot, Step, Token
from keeper.seams import Effect, LiquidationRule, LogFilter, Reading, Seen, Shadow
from keeper.sockets import Named
from keeper.venues.gmx_v2 import book, deployments, effect, encode, events, read
from keeper.venues.gmx_v2.book import KIND, Read, Slot
from keeper.venues.gmx_v2.prices import SOURCES, USUAL, Feeds, Source
from keeper.venues.search import Search
from keeper.words import Words

__all__ = ["KIND", "SEARCH", "GmxV2", "load"]
SEARCH = Search(contracts=deployments.contracts, logs=deployments.openings, markets=events.slots)


class GmxV2:
    """One slot as a Venue; accounts are position owners. Pure; ``source`` may be told prices from outside."""

    __slots__ = ("slot", "source")

    def __init__(self, slot: Slot, source: Source | None = None) -> None:
        self.slot = slot
        self.source: Source = SOURCES[USUAL]() if source is None else source

    @property
    def id(self) -> str:
        """``gmx_v2:{chain}:{market}/{collateral}/{side}``."""
        return self.slot.id

    @property
    def kind(self) -> str:
        """The protocol's name in configuration and position ids."""
        return KIND

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The margin token; the index need not be a contract."""
        return (self.slot.collateral,)

    @property
    def spender(self) -> str:
        """The Router, or the owner's Executor, which pulls the margin that the keeper adds."""
        return self.slot.executor or self.slot.router

    @property
    def terms(self) -> tuple[str | int, ...]:
        """What an order is bounded by: target, order vault, market, collateral, side (1: long), index; and a 1 where
        the target is the owner's Executor, or the account where it is the ExchangeRouter."""
        s = self.slot
        through: tuple[str | int, ...] = (1,) if s.executor else (s.subaccount,) if s.own else ()
        return (s.target, s.vault, s.market, s.collateral.address, int(s.long), s.index.address, *through)

    @property
    def rules(self) -> LiquidationRule:
        """The whole position is closed, and what is left of its margin after fees returns to the owner."""
        return LiquidationRule(
            close_factor="the whole position, by GMX's own keepers, once less remains than its minimum",
            dust_base=0,
        )

    @property
    def priced(self) -> Mapping[str, Token]:
        """Index, long and short token by their prices."""
        s = self.slot
        return {s.feed(t): t for t in (s.index, s.long_token, s.short_token)}

    def feed_calls(self) -> tuple[Call, ...]:
        """Nothing: the store named the feeds when the slot was loaded."""
        return ()

    def feeds(self, words: Words) -> tuple[Named, ...]:
        """Chainlink's, where prices come from them."""
        named, by_address = dict(self.slot.feeds), {t.address: (id, t) for id, t in self.priced.items()}
        return tuple(
            Named(id=id, symbol=t.symbol, address=named[a].address, expected_decimals=named[a].decimals)
            for a, (id, t) in by_address.items()
            if a in named and isinstance(self.source, Feeds)
        )

    def position_id(self, account: str) -> PositionId:
        """An account has one position in a slot."""
        return read.position_id(self.slot, account)

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        """The batch that reads market, prices, positions, orders and grants."""
        return read.calls(self.slot, self.source, accounts, seen)

    def decode(
        self,
        block: Block,
        accounts: Sequence[str],
        words: Words,
        seen: Seen,
        shadows: Mapping[PositionId, Shadow],
    ) -> Reading:
        """Positions of the accounts from the words of ``calls``."""
        return read.decode(self.slot, self.source, block, (accounts, words, seen), shadows)

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        """Why GMX would not perform the step now."""
        return encode.can(self.slot, step, position, means)

    def encode(self, step: Step, position: Position) -> Call:
        """An order by the router or the owner's Executor, or ``cancelOrder``."""
        return encode.call(self.slot, step, position)

    def gas(self, step: Step) -> int:
        """A gas limit the step does not exceed."""
        return encode.gas(step)

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        """The position after the steps at the same prices, never better than it will be."""
        return encode.after(self.slot, steps, position)

    def fill(self, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
        """A dry-run's numbers after the steps."""
        return encode.fill(self.slot, steps, block, snapshot, shadow)

    def effect(self, intent: Intent, snapshot: Snapshot) -> Effect:
        """Pending while the order waits on the venue; done when the position shows it, else failed."""
        return effect.effect(intent, snapshot)

    def liquidation_logs(self, account: str) -> LogFilter:
        """Decreases of the account's positions; a liquidation has orderType 7."""
        return events.decreases(self.slot.emitter, account)


async def load(settings: VenueSettings, chain_id: int, ask: Read) -> GmxV2:
    """The slot ``market`` of the SubaccountRouter or ExchangeRouter ``provider``. Raises ConfigError, Transient."""
    if settings.reader is None and (known := deployments.reader(chain_id)) is not None:
        settings = replace(settings, reader=known)
    return GmxV2(await book.slot(settings, chain_id, ask))
