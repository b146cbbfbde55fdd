"""What may be signed for an owner's Executor: one position, its tokens, the routers its owner allowed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from keeper.executor.abi import (
    ADD_COLLATERAL,
    ALL,
    DATA_BYTES_MAX,
    DELEVERAGE,
    REPAY_FROM_RESERVE,
    ZERO,
    Order,
    order_from,
    pay_in_from,
)
from keeper.model import Side, Source
from keeper.signer import swaps

FEE_PPM_MAX = 10_000
"""Of a pool, hundredths of a bip: the dearest tier of Uniswap v3 that is used, and the most that an Executor's
policy may allow a flash loan to cost (FLASH_FEE_BPS_MAX)."""
sold_by = lru_cache(maxsize=16)(order_from)
paid_by = lru_cache(maxsize=16)(pay_in_from)
"""Calldata taken apart once: one call is held against the rules of every position, and then counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedOrder:
    """``deleverage`` of one position on one Executor. What an order may not say is not signed.

    The Executor asks all of it again, and health and prices besides: this keeps a daemon that lost its mind from
    even asking.
    """

    target: str
    position: str
    """0x-hex of 32 bytes."""
    collateral: Mapping[str, int | None]
    """Token in lower case -> most units in one order (None: no bound but the Executor's own)."""
    debt: frozenset[str]
    """Tokens in lower case."""
    routers: frozenset[str]
    """In lower case; none is always allowed."""
    via: frozenset[str] | None = frozenset()
    """What else a pool that lends may hold beside the debt, in lower case, than what the position lists; None: not
    asked, in a policy that was written before a rule could say it."""

    @property
    def selector(self) -> bytes:
        """The only function."""
        return DELEVERAGE

    def refuses(self, data: bytes) -> str | None:
        """Why this calldata is not allowed, or None."""
        order = sold_by(data)
        if isinstance(order, str):
            return order
        return self._place(order) or self._amounts(order) or self._source(order) or self._route(order)

    def _place(self, order: Order) -> str | None:
        if "0x" + order.position.hex() != self.position.lower():
            return f"deleverage: position 0x{order.position.hex()} is not guarded"
        if order.collateral.lower() not in self.collateral:
            return f"deleverage: collateral {order.collateral} is not allowed"
        if order.debt.lower() not in self.debt:
            return f"deleverage: debt {order.debt} is not allowed"
        return None

    def _amounts(self, order: Order) -> str | None:
        most = self.collateral[order.collateral.lower()]
        if order.sell_max <= 0 or (most is not None and order.sell_max > most):
            return f"deleverage: sells {order.sell_max}, allowed are 1..{most}"
        if order.source == Source.STEPWISE:
            if order.repay or not order.sells or sum(order.sells) > order.sell_max:
                return f"deleverage: steps of {sum(order.sells)} do not fit into {order.sell_max}"
            return None
        if order.sells:
            return "deleverage: steps, and a flash loan"
        return None if 0 < order.repay <= ALL else "deleverage: repays nothing"

    def _source(self, order: Order) -> str | None:
        """Who lends: a pool is named by its other token and its fee, everybody else by the order's number alone."""
        if order.source not in frozenset(Source):
            return f"deleverage: source {order.source} is not known"
        other, fee = order.source_token.lower(), order.source_fee
        if order.source != Source.UNISWAP_V3_FLASH:
            named = other != ZERO or fee != 0
            return f"deleverage: source {order.source} names a pool, {other} at {fee}" if named else None
        listed = {*self.collateral, *self.debt, *((other,) if self.via is None else self.via)}
        if other not in listed - {order.debt.lower(), ZERO}:
            return f"deleverage: a pool with {order.source_token} may not lend"
        return _tier(fee)

    def _route(self, order: Order) -> str | None:
        routed = order.router != ZERO
        if routed and order.router.lower() not in self.routers:
            return f"deleverage: router {order.router} is not allowed"
        if sum(map(len, order.data)) > DATA_BYTES_MAX * max(1, len(order.sells)):
            return "deleverage: more calldata for the router than a swap needs"
        if not routed:
            if order.data:
                return "deleverage: calldata for no router"
            return _tier(order.swap_fee)
        return next((why for data in order.data if (why := swaps.refuses(data, order, self.target))), None)


def _tier(fee_ppm: int) -> str | None:
    if not 0 < fee_ppm <= FEE_PPM_MAX:
        return f"deleverage: a pool's fee of {fee_ppm} is not within 1..{FEE_PPM_MAX}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedPayIn:
    """``addCollateral`` or ``repayFromReserve`` of a position that may be sold for: its owner's money, into it."""

    order: AllowedOrder
    side: Side

    @property
    def target(self) -> str:
        """The Executor."""
        return self.order.target

    @property
    def selector(self) -> bytes:
        """The only function."""
        return ADD_COLLATERAL if self.side is Side.COLLATERAL else REPAY_FROM_RESERVE

    def refuses(self, data: bytes) -> str | None:
        """Why this calldata is not allowed, or None."""
        wanted = paid_by(data)
        if isinstance(wanted, str):
            return wanted
        position, _, token, units, _ = wanted
        if position != self.order.position.lower():
            return f"pay-in: position {position} is not guarded"
        listed = self.order.collateral if self.side is Side.COLLATERAL else dict.fromkeys(self.order.debt)
        if token not in listed:
            return f"pay-in: {self.side.name.lower()} {token} is not allowed"
        most = listed[token]
        if units <= 0 or (most is not None and units > most):
            return f"pay-in: {units} units, allowed are 1..{most}"
        return None


def pay_ins(orders: tuple[AllowedOrder, ...]) -> tuple[AllowedPayIn, ...]:
    """Both pay-ins of every position that may be sold for."""
    return tuple(AllowedPayIn(order=o, side=side) for o in orders for side in Side)
