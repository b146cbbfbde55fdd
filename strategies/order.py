"""A sale as the step that does it: how much is repaid, what that takes at the quotes, and at the most."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keeper.executor import judge, quotes, rules
from keeper.model import Amount, Deleverage, Holding, Lender, Mandate, Refusal, Route, Side, Source
from keeper.phrases import amount_text
from keeper.sizing import owed_up, value_base_down, value_base_up
from keeper.units import BPS, WAD, mul_div_down
from strategies.offer import Need, borrow_rate_ray

WHO = "deleverage"
DEADLINE_S = 180
"""The Executor takes no order later than this after the block that it was planned at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """What is sold for what, by which way, with whose money in between."""

    need: Need
    mandate: Mandate
    route: Route
    lender: Lender | None
    """None: the pool that buys pays first."""
    collateral: Holding
    debt: Holding

    @property
    def goal_wad(self) -> int:
        """The policy's target or the Executor's, whichever is higher."""
        return max(self.need.policy.target_wad, self.mandate.terms.target_wad)

    @property
    def highest_wad(self) -> int:
        """What may not be passed while debt is left."""
        return min(self.need.policy.max_health_wad, self.mandate.terms.max_wad)

    def fee_up(self, units: int) -> int:
        """What borrowing costs at the most, debt units."""
        return quotes.fee_up(self.lender, units) if self.lender is not None else 0


def step_of(sale: Sale, repay: int, tolerance_bps: int) -> Deleverage | Refusal:
    """The step that repays so much (all, where that is more than is owed or would leave dust)."""
    debt = sale.debt
    left = debt.amount.units - repay
    worth = value_base_up(left, debt.price_base, debt.amount.token.decimals) if left > 0 else 0
    whole = worth < sale.need.venue.rules.dust_base if left > 0 else True
    if whole:
        repay = owed_up(debt.amount.units, borrow_rate_ray(sale.need))
    fee = sale.fee_up(repay)
    sold = quotes.sold_up(sale.route, repay + fee)
    if sold is None:
        wanted = amount_text(Amount(token=debt.amount.token, units=repay))
        return refused("no_quote", f"no pool that was asked pays {wanted}")
    allowed = _allowed(sale, repay + fee)
    if allowed < sold:
        bps = sale.mandate.terms.slippage_bps
        return refused("slippage", f"the swap would cost more than the {bps} bps that the owner allows")
    widest = mul_div_down(sold, BPS + tolerance_bps, BPS)
    return _draft(sale, (repay, fee, sold, min(allowed, widest)), whole)


def _draft(sale: Sale, units: tuple[int, int, int, int], whole: bool) -> Deleverage:
    repay, fee, sold, sell_max = units
    lender, route, mandate = sale.lender, sale.route, sale.mandate
    return Deleverage(
        executor=mandate.executor,
        key=mandate.key,
        seq=mandate.terms.seq,
        deadline_s=sale.need.block.timestamp_s + DEADLINE_S,
        sell_max=Amount(token=sale.collateral.amount.token, units=sell_max),
        sold=sold,
        repay=Amount(token=sale.debt.amount.token, units=repay),
        whole=whole,
        source=lender.source if lender is not None else Source.UNISWAP_V3_SWAP,
        source_token=lender.other_token if lender is not None else "",
        source_fee=lender.pool_fee if lender is not None and lender.other_token else 0,
        fee_units=fee,
        router=route.router,
        fees=route.fees,
        via=route.via,
    )


def loss_up(sale: Sale, step: Deleverage) -> int:
    """Share of the collateral's value that is lost at the worst price allowed, wad."""
    sold = value_base_up(
        step.sell_max.units, sale.collateral.price_base, sale.collateral.amount.token.decimals
    )
    back = value_base_down(step.repay.units, sale.debt.price_base, sale.debt.amount.token.decimals)
    return max(0, WAD - mul_div_down(back, WAD, max(sold, 1)))


def at_quote(step: Deleverage) -> Deleverage:
    """The same if it sells no more than was quoted: where health ends highest."""
    return replace(step, sell_max=Amount(token=step.sell_max.token, units=step.sold))


def after_wad(sale: Sale, step: Deleverage) -> int:
    """Health after the step by the venue's own arithmetic, all of ``sell_max`` sold."""
    return sale.need.venue.after((step,), sale.need.position).health_wad or 0


def _allowed(sale: Sale, bought: int) -> int:
    """Most collateral that the Executor gives for so much, by the oracle's prices."""
    collateral = judge.asset(sale.mandate, sale.collateral.amount.token, Side.COLLATERAL)
    debt = judge.asset(sale.mandate, sale.debt.amount.token, Side.DEBT)
    if isinstance(collateral, Refusal) or isinstance(debt, Refusal):
        return 0
    prices = (sale.collateral.price_base, sale.debt.price_base)
    return rules.most_sold(sale.mandate.terms, (collateral.unit, debt.unit), prices, bought)


def refused(code: str, why: str) -> Refusal:
    """The strategy's no."""
    return Refusal(who=WHO, code=code, why=why)
