"""The paper market's own options of ``keeper replay``: gas as it was, depth, delay, bonus; each moves numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from keeper.cli import app
from keeper.errors import ConfigError

pytestmark = pytest.mark.unit
FIRST, BAR, COUNT = 1_600_000_200, 300, 50
HEAD = 'user,"collateral_[asset,value_usd,liq_threshold]","debt_[asset,value_usd]"\n'


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """A loan of a million on ether that falls from 2,000 to 1,300 in bars of five minutes."""
    prices = np.linspace(2_000.0, 1_300.0, COUNT)
    rows = [f"{FIRST + BAR * n},ETH/USDT,{p},{p},{p},{p}" for n, p in enumerate(prices)]
    (tmp_path / "eth.csv").write_text("ts,symbol,open,high,low,close\n" + "\n".join(rows) + "\n")
    account = '0x1,"[[""WETH"", 1000000.0, 0.8]]","[[""USDC"", 600000.0]]"\n'
    (tmp_path / "a.csv").write_text(HEAD + account)
    bars = ["--prices", str(tmp_path / "eth.csv"), "--field", "close", "--feed", "every", "--json"]
    return ["replay", *bars, "--accounts", str(tmp_path / "a.csv"), "--trigger", "1.2", "--target", "1.4"]


def replayed(given: list[str], *options: str, keepers: str = "threshold") -> dict[str, Any]:
    """The document; of one keeper's one account."""
    done = CliRunner().invoke(app, [*given, "--keepers", keepers, *options])
    assert done.exit_code in (0, 1), done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def one(document: dict[str, Any]) -> dict[str, Any]:
    """The only keeper's numbers."""
    (found,) = document["keepers"]
    return dict(found)


def gas_file(folder: Path, gwei: list[float], first: int = FIRST) -> str:
    """Gas by the bar."""
    rows = [f"{first + BAR * n},{x}" for n, x in enumerate(gwei)]
    path = folder / "gas.csv"
    path.write_text("ts,gwei\n" + "\n".join(rows) + "\n")
    return str(path)


def test_gas_file__when_given__then_an_act_pays_what_gas_was_when_it_landed(
    given: list[str], tmp_path: Path
) -> None:
    series = [10.0 + n for n in range(COUNT + 1)]
    found = replayed(given, "--gas-file", gas_file(tmp_path, series))
    acts = [e for e in one(found)["accounts"][0]["events"] if e["what"] == "act"]
    bars = [round((e["time_s"] - FIRST) / BAR) for e in acts]
    price = np.linspace(2_000.0, 1_300.0, COUNT)
    assert len(acts) > 1
    # a bar is over when its close is known: the gas of the next one's beginning
    paid = sum(series[n + 1] * 1e-9 * 500_000 * price[n] for n in bars)
    assert one(found)["gas_usd"] == pytest.approx(paid, rel=1e-6)
    assert found["market"]["gas_file"].endswith("gas.csv")


def test_depth__when_pools_are_thinner__then_a_sale_costs_more(given: list[str]) -> None:
    deep, thin = (one(replayed(given, "--depth", f"ETH={d},*=1e9"))["cost_usd"] for d in ("1e9", "1e5"))
    assert thin > 2.0 * deep


def test_delay__when_inclusion_is_slower__then_an_order_lands_so_many_bars_later(given: list[str]) -> None:
    def landed(delay: str) -> float:
        events = one(replayed(given, "--delay", delay))["accounts"][0]["events"]
        return float(events[0]["time_s"])

    assert landed("1500:1500") - landed("0:0") == 4 * BAR, "five bars instead of the next one"


def test_bonus__when_liquidators_take_more__then_an_owner_loses_more(given: list[str]) -> None:
    lost = [one(replayed(given, "--bonus", f"eth={b}", keepers="nobody"))["lost_usd"] for b in (5, 10)]
    assert one(replayed(given, keepers="nobody"))["lost_usd"] == lost[0], "5 % of ether is the default"
    assert lost[1] > 1.9 * lost[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gas", "5"], "must be two numbers, calm:storm"),
        (["--gas", "30:20"], "the storm no cheaper"),
        (["--delay", "72:24"], "the storm no sooner"),
        (["--delay", "1:1e9"], "at most a day"),
        (["--depth", "ETH"], "is not NAME=USD that move it by 2 %"),
        (["--depth", "LINK=1e6"], '"LINK" is nothing in this run; there is *, WETH, ETH, USDC, stable'),
        (["--bonus", "ETH=150"], "per cent above 0 and up to 100"),
        (["--bonus", "stable=5"], '"stable" is nothing in this run'),
        (["--bonus", "ETH=5", "--chain"], "is of the paper market"),
        (["--gas-file", "x.csv", "--gas", "5:9"], "give either --gas or --gas-file"),
    ],
)
def test_option__when_wrong__then_usage_names_it(given: list[str], options: list[str], words: str) -> None:
    done = CliRunner().invoke(app, [*given, *options])
    said = " ".join(done.output.replace("│", " ").split())
    assert done.exit_code == 2, said
    assert options[0] in said
    assert words in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ts,price\n1,2\n", "row 1: lacks the column gwei; there is ts, price"),
        (f"ts,gwei\n{FIRST},20\n", "has 1 rows, two are the least"),
        (f"ts,gwei\n{FIRST},20\n{FIRST + 300},0\n", "row 3, column gwei: 0 is not a gas price in gwei"),
        (
            f"ts,gwei\n{FIRST},20e9\n{FIRST + 300},20e9\n",
            "row 2, column gwei: 20e9 is not a gas price in gwei",
        ),
        (f"ts,gwei\n{FIRST},20\n{FIRST},21\n", "row 3, column ts: 2020-09-13 12:30 is there twice"),
        (
            f"ts,gwei\n{FIRST},20\n{FIRST + 300},21\n",
            "column ts: spans 2020-09-13 12:30 to 2020-09-13 12:35; the run",
        ),
    ],
)
def test_gas_file__when_wrong__then_file_row_and_column_are_told(
    given: list[str], tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "gas.csv"
    path.write_text(text)
    done = CliRunner().invoke(app, [*given, "--gas-file", str(path)])
    assert isinstance(done.exception, ConfigError), done.output
    assert f"gas.csv: {words}" in str(done.exception)


def test_keep__when_the_market_is_another__then_its_results_are_not_gone_on_with(
    given: list[str], tmp_path: Path
) -> None:
    kept = ["--keep", str(tmp_path / "k.jsonl")]
    replayed(given, *kept)
    replayed(given, *kept)
    done = CliRunner().invoke(app, [*given, "--keepers", "threshold", *kept, "--bonus", "ETH=6"])
    assert isinstance(done.exception, ConfigError)
    assert "of another replay" in str(done.exception)
