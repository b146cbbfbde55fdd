"""Weeks of a thief with the bot key, whose owner's Safe renews: he takes no more than the page on trust says."""

from __future__ import annotations

from pathlib import Path

import pytest

from anvil.compile import Artifact
from anvil.forge import find_forge
from anvil.forge_renewal import leak_drill
from anvil.mutants import read_mutants
from anvil.mutants_renewal import LIST, build
from anvil.tools import ToolMissing
from tests.bench.figures import record
from tests.chaos.leak import Week, read_weeks

pytestmark = pytest.mark.chaos
"""Minutes of compiling: the bound's arithmetic alone is part of `make test` (tests/unit/executor)."""
FIRST, WEEKS = 9, 3
"""Seeds whose caps and collateral leave room for more than the module's own bound."""
PLANTED = "renewal_at_any_time"


@pytest.fixture(scope="module", autouse=True)
def forge_is_there(market_code: dict[str, Artifact]) -> None:
    """Skips with the reason where forge or the market cannot be had."""
    try:
        find_forge()
    except ToolMissing as missing:
        pytest.skip(str(missing))


def weeks(first: int, many: int, artifact: Path | None = None) -> tuple[Week, ...]:
    """So many seeds, each way tried for all seven days."""
    report = leak_drill(first, many, tries=0, artifact=artifact)
    found = read_weeks(report)
    assert len(found) == many, report.output[-3000:]
    return found


def test_leaked_key__weeks_of_a_thief_who_renews__never_take_more_than_the_bound() -> None:
    found = weeks(FIRST, WEEKS)
    over = [w.seed for w in found if w.over]
    record("leak_drill_renewed_over_bound", len(over), bound="0", holds=not over, evidence="real_bytecode",
           n=len(found))  # fmt: skip
    assert over == []
    assert max(w.share_of("slippage") for w in found) > 0.5, "a bound that nobody comes near is no bound"


def test_leaked_key__a_module_that_renews_at_any_time__is_noticed() -> None:
    artifact = build(next(m for m in read_mutants(LIST) if m.name == PLANTED))
    try:
        found = weeks(FIRST, 1, artifact)
    finally:
        artifact.unlink()
    assert [w.over for w in found] == [True]
