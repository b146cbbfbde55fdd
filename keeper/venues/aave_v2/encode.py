"""Steps -> calls on behalf of an account. What they change is as in v3.0; supplying is called ``deposit``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keeper.model import Call, Deleverage, Means, Position, Refusal, Step, Supply
from keeper.units import UINT256_MAX
from keeper.venues.aave_v2 import book
from keeper.venues.aave_v2.book import Market
from keeper.venues.aave_v3 import encode
from keeper.venues.aave_v3.book import word
from keeper.venues.aave_v3.encode import VARIABLE
from keeper.venues.atomic import lent

WHO = "aave_v2"
DEPOSIT_GAS = 450_000
REPAY_GAS = 450_000
"""Measured 160k to 230k with the package's own build; room for tokens behind proxies and for incentives."""


def call(market: Market, step: Step, position: Position) -> Call:
    """``deposit`` or ``repay`` of an exact amount. ValueError for a step through an Executor: none ships."""
    step = lent(step)
    units = step.amount.units
    if isinstance(step, Deleverage) or step.through is not None or not 0 < units < UINT256_MAX:
        raise ValueError(f"{type(step).__name__} of {units} units is no step of {WHO} by the wallet")
    asset, owner = word(step.amount.token.address), word(position.id.account)
    if isinstance(step, Supply):
        return Call(target=market.pool, data=book.DEPOSIT + asset + word(units) + owner + word(0))
    return Call(target=market.pool, data=book.REPAY + asset + word(units) + word(VARIABLE) + owner)


def gas(step: Step) -> int:
    """A gas limit the step does not exceed."""
    return DEPOSIT_GAS if isinstance(step, Supply) else REPAY_GAS


def can(market: Market, step: Step, position: Position, means: Means) -> Refusal | None:
    """Why the pool would revert the step now, or why it would not help; None when it would."""
    no = encode.can(market, step, position, means)
    return no if no is None else replace(no, who=WHO)


def after(market: Market, steps: Sequence[Step], position: Position) -> Position:
    """The position after the steps at the same prices and indices; amounts and health rounded against us."""
    return encode.after(market, steps, position)
