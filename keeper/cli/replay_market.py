"""The paper market as the command line has it: gas as a series, depth of pools, delay of inclusion, bonus."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keeper.cli.cascade import pairs
from keeper.cli.endings import usage
from keeper.errors import ConfigError
from keeper.replay import market, series
from keeper.replay.bars import iso
from keeper.risk.assets import asset

if TYPE_CHECKING:
    from keeper.cli.replay import Asked
    from keeper.replay.paths import Paths

GAS, DELAY = "20:1000", "24:72"
"""Of the options, unless given: gwei and seconds, calm and storm."""
GWEI_MAX, DELAY_MAX_S = 1e6, 86_400.0
STALE = 2.0
"""Steps of its own that a gas series may end before the history does."""


def market_of(asked: Asked, moved: Paths) -> market.Market:
    """The market that the options ask for. Exit 2 naming the option, ConfigError naming the file."""
    calm, storm = _two("--gas", asked.gas)
    soon, late = _two("--delay", asked.delay)
    if not 0.0 < calm <= storm:
        raise usage("--gas", f'"{asked.gas}" must be calm:storm, above 0, the storm no cheaper')
    if not 0.0 <= soon <= late <= DELAY_MAX_S:
        raise usage(
            "--delay", f'"{asked.delay}" must be seconds, calm:storm, the storm no sooner, at most a day'
        )
    weather = market.Weather(calm_gwei=calm, storm_gwei=storm, calm_delay_s=soon, storm_delay_s=late)
    plain = market.Market()
    depth = _named(
        "--depth", asked.depth, moved.assets, "USD that move it by 2 %, above 0, e.g. ETH=4e7", 1e18
    )
    bonus = _named("--bonus", asked.bonus, moved.assets, "per cent above 0 and up to 100, e.g. ETH=5", 100.0)
    return market.Market(
        weather=weather,
        depth_usd={**plain.depth_usd, **depth},
        bonus={**plain.bonus, **{name: x / 100.0 for name, x in bonus.items()}},
        gas=None if asked.gas_file is None else gas_of(asked.gas_file, moved),
    )


def refused(asked: Asked) -> None:
    """Exit 2 for options that do not go together."""
    if asked.gas_file is not None and asked.gas != GAS:
        raise usage("--gas-file", "give either --gas or --gas-file, not both")
    given = {
        "--gas-file": asked.gas_file is not None,
        "--depth": bool(asked.depth),
        "--delay": asked.delay != DELAY,
        "--bonus": bool(asked.bonus),
    }
    if asked.chain and (name := next((o for o, there in given.items() if there), "")):
        raise usage(name, "is of the paper market: the chain has its own gas, pools, delay and rules")


def gas_of(path: Path, moved: Paths) -> market.Gas:
    """``ts, gwei`` over the whole run. ConfigError naming file, row and column."""
    what = f"a gas price in gwei, above 0 and at most {GWEI_MAX:,.0f} (wei? divide by 1e9)"
    column = series.Column(name="gwei", low=0.0, high=GWEI_MAX, what=what)
    found = series.read(path, "", (column,))
    first, last = market.moment_s(moved, 0), market.moment_s(moved, len(moved.bar) - 1)
    if found.times_s[0] > first or found.times_s[-1] < last - STALE * found.step_s:
        span = f"{iso(float(found.times_s[0]))} to {iso(float(found.times_s[-1]))}"
        raise ConfigError(
            (f"{path}: column ts: spans {span}; the run needs {iso(first)} to {iso(last)} (--from, --to)",)
        )
    return market.Gas(times_s=found.times_s, gwei=found.values["gwei"], path=str(path), notes=found.notes)


def said(shop: market.Market) -> str:
    """What the market is, for the line under the table."""
    weather, plain = shop.weather, market.Market()
    gas = f"{weather.calm_gwei:g} to {weather.storm_gwei:g} gwei"
    if shop.gas is not None:
        low, middle, high = np.quantile(shop.gas.gwei, (0.0, 0.5, 1.0))
        gas = f"of {shop.gas.path} ({low:.3g} to {high:.3g} gwei, {middle:.3g} in the middle)"
    parts = [f"gas {gas}", f"delay {weather.calm_delay_s:g} to {weather.storm_delay_s:g} s"]
    if shop.depth_usd != plain.depth_usd:
        parts.append("2 % depth " + ", ".join(f"{n} {x:,.0f}" for n, x in shop.depth_usd.items()) + " USD")
    if shop.bonus != plain.bonus:
        parts.append("bonus " + ", ".join(f"{n} {100.0 * x:g} %" for n, x in shop.bonus.items()))
    return ", ".join(parts)


def document(shop: market.Market) -> dict[str, object]:
    """The market as JSON."""
    weather = shop.weather
    return {
        "gas_gwei": [weather.calm_gwei, weather.storm_gwei] if shop.gas is None else None,
        "gas_file": None if shop.gas is None else shop.gas.path,
        "delay_s": [weather.calm_delay_s, weather.storm_delay_s],
        "depth_usd": dict(shop.depth_usd),
        "bonus": dict(shop.bonus),
    }


def digest(shop: market.Market) -> str:
    """Of every number in it: results of another market are not gone on with."""
    body = hashlib.sha256(
        repr((shop.weather, sorted(shop.depth_usd.items()), sorted(shop.bonus.items()))).encode()
    )
    if shop.gas is not None:
        body.update(shop.gas.times_s.tobytes())
        body.update(shop.gas.gwei.tobytes())
    return body.hexdigest()


def _two(option: str, text: str) -> tuple[float, float]:
    """``calm:storm``. Exit 2."""
    try:
        calm, storm = (float(x) for x in text.split(":"))
    except ValueError:
        raise usage(option, f'"{text}" must be two numbers, calm:storm') from None
    return calm, storm


def _named(option: str, text: str, assets: Sequence[str], wanted: str, high: float) -> Mapping[str, float]:
    """``ETH=5,*=7`` by the names that the market knows: an asset of the run, what it follows, its class, or ``*``."""
    if not text:
        return {}
    found = pairs(option, text, wanted, low=0.0, high=high)
    known = {market.ANY: market.ANY}
    for name in assets:
        whole = asset(name)
        # the bonus is of what is seized, by its name or what it follows; a pool's depth by its class as well
        more = (whole.kind,) if option == "--depth" else ()
        # ETH is both what wstETH follows and, in small letters, a class: the narrower is meant
        for key in (name, whole.base, *more):
            known.setdefault(key.lower(), key)
    if strange := [n for n in found if n.lower() not in known]:
        there = ", ".join(dict.fromkeys(known.values()))
        raise usage(option, f'"{strange[0]}" is nothing in this run; there is {there}')
    return {known[n.lower()]: x for n, x in found.items()}
