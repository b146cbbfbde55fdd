"""Thresholds that widen with the market's own movement: measured hourly, against what a policy takes as ordinary.

The ordinary is what ``defaults`` takes of a feed of which nothing is known (80 % a year; 5 % near one dollar). Where
a position's measured volatility is k times that, the way from emergency to trigger is k times as long, at most as
many times as the owner allows, and target and max_health move by as much. It never loosens: calm is no promise.

A price that is far from the last sample counts when it is seen again minutes later: one block that an endpoint made
up, read in the minute of the sample, would otherwise be a storm for hours.
"""

from __future__ import annotations

import math
from dataclasses import replace

from keeper import exits
from keeper.decision.defaults import STABLE, STABLE_BAND, VOLATILE, relative_moves
from keeper.model import Policy, Position, Pulse
from keeper.phrases import health_text
from keeper.units import WAD, mul_div_up

SAMPLE_S = 3_600
HALF_LIFE_H = 24.0
SAMPLES_LEAST = 24
"""Before a day is seen nothing is known, and the policy stands as it is."""
YEAR_H = 8_760.0
FAR_SIGMAS = 4.0
"""Of an ordinary hour: a sample farther away must be confirmed. One that is nearer makes no storm of a calm."""
CONFIRM_S = 300
GAP_H_MAX = 72.0
"""After so long without a look the past is forgotten."""


def pulses_after(pulses: tuple[Pulse, ...], position: Position | None, at_s: int) -> tuple[Pulse, ...]:
    """What is remembered of each feed's movement, with this block's price where an hour has gone by."""
    if position is None or exits.ALONE in position.row.flags:
        return pulses
    before = {p.feed: p for p in pulses}
    prices = {h.feed: h.price_base for h in (*position.collateral, *position.debt) if h.price_base > 0}
    dollar = 10**position.base_decimals
    return tuple(
        _after(before.get(feed), feed, (price, at_s), dollar) for feed, price in sorted(prices.items())
    )


def _after(before: Pulse | None, feed: str, now: tuple[int, int], dollar: int) -> Pulse:
    price, at_s = now
    if before is None or (at_s - before.at_s) / SAMPLE_S > GAP_H_MAX:
        return Pulse(feed=feed, price_base=price, at_s=at_s)
    hours = (at_s - before.at_s) / SAMPLE_S
    if hours < 1.0:
        return before
    if not _far(before, price, hours, dollar):
        return _sampled(before, (price, at_s))
    same_way = (price - before.price_base) * (before.doubt_base - before.price_base) > 0
    if not before.doubt_base or not same_way:
        return replace(before, doubt_base=price, doubt_s=at_s)
    if at_s - before.doubt_s < CONFIRM_S:
        return before
    # of what was seen twice what lies nearer, and of the minute in which it was seen first
    nearer = min(price, before.doubt_base, key=lambda x: abs(x - before.price_base))
    return _sampled(before, (nearer, before.doubt_s))


def _far(before: Pulse, price: int, hours: float, dollar: int) -> bool:
    """Whether it is farther from the last sample than an ordinary hour (or so many) would take it."""
    kind = STABLE if abs(before.price_base / dollar - 1.0) <= STABLE_BAND else VOLATILE
    move: float = abs(math.log(price / before.price_base))
    return move > FAR_SIGMAS * kind[1] * math.sqrt(hours / YEAR_H)


def _sampled(before: Pulse, now: tuple[int, int]) -> Pulse:
    price, at_s = now
    hours = (at_s - before.at_s) / SAMPLE_S
    move = math.log(price / before.price_base) ** 2 / hours
    # the first day is a plain mean, later ones an exponential one
    kept = max(1.0 - 1.0 / (before.samples + 1), 0.0) if before.samples < SAMPLES_LEAST else 0.5 ** (
        hours / HALF_LIFE_H
    )  # fmt: skip
    variance = kept * before.variance_h + (1.0 - kept) * move
    return Pulse(
        feed=before.feed, price_base=price, at_s=at_s, variance_h=variance, samples=before.samples + 1
    )


def times(position: Position, pulses: tuple[Pulse, ...]) -> float:
    """Measured volatility of the position over the ordinary one; 1 where nothing is known."""
    yearly = {p.feed: math.sqrt(p.variance_h * YEAR_H) for p in pulses if p.samples >= SAMPLES_LEAST}
    ordinary = relative_moves(position, {}, {}).sigma_day
    return relative_moves(position, {}, yearly).sigma_day / ordinary if yearly else 1.0


def widened(policy: Policy, position: Position) -> Policy:
    """``policy`` with its thresholds for this hour's market; itself where that is no wilder than the ordinary."""
    if position.perp is not None or not position.debt:
        return policy
    found = times(position, policy.pulses)
    factor_ppm = round(min(found, policy.storm_times_max) * 1e6)
    if factor_ppm <= 10**6:
        return policy
    far = mul_div_up(policy.trigger_wad - policy.emergency_wad, factor_ppm, 10**6)
    # in steps of a thousandth: a threshold that creeps would be news at every hour
    step = WAD // 1_000
    added = -(-(policy.emergency_wad + far - policy.trigger_wad) // step) * step
    trigger = policy.trigger_wad + added
    said = f"trigger {health_text(policy.trigger_wad)} -> {health_text(trigger)}, target "
    said += f"{health_text(policy.target_wad)} -> {health_text(policy.target_wad + added)}"
    return replace(
        policy,
        warn_wad=policy.warn_wad + added,
        trigger_wad=trigger,
        target_wad=policy.target_wad + added,
        max_health_wad=policy.max_health_wad + added,
        moved=(*policy.moved, f"{said} for {found:.1f} times the ordinary volatility"),
    )
