"""What the daemon says to the outside: nothing unknown is a number, and nothing it lacks is hidden."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from keeper.chain.endpoint import EndpointStatus, State
from keeper.config.telling import AlarmSettings, MetricsSettings
from keeper.daemon import touching
from keeper.daemon.announcing import ESCALATE_S, MENDED_S, Announcer
from keeper.daemon.control import Blind, Controls, Watched
from keeper.daemon.showing import limit_s_of
from keeper.daemon.supervise import speak
from keeper.daemon.unarmed import AGAIN_S, GRACE_S, KNOWN_S
from keeper.errors import Broken
from keeper.notify.alarm import REPEAT_CRITICAL_S
from keeper.notify.courier import Courier
from keeper.notify.metrics import Exposition
from keeper.notify.targets import Target
from keeper.risk.distance import nearest
from keeper.risk.factors import for_symbols
from keeper.risk.rows import conservative
from keeper.seams import Severity
from keeper.watchdog import Notifier
from tests import build
from tests.loop_double import DIGEST, Loop, loop, settings, vault

pytestmark = pytest.mark.unit
SAFE, DANGER = "2400", "1400"


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Loop]:
    made = loop(tmp_path)
    yield made
    made.journal.close()


def announcer(on: Loop, alarms: AlarmSettings | None = None) -> Announcer:
    home = on.journal.path.parent
    given = replace(settings(home), alarms=alarms or AlarmSettings(), metrics=MetricsSettings())
    return Announcer(given, on.journal, on.clock)


def scraped(made: Announcer, on: Loop) -> dict[str, float]:
    """Each line of a scrape: name and labels -> value."""
    text = Exposition().text(made.figures([on]), made.counts).decode()
    lines = [line for line in text.splitlines() if line.startswith("keeper_")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


@pytest.mark.asyncio
async def test_metrics__when_a_block_was_judged__then_health_level_head_and_ticks_are_there(on: Loop) -> None:
    made = announcer(on)
    await on.running.tick(on.lay(vault(SAFE)))
    found = scraped(made, on)
    venue = on.running.parts.guarded[0].venue_id
    at = f'chain="local",position="vault 1",venue="{venue}"'
    health_wad = vault(SAFE).health_wad
    assert health_wad is not None
    assert found[f"keeper_health_factor{{{at}}}"] == pytest.approx(health_wad / 10**18)
    levels = [
        (k.partition('level="')[2][:4], v) for k, v in found.items() if k.startswith("keeper_position_level")
    ]
    assert levels == [("SAFE", 1)]
    assert found[f"keeper_liquidation_distance_ratio{{{at}}}"] == pytest.approx(0.498, abs=0.001)
    assert found['keeper_head_block{chain="local"}'] == 101
    assert found['keeper_head_age_seconds{chain="local"}'] == 0
    assert found['keeper_armed{chain="local"}'] == 0
    assert found['keeper_gas_tank_ether{chain="local"}'] == 10
    assert found['keeper_tick_duration_seconds_count{chain="local",phase="read"}'] == 1
    on.clock.advance(77.0)
    assert scraped(made, on)['keeper_head_age_seconds{chain="local"}'] == 77
    # the same tick is counted once, however often it is looked at
    assert scraped(made, on)['keeper_tick_duration_seconds_count{chain="local",phase="read"}'] == 1


@pytest.mark.asyncio
async def test_metrics__when_the_chain_is_unseen__then_no_health_at_all_and_the_level_is_unknown(
    on: Loop,
) -> None:
    made = announcer(on)
    await on.running.tick(on.lay(vault(SAFE)))
    on.blind = Blind(why="no new head", since_s=1.0)
    shown = scraped(made, on)
    assert not [k for k in shown if k.startswith(("keeper_health_factor", "keeper_liquidation"))]
    assert [v for k, v in shown.items() if 'level="UNKNOWN"' in k] == [1.0]
    assert shown['keeper_chain_blind{chain="local"}'] == 1
    on.blind, on.loop = None, None
    shown = scraped(made, on)
    assert [v for k, v in shown.items() if 'level="UNKNOWN"' in k] == [1.0]


def chances(made: Announcer, on: Loop) -> dict[str, float]:
    """Each position -> its chance, as a scrape over HTTP writes it."""
    metrics = made.answers(lambda: [on]).metrics
    assert metrics is not None
    line = r'^keeper_position_touch_probability{chain="local",horizon="1d",position="(.*?)",.*} (\S+)$'
    found = re.findall(line, metrics()().decode(), re.MULTILINE)
    return {label: float(chance) for label, chance in found}


@pytest.mark.asyncio
async def test_metrics__when_scraped__then_the_chance_is_keeper_risk_s_and_unknown_is_absent(
    on: Loop,
) -> None:
    made = announcer(on)
    assert chances(made, on) == {}
    await on.running.tick(on.lay(vault(DANGER)))
    tick = on.running.last
    assert tick is not None
    (position,) = tick.snapshot.positions
    factors = for_symbols(touching.symbols_of([position]))
    near = nearest(conservative(position), tick.snapshot.prices, factors, 1.0)
    assert 1e-12 < near.p_touch < 0.5
    assert chances(made, on) == {"vault 1": pytest.approx(near.p_touch)}
    on.blind = Blind(why="no new head", since_s=1.0)
    assert chances(made, on) == {}
    on.blind = None
    nan = replace(position, row=replace(position.row, a=(math.nan,) * len(position.row.a)))
    assert touching.touches([nan], tick.snapshot.prices) == {}


@pytest.mark.asyncio
async def test_metrics__when_endpoints_fail__then_counted_by_kind_also_before_there_is_a_loop(
    on: Loop,
) -> None:
    made = announcer(on)
    on.endpoints = (
        EndpointStatus(
            name="home",
            state=State.OUT,
            latency_ms=None,
            last_error="x",
            head_number=None,
            faults=(("timeout", 3), ("failed", 0)),
        ),
    )
    running, at = on.loop, 'keeper_endpoint_errors_total{chain="local",endpoint="home",kind="%s"}'
    for there in (running, None):
        on.loop = there
        found = scraped(made, on)
        assert (found[at % "timeout"], found[at % "failed"]) == (3, 0)


@pytest.mark.asyncio
async def test_ready__when_the_last_judged_block_is_old_or_unread__then_not_ready(on: Loop) -> None:
    made = announcer(on)
    answers = made.answers(lambda: [on])
    assert answers.ready()["ok"] is False
    await on.running.tick(on.lay(vault(SAFE)))
    assert answers.ready()["ok"] is True
    on.clock.advance(limit_s_of(on) - 1)
    assert answers.ready()["ok"] is True
    # a block that could not be read is a tick, and no judged one
    on.running.unseen(build.block(102), "nobody answers")
    on.clock.advance(2.0)
    assert answers.ready()["ok"] is False


@pytest.mark.asyncio
async def test_alive__when_the_watchdog_is_fed__then_alive_although_a_chain_stands_still(on: Loop) -> None:
    made = announcer(on)
    answers = made.answers(lambda: [on])
    on.clock.advance(31.0)
    assert answers.alive()["ok"] is False
    made.listening(Notifier(None)).ping("BLIND: local: no head")
    told = answers.alive()
    assert (told["ok"], answers.ready()["ok"]) == (True, False)


def test_setup__when_the_targets_file_is_missing__then_critical_again_and_again_and_nothing_raises(
    on: Loop, tmp_path: Path
) -> None:
    made = announcer(on, AlarmSettings(targets_file=tmp_path / "none", dead_man_file=tmp_path / "none2"))
    for _ in range(100):
        made.escalate()
        on.clock.advance(5.0)
    told = [e for e in on.journal.entries("alarm") if e.data["code"] == "alarm_setup"]
    assert {e.subject for e in told} == {"targets_file", "dead_man_file"}
    assert len(told) == 4
    assert all(e.data["severity"] == "CRITICAL" for e in told)
    assert "No such file" in told[0].why


def test_setup__when_a_target_is_no_url_that_is_known__then_told_by_line_without_its_content(
    on: Loop, tmp_path: Path
) -> None:
    path = tmp_path / "alarms"
    path.write_text("bogus://SECRET@host\nsometimes json://SECRET\njson://127.0.0.1:9/SECRET\n")
    path.chmod(0o644)
    made = announcer(on, AlarmSettings(targets_file=path))
    assert [r.target.name for r in made.courier.routes] == ["json (line 3)"]
    made.escalate()
    (told,) = [e for e in on.journal.entries("alarm") if e.data["code"] == "alarm_setup"]
    assert "line 2" in told.why
    assert "bogus (line 1)" in told.why
    assert "mode 0644 lets others read" in told.why
    assert "SECRET" not in told.why


def test_tell__when_the_journal_cannot_be_read__then_alarms_go_out_all_the_same(
    on: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "alarms"
    path.touch(0o600)
    path.write_text("json://127.0.0.1:9/x\n")
    made = announcer(on, AlarmSettings(targets_file=path))

    def damaged(_: str) -> None:
        raise Broken("the journal is damaged")

    monkeypatch.setattr(on.journal, "control", damaged)
    for _ in range(2):
        made.alarms.raise_alarm(Severity.CRITICAL, "broken", "", "the journal is damaged")
        on.clock.advance(301.0)
    made.escalate()
    (route,) = made.courier.routes
    assert [t.code for t in route.outbox.due(quiet=True)] == ["broken"]


def heard(on: Loop) -> list[tuple[str, str]]:
    """(severity, first word) of each time it was said that nothing is sent."""
    told = [e for e in on.journal.entries("alarm") if e.data["code"] == "not_armed"]
    return [(str(e.data["severity"]), e.why.partition(":")[0]) for e in told]


def passed(made: Announcer, on: Loop, seconds: float, step_s: float = ESCALATE_S) -> None:
    """So long, looked at as often as the announcer does."""
    for _ in range(int(seconds // step_s)):
        on.clock.advance(step_s)
        made.remind([on])


@pytest.mark.asyncio
async def test_not_armed__when_a_live_daemon_is_not__then_said_again_and_again_until_it_is(on: Loop) -> None:
    made = announcer(on)
    made.remind([on])
    await on.running.tick(on.lay(vault(SAFE)))
    passed(made, on, GRACE_S - ESCALATE_S)
    assert heard(on) == [], "a start is followed by `keeper arm`"
    passed(made, on, 2 * ESCALATE_S)
    assert heard(on) == [("WARNING", "disarmed")]
    passed(made, on, 2 * AGAIN_S, 60.0)
    assert heard(on) == [("WARNING", "disarmed")] * 3
    (standing,) = made.alarms.standing
    assert (standing.code, standing.subject) == ("not_armed", "local")
    on.journal.set_control("armed", DIGEST, "ann", "")
    passed(made, on, AGAIN_S, 60.0)
    assert heard(on)[3:] == [("CLEARED", "over after 7260 s")]
    # a pause of everything is told as such, with its end
    on.journal.set_control("pause", repr(on.clock.now_s() + 3 * AGAIN_S), "ann", "by hand")
    passed(made, on, GRACE_S + ESCALATE_S)
    assert heard(on)[4:] == [("WARNING", "paused")]
    assert "paused by ann for 179 more minutes" in made.alarms.standing[0].why


@pytest.mark.asyncio
async def test_announcer__when_it_runs_over_a_live_daemon_that_is_not_armed__then_it_says_so_itself(
    on: Loop,
) -> None:
    made = announcer(on)
    await on.running.tick(on.lay(vault("1580")))
    task = asyncio.create_task(made.run(lambda: [on]))
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert heard(on)[:1] == [("CRITICAL", "disarmed")]


@pytest.mark.asyncio
async def test_announcer__when_one_part_breaks__then_the_others_tell_of_it_and_it_is_over_when_it_holds(
    on: Loop,
) -> None:
    class Broken:
        well = False

        async def send(self, title: str, body: str, severity: Severity) -> None:
            if not self.well:
                raise RuntimeError("nobody thought of this")

    class Good:
        got: ClassVar[list[str]] = []

        async def send(self, title: str, body: str, severity: Severity) -> None:
            self.got.append(f"{title} {body}")

    made, broken, good = announcer(on), Broken(), Good()
    routes = [(Target(name=n, url=f"json://{n}"), post) for n, post in (("odd", broken), ("even", good))]
    made.courier = Courier(routes, on.clock, on.journal.record)
    task = asyncio.create_task(made.run(lambda: [on]))

    async def stands() -> bool:
        for _ in range(20):
            await asyncio.sleep(0)
        return any((a.code, a.subject) == ("announcer", "target odd") for a in made.alarms.standing)

    try:
        made.alarms.raise_alarm(Severity.CRITICAL, "blind", "m", "no head for 46 s")
        assert await stands()
        assert any("blind" in one for one in good.got)
        assert any("nobody thought of this" in one for one in good.got)
        broken.well = True
        on.clock.advance(2 * MENDED_S)
        assert not await stands()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.asyncio
async def test_not_armed__when_a_position_is_within_its_warning_line_or_unknown__then_critical_at_once(
    on: Loop,
) -> None:
    made = announcer(on)
    await on.running.tick(on.lay(vault("1580")))
    passed(made, on, ESCALATE_S)
    assert heard(on) == [("CRITICAL", "disarmed")]
    assert "vault 1" in made.alarms.standing[0].why
    passed(made, on, 2 * REPEAT_CRITICAL_S)
    assert heard(on) == [("CRITICAL", "disarmed")] * 3
    on.facts.next = build.snapshot(unreadable=[build.unreadable()], at=build.block(102))
    await on.running.tick(build.block(102))
    passed(made, on, REPEAT_CRITICAL_S)
    assert heard(on) == [("CRITICAL", "disarmed")] * 4, "unknown is never healthy"


@pytest.mark.asyncio
async def test_not_armed__when_acknowledged__then_said_once_a_day_and_never_not_at_all(on: Loop) -> None:
    made = announcer(on)
    await on.running.tick(on.lay(vault(SAFE)))
    passed(made, on, GRACE_S + ESCALATE_S)
    asked: dict[str, object] = {"do": "ack", "actor": "ann", "why": "I know"}
    await Controls(made.settings, on.journal, [on], on.clock).answer(asked)
    passed(made, on, KNOWN_S - 120.0, 60.0)
    assert len(heard(on)) == 1
    passed(made, on, 240.0)
    assert len(heard(on)) == 2


@pytest.mark.asyncio
async def test_not_armed__when_it_is_a_dry_run_or_acting_ended_by_a_fault__then_not_said(
    on: Loop, tmp_path: Path
) -> None:
    (tmp_path / "dry").mkdir()
    dry = loop(tmp_path / "dry", dry=True)
    await dry.running.tick(dry.lay(vault(DANGER)))
    passed(announcer(dry), dry, 2 * GRACE_S)
    assert heard(dry) == []
    dry.journal.close()
    await on.running.tick(on.lay(vault(DANGER)))
    on.running.stop_acting("an index")
    passed(announcer(on), on, 2 * GRACE_S)
    assert heard(on) == []
    assert ("CRITICAL", "broken") in on.said


@pytest.mark.asyncio
async def test_metrics_and_summary__when_one_or_everything_is_paused__then_told_whatever_the_level(
    on: Loop,
) -> None:
    made = announcer(on)
    await on.running.tick(on.lay(vault(SAFE)))
    guarded = on.running.parts.guarded[0]
    assert not [k for k in scraped(made, on) if k.startswith("keeper_position_stopped")]
    on.journal.set_control(f"pause:{guarded.id}", repr(on.clock.now_s() + 600.0), "ann", "by hand")
    at = f'chain="local",code="paused",position="vault 1",venue="{guarded.venue_id}"'
    found = scraped(made, on)
    assert found[f"keeper_position_stopped{{{at}}}"] == 1
    assert found['keeper_paused{chain="local"}'] == 0
    # what cannot be seen is stopped all the same
    on.blind = Blind(why="no new head", since_s=1.0)
    assert scraped(made, on)[f"keeper_position_stopped{{{at}}}"] == 1
    on.blind = None
    on.journal.set_control("pause", repr(on.clock.now_s() + 600.0), "ann", "by hand")
    assert scraped(made, on)['keeper_paused{chain="local"}'] == 1
    sent: list[Any] = []
    made.courier.tell = lambda told, **_: sent.append(told)  # type: ignore[method-assign]
    made.summarise([on])
    assert "local: watching, PAUSED, block 101" in sent[0].why
    assert "STOPPED: 1 paused" in sent[0].why


@pytest.mark.asyncio
async def test_ack__when_given__then_what_stands_is_not_told_louder_and_it_is_journaled(on: Loop) -> None:
    made = announcer(on, AlarmSettings(escalate_after_s=900.0))
    made.alarms.raise_alarm(Severity.CRITICAL, "blind", "local", "no head")
    assert made.figures([on]).unacknowledged == 1
    on.clock.advance(10.0)
    asked: dict[str, object] = {"do": "ack", "actor": "ann", "why": "looking"}
    answer = await Controls(made.settings, on.journal, [on], on.clock).answer(asked)
    assert answer["ok"] is True
    assert made.figures([on]).unacknowledged == 0
    (entry,) = on.journal.entries("control")
    assert (entry.why, entry.data["actor"]) == ("looking", "ann")


@pytest.mark.asyncio
async def test_summary__when_the_day_is_over__then_positions_health_and_alarms_in_a_few_lines(
    on: Loop,
) -> None:
    made = announcer(on)
    await on.running.tick(on.lay(vault(DANGER)))
    made.alarms.raise_alarm(Severity.CRITICAL, "blind", "local", "no head")
    sent: list[Any] = []
    made.courier.tell = lambda told, **_: sent.append(told)  # type: ignore[method-assign]
    made.summarise([on])
    (told,) = sent
    assert told.severity is Severity.INFO
    assert "local: watching, NOT ARMED, block 101" in told.why
    assert "1 ACT" in told.why
    assert "lowest health 1.16" in told.why
    assert "1 CRITICAL blind" in told.why
    assert "1 critical alarms stand unacknowledged" in told.why
    made.summarise([on])
    assert "alarms in 24 h: none" in sent[1].why


@pytest.mark.asyncio
async def test_speak__when_the_announcer_breaks__then_alarmed_and_started_anew_and_nothing_else_ends(
    on: Loop,
) -> None:
    made = announcer(on)
    runs: list[int] = []
    thrice = asyncio.Event()

    async def breaks(_: object) -> None:
        runs.append(1)
        if len(runs) == 3:
            thrice.set()
        raise RuntimeError("apprise changed its mind")

    made.run = breaks  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(speak(made, Chains([on]), rest_s=0.0))  # type: ignore[arg-type]
    await thrice.wait()
    task.cancel()
    (told,) = [e for e in on.journal.entries("alarm") if e.data["code"] == "announcer"]
    assert "apprise changed its mind" in told.why


class Chains:
    """As much of a fleet as the announcer sees."""

    def __init__(self, chains: Sequence[Watched]) -> None:
        self.chains = chains
