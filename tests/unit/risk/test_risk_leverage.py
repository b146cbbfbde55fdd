"""A book's leverage, worked out by hand, and the command that shows it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from keeper.cli import app, leverage_book
from keeper.cli.leverage import only
from keeper.risk import bookfile, history
from keeper.risk.leverage import standing
from keeper.risk.leverage.borrowing import Borrower, measure, system
from keeper.risk.leverage.ratios import ratio

pytestmark = pytest.mark.unit

BOOK: dict[str, Any] = {
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
    assert short.assets == 10_000.0
    assert short.ratio == pytest.approx(10_000.0 / 2_900.0)
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


def placed() -> dict[str, object]:
    """The same book, with who prices it and where it stands."""
    loan, short = BOOK["positions"]
    feeds = {f: {"price": 1.0, "symbol": f, "oracle": "X"} for f in ("USDC",)}
    feeds |= {"ETH": {"price": 2000.0, "symbol": "ETH", "oracle": "X"}}
    feeds |= {"wst": {"price": 2400.0, "symbol": "wstETH", "oracle": "Y"}}
    return {
        "prices": feeds,
        "positions": [
            {**loan, "owner": "me", "venue": "aave", "chain": "one"},
            {**short, "owner": "me", "venue": "perps", "chain": "two"},
        ],
    }


def test_slices__by_hand__then_every_kind() -> None:
    book = bookfile.parse(placed())
    found = {s.by: s for s in standing.slices(book, measure(book))}
    assert found["asset"].usd == {"ETH": pytest.approx(12_000.0)}
    assert found["venue"].usd == {"aave on one": 22_000.0, "perps on two": 3_000.0}
    assert found["chain"].usd == {"one": 22_000.0, "two": 3_000.0}
    assert found["oracle"].usd == {"X": 13_000.0, "Y": 12_000.0}
    assert (found["issuer"].usd, found["issuer"].unknown_usd) == (
        {"Lido": 12_000.0, "Circle": 3_000.0},
        10_000.0,
    )
    assert found["venue"].hhi == pytest.approx(0.88**2 + 0.12**2)
    assert found["venue"].largest == ("aave on one", 0.88)


def test_fallen__by_hand__then_what_each_failure_takes_and_links_of_the_readers_own() -> None:
    book = bookfile.parse(placed())
    found = measure(book)
    failed = {f.name: f for f in standing.fallen(book, found, {})}
    assert failed["chain one"].lost_usd == failed["venue aave on one"].lost_usd == pytest.approx(11_000.0)
    # of 22,000 held 12,000 are Lido's, which is more than the 11,000 owned
    assert failed["issuer Lido"].lost_usd == pytest.approx(11_000.0)
    assert failed["issuer Lido"].wiped == 1
    # 10,000 of ether priced by X and all of the short's margin
    assert failed["oracle X"].lost_usd == pytest.approx(10_000.0 + 2_900.0)
    assert failed["issuer Circle"].share == pytest.approx(2_900.0 / 13_900.0)
    more = {f.name: f for f in standing.fallen(book, found, {("venue aave on one", "bridge B"): 0.25})}
    assert more["bridge B"].lost_usd == pytest.approx(0.25 * 11_000.0)


def test_system__when_one_has_nothing_left__then_he_stands_above_everybody() -> None:
    def one(name: str, assets: float, debt: float) -> Borrower:
        own = assets - debt
        return Borrower(
            name=name,
            assets=assets,
            debt=debt,
            equity=own,
            ratio=ratio(assets, debt),
            health=1.0,
            threshold=0.8,
        )

    found = system([one("a", 100.0, 50.0), one("b", 40.0, 30.0), one("c", 10.0, 12.0), one("d", 9.0, 0.0)])
    assert (found.count, found.sunk, found.sunk_debt) == (3, 1, 12.0)
    assert found.ratio == pytest.approx(150.0 / 58.0)
    assert found.half == pytest.approx(2.0), "12 and 30 of 92 are less than half"
    assert math.isnan(system([one("d", 9.0, 0.0)]).half)


def test_asked_about__band_and_floor__then_as_policies_have_them() -> None:
    book = bookfile.parse({**BOOK, "positions": BOOK["positions"][:1]})
    wish = leverage_book.WhatIf(
        target=1.5, cost_pct=0.5, floor_usd=5_000.0, ratchet_pct=80, highest_usd=12_500
    )
    said = {m.name: m for m in leverage_book.asked_about(measure(book), wish)}
    # the configuration's own width (config.rules), in another room
    half = (0.75 * (1.5 * 0.5) ** 2 * 0.005) ** (1 / 3)
    assert said["band, highest"].value == pytest.approx(1.5 + half)
    assert "5,500 USD sold against debt restore 1.5x" in said["leverage of the loans"].means
    below = leverage_book.asked_about(measure(book), leverage_book.WhatIf(target=3.0))[-1]
    assert below.value == pytest.approx(2.0)
    assert "the keeper never borrows. Your own act: 11,000 USD borrowed" in below.means
    assert "restore 3x at health" in below.means
    assert said["may be at risk"].value == pytest.approx(3.0 * (11_000.0 - 10_000.0))
    assert "19,000 USD too much" in said["may be at risk"].means
    assert said["fall to the floor"].value == pytest.approx(100.0 * 1_000.0 / 22_000.0)


def test_only__one_account_of_a_book__then_its_positions_alone() -> None:
    book = bookfile.parse(placed())
    assert only(book, ["ME"]).names == ("loan", "short")
    picked = only(book, ["short"])
    assert (picked.names, picked.places, len(picked.rows)) == (("short",), (("perps", "two"),), 1)
    with pytest.raises(typer.BadParameter, match='"nobody" is nobody in this book; there is loan, short'):
        only(book, ["nobody"])


def test_paced__when_prices_fall_by_the_hour__then_days_at_that_pace(tmp_path: Path) -> None:
    rows = [f"{1_600_000_000 + 3_600 * n},{2_000.0 * 0.999 ** (n - 59):.9f}" for n in range(60)]
    path = tmp_path / "past.csv"
    path.write_text("\n".join(["time,ETH", *rows]) + "\n")
    book = bookfile.parse(BOOK)
    (found,) = leverage_book.paced(book, history.read(path))
    # health 1.6 falls by about 0.1 % an hour
    assert found.value == pytest.approx(0.6 / (1.6 * 0.001) / 24.0, rel=0.02)
    assert found.means == "loan at the pace of the last 48 bars (health 1)"
    (missing,) = leverage_book.paced(book, None)
    assert missing.means == "unknown: no past prices (--history)"


def test_leverage__book__table_and_json(tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    path.write_text(json.dumps(BOOK))
    shown = CliRunner().invoke(app, ["leverage", "--book", str(path)])
    assert shown.exit_code == 0, shown.output
    assert "2.00x" in shown.output
    assert "1 % down costs 0.86 % of equity" in shown.output
    printed = CliRunner().invoke(app, ["leverage", "--book", str(path), "--json"])
    assert json.loads(printed.output)["sensitivity"][0]["usd_per_percent"] == pytest.approx(120.0)
