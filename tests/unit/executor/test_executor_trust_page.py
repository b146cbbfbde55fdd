"""The pages on trust name every refusal of a bot call as the daemon does, and what a stolen key costs at most."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from keeper.executor.errors import TABLE

pytestmark = pytest.mark.unit
PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "trust.md"
FRONT = PAGE.parents[1] / "TRUST.md"
_ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| `(\w+)` \|", re.MULTILINE)
CONFIGURATION = {
    "NotOwner", "NotGuardian", "BadPolicy", "BadRouter", "BadBot", "TooManyBots", "BadGuardian", "BadAsset",
    "NotAnnounced", "SafeERC20FailedOperation",
}  # fmt: skip


def test_page__every_refusal_of_a_bot_call__has_the_reason_that_the_daemon_gives() -> None:
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    told = {name: code for names, code in rows for name in re.findall(r"`(\w+)`", names)}
    assert told == {name: row.code for name, row in TABLE.items() if name not in CONFIGURATION}


def test_page__names_each_error_of_the_configuration() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert {name for name in CONFIGURATION if f"`{name}`" not in text} == set()


def test_front__what_a_stolen_key_costs__stands_on_one_page_and_follows_from_the_formula() -> None:
    lines = FRONT.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 75, "what is explained belongs into docs/reference/trust.md"
    assert max(map(len, lines)) <= 150
    collateral, cap, allowance, days = 100, 40, 60, 7
    rows = {cells[1].strip(): cells[2] for line in lines if len(cells := line.split("|")) == 4}
    renewed = 8
    grants = (
        (f"an allowance of {allowance} WETH", allowance),
        ("the whole grant", 10**9),
        (f"renews {renewed} WETH a day", renewed * (days + 2)),
    )
    for grant, granted in grants:
        units = min((days + 1) * cap, granted, collateral)
        told = next(most for what, most in rows.items() if grant in what)
        assert f"**{units * (0.01 + 0.0005):.2f} WETH**" in told
        assert f"**{units * 0.005:.2f} WETH**" in told
        assert "5.6 % of the debt" in told
    assert math.ceil((1.05 * 1.005 - 1) * 1_000) / 10 == 5.6, "a bound is rounded up"
    assert f"**${10_000 * (0.05 + 0.0006):.0f} an epoch**" in "\n".join(lines)


def taken_at_most(amount: int, period_h: int, week_h: int, most: Callable[[int], int]) -> int:
    """By a thief who asks for a renewal each hour and uses what ``most`` says of what stands; one is due at first."""
    standing, ready, taken = amount, 0, 0
    for hour in range(week_h + 1):
        for _ in range(3):
            used = most(standing)
            standing, taken = standing - used, taken + used
            if hour >= ready and standing <= amount // 2:
                standing, ready = amount, hour + period_h
    return taken


@pytest.mark.parametrize("period_h", [1, 4, 8, 24, 48, 96, 167, 168, 169])
def test_renewed__a_week_of_a_thief__takes_the_amount_a_period_and_two_and_never_more(period_h: int) -> None:
    amount, week_h = 1_001, 168
    bound = amount * (week_h // period_h + 2)
    assert taken_at_most(amount, period_h, week_h, lambda standing: standing) == bound
    ways = (
        lambda standing: (standing + 1) // 2,
        lambda standing: min(1, standing),
        lambda standing: standing // 3,
    )
    for way in ways:
        assert 0 < taken_at_most(amount, period_h, week_h, way) < bound


def test_pages__a_module_on_the_ladder__is_counted_by_its_week_and_not_by_its_amount() -> None:
    front = FRONT.read_text(encoding="utf-8")
    assert "with a module `amount x (periods in a week, rounded down, + 2)`" in front
    assert "without a module, an allowance is the one bound that no mistake of ours can lift" in front
    assert 8 * (7 + 2) == 72 > 60
    assert "min(8 x 40, 8 x 9, 100) = 72" in PAGE.read_text(encoding="utf-8")
    why = (PAGE.parents[1] / "decisions" / "executor.md").read_text(encoding="utf-8")
    assert "8 WETH a day are 72 in a week, more than a single allowance of 60" in why
