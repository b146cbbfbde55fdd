"""A perpetual position as its venue counts it, and the steps that move it. Dollars have 30 decimals here."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.model.identity import Amount, Token

USD_DECIMALS = 30
HEDGE = "hedge"
"""Under what an identity names the orders of a hedge's own key; those of rescues are named by their venue."""
STOP_LOSS = 6
"""GMX's number of the order that sells at a worse price (Order.OrderType.StopLossDecrease)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpOrder:
    """One of the owner's orders on the position that waits on the venue."""

    key: str
    """0x-hex of 32 bytes."""
    kind: int
    """The venue's own number of its type."""
    size_usd: int
    margin: int
    """Collateral units that it brings or takes."""
    trigger_price: int
    age_s: int
    resting: bool
    """It waits for a price, as a stop does; any other is under way."""
    frozen: bool
    ours: bool = False
    """Whether the journal names it as one that we gave; the chain lists all as the account's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBounds:
    """What the owner's Executor, in whose name the keeper orders then, lets a bot order now."""

    executor: str
    timestamp_s: int
    expiry_s: int
    """0 where it does not know the position."""
    paused: bool
    seq: int
    ready_s: int
    """No order before this second."""
    slippage_bps: int
    may_close: bool
    trigger_ppm: int
    """Of the size: with as much equity or more nothing is ordered."""
    max_ppm: int
    size_min_usd: int
    """30 decimals."""
    size_left_usd: int
    margin_min: int
    margin_left: int
    """Units of the collateral."""
    fee_wei_max: int
    order: str
    """Its own that waits on the venue; empty where none does."""
    bots: tuple[tuple[str, int], ...]
    """(address, until which second)."""
    price: int | None
    """Dollars (30 decimals) of one smallest unit of the index, by the feed that it judges by; None: none, or old."""
    equity_ppm: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """In whose name the keeper may order for the owner, how often and how long."""

    subaccount: str
    """The zero address where none is configured."""
    allowed: bool
    actions_left: int
    until_s: int
    bounds: OrderBounds | None = None
    """Of the owner's Executor where that is the subaccount; None where the keeper's wallet itself is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideProfit:
    """What all positions of one side of the market have won, beside what their pool holds for them."""

    won_usd: int
    """Unrealised, at the price that is better for them; below 0 they lose."""
    pool_usd: int
    factor_adl: int
    """Share of the pool (1e30 is all) above which the venue closes winners; 0 where it names none."""
    carry_year: int | None = None
    """What the side pays a year at the rates of now, share of size (1e30 is all); what it receives is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Perp:
    """One isolated position; prices are dollars of one smallest unit, the worse of bid and ask for it."""

    long: bool
    size_usd: int
    """At entry."""
    tokens: int
    """Of the index."""
    margin: int
    """Collateral units, as stored."""
    index: Token
    collateral: Token
    index_price: int
    index_mid: int
    collateral_price: int
    collateral_mid: int
    stable: bool
    """The margin is a dollar token."""
    pnl_usd: int
    """As far as the venue pays it."""
    won_usd: int
    """Before that."""
    impact_usd: int
    """Of closing, as a liquidation counts it: never above 0."""
    impact_least_usd: int
    """The worst that it can become."""
    closing_usd: int
    """Of closing, as an order pays it: never above 0."""
    fee_factor: int
    """Of a size that is closed, 1e30 is all."""
    owed: int
    """Borrowing and funding up to now, collateral units."""
    remaining_usd: int
    """What is left of the margin after everything that is owed."""
    minimum_factor: int
    """Of size, that must remain."""
    minimum_factor_after: int
    """Of size, that a reduction must leave."""
    minimum_usd: int
    size_least_usd: int
    """A reduction that leaves less closes all."""
    orders: tuple[PerpOrder, ...]
    order_expires_s: int
    """A market order may be cancelled when it is so old."""
    increase_gas: int
    decrease_gas: int
    """What the venue's keeper is paid for, gas of one order."""
    disabled: bool
    acting: Acting
    side: SideProfit | None = None
    """Of the position's own side; None where the venue closes no winners, or nobody can tell."""
    increased_s: int = 0
    """Second of the chain in which margin or size was added last, as the venue stores it."""
    decreased_s: int = 0
    """The same of a decrease; 0 where there was none."""

    @property
    def need_usd(self) -> int:
        """Least that must remain."""
        share: int = self.size_usd * self.minimum_factor // 10**USD_DECIMALS
        return max(share, self.minimum_usd, 1)

    @property
    def pending(self) -> PerpOrder | None:
        """The order that is under way; a resting stop is none."""
        return next((o for o in self.orders if not o.resting), None)

    @property
    def stop(self) -> PerpOrder | None:
        """The stop that rests on the venue, ours before the owner's; another order that waits for a price is none."""
        stops = [o for o in self.orders if o.resting and o.kind == STOP_LOSS]
        return next((o for o in stops if o.ours), next(iter(stops), None))

    @property
    def leverage(self) -> float | None:
        """Notional over what remains; None when nothing does."""
        if self.remaining_usd <= 0:
            return None
        return self.tokens * self.index_price / self.remaining_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMargin:
    """Add collateral to a perpetual position by an order, from the keeper's wallet."""

    amount: Amount
    fee_wei: int
    """What the venue's keeper is paid for executing it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowPerp:
    """Open a perpetual position or enlarge it, by an order, with margin from the wallet of a hedge; of no rescue."""

    amount: Amount
    """Margin."""
    size_usd: int
    """30 decimals."""
    worst_price: int
    fee_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReducePerp:
    """Close a part of a perpetual position, or all of it, by an order; nothing is taken out of its margin."""

    amount: Amount
    """Index tokens."""
    size_usd: int
    """30 decimals."""
    worst_price: int
    """Dollars of one smallest unit of the index: the order is not filled at a worse one."""
    fee_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceStop:
    """Leave a reduce-only stop on the venue that closes the position at a price, whoever lives by then."""

    amount: Amount
    """Index tokens."""
    size_usd: int
    trigger_price: int
    worst_price: int
    fee_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """Take back an order that is under way and no longer does; its money returns to the owner."""

    amount: Amount
    """What it brings or would close."""
    order: str
    late: bool = False
    """Under way for longer than the venue's own time: before that the venue takes nothing back, except what rests."""


PerpStep = AddMargin | ReducePerp | PlaceStop | CancelOrder
"""What acts in two steps: an order now, its effect when the venue's keeper executes it."""
PERP_STEPS = (AddMargin, ReducePerp, PlaceStop, CancelOrder, GrowPerp)
