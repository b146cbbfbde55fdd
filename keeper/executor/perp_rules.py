"""The refusals of GmxV2Executor's bot calls, in its own order, before anything is sent. Pure."""

from __future__ import annotations

from keeper.model import AddMargin, CancelOrder, OrderBounds, Perp, PerpStep, ReducePerp, Refusal
from keeper.units import BPS, WAD, decimal_text

WHO = "executor"
PPM = 10**6
REQUIRED_PPM = 12_000
"""What GMX requires of a position's size on its strictest markets, 1 %, and what closing it costs."""


def refuses(step: PerpStep, perp: Perp, wallet: str) -> Refusal | None:
    """Why the owner's Executor would not order this now; None where it would, or none stands between."""
    bounds = perp.acting.bounds
    if bounds is None:
        return None
    if (no := admits(bounds, wallet)) is not None:
        return no
    if isinstance(step, CancelOrder):
        if step.order.lower() == bounds.order:
            return None
        return _no("order_unknown", f"order {step.order[:10]} is not the one that the Executor gave last")
    if not isinstance(step, AddMargin | ReducePerp):
        return _no("not_supported", f"{type(step).__name__} is nothing that the Executor orders")
    if bounds.timestamp_s > bounds.expiry_s:
        return _no("grant_expired", f"the owner's terms ended at {bounds.expiry_s}")
    if not 0 < step.fee_wei <= bounds.fee_wei_max:
        return _no(
            "fee_cap", f"the execution fee of {step.fee_wei} wei is not within 1..{bounds.fee_wei_max}"
        )
    if bounds.order:
        return _no("order_pending", f"order {bounds.order[:10]} of the Executor waits on the venue")
    if bounds.timestamp_s < bounds.ready_s:
        return _no("cooldown", f"the Executor orders again from {bounds.ready_s} on")
    if bounds.price is None or bounds.equity_ppm is None:
        return _no("no_price", "the feeds that the Executor judges by have no price, or an old one")
    if bounds.equity_ppm >= bounds.trigger_ppm:
        shown = f"{_pct(bounds.equity_ppm)} % of its size, not below {_pct(bounds.trigger_ppm)} %"
        return _no("not_triggered", f"by the feeds its equity is {shown}")
    return _adds(step, bounds) if isinstance(step, AddMargin) else _reduces(step, perp, bounds)


def admits(bounds: OrderBounds, wallet: str) -> Refusal | None:
    """Whether that wallet may call at all."""
    until_s = next((s for a, s in bounds.bots if a.lower() == wallet.lower()), 0)
    if wallet and bounds.timestamp_s > until_s:
        return _no(
            "grant_expired", f"{wallet} is no bot of the Executor {bounds.executor}, or its term is over"
        )
    if bounds.paused:
        return _no("paused", "owner or guardian paused the Executor")
    if not bounds.expiry_s:
        return _no("unknown_position", f"the Executor {bounds.executor} does not know the position")
    return None


def _adds(step: AddMargin, bounds: OrderBounds) -> Refusal | None:
    units = step.amount.units
    if units < max(bounds.margin_min, 1):
        return _no("too_little", f"{units} units are below the least of {bounds.margin_min}")
    if units > bounds.margin_left:
        return _no("cap", f"{units} units of margin, {bounds.margin_left} are left of the epoch's cap")
    return None


def _reduces(step: ReducePerp, perp: Perp, bounds: OrderBounds) -> Refusal | None:
    size, price, equity = step.size_usd, bounds.price or 0, bounds.equity_ppm or 0
    if not 0 < size <= perp.size_usd:
        return _no("amount", f"{size} is not within 1..{perp.size_usd}")
    if size == perp.size_usd:
        if not bounds.may_close:
            return _no("may_not_close", "the owner does not let the Executor close all of it")
    elif size < bounds.size_min_usd:
        return _no("too_little", f"{_usd(size)} USD is below the least of {_usd(bounds.size_min_usd)}")
    elif (after := equity * perp.size_usd // (perp.size_usd - size)) > bounds.max_ppm:
        return _no(
            "above_max", f"equity would be {_pct(after)} % of what is left, above {_pct(bounds.max_ppm)} %"
        )
    bound = price * (BPS - bounds.slippage_bps if perp.long else BPS + bounds.slippage_bps) // BPS
    if step.worst_price < bound if perp.long else step.worst_price > bound:
        return _no("price_bound", f"it may be filled at {step.worst_price}, the Executor's bound is {bound}")
    if size > bounds.size_left_usd:
        return _no("cap", f"{_usd(size)} USD, {_usd(bounds.size_left_usd)} are left of the epoch's cap")
    return None


def _usd(value: int) -> str:
    return decimal_text(value // 10**24, 6)


def _pct(ppm: int) -> str:
    return f"{ppm / 10_000:.2f}"


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=WHO, code=code, why=why)


def ppm_of(health_wad: int) -> int:
    """Equity over size, in ppm and rounded up, at which a position's health is that at the latest: health is worth
    and margin over size with what GMX requires and charges, of which equity by the feeds knows nothing."""
    return max(-(-health_wad * (PPM + REQUIRED_PPM) // WAD) - PPM, 1)
