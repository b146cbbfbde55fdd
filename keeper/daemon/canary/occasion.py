"""The policy under which a canary is rescued: its own, within the canary's caps, for as long as it is not signed."""

from __future__ import annotations

from dataclasses import replace

from keeper.config.canary import CanarySettings
from keeper.daemon.facts import Guarded
from keeper.daemon.loop import ChainLoop
from keeper.model import Caps, Policy

GAS_LOSS_PCT = 10**6
"""A tiny position's liquidation loses less than gas costs: its own cap in dollars holds alone."""


def practised(policy: Policy, settings: CanarySettings) -> Policy:
    """The position's policy within the canary's own caps. Waiting until it pays would be no practice."""
    caps = policy.caps
    gas_usd = min(caps.gas_usd_max, settings.gas_usd_max)
    own = Caps(
        per_action_usd=min(caps.per_action_usd, settings.spend_usd_max),
        per_day_usd=min(caps.per_day_usd, settings.spend_usd_max),
        gas_usd_max=gas_usd,
        gas_usd_emergency=gas_usd,
        gas_loss_pct=GAS_LOSS_PCT,
    )
    return replace(policy, act="always", caps=own)


def withdrawn(loop: ChainLoop, mine: Guarded, occasion: Policy | None) -> None:
    """Its own policy again; a later wish of somebody else's stays."""
    if occasion is not None and loop.policies.get(mine.id) is occasion:
        loop.policies[mine.id] = mine.policy
