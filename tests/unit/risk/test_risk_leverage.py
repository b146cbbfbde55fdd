"""A book's leverage, worked out by hand, and the command that shows it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keeper.cli import app
from keeper.risk import bookfile
from keeper.risk.leverage.borrowing import measure

pytestmark = pytest.mark.unit

BOOK = {
    "prices": {"ETH": 2000.0, "wst": {"price": 2400.0, "symbol": "wstETH"}, "USDC": 1.0},
    "positions": [
        {
            "name": "loan",
            "lending": {
                "collateral": [
                    {"asset": "ETH", "amount": 5, "threshold": 0.8},
                    {"asset": "wst", "amount": 5, "threshold": 0.8},
                ],
                "debt": [{"asset": "USDC", "amount": 11_000}],
            },
        },
        {
            "name": "short",
            "perp": {
                "index": "ETH",
                "size": -5,
                "entry": 2000,
                "maintenance_rate": 0.01,
                "margin": [{"asset": "USDC", "amount": 3000, "haircut": 1.0}],
                "fees_usd": 0,
                "minimum_margin_usd": 0,
            },
        },
    ],
}


def test_measure__loan_and_hedge__numbers_by_hand() -> None:
    found = measure(bookfile.parse(BOOK))
    loan, short = found.borrowers
    assert (loan.assets, loan.debt, loan.equity) == (22_000.0, 11_000.0, 11_000.0)
    assert loan.ratio == pytest.approx(2.0)
    assert loan.threshold == pytest.approx(0.8)
    assert loan.health == pytest.approx(1.6)
    # margin 3,000, requirement 1 % of 10,000
    assert short.equity == pytest.approx(2_900.0)
    # its notional; the margin in dollars is no size
    assert (short.assets, short.ratio) == (10_000.0, pytest.approx(10_000.0 / 2_900.0))
    # of 11,000 in ether at 0.8: liquidation with 13,750 of collateral
    assert loan.left == pytest.approx(2_750.0)
    assert math.isnan(short.left)
    # 22,000 of ether and what follows it, less 10,000 sold short
    (eth,) = found.exposures
    assert eth.factor == "ETH"
    assert eth.delta_usd == pytest.approx(120.0)
    assert found.account == pytest.approx(12_000.0 / 13_900.0)
    assert (found.hhi, found.skew) == (1.0, 1.0)


def test_measure__price_missing__position_is_unknown_and_not_counted() -> None:
    book = {
        "prices": {"ETH": 2000.0, "USDC": 1.0},
        "positions": [
            {"name": "raw", "row": {"feeds": ["ETH"], "a": [1.0], "b": [0.0], "a0": 0.0, "b0": 100.0}}
        ],
    }
    found = measure(bookfile.parse(book))
    assert [b.name for b in found.borrowers] == ["raw"]
    named = bookfile.parse(book)
    lost = bookfile.NamedBook(
        names=named.names, rows=named.rows, prices={"ETH": math.nan}, symbols=named.symbols
    )
    assert measure(lost).unknown == ("raw",)


def test_leverage__book__table_and_json(tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    path.write_text(json.dumps(BOOK))
    shown = CliRunner().invoke(app, ["leverage", "--book", str(path)])
    assert shown.exit_code == 0, shown.output
    assert "2.00x" in shown.output
    assert "1 % down costs 0.86 % of equity" in shown.output
    printed = CliRunner().invoke(app, ["leverage", "--book", str(path), "--json"])
    assert json.loads(printed.output)["sensitivity"][0]["usd_per_percent"] == pytest.approx(120.0)
