"""Feeds: what they say of a price, when, and what they never hear of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keeper.errors import ConfigError
from keeper.replay import bars, paths
from keeper.risk import screen

pytestmark = pytest.mark.unit


def history(
    tmp_path: Path, closes: list[float], lows: dict[int, float] | None = None, step: int = 60
) -> bars.Bars:
    text = ["ts,symbol,open,high,low,close"]
    before = closes[0]
    for n, close in enumerate(closes):
        low = (lows or {}).get(n, min(before, close))
        text.append(f"{1_600_000_000 + n * step},ETH/USDT,{before},{max(before, close)},{low},{close}")
        before = close
    path = tmp_path / "eth.csv"
    path.write_text("\n".join(text))
    return bars.read(path)


def said(seen: list[float], deviation: float, heartbeat_s: float) -> list[float]:
    out = np.empty(len(seen))
    screen.deviating(np.array(seen), 60.0, deviation, heartbeat_s, out)
    return out.tolist()


def test_deviating__when_the_price_moves_less__then_the_last_answer_stands() -> None:
    assert said([100.0, 99.6, 99.5, 99.51, 99.0], 0.005, 1e9) == [100.0, 100.0, 99.5, 99.5, 99.0]


def test_deviating__when_the_heartbeat_is_due__then_it_is_written() -> None:
    assert said([100.0, 99.9, 99.8, 99.9], 0.5, 120.0) == [100.0, 99.9, 99.9, 99.9]


def test_scheduled__when_the_hop_passes__then_the_queued_price_becomes_valid() -> None:
    out = np.empty(5)
    screen.scheduled(np.array([100.0, 90.0, 80.0, 70.0, 60.0]), 60.0, 60.0, out)
    assert out.tolist() == [100.0, 100.0, 90.0, 80.0, 70.0]


def test_project__when_a_bar_closes_low__then_its_low_is_heard_before_its_close(tmp_path: Path) -> None:
    found = paths.project(
        history(tmp_path, [100.0, 100.0, 98.0], {1: 90.0}), ("WETH",), ("low", "close"), {}, ()
    )
    assert found.market[0].tolist() == [1.0, 1.0, 0.9, 1.0, 0.98, 0.98]
    assert found.said[0].tolist() == [1.0, 1.0, 0.9, 1.0, 0.98, 0.98]
    assert found.bar.tolist() == [0, 0, 1, 1, 2, 2]


def test_project__when_one_print_is_absurd__then_the_feed_never_heard_of_it(tmp_path: Path) -> None:
    found = paths.project(
        history(tmp_path, [100.0, 100.0, 100.0], {1: 0.0001}), ("ETH",), ("low", "close"), {}, ()
    )
    assert found.said.min() == 1.0
    assert any("0.0001" in n for n in found.notes)


def test_project__when_an_asset_has_no_prices__then_refused_or_held_on_purpose(tmp_path: Path) -> None:
    read = history(tmp_path, [100.0, 90.0])
    with pytest.raises(ConfigError, match="has no prices of WBTC"):
        paths.project(read, ("ETH", "WBTC", "USDC"), ("close",), {}, ())
    found = paths.project(read, ("ETH", "stETH", "WBTC", "USDC"), ("close",), {}, ("WBTC",))
    assert found.row_of("ETH") == found.row_of("stETH")
    assert len({found.row_of("ETH"), found.row_of("WBTC"), found.row_of("USDC")}) == 3
    assert found.said[found.row_of("WBTC")].tolist() == [1.0, 1.0]
    assert any(n.startswith("WBTC: no prices") for n in found.notes)
    assert any(n.startswith("USDC: no prices in the file, taken for a dollar") for n in found.notes)


def test_first_below__when_against_a_plain_loop__then_the_same_bar() -> None:
    from keeper.replay.fleet import Account, Lot
    from keeper.replay.idle import book_of

    rng = np.random.default_rng(11)
    levels = np.exp(np.cumsum(rng.normal(0, 0.01, (2, 5_000)), axis=1))
    moved = paths.Paths(
        assets=("ETH", "BTC", "USDC"),
        row=np.array([0, 1, 2]),
        said=np.vstack([levels, np.ones(5_000)]),
        market=np.vstack([levels, np.ones(5_000)]),
        bar=np.arange(5_000),
        times_s=60.0 * np.arange(5_000),
        step_s=60.0,
        usd=np.ones(3),
        held=(),
        notes=(),
    )
    crew = tuple(
        Account(
            name=str(n),
            collateral=(
                Lot(asset="ETH", value=100.0, threshold=0.8),
                Lot(asset="BTC", value=10.0 * n, threshold=0.7),
            ),
            debt=(Lot(asset="USDC", value=40.0 + n), Lot(asset="BTC", value=5.0)),
        )
        for n in range(20)
    )
    book = book_of(crew, moved)
    start = rng.integers(0, 3_000, len(crew))
    line = rng.uniform(0.9, 1.6, len(crew))
    out = np.empty(len(crew), np.int64)
    screen.first_below(book, moved.said, start, line, out)
    crossed = 0
    for n, account in enumerate(crew):
        held = sum(x.value * x.threshold * moved.said[moved.row_of(x.asset)] for x in account.collateral)
        owed = sum(x.value * moved.said[moved.row_of(x.asset)] for x in account.debt)
        below = np.flatnonzero(held[start[n] :] < line[n] * owed[start[n] :])
        assert out[n] == (start[n] + below[0] if len(below) else 5_000)
        crossed += len(below) > 0
    assert 0 < crossed < len(crew)
