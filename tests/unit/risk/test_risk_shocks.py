"""Shocks: who follows whom, the library, ladders, grids, a user's tables."""

from __future__ import annotations

import math

import pytest

from keeper.errors import ConfigError
from keeper.model import Shock
from keeper.risk.assets import asset, is_staked
from keeper.risk.shocks import LIBRARY, SOURCES, compose, for_feeds, from_tables, grid, ladder, move, moved

pytestmark = pytest.mark.unit

FALL = Shock(name="fall", moves={"ETH": -0.3, "*": -0.5})


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("ETH", -0.3),
        ("WETH", -0.3),
        ("weth", -0.3),
        ("wstETH", -0.3),
        ("weETH", -0.3),
        ("WBTC", -0.5),
        ("LINK", -0.5),
        ("NEVERHEARDOF", -0.5),
        ("USDC", 0.0),
        ("USDC.e", 0.0),
        ("GHO", 0.0),
        ("sUSDe", 0.0),
        ("EURC", 0.0),
        ("XAUt", 0.0),
    ],
)
def test_move__market_fall__lsts_follow_and_stables_do_not(symbol, expected):
    assert move(FALL, symbol) == pytest.approx(expected)


def test_move__ratio_shock__moves_the_staked_token_only():
    depeg = Shock(name="depeg", moves={"ETH": -0.1, "stETH/ETH": -0.06})
    assert move(depeg, "WETH") == pytest.approx(-0.1)
    assert move(depeg, "wstETH") == pytest.approx(0.9 * 0.94 - 1)
    assert move(depeg, "rETH") == pytest.approx(-0.1)


def test_move__lst_key__moves_every_staked_ratio():
    shock = Shock(name="lst", moves={"ETH": -0.2, "lst": -0.05})
    assert move(shock, "rETH") == pytest.approx(0.8 * 0.95 - 1)
    assert move(shock, "WETH") == pytest.approx(-0.2)
    assert move(shock, "sDAI") == 0.0, "a savings dollar is no staked token"


def test_move__own_name__beats_everything():
    shock = Shock(name="own", moves={"*": -0.5, "ETH": -0.3, "wstETH": 0.1, "USDC": -0.13, "stable": -0.01})
    assert move(shock, "wstETH") == pytest.approx(0.1)
    assert move(shock, "USDC") == pytest.approx(-0.13)
    assert move(shock, "DAI") == pytest.approx(-0.01)


def test_move__dollar_falls__its_savings_token_follows():
    shock = Shock(name="usde", moves={"USDe": -0.35})
    assert move(shock, "sUSDe") == pytest.approx(-0.35)
    assert move(shock, "USDC") == 0.0


def test_move__steth_named__its_wrapper_follows():
    assert move(Shock(name="s", moves={"stETH": -0.4}), "wstETH") == pytest.approx(-0.4)


def test_for_feeds__library__moves_only_known_feeds_within_reason():
    symbols = {"f1": "WETH", "f2": "wstETH", "f3": "USDC", "f4": "LINK", "f5": "WBTC", "f6": "DAI"}
    for shock in LIBRARY:
        made = for_feeds(shock, symbols)
        assert set(made.moves) == set(symbols)
        assert all(-1 <= x <= 0.5 for x in made.moves.values())
        assert moved(made, "unlisted") == 0.0
        assert made.moves["f2"] < 0, "every named shock hurts staked ETH"
    names = " ".join(s.name for s in LIBRARY)
    wanted = ("10 %", "Black Thursday", "May 2021", "LUNA", "stETH", "USDC", "August 2024", "October 2025")
    for word in (*wanted, "oracle only", "correlation"):
        assert word in names


def test_library__every_shock__says_where_its_numbers_come_from():
    assert set(SOURCES) == {s.name for s in LIBRARY}
    assert all(len(line) > 30 for line in SOURCES.values())


def test_library__staked_ratio__hits_a_loop_and_not_its_debt():
    shock = next(s for s in LIBRARY if s.name.startswith("staked ratio"))
    made = for_feeds(shock, {"w": "wstETH", "e": "WETH", "u": "USDC"}).moves
    assert made == pytest.approx({"w": -0.032, "e": 0.0, "u": 0.0})


def test_for_feeds__usdc_depeg__moves_the_dollar_not_by_eth():
    depeg = next(s for s in LIBRARY if s.name.startswith("USDC"))
    made = for_feeds(depeg, {"u": "USDC", "t": "USDT", "g": "GHO"})
    assert made.moves == pytest.approx({"u": -0.13, "t": 0.02, "g": 0.0})


def test_compose__two_shocks__multiplies_factors():
    a, b = Shock(name="a", moves={"x": -0.5, "y": 0.1}), Shock(name="b", moves={"x": 0.2})
    assert compose(a, b).moves == pytest.approx({"x": -0.4, "y": 0.1})


def test_ladder_and_grid__steps__name_what_they_move():
    assert [s.name for s in ladder("ETH", [-0.1, 0.05])] == ["ETH -10 %", "ETH +5 %"]
    assert ladder("*", [-0.2])[0].moves == {"*": -0.2}
    cells = grid(("ETH", [-0.1, -0.2]), ("USDC", [0.0, -0.1]))
    assert [c.moves for c in cells][1] == {"ETH": -0.1, "USDC": -0.1}
    assert len({c.name for c in cells}) == 4


def test_from_tables__good__gives_shocks_in_order():
    made = from_tables({"mine": {"ETH": -0.3, "stable": 0}, "other": {"*": -1}})
    assert [s.name for s in made] == ["mine", "other"]
    assert made[0].moves == {"ETH": -0.3, "stable": 0.0}


def test_from_tables__bad__names_every_problem():
    with pytest.raises(ConfigError) as caught:
        from_tables({"a": {"ETH": -1.5, "BTC": "x", "Z": math.nan, "T": True}, "b": {}})
    assert len(caught.value.problems) == 5
    assert "shocks.a.ETH = -1.5" in caught.value.problems[0]


def test_asset__table__is_consistent():
    assert asset("wstETH").base == "ETH"
    assert is_staked("wstETH")
    assert not is_staked("sDAI")
    assert not is_staked("WETH")
    assert asset("FOO").kind == "alt"
