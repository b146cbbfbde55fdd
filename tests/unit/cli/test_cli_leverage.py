"""``keeper leverage`` as a stranger meets it: what each number means, what is unknown, what a wrong file says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from keeper.cli import app
from keeper.cli.leverage_book import links
from keeper.errors import ConfigError
from keeper.replay import series
from tests.unit.config.test_config_parse import GOOD

pytestmark = pytest.mark.unit
HOUR, FIRST = 3_600, 1_600_000_000
STEPS = 24 * 45


def written(folder: Path, name: str, header: str, rows: list[str]) -> Path:
    """A CSV file."""
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def history(folder: Path) -> Path:
    """Hourly bars that end 15 % below their highest, the fall in the last day."""
    calm = 2_000.0 * np.exp(0.002 * np.sin(np.arange(STEPS)))
    price = np.where(np.arange(STEPS) < STEPS - 12, calm, 1_700.0)
    rows = [
        f"{FIRST + HOUR * n},ETH/USDT,{p:.2f},{p * 1.001:.2f},{p * 0.999:.2f},{p:.2f}"
        for n, p in enumerate(price)
    ]
    return written(folder, "bars.csv", "ts,symbol,open,high,low,close", rows)


def paid(folder: Path, *, last: float = -1e-4) -> Path:
    """Funding every eight hours, which changes its sign within the last day."""
    times = range(FIRST, FIRST + HOUR * STEPS + 1, 8 * HOUR)
    rates = [1e-4 + 1e-6 * (n % 5) if n < len(times) - 2 else last for n in range(len(times))]
    rows = [f"{t},ETH,{r}" for t, r in zip(times, rates, strict=True)]
    return written(folder, "funding.csv", "ts,symbol,rate", rows)


def crowded(folder: Path, *, last: float = 60.0) -> Path:
    """Open interest by the hour, of which a part leaves within the last day."""
    sides = [50 + n % 3 if n <= STEPS - 12 else last / 2 for n in range(STEPS + 1)]
    rows = [f"{FIRST + HOUR * n},ETH,{x},{x}" for n, x in enumerate(sides)]
    return written(folder, "interest.csv", "ts,symbol,long,short", rows)


def asked(*options: str) -> tuple[int, str]:
    """Exit code and what was printed, without a configuration."""
    done = CliRunner().invoke(app, ["leverage", "--config", "/nowhere/keeper.toml", *options])
    said = f"{done.output}{done.exception if isinstance(done.exception, ConfigError) else ''}"
    return (78 if isinstance(done.exception, ConfigError) else done.exit_code), said


def market(folder: Path, **found: Any) -> dict[str, dict[str, Any]]:
    """The market's measures by name."""
    options = [x for name, path in found.items() for x in (f"--{name.replace('_', '-')}", str(path))]
    code, out = asked(*options, "--json")
    assert code == 0, out
    return {m["measure"]: m for m in json.loads(out[out.index("{") :])["market"]["measures"]}


def test_leverage__when_only_files_are_given__then_the_market_alone_with_what_each_number_means(
    tmp_path: Path,
) -> None:
    given = {"prices": history(tmp_path), "funding": paid(tmp_path), "open_interest": crowded(tmp_path)}
    found = market(tmp_path, **given)
    below = found["below the highest of 90 days"]
    assert below["value"] == pytest.approx(15.2, abs=0.1)
    assert below["means"] == "ETH: correction (10 % and more)"
    funding = found["demand for leverage (funding)"]
    assert funding["value"] == pytest.approx(-1e-4 * 3 * 365 * 100)
    assert funding["means"].startswith("shorts pay longs")
    assert found["open interest"]["value"] == pytest.approx(-40.0, abs=1.5)
    assert found["skew of open interest"]["value"] == 0.0
    assert found["flush now"] == {
        "measure": "flush now",
        "value": 1.0,
        "unit": "0 or 1",
        "means": "leverage is being flushed",
    }


def test_leverage__when_interest_stays_or_funding_keeps_its_sign__then_no_flush(tmp_path: Path) -> None:
    given = {"prices": history(tmp_path), "funding": paid(tmp_path)}
    assert market(tmp_path, **given)["flush now"]["value"] == 1.0, "price and funding alone, and said so"
    assert "no --open-interest" in market(tmp_path, **given)["flush now"]["means"]
    stays = market(tmp_path, **given, open_interest=crowded(tmp_path, last=100.0))
    assert stays["flush now"]["value"] == 0.0
    given["funding"] = paid(tmp_path, last=1e-4)
    assert market(tmp_path, **given)["flush now"]["value"] == 0.0


def test_leverage__when_nothing_is_known__then_null_and_what_it_needs(tmp_path: Path) -> None:
    found = market(tmp_path, open_interest=crowded(tmp_path))
    assert found["basis"]["value"] is None
    assert found["basis"]["means"] == "unknown: no perp's price (--mark)"
    assert found["early warning"]["means"] == "unknown: needs --prices and --funding"


def test_leverage__when_a_perp_stands_above_its_index__then_its_basis_and_how_unusual(tmp_path: Path) -> None:
    rows = [
        f"{FIRST + HOUR * n},ETH,{2_000 * (1 + 0.0002 * (n % 4)) if n < STEPS - 1 else 2_020},2000"
        for n in range(STEPS)
    ]
    found = market(tmp_path, mark=written(tmp_path, "mark.csv", "ts,symbol,price,index", rows))
    assert found["basis"]["value"] == pytest.approx(1.0)
    past = np.array([0.0002 * (n % 4) for n in range(STEPS - 1 - 720, STEPS - 1)])
    z = (0.01 - past.mean()) / past.std(ddof=1)
    assert found["basis, z-score"]["value"] == pytest.approx(z, rel=1e-6)
    assert found["basis, z-score"]["means"].startswith("unusually high")


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        (
            "ts,symbol,value",
            [f"{FIRST},ETH,1", f"{FIRST + 60},ETH,1"],
            "row 1: lacks the column open_interest, or long and short",
        ),
        (
            "time,symbol,open_interest",
            [f"{FIRST},ETH,1"],
            "row 1: lacks the column ts; there is time, symbol",
        ),
        ("ts,symbol,open_interest", [f"{FIRST},BTC,1"], "has 0 rows of ETH, two are the least; there is BTC"),
        (
            "ts,symbol,open_interest",
            [f"{FIRST},ETH,0", f"{FIRST + 60},ETH,5"],
            "row 2, column open_interest: 0",
        ),
        (
            "ts,symbol,open_interest",
            [f"{FIRST},ETH,5", f"{FIRST + 60},ETH,"],
            "row 3, column open_interest: an em",
        ),
        (
            "ts,symbol,open_interest",
            [f"{FIRST},ETH,5", f"{FIRST + 60},ETH,nan"],
            "row 3, column open_interest: nan",
        ),
        (
            "ts,symbol,open_interest",
            ["2025-01-01T00:00:00+02:00,ETH,5", "2025-01-01T01:00:00Z,ETH,5"],
            "row 2, column ts: '2025-01-01T00:00:00+02:00' is not a time in UTC",
        ),
        (
            "ts,symbol,open_interest",
            [f"{FIRST}000,ETH,5", f"{FIRST}060,ETH,5"],
            "milliseconds? write seconds",
        ),
        (
            "ts,symbol,open_interest",
            [f"{FIRST},ETH,5"] * 2,
            "row 3, column ts: 2020-09-13 12:26 is there twice",
        ),
        (
            "ts,symbol,open_interest",
            [f"{FIRST + 60 * n},ETH,5" for n in (*range(10), *range(30, 40))],
            "row 12, column ts: 20 of 40 steps of 60 s are missing, the longest gap from 2020-09-13 12:35",
        ),
    ],
)
def test_leverage__when_a_file_is_wrong__then_file_row_and_column_are_told(
    tmp_path: Path, header: str, rows: list[str], words: str
) -> None:
    path = written(tmp_path, "interest.csv", header, rows)
    code, said = asked("--open-interest", str(path))
    assert code == 78
    assert "interest.csv: " in said
    assert words in said


def test_leverage__when_funding_is_in_per_cent__then_refused(tmp_path: Path) -> None:
    rows = [f"{FIRST + 28_800 * n},ETH,1.0" for n in range(5)]
    code, said = asked("--funding", str(written(tmp_path, "f.csv", "ts,symbol,rate", rows)))
    assert code == 78
    assert "row 2, column rate: 1.0 is not a rate of one interval as a fraction (0.0001 is 0.01 %)" in said


def test_series__when_rows_are_not_in_order__then_sorted_and_said_and_nothing_is_made_up_in_a_gap(
    tmp_path: Path,
) -> None:
    times = [FIRST + 60 * n for n in range(60) if n not in (30, 31)]
    times[3], times[4] = times[4], times[3]
    rows = [f"{t},eth,{t - FIRST + 1}" for t in times]
    column = (series.Column(name="v", low=0.0),)
    found = series.read(written(tmp_path, "s.csv", "ts,symbol,v", rows), "ETH", column)
    assert (np.diff(found.times_s) > 0).all()
    assert found.missing == 2
    assert "not in order of time; sorted" in found.notes[0]
    assert "nothing is made up" in found.notes[1]
    known = found.at(np.array([FIRST - 1.0, FIRST + 59.0, FIRST + 31 * 60.0, FIRST + 31 * 60.0 + 59.0]), "v")
    assert math.isnan(known[0])
    assert known[1:3].tolist() == [1.0, 29 * 60 + 1.0]
    assert math.isnan(known[3]), "older than two steps: not known any more"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("what,on\na,b\n", "row 1: lacks the column share"),
        (
            "what,on,share\nissuer Circle,issuer X,1.5\n",
            "row 2, column share: '1.5' is not above 0 and up to 1",
        ),
        ("what,on,share\nissuer Nobody,issuer X,1\n", "column what: 'issuer Nobody' is not in this book"),
        ("what,on,share\nissuer Circle,,1\n", "column on: '' is nothing that it could stand on"),
    ],
)
def test_depends__when_wrong__then_file_row_and_column_are_told(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "depends.csv"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        links(path, ("issuer Circle",))
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "1"], "1 is not a leverage from 1.05 to 100"),
        (["--floor", "nan"], "nan is not USD of 0 or more"),
        (["--floor", "5", "--times", "0"], "0 is not from 0.1 to 100"),
        (["--ratchet", "100"], "100 is not per cent from 0 to 99"),
        (["--tell", "x.json"], "needs --prices and --funding"),
        (["--prepare", "x.json"], "goes with --target L"),
        (["--target", "2", "--safe"], "goes with --prepare FILE"),
        (["--target", "2", "--minutes", "5"], "goes with --prepare FILE"),
        (["--target", "2", "--prepare", "x", "--json", "--floor", "5"], "takes no --floor, --json"),
        (["--target", "2", "--prepare", "x", "--book", "b.json", "--rpc", "u"], "takes no --book, --rpc"),
    ],
)
def test_leverage__when_an_option_is_wrong__then_usage(options: list[str], words: str) -> None:
    code, said = asked(*options)
    assert code == 2
    assert words in " ".join(said.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--loss", "5"], "5 is not from 0.05 to 3"),
        (["--slippage", "2"], "2 is not from 0 to 1"),
        (["--margin", "0"], "0 is not from 0.02 to 10"),
        (["--minutes", "1"], "1 is not from 2 to 1440"),
        (["--account", "nobody"], "is for one position: name it"),
    ],
)
def test_prepare__when_a_bound_is_wrong__then_usage_before_anything_is_asked(
    tmp_path: Path, options: list[str], words: str
) -> None:
    (tmp_path / "keeper.toml").write_text(GOOD)
    where = [
        "--config",
        str(tmp_path / "keeper.toml"),
        "--target",
        "2",
        "--prepare",
        str(tmp_path / "s.json"),
    ]
    code, said = asked(*where, *options)
    assert code == 2, said
    assert words in " ".join(said.replace("│", " ").split())
    assert not (tmp_path / "s.json").exists()
