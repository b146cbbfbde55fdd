"""Thresholds that rise while an early warning stands: opt-in, never looser, told as a difference.

The warning is weak (docs/strategies/tighten-on-warning.md has its record); this room only adds what the owner asked
for, and forgets a warning that nobody has measured again.
"""

from __future__ import annotations

from dataclasses import replace

from keeper.model import Omen, Policy, Position
from keeper.phrases import health_text

FRESH_S = 36 * 3_600
"""Funding is paid three times a day: a warning whose data are older than a day and a half says nothing of now."""
AHEAD_S = 600
"""A clock that runs ahead of the chain's by more than this is not believed."""


def wants_warning(policy: Policy) -> bool:
    """Whether the policy moves with the early warning."""
    return bool(policy.warning_target_wad or policy.warning_trigger_wad)


def stale(omen: Omen | None, at_s: int) -> str:
    """Why the warning cannot be believed at ``at_s``, or ""."""
    if omen is None:
        return "nobody measures it"
    age_s = at_s - omen.at_s
    if age_s > FRESH_S:
        return f"its newest data are {age_s // 3_600} h old, at most {FRESH_S // 3_600} count"
    return f"it is dated {-age_s} s after the block" if age_s < -AHEAD_S else ""


def tightened(policy: Policy, position: Position, omen: Omen | None, at_s: int) -> Policy:
    """``policy`` with what the owner adds while the warning stands; itself where none stands or it is stale."""
    if not wants_warning(policy) or omen is None or not omen.stands or stale(omen, at_s):
        return policy
    if position.perp is None and not position.debt:
        return policy
    trigger = policy.trigger_wad + policy.warning_trigger_wad
    target = max(policy.target_wad + policy.warning_target_wad, trigger + policy.hysteresis_wad)
    pairs = (("trigger", policy.trigger_wad, trigger), ("target", policy.target_wad, target))
    said = ", ".join(f"{n} {health_text(old)} -> {health_text(new)}" for n, old, new in pairs if old != new)
    return replace(
        policy,
        warn_wad=policy.warn_wad + policy.warning_trigger_wad,
        trigger_wad=trigger,
        target_wad=target,
        max_health_wad=target + policy.max_health_wad - policy.target_wad,
        moved=(*policy.moved, f"{said} while an early warning stands ({omen.score:.2f}, line {omen.line:g})"),
    )
