"""What a sale is: what is sold for what, by which way, with whose money; and what it costs and brings."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.executor import quotes
from keeper.model import Deleverage, Holding, Lender, Mandate, Refusal, Route, Source
from keeper.sizing import value_base_down, value_base_up
from keeper.units import BPS, WAD, mul_div_down, mul_div_up
from strategies.drawn import Need

WHO = "deleverage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """What is sold for what, by which way, with whose money in between."""

    need: Need
    mandate: Mandate
    route: Route
    lender: Lender | None
    """None: nobody lends; the pool that buys pays first, or what is free is sold step by step."""
    collateral: Holding
    debt: Holding
    lead_bps: int = 0
    """So far prices may move, either way, until it is included."""
    leaves_dust: bool = False
    """True where closing the debt whole would lift the others' health above what may be passed."""

    @property
    def goal_wad(self) -> int:
        """The policy's target or the Executor's, whichever is higher: after a fall by the lead."""
        goal_wad = max(self.need.policy.target_wad, self.mandate.terms.target_wad)
        return mul_div_up(goal_wad, BPS, BPS - self.lead_bps) if self.lead_bps else goal_wad

    @property
    def highest_wad(self) -> int:
        """What may not be passed while debt is left: after a rise by the lead."""
        most_wad = min(self.need.policy.max_health_wad, self.mandate.terms.max_wad)
        return mul_div_down(most_wad, BPS, BPS + self.lead_bps) if self.lead_bps else most_wad

    @property
    def source(self) -> Source:
        """Where the money comes from until the collateral is sold."""
        if self.lender is not None:
            return self.lender.source
        return Source.STEPWISE if self.route.router else Source.UNISWAP_V3_SWAP

    def fee_up(self, units: int) -> int:
        """What borrowing costs at the most, debt units."""
        return quotes.fee_up(self.lender, units) if self.lender is not None else 0


def loss_up(sale: Sale, step: Deleverage) -> int:
    """Share of the collateral's value that is lost at the worst price allowed, wad."""
    sold = value_base_up(
        step.sell_max.units, sale.collateral.price_base, sale.collateral.amount.token.decimals
    )
    back = value_base_down(step.repay.units, sale.debt.price_base, sale.debt.amount.token.decimals)
    return max(0, WAD - mul_div_down(back, WAD, max(sold, 1)))


def after_wad(sale: Sale, step: Deleverage) -> int:
    """Health after the step by the venue's own arithmetic, all of ``sell_max`` sold."""
    return sale.need.venue.after((step,), sale.need.position).health_wad or 0


def refused(code: str, why: str) -> Refusal:
    """The strategy's no."""
    return Refusal(who=WHO, code=code, why=why)
