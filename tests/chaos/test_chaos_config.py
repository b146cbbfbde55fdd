"""A thousand mutated configurations: refused in words, or harmless."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from keeper.config import parse, schema
from keeper.kinds import KINDS
from tests.chaos.config_bases import BASES
from tests.chaos.config_fuzz import fuzz
from tests.chaos.config_judge import dangerous

pytestmark = pytest.mark.property
HERE = Path("/nowhere/keeper.toml")


def test_config__when_mutated_a_thousand_times__then_nothing_dangerous_is_accepted_and_nothing_raises() -> (
    None
):
    found = fuzz(seed=7, many=1000)
    assert found.failure == ""
    assert found.counts["accepted"] > 50
    assert found.counts["refused"] > 300


@pytest.mark.parametrize("base", BASES)
def test_config__when_unchanged__then_it_is_accepted_and_harmless(base: str) -> None:
    settings = parse(base, HERE)
    assert dangerous(settings) == ""
    assert len(settings.positions) >= 2


def test_bases__between_them__hold_every_section_every_kind_of_venue_and_every_strategy() -> None:
    tables = [tomllib.loads(base) for base in BASES]
    sections = {field.alias or name for name, field in schema.File.model_fields.items()}
    assert sections == {name for table in tables for name in table}
    kinds = {venue["kind"] for table in tables for venue in table["venues"]}
    assert kinds == {kind.name for kind in KINDS if kind.name != "aave_v2"}
    named = {
        s for table in tables for p in table.get("policies", {}).values() for s in p.get("strategies", ())
    }
    assert named == set(schema.STRATEGIES)
    policy = {key for table in tables for p in table.get("policies", {}).values() for key in p}
    # true is refused and false is its default
    assert policy == set(schema.PolicyTable.model_fields) - {"leverage_boost"}
