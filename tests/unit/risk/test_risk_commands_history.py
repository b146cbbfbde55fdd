"""--history and --paths of risk and distance: what was used is said, wrong input is named, bars show late."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from keeper.cli import invoke, progress
from tests.unit.risk.test_risk_bookfile import GOOD

pytestmark = pytest.mark.unit


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "book.json"
    path.write_text(json.dumps(GOOD))
    return path


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    prices = 2000.0 * np.exp(np.cumsum(rng.normal(0, 0.01, (500, 1)), axis=0))
    path = tmp_path / "bars.csv"
    rows = [f"{1_735_689_600 + 3600 * n},{p[0]:.6f}" for n, p in enumerate(prices)]
    path.write_text("\n".join(["time,WETH", *rows]))
    return path


def run(*arguments: object) -> int:
    return invoke([str(a) for a in arguments])


@pytest.mark.parametrize("command", ["risk", "distance"])
def test_history__given__is_used_and_said(
    command: str, book: Path, bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, "--book", book, "--history", bars) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "499 returns of 1 h, 2025-01-01 00:00Z to 2025-01-21 19:00Z" in out
    assert "Ledoit-Wolf" in out
    assert "defaults for" in out
    assert run(command, "--book", book, "--history", bars, "--json") == 0
    used = json.loads(capsys.readouterr().out)["covariance"]
    assert used["estimated"] == ["ETH"]
    assert used["volatility_year"][used["factors"].index("ETH")] == pytest.approx(0.01 * 8760**0.5, rel=0.1)
    assert run(command, "--book", book, "--json") == 0
    assert json.loads(capsys.readouterr().out)["covariance"]["source"] == "defaults"


def test_paths__json__is_the_same_for_a_seed(
    book: Path, bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("risk", "--book", book, "--paths", "bootstrap", "--history", bars, "--n", 600, "--horizon", "2d")
    assert run(*line, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert run(*line, "--json") == 0
    assert json.loads(capsys.readouterr().out) == first
    assert (first["model"], first["paths"], first["step_days"]) == ("bootstrap", 600, pytest.approx(1 / 24))
    assert {p["name"] for p in first["positions"]} == {"loan", "short", "2"}
    assert all(p["low"] <= p["p_touch"] <= p["high"] for p in first["positions"])


def test_paths__table__says_model_interval_and_looks(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("risk", "--book", book, "--paths", "student-t", "--n", 500, "--horizon", "1d") == 0
    out = capsys.readouterr().out
    assert "95 % interval" in out
    assert "of 500" in out
    assert "168 times" in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--paths", "bootstrap"), 2, "give --history"),
        (("--paths", "gbm", "--horizon", "7"), 2, "--horizon"),
        (("--paths", "gbm", "--horizon", "0d"), 2, "--horizon"),
        (("--paths", "gbm", "--n", "0"), 2, "--n"),
        (("--paths", "gbm", "--seed", "-1"), 2, "--seed"),
        (
            (
                "--paths",
                "levy",
            ),
            2,
            "--paths",
        ),
        (("--half-life", "nan"), 2, "--half-life"),
        (("--history", "nowhere.csv"), 78, "nowhere.csv"),
    ],
)
def test_risk__wrong_option__one_message(
    arguments: tuple[str, ...], code: int, says: str, book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("risk", "--book", book, *arguments) == code
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


def test_history__of_other_assets__is_refused(
    book: Path, bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars.write_text(bars.read_text().replace("WETH", "SOL"))
    assert run("risk", "--book", book, "--history", bars) == 78
    assert "none of SOL moves this book" in capsys.readouterr().err


def test_bootstrap__horizon_below_a_bar__is_refused(
    book: Path, bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("risk", "--book", book, "--paths", "bootstrap", "--history", bars, "--horizon", "30m") == 2
    assert "shorter than the history's step of 1 h" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "took_s", "shown"),
    [(Terminal, 5.0, True), (Terminal, 1.0, False), (io.StringIO, 5.0, False)],
)
def test_bar__only_on_a_terminal_and_after_two_seconds(
    stream: type[io.StringIO], took_s: float, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    err = stream()
    monkeypatch.setattr("sys.stderr", err)
    times = iter([0.0, took_s, took_s, took_s])
    with progress.bar(10, "positions", lambda: next(times)) as advance:
        advance(5)
        advance(4)
    assert ("positions" in err.getvalue()) == shown
