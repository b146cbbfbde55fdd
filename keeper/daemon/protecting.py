"""``keeper protect``: a person asks for more health than the policy would, once, within the same caps and guards."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from decimal import Decimal

from keeper.daemon.facts import Guarded
from keeper.daemon.loop import ChainLoop
from keeper.model import Level, Policy, Refusal
from keeper.phrases import health_text
from keeper.units import WAD, mul_div_up, wad_from

HEALTH_MAX = Decimal(100)
"""As in the configuration: a larger number is a percentage by mistake."""
SLACK = (102, 100)
"""The wish stands while health is at most 2 % above what it was: it may have risen in the meantime."""
MARGIN_WAD = WAD // 100
"""Least distance between the lines of the policy for the occasion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One position brought to ``to_wad`` within ``for_s`` seconds."""

    guarded: Guarded
    to_wad: int
    for_s: float
    policy: Policy | None = None
    """Under which it is done; None: the position's own."""


def health_wanted(value: object) -> int | str:
    """The health asked for as wad, or why it is none."""
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return f"to: {value!r} is no health factor such as 1.8"
    if not number.is_finite() or not 1 < number <= HEALTH_MAX or -int(number.as_tuple().exponent) > 18:
        return f"to: {value!r} is not above 1 and at most {HEALTH_MAX}: it is a health factor such as 1.8"
    return wad_from(number)


def protect(loop: ChainLoop, wish: Wish) -> tuple[str, ...] | Refusal:
    """Put a policy for the occasion in place of the position's until the time is over; what was told.

    The trigger lies just above the health that stands, so that one rescue fulfils the wish; everything else
    (strategies, caps, gas, bounds, the signer's policy, the Executor's own trigger) holds as always. A restart
    forgets the wish.
    """
    id, policy = wish.guarded.id, wish.policy or wish.guarded.policy
    tick = loop.last
    position = tick.snapshot.position(id) if tick is not None else None
    outlook = next((o for o in tick.outlooks if o.id == id), None) if tick is not None else None
    if position is None or position.health_wad is None or outlook is None or outlook.level is Level.UNKNOWN:
        return Refusal(
            who="protect", code="unknown", why="its health is not known now: nothing can be planned"
        )
    if not position.debt:
        return Refusal(who="protect", code="no_debt", why="it has no debt: nothing can be liquidated")
    if not loop.armed:
        why = "nothing would be sent: the daemon is disarmed, paused or stopped (keeper arm, keeper resume)"
        return Refusal(who="protect", code="disarmed", why=why)
    occasion = policy_for(policy, position.health_wad, wish.to_wad)
    now = health_text(position.health_wad)
    if occasion is None:
        why = f"health is {now} already; ask for at least {MARGIN_WAD / WAD:.2f} more"
        return Refusal(who="protect", code="no_gain", why=why)
    loop.policies[id] = occasion
    asyncio.get_running_loop().call_later(wish.for_s, _over, loop, wish.guarded, occasion)
    return (
        f"{wish.guarded.label}: health {now}, wanted {health_text(wish.to_wad)}: planned from the next block on, "
        f"for {wish.for_s / 60:.0f} minutes at most",
        "caps, gas limits and the strategies of its policy hold; keeper explain tells what was done or why not",
    )


def policy_for(policy: Policy, health_wad: int, to_wad: int) -> Policy | None:
    """``policy`` with its lines moved so that ``health_wad`` is below trigger and the target is ``to_wad``.

    None where the wish is no gain.
    """
    if to_wad < health_wad + MARGIN_WAD:
        return None
    raised = min(mul_div_up(health_wad, *SLACK), to_wad - MARGIN_WAD // 2)
    trigger = max(policy.trigger_wad, raised)
    if (
        to_wad <= trigger
    ):  # below its own trigger already: the policy's own lines hold, to the target asked for
        trigger = raised
    room = policy.max_health_wad - policy.target_wad
    return replace(
        policy,
        warn_wad=max(policy.warn_wad, trigger + MARGIN_WAD),
        trigger_wad=trigger,
        target_wad=to_wad,
        emergency_wad=min(policy.emergency_wad, trigger - 1),
        max_health_wad=to_wad + room,
        hysteresis_wad=min(policy.hysteresis_wad, to_wad - trigger),
    )


def _over(loop: ChainLoop, guarded: Guarded, occasion: Policy) -> None:
    """The time is over; a later wish has its own."""
    if loop.policies.get(guarded.id) is occasion:
        loop.policies[guarded.id] = guarded.policy
