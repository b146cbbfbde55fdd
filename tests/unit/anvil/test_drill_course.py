"""Which prices move in a drill: named shocks spread over updates, files of steps, the size of a single one."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path

import pytest

from anvil.drill import course
from anvil.drill.course import CourseError
from keeper.model import Shock

pytestmark = pytest.mark.unit
FALL = Shock(name="fall", moves={"ETH": -0.4, "stETH/ETH": -0.1})


def test_spread__over_updates__ends_at_the_shock_in_equal_ratios() -> None:
    found = course.spread(FALL, 4)
    eth = [1.0, *(u.multiple("WETH") for u in found.updates)]
    assert eth[-1] == pytest.approx(0.6)
    assert [b / a for a, b in pairwise(eth)] == pytest.approx([0.6**0.25] * 4)
    assert found.updates[-1].multiple("wstETH") == pytest.approx(0.6 * 0.9)
    assert found.updates[-1].multiple("USDC") == 1.0


def test_spread__to_nothing__never_reaches_a_price_of_nothing() -> None:
    found = course.spread(Shock(name="end", moves={"*": -1.0}), 3)
    assert found.updates[-1].multiple("ETH") == pytest.approx(0.001)


@pytest.mark.parametrize("size", [0.05, 0.3, 0.8])
def test_at_size__of_a_shock__moves_what_it_moves_most_by_that_size(size: float) -> None:
    update = course.at_size(FALL, ["WETH", "wstETH", "USDC"], size)
    assert update.multiple("wstETH") == pytest.approx(1 - size)
    assert 1 - size < update.multiple("WETH") < 1


def test_at_size__of_a_rise__turns_the_factor_over() -> None:
    update = course.at_size(Shock(name="rise", moves={"ETH": 0.5}), ["WETH"], 0.2)
    assert update.multiple("WETH") == pytest.approx(1 / 0.8)


def test_driver__of_a_shock_that_moves_nothing_held__is_nobody() -> None:
    assert course.driver(FALL, ["USDC", "WBTC"]) == ("", 0.0)
    assert course.driver(FALL, ["USDC", "WETH"]) == ("WETH", pytest.approx(math.log(0.6)))


def test_read__a_csv__keeps_prices_over_empty_cells_and_rests_between_blocks(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    path.write_text("block,ETH,WBTC\n0,0.9,\n10,,0.8\n11,0.7,0.7\n")
    found = course.read(path)
    assert [u.multiple("WETH") for u in found.updates] == pytest.approx([0.9, 0.9, 0.7])
    assert [u.multiple("WBTC") for u in found.updates] == pytest.approx([1.0, 0.8, 0.7])
    assert [u.rest for u in found.updates] == [8, 0, 0]
    assert course.largest_update(found, ["WETH"]) == pytest.approx(1 - 0.7 / 0.9)


@pytest.mark.parametrize(
    "text, told",
    [
        ("", "is empty"),
        ("time,ETH\n1,1\n", ":1: the first line names block"),
        ("block,ETH,ETH\n1,1,1\n", ":1: the first line names block"),
        ("block,ETH\n", "names assets and no step"),
        ("block,ETH\nx,1\n", ':2: block "x" is no whole number'),
        ("block,ETH\n5,1\n5,0.9\n", ":3: block 5 does not come after 5"),
        ("block,ETH\n1,-3\n", ':2: ETH "-3" is no multiple'),
        ("block,ETH\n1,nan\n", ':2: ETH "nan" is no multiple'),
        ("block,ETH\n1,1e9\n", ':2: ETH "1e9" is no multiple'),
        ("block,ETH\n1,1,2\n", ":2: 2 prices for 1 assets"),
        ("block,ETH\n0,1\n9000,0.9\n", "a drill runs at most 2000"),
    ],
)
def test_read__a_file_of_the_wrong_shape__names_line_column_and_value(
    tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "steps.csv"
    path.write_text(text)
    with pytest.raises(CourseError, match=re.escape(told)):
        course.read(path)


def test_read__a_file_that_is_no_text__is_told(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(CourseError, match="cannot be read"):
        course.read(path)
    with pytest.raises(CourseError, match="cannot be read"):
        course.read(tmp_path / "none.csv")
