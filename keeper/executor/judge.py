"""Whether an Executor would take a sale at the block read, as a refusal of ours: before anything is signed."""

from __future__ import annotations

from keeper.executor import rules
from keeper.executor.abi import Order, PayIn, order_of, pay_in_of
from keeper.executor.errors import Fault, code_of, words_of
from keeper.executor.rules import Deal, Moment, Purse
from keeper.model import Deleverage, Mandate, MandateAsset, Refusal, Repay, Side, Supply, Token
from keeper.phrases import amount_text
from keeper.units import decimal_text

WHO = "executor"


def ready(mandate: Mandate, health_wad: int) -> Refusal | None:
    """Why the Executor would take nothing at all now: paused, expired, unknown, not triggered, cooling down."""
    at = Moment(block_number=mandate.block_number, timestamp_s=mandate.timestamp_s, health_wad=health_wad)
    fault = rules.admits(mandate, mandate.terms.seq, mandate.timestamp_s, at)
    return None if fault is None else told(fault)


def refuses(mandate: Mandate, step: Deleverage, before_wad: int, deal: Deal) -> Refusal | None:
    """Why the Executor would refuse the step at that deal (``foresight.deal``: at its least favourable end); None
    where it would not.
    """
    if (step.executor, step.key) != (mandate.executor, mandate.key):
        return _no(
            "unknown_position", f"the step is for {step.executor}, the position's is {mandate.executor}"
        )
    return answers(mandate, order_of(step), before_wad, deal)


def answers(mandate: Mandate, order: Order, before_wad: int, deal: Deal) -> Refusal | None:
    """The Executor's answer to an order, in our words; None is its yes."""
    at = Moment(block_number=mandate.block_number, timestamp_s=mandate.timestamp_s, health_wad=before_wad)
    fault = rules.verdict(mandate, order, at, deal)
    return None if fault is None else told(fault)


def refuses_pay_in(mandate: Mandate, step: Supply | Repay, before_wad: int, purse: Purse) -> Refusal | None:
    """Why the Executor would refuse to pay a step; None where it would not."""
    wanted = pay_in_of(step)
    if wanted is None or (wanted.executor, wanted.key) != (mandate.executor, mandate.key):
        return _no("unknown_position", f"the step is not for the position's Executor {mandate.executor}")
    if (no := answers_pay_in(mandate, wanted, before_wad, purse)) is not None:
        return no
    listed = mandate.asset(step.amount.token, wanted.side)
    units = min(step.amount.units, purse.owed) if wanted.side is Side.DEBT else step.amount.units
    if listed is not None and listed.funds < units:
        return _no("empty_reserve", f"what is not promised already is less than {amount_text(step.amount)}")
    return None


def answers_pay_in(mandate: Mandate, wanted: PayIn, before_wad: int, purse: Purse) -> Refusal | None:
    """The Executor's answer to a payment into the position, in our words; None is its yes."""
    at = Moment(block_number=mandate.block_number, timestamp_s=mandate.timestamp_s, health_wad=before_wad)
    fault = rules.pays(mandate, wanted, at, purse)
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
    """A refusal of the contract's, or of the protocol behind it, as one of ours."""
    if fault.name == rules.PROTOCOL:
        code, why = fault.values
        return _no(str(code), str(why))
    code = code_of(fault)
    if fault.name == "GrantShort" and fault.values[1] == 0:
        code = "no_grant"
    return _no(code, words_of(fault))


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=WHO, code=code, why=why)
