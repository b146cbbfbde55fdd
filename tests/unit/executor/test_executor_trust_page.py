"""The page on trust names every refusal of a bot call as the daemon does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keeper.executor.errors import TABLE

pytestmark = pytest.mark.unit
PAGE = Path(__file__).resolve().parents[3] / "docs" / "TRUST.md"
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
