"""Alarms on their way to people: nothing is lost while a target is down, nothing CRITICAL waits for morning."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from keeper.clock import ManualClock
from keeper.errors import Unwritable
from keeper.model import Entry
from keeper.notify.alarm import Alarms, Told
from keeper.notify.courier import (
    BACK_OFF_S_MAX,
    BETWEEN_S,
    DOWN_TRIES,
    POLL_S,
    Courier,
    Escalation,
    Undelivered,
)
from keeper.notify.outbox import LINES_MAX, OUTBOX_MAX, Outbox, Quiet
from keeper.notify.targets import Target, targets_from
from keeper.seams import Severity

pytestmark = pytest.mark.unit
INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
NIGHT = Quiet(minutes=(23 * 60, 7 * 60), zone="UTC")
MIDNIGHT_S = 1_700_006_400.0
"""2023-11-15 00:00 UTC."""


def told(severity: Severity = CRITICAL, code: str = "blind", subject: str = "m", **more: object) -> Told:
    given = {"why": "no head for 46 s", "chain_id": 1, "block": 7, "at_s": MIDNIGHT_S, **more}
    return Told(severity=severity, code=code, subject=subject, **given)  # type: ignore[arg-type]


@dataclass
class Sink:
    """A target that takes everything, or nothing while ``why`` says so."""

    why: str = ""
    got: list[tuple[str, str, Severity]] = field(default_factory=list)

    async def send(self, title: str, body: str, severity: Severity) -> None:
        if self.why:
            raise Undelivered(self.why)
        self.got.append((title, body, severity))


@dataclass
class Desk:
    """A courier with its sinks and its diary."""

    sinks: list[Sink]
    courier: Courier
    clock: ManualClock
    diary: list[Entry]


def desk(*targets: Target, quiet: Quiet | None = None) -> Desk:
    diary: list[Entry] = []
    clock, sinks = ManualClock(MIDNIGHT_S), [Sink() for _ in targets]
    courier = Courier(list(zip(targets, sinks, strict=True)), clock, diary.append, quiet)
    courier.own = Alarms(diary.append, clock, 0, courier.tell)
    return Desk(sinks=sinks, courier=courier, clock=clock, diary=diary)


PHONE = Target(name="ntfy (line 1)", url="ntfy://secret")
MAIL = Target(name="mailto (line 2)", url="mailto://secret", least=WARNING)
BOSS = Target(name="pover (line 3)", url="pover://secret", least=CRITICAL, escalation=True)


def test_targets__when_read__then_severity_word_comment_and_name_without_secrets() -> None:
    text = "# mine\n\ntgram://token/chat\ncritical ntfy://host/topic\nescalate pover://user@key\n"
    found, problems = targets_from(text)
    assert problems == ()
    assert [(t.name, t.least, t.escalation) for t in found] == [
        ("tgram (line 3)", INFO, False),
        ("ntfy (line 4)", CRITICAL, False),
        ("pover (line 5)", CRITICAL, True),
    ]
    assert "token" not in repr(found)


@pytest.mark.parametrize("line", ["sometimes tgram://secret", "tgram:secret", "info", "info a://secret b"])
def test_targets__when_a_line_is_wrong__then_named_by_number_and_never_repeated(line: str) -> None:
    found, problems = targets_from(f"ntfy://fine\n{line}\n")
    assert len(found) == 1
    (problem,) = problems
    assert problem.startswith("line 2: ")
    assert "secret" not in problem


@pytest.mark.parametrize(
    ("hour", "within"), [(22.9, False), (23.0, True), (0.0, True), (6.9, True), (7.0, False), (12.0, False)]
)
def test_quiet__when_it_spans_midnight__then_both_sides_of_it_are_quiet(hour: float, within: bool) -> None:
    assert NIGHT.holds(MIDNIGHT_S + hour * 3600) is within
    berlin = Quiet(minutes=(60, 120), zone="Europe/Berlin")
    assert berlin.holds(MIDNIGHT_S)  # 01:00 there
    assert not berlin.holds(MIDNIGHT_S + 3600)


@pytest.mark.asyncio
async def test_courier__when_quiet__then_critical_is_told_at_once_and_the_rest_in_the_morning() -> None:
    d = desk(PHONE, quiet=NIGHT)
    (route,), (sink,) = d.courier.routes, d.sinks
    d.courier.tell(told(WARNING, "act"))
    assert await d.courier.step(route) == POLL_S
    assert sink.got == []
    d.courier.tell(told(CRITICAL, "urgent"))
    await d.courier.step(route)
    assert [t for t, _, _ in sink.got] == ["keeper: CRITICAL urgent m"]
    await d.clock.sleep(7 * 3600)
    await d.courier.step(route)
    assert [t for t, _, _ in sink.got][1:] == ["keeper: WARNING act m"]
    assert "[420 min ago]" in sink.got[1][1]


@pytest.mark.asyncio
async def test_courier__when_severity_is_below_a_targets__then_it_hears_nothing() -> None:
    d = desk(PHONE, MAIL, BOSS)
    d.courier.tell(told(INFO, "watch"))
    d.courier.tell(told(CRITICAL, "urgent"))
    assert [len(r.outbox) for r in d.courier.routes] == [2, 1, 0]
    d.courier.tell(told(CRITICAL, "urgent"), escalated=True)
    assert [len(r.outbox) for r in d.courier.routes] == [2, 1, 1]


@pytest.mark.asyncio
async def test_courier__when_a_target_is_down_for_hours__then_told_elsewhere_and_caught_up_when_back() -> (
    None
):
    d = desk(PHONE, MAIL)
    phone, mail = d.courier.routes
    d.sinks[0].why = "refused: http://api.host.example/bot123:SECRET/send"
    waits = []
    d.courier.tell(told(CRITICAL, "urgent", "a"))
    for _ in range(60):
        wait_s = await d.courier.step(phone)
        waits.append(wait_s)
        await d.courier.step(mail)
        await d.clock.sleep(wait_s)
    assert waits[0] < waits[3] < waits[-1] == BACK_OFF_S_MAX
    assert sum(waits) > 4 * 3600
    assert [t for t, _, _ in d.sinks[1].got] == [
        "keeper: CRITICAL urgent a",
        f"keeper: WARNING alarm_target {PHONE.name}",
    ]
    assert phone.down
    # the last word on each subject arrives, in one message, most severe first
    d.courier.tell(told(CRITICAL, "urgent", "a", why="over after 9 h", cleared=True))
    d.courier.tell(told(CRITICAL, "blind", "b"))
    d.sinks[0].why = ""
    assert await d.courier.step(phone) == BETWEEN_S
    ((title, body, _),) = d.sinks[0].got
    assert title == "keeper: 3 alarms, worst CRITICAL"
    assert body.index("CLEARED urgent a") < body.index("WARNING alarm_target")
    assert not phone.down
    kept = [(e.kind, e.data.get("severity"), e.why) for e in d.diary if e.subject == PHONE.name]
    assert [k for k, _, _ in kept] == ["delivery", "delivery", "alarm", "delivery", "alarm"]
    assert kept[-1][1] == "CLEARED"
    assert "SECRET" not in str(d.diary)
    assert f"after {len(waits)} failed tries" in kept[3][2]


@pytest.mark.asyncio
async def test_courier__when_no_target_is_left__then_that_is_critical_and_repeated() -> None:
    d = desk(PHONE)
    d.sinks[0].why = "refused"
    d.courier.tell(told())
    for _ in range(DOWN_TRIES + 3):
        await d.clock.sleep(await d.courier.step(d.courier.routes[0]))
    own = [e.data["severity"] for e in d.diary if e.kind == "alarm"]
    assert own[0] == "CRITICAL"


@pytest.mark.asyncio
async def test_courier__when_the_journal_takes_nothing__then_alarms_still_arrive() -> None:
    def full(_: Entry) -> None:
        raise Unwritable("disk full")

    sink = Sink()
    courier = Courier([(PHONE, sink)], ManualClock(MIDNIGHT_S), full)
    courier.tell(told())
    await courier.step(courier.routes[0])
    assert len(sink.got) == 1


def test_outbox__when_a_thousand_alarm_at_once__then_one_message_with_the_rest_counted() -> None:
    box = Outbox()
    for i in range(1_000):
        box.put(told(CRITICAL, "urgent", f"p{i}", at_s=MIDNIGHT_S + i))
    title, body = box.message(box.due(quiet=True), MIDNIGHT_S)
    assert title == "keeper: 1000 alarms, worst CRITICAL"
    assert body.count("\n") == LINES_MAX
    assert body.endswith(f"and {1_000 - LINES_MAX} more: urgent {1_000 - LINES_MAX}")
    assert len(body) < 4_000


def test_outbox__when_full__then_the_least_severe_is_given_up_and_that_is_said() -> None:
    box = Outbox()
    box.put(told(CRITICAL, "blind", "kept"))
    for i in range(OUTBOX_MAX + 4):
        box.put(told(WARNING, "act", f"p{i}", at_s=MIDNIGHT_S + i))
    assert len(box) == OUTBOX_MAX
    due = box.due(quiet=False)
    assert due[0].subject == "kept"
    assert due[1].subject == "p5"
    assert "5 older ones were given up" in box.message(due, MIDNIGHT_S)[1]


def test_outbox__when_a_newer_word_came_while_the_older_was_sent__then_it_is_kept() -> None:
    box = Outbox()
    box.put(told(why="first"))
    due = box.due(quiet=False)
    box.put(told(why="second"))
    box.delivered(due)
    assert [t.why for t in box.due(quiet=False)] == ["second"]


def test_escalation__when_nobody_acknowledges__then_told_louder_until_somebody_does_or_it_is_over() -> None:
    acknowledged = [0.0]
    e = Escalation(900.0, lambda: acknowledged[0])
    first = told()
    assert e.hear(first)
    assert e.due(MIDNIGHT_S + 899) == ()
    (louder,) = e.due(MIDNIGHT_S + 900)
    assert louder.why == "nobody acknowledged this for 15 min (keeper ack): no head for 46 s"
    assert e.due(MIDNIGHT_S + 901) == ()
    assert len(e.due(MIDNIGHT_S + 1_800)) == 1
    assert e.hear(told(again=True, at_s=MIDNIGHT_S + 1_900))
    acknowledged[0] = MIDNIGHT_S + 2_000
    assert e.due(MIDNIGHT_S + 5_000) == ()
    assert not e.hear(told(again=True, at_s=MIDNIGHT_S + 5_000))
    assert e.unacknowledged == ()
    # another cause is another alarm
    assert e.hear(told(why="endpoints: none", at_s=MIDNIGHT_S + 5_100))
    assert len(e.unacknowledged) == 1
    assert e.hear(told(cleared=True, at_s=MIDNIGHT_S + 5_200))
    assert e.due(MIDNIGHT_S + 99_999) == ()


def test_escalation__when_the_clock_was_set_back_below_an_acknowledgement__then_it_is_none_of_what_is_new() -> (
    None
):
    acknowledged = [MIDNIGHT_S]
    e = Escalation(900.0, lambda: acknowledged[0])
    now_s = MIDNIGHT_S - 3_600
    assert e.hear(told(at_s=now_s))
    assert len(e.unacknowledged) == 1
    assert e.hear(told(again=True, at_s=now_s + 300))
    assert len(e.due(now_s + 900)) == 1
    assert len(e.due(now_s + 1_800)) == 1, "told louder again and again"
    assert e.hear(told(again=True, at_s=MIDNIGHT_S + 5)), "nor once the clock is past it"
    acknowledged[0] = now_s + 2_000
    assert e.unacknowledged == ()
    assert not e.hear(told(again=True, at_s=now_s + 2_100))
    assert e.due(now_s + 9_000) == ()


def test_escalation__when_the_clock_is_set_back__then_what_was_acknowledged_before_stays_so() -> None:
    acknowledged = [0.0]
    e = Escalation(900.0, lambda: acknowledged[0])
    assert e.hear(told())
    acknowledged[0] = MIDNIGHT_S + 60
    assert not e.hear(told(again=True, at_s=MIDNIGHT_S - 3_300))
    assert e.unacknowledged == ()


def test_escalation__when_less_than_critical__then_never_told_louder() -> None:
    e = Escalation(900.0, lambda: 0.0)
    assert e.hear(told(WARNING))
    assert e.due(MIDNIGHT_S + 99_999) == ()
    assert e.hear(told(CRITICAL))
    assert e.hear(told(WARNING))
    assert e.due(MIDNIGHT_S + 99_999) == ()


def test_alarms__when_repeated__then_what_is_told_says_so_and_the_end_keeps_its_severity() -> None:
    heard: list[Told] = []
    clock = ManualClock(0.0)
    alarms = Alarms(lambda _: None, clock, 1, heard.append)
    alarms.at_block(9)
    for _ in range(3):
        alarms.raise_alarm(CRITICAL, "blind", "m", "no head for 46 s")
        clock.advance(200.0)
    alarms.raise_alarm(WARNING, "blind", "m", "no head for 46 s")
    alarms.clear("blind", "m")
    assert [(t.severity, t.again, t.cleared, t.block) for t in heard] == [
        (CRITICAL, False, False, 9),
        (CRITICAL, True, False, 9),
        (WARNING, False, False, 9),
        (WARNING, False, True, 9),
    ]


@pytest.mark.asyncio
async def test_courier__when_a_target_is_gone_for_weeks__then_it_is_tried_every_few_minutes_for_ever() -> (
    None
):
    d = desk(PHONE)
    (phone,) = d.courier.routes
    d.courier.tell(told())
    d.sinks[0].why = "revoked"
    # a float overflows at the 1,025th doubling: three and a half days of five minutes
    assert [await d.courier.step(phone) for _ in range(3_000)][-1] == BACK_OFF_S_MAX
    d.sinks[0].why = ""
    assert await d.courier.step(phone) == BETWEEN_S
    assert len(d.sinks[0].got) == 1


@pytest.mark.asyncio
async def test_courier__when_only_the_critical_is_heard__then_its_end_is_heard_too_however_it_was_lowered() -> (
    None
):
    d = desk(MAIL)
    (mail,) = d.courier.routes
    assert not mail.target.wants(INFO)
    for one in (told(CRITICAL, "urgent"), told(INFO, "urgent")):
        d.courier.tell(one)
        await d.courier.step(mail)
    assert [t.split()[1] for t, _, _ in d.sinks[0].got] == ["CRITICAL", "INFO"]
    # lowered once, what becomes of it is no longer of that target's concern
    d.courier.tell(told(INFO, "urgent", why="still"))
    d.courier.tell(told(INFO, "watch"))
    assert len(mail.outbox) == 0


def test_outbox__when_an_undelivered_critical_is_lowered_or_over__then_it_does_not_wait_for_morning() -> None:
    box = Outbox()
    box.put(told(CRITICAL, "urgent"))
    box.put(told(WARNING, "urgent"))
    box.put(told(WARNING, "act"))
    assert [t.code for t in box.due(quiet=True)] == ["urgent"]
    box.put(told(INFO, "urgent", cleared=True))
    assert [t.code for t in box.due(quiet=True)] == ["urgent"]
    box.delivered(box.due(quiet=True))
    box.put(told(WARNING, "urgent"))
    assert box.due(quiet=True) == ()
