"""The paper market: what a sale brings, what liquidators are paid, what gas costs, how long inclusion takes.

All values are USD. Formulas: a constant-product pool of reserves R on each side (in USD) gives X R / (R + X) for X,
before its fee; "USD that move the price by 2 %" is R (1/sqrt(0.98) - 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from keeper.replay.paths import Paths
from keeper.risk.assets import CALM, asset
from keeper.risk.book import Floats

TWO_PERCENT = 1.0 / math.sqrt(0.98) - 1.0
ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Gas and delay: ``calm`` until the market fell by ``from_fall`` within an hour, ``storm`` at ``to_fall``."""

    calm_gwei: float = 20.0
    storm_gwei: float = 1_000.0
    from_fall: float = 0.02
    to_fall: float = 0.10
    calm_delay_s: float = 24.0
    storm_delay_s: float = 72.0

    def share(self, fall: float) -> float:
        """0 in calm, 1 in full storm."""
        return min(max((fall - self.from_fall) / (self.to_fall - self.from_fall), 0.0), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gas:
    """What gas cost: ``gwei`` float64[T] from ``times_s`` float64[T] on, ascending; held until the next."""

    times_s: Floats
    gwei: Floats
    path: str = ""
    notes: tuple[str, ...] = ()

    def at(self, time_s: float) -> float:
        """The price last known at a time; the first before it."""
        place = int(np.searchsorted(self.times_s, time_s, side="right")) - 1
        return float(self.gwei[max(place, 0)])


def moment_s(paths: Paths, at: int) -> float:
    """When a moment of a run is over, epoch seconds: what is known by then has happened."""
    bar = paths.bar[at]
    place = at - int(np.searchsorted(paths.bar, bar))
    return float(paths.times_s[bar] + paths.step_s * (place + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What acting costs. ``depth_usd``: USD that move an asset's price by 2 %, by asset, base, class or ``*``."""

    weather: Weather = Weather()
    depth_usd: Mapping[str, float] = field(
        default_factory=lambda: {"ETH": 40e6, "BTC": 40e6, "stable": 80e6, ANY: 4e6}
    )
    pool_fee: float = 0.0005
    bonus: Mapping[str, float] = field(default_factory=lambda: {"ETH": 0.05, "BTC": 0.0625, ANY: 0.075})
    gas_units: float = 500_000.0
    """Of one deleverage."""
    eth_usd: float = 2_000.0
    """Price of gas's token where the run has no series of it."""
    gas: Gas | None = None
    """Gas as it was, in place of the weather's."""

    def falls(self, paths: Paths, at: int) -> float:
        """How far the asset that fell most lies below its highest of the last hour."""
        first = max(0, at - round(3_600.0 / paths.step_s))
        window = paths.market[:, first : at + 1]
        return float((1.0 - window[:, -1] / window.max(axis=1)).max())

    def gwei(self, paths: Paths, at: int) -> float:
        """Gas price at a moment."""
        if self.gas is not None:
            return self.gas.at(moment_s(paths, at))
        share = self.weather.share(self.falls(paths, at))
        ratio = self.weather.storm_gwei / self.weather.calm_gwei
        return self.weather.calm_gwei * math.exp(share * math.log(ratio))

    def gas_usd(self, paths: Paths, at: int) -> float:
        """What one action's gas costs at a moment."""
        eth = paths.usd_of("WETH") or paths.usd_of("ETH") or paths.usd_of("stETH")
        name = next((n for n in ("WETH", "ETH", "stETH") if paths.usd_of(n)), "")
        price = (eth or self.eth_usd) * (float(paths.market[paths.row_of(name), at]) if name else 1.0)
        return self.gas_units * self.gwei(paths, at) * 1e-9 * price

    def wait_s(self, paths: Paths, at: int) -> float:
        """Seconds from a decision to its inclusion."""
        share = self.weather.share(self.falls(paths, at))
        return self.weather.calm_delay_s + share * (self.weather.storm_delay_s - self.weather.calm_delay_s)

    def delay(self, paths: Paths, at: int) -> int:
        """Moments from a decision to its effect; never the same one."""
        return max(1, math.ceil(self.wait_s(paths, at) / paths.step_s))

    def reserves_usd(self, name: str, level: float = 1.0) -> float:
        """R of the pool into which an asset is sold, at ``level`` times its first price: with the same liquidity the
        reserves of a constant-product (or full-range v3) pool go with the root of the price."""
        known = asset(name)
        for key in (name, known.base, known.kind, ANY):
            if key in self.depth_usd:
                return self.depth_usd[key] / TWO_PERCENT * math.sqrt(level)
        return math.inf

    def bonus_of(self, name: str) -> float:
        """A liquidator's bonus on a collateral."""
        known = asset(name)
        return next((self.bonus[k] for k in (name, known.base, ANY) if k in self.bonus), 0.05)

    def brings(self, name: str, sold_usd: float, level: float = 1.0) -> float:
        """What a sale of ``sold_usd`` (at the market's price, ``level`` times its first) brings, the fee taken first
        as pools take it: y = R x' / (R + x') of x' = x (1 - fee)."""
        reserves, paid = self.reserves_usd(name, level), sold_usd * (1.0 - self.pool_fee)
        return paid * reserves / (reserves + paid) if math.isfinite(reserves) else paid

    def takes(self, name: str, wanted_usd: float, level: float = 1.0) -> float:
        """What must be sold to bring ``wanted_usd``: ``brings`` turned round; +inf where the pool has not so much."""
        reserves = self.reserves_usd(name, level)
        if wanted_usd >= reserves:
            return math.inf
        return wanted_usd / (1.0 - wanted_usd / reserves) / (1.0 - self.pool_fee)


def calm(name: str) -> bool:
    """True of dollars and the like."""
    return asset(name).kind in CALM
