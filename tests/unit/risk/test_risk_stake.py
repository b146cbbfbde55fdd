"""What a position has at stake: one rule for the daemon, the decision and the book file, by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from keeper.cli import invoke
from keeper.decision.ranking import expected_loss_usd
from keeper.errors import ConfigError
from keeper.model import WHOLE_BPS_AVERAGE, Position
from keeper.risk.bookfile import parse
from keeper.risk.loss import GmxRule
from keeper.risk.outlook import assess
from keeper.risk.portfolio import portfolio
from keeper.risk.shocks import LIBRARY
from keeper.risk.stake import Held, Loan, loan_loss_usd, perp_loss_usd, position_loss_usd
from keeper.units import WAD
from tests.unit.risk.risk_positions import Held as Holds
from tests.unit.risk.risk_positions import lending, policy, prices

pytestmark = pytest.mark.unit


def vault(
    price: float, *, venue: str = "aave_v3", flags: tuple[str, ...] = (), bonus: int = 10_500
) -> Position:
    """10 ETH at 0.8 against 10,000 USDC."""
    made = lending([Holds(symbol="ETH", tokens=10, price=price, threshold=0.8)], [USDC], flags=flags)
    held = tuple(replace(h, bonus_bps=bonus) for h in made.collateral)
    return replace(made, id=replace(made.id, venue=venue), collateral=held)


USDC = Holds(symbol="USDC", tokens=10_000, price=1.0)


def test_position_loss__by_venue_line_and_health() -> None:
    assert position_loss_usd(vault(2000)) == pytest.approx(250), "half of the debt, 5 %"
    assert position_loss_usd(vault(1180)) == pytest.approx(500), "health 0.944: all of it"
    assert position_loss_usd(vault(2000, venue="other")) == pytest.approx(500), "no rule known: all at once"
    # 1,500 of debt: 3.3 closes what is small whole, a pool with whole-bps averages is of the older line
    small = vault(2000)
    debt = tuple(replace(h, value_base=1500 * 10**8) for h in small.debt)
    assert position_loss_usd(replace(small, debt=debt)) == pytest.approx(75)
    older = vault(2000, flags=(WHOLE_BPS_AVERAGE,))
    assert position_loss_usd(replace(older, debt=debt)) == pytest.approx(37.5)
    assert position_loss_usd(vault(2000, bonus=0)) is None
    absorbed = vault(2000, venue="compound_v3")
    taken = sum(h.value_base for h in absorbed.collateral) / 10**absorbed.base_decimals
    assert position_loss_usd(absorbed) == pytest.approx(taken * (1 - 1 / 1.05)), (
        "all collateral, whatever is owed"
    )
    assert position_loss_usd(lending([Holds(symbol="ETH", tokens=1, price=2000)], [])) is None


def test_loan_loss__each_venue__by_hand() -> None:
    eth = Held(value_usd=20_000, threshold=0.8, bonus=0.06, liquidation_factor=0.95)
    assert loan_loss_usd(Loan(venue="aave_v3", collateral=(eth,), debt_usd=10_000)) == pytest.approx(300)
    assert loan_loss_usd(Loan(venue="spark", collateral=(eth,), debt_usd=1500)) == pytest.approx(45)
    assert loan_loss_usd(Loan(venue="compound_v3", collateral=(eth,), debt_usd=10_000)) == pytest.approx(1000)
    incentive = 1 / (1 - 0.3 * 0.2)
    morpho = loan_loss_usd(Loan(venue="morpho_blue", collateral=(eth,), debt_usd=10_000))
    assert morpho == pytest.approx(10_000 * (incentive - 1))
    maker = loan_loss_usd(Loan(venue="maker", collateral=(eth,), debt_usd=10_000, penalty=0.13))
    assert maker == pytest.approx(10_000 * 1.13 / 0.9 - 10_000)
    assert loan_loss_usd(Loan(venue="maker", collateral=(eth,), debt_usd=0.0)) == 0.0
    with pytest.raises(ValueError, match="no rule of x"):
        loan_loss_usd(Loan(venue="x", collateral=(eth,), debt_usd=1.0))


def test_perp_loss__far_or_under__at_most_what_is_left() -> None:
    rule = GmxRule(liquidation_fee=0.003, close_fee=0.0006, collateral_min=0.005)
    assert perp_loss_usd(3000, 10_000, rule) == pytest.approx(36), "30 fee, 6 closing; 56 would be left"
    assert perp_loss_usd(20, 10_000, rule) == pytest.approx(20), "under already with less than the fees"
    assert perp_loss_usd(-5, 10_000, rule) == 0.0


def test_outlook_and_decision__share_the_loss() -> None:
    safe, near = vault(2000), replace(vault(1550), health_wad=124 * 10**16)
    found = [
        assess([p], [], prices(Holds(symbol="ETH", tokens=1, price=at), USDC), [], {p.id: policy()})[0]
        for p, at in ((safe, 2000), (near, 1550))
    ]
    assert [o.loss_usd for o in found] == [None, pytest.approx(250)]
    # between 1.3 and 1.1: 0.3 of the way
    assert expected_loss_usd(near, policy(), found[1].loss_usd) == pytest.approx(250 * 0.3)
    assert expected_loss_usd(near, policy(), None) == float("inf"), "what nobody knows defers nothing"
    assert expected_loss_usd(replace(near, health_wad=2 * WAD), policy(), None) == 0.0


def document(**lending_more: object) -> dict[str, object]:
    loan = {
        "collateral": [{"asset": "ETH", "amount": 10, "threshold": 0.8, "bonus": 0.05}],
        "debt": [{"asset": "U", "amount": 10_000}],
        "venue": "aave_v3",
    }
    perp = {
        "index": "ETH",
        "size": -5,
        "entry": 2000,
        "maintenance_rate": 0.01,
        "margin": [{"asset": "U", "amount": 3000}],
        "venue": "gmx_v2",
        "close_fee": 0.0007,
    }
    raw = {"feeds": ["ETH"], "a": [1.0], "b": [0.0], "b0": 1200.0}
    return {
        "prices": {"ETH": 2000.0, "U": {"price": 1.0, "symbol": "USDC"}},
        "positions": [
            {"name": "loan", "lending": {**loan, **lending_more}},
            {"name": "short", "perp": perp},
            {"name": "raw", "row": raw},
        ],
    }


def test_book_file__venues_named__losses_and_what_protection_is_worth() -> None:
    book = parse(document())
    assert list(book.losses) == [pytest.approx(250), pytest.approx(37), None]
    found = portfolio(book, LIBRARY)
    losses = {t.name: t.loss_usd for t in found.touches}
    assert losses == {"loan": pytest.approx(250), "short": pytest.approx(37), "raw": None}
    week = sum((t.loss_usd or 0.0) * t.by_horizon[-1].p_touch for t in found.touches)
    assert found.expected_loss_usd[-1] == pytest.approx(week)
    assert list(found.expected_loss_usd) == sorted(found.expected_loss_usd)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"venue": "aave"}, "lending.venue = 'aave': must be one of aave_v3, aave_v3_0, spark"),
        ({"venue": None, "penalty": 0.1}, "penalty belongs to a venue, and none is named"),
        ({"venue": "compound_v3"}, "collateral[0]: lacks liquidation_factor"),
        ({"venue": "maker", "penalty": 13}, "penalty = 13: a ratio of 1"),
        ({"venue": "maker", "penalty": -1}, "penalty = -1: must be a number"),
        ({"collateral": [{"asset": "ETH", "amount": 1, "threshold": 0.8}]}, "lacks bonus"),
        (
            {"venue": "morpho_blue", "collateral": [{"asset": "ETH", "amount": 1, "threshold": 1.2}]},
            "threshold: an LLTV of Morpho Blue",
        ),
        ({"collateral": [{"asset": "ETH", "amount": 1, "threshold": 0.8, "bonus": 5}]}, "a ratio of 1"),
    ],
)
def test_book_file__wrong_rule__is_named(more: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(document(**more))
    assert problem in "\n".join(caught.value.problems)


def test_risk_command__table_and_json__tell_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "book.json"
    path.write_text(json.dumps(document()))
    assert invoke(["risk", "--book", str(path)]) == 0
    out = capsys.readouterr().out
    assert "loss USD" in out.splitlines()[0]
    assert out.splitlines()[1].split()[-1] == "37", "the short breaks first"
    assert "first to break: short (P(touch)" in out
    assert "287.00 in all" in out
    assert "no loss is told of 1 position:" in out
    idle = {"collateral": [{"asset": "ETH", "amount": 1, "threshold": 0.8}], "debt": []}
    made = document()
    some = list(cast(list[object], made["positions"]))[:2]
    path.write_text(json.dumps({**made, "positions": [*some, {"lending": idle}]}))
    assert invoke(["risk", "--book", str(path)]) == 0
    assert "no loss is told" not in capsys.readouterr().out, "nothing liquidates what owes nothing"
    path.write_text(json.dumps(made))
    assert invoke(["risk", "--book", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [p["loss_usd"] for p in found["positions"]] == [
        pytest.approx({"loan": 250.0, "short": 37.0}[p["name"]]) if p["name"] != "raw" else None
        for p in found["positions"]
    ]
    assert len(found["expected_loss_usd"]) == 3
