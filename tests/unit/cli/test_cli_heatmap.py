"""The map of liquidations as people see it: table, drawing, JSON; whose accounts a file names."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer

from keeper.cli import heatmap, invoke, venue_book
from keeper.cli.cascade import refuse_unmoved
from keeper.errors import ConfigError
from keeper.model import Shock
from keeper.risk.bookfile import parse
from keeper.risk.heat import Band, Heat, Place

pytestmark = pytest.mark.unit
ONE, TWO = "0x5FbDB2315678afecb367f032d93F642f64180aa3", "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"
BOOK = {
    "prices": {"ETH": 2000.0, "USDC": 1.0},
    "positions": [
        {
            "name": name,
            "lending": {
                "collateral": [{"asset": "ETH", "amount": 10, "threshold": 0.8}],
                "debt": [{"asset": "USDC", "amount": owed}],
            },
        }
        for name, owed in (("near", 15_000), ("mine", 12_000), ("far", 1_000))
    ],
}


def band(size: float, **changes: float) -> Band:
    plain = {"debt_usd": 1e6 * size, "branching": 0.2, "amplification": 1.25, "end": size * 1.2}
    return Band(
        size=size,
        liquidatable=int(size * 10),
        collateral_usd=1.2e6 * size,
        new_collateral_usd=(("<b>ETH", 1e5), ("WBTC", 1e3)),
        repaid_usd=1e5,
        bad_debt_usd=0.0,
        settled=True,
        **{**plain, **changes},
    )


def a_map() -> Heat:
    return Heat(
        driver="ETH",
        rises=False,
        price=2_000.0,
        bands=(band(0.1), band(0.2), band(0.3, branching=1.4)),
        unstable=0.25,
        queue=(
            Place(name="first", size=0.05, rank=1, ahead_usd=0.0),
            Place(name="mine", size=0.15, rank=2, ahead_usd=5e4),
            Place(name="safe", size=None, rank=3, ahead_usd=9e5),
        ),
        left_out=(("perp", "no lending position"),),
        unknown=0,
    )


def test_rows__of_a_map__bars_grow_with_what_is_owed_and_instability_is_named() -> None:
    found = heatmap.rows(a_map())
    bars = [len(row[4]) for row in found]
    assert bars == sorted(bars)
    assert bars[-1] == heatmap.BAR
    assert ["UNSTABLE" in row[5] for row in found] == [False, False, True]
    assert found[0][:2] == ("-10.0%", "1,800")


def test_said__of_our_own__tells_the_place_and_what_comes_before() -> None:
    lines = "\n".join(heatmap.said(a_map(), ("mine", "safe", "stranger")))
    assert "mine: place 2 of 3, at -15.0% (ETH at 1,700); 50,000 USD of debt come before it" in lines
    assert "safe: not liquidatable within these moves" in lines
    assert "stranger: owes nothing here" in lines
    assert "unstable from -25.0% on (ETH at 1,500)" in lines
    assert "left out 1, of which 0 could not be judged: perp" in lines


@pytest.mark.parametrize("name", ["map.svg", "map.html"])
def test_write__a_name_chosen_by_strangers__stays_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    heatmap.write(path, a_map(), ("mine",), "Liquidations <script>")
    text = path.read_text()
    assert "<script>" not in text
    assert "<b>ETH" not in text
    assert "unstable" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    if name.endswith(".svg"):
        assert ElementTree.fromstring(text).tag.endswith("svg")


def test_cascade__map_of_a_book_file__tells_everybodys_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, plot = tmp_path / "book.json", tmp_path / "map.svg"
    file.write_text(json.dumps(BOOK))
    line = [
        "cascade",
        "--book",
        str(file),
        "--shock",
        "ETH=-50",
        "--depth",
        "ETH=1e9",
        "--map",
        "--mine",
        "mine",
    ]
    assert invoke([*line, "--json", "--plot", str(plot)]) == 0
    found = json.loads(capsys.readouterr().out)
    sizes = {p["name"]: p["size"] for p in found["queue"]}
    assert sizes["near"] == pytest.approx(1 - 15_000 / 16_000)
    assert sizes["mine"] == pytest.approx(1 - 12_000 / 16_000)
    assert sizes["far"] is None
    assert found["mine"] == [{"name": "mine", "size": sizes["mine"], "rank": 2, "ahead_usd": 15_000.0}]
    assert plot.is_file()
    assert invoke(line) == 0
    assert "place 2 of 3" in capsys.readouterr().out


def test_cascade__of_a_crowd__says_what_nobody_holds_and_refuses_a_shock_that_moves_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    book = parse(BOOK)
    refuse_unmoved(book, Shock(name="a", moves={"ETH": -0.3, "WBTC": -0.2}), crowd=True)
    assert "WBTC moves none of the book's prices; there are ETH" in capsys.readouterr().err
    for moves, crowd in (({"WBTC": -0.2}, True), ({"ETH": -0.3, "WBTC": -0.2}, False)):
        with pytest.raises(typer.BadParameter, match="WBTC moves none"):
            refuse_unmoved(book, Shock(name="a", moves=moves), crowd=crowd)


@pytest.mark.parametrize(
    "line, said",
    [
        (["--steps", "1"], "--steps"),
        (["--plot", "map.pdf"], "FILE.svg or FILE.html"),
        (["--shock", "BTC=-30"], "moves none"),
        (["--rpc", "http://127.0.0.1:9"], "two books"),
        (["--provider", ONE], "goes with --rpc"),
        (["--accounts", "file"], "go with --rpc"),
    ],
)
def test_cascade__wrong_options_of_the_map__exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: list[str], said: str
) -> None:
    file = tmp_path / "book.json"
    file.write_text(json.dumps(BOOK))
    plain = ["cascade", "--book", str(file), "--shock", "ETH=-50", "--depth", "*=1e9", "--map"]
    assert invoke([*plain, *line]) == 2
    assert said in capsys.readouterr().err


def test_addresses__of_a_file__once_each_with_comments_left_out(tmp_path: Path) -> None:
    file = tmp_path / "accounts"
    file.write_text(f"# whose\n{ONE}\n\n{TWO.lower()} # second\n{ONE.lower()}\n")
    assert venue_book.addresses(file) == (ONE, TWO)


@pytest.mark.parametrize(
    "text, said", [("", "names no address"), ("0x12\nx", ':1: "0x12"'), ("\xff", "is not an address")]
)
def test_addresses__of_a_wrong_file__names_the_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "accounts"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        venue_book.addresses(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        venue_book.addresses(tmp_path / "none")
