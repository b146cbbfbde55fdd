"""What every strategy for a perpetual position shares: fees of two steps, sizes by the venue's arithmetic, prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keeper.model import (
    AddMargin,
    Amount,
    CancelOrder,
    Perp,
    PerpStep,
    PlaceStop,
    Proposal,
    ReducePerp,
    Refusal,
)
from keeper.phrases import amount_text, health_text, usd_text
from keeper.units import BPS, UINT256_MAX, mul_div_down, mul_div_up
from strategies.drawn import Need

FEE_TIMES, FEE_TIPS = 2, 4
"""The execution is paid for at so many times this block's base fee and tip: the venue measures it by what the
creating transaction itself pays for gas, whose tip is raised while it waits. What is not used comes back."""
MOVES_BPS = 20
"""So far the feed of an owner's Executor may move until his order is mined."""
SLIP_BPS = 300
"""How much worse than now an order may be filled: two steps take seconds, and a fall does not wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One perpetual position that may be acted on."""

    need: Need
    perp: Perp
    who: str

    def refused(self, code: str, why: str) -> Refusal:
        """The strategy's no."""
        return Refusal(who=self.who, code=code, why=why)

    def fee_wei(self, *, increases: bool) -> int:
        """What the venue's keeper is paid, with room for a base fee that rises."""
        gas = self.perp.increase_gas if increases else self.perp.decrease_gas
        fee = gas * (FEE_TIMES * self.need.block.base_fee_wei + FEE_TIPS * self.need.means.tip_wei)
        bounds = self.perp.acting.bounds
        return fee if bounds is None else min(fee, bounds.fee_wei_max)

    def worst_price(self, price: int, slip_bps: int = SLIP_BPS) -> int:
        """The price at which closing stops being wanted: below it for a long, above it for a short."""
        if self.perp.long:
            return mul_div_down(price, BPS - slip_bps, BPS)
        return mul_div_up(price, BPS + slip_bps, BPS)

    def after_wad(self, step: PerpStep) -> int:
        """Health after a step by the venue's own arithmetic."""
        return self.need.venue.after((step,), self.need.position).health_wad or 0

    def tokens(self, size_usd: int) -> int:
        """Index tokens of so much of the size, rounded up for a long and down for a short."""
        if size_usd >= self.perp.size_usd:
            return self.perp.tokens
        divide = mul_div_up if self.perp.long else mul_div_down
        return divide(self.perp.tokens, size_usd, self.perp.size_usd)

    def reduction(self, size_usd: int) -> ReducePerp:
        """The step that closes so much."""
        return ReducePerp(
            amount=Amount(token=self.perp.index, units=max(1, self.tokens(size_usd))),
            size_usd=size_usd,
            worst_price=self._allowed(self.worst_price(self.perp.index_price)),
            fee_wei=self.fee_wei(increases=False),
        )

    def most_usd(self, size_usd: int) -> int:
        """As much of that size as the owner's Executor lets close now; all of it where none stands between."""
        bounds = self.perp.acting.bounds
        if bounds is None:
            return size_usd
        part = min(size_usd, bounds.size_left_usd)
        # what may not be closed whole is left with the least that the venue lets stand
        rest = 0 if bounds.may_close else max(self.perp.size_least_usd, 1)
        return max(min(part, self.perp.size_usd - rest), 0)

    def _allowed(self, price: int) -> int:
        """That worst price, no worse than the owner's Executor takes, with room for a feed that moves meanwhile."""
        bounds = self.perp.acting.bounds
        if bounds is None or bounds.price is None:
            return price
        slip_bps = max(bounds.slippage_bps - MOVES_BPS, 0)
        bound = self.worst_price(bounds.price, slip_bps)
        return max(price, bound) if self.perp.long else min(price, bound)


def case(need: Need, who: str) -> Case | Refusal:
    """The position as a perpetual one with a size; why not."""
    perp = need.position.perp
    if perp is None:
        closed = need.position.health_wad == UINT256_MAX
        code, why = (
            ("position_closed", "it has no size") if closed else ("no_perp", "it is no perpetual position")
        )
        return Refusal(who=who, code=code, why=why)
    return Case(need=need, perp=perp, who=who)


def in_need(need: Need, who: str) -> Case | Refusal | Proposal:
    """The position below target; the cancellation of an order whose time is over; or why nothing is to be done."""
    found = case(need, who)
    if isinstance(found, Refusal):
        return found
    if need.before_wad >= need.policy.target_wad:
        target = health_text(need.policy.target_wad)
        return found.refused("target_reached", f"health {health_text(need.before_wad)} >= target {target}")
    if (waits := found.perp.pending) is None:
        return found
    if waits.age_s < found.perp.order_expires_s:
        return found.refused("order_pending", f"order {waits.key[:10]} is under way since {waits.age_s} s")
    return taken_back(found, waits.key, f"it waits since {waits.age_s} s, and nobody executed it")


def taken_back(at: Case, key: str, why: str) -> Proposal | Refusal:
    """An order of ours that is not to stand any longer; its successor is decided when it is gone."""
    late = any(o.key == key and not o.resting for o in at.perp.orders)
    step = CancelOrder(amount=Amount(token=at.perp.collateral, units=0), order=key, late=late)
    refused = at.need.venue.can(step, at.need.position, at.need.means)
    if refused is not None:
        return at.refused("venue_refuses", f"{refused.code}: {refused.why}")
    return proposed(at, step, f"{at.who} takes order {key[:10]} back first: {why}", 0.0)


def least(most: int, enough: Callable[[int], bool]) -> int:
    """The smallest number of 1..most that is enough, where more never hurts; ``most`` where none is."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def proposed(at: Case, step: PerpStep, why: str, swap_usd: float, *, first: bool = False) -> Proposal:
    """The step with its price: gas, the fee of the execution, idle capital, and what closing costs."""
    need = at.need
    spend_usd = 0.0
    if isinstance(step, AddMargin):
        spend_usd = step.amount.units * at.perp.collateral_price / 10**30
    fee_wei = 0 if isinstance(step, CancelOrder) else step.fee_wei
    gas_usd = _native_usd(
        need, need.venue.gas(step) * (need.block.base_fee_wei + need.means.tip_wei) + fee_wei
    )
    idle_usd = spend_usd * need.policy.idle_rate * need.policy.horizon_days / 365
    return Proposal(
        ids=(need.position.id,),
        strategy=at.who,
        steps=(step,),
        health_after_wad=at.after_wad(step),
        spend_usd=spend_usd,
        gas_usd=gas_usd,
        idle_usd=idle_usd,
        cost_usd=gas_usd + idle_usd + swap_usd,
        swap_usd=swap_usd,
        why=why,
        first=first,
    )


def said(at: Case, step: AddMargin | ReducePerp | PlaceStop, after_wad: int, short: str) -> str:
    """The words of an order: what, how far, and what it lacks."""
    what = amount_text(step.amount)
    if not isinstance(step, AddMargin):
        what = f"{usd_text(step.size_usd / 10**30)} of {usd_text(at.perp.size_usd / 10**30)} ({what})"
    tail = f" - PARTIAL, below target: {short}" if short else ""
    return f"{at.who} {what} brings it to {health_text(after_wad)}{tail}"


def closing_usd(at: Case, size_usd: int) -> float:
    """What closing so much costs by fee and impact."""
    fee = size_usd * at.perp.fee_factor // 10**30
    impact = -at.perp.closing_usd * size_usd // max(at.perp.size_usd, 1)
    return (fee + impact) / 10**30


def _native_usd(need: Need, wei: int) -> float:
    price = need.means.native_price_base
    return wei * price / 10 ** (18 + need.means.native_price_decimals) if price else 0.0
