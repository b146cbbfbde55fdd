"""A stable whose feed stands at one dollar, in a replay: two sources move the playbook, one bar does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keeper.errors import ConfigError
from keeper.replay import bars, beside, compare, levels, paths
from keeper.replay import run as sea
from keeper.replay.fleet import Account, Fleet, Lot
from keeper.replay.market import Market
from keeper.units import WAD

pytestmark = pytest.mark.unit
HELD = Account(
    name="holds",
    collateral=(Lot(asset="USDC", value=100_000.0, threshold=0.78),),
    debt=(Lot(asset="USDT", value=50_000.0),),
)
PEGS = {"USDC": ("USDC/USD", "USDC/USDT")}


def history(folder: Path, first: list[float], second: list[float]) -> bars.Bars:
    """Minutes of both symbols and of bitcoin."""
    rows = ["ts,symbol,open,high,low,close"]
    columns = (("BTC/USD", [20_000.0] * len(first)), ("USDC/USD", first), ("USDC/USDT", second))
    rows += [
        f"{1_678_000_000 + 60 * i},{s},{p},{p},{p},{p}" for s, told in columns for i, p in enumerate(told)
    ]
    file = folder / "bars.csv"
    file.write_text("\n".join(rows) + "\n")
    return bars.read(file)


def sailed(read: bars.Bars) -> sea.Trip:
    """The playbook's trip at one per cent, at any health."""
    plain = levels.plain(1.25, 1.40)
    policy = replace(plain, strategies=("depeg_playbook",), depeg_ppm=10_000, reduce_above_trigger=True)
    told = {s for x in PEGS.values() for s in x}
    blind = replace(read, symbols=tuple(f"={s}" if s in told else s for s in read.symbols))
    moved = paths.project(blind, ("USDC", "USDT", "WBTC"), ("close",), {}, ["USDC"])
    moved = beside.pegged(moved, read, PEGS)
    crew = Fleet(path="x", unit="USD", accounts=(HELD,), left_out=())
    made = compare.makes(["ours"], policy, moved.assets, Market())["ours"]
    (trip,) = sea.voyage(crew, moved, made, Market()).trips
    return trip


def test_playbook__when_both_markets_fall__then_sold_once_out_of_debt_within_the_slippage(
    tmp_path: Path,
) -> None:
    down = [1.0] * 12 + [0.985] * 18
    trip = sailed(history(tmp_path, down, down))
    (event,) = [e for e in trip.events if e.what == "act"]
    assert event.usd == pytest.approx(50_000 / 0.985, rel=0.002)
    assert event.time_s >= 1_678_000_000 + 60 * 13, "a close is known after its bar"
    assert trip.end == np.inf


@pytest.mark.parametrize("which", [0, 1])
def test_playbook__when_one_market_prints_a_glitch_or_falls_alone__then_nothing(
    tmp_path: Path, which: int
) -> None:
    calm, glitch, alone = [1.0] * 30, [1.0] * 30, [1.0] * 12 + [0.9] * 18
    glitch[14] = 0.20
    for told in (glitch, alone):
        both = (told, calm) if which == 0 else (calm, told)
        assert sailed(history(tmp_path, *both)).acts == 0


def test_pegged__when_a_bar_is_under_way__then_a_source_says_the_mean_of_the_five_minutes_before(
    tmp_path: Path,
) -> None:
    first = [1.0 - 0.001 * i for i in range(12)]
    read = history(tmp_path, first, first)
    moved = beside.pegged(
        paths.project(read, ("USDT", "WBTC"), ("close",), {}, []), read, {"USDT": ("USDC/USD",)}
    )
    (said,) = beside.quoted_at(moved, 10)
    assert said.price_wad / WAD == pytest.approx(np.mean(first[5:10]), rel=1e-12)
    with pytest.raises(ConfigError) as raised:
        beside.pegged(moved, read, {"DAI": ("DAI/USD",)})
    assert "column symbol: has no DAI/USD" in str(raised.value)
    assert "no account holds or owes it" in str(raised.value)
    for wrong in ("USDC", "=USDC/USD", "USDC="):
        with pytest.raises(ValueError, match="ASSET=SYMBOL"):
            beside.pegs_of(wrong)
