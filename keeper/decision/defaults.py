"""Thresholds for a position that has no policy yet, from what its prices can do; the rule is in triggers.md.

1.25 is safe for ETH against a stablecoin and absurd for a loop at 1.03: what matters is how far collateral
can move against debt before the keeper has had its turn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_UP, Decimal
from itertools import product

from keeper.model import Caps, Holding, Outlook, Policy, Position
from keeper.phrases import health_text
from keeper.sizing import debt_base_up
from keeper.units import BPS, UINT256_MAX, wad_from

VOLATILE = (0.10, 0.80)
"""(largest single feed step, yearly volatility) of a feed of which nothing is known: ETH-like."""
STABLE = (0.02, 0.05)
"""The same of a feed within STABLE_BAND of one dollar."""
STABLE_BAND = 0.02
LENDING_WAYS, PERP_WAYS = ("repay", "add_collateral"), ("add_margin", "reduce_perp")
CORRELATED_SHARE = 0.05
"""Share of both that remains in a special mode (e-mode): the protocol lists its assets as moving together."""
PART = 0.1
"""Of a collateral or debt that is sold or bought often enough to be foreseen."""
STEP_RANGE = (0.005, 0.5)
SIGMA_RANGE = (0.001, 0.15)
"""Daily; the floors leave room for one block of anything, the ceilings keep a policy below health 4."""
GAP = Decimal("0.001")
"""Least distance between two thresholds."""
SLACK = Decimal("0.02")
"""Least distance from target to max_health, as the configuration demands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """How far collateral can fall against debt."""

    step: float
    """In one oracle update, every feed against the position at once."""
    sigma_day: float
    """One standard deviation of a day, feeds taken as independent."""


def suggest(
    position: Position,
    outlook: Outlook,
    feed_max_step: Mapping[str, float],
    yearly_vol: Mapping[str, float],
    emergency_least: float = 0.0,
) -> tuple[Policy, str]:
    """A policy for the position, and why these numbers.

    ``feed_max_step`` (largest relative change of one update) and ``yearly_vol`` (0.8 = 80 %) are by feed; a
    feed that is missing is taken as ETH-like, or as a stablecoin when its price is near one dollar. With s
    the step and d a day's standard deviation of collateral against debt:

    emergency = 1/(1-s); trigger = emergency/(1-2d); warn = trigger/(1-2d); target = warn/(1-d)

    ``emergency_least``: what one measured update asks for (``keeper check`` refuses less); the rest rises with it.
    """
    moves = relative_moves(position, feed_max_step, yearly_vol)
    levels = _thresholds(moves, emergency_least)
    debt_usd = debt_base_up(position) // 10**position.base_decimals + 1
    policy = Policy(
        name="default",
        warn_wad=wad_from(levels["warn"]),
        trigger_wad=wad_from(levels["trigger"]),
        target_wad=wad_from(levels["target"]),
        emergency_wad=wad_from(levels["emergency"]),
        max_health_wad=wad_from(levels["max_health"]),
        hysteresis_wad=wad_from(levels["hysteresis"]),
        cooldown_blocks=5,
        act="always",
        strategies=LENDING_WAYS if position.perp is None else PERP_WAYS,
        caps=_caps(debt_usd),
        idle_rate=0.05,
        horizon_days=7.0,
        lead_bps=_lead_bps(position),
    )
    why = _why(position, outlook, moves, policy)
    if emergency_least > 1 / (1 - moves.step):
        why += (
            f"; emergency is raised to {levels['emergency']}, for one update was measured to take that much (a loop "
            "that must live lower: lower levels by hand, and accept_thin_emergency on its position)"
        )
    return policy, why


def thrifty(position: Position, policy: Policy) -> Policy:
    """The same with a near target and sales that go on where gas is dear: target = trigger/(1-d/2), max_health =
    trigger/(1-6d), ``stretch``; what twelve crashes were replayed with (docs/reference/replay.md).
    """
    day = relative_moves(position, {}, {}).sigma_day
    trigger = Decimal(policy.trigger_wad).scaleb(-18)
    target = max(_up(float(trigger) / (1 - day / 2)), trigger + 2 * GAP)
    highest = max(_up(float(trigger) / (1 - 6 * day)), target + SLACK)
    return replace(
        policy,
        target_wad=wad_from(target),
        max_health_wad=wad_from(highest),
        hysteresis_wad=min(policy.hysteresis_wad, wad_from(target - trigger)),
        stretch=True,
    )


def _lead_bps(position: Position) -> int:
    """Half an ordinary day's move of the pair that moves most, each at least ``PART`` of its side; 0 of a perpetual.

    What is sold is one pair, and its price is what outruns a limit, however calm the position is as a whole.
    """
    if position.perp is not None:
        return 0
    pairs = product(_parts(position.collateral), _parts(position.debt))
    days = [relative_moves(replace(position, collateral=(c,), debt=(d,)), {}, {}).sigma_day for c, d in pairs]
    return round(max(days, default=0.0) / 2 * BPS)


def _parts(side: tuple[Holding, ...]) -> tuple[Holding, ...]:
    least = PART * sum(h.value_base for h in side)
    return tuple(h for h in side if h.value_base > 0 and h.value_base >= least)


def relative_moves(
    position: Position, feed_max_step: Mapping[str, float], yearly_vol: Mapping[str, float]
) -> Moves:
    """How collateral can move against debt: a feed on both sides counts only by the difference of its
    shares.
    """
    net = _shares(position.collateral)
    for feed, share in _shares(position.debt).items():
        net[feed] = net.get(feed, 0.0) - share
    kinds = {h.feed: _kind(h, position) for h in (*position.debt, *position.collateral)}
    if position.perp is not None:
        # the dollars that a venue counts in have no price, and no row holds them
        kinds |= {feed: (0.0, 0.0) for feed in kinds if feed not in position.row.feeds}
    steps = {f: _bounded(feed_max_step.get(f, kinds[f][0]), (0.0, STEP_RANGE[1])) for f in net}
    vols = {f: _bounded(yearly_vol.get(f, kinds[f][1]), (0.0, 5.0)) for f in net}
    share = CORRELATED_SHARE if _correlated(position) else 1.0
    step = share * sum(abs(n) * steps[f] for f, n in net.items())
    sigma = share * math.sqrt(sum((n * vols[f]) ** 2 for f, n in net.items()) / 365)
    return Moves(step=_bounded(step, STEP_RANGE), sigma_day=_bounded(sigma, SIGMA_RANGE))


def _correlated(position: Position) -> bool:
    """Whether the venue holds that its assets move together; other modes are names (a vault's, a perpetual's)."""
    return position.emode


def _shares(holdings: tuple[Holding, ...]) -> dict[str, float]:
    """Each feed's share of the value that counts; empty without value."""
    total = sum(h.value_base * h.threshold_wad for h in holdings)
    shares: dict[str, float] = {}
    for h in holdings if total else ():
        shares[h.feed] = shares.get(h.feed, 0.0) + h.value_base * h.threshold_wad / total
    return shares


def _kind(holding: Holding, position: Position) -> tuple[float, float]:
    price = holding.price_base / 10**position.base_decimals
    return STABLE if abs(price - 1.0) <= STABLE_BAND else VOLATILE


def _bounded(value: float, within: tuple[float, float]) -> float:
    """``value`` inside the range; what is no number counts as the worst."""
    low, high = within
    return min(max(value, low), high) if value == value else high


def _thresholds(moves: Moves, emergency_least: float) -> dict[str, Decimal]:
    emergency = _up(max(1 / (1 - moves.step), emergency_least))
    trigger = max(_up(float(emergency) / (1 - 2 * moves.sigma_day)), emergency + GAP)
    warn = max(_up(float(trigger) / (1 - 2 * moves.sigma_day)), trigger + 2 * GAP)
    hysteresis = max((warn - trigger) / 4, GAP).quantize(Decimal("0.0001"), ROUND_UP)
    target = max(_up(float(warn) / (1 - moves.sigma_day)), warn + hysteresis)
    max_health = max(_up(float(target) / (1 - 2 * moves.sigma_day)), target + SLACK)
    return {
        "emergency": emergency,
        "trigger": trigger,
        "warn": warn,
        "hysteresis": hysteresis,
        "target": target,
        "max_health": max_health,
    }


def _up(value: float) -> Decimal:
    """Four decimals, rounded up: a threshold a little high acts a little early."""
    return Decimal(repr(value)).quantize(Decimal("0.0001"), ROUND_UP)


def _caps(debt_usd: int) -> Caps:
    """The whole debt in one action, twice a day; gas up to 20 dollars or 20 % of an ordinary liquidation's
    loss, in an emergency up to all of it (loss = half the debt x 5 %)."""
    action = max(1_000, -(-debt_usd // 100) * 100)
    loss_usd = debt_usd // 40
    gas = max(20, loss_usd // 5)
    return Caps(
        per_action_usd=action,
        per_day_usd=2 * action,
        gas_usd_max=gas,
        gas_usd_emergency=max(50, gas, loss_usd),
    )


def _why(position: Position, outlook: Outlook, moves: Moves, policy: Policy) -> str:
    mode = f" (mode {position.mode}: assets that move together)" if _correlated(position) else ""
    leverage = f"; leverage {outlook.leverage:.1f}x" if outlook.leverage is not None else ""
    emergency, trigger = health_text(policy.emergency_wad), health_text(policy.trigger_wad)
    emergency, trigger = health_text(policy.emergency_wad), health_text(policy.trigger_wad)
    text = (
        f"collateral against debt can lose {100 * moves.step:.1f} % in one oracle update and "
        f"{100 * moves.sigma_day:.1f} % on an ordinary day{mode}{leverage}: at emergency {emergency} one "
        f"such update is survived, trigger {trigger} leaves two such days on top, warn "
        f"{health_text(policy.warn_wad)} two more"
    )
    health = position.health_wad
    if health is None or health == UINT256_MAX or health >= policy.trigger_wad:
        return text
    return f"{text}. CAUTION: health is {health_text(health)} now, below trigger: armed, it would act at once"
