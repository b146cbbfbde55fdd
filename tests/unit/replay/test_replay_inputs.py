"""A stranger's files through the command: what is missing or out of order is named with every file that it is of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from keeper.cli import app
from keeper.errors import ConfigError

pytestmark = pytest.mark.unit
TIMES = range(86_400, 86_400 + 300 * 12, 300)


def lines(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows))
    return path


def prices(folder: Path) -> Path:
    rows = [f"{t},ETH/USDT,2000,2000,2000,2000" for t in TIMES]
    return lines(folder / "eth.csv", ["ts,symbol,open,high,low,close", *rows])


def book(folder: Path, held: str) -> Path:
    loan = {
        "collateral": [{"asset": held, "amount": 10, "threshold": 0.8, "bonus": 0.05}],
        "debt": [{"asset": "USDC", "amount": 5_000}],
        "venue": "aave_v3",
    }
    document = {"prices": {held: 2_000, "USDC": 1}, "positions": [{"name": "mine", "lending": loan}]}
    path = folder / "book.json"
    path.write_text(json.dumps(document))
    return path


def run(*given: object) -> Any:
    return CliRunner().invoke(app, ["replay", "--keepers", "nobody", "--json", *map(str, given)])


def test_asset__without_prices__then_price_file_and_whoever_needs_it_are_named(tmp_path: Path) -> None:
    eth = prices(tmp_path)
    header = '"user","collateral_[asset,value_usd,liq_threshold]","debt_[asset,value_usd]"'
    held = ['"a","[[""ETH"", 9, 0.8]]","[[""USDC"", 5]]"', "", '"b","[[""LINK"", 9, 0.8]]","[[""USDC"", 5]]"']
    accounts = lines(tmp_path / "accounts.csv", [header, *held])
    for given, needs in (
        (("--accounts", accounts), f"{accounts} needs (first of b, {accounts}: row 4)"),
        (("--book", book(tmp_path, "LINK")), f"{tmp_path / 'book.json'} needs (first of mine, positions[0])"),
    ):
        done = run("--prices", eth, *given)
        assert isinstance(done.exception, ConfigError), done.output
        said = str(done.exception)
        assert f"{eth}: column symbol: has no prices of LINK (there are ETH/USDT)" in said
        assert needs in said


def test_gas_and_funding__out_of_order__then_sorted_and_said_by_file_row_and_column(tmp_path: Path) -> None:
    times = list(TIMES)
    times[4], times[5] = times[5], times[4]
    gas = lines(tmp_path / "gas.csv", ["ts,gwei", *(f"{t},20" for t in [*times, TIMES[-1] + 300])])
    paid = lines(tmp_path / "paid.csv", ["ts,symbol,rate", "", *(f"{t},ETH,0.0001" for t in times)])
    done = run(
        "--prices",
        prices(tmp_path),
        "--book",
        book(tmp_path, "ETH"),
        "--symbol",
        "ETH/USDT",
        "--gas-file",
        gas,
        "--funding",
        paid,
    )
    assert done.exit_code == 0, done.output
    notes = json.loads(done.stdout)["notes"]
    assert any(
        n.startswith(f"{gas}: row 7, column ts: ") and n.endswith("order of time; sorted") for n in notes
    )
    assert any(
        n.startswith(f"{paid}: row 8, column ts: ") and n.endswith("order of time; sorted") for n in notes
    )
