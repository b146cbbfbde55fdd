"""The live view: nothing old looks current, nothing that hinders protection looks calm."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from keeper.cli.watch import (
    alarm_lines,
    alarming,
    endpoint_lines,
    head_lines,
    joint_line,
    plan_lines,
    rows,
    screen,
)
from keeper.units import WAD

pytestmark = pytest.mark.unit


def position(label: str, level: str, health: float | None, **more: object) -> dict[str, Any]:
    health_wad = None if health is None else str(int(health * WAD))
    return {
        "id": label,
        "label": label,
        "level": level,
        "health_wad": health_wad,
        "unreadable": None,
        "last_known": None,
        **more,
    }


def body(*positions: dict[str, Any], mode: str = "live", **more: object) -> dict[str, Any]:
    calm = {"chain": "mainnet", "blind": None, "block": 7, "idle": True, "armed": True, "broken": None}
    return {"mode": mode, "chains": [{**calm, "positions": list(positions), **more}]}


def shown(of: dict[str, Any], age_s: float = 0.0) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(screen(of, age_s))
    return console.export_text()


def test_rows__when_levels_differ__then_the_worst_is_first_and_old_health_is_only_last_known() -> None:
    known = {"level": "SAFE", "health_wad": str(2 * WAD), "block": 5}
    lost = position("lost", "UNKNOWN", None, unreadable="the oracle reverted", last_known=known)
    found = rows(body(position("fine", "SAFE", 2.5), position("low", "URGENT", 1.05), lost))
    assert [r[1] for r in found] == ["lost", "low", "fine"]
    assert found[0][2:4] == ("UNKNOWN", "-")
    assert found[0][5] == "the oracle reverted; last known SAFE at 2.00, block 5"


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"blind": {"since_s": 1.0, "why": "no head"}}, "BLIND: no head"),
        ({"broken": "an index"}, "STOPPED acting: an index"),
        ({"armed": False}, "NOT ARMED"),
    ],
)
def test_head__when_protection_is_hindered__then_said_and_alarming(
    more: dict[str, object], word: str
) -> None:
    (line,) = head_lines(body(**more))
    assert word in line
    assert alarming(line)
    (calm,) = head_lines(body())
    assert not alarming(calm)
    (dry,) = head_lines(body(mode="dry-run", armed=False))
    assert not alarming(dry)


def test_alarms__when_many_stand__then_the_most_severe_by_label_and_a_count_of_the_rest() -> None:
    of = body(position("vault", "ACT", 1.2, id="aave:1:0xab:0xcd"))
    warning = {"severity": "WARNING", "code": "act", "subject": "aave:1:0xab:0xcd", "why": "below trigger"}
    note = {**warning, "severity": "INFO"}
    critical = {**warning, "severity": "CRITICAL", "code": "blind", "subject": "mainnet", "why": "no head"}
    of["chains"][0]["alarms"] = [note, *[warning] * 10, critical]
    lines = alarm_lines(of)
    assert lines[0] == "CRITICAL blind mainnet: no head"
    assert lines[1] == "WARNING act vault: below trigger"
    assert lines[-1] == "and 3 more alarms"
    assert "CRITICAL blind" in shown(of)


def test_alarms__when_the_daemon_itself_alarms__then_shown_with_those_of_the_chains() -> None:
    of = body(position("vault", "SAFE", 2.0))
    own = {"severity": "CRITICAL", "code": "safe_mode", "subject": "", "why": "it ended again and again"}
    of["alarms"] = [own]
    of["chains"][0]["alarms"] = [
        {**own, "severity": "WARNING", "code": "act", "subject": "vault", "why": "low"}
    ]
    assert alarm_lines(of) == ["CRITICAL safe_mode: it ended again and again", "WARNING act vault: low"]
    assert "CRITICAL safe_mode" in shown(of)


def test_endpoints__when_told__then_each_by_name_and_one_that_is_not_up_with_its_reason() -> None:
    up: dict[str, Any] = {"name": "home", "state": "up", "latency_ms": 11.4, "head": 7, "error": "old news"}
    out = {**up, "name": "backup", "state": "out", "latency_ms": None, "error": "refused " + "x" * 500}
    of = body(position("vault", "SAFE", 2.0), endpoints=[1, 2], endpoints_each=[up, out])
    (line,) = endpoint_lines(of)
    assert line.startswith("mainnet endpoints: home up 11 ms, backup OUT (refused xx")
    assert len(line) < 150
    assert "backup OUT" in shown(of)
    assert endpoint_lines(body()) == []


def test_plans__when_made__then_the_newest_of_each_chain_and_what_is_under_way_with_their_why() -> None:
    id = "aave:1:0xab:0xcd"
    done = {"id": id, "state": "SETTLED", "open": False, "strategy": "repay", "block": 6, "tries": 1}
    done = {**done, "why": "health 1.20 is below 1.25", "became": "health is 1.40"}
    sent = {**done, "state": "SENT", "open": True, "became": "", "tries": 2, "block": 5}
    of = body(position("vault [red]", "ACT", 1.2, id=id), plans=[done, done, sent])
    first, second = plan_lines(of)
    what = "mainnet plan: SETTLED vault [red], repay, block 6"
    assert first == f"{what}: health 1.20 is below 1.25 -> health is 1.40"
    assert second == "mainnet plan: SENT vault [red], repay, block 5, 2 tries: health 1.20 is below 1.25"
    assert what in shown(of)
    # unread is not "none"
    assert plan_lines(body(plans=None)) == ["mainnet plans: NOT KNOWN, the journal cannot be read"]
    assert plan_lines(body(plans=[])) == []


@pytest.mark.parametrize("mode", ["live", "dry-run"])
def test_stopped__when_positions_are__then_said_above_alarming_and_in_each_row(mode: str) -> None:
    stop = {"code": "paused", "scope": "position", "why": "paused by ann for 30 more minutes: by hand"}
    of = body(position("vault", "SAFE", 2.0, stopped=stop), position("other", "SAFE", 3.0), mode=mode)
    line = head_lines(of)[1]
    assert line == "STOPPED (paused): vault"
    assert alarming(line)
    assert [r[5] for r in rows(of)] == [f"STOPPED: {stop['why']}", ""]
    many = body(*(position(str(i), "SAFE", 2.0, stopped={**stop, "code": "quorum_lost"}) for i in range(10)))
    assert head_lines(many)[1].endswith(" and 2 more")


def test_rows__when_a_price_may_fall__then_how_far_is_shown() -> None:
    (row,) = rows(body(position("vault", "SAFE", 2.0, distance=-0.4979)))
    assert row[4] == "-49.8 %"


def test_screen__when_the_daemon_is_gone__then_said_above_what_it_said_last() -> None:
    of = body(position("vault [red]", "SAFE", 2.5))
    assert "NO DAEMON ANSWERS for 9 s" in shown(of, 9.0)
    assert "NO DAEMON" not in shown(of)
    # a label is text, never markup
    assert "vault [red]" in shown(of)


def test_lines__of_a_pair_and_of_one_owners_legs__say_what_is_not_known() -> None:
    leg = {"label": "loan", "chain": "a", "worth_usd": 8000.0, "health_wad": "1", "unreadable": None}
    lost = {**leg, "label": "hedge", "chain": "b", "worth_usd": None, "unreadable": "reverted"}
    joint = {"owner": "0x" + "c3" * 20, "worth_usd": 14_000.0, "weakest": "loan", "legs": [leg, leg]}
    pair = {"loan": "loan", "short": "hedge", "covered": False, "share": 0.0, "why": "the short is gone"}
    told = {"mode": "live", "chains": [{**CALM_CHAIN, "pairs": [pair]}], "joint": [joint]}
    _, gone, whole = head_lines(told)
    assert gone == "loan and hedge: NOT COVERED: the short is gone"
    assert alarming(gone)
    assert whole == "joint 0xc3c3c3c3: 2 legs, worth 14,000 USD, weakest loan"
    half = joint_line({**joint, "worth_usd": None, "legs": [leg, lost]})
    assert half == "joint 0xc3c3c3c3: 2 legs on 2 chains, worth not known, weakest loan; not known: hedge"


CALM_CHAIN = {"chain": "local", "blind": None, "broken": None, "armed": True, "idle": True, "block": 7}
