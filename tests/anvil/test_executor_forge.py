"""The contracts' own tests, run by forge on the committed artifact over the real market."""

from __future__ import annotations

import pytest

from anvil import forge_renewal, mutants_renewal
from anvil.compile import Artifact
from anvil.forge import BOT_FUNCTIONS, ForgeReport, find_forge, invariants, unit_tests
from anvil.mutants import read_mutants
from anvil.tools import ToolMissing
from tests.bench.figures import record
from tests.chaos.leak import drilled, read_weeks

pytestmark = pytest.mark.anvil
RUNS = 256
"""Two suites of 256 sequences of 128 calls: 65,536 calls."""
RENEWED_WEEK = 9
"""A seed whose caps and collateral leave room for more than the module's own bound."""
MODULE_DEFECTS = ("renewal_for_whoever_asks", "renewal_clock_on_a_grid")
"""Of contracts/mutants/renewal.toml: another spender, twice within a period; `make renewal-mutants` plants all."""


@pytest.fixture(scope="module", autouse=True)
def forge_is_there(market_code: dict[str, Artifact]) -> None:
    """Skips with the reason where forge or the market cannot be had."""
    try:
        find_forge()
    except ToolMissing as missing:
        pytest.skip(str(missing))


def test_contracts__under_their_own_tests__hold() -> None:
    report = unit_tests()
    assert report.failed == (), report.output
    assert report.passed >= 280


def test_invariants__65536_calls_of_thieves_and_owners__never_break() -> None:
    report = invariants(RUNS)
    keep(report)
    assert report.failed == (), report.output[-3000:]
    assert report.calls >= 65_000
    for function in BOT_FUNCTIONS:
        assert report.share(function) >= 0.05, f"{function} was hardly ever carried out: the test is idle"


def keep(report: ForgeReport) -> None:
    """The two figures of this sample; the campaign's are the whole."""
    record("executor_invariant_calls_sample", report.calls, bound=">= 65000", holds=report.calls >= 65_000,
           evidence="real_bytecode", n=report.calls)  # fmt: skip
    broken = len(report.failed)
    record("executor_invariant_violations_sample", broken, bound="0", holds=broken == 0, evidence="real_bytecode",
           n=report.calls)  # fmt: skip


def test_leaked_key__ten_weeks_of_a_searching_thief__never_take_more_than_the_page_on_trust_says() -> None:
    weeks = drilled(0, 10, 2)
    assert [w.seed for w in weeks if w.over] == []
    assert max(w.share for w in weeks) > 0.5, "a bound that nobody comes near is no bound"
    for way in ("slippage", "gap", "tank", "liquidation"):
        assert max(w.share_of(way) for w in weeks) > 0.5, f"nothing was ever taken by {way}"
    assert sum(w.payments for w in weeks) > 20, "nobody went for the reserve"


def test_module__planted_defects_of_its_bound__are_noticed_by_its_tests() -> None:
    planted = [m for m in read_mutants(mutants_renewal.LIST) if m.name in MODULE_DEFECTS]
    assert len(planted) == len(MODULE_DEFECTS)
    assert [m.name for m in planted if not mutants_renewal.judge(m)] == []


def test_leaked_key__a_week_of_a_thief_who_renews__passes_the_bound_only_without_the_modules_clock() -> None:
    played = forge_renewal.leak_drill(RENEWED_WEEK, 1, tries=0)
    (week,) = read_weeks(played)
    assert not week.over, played.output
    assert week.share_of("slippage") > 0.9
    artifact = mutants_renewal.build(
        next(m for m in read_mutants(mutants_renewal.LIST) if m.name == "renewal_at_any_time")
    )
    try:
        (without,) = read_weeks(forge_renewal.leak_drill(RENEWED_WEEK, 1, tries=0, artifact=artifact))
    finally:
        artifact.unlink()
    assert without.over
