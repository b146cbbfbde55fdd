"""Levels for one account from what its assets can do: the rule of ``decision.defaults``, on assets instead of feeds.

    emergency = 1/(1-s)    one update of s against the account is survived
    trigger   = emergency/(1-2d)    and two ordinary days of d on top
    target    = trigger/(1-d/2)     as little as is of use: a rescue is no bet
    max       = trigger/(1-6d)      as far as a sale may go on where gas is dear (``stretch``)
    lead      = D/2                 as far as prices may move until a sale is included, and it still does its work;
                                    D the day of the pair that moves most, for what is sold is one pair, and its price
                                    is what outruns a limit, however calm the account is as a whole

A loop of one asset against itself is judged by its ratio alone: what is absurd for ETH against dollars is safe there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from keeper.decision.defaults import CORRELATED_SHARE, STABLE, VOLATILE
from keeper.model import Caps, Policy
from keeper.replay.fleet import Account, Lot
from keeper.risk.assets import CALM, asset
from keeper.units import BPS, WAD

EMERGENCY_DAYS, TARGET_DAYS, MAX_DAYS, LEAD_DAYS = 2.0, 0.5, 6.0, 0.5
STEP_RANGE, SIGMA_RANGE = (0.005, 0.5), (0.001, 0.12)
FALL = 0.5
"""A fall of the market that levels foresee: shares of dollars and volatile debts are taken before and after it."""
ROOM_LEAST = 0.025
"""Least distance from target to max_health."""
GAP_LEAST = 0.002
PART = 0.1
"""Of a collateral or debt that is sold or bought often enough to be foreseen."""
UNCAPPED_USD = 10**12

Rule = Policy | Mapping[str, Policy] | None
"""By what positions are held: one policy, each its own by name, or (None) what its assets can do."""


def guarding(rule: Rule, name: str) -> Policy | None:
    """The policy of the position of that name; None where its assets decide."""
    return rule if rule is None or isinstance(rule, Policy) else rule[name]


def held(rule: Rule, account: Account) -> Policy:
    """What an account is held to."""
    return guarding(rule, account.name) or thrifty(account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """How far collateral can fall against debt: ``step`` in one update, ``day`` one standard deviation of a day."""

    step: float
    day: float


def moves_of(account: Account) -> Moves:
    """An account's, by what its assets follow: the larger of now and after a fall of ``FALL``, when dollars weigh
    more among its debts than they did."""
    now, then = _moves_at(account, 1.0), _moves_at(account, 1.0 - FALL)
    return Moves(step=max(now.step, then.step), day=max(now.day, then.day))


def _moves_at(account: Account, level: float) -> Moves:
    """What is the same on both sides counts by its ratio alone."""
    net: dict[str, float] = {}
    for lots, sign in ((account.collateral, 1.0), (account.debt, -1.0)):
        total = sum(_weight(x, sign, level) for x in lots)
        for lot in lots if total > 0.0 else ():
            base = asset(lot.asset).base
            net[base] = net.get(base, 0.0) + sign * _weight(lot, sign, level) / total
    alike = max(0.0, 1.0 - 0.5 * sum(abs(n) for n in net.values()))
    kinds = {base: STABLE if asset(base).kind in CALM else VOLATILE for base in net}
    ratio_step, ratio_vol = CORRELATED_SHARE * 2.0 * VOLATILE[0], CORRELATED_SHARE * 2.0**0.5 * VOLATILE[1]
    step = sum(abs(n) * kinds[b][0] for b, n in net.items()) + alike * ratio_step
    variance = sum((n * kinds[b][1]) ** 2 for b, n in net.items()) + (alike * ratio_vol) ** 2
    return Moves(step=_within(step, STEP_RANGE), day=_within(math.sqrt(variance / 365.0), SIGMA_RANGE))


def thrifty(account: Account) -> Policy:
    """The account's own levels, a near target, and sales that go on where gas is dear and lead the price."""
    moves = moves_of(account)
    emergency = 1.0 / (1.0 - moves.step)
    trigger = max(emergency / (1.0 - EMERGENCY_DAYS * moves.day), emergency + GAP_LEAST)
    target = max(trigger / (1.0 - TARGET_DAYS * moves.day), trigger + GAP_LEAST)
    highest = max(trigger / (1.0 - MAX_DAYS * moves.day), target + ROOM_LEAST)
    found = plain(trigger, target, emergency=emergency, highest=highest, stretch=True)
    return replace(found, lead_bps=round(LEAD_DAYS * _pair_day(account) * BPS))


def _pair_day(account: Account) -> float:
    """One standard deviation of a day of the price between a collateral and a debt: of the pair that moves most, each
    at least ``PART`` of its side."""
    days = [
        _moves_at(replace(account, collateral=(held,), debt=(owed,)), 1.0).day
        for held in _parts(account.collateral)
        for owed in _parts(account.debt)
    ]
    return max(days, default=moves_of(account).day)


def _parts(lots: tuple[Lot, ...]) -> tuple[Lot, ...]:
    whole = sum(x.value for x in lots)
    return tuple(x for x in lots if x.value >= PART * whole and x.value > 0.0)


def plain(
    trigger: float,
    target: float,
    *,
    emergency: float | None = None,
    highest: float | None = None,
    stretch: bool = False,
) -> Policy:
    """A policy whose caps do not bind; emergency two fifths of the way from 1 to trigger by default."""
    return Policy(
        name="replay",
        warn_wad=wad(trigger + 0.05),
        trigger_wad=wad(trigger),
        target_wad=wad(target),
        emergency_wad=wad(1.0 + 0.4 * (trigger - 1.0) if emergency is None else emergency),
        max_health_wad=wad(target + 1.0 if highest is None else highest),
        hysteresis_wad=wad(min(0.01, (target - trigger) / 2.0)),
        cooldown_blocks=5,
        act="always",
        strategies=("deleverage",),
        caps=Caps(
            per_action_usd=UNCAPPED_USD,
            per_day_usd=UNCAPPED_USD,
            gas_usd_max=UNCAPPED_USD,
            gas_usd_emergency=UNCAPPED_USD,
        ),
        idle_rate=0.05,
        horizon_days=7.0,
        stretch=stretch,
    )


def wad(value: float) -> int:
    """A health as the rooms write it, to a millionth."""
    return round(value * 10**6) * (WAD // 10**6)


def _weight(lot: Lot, sign: float, level: float) -> float:
    value = lot.value * (1.0 if asset(lot.asset).kind in CALM else level)
    return value * (lot.threshold if sign > 0.0 else 1.0)


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])
