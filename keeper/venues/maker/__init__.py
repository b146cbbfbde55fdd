"""Maker/Sky vaults: one collateral type of the vault system, found from the chainlog; fees accrued by ourselves.

book.py (addresses, signatures) -> layout.py (what one batch asks) -> read.py (words to positions) -> encode.py (steps
to calls, projections, fills), seat.py (as an Executor sees it); math.py and rules.py are the protocol's arithmetic.
The price that will count within the hour is the oracle room's: it reads the delayed feed's next value from storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeper.config import VenueSettings
from keeper.executor.seat import Seat
from keeper.model import Block, Call, Means, Position, PositionId, Refusal, Snapshot, Step, Token
from keeper.seams import LiquidationRule, LogFilter, Reading, Seen, Shadow
from keeper.venues.atomic import AtomicVenue
from keeper.venues.maker import book, encode, read, rules
from keeper.venues.maker import seat as seats
from keeper.venues.maker.book import KIND, Market, Read
from keeper.venues.maker.deployments import known
from keeper.venues.maker.layout import Layout, layout, position_id
from keeper.words import Words

__all__ = ["KIND", "Maker", "known", "load"]


class Maker(AtomicVenue[Market, tuple[str, ...], Layout]):
    """One collateral type as a Venue; accounts are vaults by address in the Vat. Pure but for the price told, and
    for keeping its last batches (same calldata).
    """

    __slots__ = ("foreseen_wad",)

    def __init__(self, market: Market) -> None:
        super().__init__(market)
        self.foreseen_wad: int | None = None
        """The lowest price that will count within the hour, from the delayed feed; health is never above its."""

    @property
    def kind(self) -> str:
        """The protocol's name in configuration and position ids."""
        return KIND

    @property
    def tokens(self) -> tuple[Token, ...]:
        """Dai and the collateral."""
        return self.market.dai, self.market.gem

    @property
    def spender(self) -> str:
        """The keeper's own proxy, which pulls what it pays in; the zero address without one."""
        return self.market.proxy

    @property
    def terms(self) -> tuple[str | int, ...]:
        """What a rescue goes through: actions, manager, adapter and token of the collateral and of Dai, vaults."""
        m = self.market
        through = (m.actions, m.manager, m.gem_join, m.gem.address, m.dai_join, m.dai.address)
        return (*through, *(v.number for v in m.vaults))

    @property
    def rules(self) -> LiquidationRule:
        """The liquidation rule in words; ``rules.py`` has the functions."""
        return rules.rule(self.market)

    def position_id(self, account: str) -> PositionId:
        """A vault has one position in its collateral type."""
        return position_id(self.market, account)

    def seat(self, owner: str) -> Seat:
        """The vault at that address as its owner's Executor sees it."""
        return seats.seat(self.market, owner)

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        """The batch that reads the collateral type and the vaults."""
        return self._layout(accounts).calls

    def decode(
        self,
        block: Block,
        accounts: Sequence[str],
        words: Words,
        seen: Seen,
        shadows: Mapping[PositionId, Shadow],
    ) -> Reading:
        """Positions of the vaults from the words of ``calls``."""
        frame = read.Frame(market=self.market, block=block, foreseen_wad=self.foreseen_wad)
        return read.decode(frame, self._layout(accounts), words, shadows)

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        """Why the vault system would not take the step now."""
        return encode.can(self.market, step, position, means)

    def encode(self, step: Step, position: Position) -> Call:
        """``execute`` on the keeper's proxy: lock collateral, or wipe debt; or what the owner's Executor is asked."""
        return encode.call(self.market, step, position)

    def gas(self, step: Step) -> int:
        """A gas limit the step does not exceed."""
        return encode.gas(step)

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        """The vault after the steps at the same price and rate, never better than it will be."""
        return encode.after(self.market, steps, position)

    def fill(self, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
        """A dry-run's stored integers after the steps."""
        return encode.fill(self.market, steps, block, snapshot, shadow)

    def liquidation_logs(self, account: str) -> LogFilter:
        """The Dog's Bark events at the vault."""
        return rules.liquidations(self.market, account)

    @property
    def delayed(self) -> tuple[str, str]:
        """The collateral's price, and the delayed feed that holds it back."""
        return self.market.feed, self.market.pip

    def _layout(self, accounts: Sequence[str]) -> Layout:
        wanted = tuple(accounts)
        return self._laid(wanted, lambda: layout(self.market, wanted))


async def load(settings: VenueSettings, chain_id: int, read: Read) -> Maker:
    """The collateral type ``market`` of the chainlog ``provider``. Raises ConfigError, Transient."""
    return Maker(await book.market(settings, chain_id, read))
