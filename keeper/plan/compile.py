"""Proposal -> one bounded transaction, or the guard's no."""

from __future__ import annotations

import math
from dataclasses import replace

from keeper.model import Bounds, Plan, PlanKey, Proposal, Refusal
from keeper.phrases import health_text, usd_text
from keeper.plan.guard import DEADLINE_BLOCKS, Case, check, gas_cap_wei
from keeper.triggers import emergency, gas_cap_usd
from keeper.units import UINT256_MAX, mul_div_down

SLIP_PPM = 10
"""The least health promised lies this far below what is expected or asked for: interest until the deadline
(ten blocks of 12 s at 100 % a year are 4 ppm) and the protocol's rounding. A price that moves is no slip:
then the bounds fail on the newest state, nothing is sent, and the next tick decides anew."""

UNPRICED_BASE_FEES = 4
"""Where no feed prices gas, a transaction may burn this many times the block's base fee, plus the tip."""


def compile_plan(proposal: Proposal, case: Case) -> Plan | Refusal:
    """The plan of a proposal at the case's snapshot, or the guard's first no.

    ``health_after_min`` is the lesser of target and expected health, less SLIP_PPM; ``health_after_max`` is
    the policy's, or no debt at all when the proposal closes it. ``fee_wei_max`` is the gas money cap in wei,
    at most what the wallet holds beside the value of the call.
    """
    if proposal.ids != (case.position.id,) or len(proposal.steps) != 1:
        return Refusal(who="plan", code="steps", why="a plan is one step on one position")
    step = proposal.steps[0]
    block, before = case.snapshot.block, case.position.health_wad
    call = case.venue.encode(step, case.position)
    plan = Plan(
        key=PlanKey(position=case.position.id, seq=case.seq),
        strategy=proposal.strategy,
        steps=proposal.steps,
        call=call,
        bounds=_bounds(proposal, case, call.value_wei),
        block=block,
        urgent=emergency(before, case.policy),
        health_before_wad=before,
        why="",
    )
    no = check(plan, case)
    return no if no is not None else _explained(plan, proposal, case)


def _bounds(proposal: Proposal, case: Case, value_wei: int) -> Bounds:
    gas_limit = case.venue.gas(proposal.steps[0])
    policy, expected = case.policy, case.venue.after(proposal.steps, case.position).health_wad or 0
    least = min(expected, policy.target_wad)
    gas_usd = gas_cap_usd(case.position.health_wad, policy)
    return Bounds(
        health_after_min_wad=mul_div_down(least, 1_000_000 - SLIP_PPM, 1_000_000),
        health_after_max_wad=UINT256_MAX if expected == UINT256_MAX else policy.max_health_wad,
        cost_usd_max=gas_usd + math.ceil(proposal.idle_usd) + math.ceil(proposal.swap_usd),
        fee_wei_max=_fee_wei_max(case, gas_limit, value_wei),
        gas_limit=gas_limit,
        deadline_block=case.snapshot.block.number + DEADLINE_BLOCKS,
    )


def _fee_wei_max(case: Case, gas_limit: int, value_wei: int) -> int:
    means, cap_wei = case.snapshot.means, gas_cap_wei(case)
    if cap_wei is None:
        cap_wei = gas_limit * (UNPRICED_BASE_FEES * case.snapshot.block.base_fee_wei + means.tip_wei)
    return max(0, min(cap_wei, means.native_wei - value_wei))


def _explained(plan: Plan, proposal: Proposal, case: Case) -> Plan:
    """The plan with its why: what, from which health, what it may reach and cost at most."""
    bounds, urgent = plan.bounds, " URGENT" if plan.urgent else ""
    why = (
        f"health {health_text(plan.health_before_wad)}{urgent}: {proposal.why}; health after at least "
        f"{health_text(bounds.health_after_min_wad)}, gas at most {_fee_text(case, bounds.fee_wei_max)}, "
        f"until block {bounds.deadline_block}"
    )
    return replace(plan, why=why)


def _fee_text(case: Case, fee_wei: int) -> str:
    means = case.snapshot.means
    if means.native_price_base is None:
        return f"{fee_wei} wei"
    return usd_text(fee_wei * means.native_price_base / 10 ** (18 + means.native_price_decimals))
