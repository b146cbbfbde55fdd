"""What may be signed for GMX positions: one router, guarded accounts, one slot; only margin in, or size out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.executor import perp
from keeper.executor.perp import DECREASE, INCREASE, STOP_LOSS


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedPerp:
    """Orders of one slot through GMX's router. What is not named here the calldata cannot say at all: the
    receiver is the account, nobody is called back, nothing is swapped or taken out of the margin.
    """

    target: str
    vault: str
    market: str
    collateral: str
    long: bool
    accounts: frozenset[str]
    """In lower case."""
    units_max: int
    """Margin of one order."""
    fee_wei_max: int
    """Fee of one execution: the value of the transaction."""
    price_least: int
    """A long is not closed below, dollars of one smallest unit of the index (30 decimals)."""
    price_most: int
    """A short is not closed above."""
    own: bool = False
    """Through the ExchangeRouter, as whoever signs: of the key's own account alone. Else by the SubaccountRouter."""

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
        ):
            if said.lower() != right.lower():
                return f"createOrder: {name} {said} is not allowed"
        if order.own != self.own:
            whose = ("a subaccount", "the account itself")
            return f"createOrder: an order by {whose[order.own]}, where {whose[self.own]} orders"
        if order.account.lower() not in self.accounts:
            return f"createOrder: account {order.account} is not guarded"
        if order.long != self.long:
            return f"createOrder: the {'long' if order.long else 'short'} side is not guarded"
        if not 0 < order.fee_wei <= self.fee_wei_max:
            return f"createOrder: a fee of {order.fee_wei} wei is not within 1..{self.fee_wei_max}"
        return self._moves(order)

    def _moves(self, order: perp.PerpOrderCall) -> str | None:
        if order.kind == INCREASE:
            if order.size_usd:
                return "createOrder: an increase may add margin only, never size"
            fine = 0 < order.units <= self.units_max
            return None if fine else f"createOrder: margin of {order.units} is not within 1..{self.units_max}"
        if order.kind not in (DECREASE, STOP_LOSS):
            return f"createOrder: order type {order.kind} is not allowed"
        if order.units or not order.size_usd:
            return "createOrder: a decrease closes size, and sends nothing"
        if self.long and order.worst_price < self.price_least:
            return f"createOrder: a long may not be closed at {order.worst_price}, below {self.price_least}"
        if not self.long and not 0 < order.worst_price <= self.price_most:
            return f"createOrder: a short may not be closed at {order.worst_price}, above {self.price_most}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedCancel:
    """``cancelOrder``: whatever it names, the money of an order returns to its owner."""

    target: str

    @property
    def selector(self) -> bytes:
        """The only function."""
        return perp.CANCEL

    def refuses(self, data: bytes) -> str | None:
        """Why this calldata is not allowed, or None."""
        return None if perp.cancelled_from(data) is not None else "cancelOrder: not exactly one key"
