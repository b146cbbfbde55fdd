"""Results that are gone on with: only those of the same prices, times, markets and signs, and only whole ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from keeper.cli import app, replayed
from keeper.errors import ConfigError
from keeper.replay import bars, fleet, keep, levels, omens, paths
from keeper.risk.leverage import warning
from tests.unit.replay.test_replay_run import DEEP, FALL, account, path

pytestmark = pytest.mark.unit
CREW = fleet.Fleet(path="", unit="USD", accounts=(account(),))
COUNT = 12


def run_of(moved: paths.Paths) -> str:
    """Of which run results over ``moved`` are."""
    one = np.ones((2, 1))
    read = bars.Bars(
        path="", symbols=("ETH",), times_s=np.arange(2.0), step_s=1.0, open=one, high=one, low=one, close=one,
        live=one > 0.0, notes=(),
    )  # fmt: skip
    scene = replayed.Scene(read=read, crew=CREW, moved=moved, shop=DEEP, policy=levels.plain(1.25, 1.4))
    asked: Any = SimpleNamespace(keepers="ours", wallet="", own_levels=False)
    return replayed._digest(asked, scene)


def warned(score: float, stands: bool, later_s: float = 0.0) -> omens.Omens:
    return omens.Omens(
        times_s=np.arange(3.0) + later_s,
        step_s=1.0,
        score=np.full(3, score),
        stands=np.full(3, stands),
        crashes=(),
        record=warning.Record(leads=(), false_alarms=0, years=1.0),
        rule=warning.Rule(),
    )


def test_digest__when_times_pegs_or_signs_differ__then_another_run_and_alike_the_same() -> None:
    def quoting(source: str, dollars: float) -> paths.Paths:
        return replace(path(FALL), quoted={"USDC": ((source, np.full(3, dollars)),)})

    def under(omen: omens.Omens) -> paths.Paths:
        return replace(path(FALL), omens=omen)

    moved = path(FALL)
    others = [
        moved,
        replace(moved, times_s=moved.times_s + 86_400.0),
        quoting("USDC/USD", 1.0),
        quoting("USDC/USD", 0.9),
        quoting("USDC/USDT", 1.0),
        under(warned(1.0, False)),
        under(warned(2.0, False)),
        under(warned(1.0, True)),
        under(warned(1.0, False, 60.0)),
    ]
    assert len({run_of(m) for m in others}) == len(others)
    assert run_of(quoting("USDC/USD", 1.0)) == run_of(quoting("USDC/USD", 1.0))
    assert run_of(under(warned(1.0, True))) == run_of(under(warned(1.0, True)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda body: {"a": 1}, "lacks 'name'"),
        (lambda body: {**body, "events": 3}, "events is no list"),
        (lambda body: {**body, "gap": "wide"}, "could not convert"),
        (lambda body: {**body, "events": [{"pair": ["a", "b"], "more": 1}]}, "more"),
    ],
)
def test_kept__when_a_line_is_no_trip__then_file_and_line_are_named_and_nothing_is_lost(
    tmp_path: Path, change: Any, why: str
) -> None:
    file = tmp_path / "k.jsonl"
    first = keep.Kept(file, "run")
    trip = keep.Trip("a", "ours", 1.5)
    trip.equity_usd = 1.0
    first.noted(trip)
    first.close()
    body = json.loads(file.read_text().splitlines()[1])
    text = file.read_text() + json.dumps(change(body)) + "\n"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        keep.Kept(file, "run")
    assert str(refused.value).startswith(f"{file}: line 3: ")
    assert why in str(refused.value)
    assert file.read_text() == text


def test_command__when_the_same_prices_came_later__then_results_are_not_gone_on_with(tmp_path: Path) -> None:
    head = 'user,"collateral_[asset,value_usd,liq_threshold]","debt_[asset,value_usd]"\n'
    (tmp_path / "a.csv").write_text(head + '0x1,"[[""WETH"", 100.0, 0.8]]","[[""USDC"", 50.0]]"\n')

    def begun(at_s: int) -> Any:
        rows = [f"{at_s + 300 * n},ETH/USDT,1,1,1,1\n" for n in range(COUNT)]
        (tmp_path / "eth.csv").write_text("ts,symbol,open,high,low,close\n" + "".join(rows))
        files = ["--prices", str(tmp_path / "eth.csv"), "--accounts", str(tmp_path / "a.csv")]
        kept = ["--keep", str(tmp_path / "k.jsonl"), "--keepers", "nobody", "--json"]
        return CliRunner().invoke(app, ["replay", *files, *kept])

    assert begun(86_400).exit_code == begun(86_400).exit_code == 0
    assert "is of another replay" in str(begun(86_400 + 7 * 86_400).exception)
