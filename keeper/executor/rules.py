"""What the Executor would say to an order, check by check and in the contract's own order: the same refusal.

The second enforcer of docs/decisions/triggers.md stands on chain (Executor.sol, Policies.sol, Spending.sol); these
are its rules on the same integers. There is one set of them: the daemon's guard asks it of every plan, with what it
foresees, and the proof that both decide alike asks it of generated states, with what the market answered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from keeper.executor.abi import ALL, UINT112_MAX, ZERO, Order, PayIn
from keeper.executor.errors import Fault
from keeper.model import Mandate, MandateAsset, Side, Source, Spent, Terms
from keeper.units import BPS, UINT256_MAX

PARTIAL_STEP_BPS = 10
"""Policies.PARTIAL_STEP_BPS: a partial below emergency lifts health by at least a thousandth."""
PROTOCOL = "Protocol"
"""A fault that is none of the Executor's: the protocol says no in its own words. Values: our code, why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When an order is judged, and the position's health then."""

    block_number: int
    timestamp_s: int
    health_wad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """What protocol, lender and market answer to an order: all that the contract does not hold itself."""

    owed: int
    price_collateral: int
    price_debt: int
    swap_there: bool
    """The pool exists."""
    lender_there: bool
    fee: int
    """Of the flash loan, debt units."""
    bought: int
    """What the swap pays; a pool pays what is asked, or the swap fails."""
    sold: int
    health_after_wad: int
    steps: tuple[tuple[int, int], ...] = ()
    """STEPWISE: what each step sells, and what it brings."""
    halt: Halt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """The protocol does not let the collateral go, or does not take what is paid in."""

    code: str
    why: str
    step: int = 0
    """STEPWISE: the first one that it refuses."""

    @property
    def fault(self) -> Fault:
        """As a refusal among the Executor's."""
        return Fault(name=PROTOCOL, values=(self.code, self.why))


def verdict(mandate: Mandate, order: Order, at: Moment, deal: Deal) -> Fault | None:
    """None where the Executor accepts, else its refusal."""
    amount = deal.owed if order.repay == ALL else order.repay
    return (
        admits(mandate, order.seq, order.deadline_s, at)
        or _asks(mandate, order, deal, amount)
        or _borrows(mandate.terms, order, deal, amount)
        or _swaps(mandate, order, deal, amount)
        or spends(mandate, order, deal.sold, at.timestamp_s)
        or settles(mandate.terms, at.health_wad, deal.health_after_wad, selling=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """What protocol and tokens answer to a payment into the position."""

    owed: int
    reserve: int
    """Kept by the Executor."""
    wallet: int
    granted: int
    """Of the owner's wallet, to the Executor."""
    health_after_wad: int
    halt: Halt | None = None


def pays(mandate: Mandate, wanted: PayIn, at: Moment, purse: Purse) -> Fault | None:
    """``_payIn``: None where the Executor accepts, else its refusal."""
    if (fault := admits(mandate, wanted.seq, wanted.deadline_s, at)) is not None:
        return fault
    token = wanted.amount.token.address
    asset = asset_at(mandate, token, wanted.side)
    if asset is None:
        return Fault(name="AssetUnknown", values=(bytes.fromhex(mandate.key[2:]), token.lower()))
    amount = wanted.amount.units
    if wanted.side is Side.DEBT:
        amount = min(amount, purse.owed)
    return (
        _funds(token, amount, purse)
        or (purse.halt.fault if purse.halt is not None else None)
        or _funded(mandate, asset, amount, at.timestamp_s)
        or settles(mandate.terms, at.health_wad, purse.health_after_wad, selling=False)
    )


def _funds(token: str, amount: int, purse: Purse) -> Fault | None:
    """``_fund``: the reserve first, then the owner's wallet."""
    if not 0 < amount <= UINT112_MAX:
        return Fault(name="BadAmount", values=(amount,))
    missing = amount - purse.reserve
    if missing <= 0:
        return None
    if purse.wallet < missing:
        return Fault(name="ReserveShort", values=(token.lower(), purse.reserve + purse.wallet, amount))
    if purse.granted < missing:
        return Fault(name="GrantShort", values=(token.lower(), purse.granted, missing))
    return None


def _funded(mandate: Mandate, asset: MandateAsset, amount: int, timestamp_s: int) -> Fault | None:
    """``_spend`` of a payment: the epoch's cap, then this bot's share of it."""
    epoch = timestamp_s // mandate.terms.epoch_s
    total = amount + (asset.spent.funded if asset.spent.epoch == epoch else 0)
    if total > asset.fund_cap:
        return Fault(name="SpendCap", values=(total, asset.fund_cap))
    if mandate.bot_share_bps == BPS:
        return None
    own = amount + (asset.bot_spent.funded if asset.bot_spent.epoch == epoch else 0)
    share = asset.fund_cap * mandate.bot_share_bps // BPS
    return Fault(name="BotCap", values=(own, share)) if own > share else None


def admits(mandate: Mandate, seq: int, deadline_s: int, at: Moment) -> Fault | None:
    """``_admit``: who and when."""
    terms = mandate.terms
    if mandate.bot_share_bps == 0 or at.timestamp_s > mandate.bot_expiry_s:
        return Fault(name="NotBot", values=(mandate.bot.lower(),))
    if mandate.paused:
        return Fault(name="IsPaused")
    if terms.trigger_wad == 0:
        return Fault(name="PositionUnknown", values=(bytes.fromhex(mandate.key[2:]),))
    if seq != terms.seq:
        return Fault(name="WrongSeq", values=(terms.seq, seq))
    if at.timestamp_s > terms.expiry_s:
        return Fault(name="PolicyExpired", values=(terms.expiry_s,))
    if at.timestamp_s > deadline_s:
        return Fault(name="DeadlinePassed", values=(deadline_s,))
    if at.health_wad >= terms.trigger_wad:
        return Fault(name="NotTriggered", values=(at.health_wad, terms.trigger_wad))
    until = terms.last_block + (1 if at.health_wad < terms.emergency_wad else terms.cooldown_blocks)
    return Fault(name="CoolingDown", values=(until,)) if at.block_number < until else None


def _asks(mandate: Mandate, order: Order, deal: Deal, amount: int) -> Fault | None:
    """``_job``: what is asked, against what is listed."""
    for token, side in ((order.collateral, Side.COLLATERAL), (order.debt, Side.DEBT)):
        if asset_at(mandate, token, side) is None:
            return Fault(name="AssetUnknown", values=(order.position, token.lower()))
    if order.collateral.lower() == order.debt.lower():
        return Fault(name="AssetUnknown", values=(order.position, order.debt.lower()))
    if (fault := routes(mandate, order)) is not None:
        return fault
    if not 0 < order.sell_max <= UINT112_MAX:
        return Fault(name="BadAmount", values=(order.sell_max,))
    for price, token in ((deal.price_collateral, order.collateral), (deal.price_debt, order.debt)):
        if price == 0:
            return Fault(name="NoPrice", values=(token.lower(),))
    if order.source == Source.STEPWISE:  # it says what is sold, not what is repaid
        return None
    return None if 0 < amount <= UINT112_MAX else Fault(name="BadAmount", values=(order.repay,))


def routes(mandate: Mandate, order: Order) -> Fault | None:
    """``_checkRoute``: a listed router with its calldata, or none of both."""
    routed = int(order.router, 16) != 0
    unknown = Fault(name="RouterUnknown", values=(order.router.lower(),))
    if routed and order.router.lower() not in {r.lower() for r in mandate.routers}:
        return unknown
    if order.source == Source.STEPWISE:
        if not routed or not order.sells:
            return unknown
        wanted = len(order.sells)
    else:
        if routed and order.source == Source.UNISWAP_V3_SWAP:
            return unknown
        wanted = 1 if routed else 0
    return None if len(order.data) == wanted else Fault(name="BadAmount", values=(len(order.data),))


def _borrows(terms: Terms, order: Order, deal: Deal, amount: int) -> Fault | None:
    """``_borrow`` and the first line of ``_unwind``."""
    if order.source in (Source.UNISWAP_V3_SWAP, Source.STEPWISE):
        return None
    if not deal.lender_there:
        return Fault(name="SourceUnavailable", values=(int(order.source),))
    fee_max = amount * terms.flash_fee_bps // BPS
    return Fault(name="FlashFeeTooHigh", values=(deal.fee, fee_max)) if deal.fee > fee_max else None


def _swaps(mandate: Mandate, order: Order, deal: Deal, amount: int) -> Fault | None:
    """The money, once it is there: step by step, or on the router, or on the pool."""
    collateral = asset_at(mandate, order.collateral, Side.COLLATERAL)
    assert collateral is not None  # asked before
    if order.source == Source.STEPWISE:
        return _steps(mandate, order, deal, collateral)
    flash = order.source != Source.UNISWAP_V3_SWAP
    needed = amount + (deal.fee if flash else 0)
    overpaid = Fault(name="TransferShort", values=(order.debt.lower(), amount, deal.owed))
    if flash and amount > deal.owed:
        return overpaid
    if order.router != ZERO:
        fault = _taken(collateral, order.sell_max, collateral.granted, deal.halt)
        if fault is not None:
            return fault
        if (priced := slips(mandate, order, deal)) is not None:
            return priced
        return Fault(name="SwapShort", values=(deal.bought, needed)) if deal.bought < needed else None
    if not deal.swap_there:
        return Fault(name="SourceUnavailable", values=(int(Source.UNISWAP_V3_SWAP),))
    if deal.bought != needed:
        return Fault(name="SwapShort", values=(deal.bought, needed))
    if deal.sold > order.sell_max:
        return Fault(name="SellLimit", values=(deal.sold, order.sell_max))
    if (priced := slips(mandate, order, deal)) is not None:
        return priced
    if amount > deal.owed:
        return overpaid
    return _taken(collateral, deal.sold, collateral.granted, deal.halt)


def _taken(collateral: MandateAsset, units: int, granted: int, halt: Halt | None) -> Fault | None:
    """``_take``: the owner's grant first, then the protocol's own word."""
    if granted < units:
        return Fault(name="GrantShort", values=(collateral.receipt.lower(), granted, units))
    return halt.fault if halt is not None else None


def _steps(mandate: Mandate, order: Order, deal: Deal, collateral: MandateAsset) -> Fault | None:
    """``_stepwise``: each step within the limit, the grant, the protocol and the price, and of some use."""
    total, granted, owed = 0, collateral.granted, deal.owed
    for i, sell in enumerate(order.sells):
        total += sell
        if total > order.sell_max:
            return Fault(name="SellLimit", values=(total, order.sell_max))
        halt = deal.halt if deal.halt is not None and deal.halt.step == i else None
        if (fault := _taken(collateral, sell, granted, halt)) is not None:
            return fault
        sold, bought = deal.steps[i]
        if (fault := slips(mandate, order, replace(deal, sold=sold, bought=bought))) is not None:
            return fault
        repaid = min(bought, owed)
        if repaid == 0:
            return Fault(name="BadAmount", values=(0,))
        granted, owed = granted - sell, owed - repaid
    return None


def slips(mandate: Mandate, order: Order, deal: Deal) -> Fault | None:
    """``_checkPrice``: what was paid against the oracle's price less the owner's slippage."""
    if deal.sold <= sold_max(mandate, order, deal):
        return None
    return Fault(name="SlippageExceeded", values=(deal.sold, deal.bought))


def sold_max(mandate: Mandate, order: Order, deal: Deal) -> int:
    """Most collateral units that may be given for ``deal.bought``: weightBought x bought >= weightSold x sold."""
    collateral = asset_at(mandate, order.collateral, Side.COLLATERAL)
    debt = asset_at(mandate, order.debt, Side.DEBT)
    if collateral is None or debt is None:
        return 0
    units, prices = (collateral.unit, debt.unit), (deal.price_collateral, deal.price_debt)
    return most_sold(mandate.terms, units, prices, deal.bought)


def most_sold(terms: Terms, units: tuple[int, int], prices: tuple[int, int], bought: int) -> int:
    """The same from (collateral, debt) units and prices: rounded down, as the contract's comparison does."""
    weight_sold = prices[0] * units[1] * (BPS - terms.slippage_bps)
    return bought * prices[1] * units[0] * BPS // weight_sold if weight_sold else 0


def least_bought(terms: Terms, units: tuple[int, int], prices: tuple[int, int], sold: int) -> int:
    """Least debt units that the same comparison takes for ``sold``; 0 without a price."""
    weight_bought = prices[1] * units[0] * BPS
    return (
        -(-sold * prices[0] * units[1] * (BPS - terms.slippage_bps) // weight_bought) if weight_bought else 0
    )


def spends(mandate: Mandate, order: Order, sold: int, timestamp_s: int) -> Fault | None:
    """``_spend`` of a sale: the epoch's cap, then this bot's share of it."""
    asset = asset_at(mandate, order.collateral, Side.COLLATERAL)
    if asset is None:
        return Fault(name="AssetUnknown", values=(order.position, order.collateral.lower()))
    epoch = timestamp_s // mandate.terms.epoch_s
    total = sold + _in_epoch(asset.spent, epoch)
    if total > asset.sell_cap:
        return Fault(name="SpendCap", values=(total, asset.sell_cap))
    if mandate.bot_share_bps == BPS:
        return None
    own, share = sold + _in_epoch(asset.bot_spent, epoch), asset.sell_cap * mandate.bot_share_bps // BPS
    return Fault(name="BotCap", values=(own, share)) if own > share else None


def sell_room(mandate: Mandate, asset: MandateAsset, timestamp_s: int) -> int:
    """Collateral units that this bot may still sell in the epoch of that time."""
    epoch = timestamp_s // mandate.terms.epoch_s if mandate.terms.epoch_s else 0
    room = asset.sell_cap - _in_epoch(asset.spent, epoch)
    if mandate.bot_share_bps < BPS:
        share = asset.sell_cap * mandate.bot_share_bps // BPS
        room = min(room, share - _in_epoch(asset.bot_spent, epoch))
    return max(0, room)


def fund_room(mandate: Mandate, asset: MandateAsset, timestamp_s: int) -> int:
    """Units that this bot may still pay in within the epoch of that time."""
    epoch = timestamp_s // mandate.terms.epoch_s if mandate.terms.epoch_s else 0
    funded = asset.spent.funded if asset.spent.epoch == epoch else 0
    room = asset.fund_cap - funded
    if mandate.bot_share_bps < BPS:
        own = asset.bot_spent.funded if asset.bot_spent.epoch == epoch else 0
        room = min(room, asset.fund_cap * mandate.bot_share_bps // BPS - own)
    return max(0, room)


def settles(terms: Terms, before_wad: int, after_wad: int, *, selling: bool) -> Fault | None:
    """``Policies.settle``: the two-sided condition on the health reached."""
    if after_wad <= before_wad:
        return Fault(name="NotImproved", values=(before_wad, after_wad))
    if after_wad < terms.target_wad:
        needed = terms.target_wad
        if before_wad < terms.emergency_wad:
            needed = before_wad + (before_wad * PARTIAL_STEP_BPS + BPS - 1) // BPS
        elif not selling:
            needed = before_wad + terms.hysteresis_wad
        needed = min(needed, terms.target_wad)
        if after_wad < needed:
            return Fault(name="TargetMissed", values=(after_wad, needed))
    if after_wad != UINT256_MAX and after_wad > terms.max_wad:
        return Fault(name="MaxHealthExceeded", values=(after_wad, terms.max_wad))
    return None


def asset_at(mandate: Mandate, token: str, side: Side) -> MandateAsset | None:
    """The listed asset of that address."""
    found = (a for a in mandate.assets if a.token.address.lower() == token.lower() and a.side is side)
    return next((a for a in found if int(a.receipt, 16)), None)


def _in_epoch(spent: Spent, epoch: int) -> int:
    return spent.sold if spent.epoch == epoch else 0
