"""The paper venue: a lending market whose positions are a vessel's, in the words that the pure rooms speak.

One token is worth ``UNIT_USD`` at the first close, one dollar where it is one of ``dollars``, so a price's path is
its price. No interest within an action; nothing is ever read or sent, and a call is made for the guard to read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from eth_utils.address import to_checksum_address

from keeper.errors import Broken
from keeper.executor import abi
from keeper.model import (
    Amount,
    Block,
    BookRow,
    Call,
    Deleverage,
    Holding,
    Intent,
    Means,
    Position,
    PositionId,
    Refusal,
    Repay,
    Reserve,
    Snapshot,
    Step,
    Supply,
    Token,
    Unreadable,
)
from keeper.plan import guard
from keeper.replay.vessel import Vessel
from keeper.seams import Effect, LiquidationRule, LogFilter, Reading, Seen, Shadow
from keeper.sizing import debt_base_up, health_down, value_base_down, value_base_up, weighted_base_wad
from keeper.units import WAD
from keeper.words import Words

CHAIN_ID = 1
BASE_DECIMALS = 8
DECIMALS = 18
UNIT_USD = 1_000.0
KIND = "paper"
POOL = to_checksum_address("0x" + "50" * 20)
OWNER = to_checksum_address("0x" + "51" * 20)
ID = PositionId(venue=KIND, chain_id=CHAIN_ID, account=OWNER, key=POOL)
ROOM = 2**120
"""A limit that does not bind."""


class PaperVenue:
    """Collateral x threshold over debt, with the protocol's rounding of values."""

    kind = KIND

    def __init__(self, assets: Sequence[str], gas_units: int, dollars: frozenset[str] = frozenset()) -> None:
        self.tokens = tuple(token(k, name) for k, name in enumerate(assets))
        self._gas = gas_units
        self._dollars = dollars

    def unit_usd(self, name: str) -> float:
        """What one token is worth at the first close."""
        return 1.0 if name in self._dollars else UNIT_USD

    @property
    def id(self) -> str:
        """Its one name."""
        return f"{KIND}:{CHAIN_ID}:{POOL}"

    @property
    def spender(self) -> str:
        """The pool."""
        return POOL

    @property
    def rules(self) -> LiquidationRule:
        """Aave v3.3's."""
        return LiquidationRule(
            close_factor="half of all debt, all of it below 0.95", dust_base=1_000 * 10**BASE_DECIMALS
        )

    def position_id(self, account: str) -> PositionId:
        """There is one."""
        return replace(ID, account=account)

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        """Nothing is read in a replay."""
        return ()

    def decode(
        self,
        block: Block,
        accounts: Sequence[str],
        words: Words,
        seen: Seen,
        shadows: Mapping[PositionId, Shadow],
    ) -> Reading:
        """Nothing is read in a replay. Raises Broken."""
        raise Broken("a paper venue is not read")

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        """Anything but nothing."""
        if step.amount.units > 0:
            return None
        return Refusal(who=self.id, code="no_amount", why="nothing to move")

    def encode(self, step: Step, position: Position) -> Call:
        """What the guard reads: a sale's order, or token, amount and account of a payment. Raises Broken."""
        if isinstance(step, Deleverage):
            return abi.deleverage(step)
        if not isinstance(step, Repay | Supply):
            raise Broken(f"a paper venue knows no {type(step).__name__}")
        (selector,) = guard.SELECTORS[type(step)]
        named = (step.amount.token.address, position.id.account)
        words = [bytes.fromhex(a.removeprefix("0x")).rjust(32, b"\0") for a in named]
        return Call(target=self.spender, data=b"".join((selector, *words, step.amount.units.to_bytes(32))))

    def gas(self, step: Step) -> int:
        """The market's gas of one action."""
        return self._gas

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        """The position after the steps at the same prices."""
        supplied, borrowed = list(position.collateral), list(position.debt)
        for step in steps:
            if isinstance(step, Repay):
                borrowed = [_moved(h, step.amount, -1, debt=True) for h in borrowed]
            elif isinstance(step, Deleverage):
                borrowed = [_moved(h, step.repay, -1, debt=True) for h in borrowed]
                supplied = [_moved(h, step.sell_max, -1, debt=False) for h in supplied]
            else:
                supplied = [_moved(h, step.amount, +1, debt=False) for h in supplied]
        return stated(replace(position, collateral=tuple(supplied), debt=tuple(borrowed)))

    def fill(self, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
        """A replay's shadow is the vessel. Raises Broken."""
        raise Broken("a paper venue keeps no shadows")

    def effect(self, intent: Intent, snapshot: Snapshot) -> Effect:
        """A replay has no intents. Raises Broken."""
        raise Broken("a paper venue has no intents")

    def liquidation_logs(self, account: str) -> LogFilter:
        """A replay has no logs."""
        return LogFilter(target=POOL, topics=())


def token(k: int, name: str) -> Token:
    """The asset's token, by its place in the list."""
    address = to_checksum_address(f"0x{0x7000 + k:040x}")
    return Token(chain_id=CHAIN_ID, address=address, symbol=name, decimals=DECIMALS)


def position_of(vessel: Vessel, venue: PaperVenue, number: int) -> Position:
    """What a venue would say of the vessel at its present moment, values rounded as protocols do."""
    tokens = {t.symbol: t for t in venue.tokens}
    collateral = [
        _holding(
            tokens[x.asset],
            vessel.held_usd(i) / vessel.said(x.asset),
            price_of(vessel, x.asset, venue),
            unit=venue.unit_usd(x.asset),
            threshold=x.threshold,
        )
        for i, x in enumerate(vessel.collateral)
        if vessel.held_usd(i) > 0.0
    ]
    debt = [
        _holding(
            tokens[x.asset],
            vessel.owed_usd(j) / vessel.said(x.asset),
            price_of(vessel, x.asset, venue),
            unit=venue.unit_usd(x.asset),
            threshold=None,
        )
        for j, x in enumerate(vessel.debt)
        if vessel.owed_usd(j) > 0.0
    ]
    empty = BookRow(feeds=(), a=(), b=())
    found = Position(
        id=ID,
        owner=OWNER,
        block_number=number,
        health_wad=0,
        collateral=_merged(collateral),
        debt=_merged(debt),
        base_decimals=BASE_DECIMALS,
        row=empty,
    )
    return stated(found)


def price_of(vessel: Vessel, name: str, venue: PaperVenue) -> int:
    """Base units of one token."""
    return round(vessel.said(name) * (venue.unit_usd(name) * 1e8))


def units_of(value: float, unit_usd: float) -> int:
    """Token units of a value at the first close."""
    return int(value / unit_usd * 10**DECIMALS)


def reserve_of(of: Token, price_base: int, venue: PaperVenue) -> Reserve:
    """A reserve without limits."""
    return Reserve(
        venue=venue.id,
        token=of,
        feed=of.symbol,
        price_base=price_base,
        base_decimals=BASE_DECIMALS,
        active=True,
        frozen=False,
        paused=False,
        supply_room_units=None,
        cash_units=ROOM,
        supply_rate_ray=0,
        borrow_rate_ray=0,
    )


def stated(position: Position) -> Position:
    """The position with its own health and row."""
    feeds = tuple(dict.fromkeys(h.feed for h in (*position.collateral, *position.debt)))
    whole = 10**DECIMALS
    a = [
        sum(h.amount.units / whole * h.threshold_wad / WAD for h in position.collateral if h.feed == f)
        for f in feeds
    ]
    b = [sum(h.amount.units / whole for h in position.debt if h.feed == f) for f in feeds]
    health = health_down(weighted_base_wad(position), debt_base_up(position))
    return replace(position, health_wad=health, row=BookRow(feeds=feeds, a=tuple(a), b=tuple(b)))


def prices(vessel: Vessel, venue: PaperVenue) -> dict[str, float]:
    """USD of one token by feed."""
    return {t.symbol: price_of(vessel, t.symbol, venue) / 10**BASE_DECIMALS for t in venue.tokens}


def unread(why: str, number: int) -> Unreadable:
    """A position that the paper cannot state."""
    return Unreadable(id=ID, why=why, since_block=number)


def _holding(of: Token, value: float, price_base: int, *, unit: float, threshold: float | None) -> Holding:
    units = units_of(value, unit) + (threshold is None)
    valued = value_base_up if threshold is None else value_base_down
    return Holding(
        amount=Amount(token=of, units=units),
        stored=units,
        price_base=price_base,
        value_base=valued(units, price_base, of.decimals),
        threshold_wad=WAD if threshold is None else int(threshold * 10**6) * 10**12,
        feed=of.symbol,
    )


def _merged(holdings: Sequence[Holding]) -> tuple[Holding, ...]:
    """One holding a token."""
    found: dict[str, Holding] = {}
    for h in holdings:
        known = found.get(h.feed)
        if known is None:
            found[h.feed] = h
        else:
            found[h.feed] = _moved(known, h.amount, +1, debt=h.threshold_wad == WAD)
    return tuple(found.values())


def _moved(held: Holding, moved: Amount, sign: int, *, debt: bool) -> Holding:
    if held.amount.token != moved.token:
        return held
    units = max(0, held.amount.units + sign * moved.units)
    valued = value_base_up if debt else value_base_down
    value = valued(units, held.price_base, held.amount.token.decimals)
    return replace(held, amount=Amount(token=held.amount.token, units=units), stored=units, value_base=value)
