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

from keeper.model import Level
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
from tests import promql

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "monitoring"
TESTS = ("alerts_test.yml", "alerts_slow_test.yml")
FETCHED = ROOT / ".cache" / "promtool" / "promtool"
PROMTOOL = shutil.which("promtool") or (FETCHED if FETCHED.is_file() else None)
CLOSED: dict[str, set[str]] = {
    "level": {level.name for level in Level},
    "mode": {"live", "dry-run"},
    "horizon": {"1d"},
    "phase": {"read", "risk", "decide"},
}
"""Labels with few values, and these."""
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
            name, labels = series(line)
            for label, value in labels.items():
                assert value in CLOSED.get(label, {value}), line
            found.setdefault(name, set()).update(labels)
    return found


def series(text: str) -> tuple[str, dict[str, str]]:
    """Name and labels of ``name{label="value"}``, whatever stands after it."""
    name, _, rest = text.partition("{")
    return name.partition(" ")[0], dict(re.findall(r'(\w+)="([^"]*)"', rest))


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"])


def targets() -> list[tuple[str, str]]:
    """Expression and legend of every line that a panel draws."""
    return [(t["expr"], t["legendFormat"]) for p in panels() for t in p["targets"]]


def expressions() -> list[str]:
    return [expr for expr, _ in targets()] + [r["expr"] for r in rules()]


def fired() -> list[dict[str, Any]]:
    """The tests that promtool runs."""
    return [t for name in TESTS for t in yaml.safe_load((FOLDER / name).read_text())["tests"]]


@pytest.mark.parametrize("expr", expressions())
def test_metrics__when_named_in_a_panel_or_a_rule__then_exposed_with_those_labels(
    exposed: dict[str, set[str]], expr: str
) -> None:
    told = promql.selectors(expr)
    assert told
    for one in told:
        assert one.name in exposed, f"{one.name} is not exposed"
        for label, operator, value in one.matchers:
            assert label in exposed[one.name] | promql.SCRAPED
            asked = set(value.split("|") if operator == "Re" else [value])
            assert asked <= CLOSED.get(label, asked), f"{label}: {value} is none of {CLOSED[label]}"
    promql.labels(expr, exposed)  # what it joins and sums by is there


@pytest.mark.parametrize(
    "wrong",
    [
        "sum by (chain (keeper_armed)",
        "rate(keeper_alarms_total)",
        "sum by (colour) (keeper_armed)",
        "keeper_armed == 0 and on (position) keeper_info",
        "keeper_armed and keeper_info",
        "histogram_quantile(0.9, sum by (chain) (rate(keeper_tick_duration_seconds_bucket[5m])))",
    ],
)
def test_expression__when_it_is_wrong__then_said(exposed: dict[str, set[str]], wrong: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        promql.labels(wrong, exposed)


def test_words__when_they_name_a_label__then_the_answer_has_it(exposed: dict[str, set[str]]) -> None:
    told = [(r["expr"], " ".join(r["annotations"].values())) for r in rules()]
    named = [(expr, set(re.findall(r"\$labels\.(\w+)", words))) for expr, words in told]
    named += [(expr, set(re.findall(r"\{\{(\w+)\}\}", legend))) for expr, legend in targets()]
    assert sum(len(asked) for _, asked in named) > 30
    for expr, asked in named:
        assert asked <= promql.labels(expr, exposed), expr


def test_rules__each_of_them__fires_in_a_test_and_stays_silent_in_one(
    exposed: dict[str, set[str]],
) -> None:
    asked = [(t["alertname"], bool(t["exp_alerts"])) for told in fired() for t in told["alert_rule_test"]]
    for rule in rules():
        assert {said for name, said in asked if name == rule["alert"]} == {True, False}, rule["alert"]
    for text in (one["series"] for told in fired() for one in told["input_series"]):
        name, labels = series(text)
        assert name in exposed, text
        assert set(labels) - promql.SCRAPED == exposed[name], f"{text}: it has {sorted(exposed[name])}"


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
    assert any(name in expr for expr, _ in targets())
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
    PROMTOOL is None,
    reason="promtool is not here (.ci/promtool.sh fetches Debian's); what the rules say is parsed all the same",
)
@pytest.mark.parametrize(
    "line", [["check", "rules", "alerts.yml"], *(["test", "rules", name] for name in TESTS)]
)
def test_rules__when_promtool_reads_them__then_it_accepts_and_they_fire(line: list[str]) -> None:
    done = subprocess.run([str(PROMTOOL), *line], cwd=FOLDER, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not here (.ci/promtool.sh fetches Debian's)")
def test_dashboard__when_promtool_reads_its_expressions__then_it_accepts_them(tmp_path: Path) -> None:
    recorded = [{"record": f"panel:{n}", "expr": expr} for n, (expr, _) in enumerate(targets())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    line = [str(PROMTOOL), "check", "rules", "panels.yml"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
