"""The contracts' own tests, run by forge on the committed artifact over the real market."""

from __future__ import annotations

import pytest

from anvil.compile import Artifact
from anvil.forge import BOT_FUNCTIONS, ForgeReport, find_forge, invariants, unit_tests
from anvil.tools import ToolMissing
from tests.bench.figures import record
from tests.chaos.leak import drilled

pytestmark = pytest.mark.anvil
RUNS = 256
"""Two suites of 256 sequences of 128 calls: 65,536 calls."""


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
    assert report.passed >= 155


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
