"""shock, distance and risk over a book file: tables, JSON, drawings, wrong input, exit codes."""

from __future__ import annotations

import json
import math
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from keeper.cli import invoke
from tests.unit.risk.test_risk_bookfile import GOOD

pytestmark = pytest.mark.unit


@pytest.fixture
def book(tmp_path, monkeypatch):
    path = tmp_path / "book.json"
    path.write_text(json.dumps(GOOD))
    return path


def run(*arguments):
    return invoke([str(a) for a in arguments])


def test_shock__named__prints_a_table_and_ends_well(book, capsys):
    assert run("shock", "--book", book) == 0
    out = capsys.readouterr().out
    assert "Black Thursday" in out
    assert "loan" in out


def test_shock__json_ladder__has_every_step(book, capsys):
    assert run("shock", "--book", book, "--ladder", "ETH", "--steps", "0,-40,-60", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert [s["liquidatable"] for s in document["shocks"]] == [0, 1, 2]


def test_shock__own_toml__is_used(book, tmp_path, capsys):
    mine = tmp_path / "mine.toml"
    mine.write_text('[shocks."my night"]\nETH = -0.6\nstable = 0\n')
    assert run("shock", "--book", book, "--shocks", mine, "--json") == 0
    assert json.loads(capsys.readouterr().out)["shocks"][0]["name"] == "my night"


@pytest.mark.parametrize("options", [("--ladder", "ETH"), ("--grid", "ETH,USDC"), ()])
def test_shock__plot_svg__is_wellformed_says_what_it_shows_and_repeats(book, tmp_path, options):
    one, two = tmp_path / "a.svg", tmp_path / "b.svg"
    assert run("shock", "--book", book, *options, "--plot", one) == 0
    assert run("shock", "--book", book, *options, "--plot", two) == 0
    assert ElementTree.parse(one).getroot().tag.endswith("svg")
    text = one.read_text()
    for words in ("ealth", "liquidatable", "3 positions"):
        assert words in text, "matplotlib notes each text as a comment beside its glyphs"
    assert one.read_bytes() == two.read_bytes()
    assert sorted(p.name for p in tmp_path.glob("*.svg*")) == ["a.svg", "b.svg"]


@pytest.mark.parametrize("options", [("--ladder", "*"), ("--grid", "ETH,USDC", "--steps", "-10,0"), ()])
def test_shock__plot_of_what_cannot_be_judged_or_of_nothing__draws(book, tmp_path, options):
    path = tmp_path / "a.png"
    odd = json.loads(json.dumps(GOOD))
    odd["positions"][0] = {"name": "$x_{", "row": {"feeds": [], "a": [], "b": [], "a0": 1e308, "b0": 1e308}}
    odd["positions"][1] = {"name": "huge", "row": {"feeds": ["ETH"], "a": [1e308], "b": [1e308]}}
    odd["positions"] += [{"name": f"p{n}", **GOOD["positions"][0]} for n in range(20)]
    odd["positions"] = [{**p, "name": p.get("name", "2")} for p in odd["positions"]]
    for positions in (odd["positions"], []):
        book.write_text(json.dumps({**odd, "positions": positions}))
        assert run("shock", "--book", book, *options, "--plot", path) == int(bool(positions))
        assert path.read_bytes().startswith(b"\x89PNG")
        path.unlink()


def test_shock__plot_without_the_library__names_the_extra(book, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run("shock", "--book", book, "--ladder", "ETH", "--plot", tmp_path / "a.png") == 78
    assert "keeper[analysis]" in capsys.readouterr().err
    assert run("shock", "--book", book, "--ladder", "ETH") == 0


def test_shock__plot_into_no_folder__is_named(book, tmp_path, capsys):
    assert run("shock", "--book", book, "--plot", tmp_path / "no" / "a.svg") == 78
    assert "a.svg cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("options", [("--ladder", "DOGE"), ("--grid", "ETH,DOGE")])
def test_shock__asset_that_nothing_follows__is_told_not_shown_as_calm(book, capsys, options):
    assert run("shock", "--book", book, *options) == 2
    assert "nothing here follows DOGE" in capsys.readouterr().err


def test_distance_and_risk__book__json_and_table(book, capsys):
    assert run("distance", "--book", book, "--days", "1", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["positions"]
    assert rows[0]["liquidation_prices"]["ETH"]["price"] == pytest.approx(1250)
    assert rows[0]["boundary"] == "FOUND"
    assert run("risk", "--book", book, "--json") == 0
    assert json.loads(capsys.readouterr().out)["first_to_break"] == "short"
    assert run("distance", "--book", book) == run("risk", "--book", book) == 0
    assert "beta" in capsys.readouterr().out


def test_shock__table__says_what_its_columns_are(book, capsys):
    assert run("shock", "--book", book) == 0
    out = capsys.readouterr().out
    assert "notional USD" in out.splitlines()[0]
    assert "then each" in out.splitlines()[-2] + out.splitlines()[-1]


def test_risk__boundary_ahead_but_far__is_no_zero(book, capsys):
    assert run("risk", "--book", book) == 0
    loan = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("loan"))
    assert loan.split()[3] == "<1e-06", "within an hour: 2 Phi(-70) is 0 in float64 and yet no proof"


def test_distance__rates_named__tells_days_until_they_liquidate(book, capsys):
    document = json.loads(json.dumps(GOOD))
    loan = document["positions"][0]["lending"]
    loan["collateral"][0]["rate"], loan["debt"][0]["rate"] = 0.02, 0.12
    document["positions"][1]["perp"]["funding_usd_day"] = 34.0
    book.write_text(json.dumps(document))
    assert run("distance", "--book", book, "--json") == 0
    days = [p["days_by_rates"] for p in json.loads(capsys.readouterr().out)["positions"]]
    # ln 1.6 over 10 % a year; a margin of 3,400 over 34 a day; no rate of a bare row
    assert days == [pytest.approx(math.log(1.6) / 0.10 * 365), pytest.approx(100.0), None]
    loan["collateral"][0]["rate"] = 0.2
    book.write_text(json.dumps(document))
    assert run("distance", "--book", book) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[-1] for line in out.splitlines()}
    assert (rows["loan"], rows["short"], rows["2"]) == ("never", "100.0", "-")
    assert "days by rates: until interest" in out
    loan["debt"][0]["rate"] = "x"
    book.write_text(json.dumps(document))
    assert run("distance", "--book", book) == 78
    assert "debt[0].rate = 'x'" in capsys.readouterr().err


def test_distance__position_under__is_a_finding(book):
    document = json.loads(json.dumps(GOOD))
    document["prices"]["ETH"] = 900.0
    book.write_text(json.dumps(document))
    assert run("distance", "--book", book) == run("risk", "--book", book) == run("shock", "--book", book) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("shock", "--steps", "x", "--ladder", "ETH"), 2, "--steps"),
        (("shock", "--steps", "-101", "--ladder", "ETH"), 2, "--steps"),
        (("shock", "--ladder", "ETH", "--grid", "A,B"), 2, "--ladder"),
        (("shock", "--grid", "ETH"), 2, "--grid"),
        (("shock", "--plot", "a.txt"), 2, "--plot"),
        (("shock", "--shocks", "nowhere.toml"), 78, "nowhere.toml"),
        (("distance", "--days", "0"), 2, "--days"),
        (("distance", "--days", "nan"), 2, "--days"),
    ],
)
def test_commands__wrong_option__one_message_no_traceback(book, capsys, arguments, code, says):
    assert run(*arguments, "--book", book) == code
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["shock", "distance", "risk"])
def test_commands__bad_book__exit_78_naming_the_file(command, tmp_path, capsys):
    assert run(command, "--book", tmp_path / "no.json") == 78
    assert "no.json" in capsys.readouterr().err


ALL = (
    ("shock",),
    ("distance",),
    ("risk",),
    ("risk", "--paths", "gbm", "--n", "300"),
    ("cascade", "--shock", "ETH=-20", "--depth", "*=1e6"),
)


@pytest.mark.parametrize("line", ALL)
def test_commands__no_positions__say_that_nothing_was_judged(line, book, capsys):
    book.write_text(json.dumps({**GOOD, "positions": []}))
    assert run(*line, "--book", book) == 0
    assert "no positions: nothing was judged" in capsys.readouterr().out


@pytest.mark.parametrize("line", ALL)
def test_commands__row_that_overflows__is_a_finding_and_unknown(line, book, capsys):
    huge = {"name": "huge", "row": {"feeds": ["ETH"], "a": [1e308], "b": [0.0], "b0": 1e308}}
    book.write_text(json.dumps({**GOOD, "positions": [huge]}))
    assert run(*line, "--book", book) == 1
    said = capsys.readouterr()
    assert "unknown" in said.out or "left out: huge" in said.out
    assert said.err == "", "no warning of a library reaches a person"


@pytest.mark.parametrize("line", ALL)
def test_commands__debt_without_collateral__is_liquidatable_now(line, book, capsys):
    debt = {"name": "dead", "lending": {"collateral": [], "debt": [{"asset": "U", "amount": 5}]}}
    book.write_text(json.dumps({**GOOD, "positions": [debt]}))
    assert run(*line, "--book", book) == 1
    assert "no positions" not in capsys.readouterr().out


@pytest.mark.parametrize("line", ALL)
def test_commands__three_hundred_positions_or_feeds_of_one_factor__are_judged(line, book, capsys):
    prices = {f"f{n}": {"price": 1.0 + n, "symbol": "WETH"} for n in range(300)} | {"U": 1.0}
    each = [{"asset": f"f{n}", "amount": 1, "threshold": 0.8} for n in range(300)]
    wide = {"name": "wide", "lending": {"collateral": each, "debt": [{"asset": "U", "amount": 20_000}]}}
    many = [
        {"name": f"p{n}", "lending": {"collateral": [each[n]], "debt": [{"asset": "U", "amount": 0.4 * n}]}}
        for n in range(300)
    ]
    book.write_text(json.dumps({"prices": prices, "positions": [wide, *many]}))
    assert run(*line, "--book", book) == 0
    assert "wide" in capsys.readouterr().out or line[0] == "cascade"
