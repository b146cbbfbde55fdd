"""How much of a collateral may be sold, and what binds it."""

from __future__ import annotations

from keeper.executor import judge, rules
from keeper.model import Amount, Refusal, Side
from keeper.phrases import amount_text
from keeper.sizing import units_down
from keeper.triggers import spend_cap_usd
from strategies.selling import Sale, refused


def sellable(sale: Sale) -> tuple[int, Refusal]:
    """(collateral units that may be sold, the refusal that stands for what binds them)."""
    token, mandate, need = sale.collateral.amount.token, sale.mandate, sale.need
    listed = judge.asset(mandate, token, Side.COLLATERAL)
    if isinstance(listed, Refusal):
        return 0, refused(listed.code, listed.why)
    reserve = need.means.reserve(need.venue.id, token)
    cap_usd = spend_cap_usd(need.policy, 0.0)
    cap_base = cap_usd * 10**need.position.base_decimals
    grant = judge.short_grant(listed, listed.granted + 1)
    room = rules.sell_room(mandate, listed, mandate.timestamp_s)
    limits = (
        (listed.granted, grant),
        (
            min(listed.held, sale.collateral.amount.units),
            refused("infeasible", f"all of {token.symbol} would not do"),
        ),
        (
            room,
            refused(
                "cap",
                f"the Executor's cap of this epoch leaves {amount_text(Amount(token=token, units=room))}",
            ),
        ),
        (
            reserve.cash_units if reserve else 0,
            refused("venue_refuses", f"no_cash: {token.symbol} cannot be paid out"),
        ),
        (
            units_down(cap_base, sale.collateral.price_base, token.decimals),
            refused("caps", f"the caps leave ${cap_usd:,}"),
        ),
    )
    return min(limits, key=lambda limit: limit[0])
