"""The dashboard and the alert rules: each metric that they name is one that the daemon exposes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from keeper.notify.metrics import (
    CanaryFigures,
    ChainFigures,
    Counts,
    Exposition,
    Figures,
    JointFigures,
    PositionFigures,
    TargetFigures,
)

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "monitoring"
NAME = re.compile(r"\b(?:keeper|process)_[a-z_]+\b")
POSITION = PositionFigures(
    label="vault", venue="aave", level="SAFE", health=1.7, distance=0.3, touch=0.01, stopped="paused"
)
CHAIN = ChainFigures(
    name="mainnet",
    block=7,
    judged_age_s=1.0,
    blind=False,
    armed=True,
    broken=False,
    endpoints=(2, 2),
    endpoint_errors=((("home", "timeout"), 3),),
    native_ether=0.5,
    open_intents=0,
    positions=(POSITION,),
)


PAIR = ("mainnet", "loan", "hedge")
JOINT = JointFigures(
    worth_usd=(("0xme", 10_000.0),), cover=((PAIR, 0.5, True),), adl_left=((("mainnet", "hedge"), 0.2),)
)


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    """Every sample name -> its label names."""
    counts = Counts()
    counts.took("mainnet", "read", 0.03)
    counts.alarms["CRITICAL", "blind"] += 1
    counts.plans["mainnet"] += 1
    counts.outcomes["mainnet", "FINAL"] += 1
    target = TargetFigures(name="ntfy (line 1)", down=False, waiting=0, delivered=1, failed=0)
    canary = CanaryFigures(every_s=3_600.0, success_s=1.0, failed=False)
    figures = Figures(
        version="0", mode="live", chains=(CHAIN,), targets=(target,), canary=canary, joint=JOINT
    )
    found: dict[str, set[str]] = {}
    for line in Exposition().text(figures, counts).decode().splitlines():
        if not line.startswith("#"):
            name, _, rest = line.partition("{")
            name = name.partition(" ")[0]
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', rest))
    return found


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def expressions() -> list[str]:
    panels = json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]
    return [t["expr"] for p in panels for t in p["targets"]] + [r["expr"] for r in rules()]


def test_metrics__when_named_in_a_panel_or_a_rule__then_exposed_with_those_labels(
    exposed: dict[str, set[str]],
) -> None:
    assert len(expressions()) > 25
    for expr in expressions():
        names = NAME.findall(expr)
        assert names, expr
        for name in names:
            assert name in exposed, f"{expr}: {name} is not exposed"
        for name, labels in re.findall(r"(\w+)\{([^}]*)\}", expr):
            asked = set(re.findall(r"(\w+)=~?\"", labels)) - {"job"}
            assert asked <= exposed[name] | {"le"}, f"{expr}: {asked - exposed[name]}"
        for by in re.findall(r"by \(([^)]*)\)", expr):
            known = set().union(*(exposed[n] for n in names)) | {"le"}
            assert {b.strip() for b in by.split(",")} <= known, expr


def test_metrics__when_named__then_by_the_conventions_and_documented(exposed: dict[str, set[str]]) -> None:
    ours = {n for n in exposed if n.startswith("keeper_")}
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    for name in ours:
        base = re.sub(r"_(bucket|count|sum|created)$", "", name)
        assert f"`{base}`" in page, f"{base} is not on the page"
        assert not re.search(r"_(ms|minutes|hours|percent|pct|gwei|wei)(_|$)", name)
    counters = {
        "keeper_alarms_total",
        "keeper_plans_total",
        "keeper_outcomes_total",
        "keeper_endpoint_errors_total",
        "keeper_alarm_deliveries_total",
    }
    assert {n for n in ours if n.endswith("_total")} == counters
    named = set(re.findall(r"`(keeper_[a-z_]+)`", page))
    assert named <= {re.sub(r"_bucket$", "", n) for n in ours}


def test_rules__when_read__then_each_has_severity_summary_and_what_to_do() -> None:
    found = rules()
    assert len({r["alert"] for r in found}) == len(found) >= 10
    for rule in found:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_rules__when_a_live_daemon_sends_nothing_or_a_dry_run_does__then_only_the_first_is_told() -> None:
    found = {r["alert"]: (r["expr"], r["labels"]["severity"]) for r in rules()}
    live = 'and on (instance, job) keeper_info{mode="live"}'
    expr, severity = found["KeeperNotArmed"]
    assert (expr, severity) == (f"keeper_armed == 0 {live}", "warning")
    expr, severity = found["KeeperNotArmedInNeed"]
    assert severity == "critical"
    assert all(word in expr for word in ("keeper_armed == 0", "WATCH|ACT|URGENT|UNKNOWN", live))
    assert found["KeeperPositionStopped"][0] == "keeper_position_stopped == 1"
    assert found["KeeperCanaryOverdue"][0].endswith(live), "a rehearsal is no success, and no fault"


@pytest.mark.parametrize(
    "name",
    [
        "keeper_position_stopped",
        "keeper_hedge_cover",
        "keeper_adl_left_ratio",
        "keeper_position_level",
        "keeper_position_touch_probability",
        "keeper_endpoint_errors_total",
    ],
)
def test_state__when_it_keeps_a_position_from_being_acted_for_or_covered__then_drawn_and_told(
    name: str,
) -> None:
    panels = json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]
    assert any(name in t["expr"] for p in panels for t in p["targets"])
    assert any(name in r["expr"] for r in rules())


def test_dashboard__when_read__then_panels_do_not_overlap_and_take_their_source_from_a_variable() -> None:
    board = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    taken: set[tuple[int, int]] = set()
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["datasource"]["uid"] == "${source}"


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not here (Debian: prometheus); the structure is tested",
)
@pytest.mark.parametrize(
    "line",
    [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
        ["test", "rules", "alerts_slow_test.yml"],
    ],
)
def test_rules__when_promtool_reads_them__then_it_accepts_and_they_fire(line: list[str]) -> None:
    done = subprocess.run(["promtool", *line], cwd=FOLDER, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
