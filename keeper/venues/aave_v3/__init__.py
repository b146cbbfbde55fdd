"""Aave v3: any market given by its PoolAddressesProvider, health to the wei by POOL_REVISION.

book.py (addresses, signatures) -> layout.py (what one batch asks) -> reserves.py, read.py (words to
positions) -> encode.py (steps to calls, projections, fills); math.py and rules.py are the protocol's own
arithmetic, cushion.py what an Executor keeps where they round half up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from keeper.config import VenueSettings
from keeper.executor.seat import Seat, padded
from keeper.model import (
    Block,
    Call,
    Means,
    Position,
    PositionId,
    Refusal,
    Repay,
    Snapshot,
    Step,
    Supply,
    Token,
)
from keeper.seams import LiquidationRule, LogFilter, Reading, Seen, Shadow
from keeper.sockets import Named
from keeper.venues.aave_v3 import book, cushion, encode, events, read, rules, screen, sources
from keeper.venues.aave_v3.book import Market, Read
from keeper.venues.aave_v3.deployments import known
from keeper.venues.aave_v3.layout import Layout, layout, position_id
from keeper.venues.atomic import AtomicVenue
from keeper.venues.cushion import Cushion
from keeper.words import Words

__all__ = ["KIND", "AaveV3", "known", "load"]
KIND = "aave_v3"


class AaveV3(AtomicVenue[Market, tuple[tuple[str, ...], Seen], Layout]):
    """One Aave v3 market as a Venue; pure, apart from keeping its last batches (same calldata)."""

    __slots__ = ()

    @property
    def kind(self) -> str:
        """The protocol's name in configuration and position ids."""
        return KIND

    @property
    def tokens(self) -> tuple[Token, ...]:
        """Every token that the market lists."""
        return tuple(r.token for r in self.market.listings)

    @property
    def spender(self) -> str:
        """The pool: it pulls what is supplied or repaid."""
        return self.market.pool

    @property
    def rules(self) -> LiquidationRule:
        """The market's liquidation rule in words; ``rules.py`` has the functions."""
        return rules.rule(self.market.line)

    def position_id(self, account: str) -> PositionId:
        """An account has one position in a market."""
        return position_id(self.market, account)

    def seat(self, owner: str) -> Seat:
        """The owner's account in the pool, as his Executor sees it: all of it under the pool's address."""
        receipts = {x.token.address: x.a_token for x in self.market.listings}
        return Seat(key=padded(self.market.pool), receipts=receipts)

    def cushions(self, executor: str) -> tuple[Cushion, ...]:
        """What that Executor must keep of the aTokens it sells out of, where the pool's rounding asks for it."""
        return cushion.cushions(self.market, executor)

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        """The batch that reads the market and ``accounts``."""
        return self._layout(accounts, seen).calls

    def decode(
        self,
        block: Block,
        accounts: Sequence[str],
        words: Words,
        seen: Seen,
        shadows: Mapping[PositionId, Shadow],
    ) -> Reading:
        """Positions of ``accounts`` from the words of ``calls(accounts, seen)``."""
        return read.decode(self.market, self._layout(accounts, seen), block, words, shadows)

    def below(
        self, accounts: Sequence[str], words: Words, seen: Seen, lines_wad: npt.NDArray[np.uint64]
    ) -> tuple[int, ...]:
        """Indices of the accounts whose health, by the pool's own word, is below their line or untold."""
        at = self._layout(accounts, seen)
        return screen.below(at.accounts, at.accounts_at + 2 * len(at.accounts), words, lines_wad)

    def health_call(self, account: str) -> Call:
        """``getUserAccountData``."""
        return Call(target=self.market.pool, data=book.GET_USER_ACCOUNT_DATA + book.word(account))

    def health_told(self, words: Words) -> int | None:
        """The pool's own health factor."""
        return screen.told(words)

    def words_of(self, accounts: Sequence[str], words: Words, seen: Seen, chosen: Sequence[int]) -> Words:
        """The words of ``calls`` for the accounts at ``chosen`` alone."""
        return words.taken(self._layout(accounts, seen).of(chosen))

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        """Why the pool would not take the step now, or would take it without effect on health."""
        return encode.can(self.market, step, position, means)

    def encode(self, step: Step, position: Position) -> Call:
        """``supply`` or ``repay`` on behalf of the position's account."""
        return encode.call(self.market, step, position)

    @property
    def functions(self) -> Mapping[type[Step], frozenset[bytes]]:
        """``supply`` and ``repay`` of the pool."""
        return {Supply: frozenset({book.SUPPLY}), Repay: frozenset({book.REPAY})}

    @property
    def by_shares(self) -> frozenset[bytes]:
        """None: the pool takes exact units."""
        return frozenset()

    def gas(self, step: Step) -> int:
        """A gas limit the step does not exceed."""
        return encode.gas(step)

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        """The position after the steps at the same prices and indices, never better than it will be."""
        return encode.after(self.market, steps, position)

    def fill(self, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
        """A dry-run's stored integers after the steps, as the pool would have left them at ``block``."""
        return encode.fill(self.market, steps, block, snapshot, shadow)

    def liquidation_logs(self, account: str) -> LogFilter:
        """The pool's LiquidationCall events with ``account`` as the user."""
        return events.liquidations(self.market, account)

    def borrow_logs(self) -> tuple[LogFilter, int]:
        """The pool's Borrow events; the third topic is who owes."""
        return LogFilter(target=self.market.pool, topics=(events.BORROW,)), 2

    @property
    def priced(self) -> Mapping[str, Token]:
        """Every listed token by its price."""
        return {r.feed: r.token for r in self.market.listings}

    def feed_calls(self) -> tuple[Call, ...]:
        """The oracle names the source of each price."""
        return sources.calls(self.market)

    def feeds(self, words: Words) -> tuple[Named, ...]:
        """The sources; an asset priced by the fallback oracle has none."""
        return sources.named(self.market, words)

    @property
    def sentinel_of(self) -> str:
        """The provider, up to the release that asks no sentinel."""
        return self.market.provider if self.market.revision < sources.NO_SENTINEL_FROM else ""

    @property
    def dollar_oracle(self) -> str:
        """The market's own: its base currency is the dollar."""
        return self.market.oracle

    def _layout(self, accounts: Sequence[str], seen: Seen) -> Layout:
        wanted = tuple(accounts)
        return self._laid((wanted, seen), lambda: layout(self.market, wanted, seen))


async def load(settings: VenueSettings, chain_id: int, read: Read) -> AaveV3:
    """The market of ``provider``, static facts read through ``read``. Raises ConfigError, Transient."""
    return AaveV3(await book.market(settings.name, settings.provider, chain_id, read))
