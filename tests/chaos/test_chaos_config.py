"""A thousand mutated configurations: refused in words, or harmless."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.config import parse
from tests.chaos.config_fuzz import WHOLE, dangerous, fuzz

pytestmark = pytest.mark.property


def test_config__when_mutated_a_thousand_times__then_nothing_dangerous_is_accepted_and_nothing_raises() -> (
    None
):
    found = fuzz(seed=7, many=1000)
    assert found.failure == ""
    assert found.counts["accepted"] > 50
    assert found.counts["refused"] > 300


def test_config__when_unchanged__then_it_is_accepted_and_harmless() -> None:
    settings = parse(WHOLE, Path("/nowhere/keeper.toml"))
    assert dangerous(settings) == ""
    assert len(settings.positions) == 2
