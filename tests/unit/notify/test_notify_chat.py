"""What a chat may ask: wishes, codes that are good once, and a stranger who hears nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.config.telling import TelegramSettings
from keeper.daemon.commanding import STRANGER, Commander, commander_for
from keeper.notify.chat import (
    HELP,
    SAID_S_MAX,
    STEP_S,
    WRONG_MAX,
    WRONG_S,
    Said,
    SecondFactor,
    Wish,
    code_at,
    positions_text,
    status_text,
    wish_from,
)
from keeper.notify.courier import Undelivered
from keeper.notify.telegram import said_from
from keeper.seams import Severity
from keeper.units import WAD

pytestmark = pytest.mark.unit
ME, STRANGE = 4711, 666
NOW_S = 1_800_000_000.0
SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("/status", Wish(do="status")),
        ("/STATUS@keeper_bot", Wish(do="status")),
        ("/positions", Wish(do="positions")),
        ("/explain vault", Wish(do="explain", label="vault")),
        ("/explain my  vault", Wish(do="explain", label="my vault")),
        ("/pause my vault 5m 123456", Wish(do="pause", label="my vault", for_s=300.0, code="123456")),
        ("/ack 123456", Wish(do="ack", code="123456")),
        ("/resume all", Wish(do="resume")),
        ("/resume vault", Wish(do="resume", label="vault")),
        ("/pause vault 30m 123456", Wish(do="pause", label="vault", for_s=1800.0, code="123456")),
        ("/pause all 2h 123456", Wish(do="pause", for_s=7200.0, code="123456")),
    ],
)
def test_wish__when_it_is_one__then_understood(text: str, wish: Wish) -> None:
    assert wish_from(text) == wish


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "/ack", "/ack 123456 now", "/arm", "/disarm", "/protect vault 2", "/status now", "/explain",
        "/pause vault 30m", "/pause vault 0m 123456", "/pause vault 30 123456", "/pause vault -1h 123456",
        "/resume", "/adopt",
    ],
)  # fmt: skip
def test_wish__when_it_is_none__then_words_and_nothing_else(text: str) -> None:
    assert isinstance(wish_from(text), str)


def test_wish__when_its_repr_is_taken__then_the_code_is_not_in_it() -> None:
    assert "123456" not in repr(wish_from("/pause all 30m 123456"))


@pytest.mark.parametrize(("at_s", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")])
def test_code__when_of_rfc_6238__then_its_test_vectors(at_s: int, code: str) -> None:
    assert code_at(SECRET, at_s // STEP_S) == code


def test_factor__when_a_code_is_right__then_taken_once() -> None:
    factor = SecondFactor(SECRET)
    code = code_at(SECRET, int(NOW_S // STEP_S))
    assert factor.refuses(code, ME, NOW_S) == ""
    assert "was used" in factor.refuses(code, ME, NOW_S + 1)


def test_factor__when_an_older_code_follows_a_newer_one__then_it_is_not_taken() -> None:
    factor = SecondFactor(SECRET)
    step = int(NOW_S // STEP_S)
    assert factor.refuses(code_at(SECRET, step + 1), ME, NOW_S) == ""
    assert factor.refuses(code_at(SECRET, step), ME, NOW_S) != ""


@pytest.mark.parametrize(
    ("late_s", "taken"), [(-STEP_S, True), (STEP_S, True), (3 * STEP_S, False), (-3 * STEP_S, False)]
)
def test_factor__when_clocks_differ__then_one_step_is_forgiven(late_s: int, taken: bool) -> None:
    code = code_at(SECRET, int((NOW_S + late_s) // STEP_S))
    assert (SecondFactor(SECRET).refuses(code, ME, NOW_S) == "") is taken


def test_factor__when_guessed_at__then_closed_even_to_the_right_code_until_the_time_is_over() -> None:
    factor = SecondFactor(SECRET)
    right = code_at(SECRET, int(NOW_S // STEP_S))
    wrong = f"{(int(right) + 1) % 10**6:06d}"
    for _ in range(WRONG_MAX):
        assert "wrong" in factor.refuses(wrong, ME, NOW_S)
    assert "none is taken" in factor.refuses(right, ME, NOW_S)
    assert factor.refuses(code_at(SECRET, int((NOW_S + WRONG_S) // STEP_S)), ME, NOW_S + WRONG_S) == ""


class Room:
    """A chat that keeps what was said in it; double of the seam ``Chat``."""

    def __init__(self, heard: Sequence[Said] = ()) -> None:
        self.waiting = list(heard)
        self.said: list[tuple[int, str]] = []
        self.asked: list[int] = []

    async def heard(self, after: int) -> tuple[Said, ...]:
        self.asked.append(after)
        if not self.waiting:
            raise Undelivered("gone")
        return (self.waiting.pop(0),)

    async def say(self, chat: int, text: str) -> None:
        self.said.append((chat, text))


class Bell:
    """Alarms that were raised."""

    def __init__(self) -> None:
        self.rung: list[tuple[Severity, str, str, str]] = []

    def raise_alarm(self, severity: Severity, code: str, subject: str, why: str) -> None:
        self.rung.append((severity, code, subject, why))

    def clear(self, code: str, subject: str) -> None:
        pass


class Wall(ManualClock):
    """The wall clock stands at NOW_S; a sleep ends the test's run."""

    def now_s(self) -> float:
        return NOW_S

    async def sleep(self, seconds: float) -> None:
        raise TimeoutError


def said(text: str, *, chat: int = ME, private: bool = True, age_s: float = 1.0, number: int = 1) -> Said:
    return Said(number=number, chat=chat, private=private, at_s=NOW_S - age_s, text=text)


async def obeyed(
    message: Said, factor: SecondFactor | None = None
) -> tuple[Room, Bell, list[dict[str, object]]]:
    room, bell, asked = Room(), Bell(), list[dict[str, object]]()

    async def answer(request: dict[str, object]) -> dict[str, object]:
        asked.append(request)
        return {"ok": True, "lines": ["done"], "mode": "live", "chains": []}

    await Commander(room, [ME], factor, Wall(0.0), bell).obey(message, answer, list)
    return room, bell, asked


@pytest.mark.asyncio
@pytest.mark.parametrize("message", [said("/status", chat=STRANGE), said("/status", private=False)])
async def test_obey__when_a_stranger_or_a_group_speaks__then_silence_and_an_alarm(message: Said) -> None:
    room, bell, asked = await obeyed(message)
    assert (room.said, asked) == ([], [])
    assert [code for _, code, _, _ in bell.rung] == [STRANGER]


@pytest.mark.asyncio
@pytest.mark.parametrize("age_s", [SAID_S_MAX + 1, -SAID_S_MAX - 1])
async def test_obey__when_said_long_ago_or_in_the_future__then_not_done(age_s: float) -> None:
    room, _, asked = await obeyed(said("/status", age_s=age_s))
    assert asked == []
    assert "not done" in room.said[0][1]


@pytest.mark.asyncio
@pytest.mark.parametrize("text", ["/pause all 30m 123456", "/ack 123456"])
async def test_obey__when_a_pause_or_an_ack_has_no_second_factor__then_not_done(text: str) -> None:
    room, _, asked = await obeyed(said(text))
    assert asked == []
    assert "second_factor_file" in room.said[0][1]


@pytest.mark.asyncio
@pytest.mark.parametrize("text", ["/pause all 30m 000000", "/ack 000000"])
async def test_obey__when_a_pause_or_an_ack_has_a_wrong_code__then_not_done_and_an_alarm(text: str) -> None:
    room, bell, asked = await obeyed(said(text), SecondFactor(SECRET))
    assert asked == []
    assert room.said[0][1] == "the code is wrong"
    assert bell.rung[0][1] == STRANGER


@pytest.mark.asyncio
async def test_obey__when_a_pause_has_the_right_code__then_asked_with_its_time_and_who() -> None:
    code = code_at(SECRET, int(NOW_S // STEP_S))
    room, bell, asked = await obeyed(said(f"/pause vault 30m {code}"), SecondFactor(SECRET))
    assert asked == [
        {"do": "pause", "for_s": 1800.0, "label": "vault", "actor": f"telegram {ME}", "why": "said in a chat"}
    ]
    assert (room.said, bell.rung) == ([(ME, "done")], [])


@pytest.mark.asyncio
async def test_obey__when_an_ack_has_the_right_code__then_asked_once_and_the_code_is_spent() -> None:
    factor, text = SecondFactor(SECRET), f"/ack {code_at(SECRET, int(NOW_S // STEP_S))}"
    _, _, asked = await obeyed(said(text), factor)
    assert asked == [{"do": "ack", "actor": f"telegram {ME}", "why": "said in a chat"}]
    room, _, asked = await obeyed(said(text), factor)
    assert asked == []
    assert "was used" in room.said[0][1]


@pytest.mark.asyncio
async def test_obey__when_not_understood__then_help() -> None:
    room, _, asked = await obeyed(said("/disarm"))
    assert asked == []
    assert HELP in room.said[0][1]


@pytest.mark.asyncio
async def test_run__when_messages_come_and_the_server_goes__then_each_once_and_an_alarm() -> None:
    room, bell = Room([said("/status", number=7), said("/status", number=9)]), Bell()
    asked: list[dict[str, object]] = []

    async def answer(request: dict[str, object]) -> dict[str, object]:
        asked.append(request)
        return {"ok": True, "mode": "live", "chains": []}

    with pytest.raises(TimeoutError):
        await Commander(room, [ME], None, Wall(0.0), bell).run(answer, list)
    assert room.asked == [0, 7, 9]
    assert len(asked) == 2
    assert bell.rung[0][:2] == (Severity.WARNING, "telegram")


def test_status__when_positions_differ__then_the_worried_ones_are_named_and_nothing_old_reads_as_now() -> (
    None
):
    answer = {
        "mode": "live",
        "chains": [
            {
                "chain": "main", "block": 5, "armed": False, "broken": None, "blind": {"why": "silent"},
                "positions": [
                    {"label": "a", "level": "SAFE", "health_wad": str(2 * WAD)},
                    {"label": "b", "level": "UNKNOWN", "health_wad": None, "unreadable": "no answer",
                     "last_known": {"health_wad": str(WAD + WAD // 5), "block": 3, "level": "SAFE"}},
                ],
            }
        ],
    }  # fmt: skip
    text = status_text(json.loads(json.dumps(answer)))
    assert "main: BLIND: silent, NOT ARMED, block 5" in text
    assert "b: UNKNOWN, no answer (last known 1.20 at block 3)" in text
    assert "a: SAFE" not in text
    assert "a: SAFE, health 2.00" in positions_text(answer)


CALM = {"chain": "main", "block": 5, "armed": True, "broken": None, "blind": None, "paused": None}
SAFE = {"id": "aave:1", "label": "a", "level": "SAFE", "health_wad": str(2 * WAD), "stopped": None}


def test_status__when_alarms_stand__then_told_first_by_label_the_daemons_own_too() -> None:
    def alarm(severity: str, code: str, subject: str) -> dict[str, object]:
        return {"severity": severity, "code": code, "subject": subject, "why": "x" * 900}

    chain = {**CALM, "alarms": [alarm("WARNING", "act", "aave:1"), alarm("INFO", "endpoint_up", "one")]}
    own = [alarm("CRITICAL", "safe_mode", ""), *(alarm("WARNING", "alarm_target", str(i)) for i in range(9))]
    many = [SAFE] * 200
    lines = status_text({"mode": "live", "alarms": own, "chains": [{**chain, "positions": many}]}).split("\n")
    assert lines[1].startswith("CRITICAL safe_mode: xxx")
    assert any(line.startswith("WARNING alarm_target 0: ") for line in lines)
    assert "and 3 more alarms" in lines
    assert sum(map(len, lines[:10])) < 2_500, "a message is cut at its end"
    only = {"mode": "live", "alarms": [], "chains": [{**chain, "positions": [SAFE]}]}
    assert "WARNING act a: " in status_text(only)
    calm = status_text({"mode": "live", "alarms": [], "chains": [{**CALM, "positions": [SAFE]}]})
    assert "no alarm stands" in calm
    assert "endpoint_up" not in status_text(only)


@pytest.mark.parametrize("mode", ["live", "dry-run"])
def test_status__when_everything_or_one_is_paused__then_said_with_its_end(mode: str) -> None:
    why = "paused by ann for 30 more minutes: by hand"
    everything = {**CALM, "armed": False, "paused": why, "positions": [SAFE]}
    text = status_text({"mode": mode, "chains": [everything]})
    assert f"main: watching, PAUSED ({why}), block 5" in text
    stop = {"code": "paused", "scope": "position", "why": why}
    answer = {"mode": mode, "chains": [{**CALM, "positions": [{**SAFE, "stopped": stop}]}]}
    for told in (status_text(answer), positions_text(answer)):
        assert f"  a: SAFE, health 2.00; STOPPED (paused): {why}" in told
    assert "1 of 1 positions SAFE, 1 STOPPED" in status_text(answer)


@pytest.mark.parametrize(
    "update", [{}, {"update_id": 3}, {"update_id": 3, "message": {"chat": 7, "text": 8}}]
)
def test_said__when_the_update_is_of_another_shape__then_an_empty_message_of_nobody(
    update: dict[str, object],
) -> None:
    found = said_from(update)
    assert (found.chat, found.text, found.private) == (0, "", False)


def test_commander__when_a_file_is_open_to_others_or_gone_or_poor__then_named_and_that_part_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, factor = tmp_path / "token", tmp_path / "factor"
    token.write_text("1:abc\n")
    factor.write_text("TOO SHORT")
    token.chmod(0o644)
    factor.chmod(0o600)
    made = TelegramSettings(token_file=token, chats=(ME,), second_factor_file=factor)
    none, problems = commander_for(made, Wall(0.0), Bell())
    assert none is None
    assert "chmod 600" in problems[0]
    # a folder that is merely called so is nobody's but the user's
    (tmp_path / "credentials").mkdir()
    loose = tmp_path / "credentials" / "token"
    loose.write_text("1:abc\n")
    loose.chmod(0o644)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert commander_for(replace(made, token_file=loose), Wall(0.0), Bell())[0] is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "elsewhere"))
    assert commander_for(replace(made, token_file=loose), Wall(0.0), Bell())[0] is None
    # systemd shows what it gives to the unit alone with a wider mode
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(loose.parent))
    assert commander_for(replace(made, token_file=loose), Wall(0.0), Bell())[0] is not None
    token.chmod(0o600)
    some, problems = commander_for(made, Wall(0.0), Bell())
    assert some is not None
    assert "base32" in problems[0]
    factor.write_text("GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ")
    assert commander_for(made, Wall(0.0), Bell())[1] == ()
    token.unlink()
    assert "No such file" in commander_for(made, Wall(0.0), Bell())[1][0]
    assert "abc" not in repr(some)
