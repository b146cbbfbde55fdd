"""What wallet or reserve can offer a position, what it costs, and which of several offers is best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from keeper.executor import foresight, judge
from keeper.executor.foresight import Ahead
from keeper.model import Amount, Holding, Proposal, Refusal, Rejection, Repay, Step, Supply
from keeper.phrases import amount_text, health_text, usd_text
from keeper.sizing import UNREAD_RATE_RAY, aim_up, value_base_up
from keeper.triggers import kept
from keeper.units import UINT256_MAX, mul_div_up
from strategies.drawn import Line, Need, drawable

RESIZES_MAX = 4
"""Sizes tried until the venue's own arithmetic confirms the target."""
NEAREST = (
    "above_max",
    "partial_too_small",
    "insufficient_means",
    "caps",
    "cap",
    "venue_refuses",
    "no_allowance",
    "unknown_asset",
    "empty_reserve",
    "empty_wallet",
)
"""Which refusal speaks for several tokens: the one nearest to a rescue first."""
BINDING = {"cap": "caps", "supply cap": "venue_refuses", "Executor's cap": "cap"}
"""Which refusal a limit leads to, where it is not ``insufficient_means``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One step that the wallet can pay and the venue would take."""

    step: Step
    after_wad: int
    spend_base: int
    short: str
    """What binds it below the target and by how much; empty when it reaches the target."""

    @property
    def reaches(self) -> bool:
        """True when the target is reached."""
        return not self.short


def open_need(need: Need, who: str) -> Refusal | None:
    """Why there is nothing to rescue: no debt, no health, or the target holds already."""
    health = need.position.health_wad
    if health is None or health == UINT256_MAX or not need.position.debt:
        return Refusal(who=who, code="no_debt", why="the position owes nothing that a health factor measures")
    if health >= need.policy.target_wad:
        target = health_text(need.policy.target_wad)
        return Refusal(who=who, code="target_reached", why=f"health {health_text(health)} >= target {target}")
    return None


def borrow_rate_ray(need: Need) -> int:
    """The highest borrow rate among the position's debts; an unread one counts as 100 % a year."""
    read = [need.means.reserve(need.venue.id, h.amount.token) for h in need.position.debt]
    return max(
        (r.borrow_rate_ray if r is not None else UNREAD_RATE_RAY for r in read), default=UNREAD_RATE_RAY
    )


def offer(need: Need, holding: Holding, line: Line) -> Offer | Refusal:
    """The least step on one asset that reaches target by the venue's own arithmetic, else the most there
    is.
    """
    limit = drawable(need, holding, line)
    if isinstance(limit, Refusal):
        return limit
    most, binding = limit
    token, target = holding.amount.token, need.policy.target_wad
    aim = aim_up(target, borrow_rate_ray(need))
    for _ in range(RESIZES_MAX):
        # at least one unit: a venue that reads lower than value x threshold is asked for more on the next
        # round
        want = max(1, line.size(need.position, holding, aim))
        step = line.step(Amount(token=token, units=min(want, most)))
        after = need.venue.after((step,), need.position).health_wad or 0
        if after >= target or want >= most:
            break
        aim = mul_div_up(aim, target, max(after, 1)) + 1
    refused = need.venue.can(step, need.position, need.means)
    if refused is not None:
        code, why = foresight.named(refused)
        return Refusal(who=line.who, code=code, why=why)
    code, short = ("", "") if after >= target else _short(need, holding, (want, most, binding))
    broken = kept(need.before_wad, after, need.policy)
    if broken is not None:
        return Refusal(who=line.who, code=code or "above_max", why=f"{broken.why}{short and '; ' + short}")
    if line.mandate is not None and isinstance(step, Supply | Repay):
        ahead = Ahead(position=need.position, means=need.means, after_wad=after, refused=None)
        purse = foresight.purse(line.mandate, step, ahead)
        refused = judge.refuses_pay_in(line.mandate, step, need.before_wad, purse)
        if refused is not None:
            return Refusal(who=line.who, code=refused.code, why=refused.why)
    spend = value_base_up(step.amount.units, holding.price_base, token.decimals)
    return Offer(step=step, after_wad=after, spend_base=spend, short=short)


def _short(need: Need, holding: Holding, found: tuple[int, int, str]) -> tuple[str, str]:
    """(code, text) of what is missing when a step stays below the target."""
    want, most, binding = found
    token, target = holding.amount.token, health_text(need.policy.target_wad)
    if want <= most:
        return "insufficient_means", f"{token.symbol} alone does not bring health to {target}"
    wanted, there = Amount(token=token, units=want), Amount(token=token, units=want - most)
    text = f"{target} needs {amount_text(wanted)}, {amount_text(there)} more than the {binding} allows"
    return BINDING.get(binding, "insufficient_means"), text


def best(need: Need, line: Line, offers: Sequence[Offer | Refusal]) -> Proposal | Refusal:
    """The cheapest offer that reaches the target, else the one that lifts health most, else why there is
    none.
    """
    made = [o for o in offers if isinstance(o, Offer)]
    if not made:
        refusals = [o for o in offers if isinstance(o, Refusal)]
        code = min((r.code for r in refusals), key=lambda c: NEAREST.index(c) if c in NEAREST else 0)
        return Refusal(who=line.who, code=code, why="; ".join(r.why for r in refusals))
    full = [o for o in made if o.reaches]
    if full:
        taken = min(full, key=lambda o: (o.spend_base, o.step.amount.token.address))
    else:
        taken = max(made, key=lambda o: (o.after_wad, o.step.amount.token.address))
    others = tuple(_other(proposal(need, line, o), taken) for o in made if o is not taken)
    return replace(proposal(need, line, taken), others=others)


def _other(p: Proposal, taken: Offer) -> Rejection:
    """An asset of the same strategy that was not taken."""
    what = f"{amount_text(p.steps[0].amount)} would cost {usd_text(p.cost_usd)}"
    reached = p.health_after_wad >= taken.after_wad or taken.reaches
    why = what if reached else f"{what} and reach only {health_text(p.health_after_wad)}"
    return Rejection(
        strategy=p.strategy, code="dearer" if reached else "partial", why=why, cost_usd=p.cost_usd
    )


def proposal(need: Need, line: Line, found: Offer) -> Proposal:
    """An offer with its price: gas at the block's base fee and tip, and what the capital would have
    earned.
    """
    spend_usd = found.spend_base / 10**need.position.base_decimals
    gas, note = gas_usd(need, found.step)
    idle = spend_usd * need.policy.idle_rate * need.policy.horizon_days / 365
    why = f"{line.who} {amount_text(found.step.amount)} for {usd_text(gas + idle)} brings it to "
    why += health_text(found.after_wad) + note
    if found.short:
        why += f" - PARTIAL, below target: {found.short}"
    return Proposal(
        ids=(need.position.id,),
        strategy=line.who,
        steps=(found.step,),
        health_after_wad=found.after_wad,
        spend_usd=spend_usd,
        gas_usd=gas,
        idle_usd=idle,
        cost_usd=gas + idle,
        why=why,
    )


def gas_usd(need: Need, step: Step) -> tuple[float, str]:
    """(dollars that the step's gas costs at this block, a note when nothing prices it)."""
    price, means = need.means.native_price_base, need.means
    if not price:
        return 0.0, " (gas not priced: no feed of the native token)"
    fee_wei = need.venue.gas(step) * (need.block.base_fee_wei + means.tip_wei)
    return fee_wei * price / 10 ** (18 + means.native_price_decimals), ""
