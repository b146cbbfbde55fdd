"""What one transaction counts for in the day, and the most of it that may be signed within 24 hours. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keeper.executor.abi import ADD_COLLATERAL, DELEVERAGE, REPAY_FROM_RESERVE
from keeper.seams import TxFields
from keeper.signer.orders import sold_by
from keeper.signer.policy import SigningPolicy, spend_of
from keeper.units import UINT256_MAX

SALES_PER_DAY = 24
"""So many of the largest sales of one position may be signed within 24 hours, as of the dearest fees
(``senders.ACTIONS_PER_DAY``). A sale that reverted counts like any other, because only the chain knows: so the day
must hold far more of them than a night of failures needs. What is sold indeed the Executor's epoch bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """One summand of a day's sum."""

    what: str
    """The token in lower case, or the sale by name; empty: counts for nothing."""
    units: int
    most: int
    """Of the sum."""


def spent(tx: TxFields, policy: SigningPolicy, units_per_day: Mapping[str, int]) -> Spend:
    """What ``tx``, which the policy allows, counts for.

    ``units_per_day``: by token in lower case. One that is not named may not leave the wallet at all; of an Executor's
    reserve, which goes into its owner's own position, it then has no bound but the Executor's.
    """
    if tx.data[:4] == DELEVERAGE:
        return _sale(tx, policy, units_per_day)
    token, units = spend_of(tx.data, policy.calls)
    unnamed = UINT256_MAX if tx.data[:4] in (ADD_COLLATERAL, REPAY_FROM_RESERVE) else 0
    return Spend(what=token, units=units, most=units_per_day.get(token, unnamed))


def _sale(tx: TxFields, policy: SigningPolicy, units_per_day: Mapping[str, int]) -> Spend:
    """Sales of one position have a sum of their own: they take nothing of what the wallet may spend."""
    rule = next(o for o in policy.orders if o.target.lower() == tx.to.lower() and o.refuses(tx.data) is None)
    order = sold_by(tx.data)
    assert not isinstance(order, str)  # the rule has read it
    token = order.collateral.lower()
    one = rule.collateral[token]
    # what the day's cap in money lets through must fit, however small one action's is
    most = UINT256_MAX if one is None else max(SALES_PER_DAY * one, units_per_day.get(token, 0))
    named = f"sale of {token} from {rule.position} by {rule.target.lower()}"
    return Spend(what=named, units=order.sell_max, most=most)
