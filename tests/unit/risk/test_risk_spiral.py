"""Cascades of a book: the fixed point by hand, what is left out, and the command's answers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from keeper.cli import invoke
from keeper.model import Shock
from keeper.risk.bookfile import NamedBook, parse
from keeper.risk.spiral import TWO_PERCENT, Cascade, Law, other_rules, project

pytestmark = pytest.mark.unit

SHORT = {
    "index": "ETH",
    "size": -1,
    "entry": 2000,
    "maintenance_rate": 0.01,
    "margin": [{"asset": "U", "amount": 900}],
}


def loan(name: str, debt: float, asset: str = "ETH", debt_asset: str = "U") -> dict[str, object]:
    collateral = [{"asset": asset, "amount": 10, "threshold": 0.8}]
    return {
        "name": name,
        "lending": {"collateral": collateral, "debt": [{"asset": debt_asset, "amount": debt}]},
    }


def document(*positions: dict[str, object]) -> dict[str, object]:
    return {"prices": {"ETH": 2000.0, "U": {"price": 1.0, "symbol": "USDC"}}, "positions": list(positions)}


def book(*positions: dict[str, object]) -> NamedBook:
    return parse(document(*positions))


def fell(named: NamedBook, move: float, depth: float = 1e6, law: Law | None = None) -> Cascade:
    return project(named, Shock(name="x", moves={"ETH": move}), {"*": depth}, law or Law())


def test_project__two_loans__second_falls_by_the_first_ones_sale() -> None:
    # at 1,500 the first (health 0.9375) loses all: 12,800 repaid, 13,440 sold; the second stands at 1.0017
    found = fell(book(loan("one", 12_800), loan("two", 11_980)), -0.25, 100_000)
    price = 1500 * math.exp(-13_440 * TWO_PERCENT / 100_000)
    assert 8 * price < 11_980 < 8 * 1500
    sold = 13_440 + 11_980 / 2 * 1.05
    end = 1500 * math.exp(-sold * TWO_PERCENT / 100_000)
    eth = next(x for x in found.feeds if x.feed == "ETH")
    assert found.first_repaid_usd == pytest.approx(12_800)
    assert dict(found.hits).keys() == {"one", "two"}
    assert found.settled
    assert eth.sold_usd >= sold * 0.999999
    assert eth.end <= end * 1.000001
    assert found.amplification == pytest.approx(math.log(2000 / eth.end) / math.log(2000 / 1500))


def test_project__deep_market__is_the_shock_alone() -> None:
    found = fell(book(loan("one", 12_800), loan("two", 11_980)), -0.25, 1e15)
    assert dict(found.hits) == {"one": 1}
    assert found.repaid_usd == found.first_repaid_usd == pytest.approx(12_800)
    assert found.amplification == pytest.approx(1.0)
    assert found.rounds == 1


def test_project__no_shock__nothing_happens() -> None:
    found = fell(book(loan("one", 12_800)), 0.0)
    assert (found.hits, found.repaid_usd, found.rounds, found.amplification) == ((), 0.0, 0, 1.0)


def test_project__under_water__leaves_bad_debt() -> None:
    found = fell(book(loan("one", 15_000)), -0.5, 1e15)
    assert found.repaid_usd == pytest.approx(10_000 / 1.05)
    assert found.bad_debt_usd == pytest.approx(15_000 - 10_000 / 1.05)


@pytest.mark.parametrize(("move", "hits"), [(-1.0, 0), (-0.9999999, 3)])
def test_project__when_the_price_is_nothing__then_every_debt_is_lost_as_just_above_it(
    move: float, hits: int
) -> None:
    found = fell(book(loan("one", 12_800), loan("two", 11_980), loan("three", 100)), move, 1e15)
    assert len(found.hits) == hits
    assert found.bad_debt_usd == pytest.approx(12_800 + 11_980 + 100, rel=1e-4)
    assert found.insolvent == ("one", "two", "three")


def test_project__when_a_loan_has_no_collateral__then_its_debt_is_bad_and_it_is_named() -> None:
    bare: dict[str, object] = {
        "name": "bare",
        "lending": {"collateral": [], "debt": [{"asset": "U", "amount": 700}]},
    }
    found = fell(book(bare, loan("well", 100)), 0.0)
    assert (found.bad_debt_usd, found.insolvent, found.hits) == (700.0, ("bare",), ())


def test_other_rules__when_venues_take_all_at_once__then_they_are_counted_and_aave_is_not() -> None:
    places = {"morpho_blue": 2, "maker": 1, "aave_v3": 1, "spark": 1, "aave_v2": 1}
    loans = [{**loan(f"{v}{n}", 100), "venue": v} for v, count in places.items() for n in range(count)]
    assert other_rules(book(*loans, loan("nowhere", 100))) == (("maker", 1), ("morpho_blue", 2))


def test_project__perps_and_unknown_rows__are_left_out_by_name() -> None:
    row = {"name": "row", "row": {"feeds": ["ETH"], "a": [1.0], "b": [0.0], "b0": 10.0}}
    idle = {
        "name": "idle",
        "lending": {"collateral": [{"asset": "ETH", "amount": 1, "threshold": 0.8}], "debt": []},
    }
    named = book(loan("one", 12_800), {"name": "short", "perp": SHORT}, row, idle)
    found = fell(named, -0.25)
    assert [n for n, _ in found.left_out] == ["short", "row"]
    assert found.unknown == 0
    lost = NamedBook(
        names=("x",), rows=named.rows[:1], prices={"ETH": 2000.0}, symbols={}, tokens=named.tokens[:1]
    )
    assert fell(lost, -0.25).unknown == 1


def test_project__owes_what_it_owns__debt_is_not_lessened_by_the_sale() -> None:
    found = fell(book(loan("loop", 8.5, debt_asset="ETH")), 0.0, 100_000)
    # 10 ETH at 0.8 against 8.5 ETH: under at any price; 8.5 x 2000 is repaid at full value
    assert found.repaid_usd == pytest.approx(17_000)


def test_project__asset_without_depth__is_asked_for() -> None:
    named = book(loan("one", 12_800))
    with pytest.raises(ValueError, match="no depth of ETH"):
        project(named, Shock(name="x", moves={"ETH": -0.25}), {"BTC": 1e6}, Law())
    found = project(named, Shock(name="x", moves={"ETH": -0.25}), {"eth": 1e6}, Law())
    assert [x.depth_usd for x in found.feeds] == [1e6, math.inf], "a stable does not move unless asked"


def staked(*positions: dict[str, object]) -> NamedBook:
    more = {
        "wst": {"price": 2400.0, "symbol": "wstETH"},
        "weth": {"price": 2000.0, "symbol": "WETH"},
        "hard": {"price": 2400.0, "symbol": "wstETH", "fixed": True},
    }
    made = document(*positions)
    assert isinstance(made["prices"], dict)
    return parse({**made, "prices": {**made["prices"], **more}})


def test_project__staked_token_sold__lowers_ether_and_whoever_holds_it() -> None:
    # 10 wstETH at 1,800: health 0.9375, all 15,360 repaid; WETH at 1,500 would stand at 1.0017 without that sale
    named = staked(loan("staker", 15_360, "wst"), loan("holder", 11_980, "weth"), loan("fixed", 100, "hard"))
    found = project(named, Shock(name="x", moves={"ETH": -0.25}), {"ETH": 100_000}, Law())
    assert dict(found.hits).keys() == {"staker", "holder"}
    end = {x.feed: x for x in found.feeds}
    both = end["wst"].sold_usd + end["weth"].sold_usd
    fall = math.exp(-both * TWO_PERCENT / 100_000)
    assert end["weth"].end == pytest.approx(1500 * fall)
    assert end["wst"].end == pytest.approx(1800 * fall), "the ratio stands: its own depth is not named"
    assert end["hard"].end == 2400.0
    assert dict(project(named, Shock(name="x", moves={"ETH": -0.25}), {"ETH": 1e12}, Law()).hits) == {
        "staker": 1
    }


def test_project__staked_token_with_a_market_of_its_own__loses_its_ratio_too() -> None:
    named = staked(loan("staker", 15_360, "wst"), loan("holder", 11_000, "weth"))
    depths = {"stETH": 50_000.0, "WETH": 100_000.0}
    found = project(named, Shock(name="x", moves={"ETH": -0.25}), depths, Law())
    end = {x.feed: x for x in found.feeds}
    sold = end["wst"].sold_usd
    assert end["weth"].end == pytest.approx(1500 * math.exp(-sold * TWO_PERCENT / 100_000))
    assert end["wst"].end == pytest.approx(1800 * math.exp(-sold * TWO_PERCENT * (1 / 100_000 + 1 / 50_000)))
    assert (end["wst"].depth_usd, end["wst"].ratio_depth_usd) == (100_000, 50_000)
    with pytest.raises(ValueError, match="no depth of ETH, which wstETH follows"):
        project(named, Shock(name="x", moves={}), {"wstETH": 1e6}, Law())


def test_project__empty_book__is_quiet() -> None:
    found = fell(book(), -0.5)
    assert (found.hits, found.feeds, found.settled) == ((), (), True)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "book.json"
    file.write_text(
        json.dumps(document(loan("one", 12_800), loan("two", 11_980), {"name": "short", "perp": SHORT}))
    )
    return file


def run(*arguments: object) -> int:
    return invoke([str(a) for a in arguments])


def test_command__table_and_json__agree(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ("cascade", "--book", path, "--shock", "ETH=-25", "--depth", "ETH=1e5")
    assert run(*line) == 0
    out = capsys.readouterr().out
    assert "2 of 3 positions liquidated" in out
    assert "left out: short" in out
    assert run(*line, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["liquidated"], found["settled"], found["schema"]) == (2, True, 1)
    assert {a["feed"]: a["depth_2pct_usd"] for a in found["assets"]} == {"ETH": 1e5, "U": None}
    assert found["amplification"] > 1.0


def test_command__when_all_is_lost__then_the_insolvent_are_named(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("cascade", "--book", path, "--shock", "ETH=-100", "--depth", "ETH=1e5")
    assert run(*line) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "24,780 USD of debt left without collateral" in out
    assert "2 positions INSOLVENT, 24,780 USD owed is lost" in out
    assert "with nothing left: one, two" in out
    assert "prices stay where" not in out
    assert run(*line, "--json") == 0
    assert json.loads(capsys.readouterr().out)["insolvent"] == ["one", "two"]


@pytest.mark.parametrize("more", [(), ("--map",)])
def test_command__when_a_venue_has_another_rule__then_it_is_said(
    more: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "book.json"
    file.write_text(json.dumps(document({**loan("one", 12_800), "venue": "morpho_blue"})))
    line = ("cascade", "--book", file, "--shock", "ETH=-25", "--depth", "ETH=1e5", *more)
    assert run(*line) == 0
    assert "have other rules: morpho_blue (1)" in " ".join(capsys.readouterr().out.split())
    assert run(*line, "--json") == 0
    assert json.loads(capsys.readouterr().out)["other_rules"] == {"morpho_blue": 1}


def test_command__named_shock__by_its_beginning(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cascade", "--book", path, "--shock", "black", "--depth", "*=1e6", "--json") == 0
    assert json.loads(capsys.readouterr().out)["shock"] == "Black Thursday 2020-03-12"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--shock", "ETH=-101", "--depth", "*=1"), "--shock"),
        (("--shock", "ETH=x", "--depth", "*=1"), "--shock"),
        (("--shock", "zebra", "--depth", "*=1"), "names 0 shocks"),
        (("--shock", "ETH=-1,eth=-2", "--depth", "*=1"), "given twice"),
        (("--shock", "ETH=-1", "--depth", "ETH=0"), "--depth"),
        (("--shock", "ETH=-1", "--depth", "ETH=inf"), "--depth"),
        (("--shock", "ETH=-1", "--depth", "BTC=1e6"), "no depth of ETH"),
        (("--shock", "ETHER=-50", "--depth", "*=1"), "there are ETH, USDC"),
        (("--shock", "ETH=-50,LINK=-20", "--depth", "*=1"), "LINK moves none"),
        (("--shock", "ETH=-1", "--depth", "*=1", "--mine", "one"), "--mine"),
        (("--shock", "ETH=-1", "--depth", "*=1", "--steps", "20"), "--steps"),
        (("--shock", "ETH=-1", "--depth", "BTC=1e6", "--map"), "'--depth': no depth of ETH"),
        (("--shock", "ETH=-1", "--depth", "*=1", "--bonus", "nan"), "--bonus"),
        (("--shock", "ETH=-1", "--depth", "*=1", "--close", "0"), "--close"),
        (
            (
                "--shock",
                "ETH=-1",
            ),
            "--depth",
        ),
    ],
)
def test_command__wrong_option__one_message(
    options: tuple[str, ...], says: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cascade", "--book", path, *options) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err
