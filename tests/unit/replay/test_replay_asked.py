"""What a replay is asked for and cannot do is refused by name; what it takes for granted is said."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from keeper.cli import app, replay_sweep
from keeper.replay import bars, series
from keeper.replay.frontier import Point
from keeper.replay.page import _setting

pytestmark = pytest.mark.unit
HEAD = "ts,symbol,open,high,low,close\n"


def files(folder: Path, debt: float = 50.0, count: int = 4) -> list[str]:
    """The command over so many bars and one loan of 100 dollars of ether."""
    rows = [f"{300 * n},ETH/USDT,1,1,1,1\n" for n in range(1, count + 1)]
    (folder / "eth.csv").write_text(HEAD + "".join(rows))
    head = 'user,"collateral_[asset,value_usd,liq_threshold]","debt_[asset,value_usd]"\n'
    (folder / "a.csv").write_text(head + f'0x1,"[[""WETH"", 100.0, 0.8]]","[[""USDC"", {debt}]]"\n')
    return ["replay", "--prices", str(folder / "eth.csv"), "--accounts", str(folder / "a.csv")]


def run(line: list[str]) -> Any:
    found = CliRunner().invoke(app, line)
    return found, " ".join(found.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sweep", "--keep", "k.jsonl"], "'--keep': keeps the trips of one run"),
        (["--sweep", "--chain"], "not driven through a chain"),
        (["--sweep", "--trigger", "1.2"], "takes no --trigger"),
        (["--sweep", "--target", "1.5"], "takes no --target"),
        (["--chain", "--report", "r.html"], "'--report': is not for --chain"),
        (["--chain", "--keep", "k.jsonl"], "'--keep': is not for --chain"),
        (["--chain", "--keepers", "nobody"], "'--keepers': is not for --chain"),
    ],
)
def test_command__when_an_option_would_be_left_aside__then_usage_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    line, before = files(tmp_path), set(tmp_path.iterdir())
    found, said = run([*line, *options])
    assert found.exit_code == 2, said
    assert words in said
    assert set(tmp_path.iterdir()) == before


def test_sweep__when_parts_are_more_than_the_history_holds__then_usage_says_how_many_it_takes(
    tmp_path: Path,
) -> None:
    line = [
        *files(tmp_path, count=3),
        "--field",
        "low,close",
        "--sweep",
        "--triggers",
        "1.2",
        "--widths",
        "0.1",
    ]
    found, said = run([*line, "--folds", "24"])
    assert found.exit_code == 2, said
    assert "24 parts of 6 moments" in said
    assert "at most 3 here" in said
    assert run([*line, "--folds", "3"])[0].exit_code == 0


def test_sweep__when_nobody_is_at_risk__then_the_margin_is_a_dash(tmp_path: Path) -> None:
    line = [*files(tmp_path, debt=1.0), "--sweep", "--triggers", "1.2", "--widths", "0.1", "--folds", "1"]
    found, said = run(line)
    assert found.exit_code == 0, said
    rows = [r for r in found.stdout.splitlines() if r.startswith(("threshold", "ours"))]
    assert rows
    assert all(r.split()[-1] == "-" for r in rows)
    assert "nan" not in said


def test_setting__when_nobody_is_at_risk__then_the_page_has_a_dash_for_its_margin() -> None:
    made = {"trigger": 1.2, "target": 1.3, "liquidated": 0, "whole_usd": 0.0, "lost_usd": 0.0, "acts": 0}
    nobody = Point(**made, gap=math.nan, gap_median=math.nan, gap_least=math.nan)  # type: ignore[arg-type]
    assert _setting(nobody).endswith("margin -")
    assert replay_sweep.point(nobody)["gap"] is None


@pytest.mark.parametrize(
    ("times", "noted"),
    [
        (("2025-01-01T00:00", "2025-01-01T00:05"), True),
        (("2025-01-01", "2025-01-02"), True),
        (("2025-01-01T00:00Z", "2025-01-01T00:05"), True),
        (("2025-01-01T00:00Z", "2025-01-01T00:05+00:00"), False),
        (("1735689600", "1735689900"), False),
    ],
)
def test_read__when_a_time_has_no_zone__then_one_note_says_that_it_is_taken_as_utc(
    tmp_path: Path, times: tuple[str, ...], noted: bool
) -> None:
    file = tmp_path / "eth.csv"
    file.write_text(HEAD + "".join(f"{t},ETH,1,1,1,1\n" for t in times))
    found = bars.read(file)
    assert found.times_s[0] == 1_735_689_600.0
    assert found.notes.count(f"{file}: column ts: no zone written, taken as UTC") == noted
    file.write_text("ts,rate\n" + "".join(f"{t},0.0001\n" for t in times))
    rates = series.read(file, "", (series.Column(name="rate"),))
    assert rates.notes == ((f"{file}: column ts: no zone written, taken as UTC",) if noted else ())


@pytest.mark.parametrize(("zone", "noted"), [(None, True), ("UTC", False)])
def test_read__when_a_parquet_column_has_no_zone__then_it_is_noted(
    tmp_path: Path, zone: str | None, noted: bool
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    times = pyarrow.array([1_735_689_600, 1_735_689_900], pyarrow.timestamp("s", tz=zone))
    columns: dict[str, Any] = {"ts": times, "symbol": ["ETH", "ETH"]}
    columns |= {f: [1.0, 1.0] for f in bars.FIELDS}
    parquet.write_table(pyarrow.table(columns), tmp_path / "eth.parquet")
    assert any("taken as UTC" in n for n in bars.read(tmp_path / "eth.parquet").notes) == noted
    low = series.read(tmp_path / "eth.parquet", "", (series.Column(name="low"),))
    assert any("taken as UTC" in n for n in low.notes) == noted
