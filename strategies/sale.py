"""One sale through an owner's Executor, sized so that the target holds even at the worst price it allows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keeper.executor import foresight, judge, quotes
from keeper.executor.foresight import Ahead
from keeper.model import Deleverage, Refusal
from keeper.phrases import health_text
from keeper.sizing import (
    aim_up,
    debt_base_up,
    sell_base_up,
    units_up,
    value_base_down,
    value_base_up,
    weighted_base_wad,
)
from keeper.triggers import emergency, kept
from keeper.units import BPS, UINT256_MAX, WAD, mul_div_down, mul_div_up
from strategies.offer import borrow_rate_ray
from strategies.order import TOLERANCES_BPS, at_quote, step_of
from strategies.room import sellable
from strategies.selling import Sale, after_wad, loss_up, refused
from strategies.unwind import TOO_MANY_STEPS

ROUNDS_MAX = 12
HALVINGS = 16
TOO_LARGE = ("no_quote", "no_source", "slippage", TOO_MANY_STEPS)
"""Refusals of a size: pools, a lender or the steps of one transaction have less, and may have some of it."""
STEADY_ROUNDS = 4  # of fitting the loss to the size; then the aim itself is raised


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """A sale that the Executor would take."""

    step: Deleverage
    after_wad: int
    """At the worst price allowed."""
    swap_base: int
    """What it costs against the oracle's prices at the quoted price."""
    short: str
    """What keeps it below the target; empty when it reaches it."""


def sized(sale: Sale) -> Sold | Refusal:
    """The least sale that reaches the goal, else the most that limits and an emergency allow, else why none.

    A rest that would be dust is paid as well, unless another debt is left and health would pass what it may.
    """
    found = _sized(sale)
    if isinstance(found, Sold) or found.code != "above_max" or len(sale.need.position.debt) < 2:
        return found
    return _sized(replace(sale, leaves_dust=True))


def _sized(sale: Sale) -> Sold | Refusal:
    terms, before = sale.mandate.terms, sale.need.before_wad
    widths: tuple[int, ...] = TOLERANCES_BPS
    if before < terms.emergency_wad and emergency(before, sale.need.policy):
        widths = (max(0, terms.slippage_bps), *widths)
    if (led := _led(sale, max(widths))) is not None:
        return led
    answers = [_with_tolerance(sale, width) for width in widths]
    for answer in answers:
        if isinstance(answer, Sold) and not answer.short:
            return answer
    return next((a for a in answers if isinstance(a, Sold)), answers[-1])


def _led(sale: Sale, tolerance_bps: int) -> Sold | None:
    """The sale that still reaches target when prices have moved by the policy's lead; None where none does."""
    lead_bps = sale.need.policy.lead_bps
    if not lead_bps or sale.route.calldata:  # an offer has one size
        return None
    dearer_bps = mul_div_up(BPS, lead_bps, BPS - lead_bps)
    found = _with_tolerance(replace(sale, lead_bps=lead_bps), max(tolerance_bps, dearer_bps))
    return found if isinstance(found, Sold) and not found.short else None


def _with_tolerance(sale: Sale, tolerance_bps: int) -> Sold | Refusal:
    most, binding = sellable(sale)
    if most <= 0:
        return binding
    step = _fitted(sale, tolerance_bps)
    if isinstance(step, Refusal) and (step.code not in TOO_LARGE or sale.route.calldata):
        return step
    lacks = step if isinstance(step, Refusal) else _lacks(sale, step, (most, binding))
    if lacks is None:
        assert isinstance(step, Deleverage)  # a refusal lacks something
        return judged(sale, step, "")
    if not emergency(sale.need.before_wad, sale.need.policy):
        return refused(lacks.code, f"{lacks.why}; a partial sale waits for emergency")
    if isinstance(step, Refusal) or step.sell_max.units > most:
        step = _most_there_is(sale, most, tolerance_bps)
    return step if isinstance(step, Refusal) else judged(sale, step, lacks.why)


def _lacks(sale: Sale, step: Deleverage, limit: tuple[int, Refusal]) -> Refusal | None:
    """What keeps the wanted step from being done whole, or from being enough; None where nothing does."""
    if step.sell_max.units > limit[0]:
        return limit[1]
    if after_wad(sale, step) >= sale.goal_wad:
        return None
    symbols = f"{sale.collateral.amount.token.symbol} for {sale.debt.amount.token.symbol}"
    return refused("infeasible", f"no sale of {symbols} reaches {health_text(sale.goal_wad)}")


def judged(sale: Sale, step: Deleverage, short: str) -> Sold | Refusal:
    """The step under every rule that will be asked again: policy, Executor and venue."""
    need = sale.need
    after = after_wad(sale, step)
    best = after_wad(sale, at_quote(step))
    if best > sale.highest_wad and best != UINT256_MAX:
        return refused(
            "above_max", f"health {health_text(best)} > {health_text(sale.highest_wad)} at the quoted price"
        )
    if (no := kept(need.before_wad, after, need.policy, selling=True)) is not None:
        return refused(no.code, no.why)
    blocked = need.venue.can(step, need.position, need.means)
    ahead = Ahead(position=need.position, means=need.means, after_wad=after, refused=blocked)
    deal = foresight.deal(sale.mandate, step, ahead)
    if (no := judge.refuses(sale.mandate, step, need.before_wad, deal)) is not None:
        return refused(no.code, no.why)
    if step.sell_all:
        return Sold(step=step, after_wad=after, swap_base=_loss_of_all(sale), short=short)
    sold = value_base_up(step.sold, sale.collateral.price_base, sale.collateral.amount.token.decimals)
    paid = min(step.repay.units, sale.debt.amount.units)
    back = value_base_down(paid, sale.debt.price_base, sale.debt.amount.token.decimals)
    return Sold(step=step, after_wad=after, swap_base=max(0, sold - back), short=short)


def _loss_of_all(sale: Sale) -> int:
    """What selling all of it costs at the share lost on the largest amount quoted, base."""
    bought, given = sale.route.points[-1]
    sold = value_base_up(given, sale.collateral.price_base, sale.collateral.amount.token.decimals)
    back = value_base_down(bought, sale.debt.price_base, sale.debt.amount.token.decimals)
    return mul_div_up(sale.collateral.value_base, max(0, sold - back), max(sold, 1))


def _fitted(sale: Sale, tolerance_bps: int) -> Deleverage | Refusal:
    """The step of which the loss it is sized with is the loss it has: closed form, fitted to the quotes."""
    position = sale.need.position
    weighted, owed = weighted_base_wad(position), debt_base_up(position)
    aim = aim_up(sale.goal_wad, borrow_rate_ray(sale.need))
    if sale.route.calldata:  # an offer has one size: all that it brings is repaid
        bought = sale.route.points[0][0]
        return step_of(sale, bought - sale.fee_up(bought), tolerance_bps)
    loss_wad = mul_div_up(sum(sale.route.fees), WAD, 1_000_000)
    step: Deleverage | Refusal = refused("no_quote", "nothing was quoted")
    for i in range(ROUNDS_MAX):
        sell = sell_base_up(weighted, owed, aim, sale.collateral.threshold_wad, (loss_wad, 0))
        if isinstance(sell, Refusal):
            return refused(sell.code, sell.why)
        repay_base = mul_div_up(sell, WAD - loss_wad, WAD)
        step = step_of(
            sale, units_up(repay_base, sale.debt.price_base, sale.debt.amount.token.decimals), tolerance_bps
        )
        if isinstance(step, Refusal):
            return step
        after = after_wad(sale, step)
        if after >= sale.goal_wad or step.whole:
            return step
        loss_wad = max(loss_wad, loss_up(sale, step))
        if i >= STEADY_ROUNDS:
            aim = mul_div_up(aim, sale.goal_wad, max(after, 1)) + 1
    return step


def _most(sale: Sale, most: int, tolerance_bps: int) -> Deleverage | Refusal:
    """The step that sells all that may be sold."""
    sold = mul_div_down(most, BPS, BPS + tolerance_bps)
    bought = quotes.bought_down(sale.route, sold)
    repay = bought - sale.fee_up(bought)
    if repay <= 0:
        return refused("no_quote", "what may be sold buys nothing")
    step = step_of(sale, min(repay, sale.debt.amount.units), tolerance_bps)
    if isinstance(step, Refusal) or step.sell_max.units <= most:
        return step
    # the rest would be dust and is paid as well, for which more would be sold than may be: so much is left instead
    token = sale.debt.amount.token
    dust = units_up(sale.need.venue.rules.dust_base, sale.debt.price_base, token.decimals)
    less = step_of(sale, max(1, sale.debt.amount.units - dust), tolerance_bps)
    return step if isinstance(less, Refusal) else less


def _most_there_is(sale: Sale, most: int, tolerance_bps: int) -> Deleverage | Refusal:
    """The same, or as much of it as pools, lender and steps do on the owner's terms; the next one goes on."""
    best = _most(sale, most, tolerance_bps)
    low, high, tries = 0, most, HALVINGS if isinstance(best, Refusal) and best.code in TOO_LARGE else 0
    for _ in range(tries):
        middle = (low + high) // 2
        step = _most(sale, middle, tolerance_bps)
        if isinstance(step, Refusal):
            high = middle
        else:
            low, best = middle, step
    return best
