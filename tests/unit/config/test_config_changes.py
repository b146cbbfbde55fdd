"""What a reload would change, in words, and what only a restart takes over."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.config import parse
from keeper.config.changes import changes
from tests.unit.cli.test_cli_commands import ADDRESS, GOOD

pytestmark = pytest.mark.unit
HERE = Path("keeper.toml")


def test_changes__when_nothing_differs__then_none() -> None:
    assert changes(parse(GOOD, HERE), parse(GOOD, HERE)).none


def test_changes__when_a_threshold_and_a_cap_differ__then_told_in_the_files_own_numbers_and_it_disarms() -> (
    None
):
    after = GOOD.replace('"1.25"', '"1.3"') + "[policies.default.caps]\nper_day_usd = 12000\n"
    found = changes(parse(GOOD, HERE), parse(after, HERE))
    assert "policies.default.trigger 1.25 -> 1.3" in found.lines
    assert any(line.startswith("policies.default.caps.per_day_usd ") for line in found.lines)
    assert found.restart == ()
    assert found.disarms


@pytest.mark.parametrize(
    ("was", "now", "part"),
    [
        ("/token", "/other-token", "chains"),
        ('state_dir = "state"', 'state_dir = "elsewhere"', "state_dir"),
        ('label = "vault"', 'label = "other"', "positions"),
        (ADDRESS, "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e", "positions"),
        ("[policies.default]", '[metrics]\nlisten = "127.0.0.1:9464"\n[policies.default]', "metrics"),
    ],
    ids=["endpoint", "state", "label", "account", "metrics"],
)  # fmt: skip
def test_changes__when_more_than_a_policy_differs__then_the_part_is_named_without_its_values(
    was: str, now: str, part: str
) -> None:
    assert was in GOOD
    found = changes(parse(GOOD, HERE), parse(GOOD.replace(was, now), HERE))
    assert found.restart == (part,)
    assert "token" not in str(found)


def test_changes__when_a_position_follows_another_policy__then_at_once() -> None:
    after = GOOD.replace('label = "vault"', 'label = "vault"\npolicy = "calm"').replace(
        "[policies.default]", '[policies.calm]\ntrigger = "1.2"\ntarget = "1.3"\n[policies.default]'
    )
    found = changes(parse(GOOD, HERE), parse(after, HERE))
    assert found.lines == ("policies.calm is new", "positions.vault.policy default -> calm")
    assert (found.restart, found.disarms) == ((), True)


def test_changes__when_a_policy_that_nobody_follows_comes_or_goes__then_arming_holds() -> None:
    after = GOOD.replace(
        "[policies.default]", '[policies.calm]\ntrigger = "1.2"\ntarget = "1.3"\n[policies.default]'
    )
    assert not changes(parse(GOOD, HERE), parse(after, HERE)).disarms
    assert changes(parse(after, HERE), parse(GOOD, HERE)).lines == ("policies.calm is gone",)
