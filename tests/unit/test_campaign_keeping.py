"""What a campaign keeps: counts of the sources that it ran on, and why a shard of it ended before its time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anvil.forge import patience_s, read_report
from anvil.mutants import NotJudged, killers_in, read_mutants
from anvil.mutants import Verdict as Killed
from tests.chaos import campaign, leak_forge, sources
from tests.chaos.campaign import Campaign, Verdict

pytestmark = pytest.mark.unit
ON_AAVE = (
    "foundry.toml",
    "solcw.js",
    "artifacts/AaveV3Executor.json",
    "interfaces/IExecutor.sol",
    "test/Stage.sol",
)
EXERCISED = {
    "leak": (*ON_AAVE, "test/Leak.t.sol", "test/LeakWorld.sol", "src/Executor.sol", "mutants/mutants.toml"),
    "parity": (*ON_AAVE, "test/Parity.t.sol", "test/Dice.sol"),
    "invariants": (*ON_AAVE, "test/Invariants.t.sol", "mocks/HostileRouter.sol"),
    "executor_mutants": (
        "mutants/mutants.toml", "src/Executor.sol", "src/MakerBooks.sol", "libraries/Policies.sol", "solcw.js",
        "test/Maker.t.sol", "test/VenueRules.sol",
    ),
}  # fmt: skip
"""Of each campaign of the contracts: some of what its counts belong to, by name or by an import of an import."""


@pytest.mark.parametrize("name, file", [(name, file) for name, files in EXERCISED.items() for file in files])
def test_digest__when_a_contract_that_it_exercises_changes__then_the_counts_are_of_another_code(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    also = campaign.find(name).also
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    path = tmp_path / "contracts" / file
    path.parent.mkdir(parents=True)
    path.write_text("one")
    before = sources.digest("nothing.of.ours", also)
    path.write_text("two")
    assert sources.digest("nothing.of.ours", also) != before


@pytest.mark.parametrize("name", EXERCISED)
def test_digest__when_another_executor_stands_beside__then_the_counts_go_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    also = campaign.find(name).also
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    before = sources.digest("nothing.of.ours", also)
    for file in ("src/Another.sol", "test/Another.t.sol", "artifacts/Another.json"):
        path = tmp_path / "contracts" / file
        path.parent.mkdir(parents=True)
        path.write_text("one")
    assert sources.digest("nothing.of.ours", also) == before


def test_work__when_a_unit_ends_without_a_verdict__then_its_reason_is_told_and_it_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [3]

    def run(unit: int) -> Verdict:
        if unit in broken:
            raise AssertionError("forge said much before\n" * 100 + "Error: solc exited with 137")
        return Verdict(counts={"units": 1})

    made = Campaign(name="made", units=6, run=run, record=lambda counts, done, failures: None, shards=1)
    monkeypatch.setattr(campaign, "find", lambda name: made)
    monkeypatch.setattr(campaign, "STATE", tmp_path)
    with pytest.raises(AssertionError):
        campaign.work("made", 0, float("inf"), "key")
    (told,) = campaign._endings(made)
    assert told.startswith("shard 0, unit 3: AssertionError: ...")
    assert told.endswith("Error: solc exited with 137")
    assert json.loads((tmp_path / "made.0.json").read_text())["counts"] == {"units": 3}
    broken.clear()
    campaign.work("made", 0, float("inf"), "key")
    assert list(campaign._endings(made)) == []
    kept = json.loads((tmp_path / "made.0.json").read_text())
    assert (kept["counts"], kept["next"]) == ({"units": 6}, 6)


def test_killers__when_forge_did_not_run__then_no_mutant_was_killed() -> None:
    with pytest.raises(NotJudged, match="solc exited"):
        killers_in(read_report("Error: solc exited with 137"))
    said = "[FAIL: no] test_caps() (gas: 1)\n1 tests passed, 1 failed"
    assert killers_in(read_report(said)) == ("test_caps",)
    example = f"calldata=0x{'ab' * 900} args=[0x1, 2 [2e0]]"
    long = f"[FAIL: not refused; counterexample: {example}] testFuzz_it(address,bytes) (runs: 0)"
    assert killers_in(read_report(f"{long}\n0 tests passed, 1 failed")) == ("testFuzz_it",)


def test_record_mutants__of_each_protocol__say_whether_its_real_code_or_a_double_of_ours_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = dict[str, tuple[int, bool, str]]()

    def record(name: str, value: int, *, bound: str, holds: bool, evidence: str, n: int) -> None:
        told[name] = (value, holds, evidence)

    monkeypatch.setattr(leak_forge, "record", record)
    monkeypatch.setattr(leak_forge, "judge", lambda mutant: Killed(name=mutant.name, killers=("test_it",)))
    counts: dict[str, int] = {}
    for number, mutant in enumerate(read_mutants()):
        if mutant.name != "callback_stays_open":
            for name, count in leak_forge._mutant(number).counts.items():
                counts[name] = counts.get(name, 0) + count
    leak_forge.record_mutants(counts, 0, [])
    doubled = sum(m.contract in ("CompoundV3Executor", "MakerExecutor") for m in read_mutants())
    real = len(read_mutants()) - 1 - doubled
    assert doubled > 30
    assert told == {
        "executor_mutants": (real, True, "real_bytecode"),
        "executor_mutants_killed": (real, True, "real_bytecode"),
        "executor_mutants_doubles": (doubled, True, "own_double"),
        "executor_mutants_doubles_killed": (doubled, True, "own_double"),
    }
    leak_forge.record_mutants({**counts, "doubles killed": doubled - 1}, 0, [])
    assert [name for name, (_, holds, _) in told.items() if not holds] == ["executor_mutants_doubles_killed"]


@pytest.mark.parametrize(
    ("load", "cores", "times"), [(0.0, 2, 1.0), (1.0, 2, 1.0), (11.0, 2, 6.0), (3.0, 1, 4.0)]
)
def test_patience__when_others_want_the_cores_too__then_it_grows_with_them(
    load: float, cores: int, times: float
) -> None:
    assert patience_s(900, load, cores) == 900 * times
