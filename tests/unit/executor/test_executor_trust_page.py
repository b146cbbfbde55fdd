"""The pages on trust name every refusal of a bot call as the daemon does, and what a stolen key costs at most."""

from __future__ import annotations

import math
import re
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
    assert math.ceil((1.05 * 1.005 - 1) * 1_000) / 10 == 5.6, "a bound is rounded up"
    assert "5.6 % of the debt" in "\n".join(lines)
    assert f"**${10_000 * (0.05 + 0.0006):.0f} an epoch**" in "\n".join(lines)
