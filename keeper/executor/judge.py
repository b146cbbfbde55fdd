"""Whether an Executor would take a sale at the block read, as a refusal of ours: before anything is signed."""

from __future__ import annotations

from keeper.executor import rules
from keeper.executor.abi import order_of, pay_in_of
from keeper.executor.errors import Fault, code_of, words_of
from keeper.executor.rules import Moment
from keeper.model import Deleverage, Mandate, MandateAsset, Refusal, Repay, Side, Supply, Token
from keeper.phrases import amount_text
from keeper.units import decimal_text

WHO = "executor"


def ready(mandate: Mandate, health_wad: int) -> Refusal | None:
    """Why the Executor would take nothing at all now: paused, expired, unknown, not triggered, cooling down."""
    at = Moment(block_number=mandate.block_number, timestamp_s=mandate.timestamp_s, health_wad=health_wad)
    fault = rules.admits(mandate, mandate.terms.seq, mandate.timestamp_s, at)
    return None if fault is None else told(fault)


def refuses(mandate: Mandate, step: Deleverage, before_wad: int, after_wad: int) -> Refusal | None:
    """Why the Executor would refuse the step, at the least favourable end of it; None where it would not."""
    if (step.executor, step.key) != (mandate.executor, mandate.key):
        return _no(
            "unknown_position", f"the step is for {step.executor}, the position's is {mandate.executor}"
        )
    at = Moment(block_number=mandate.block_number, timestamp_s=mandate.timestamp_s, health_wad=before_wad)
    order = order_of(step)
    fault = rules.admits(mandate, step.seq, step.deadline_s, at)
    if fault is not None:
        return told(fault)
    listed = asset(mandate, step.sell_max.token, Side.COLLATERAL)
    if isinstance(listed, Refusal):
        return listed
    if isinstance(other := asset(mandate, step.repay.token, Side.DEBT), Refusal):
        return other
    fault = rules.routes(mandate, order) or rules.spends(mandate, order, step.sell_max.units, at.timestamp_s)
    if fault is not None:
        return told(fault)
    if listed.granted < step.sell_max.units:
        return short_grant(listed, step.sell_max.units)
    if listed.held < step.sell_max.units:
        return _no("no_collateral", f"the owner holds less than {amount_text(step.sell_max)}")
    fault = rules.settles(mandate.terms, before_wad, after_wad, selling=True)
    return None if fault is None else told(fault)


def refuses_pay_in(mandate: Mandate, step: Supply | Repay, before_wad: int, after_wad: int) -> Refusal | None:
    """Why the Executor would refuse to pay a step; None where it would not."""
    wanted = pay_in_of(step)
    if wanted is None or (wanted.executor, wanted.key) != (mandate.executor, mandate.key):
        return _no("unknown_position", f"the step is not for the position's Executor {mandate.executor}")
    at = Moment(block_number=mandate.block_number, timestamp_s=mandate.timestamp_s, health_wad=before_wad)
    fault = rules.admits(mandate, wanted.seq, wanted.deadline_s, at)
    if fault is not None:
        return told(fault)
    listed = asset(mandate, step.amount.token, wanted.side)
    if isinstance(listed, Refusal):
        return listed
    if listed.funds < step.amount.units:
        return _no("empty_reserve", f"reserve and owner's grant hold less than {amount_text(step.amount)}")
    if rules.fund_room(mandate, listed, mandate.timestamp_s) < step.amount.units:
        return _no("cap", f"the Executor's cap of this epoch leaves less than {amount_text(step.amount)}")
    fault = rules.settles(mandate.terms, before_wad, after_wad, selling=False)
    return None if fault is None else told(fault)


def asset(mandate: Mandate, token: Token, side: Side) -> MandateAsset | Refusal:
    """The listed asset, or that the Executor does not list it."""
    found = mandate.asset(token, side)
    if found is not None:
        return found
    return _no("unknown_asset", f"the Executor does not list {token.symbol} as {side.name.lower()}")


def short_grant(listed: MandateAsset, wanted: int) -> Refusal:
    """No grant at all (never given, or revoked), or one that is too small."""
    symbol, decimals = listed.token.symbol, listed.token.decimals
    if listed.granted == 0:
        return _no("no_grant", f"the owner lets the Executor take no {symbol}: never granted, or revoked")
    text = f"the owner lets it take {decimal_text(listed.granted, decimals)} {symbol}"
    return _no("grant_too_small", f"{text}, {decimal_text(wanted, decimals)} are needed")


def told(fault: Fault) -> Refusal:
    """A refusal of the contract's as one of ours."""
    return _no(code_of(fault), words_of(fault))


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=WHO, code=code, why=why)
