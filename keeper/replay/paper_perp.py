"""The paper as the rooms see a perpetual position: a venue whose arithmetic is ``perps``', and its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keeper.model import (
    Acting,
    AddMargin,
    BookRow,
    Means,
    Perp,
    Position,
    ReducePerp,
    Refusal,
    Reserve,
    Step,
)
from keeper.replay import paper
from keeper.replay.perps import PerpAccount, PerpVessel
from keeper.risk.assets import CALM, asset
from keeper.seams import LiquidationRule
from keeper.units import UINT256_MAX, WAD, mul_div_down, mul_div_up

USD = 10**30
UNIT = 10**12
"""A price of one smallest unit with 30 decimals, for tokens of 18."""
FOREVER_S = 10**12


class PaperPerps(paper.PaperVenue):
    """One isolated position, its health as its account's is told. A reduction is filled at the feed's price."""

    def __init__(self, account: PerpAccount, gas_units: int) -> None:
        super().__init__(account.assets, gas_units)
        self.account = account

    @property
    def rules(self) -> LiquidationRule:
        """Closed whole below its need."""
        return LiquidationRule(close_factor="all of it", dust_base=0)

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        """A reduction; the paper has no wallet for margin."""
        if isinstance(step, ReducePerp):
            return None
        name = type(step).__name__
        return Refusal(who=self.id, code="no_wallet", why=f"a {name} needs a wallet, which a replay has not")

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        """The position after reductions at the same price, their fee paid."""
        perp = position.perp
        assert perp is not None
        for step in steps:
            if isinstance(step, AddMargin) or not isinstance(step, ReducePerp) or not perp.size_usd:
                continue
            left = max(0, perp.size_usd - step.size_usd)
            closed = perp.size_usd - left
            tokens = mul_div_down(perp.tokens, left, perp.size_usd)
            fee = (perp.tokens - tokens) * perp.index_price * perp.fee_factor // USD
            spared = round(closed * self.account.closing)
            worth = (perp.tokens - tokens) * perp.index_price
            won = max(0, worth - closed if perp.long else closed - worth)
            leaves = won if self.account.pays_out else 0
            perp = replace(
                perp,
                size_usd=left,
                tokens=tokens,
                remaining_usd=perp.remaining_usd - fee + spared - leaves,
                minimum_factor=_factor(perp.minimum_factor_after, self.fixed_usd, left),
            )
        return self.stated(replace(position, perp=perp))

    @property
    def fixed_usd(self) -> int:
        """What must remain beside the share of the size."""
        return round(self.account.minimum_usd * 10**9) * 10**21

    def stated(self, position: Position) -> Position:
        """The position with its own health; none without a size."""
        perp = position.perp
        assert perp is not None
        if not perp.size_usd:
            return replace(position, health_wad=UINT256_MAX)
        need = perp.need_usd
        if not self.account.by_price:
            return replace(position, health_wad=max(0, perp.remaining_usd) * WAD // need)
        gone = round(perp.size_usd * self.account.closing)
        weight = need + perp.size_usd + gone if perp.long else perp.tokens * perp.index_price
        return replace(position, health_wad=max(0, WAD + (perp.remaining_usd - need) * WAD // weight))


def _factor(share: int, minimum_usd: int, size_usd: int) -> int:
    """The book's need, a share of the size and a fixed minimum on top, as one share of it, rounded up."""
    return share + (mul_div_up(minimum_usd, USD, size_usd) if size_usd else 0)


def position_of(vessel: PerpVessel, venue: PaperPerps, number: int) -> Position:
    """What a venue would say of the vessel at its present moment."""
    account, tokens = vessel.account, {t.symbol: t for t in venue.tokens}
    price, equity = float(vessel.price[vessel.at]), float(vessel.equity(vessel.at, vessel.at + 1)[0])
    size_usd = round(abs(vessel.size) * account.entry * 10**6) * 10**24
    on = account.entry if account.on_entry else price
    share = round(abs(vessel.size) * account.rate * on / max(size_usd / USD, 1e-9) * 10**18) * UNIT
    least_usd = max(venue.fixed_usd, round(account.floor_usd * 10**9) * 10**21)
    held = account.margin[0][0] if account.margin else account.index
    index_price = round(price * UNIT)
    perp = Perp(
        long=vessel.size > 0.0,
        size_usd=size_usd,
        tokens=round(abs(vessel.size) * 10**9) * 10**9,
        margin=round(max(0.0, float(vessel.margin_usd[vessel.at])) * 10**9) * 10**9,
        index=tokens[account.index],
        collateral=tokens[held],
        index_price=index_price,
        index_mid=index_price,
        collateral_price=UNIT,
        collateral_mid=UNIT,
        stable=asset(held).kind in CALM,
        pnl_usd=0,
        won_usd=0,
        impact_usd=0,
        impact_least_usd=0,
        closing_usd=0,
        fee_factor=round(account.close_fee * 10**18) * UNIT,
        owed=0,
        remaining_usd=round(equity * 10**9) * 10**21,
        minimum_factor=_factor(share, venue.fixed_usd, size_usd),
        minimum_factor_after=share,
        minimum_usd=least_usd,
        size_least_usd=0,
        orders=(),
        order_expires_s=0,
        increase_gas=0,
        decrease_gas=0,
        disabled=False,
        acting=Acting(subaccount=paper.OWNER, allowed=True, actions_left=10**9, until_s=FOREVER_S),
    )
    bare = Position(
        id=paper.ID,
        owner=paper.OWNER,
        block_number=number,
        health_wad=0,
        collateral=(),
        debt=(),
        base_decimals=paper.BASE_DECIMALS,
        row=_row(vessel, price),
        perp=perp,
    )
    return venue.stated(bare)


def _row(vessel: PerpVessel, price: float) -> BookRow:
    """Health's two sides as affine forms of the index, margin at its present value."""
    account, size, now = vessel.account, vessel.size, (vessel.at, vessel.at + 1)
    equity, need = float(vessel.equity(*now)[0]), float(vessel.need(*now)[0])
    share = 0.0 if account.on_entry else abs(size) * account.rate
    if need <= account.floor_usd:
        # the floor binds: no price moves it
        share = 0.0
    fixed, rest = need - share * price, equity - size * price
    feeds = (account.index,)
    if not account.by_price:
        return BookRow(feeds=feeds, a=(size,), b=(share,), a0=rest, b0=fixed)
    if size > 0.0:
        whole = size * account.entry * (1.0 + account.closing)
        return BookRow(feeds=feeds, a=(size,), b=(share,), a0=rest + whole, b0=fixed + whole)
    # what it is short of costs the price, and the spare equity pays for more of it
    return BookRow(feeds=feeds, a=(-share,), b=(-size,), a0=rest - fixed, b0=0.0)


def reserve_of(venue: PaperPerps, name: str, price: float) -> Reserve:
    """What the rooms know a symbol by."""
    of = next(t for t in venue.tokens if t.symbol == name)
    return paper.reserve_of(of, round(price * 10**paper.BASE_DECIMALS), venue)
