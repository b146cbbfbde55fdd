"""Morpho Blue: any market given by its contract and id, interest accrued by ourselves, health by its own inequality.

book.py (addresses, signatures) -> layout.py (what one batch asks) -> read.py (words to positions) -> encode.py (steps
to calls, projections, fills); math.py and rules.py are the protocol's own arithmetic, events.py what it logs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeper.config import VenueSettings
from keeper.executor.seat import BySignature, Line, Permit, Seat
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
from keeper.sockets import Named, Pair
from keeper.venues.aave_v3.book import ZERO_ADDRESS, checksum, word
from keeper.venues.atomic import AtomicVenue
from keeper.venues.morpho_blue import book, encode, events, read, rules
from keeper.venues.morpho_blue.book import KIND, Market, Read
from keeper.venues.morpho_blue.deployments import contracts
from keeper.venues.morpho_blue.layout import Layout, layout, position_id
from keeper.venues.search import Search
from keeper.words import Words

__all__ = ["KIND", "SEARCH", "MorphoBlue", "load"]
SEARCH = Search(contracts=contracts, logs=events.borrowings, markets=events.markets)


class MorphoBlue(AtomicVenue[Market, tuple[str, ...], Layout]):
    """One market as a Venue; pure, apart from keeping its last batches (same calldata)."""

    __slots__ = ()

    @property
    def kind(self) -> str:
        """The protocol's name in configuration and position ids."""
        return KIND

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The loan token and the collateral token."""
        both = (self.market.loan, self.market.collateral)
        return tuple(dict.fromkeys(both))

    @property
    def spender(self) -> str:
        """The Morpho contract: it pulls what is supplied or repaid."""
        return self.market.morpho

    @property
    def rules(self) -> LiquidationRule:
        """The liquidation rule in words; ``rules.py`` has the functions."""
        return rules.rule()

    @property
    def terms(self) -> tuple[str | int, ...]:
        """MarketParams, by which every call names the market."""
        m = self.market
        return (m.loan.address, m.collateral.address, m.oracle, m.irm, m.lltv_wad)

    def position_id(self, account: str) -> PositionId:
        """An account has one position in a market."""
        return position_id(self.market, account)

    def seat(self, owner: str) -> Seat:
        """The owner's position as his Executor sees it, which knows nothing of PreLiquidation contracts.

        One with an oracle of its own is in no fixed proportion: what the Executor would say is then simulated only.
        """
        m, key = self.market, bytes.fromhex(self.market.key[2:])
        held = Call(target=m.morpho, data=book.POSITION + key + word(owner))
        own_dollars = (
            "" if m.dollars is not None else f"venues.{m.name}.usd_feed is not set: caps are in dollars"
        )
        return Seat(
            key=m.key,
            permit=Permit(
                contract=m.morpho,
                asks=book.IS_AUTHORIZED,
                allows=book.SET_AUTHORIZATION,
                name="setAuthorization",
                reach="everything on Morpho Blue for you, in every market: withdraw, borrow",
                by_signature=BySignature(
                    nonce=book.NONCE,
                    fields=("authorizer", "authorized", "isAuthorized", "nonce", "deadline"),
                    submits=book.SET_AUTHORIZATION_WITH_SIG,
                    named=False,
                    in_structs=True,
                ),
            ),
            held={m.collateral.address: (held, 2)},
            lines=tuple(
                Line(
                    asks=Call(target=m.morpho, data=book.IS_AUTHORIZED + word(owner) + word(p.address)),
                    share=(p.terms.line_wad, m.lltv_wad),
                )
                for p in m.pre
                if p.oracle == m.oracle
            ),
            lacks=own_dollars,
        )

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        """The batch that reads the market and ``accounts``; there is nothing to remember between two."""
        return self._layout(accounts).calls

    def decode(
        self,
        block: Block,
        accounts: Sequence[str],
        words: Words,
        seen: Seen,
        shadows: Mapping[PositionId, Shadow],
    ) -> Reading:
        """Positions of ``accounts`` from the words of ``calls(accounts, seen)``. Raises Unread."""
        return read.decode(self.market, self._layout(accounts), block, words, shadows)

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        """Why the market would not take the step now, or would take it without effect on health."""
        return encode.can(self.market, step, position, means)

    def encode(self, step: Step, position: Position) -> Call:
        """``supplyCollateral`` or ``repay`` on behalf of the position's account."""
        return encode.call(self.market, step, position)

    @property
    def functions(self) -> Mapping[type[Step], frozenset[bytes]]:
        """``supplyCollateral`` and ``repay``."""
        return {Supply: frozenset({book.SUPPLY_COLLATERAL}), Repay: frozenset({book.REPAY})}

    @property
    def by_shares(self) -> frozenset[bytes]:
        """``repay``: by shares is the only way to leave no dust."""
        return frozenset({book.REPAY})

    def gas(self, step: Step) -> int:
        """A gas limit the step does not exceed."""
        return encode.gas(step)

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        """The position after the steps at the same price and totals, never better than it will be."""
        return encode.after(steps, position)

    def fill(self, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
        """A dry-run's stored integers after the steps, as the market would have left them at ``block``."""
        return encode.fill(self.market, steps, block, snapshot, shadow)

    def liquidation_logs(self, account: str) -> LogFilter:
        """The contract's Liquidate events of this market with ``account`` as the borrower."""
        return events.liquidations(self.market, account)

    def permission_logs(self, account: str) -> LogFilter:
        """The contract's SetAuthorization events by ``account``: they hold for every market at once."""
        return events.permissions(self.market.morpho, account)

    def permitted(self, logs: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
        """Whom those logs leave allowed, the PreLiquidation contracts of this market apart."""
        known = {p.address for p in self.market.pre}
        return tuple(who for who in events.permitted(logs) if who not in known)

    async def lines(self, who: Sequence[str], read: Read) -> tuple[str, ...]:
        """The PreLiquidation contracts of this market among them. Raises Transient."""
        return await book.lines(self.market, who, read)

    def borrow_logs(self) -> tuple[LogFilter, int]:
        """Loans of the market; the second topic is who owes."""
        return LogFilter(target=self.market.morpho, topics=(events.BORROW, self.market.key)), 2

    @property
    def oracles(self) -> tuple[Pair, ...]:
        """The market's, and those of its PreLiquidation contracts."""
        m = self.market
        return tuple(
            Pair(
                id=f"{m.id}:{oracle}",
                address=oracle,
                symbols=(m.collateral.symbol, m.loan.symbol),
                decimals=(m.collateral.decimals, m.loan.decimals),
            )
            for oracle in (m.oracle, *(p.oracle for p in m.pre))
        )

    @property
    def priced(self) -> Mapping[str, Token]:
        """Nothing: health is by the oracle alone, and no market is asked what the loan token is worth."""
        return {}

    def feed_calls(self) -> tuple[Call, ...]:
        """Whom an Aave oracle asks for the loan token; a feed is itself."""
        m = self.market
        if m.dollars is None or m.dollars.aged:
            return ()
        return (Call(target=m.dollars.place, data=book.SOURCE_OF + word(m.loan.address)),)

    def feeds(self, words: Words) -> tuple[Named, ...]:
        """The feed behind ``usd_feed``, by which caps are counted: watched for age and nonsense as any other."""
        m, dollars = self.market, self.market.dollars
        if dollars is None:
            return ()
        address, told = dollars.place, self.feed_calls()
        if told:
            address = checksum(words.uint(0)) if words.ok[0] and words.count[0] else ZERO_ADDRESS
        if address == ZERO_ADDRESS:
            return ()
        hangs = "not for health: day caps and costs in dollars are counted by it, at an old price while it is stale"
        symbol = f"{m.loan.symbol} in dollars (venues.{m.name}.usd_feed, {hangs})"
        digits = len(str(dollars.unit)) - 1
        return (Named(id=f"{m.id}:usd_feed", symbol=symbol, address=address, expected_decimals=digits),)

    def _layout(self, accounts: Sequence[str]) -> Layout:
        wanted = tuple(accounts)
        return self._laid(wanted, lambda: layout(self.market, wanted))


async def load(settings: VenueSettings, chain_id: int, read: Read) -> MorphoBlue:
    """The market that ``settings`` name, static facts read through ``read``. Raises ConfigError, Transient."""
    return MorphoBlue(await book.market(settings, chain_id, read))
