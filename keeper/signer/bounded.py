"""What may be signed for the owner's GmxV2Executor: three of its calls, on guarded positions alone. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.executor import perp_bounded

SELECTORS = {
    "addMargin": perp_bounded.ADD,
    "reduce": perp_bounded.REDUCE,
    "takeBack": perp_bounded.TAKE_BACK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedBounded:
    """One call of one Executor. Market, side, receiver and the rest of an order are fixed by the contract; what
    is bounded here it bounds by the owner's own numbers, too."""

    target: str
    does: str
    """``addMargin``, ``reduce`` or ``takeBack``."""
    collateral: str
    long: bool
    positions: frozenset[str]
    """GMX's keys, 0x-hex in lower case."""
    units_max: int
    """Margin of one order."""
    fee_wei_max: int
    """Fee of one execution: the value of the transaction."""
    price_least: int
    """A long is not closed below, dollars of one smallest unit of the index (30 decimals)."""
    price_most: int
    """A short is not closed above."""

    @property
    def selector(self) -> bytes:
        """The function's."""
        return SELECTORS[self.does]

    def refuses(self, data: bytes) -> str | None:
        """Why this calldata is not allowed, or None."""
        if self.does == "takeBack":
            back = perp_bounded.taken_from(data)
            if back is None:
                return "takeBack: not exactly a position and an order"
            return None if back[0] in self.positions else f"takeBack: position {back[0]} is not guarded"
        order = perp_bounded.order_from(data)
        if isinstance(order, str):
            return f"{self.does}: {order}"
        if order.position not in self.positions:
            return f"{self.does}: position {order.position} is not guarded"
        if not 0 < order.fee_wei <= self.fee_wei_max:
            return f"{self.does}: a fee of {order.fee_wei} wei is not within 1..{self.fee_wei_max}"
        if order.adds:
            fine = 0 < order.amount <= self.units_max
            return None if fine else f"addMargin: margin of {order.amount} is not within 1..{self.units_max}"
        if not order.amount:
            return "reduce: a decrease closes size"
        if self.long and order.worst_price < self.price_least:
            return f"reduce: a long may not be closed at {order.worst_price}, below {self.price_least}"
        if not self.long and not 0 < order.worst_price <= self.price_most:
            return f"reduce: a short may not be closed at {order.worst_price}, above {self.price_most}"
        return None
