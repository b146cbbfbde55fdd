"""Close the part of a winning short whose profit pays out a sum: what the loan that it hedges is repaid with."""

from __future__ import annotations

from keeper.model import Perp, Policy, Position, Proposal, Refusal, Snapshot
from keeper.phrases import health_text, usd_text
from keeper.seams import Venue
from keeper.units import BPS, mul_div_down, mul_div_up
from strategies.drawn import Need
from strategies.perp import Case, case, closing_usd, least, proposed, said

WHO = "hedge_profit"
USD = 10**30
SPARE_BPS = 200
"""More than is asked for: two steps take seconds, in which a part of the profit may go."""


def take(
    short: Position, policy: Policy, snapshot: Snapshot, venue: Venue, payout_usd: int
) -> Proposal | Refusal:
    """The least order that pays out ``payout_usd`` (30 decimals), and leaves the short no nearer to liquidation."""
    need = Need(position=short, policy=policy, means=snapshot.means, venue=venue, block=snapshot.block)
    at = case(need, WHO)
    if isinstance(at, Refusal):
        return at
    if at.perp.pending is not None:
        return at.refused("order_pending", f"order {at.perp.pending.key[:10]} is under way")
    wanted = mul_div_up(payout_usd, BPS + SPARE_BPS, BPS)
    most = paid_out(at.perp, at.perp.size_usd)
    if most < wanted:
        why = f"closing all of it pays out {usd_text(most / USD)}, {usd_text(wanted / USD)} are missing"
        return at.refused("profit_short", why)
    size_usd = least(at.perp.size_usd, lambda n: paid_out(at.perp, n) >= wanted)
    return _order(at, size_usd)


def _order(at: Case, size_usd: int) -> Proposal | Refusal:
    need, step = at.need, at.reduction(size_usd)
    refused = need.venue.can(step, need.position, need.means)
    if refused is not None:
        return at.refused("venue_refuses", f"{refused.code}: {refused.why}")
    after_wad = at.after_wad(step)
    if after_wad < need.before_wad:
        text = f"its health would fall from {health_text(need.before_wad)} to {health_text(after_wad)}"
        return at.refused("not_better", text)
    cost_usd = closing_usd(at, size_usd)
    out = usd_text(paid_out(at.perp, size_usd) / USD)
    why = f"{said(at, step, after_wad, '')}, pays out {out}; fee and impact {usd_text(cost_usd)}"
    return proposed(at, step, why, cost_usd)


def paid_out(perp: Perp, size_usd: int) -> int:
    """Dollars (30 decimals) that closing so much brings the owner, at the least: its part of the profit less the fee,
    the impact, and all that is owed up to now, as where a venue takes those out of the profit first."""
    if perp.pnl_usd <= 0:
        return 0
    part = mul_div_down(perp.pnl_usd, size_usd, perp.size_usd)
    fee = mul_div_up(size_usd, perp.fee_factor, USD)
    impact = mul_div_up(-perp.closing_usd, size_usd, perp.size_usd)
    return max(part - fee - impact - perp.owed * perp.collateral_price, 0)
