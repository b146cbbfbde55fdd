"""Exits by price in keeper.toml: a level without its strategy is a problem, and so is the reverse."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.config import parse
from keeper.errors import ConfigError
from tests.unit.config.test_config_parse import GOOD

pytestmark = pytest.mark.unit
HERE = Path("/etc/keeper/keeper.toml")
PLAIN = GOOD[: GOOD.index("[policies.")] if "[policies." in GOOD else GOOD


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('strategies = ["repay"]\ntrail_pct = { WETH = "15" }', 'name "trailing_stop" in strategies'),
        ('strategies = ["trailing_stop"]', '"trailing_stop" needs trail_pct'),
        ('strategies = ["take_profit"]\ntake_profit = { WETH = "4000" }', "needs close_above_trigger = true"),
        ("close_above_trigger = true", "does nothing by itself: give close_prices, trail_pct or take_profit"),
        ('strategies = ["trailing_stop"]\ntrail_pct = { WETH = "95" }', "at most 90 per cent"),
        ('strategies = ["trailing_stop"]\ntrail_pct = { WETH = "0.00001" }', "more than 4 decimals"),
    ],
)
def test_exits__wrong__says_what(given: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(f"{PLAIN}[policies.default]\n{given}\n", HERE)
    assert words in str(raised.value)


def test_exits__right__as_exact_integers() -> None:
    given = 'strategies = ["trailing_stop", "take_profit"]\ntrail_pct = { WETH = "12.5" }\n'
    given += 'take_profit = { WETH = "4000.5" }\nclose_above_trigger = true\n'
    (policy,) = parse(f"{PLAIN}[policies.default]\n{given}", HERE).policies
    assert policy.trail_pct == (("WETH", 125_000),)
    assert policy.take_profit == (("WETH", 40005 * 10**17),)
    assert (policy.close_above_trigger, policy.trail_marks, policy.moved) == (True, (), ())
