"""Story files: what loads, what is refused and in which words, and that the shipped story threatens all."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from anvil.deploy_aave_v3 import EMODES, RESERVES
from anvil.perp_scenario import load_perp_scenario
from anvil.scenario import SCENARIOS_DIR, Role, Scenario, ScenarioError, load_scenario, sized

pytestmark = pytest.mark.unit

GOOD = """
name = "small"
title = "A small story"
seconds_per_block = 12
base_fee_gwei = "1.5"
[keeper]
native = "2"
tokens = { USDC = "100" }
[[borrower]]
label = "plain"
collateral = { WETH = "10" }
debt = { USDC = "1" }
health = "1.5"
[[step]]
prices = { WETH = "0.97" }
[[step]]
base_fee = 20
[[step]]
prices = { WETH = "0.333333333333" }
"""


def _load(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "story.toml"
    path.write_text(text, encoding="utf-8")
    return load_scenario(str(path))


def test_prices__after_steps__are_multiples_of_the_start_floored(tmp_path: Path) -> None:
    scenario = _load(tmp_path, GOOD)
    assert scenario.prices_usd8(-1)["WETH"] == 3_000 * 10**8
    assert scenario.prices_usd8(0)["WETH"] == 2_910 * 10**8
    assert scenario.prices_usd8(1)["WETH"] == 2_910 * 10**8, "a rest keeps the price"
    assert scenario.prices_usd8(2)["WETH"] == 99_999_999_999
    assert scenario.prices_usd8(2)["USDC"] == 10**8


def test_base_fee__multiplied__is_exact(tmp_path: Path) -> None:
    scenario = _load(tmp_path, GOOD)
    assert scenario.base_fee_wei(0) == 1_500_000_000
    assert scenario.base_fee_wei(1) == 30_000_000_000


def test_role__sized__has_its_health_at_start(tmp_path: Path) -> None:
    borrower = sized(_load(tmp_path, GOOD).borrower[0], "0xabc")
    assert borrower.collateral == {"WETH": 10 * 10**18}
    assert borrower.debt == {"USDC": 16_600 * 10**6}
    assert borrower.emode == 0


def test_role__in_emode__is_sized_by_the_category(tmp_path: Path) -> None:
    emode = 'label = "plain"\nemode = "ETH correlated"'
    text = GOOD.replace('label = "plain"', emode).replace('{ WETH = "10" }', '{ wstETH = "10" }')
    text = text.replace('debt = { USDC = "1" }', 'debt = { WETH = "1" }')
    borrower = sized(_load(tmp_path, text).borrower[0], "0xabc")
    assert borrower.emode == 2
    assert borrower.debt == {"WETH": 36_000 * 95 * 10**18 // 100 * 2 // 3 // 3_000}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('health = "1.5"', 'health = "0.9"', ["borrower[0].health", "'0.9'", "greater than 1"]),
        ('health = "1.5"', 'health = "1.01"', ["'plain'", "1.01", "loan-to-value allows from 1.0311"]),
        ('{ USDC = "1" }', '{ USDC = "0.5" }', ["borrower[0].debt", "0.5", "add up to 1"]),
        ('{ WETH = "10" }', '{ WETHH = "10" }', ["borrower[0].collateral", "'WETHH'", "not in the market"]),
        ('{ WETH = "0.97" }', '{ WETH = "-1" }', ["step[0].prices.WETH", "'-1'", "greater than 0"]),
        ('{ WETH = "0.97" }', '{ WETH = "much" }', ["step[0].prices.WETH", "'much'"]),
        ('{ WETH = "0.97" }', '{ FOO = "1" }', ["step[0].prices", "'FOO'", "not in the market"]),
        ("seconds_per_block = 12", "seconds_per_block = 0", ["seconds_per_block", "= 0", "greater than 0"]),
        ("base_fee = 20", "base_fees = 20", ["step[1].base_fees", "20"]),
        ('native = "2"', "", ["keeper.native", "required"]),
        ('label = "plain"', 'label = "plain"\nemode = "Stable"', ["borrower[0].emode", "'Stable'"]),
        ('label = "plain"', 'label = "plain"\nemode = "ETH correlated"', ["['USDC']", "borrowable"]),
    ],
)
def test_story__with_a_mistake__is_refused_by_file_field_and_value(
    tmp_path: Path, old: str, new: str, said: list[str]
) -> None:
    assert old in GOOD
    with pytest.raises(ScenarioError) as refused:
        _load(tmp_path, GOOD.replace(old, new))
    for words in ("story.toml", *said):
        assert words in str(refused.value)


def test_story__with_two_mistakes__names_both(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as refused:
        _load(tmp_path, GOOD.replace('"0.97"', '"0"').replace('health = "1.5"', 'health = "1"'))
    assert len(str(refused.value).splitlines()) == 2


def test_story__not_toml__says_so(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"story\.toml: not TOML"):
        _load(tmp_path, "name = ")


def test_story__unknown_name__lists_those_shipped() -> None:
    with pytest.raises(ScenarioError, match=r"no such scenario; shipped: .*crash"):
        load_scenario("nonesuch")


@pytest.mark.parametrize("name", sorted(p.stem for p in SCENARIOS_DIR.glob("*.toml")))
def test_shipped_story__loads__under_its_own_name(name: str) -> None:
    assert (load_perp_scenario(name) or load_scenario(name)).name == name


def test_perp_story__wrong_fields__each_named(tmp_path: Path) -> None:
    text = (SCENARIOS_DIR / "perp.toml").read_text()
    path = tmp_path / "own.toml"
    path.write_text(text.replace('side = "long"', 'side = "up"').replace('eth = "0.980"', 'eth = "-1"'))
    with pytest.raises(ScenarioError, match=r"(?s)position\.0\.side = 'up'.*step\.0\.eth = '-1'"):
        load_perp_scenario(str(path))
    path.write_text(text.replace("short 10x", "long 10x"))
    with pytest.raises(ScenarioError, match="used twice"):
        load_perp_scenario(str(path))


def _health(scenario: Scenario, role: Role, index: int) -> Decimal:
    """Health of an untouched position after a step, interest left out."""
    prices = scenario.prices_usd8(index)
    reserves = {r.symbol: r for r in RESERVES}
    mode = next((m for m in EMODES if m.label == role.emode), None)
    borrower = sized(role, "")
    assets = sum(
        Decimal(units) * prices[s] / 10 ** reserves[s].decimals
        * (mode.threshold_bps if mode and s in mode.collateral else reserves[s].threshold_bps) / 10_000
        for s, units in borrower.collateral.items()
    )  # fmt: skip
    owed = sum(Decimal(u) * prices[s] / 10 ** reserves[s].decimals for s, u in borrower.debt.items())
    return Decimal(assets / owed)


def test_crash__each_twin__falls_below_one_and_no_step_takes_more_than_four_percent() -> None:
    scenario = load_scenario("crash")
    for role in scenario.borrower:
        path = [_health(scenario, role, i) for i in range(-1, len(scenario.step))]
        assert abs(path[0] - role.health) < Decimal("0.001")
        assert min(path) < Decimal("0.99"), role.label
        worst = min(after / before for before, after in pairwise(path))
        assert worst > Decimal("0.96"), (role.label, worst)


def test_crash__its_figures__are_those_of_its_title() -> None:
    scenario = load_scenario("crash")
    path = [scenario.prices_usd8(i) for i in range(-1, len(scenario.step))]
    for symbol, left_pct in (("WETH", 65), ("WBTC", 75)):
        assert min(prices[symbol] for prices in path) * 100 == path[0][symbol] * left_pct
    assert max(step.base_fee for step in scenario.step) == 20
    assert any(not step.prices for step in scenario.step[3:-3]), "a rest between the waves"
