"""What the key of a hedge may be asked to sign: shorts of one slot of one owner, opened up to a cap or made smaller.

It is another key than the rescue's, under a policy of its own, and this is all of it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.executor import perp
from keeper.executor.perp import DECREASE, INCREASE


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedHedge:
    """Orders on the short of one account. What is not named here the calldata cannot say at all: the receiver is the
    account, nobody is called back, nothing is swapped or taken out of the margin.

    The size of one order is bounded by ``size_usd_max`` and by ``leverage_max`` times the margin that it brings; so
    the cap on a day's margin bounds a day's size, and the owner's finite allowance all of it.
    """

    target: str
    vault: str
    market: str
    collateral: str
    account: str
    size_usd_max: int
    """Of one order that opens, 30 decimals."""
    units_max: int
    """Margin of one order."""
    leverage_max: int
    collateral_price: int
    """Dollars of one smallest unit (30 decimals)."""
    fee_wei_max: int
    price_least: int
    """Nothing is sold below, dollars of one smallest unit of the index (30 decimals)."""
    price_most: int
    """Nothing is bought back above."""

    @property
    def selector(self) -> bytes:
        """The one that carries orders."""
        return perp.MULTICALL

    def refuses(self, data: bytes) -> str | None:
        """Why this calldata is not allowed, or None."""
        order = perp.order_from(data)
        if isinstance(order, str):
            return order
        for name, said, right in (
            ("order vault", order.vault, self.vault),
            ("market", order.market, self.market),
            ("collateral", order.collateral, self.collateral),
            ("account", order.account, self.account),
        ):
            if said.lower() != right.lower():
                return f"hedge: {name} {said} is not allowed"
        if order.own:
            return "hedge: an order on the key's own account is nobody's hedge"
        if order.long:
            return "hedge: a long is nobody's hedge"
        if not 0 < order.fee_wei <= self.fee_wei_max:
            return f"hedge: a fee of {order.fee_wei} wei is not within 1..{self.fee_wei_max}"
        if order.kind == INCREASE:
            return self._opens(order)
        if order.kind != DECREASE:
            return f"hedge: order type {order.kind} is not allowed"
        if order.units or not order.size_usd:
            return "hedge: a decrease closes size, and sends nothing"
        if not 0 < order.worst_price <= self.price_most:
            return f"hedge: a short may not be bought back at {order.worst_price}, above {self.price_most}"
        return None

    def _opens(self, order: perp.PerpOrderCall) -> str | None:
        if not 0 < order.size_usd <= self.size_usd_max:
            return f"hedge: a size of {order.size_usd} is not within 1..{self.size_usd_max}"
        if not 0 < order.units <= self.units_max:
            return f"hedge: margin of {order.units} is not within 1..{self.units_max}"
        most = order.units * self.collateral_price * self.leverage_max
        if order.size_usd > most:
            return f"hedge: {order.size_usd} is more than {self.leverage_max} times the margin, {most}"
        if order.worst_price < self.price_least:
            return f"hedge: a short may not be opened at {order.worst_price}, below {self.price_least}"
        return None
