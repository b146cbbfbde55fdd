"""What both test-only perp venues share: how an account's margin stands as a Position of the keeper's model.

Synthetix v3 perps and Perpetual Protocol v2 are wound down, so no configuration can name them: these adapters live
with the tests. They carry the Venue seam over two real engines with cross margin, and show that what the keeper
decides does there what it says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from anvil.client import Chain
from anvil.transport import ChainTransport
from keeper.chain.batch import Batch
from keeper.model import (
    Acting,
    AddMargin,
    Amount,
    BookRow,
    Call,
    Holding,
    Intent,
    Means,
    Perp,
    PerpOrder,
    Position,
    PositionId,
    ReducePerp,
    Refusal,
    Snapshot,
    Step,
    Supply,
    Token,
)
from keeper.risk import perp
from keeper.seams import Effect, Progress, Venue
from keeper.snapshot import GatherRequest, gather
from keeper.units import UINT256_MAX, WAD
from keeper.venues import atomic
from keeper.words import Words

USD_DECIMALS = 30
"""Base currency, as strategies for perps count it; the engines' own numbers have 18."""
TO_USD = 10**12
ORDER_EXPIRES_S = 60
PENDING = "order pending"
FLAGGED = "flagged"
NO_ORDERS = "may not order"
MARKS = (PENDING, FLAGGED, NO_ORDERS)
"""What ``Position.mode`` may say, joined by commas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One market's part of an account: signed size, price and maintenance rate, all wad."""

    index: Token
    feed: str
    size: int
    price: int
    maintenance: int
    debt: int = 0
    """What was borrowed for it, dollars, where the engine judges reductions by that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a venue has read of an account, wad dollars."""

    available: int
    needed: int
    legs: tuple[Leg, ...]
    marks: tuple[str, ...] = ()


def position(id: PositionId, owner: str, block: int, margin: Token, stands: Standing) -> Position:
    """The record: health is margin over requirement; legs stand beside the margin and count as nothing themselves."""
    counted = max(stands.available, 0)
    units = counted * 10**margin.decimals // WAD
    held = Holding(
        amount=Amount(token=margin, units=units),
        stored=units,
        price_base=10**USD_DECIMALS,
        value_base=counted * TO_USD,
        threshold_wad=WAD,
        feed=f"{id.venue}:usd",
    )
    legs = tuple(
        Holding(
            amount=Amount(token=x.index, units=abs(x.size)),
            stored=x.size,
            price_base=x.price * TO_USD,
            value_base=x.debt * TO_USD,
            threshold_wad=0,
            feed=x.feed,
        )
        for x in stands.legs
    )
    missing = stands.needed + max(-stands.available, 0)
    need = Holding(
        amount=Amount(token=usd(id.chain_id), units=missing * TO_USD),
        stored=stands.needed,
        price_base=10**USD_DECIMALS,
        value_base=missing * TO_USD,
        threshold_wad=WAD,
        feed=f"{id.venue}:usd",
    )
    return Position(
        id=id,
        owner=owner,
        block_number=block,
        health_wad=counted * WAD // stands.needed if stands.needed else UINT256_MAX,
        collateral=(held, *legs),
        debt=(need,) if stands.needed else (),
        base_decimals=USD_DECIMALS,
        row=row(stands),
        mode=",".join(stands.marks),
        perp=perp_of(stands, margin, units) if len(stands.legs) == 1 else None,
    )


def perp_of(stands: Standing, margin: Token, units: int) -> Perp:
    """An account of one leg as the strategies for perps see a position."""
    (leg,) = stands.legs
    price = leg.price * TO_USD // 10**leg.index.decimals
    dollar = 10**USD_DECIMALS // 10**margin.decimals
    waits = PerpOrder(
        key="0x" + "00" * 32,
        kind=0,
        size_usd=0,
        margin=0,
        trigger_price=0,
        age_s=0,
        resting=False,
        frozen=False,
    )
    return Perp(
        long=leg.size > 0,
        size_usd=abs(leg.size) * price,
        tokens=abs(leg.size),
        margin=units,
        index=leg.index,
        collateral=margin,
        index_price=price,
        index_mid=price,
        collateral_price=dollar,
        collateral_mid=dollar,
        stable=True,
        pnl_usd=0,
        won_usd=0,
        impact_usd=0,
        impact_least_usd=0,
        closing_usd=0,
        # a fee of a thousandth covers both engines'
        fee_factor=10**27,
        owed=0,
        remaining_usd=stands.available * TO_USD,
        minimum_factor=leg.maintenance * TO_USD,
        minimum_factor_after=leg.maintenance * TO_USD,
        minimum_usd=0,
        size_least_usd=0,
        orders=(waits,) if PENDING in stands.marks else (),
        order_expires_s=ORDER_EXPIRES_S,
        increase_gas=0,
        decrease_gas=0,
        disabled=False,
        acting=Acting(subaccount="0x" + "00" * 20, allowed=True, actions_left=1, until_s=2**40),
    )


def worst_wad(step: ReducePerp) -> int:
    """The step's worst price as the engines have it: wad dollars of a whole token."""
    wad: int = step.worst_price * 10**step.amount.token.decimals // TO_USD
    return wad


def usd(chain_id: int) -> Token:
    """Dollars of a requirement; no contract."""
    return Token(chain_id=chain_id, address="0x" + "0" * 37 + "348", symbol="USD", decimals=USD_DECIMALS)


def row(stands: Standing) -> BookRow:
    """Cross margin in the affine book: exact at the present prices, beyond them as sizes and rates have it."""
    notional = [abs(x.size) / WAD * x.price / WAD * x.maintenance / WAD for x in stands.legs]
    gains = sum(x.size / WAD * x.price / WAD for x in stands.legs)
    legs = tuple(
        perp.Leg(
            feed=x.feed,
            size=x.size / WAD,
            entry=x.price / WAD,
            maintenance_rate=x.maintenance / WAD,
        )
        for x in stands.legs
    )
    made = perp.cross(legs, ())
    fixed = stands.needed / WAD - sum(notional)
    return BookRow(
        feeds=made.feeds, a=made.a, b=made.b, a0=stands.available / WAD - gains, b0=max(fixed, 0.0)
    )


def restated(before: Position, stands: Standing) -> Position:
    """The position with other numbers."""
    margin = before.collateral[0].amount.token
    return position(before.id, before.owner, before.block_number, margin, stands)


def standing(before: Position) -> Standing:
    """A position's numbers again; a rate is the share of notional that the row carries."""
    need = before.debt[0].stored if before.debt else 0
    deficit = before.debt[0].value_base // TO_USD - need if before.debt else 0
    rates = {f: b / abs(a) for f, a, b in zip(before.row.feeds, before.row.a, before.row.b, strict=True) if a}
    return Standing(
        available=before.collateral[0].value_base // TO_USD - deficit,
        needed=need,
        legs=tuple(
            Leg(
                index=h.amount.token,
                feed=h.feed,
                size=h.stored,
                price=h.price_base // TO_USD,
                maintenance=int(rates.get(h.feed, 0.0) * WAD),
                debt=h.value_base // TO_USD,
            )
            for h in before.collateral[1:]
        ),
        marks=tuple(m for m in before.mode.split(",") if m),
    )


def leg_of(step: ReducePerp, held: Position) -> Holding | None:
    """The leg that a reduction means: by its index token."""
    return next((h for h in held.collateral[1:] if h.amount.token == step.amount.token and h.stored), None)


def refused(step: Step, held: Position, means: Means, who: str) -> Refusal | None:
    """What both engines refuse alike."""

    def no(code: str, why: str) -> Refusal:
        return Refusal(who=who, code=code, why=why)

    if FLAGGED in held.mode:
        return no("flagged", "the account is flagged for liquidation: nothing is taken any more")
    if PENDING in held.mode:
        return no("order_pending", "an order of the account waits: one at a time")
    if isinstance(step, AddMargin | Supply):
        if step.amount.token != held.collateral[0].amount.token:
            return no("wrong_token", f"margin is {held.collateral[0].amount.token.symbol} alone")
        return None
    if not isinstance(step, ReducePerp):
        return no("unsupported", f"{type(step).__name__} is not of this venue")
    leg = leg_of(step, held)
    if leg is None:
        return no("closed", f"no position in {step.amount.token.symbol}")
    if not 0 < step.amount.units <= leg.amount.units:
        return no("too_large", "a reduction leaves the position on its side, or closes it")
    if NO_ORDERS in held.mode:
        return no("no_permission", "the owner has not allowed the keeper to order for the account")
    return None


def under(who: str) -> Refusal:
    """The ordering rule: a reduction comes before, below maintenance only margin is taken."""
    why = "below maintenance the engine refuses such a reduction: margin first"
    return Refusal(who=who, code="below_maintenance", why=why)


def two_step(intent: Intent, snapshot: Snapshot) -> Effect:
    """An order waits until somebody settles it; it is done when health shows it, else it came to nothing."""
    said = atomic.effect(intent, snapshot)
    if said.progress is not Progress.DONE or not any(isinstance(s, ReducePerp) for s in intent.plan.steps):
        return said
    now = snapshot.position(intent.key.position)
    if now is not None and PENDING in now.mode:
        return Effect(progress=Progress.PENDING, why="the order waits to be settled")
    before, after = intent.plan.health_before_wad or 0, 0 if now is None else now.health_wad or 0
    if after > before:
        return Effect(progress=Progress.DONE, why=f"settled: margin ratio {after / WAD:.4f}")
    return Effect(progress=Progress.FAILED, why="the order is gone and the margin ratio has not risen")


class EngineReader:
    """One venue on a test chain, photographed as the daemon does it."""

    def __init__(self, chain: Chain, venue: Venue, multicall: str, keeper: str) -> None:
        self.chain, self.venue, self.multicall, self.keeper = chain, venue, multicall, keeper

    def snapshot(self, accounts: Sequence[str]) -> Snapshot:
        """The newest block's snapshot."""
        at = self.chain.block()
        request = GatherRequest(
            chain_id=at.chain_id,
            block=at,
            venues=((self.venue, tuple(accounts)),),
            multicall=self.multicall,
            read=self._read(at.hash),
            wallet=self.keeper,
        )
        return asyncio.run(gather(request))[0]

    def position(self, account: str) -> Position:
        """One account's position now."""
        found = self.snapshot([account])
        assert found.positions, found.unreadable
        return found.positions[0]

    def _read(self, block_hash: str):  # type: ignore[no-untyped-def]
        transport = ChainTransport(self.chain)

        async def read(calls: Sequence[Call]) -> Words:
            return await Batch(calls).read(transport, self.multicall, block_hash, timeout_s=60.0)

        return read
