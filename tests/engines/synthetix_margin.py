"""Synthetix v3 perps' margins to the last digit, from what its contracts store; by their published formulas.

Held against the market's published sources, compiled here, on our own double of the core system.

Every number is wad (1e18) unless said, every division goes towards zero, as Solidity's does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WAD = 10**18
DAY_S = 86_400
YEAR_S = 31_557_600


def mul(a: int, b: int) -> int:
    """a x b of two wads."""
    return _towards_zero(a * b, WAD)


def div(a: int, b: int) -> int:
    """a / b of two wads."""
    return _towards_zero(a * WAD, b)


def _towards_zero(a: int, b: int) -> int:
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Parameters and accumulators of one market, as stored at ``funded_s``."""

    id: int
    skew_scale: int
    velocity_max: int
    initial: int
    minimum_initial: int
    scalar: int
    flag: int
    minimum_position: int
    locked: int
    window: int
    """Size that may be liquidated in one window; a keeper is paid for every further one."""
    skew: int
    funding_rate: int
    funding_value: int
    funded_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One position as stored at its last change."""

    market: int
    size: int
    entry: int
    funding: int
    interest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What one account holds: dollars of margin, dollars of debt, positions that share them."""

    id: int
    collateral: int
    debt: int
    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for all markets: interest as stored, and what liquidators are paid."""

    interest: int
    interest_rate: int
    interest_s: int
    reward_min: int
    profit_min: int
    reward_max: int
    scaling_max: int
    collateral_reward: int
    flag_cost: int
    """For every feed."""
    liquidate_cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """What the engine's views answer; ``initial`` and ``maintenance`` include the liquidators' reward."""

    available: int
    initial: int
    maintenance: int
    reward: int

    @property
    def liquidatable(self) -> bool:
        """The engine's verdict."""
        return self.maintenance > self.available


def margins(
    account: Account, markets: Mapping[int, Market], rules: Rules, at: tuple[Mapping[int, int], int]
) -> Margins:
    """The account's margins at (price by market, unix seconds)."""
    prices, now_s = at
    available, initial, maintenance = account.collateral - account.debt, 0, 0
    flags = windows = 0
    for held in account.held:
        market, price = markets[held.market], prices[held.market]
        available += profit(held, market, rules, price, now_s)
        notional = mul(abs(held.size), price)
        ratio = mul(div(abs(held.size), market.skew_scale), market.initial) + market.minimum_initial
        initial += mul(notional, ratio) + market.minimum_position
        maintenance += mul(notional, mul(ratio, market.scalar)) + market.minimum_position
        flags += mul(notional, market.flag)
        windows = max(windows, -(-abs(held.size) // market.window))
    if not account.held:
        return Margins(available=available, initial=0, maintenance=0, reward=0)
    reward = _reward(account, rules, flags, windows)
    return Margins(
        available=available, initial=initial + reward, maintenance=maintenance + reward, reward=reward
    )


def profit(held: Held, market: Market, rules: Rules, price: int, now_s: int) -> int:
    """Price gain plus funding less interest, since the position's last change."""
    accrued = mul(held.size, next_funding(market, price, now_s) - held.funding)
    locked = mul(mul(abs(held.size), price), market.locked)
    owed = mul(locked, next_interest(rules, now_s) - held.interest)
    return mul(held.size, price - held.entry) + accrued - owed


def next_funding(market: Market, price: int, now_s: int) -> int:
    """Funding per unit up to now: the mean of the last and the present rate, against the skew."""
    days = (now_s - market.funded_s) * WAD // DAY_S
    share = max(-WAD, min(WAD, div(market.skew, market.skew_scale)))
    rate = market.funding_rate + mul(mul(share, market.velocity_max), days)
    mean = -div(market.funding_rate + rate, 2 * WAD)
    return market.funding_value + mul(mul(mean, days), price)


def next_interest(rules: Rules, now_s: int) -> int:
    """Interest per dollar of locked notional up to now."""
    years = (now_s - rules.interest_s) * WAD // YEAR_S
    return rules.interest + rules.interest_rate * years // WAD


def _reward(account: Account, rules: Rules, flags: int, windows: int) -> int:
    """What liquidators would be paid: flagging, and one call for every window after the first."""
    cost = rules.flag_cost * len(account.held) + rules.liquidate_cost
    earned = max(flags, mul(account.collateral, rules.collateral_reward))
    once = _bounded(rules, earned, cost, account.collateral)
    return once + _bounded(rules, 0, rules.liquidate_cost, 0) * max(windows - 1, 0)


def _bounded(rules: Rules, earned: int, cost: int, collateral: int) -> int:
    least = max(cost + rules.reward_min, mul(cost, rules.profit_min + WAD))
    # no collateral stands for an account already flagged
    most = min(mul(collateral, rules.scaling_max), rules.reward_max) if collateral else rules.reward_max
    return min(max(least, earned + cost), most)
