"""When a drill is passed: nobody liquidated, and no single update below the stated gap breaks it; the exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import anvil.drill.run as drilling
from anvil.drill.outcome import Outcome, said
from anvil.drill.play import Moment, Run, Turn
from keeper import drilled
from keeper.cli import app
from keeper.config import load

pytestmark = pytest.mark.unit
ACCOUNT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
CONFIG = f"""
schema = 1
state_dir = "state"
[[chains]]
name = "main"
chain_id = 1
endpoints = [{{name = "first", url = "http://127.0.0.1:1"}}]
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "main"
provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
[[positions]]
label = "one"
venue = "aave"
account = "{ACCOUNT}"
[policies.default]
"""
GAP = 0.3
EQUAL, ABOVE, BELOW = GAP, GAP + 1e-4, GAP - 1e-4
"""Of one single update survived, beside the 30 per cent that are demanded."""


def run(*, liquidated: bool) -> Run:
    """One update and what came of it."""
    calm = Moment(block=1, health=1.5, equity_usd=1_000.0, purse_usd=0.0)
    after = replace(calm, block=2, equity_usd=900.0)
    return Run(start=calm, turns=(Turn(update=calm, after=after, liquidated=liquidated, sent=1),))


def outcome(
    step: float, gap: float | None, *, liquidated: bool = False, digest: str | None = None
) -> Outcome:
    """A drill whose position would have been liquidated without a keeper."""
    return Outcome(
        account=ACCOUNT,
        venue="aave",
        shock="ETH=-30",
        driver="WETH",
        rises=False,
        alone=run(liquidated=True),
        guarded=run(liquidated=liquidated),
        largest_step=step,
        largest_update=0.03,
        gas=20,
        gas_gwei=20.0,
        thin=4,
        pools=1,
        block=1,
        told=(),
        position="one",
        label="one",
        digest=digest,
        stated_gap=gap,
    )


@pytest.mark.parametrize("liquidated", [False, True])
@pytest.mark.parametrize(
    ("step", "gap", "wide"),
    [
        (ABOVE, GAP, True),
        (EQUAL, GAP, True),
        (BELOW, GAP, False),
        (0.0, None, True),
        (0.0, GAP, False),
    ],
)
def test_outcome__a_gap_is_stated__then_it_is_passed_at_the_gap_and_above_and_by_nobody_liquidated(
    step: float, gap: float | None, wide: bool, liquidated: bool
) -> None:
    found = outcome(step, gap, liquidated=liquidated)
    assert found.wide_enough == wide
    assert found.passed == (wide and not liquidated)
    verdict = said(found)[-1]
    assert verdict.startswith("passed" if found.passed else "NOT PASSED")
    # a liquidation is the worse of two failures, and the one that is told
    assert ("is demanded" in verdict) == (not wide and not liquidated)


def test_outcome__when_the_price_rises__then_the_gap_is_per_cent_of_the_rise() -> None:
    # 0.2 by the factor turned over is a rise of a quarter
    rising = replace(outcome(0.2, 0.25), rises=True, largest_update=0.2)
    assert rising.wide_enough
    assert rising.step_text() == "WETH +25.0%"
    assert any("the largest of this course is 25.0%" in line for line in said(rising))
    more = replace(rising, stated_gap=0.2501)
    assert not more.wide_enough
    assert said(more)[-1] == "NOT PASSED: a single update of 25.0% is demanded, 25.0% survived"
    assert not replace(more, rises=False).wide_enough


@pytest.mark.parametrize(
    ("options", "step", "liquidated", "code"),
    [
        (("--gap", "30"), ABOVE, False, 0),
        (("--gap", "30"), EQUAL, False, 0),
        (("--gap", "30"), BELOW, False, 1),
        (("--gap", "30"), ABOVE, True, 1),
        ((), 0.0, False, 0),
        ((), ABOVE, True, 1),
    ],
)
def test_drill__run_ends_beside_the_stated_gap__then_the_exit_code_and_what_is_kept_say_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    step: float,
    liquidated: bool,
    code: int,
) -> None:
    (path := tmp_path / "keeper.toml").write_text(CONFIG)
    digest = load(path).digest
    # the run itself knows no gap: what the user demands is put beside it by the command
    ended = outcome(step, None, liquidated=liquidated, digest=digest)
    monkeypatch.setattr(drilling, "drill", lambda *_: ended)
    line = ["drill", ACCOUNT, "--rpc", "http://127.0.0.1:1", "--shock", "ETH=-30", "--config", str(path)]
    done = CliRunner().invoke(app, [*line, "--json", *options])
    assert done.exit_code == code, done.output
    told = json.loads(done.stdout)
    assert told["passed"] == (code == 0)
    assert told["stated_gap"] == (pytest.approx(GAP) if options else None)
    assert drilled.missing(load(path)) == ([] if code == 0 else ["one"])
