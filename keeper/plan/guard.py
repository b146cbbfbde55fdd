"""The last pure word before a plan may be signed: caps, means, allow-list, health, deadline, gas in money.

It trusts neither the strategy nor the encoder: what a proposal claims is computed anew, and the calldata must
name the token, the amount and the account of the step it stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keeper.executor import abi, foresight, judge, vault
from keeper.executor.foresight import Ahead
from keeper.model import (
    PERP_STEPS,
    AddMargin,
    Call,
    CancelOrder,
    Deleverage,
    GrowPerp,
    Holding,
    PlaceStop,
    Plan,
    Policy,
    Position,
    ReducePerp,
    Refusal,
    Repay,
    Snapshot,
    Step,
    Supply,
)
from keeper.phrases import amount_text, health_text, usd_text
from keeper.plan import orders
from keeper.seams import Venue
from keeper.sizing import value_base_up
from keeper.sockets import Performs
from keeper.triggers import crossed, gas_cap_usd, kept, spend_cap_usd
from keeper.units import WAD

DEADLINE_BLOCKS = 10
"""A plan that is not in a block by then is dropped: two minutes on Ethereum."""

OPENS = "no rescue opens a position or makes one larger"
SELECTORS: dict[type[Step], frozenset[bytes]] = {
    Supply: frozenset({bytes.fromhex("617ba037")}),
    Repay: frozenset({bytes.fromhex("573ade81")}),
}
"""The functions of a venue that names none of its own: supply(address,uint256,address,uint16) and
repay(address,uint256,uint256,address)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relieves:
    """The loan for whose sake a part of its winning hedge is closed, and its policy."""

    position: Position
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a plan is made for and judged by."""

    position: Position
    venue: Venue
    policy: Policy
    snapshot: Snapshot
    seq: int
    """The plan's number on its position; the journal's check-and-insert has the last word."""
    spent_today_usd: float = 0.0
    relieves: Relieves | None = None
    """Whose need allows the plan, where it is not the position's own."""


def check(plan: Plan, case: Case) -> Refusal | None:
    """None when every rule of the trigger table holds for the plan at the case's snapshot, else the first
    no.
    """
    return next((no for rule in RULES if (no := rule(plan, case)) is not None), None)


def gas_cap_wei(case: Case) -> int | None:
    """The gas money cap in wei, rounded down; None when no feed prices the native token."""
    means, cap_usd = case.snapshot.means, gas_cap_usd(case.position.health_wad, case.policy)
    if not means.native_price_base:
        return None
    cap_wei: int = cap_usd * 10**means.native_price_decimals * WAD // means.native_price_base
    return cap_wei


def _one_step(plan: Plan, case: Case) -> Refusal | None:
    if plan.key.position != case.position.id:
        return _no("wrong_position", f"the plan is for {plan.key.position}, judged for {case.position.id}")
    if case.snapshot.position(case.position.id) != case.position:
        return _no("wrong_position", "the position is not the one of this snapshot")
    if len(plan.steps) != 1:
        return _no("steps", f"{len(plan.steps)} steps; one transaction carries exactly one")
    return None


def _stands_by(plan: Plan) -> bool:
    """A stop left on the venue, or an order taken back: neither moves health, and both may come in calm times."""
    return all(isinstance(step, PlaceStop | CancelOrder) for step in plan.steps)


def _trigger(plan: Plan, case: Case) -> Refusal | None:
    if _stands_by(plan):
        return None
    if case.relieves is not None:
        return _needed(plan, case, case.relieves)
    before = case.position.health_wad
    if before is None:
        return _no("no_health", "the venue gives no health, so no effect can be promised")
    if not crossed(before, case.policy):
        trigger = health_text(case.policy.trigger_wad)
        return _no("not_crossed", f"health {health_text(before)} is not below trigger {trigger}")
    return None


def _needed(plan: Plan, case: Case, relieves: Relieves) -> Refusal | None:
    """A part of a short that has won may be closed at any health of its own, while its loan's is below trigger."""
    perp, loan = case.position.perp, relieves.position
    if not all(isinstance(step, ReducePerp) for step in plan.steps) or perp is None or perp.long:
        return _no("not_crossed", "only a part of a short is closed for the sake of a loan")
    if perp.pnl_usd <= 0:
        return _no("no_profit", "the short has won nothing that could repay the loan")
    if case.snapshot.position(loan.id) != loan or loan.id.account != case.position.id.account:
        return _no("wrong_position", "the loan is not the owner's one of this snapshot")
    if loan.health_wad is None or not crossed(loan.health_wad, relieves.policy):
        trigger = health_text(relieves.policy.trigger_wad)
        return _no("not_crossed", f"the loan's health {health_text(loan.health_wad)} is not below {trigger}")
    return None


def _health(plan: Plan, case: Case) -> Refusal | None:
    if _stands_by(plan):
        return None
    if case.relieves is not None:
        now, left = case.position.health_wad or 0, case.venue.after(plan.steps, case.position).health_wad or 0
        if now <= left and plan.bounds.health_after_min_wad <= left:
            return None
        return _no("not_better", f"its health would go from {health_text(now)} to {health_text(left)}")
    before = case.position.health_wad or 0
    after = case.venue.after(plan.steps, case.position).health_wad or 0
    selling = any(isinstance(step, Deleverage | ReducePerp) for step in plan.steps)
    broken = kept(before, after, case.policy, selling=selling)
    if broken is not None:
        return _no(broken.code, broken.why)
    low, high = plan.bounds.health_after_min_wad, plan.bounds.health_after_max_wad
    if not before < low <= after <= high:
        bounds = f"{health_text(low)} to {health_text(high)}"
        return _no("bounds", f"health after {health_text(after)} lies outside the bounds {bounds}")
    return None


def _caps(plan: Plan, case: Case) -> Refusal | None:
    if any(isinstance(step, PERP_STEPS) and not isinstance(step, AddMargin) for step in plan.steps):
        return None  # a reduction spends nothing: what it costs is in its bounds
    cap_usd = spend_cap_usd(case.policy, case.spent_today_usd)
    unit = 10**case.position.base_decimals
    spend = 0
    for step in plan.steps:
        held = holding(step, case.position)
        if held is None or step.amount.units <= 0:
            return _no("amount", f"{amount_text(step.amount)}: nothing of the position that it could move")
        spend += value_base_up(step.amount.units, held.price_base, step.amount.token.decimals)
    if spend > cap_usd * unit:
        spent = usd_text(case.spent_today_usd)
        return _no(
            "caps", f"moves {usd_text(spend / unit)}, the caps leave ${cap_usd:,} ({spent} spent today)"
        )
    return None


def _means(plan: Plan, case: Case) -> Refusal | None:
    means = case.snapshot.means
    for step in plan.steps:
        if isinstance(step, GrowPerp):
            return _no("allow_list", OPENS)
        if isinstance(step, PERP_STEPS):
            if (no := orders.means(plan, step, case.position, case.venue, case.snapshot)) is not None:
                return no
            continue
        if isinstance(step, Deleverage) or step.through is not None:
            if (no := _mandate(step, case)) is not None:
                return no
            continue
        token, units = step.amount.token, step.amount.units
        if means.balance(token) < units:
            return _no("insufficient_means", f"the wallet holds less than {amount_text(step.amount)}")
        if means.allowance(token, case.venue.spender) < units:
            return _no(
                "no_allowance", f"less than {amount_text(step.amount)} is granted to {case.venue.spender}"
            )
        refused = case.venue.can(step, case.position, means)
        if refused is not None:
            return _no("venue_refuses", f"{refused.code}: {refused.why}")
    return None


def _mandate(step: Deleverage | Supply | Repay, case: Case) -> Refusal | None:
    """What the owner's Executor and the venue would say to a sale, or to a pay-in."""
    means = case.snapshot.means
    mandate = means.mandate(case.position.id)
    if mandate is None:
        return _no(
            "no_executor", "no Executor of the position's owner is configured, or it could not be read"
        )
    ahead = Ahead(
        position=case.position,
        means=means,
        after_wad=case.venue.after((step,), case.position).health_wad or 0,
        refused=case.venue.can(step, case.position, means),
    )
    before = case.position.health_wad or 0
    if isinstance(step, Deleverage):
        refused = judge.refuses(mandate, step, before, foresight.deal(mandate, step, ahead))
    else:
        refused = judge.refuses_pay_in(mandate, step, before, foresight.purse(mandate, step, ahead))
    return None if refused is None else _no(refused.code, refused.why)


def _ordered(plan: Plan, step: Deleverage | Supply | Repay, case: Case) -> Refusal | None:
    """The call is the step's order or pay-in, whole and to the Executor that was read."""
    mandate = case.snapshot.means.mandate(case.position.id)
    if mandate is None or plan.call.target != mandate.executor:
        return _no("allow_list", f"the call goes to {plan.call.target}, not to the owner's Executor")
    if not isinstance(step, Deleverage):
        wanted = abi.pay_in_of(step)
        same = wanted is not None and abi.pay_in(wanted) == plan.call
        return None if same else _no("calldata", "the call is not the step's pay-in")
    order = abi.order_from(plan.call.data)
    if isinstance(order, str):
        return _no("calldata", order)
    return None if order == abi.order_of(step) else _no("calldata", "the order is not the step's")


def _allowed(plan: Plan, case: Case) -> Refusal | None:
    call, step = plan.call, plan.steps[0]
    if isinstance(step, GrowPerp):
        return _no("allow_list", OPENS)
    if isinstance(step, PERP_STEPS):
        return orders.ordered(plan, step, case.position, case.venue)
    if (isinstance(step, Deleverage) or step.through is not None) and not call.value_wei:
        return _ordered(plan, step, case)
    if call.target != case.venue.spender:
        return _no("allow_list", f"the call goes to {call.target}, not to the venue {case.venue.spender}")
    if call.value_wei:
        return _no("allow_list", f"the call carries {call.value_wei} wei; no step needs any")
    if call.data[:4] == vault.EXECUTE:
        return _vaulted(plan, step, case)
    known = case.venue.functions if isinstance(case.venue, Performs) else SELECTORS
    if call.data[:4] not in known.get(type(step), ()):
        return _no("allow_list", f"selector 0x{call.data[:4].hex()} is not a {type(step).__name__.lower()}")
    words = {call.data[i : i + 32] for i in range(4, len(call.data), 32)}
    named = {"token": step.amount.token.address, "account": case.position.id.account}
    for name, address in named.items():
        if bytes.fromhex(address.removeprefix("0x")).rjust(32, b"\0") not in words:
            return _no("calldata", f"the calldata does not name the {name} {address}")
    if not any(units.to_bytes(32) in words for units in _amounts(call, step, case)):
        return _no("calldata", f"the calldata does not carry the amount {step.amount.units}")
    return None


def _vaulted(plan: Plan, step: Step, case: Case) -> Refusal | None:
    """The proxy pays the step's amount into the position's vault, by its number; which adapter takes the token is
    the signer's rule."""
    ordered = vault.call_from(plan.call.data)
    if isinstance(ordered, str):
        return _no("calldata", ordered)
    if not case.position.mode.startswith(f"vault {ordered.vault} "):
        return _no("calldata", f"the calldata names vault {ordered.vault}, not that of {case.position.id}")
    if ordered.wipes != isinstance(step, Repay):
        return _no("allow_list", f"the proxy is not told to {type(step).__name__.lower()}")
    if ordered.units not in _amounts(plan.call, step, case):
        return _no("calldata", f"the calldata does not carry the amount {step.amount.units}")
    return None


def _amounts(call: Call, step: Step, case: Case) -> tuple[int, ...]:
    """What the calldata may carry: the step's units, or what is owed where a venue would take more as a loan."""
    units, held = step.amount.units, holding(step, case.position)
    if held is None or not isinstance(step, Repay):
        return (units,)
    by_shares = case.venue.by_shares if isinstance(case.venue, Performs) else frozenset()
    if call.data[:4] in by_shares and units >= held.amount.units:
        return (held.stored,)
    return (units, min(units, held.amount.units))


def _deadline(plan: Plan, case: Case) -> Refusal | None:
    now, last = case.snapshot.block.number, plan.bounds.deadline_block
    if not now < last <= now + DEADLINE_BLOCKS:
        return _no("deadline", f"deadline block {last} is not within {DEADLINE_BLOCKS} blocks after {now}")
    return None


def _gas(plan: Plan, case: Case) -> Refusal | None:
    means, block, limit = case.snapshot.means, case.snapshot.block, plan.bounds.gas_limit
    now_wei, cap_wei = limit * (block.base_fee_wei + means.tip_wei), gas_cap_wei(case)
    if limit < case.venue.gas(plan.steps[0]):
        return _no("gas_limit", f"gas limit {limit} is below what the step needs")
    if cap_wei is not None and (now_wei > cap_wei or plan.bounds.fee_wei_max > cap_wei):
        cap_usd = gas_cap_usd(case.position.health_wad, case.policy)
        return _no(
            "gas_cap", f"gas at {block.base_fee_wei / 1e9:.1f} gwei costs more than the cap of ${cap_usd:,}"
        )
    if now_wei > means.native_wei or plan.bounds.fee_wei_max > means.native_wei:
        return _no(
            "gas_tank", f"the wallet holds {means.native_wei / WAD:.6f} native, gas needs {now_wei / WAD:.6f}"
        )
    if plan.bounds.fee_wei_max < now_wei:
        return _no("fee_bound", "the fee bound does not pay for this block's base fee and tip")
    return None


Rule = Callable[[Plan, Case], Refusal | None]
RULES: tuple[Rule, ...] = (_one_step, _trigger, _caps, _means, _allowed, _health, _deadline, _gas)
"""In this order; each may rely on those before it."""


def holding(step: Step, position: Position) -> Holding | None:
    """The part of the position that the step moves."""
    side = position.debt if isinstance(step, Repay) else position.collateral
    return next((h for h in side if h.amount.token == step.amount.token), None)


def _no(code: str, why: str) -> Refusal:
    return Refusal(who="guard", code=code, why=why)
