"""Compound v3 (Comet): any market given by its proxy, health by the verdict that ``absorb`` takes.

book.py (addresses, signatures) -> layout.py (what one batch asks) -> market.py, read.py (words to positions)
-> encode.py (steps to calls, projections, fills); math.py and rules.py are the protocol's own arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eth_utils.crypto import keccak

from keeper.config import VenueSettings
from keeper.executor.seat import BySignature, Permit, Seat, padded
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
from keeper.venues.aave_v3.book import word
from keeper.venues.atomic import AtomicVenue
from keeper.venues.compound_v3 import book, encode, read, rules
from keeper.venues.compound_v3.book import KIND, Market, Read
from keeper.venues.compound_v3.deployments import known
from keeper.venues.compound_v3.layout import Layout, layout, position_id
from keeper.words import Words

__all__ = ["KIND", "CompoundV3", "known", "load"]
WITHDRAW = "0x" + keccak(text="Withdraw(address,address,uint256)").hex()
"""CometMainInterface.Withdraw of the base token, which is how it is borrowed; source and receiver are indexed."""


class CompoundV3(AtomicVenue[Market, tuple[tuple[str, ...], Seen], Layout]):
    """One Comet market as a Venue; pure, apart from keeping its last batches (same calldata)."""

    __slots__ = ()

    @property
    def kind(self) -> str:
        """The protocol's name in configuration and position ids."""
        return KIND

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The base token, then every collateral."""
        return (self.market.base.token, *(a.token for a in self.market.assets))

    @property
    def spender(self) -> str:
        """The market itself pulls what is supplied or repaid."""
        return self.market.comet

    @property
    def rules(self) -> LiquidationRule:
        """The market's liquidation rule in words; ``rules.py`` has the functions."""
        return rules.rule()

    def position_id(self, account: str) -> PositionId:
        """An account has one position in a market."""
        return position_id(self.market, account)

    def seat(self, owner: str) -> Seat:
        """The owner's position as his Executor sees it: all of it under the market's address."""
        comet = self.market.comet
        mine = {
            a.token.address: Call(
                target=comet, data=book.USER_COLLATERAL + word(owner) + word(a.token.address)
            )
            for a in self.market.assets
        }
        return Seat(
            key=padded(comet),
            permit=Permit(
                contract=comet,
                asks=book.IS_ALLOWED,
                allows=book.ALLOW,
                name="allow",
                reach="everything in this market for you: withdraw, borrow",
                by_signature=BySignature(
                    nonce=book.USER_NONCE,
                    fields=("owner", "manager", "isAllowed", "nonce", "expiry"),
                    submits=book.ALLOW_BY_SIG,
                    named=True,
                    in_structs=False,
                ),
            ),
            held={token: (call, 0) for token, call in mine.items()},
        )

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

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        """Why the market would not take the step now, or would take it without effect on health."""
        return encode.can(self.market, step, position, means)

    def encode(self, step: Step, position: Position) -> Call:
        """``supplyTo`` the position's account: of collateral, or of the base token, which repays."""
        return encode.call(self.market, step, position)

    @property
    def functions(self) -> Mapping[type[Step], frozenset[bytes]]:
        """``supplyTo``: supplying the base token repays."""
        return {Supply: frozenset({book.SUPPLY_TO}), Repay: frozenset({book.SUPPLY_TO})}

    @property
    def by_shares(self) -> frozenset[bytes]:
        """None: a debt is units of the base token."""
        return frozenset()

    def gas(self, step: Step) -> int:
        """A gas limit the step does not exceed."""
        return encode.gas(step)

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        """The position after the steps at the same prices and indices, never better than it will be."""
        return encode.after(steps, position)

    def fill(self, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
        """A dry-run's stored integers after the steps, as the market would have left them at ``block``."""
        return encode.fill(self.market, steps, block, snapshot, shadow)

    def liquidation_logs(self, account: str) -> LogFilter:
        """The market's AbsorbDebt events with ``account`` as the borrower."""
        return rules.liquidations(self.market, account)

    def permission_logs(self, account: str) -> LogFilter:
        """The logs in which the account let others act for it, or no longer."""
        return rules.permissions(self.market, account)

    def permitted(self, logs: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
        """Whom those logs leave allowed."""
        return rules.permitted(logs)

    def borrow_logs(self) -> tuple[LogFilter, int]:
        """The market's Withdraw events of the base token; the first topic is who owes."""
        return LogFilter(target=self.market.comet, topics=(WITHDRAW,)), 1

    @property
    def priced(self) -> Mapping[str, Token]:
        """The base token and every collateral by its price."""
        return {x.feed: x.token for x in (self.market.base, *self.market.assets)}

    def feed_calls(self) -> tuple[Call, ...]:
        """Nothing: the feeds are known since the market was loaded."""
        return ()

    def feeds(self, words: Words) -> tuple[Named, ...]:
        """The market counts in eight decimals."""
        listed = (self.market.base, *self.market.assets)
        return tuple(
            Named(id=x.feed, symbol=x.token.symbol, address=x.oracle, expected_decimals=8) for x in listed
        )

    def _layout(self, accounts: Sequence[str], seen: Seen) -> Layout:
        wanted = tuple(accounts)
        return self._laid((wanted, seen), lambda: layout(self.market, wanted, seen))


async def load(settings: VenueSettings, chain_id: int, read: Read) -> CompoundV3:
    """The market at the proxy ``provider``, static facts read through ``read``. Raises ConfigError, Transient."""
    return CompoundV3(await book.market(settings.name, settings.provider, chain_id, read))
