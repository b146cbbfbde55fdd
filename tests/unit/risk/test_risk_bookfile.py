"""The book file: what it accepts, and every problem named at once."""

from __future__ import annotations

import json
import math

import pytest

from keeper.errors import ConfigError
from keeper.risk.bookfile import parse, read
from keeper.risk.distance import Boundary
from keeper.risk.portfolio import distances, portfolio, shock
from keeper.risk.shocks import LIBRARY, ladder

pytestmark = pytest.mark.unit

GOOD = {
    "prices": {
        "ETH": 2000.0,
        "wst": {"price": 2400, "symbol": "wstETH"},
        "U": {"price": 1.0, "symbol": "USDC"},
    },
    "positions": [
        {
            "name": "loan",
            "lending": {
                "collateral": [{"asset": "ETH", "amount": 10, "threshold": 0.8}],
                "debt": [{"asset": "U", "amount": 10_000}],
            },
        },
        {
            "name": "short",
            "perp": {
                "index": "ETH",
                "size": -5,
                "entry": 2100,
                "maintenance_rate": 0.01,
                "margin": [{"asset": "U", "amount": 3000}],
            },
        },
        {"row": {"feeds": ["wst"], "a": [1.0], "b": [0.0], "b0": 1200.0}},
    ],
}


def test_read__good_file__gives_rows_that_say_what_it_says(tmp_path):
    path = tmp_path / "book.json"
    path.write_text(json.dumps(GOOD))
    book = read(path)
    assert book.names == ("loan", "short", "2")
    loan, short, raw = distances(book, 7.0)
    assert loan.health == pytest.approx(1.6)
    assert short.margin_usd == pytest.approx(3000 + 500 - 100)
    assert short.prices[0].price == pytest.approx((3000 + 10_500) / 5.05)
    assert raw.health == pytest.approx(2.0)
    assert dict(raw.nearest.moves).keys() == {"ETH", "stETH/ETH"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d.pop("prices"), "lacks prices"),
        (lambda d: d.update(extra=1), "unknown key extra"),
        (lambda d: d["prices"].update(ETH=0), "prices.ETH = 0: must be a number above 0"),
        (lambda d: d["prices"].update(ETH="x"), "prices.ETH = 'x'"),
        (lambda d: d["prices"].update(ETH=math.nan), "prices.ETH = nan"),
        (lambda d: d["prices"].pop("U"), "position loan: no price of U"),
        (lambda d: d["positions"].append({}), "needs exactly one of lending, perp, cross and row"),
        (lambda d: d["positions"].append([]), "positions[3]: must be an object"),
        (lambda d: d["positions"][0]["lending"]["debt"][0].update(amount=-1), "debt[0].amount = -1"),
        (lambda d: d["positions"][0]["lending"]["collateral"][0].pop("threshold"), "lacks threshold"),
        (lambda d: d["positions"][1]["perp"].update(size=None), "perp.size = None"),
        (lambda d: d["positions"][2]["row"].update(a=[1, 2]), "has 1 feeds, 2 a and 1 b"),
        (lambda d: d["positions"][2]["row"].update(b=[-1]), "b[0] = -1"),
    ],
)
def test_parse__one_mistake__is_named(change, problem):
    document = json.loads(json.dumps(GOOD))
    change(document)
    with pytest.raises(ConfigError) as caught:
        parse(document)
    assert problem in "\n".join(caught.value.problems)


def test_parse__several_mistakes__all_named():
    with pytest.raises(ConfigError) as caught:
        parse({"prices": {"A": -1, "B": None}, "positions": [{"row": {}}, 5]})
    assert len(caught.value.problems) >= 5


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "5", "null"])
def test_read__no_book__one_clear_error(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read(path)


def test_shock__ladder__counts_and_keeps_unknown_apart():
    document = json.loads(json.dumps(GOOD))
    book = parse(document)
    results = shock(book, ladder("ETH", [0.0, -0.4, -0.6]))
    assert [r.liquidatable for r in results] == [0, 1, 2]
    assert results[1].notional_usd == pytest.approx(10_000)
    assert results[1].health[0] == pytest.approx(0.96)
    assert results[2].health[2] == pytest.approx(0.8), "the staked token follows"
    assert shock(book, ()) == ()


def test_portfolio__book__orders_by_touch_and_names_the_worst_shock():
    found = portfolio(parse(json.loads(json.dumps(GOOD))), LIBRARY)
    assert found.touches[0].name == "short"
    assert found.worst_shock is not None
    assert sum(x for _, x in found.contributions) == pytest.approx(1.0)
    assert found.hhi > 0
    assert found.unknown == ()


def test_portfolio__faulty_position__is_unknown_and_first():
    from dataclasses import replace

    book = parse(json.loads(json.dumps(GOOD)))
    broken = replace(book, rows=(replace(book.rows[0], a0=math.nan), *book.rows[1:]))
    found = portfolio(broken, LIBRARY)
    assert found.unknown == ("loan",)
    assert found.touches[0].by_horizon[0].boundary is Boundary.UNKNOWN
    assert shock(broken, LIBRARY[:1])[0].unknown == 1
