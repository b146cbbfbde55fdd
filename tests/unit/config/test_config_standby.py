"""``[standby]``: a machine that waits must still have something to guard when it steps in."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.config import parse
from keeper.errors import ConfigError
from tests.unit.cli.test_cli_commands import GOOD

pytestmark = pytest.mark.unit
PATH = Path("/etc/keeper/keeper.toml")
LINES = 'emergency = "1.05"\nwarn = "1.5"\nstrategies = ["deleverage"]\n'


def waits(trigger: str, margin: str) -> str:
    return GOOD.replace("1.25", trigger) + LINES + f'[standby]\nmargin = "{margin}"\n'


def test_margin__when_it_reaches_a_health_of_1__then_refused_by_the_policy_s_name() -> None:
    settings = parse(waits("1.15", "0.149"), PATH)
    assert settings.standby is not None
    for margin in ("0.15", "0.2"):
        with pytest.raises(ConfigError) as refused:
            parse(waits("1.15", margin), PATH)
        (problem,) = refused.value.problems
        assert problem.startswith(f"standby.margin: {margin} below trigger (1.15) of policies.default")


def test_margin__when_it_has_more_digits_than_a_wad__then_refused_in_words() -> None:
    with pytest.raises(ConfigError, match=r"standby\.margin: .* more than 18 decimals"):
        parse(waits("1.15", "0.0100000000000000001"), PATH)
