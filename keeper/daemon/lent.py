"""A lender that was emptied before a plan's turn: named where its refusal's own words name nothing.

Where the money is gone Morpho Blue says "transfer reverted", and Aave's arithmetic overflows. What the lender of the
plan's loan still has is one read.
"""

from __future__ import annotations

from collections.abc import Sequence

from keeper.chain.endpoints import Endpoints
from keeper.errors import Rejected, Transient
from keeper.executor import quotes
from keeper.executor.desk import Desk
from keeper.executor.quotes import Window
from keeper.model import Amount, Deleverage, Plan, Source
from keeper.phrases import amount_text
from keeper.seams import Priority, Supplement

LOOKED_S = 1.0
NAMED = "Executor:"
"""How an Executor's own refusal begins, which says what is wrong (``errors.NAMES``)."""
NEWEST = "latest"


async def why_lost(
    endpoints: Endpoints, supplement: Supplement | None, why: str, found: tuple[Plan, int]
) -> str:
    """``why`` the plan reverted in the block of that number, with the lender that was empty at its end."""
    plan, number = found
    if why.startswith(NAMED):
        return why
    lacks = await short(endpoints, plan, windows(supplement), hex(number))
    return f"{why} ({lacks})" if lacks else why


async def short(endpoints: Endpoints, plan: Plan, known: Sequence[Window], at: str = NEWEST) -> str:
    """``no_source: ...`` where the lender of the plan's loan has less than it borrows; "" where it has enough, where
    nobody lends, or where no node can say. Never raises for one that cannot.
    """
    step = next((s for s in plan.steps if isinstance(s, Deleverage)), None)
    window = None if step is None else next((w for w in known if _lends(w, step)), None)
    if step is None or window is None:
        return ""
    call = quotes.cash_call(window)
    asked = {"to": call.target, "data": "0x" + call.data.hex()}
    try:
        told = await endpoints.request("eth_call", [asked, at], priority=Priority.TRIGGER, timeout_s=LOOKED_S)
        units = int(str(told), 16)
    except (Rejected, Transient, ValueError):
        return ""
    if units >= step.repay.units:
        return ""
    left = amount_text(Amount(token=step.repay.token, units=units))
    return f"no_source: {step.source.name.lower()} has {left} of the {amount_text(step.repay)} to be borrowed"


def windows(supplement: Supplement | None) -> Sequence[Window]:
    """Every place to borrow that the chain's desk knows."""
    return supplement.windows if isinstance(supplement, Desk) else ()


def _lends(window: Window, step: Deleverage) -> bool:
    if (window.executor, window.source, window.token) != (
        step.executor,
        step.source,
        step.repay.token.address,
    ):
        return False
    pool = (window.other_token, window.pool_fee)
    return step.source is not Source.UNISWAP_V3_FLASH or pool == (step.source_token, step.source_fee)


__all__ = ["short", "why_lost", "windows"]
