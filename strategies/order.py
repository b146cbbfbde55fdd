"""A sale as the step that does it: how much is repaid, what that takes at the quotes, and at the most."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keeper.executor import judge, quotes, rules, splits
from keeper.model import Amount, Deleverage, Holding, Lender, Mandate, Refusal, Route, Side, Source
from keeper.phrases import amount_text
from keeper.sizing import (
    debt_base_up,
    owed_up,
    units_down,
    unwind_steps,
    value_base_down,
    value_base_up,
    weighted_base_wad,
)
from keeper.units import BPS, WAD, mul_div_down, mul_div_up
from strategies.drawn import Need
from strategies.offer import borrow_rate_ray

WHO = "deleverage"
TOLERANCES_BPS = (50, 10)
"""How much dearer than quoted a sale may become: the usual, and a narrow one where the first could overshoot.
Below emergency, all that the owner allows against the oracle: speed goes before price."""
STEPS_MAX = 24
"""Steps of one transaction: with 600,000 gas each and 500,000 besides it is within its limit (EIP-7825, 2^24)."""
TOO_MANY_STEPS = "too_many_steps"
STEP_FLOOR_WAD = WAD * 1002 // 1000
"""Health that a step may leave before what it brings is repaid; the pool refuses below 1."""
DEADLINE_S = 180
"""The Executor takes no order later than this after the block that it was planned at."""


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
    leaves_dust: bool = False
    """True where closing the debt whole would lift the others' health above what may be passed."""

    @property
    def goal_wad(self) -> int:
        """The policy's target or the Executor's, whichever is higher."""
        return max(self.need.policy.target_wad, self.mandate.terms.target_wad)

    @property
    def highest_wad(self) -> int:
        """What may not be passed while debt is left."""
        return min(self.need.policy.max_health_wad, self.mandate.terms.max_wad)

    @property
    def source(self) -> Source:
        """Where the money comes from until the collateral is sold."""
        if self.lender is not None:
            return self.lender.source
        return Source.STEPWISE if self.route.router else Source.UNISWAP_V3_SWAP

    def fee_up(self, units: int) -> int:
        """What borrowing costs at the most, debt units."""
        return quotes.fee_up(self.lender, units) if self.lender is not None else 0


def step_of(sale: Sale, repay: int, tolerance_bps: int) -> Deleverage | Refusal:
    """The step that repays so much (all, where that is more than is owed or would leave dust)."""
    debt = sale.debt
    left = debt.amount.units - repay
    worth = value_base_up(left, debt.price_base, debt.amount.token.decimals) if left > 0 else 0
    least = 1 if sale.leaves_dust else sale.need.venue.rules.dust_base
    whole = worth < least if left > 0 else True
    if whole:
        repay = owed_up(debt.amount.units, borrow_rate_ray(sale.need))
    fee = sale.fee_up(repay)
    if (no := _unlent(sale, repay, fee)) is not None:
        return no
    # what sells an exact amount brings less at a worse price; what buys one takes more
    margin_bps = tolerance_bps if sale.source is Source.STEPWISE else 0
    sold = quotes.sold_up(sale.route, mul_div_up(repay + fee, BPS + margin_bps, BPS))
    if sold is None:
        wanted = amount_text(Amount(token=debt.amount.token, units=repay))
        return refused("no_quote", f"no pool that was asked pays {wanted}")
    allowed = _allowed(sale, repay + fee)
    if allowed < sold:
        bps = sale.mandate.terms.slippage_bps
        return refused("slippage", f"the swap would cost more than the {bps} bps that the owner allows")
    widest = mul_div_down(sold, BPS + tolerance_bps - margin_bps, BPS)
    draft = _draft(sale, (repay, fee, sold, min(allowed, widest)), whole)
    return _in_steps(sale, draft) if sale.source is Source.STEPWISE else draft


def _unlent(sale: Sale, repay: int, fee: int) -> Refusal | None:
    """Why the lender does not do: too little there, or dearer than the owner allows."""
    if sale.lender is None:
        return None
    name, most = sale.lender.source.name.lower(), repay * sale.mandate.terms.flash_fee_bps // BPS
    if sale.lender.cash_units < repay:
        return refused("no_source", f"{name} has less than {repay} units to lend")
    return refused("flash_fee", f"{name} costs {fee} units, the owner allows {most}") if fee > most else None


def _in_steps(sale: Sale, step: Deleverage) -> Deleverage | Refusal:
    """The sale cut into pieces, each at most what is free above ``STEP_FLOOR_WAD`` when its turn comes."""
    collateral, position = sale.collateral, sale.need.position
    decimals, price = collateral.amount.token.decimals, collateral.price_base
    weighted, owed = weighted_base_wad(position), debt_base_up(position)
    left, sells = step.sell_max.units, list[int]()
    while left > 0 and len(sells) < STEPS_MAX:
        free_base = (weighted - STEP_FLOOR_WAD * owed) // collateral.threshold_wad
        units = min(left, units_down(max(0, free_base), price, decimals))
        if units <= 0:
            break
        sells.append(units)
        left -= units
        weighted -= value_base_up(units, price, decimals) * collateral.threshold_wad
        back = mul_div_down(step.repay.units, units, step.sell_max.units)
        owed -= value_base_down(back, sale.debt.price_base, sale.debt.amount.token.decimals)
    return _too_many(sale, step) if left > 0 else replace(step, sells=tuple(sells))


def _too_many(sale: Sale, step: Deleverage) -> Refusal:
    """How many steps it would take: the closed form of ``sizing``, at the worst price that the step allows."""
    position, token = sale.need.position, step.repay.token
    repay_base = value_base_up(
        min(step.repay.units, sale.debt.amount.units), sale.debt.price_base, token.decimals
    )
    many = unwind_steps(
        weighted_base_wad(position),
        debt_base_up(position),
        repay_base,
        STEP_FLOOR_WAD,
        (sale.collateral.threshold_wad, loss_up(sale, step)),
    )
    if isinstance(many, Refusal):
        return refused("infeasible", "nobody lends, and no number of steps unwinds enough")
    # counted in reals, the last step may be one more
    many = max(many, STEPS_MAX + 1)
    why = f"nobody lends: it takes {many} steps, {STEPS_MAX} of them fit into a transaction, so "
    why += f"{-(-many // STEPS_MAX)} transactions"
    return refused(TOO_MANY_STEPS, why)


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
        source=sale.source,
        source_token=lender.other_token if lender is not None else "",
        source_fee=lender.pool_fee if lender is not None and lender.other_token else 0,
        fee_units=fee,
        router=route.router,
        fees=route.fees,
        via=route.via,
        shares=splits.shares(route, repay + fee),
        calldata=route.calldata,
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
    if step.source is Source.STEPWISE:
        better = mul_div_up(step.repay.units, BPS + max(TOLERANCES_BPS), BPS)
        return replace(step, repay=replace(step.repay, units=better))
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
