"""A chat over real sockets: a bot API of this machine, the real daemon's answers, what it costs when it is away."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keeper.clock import SystemClock
from keeper.config.telling import TelegramSettings
from keeper.daemon.commanding import commander_for
from keeper.daemon.control import Controls
from keeper.daemon.stops import PAUSE
from keeper.notify import telegram
from keeper.notify.chat import STEP_S, code_at
from tests.loop_double import Loop, loop, settings, vault
from tests.patience import becomes
from tests.sinks import ME, TOKEN, BotApi, bot_api

pytestmark = pytest.mark.anvil
STRANGE = 666
FACTOR = b"0123456789abcdefghij"


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Loop]:
    made = loop(tmp_path)
    yield made
    made.journal.close()


@asynccontextmanager
async def heeding(on: Loop, api: BotApi, home: Path) -> AsyncIterator[None]:
    token, factor = home / "token", home / "factor"
    token.write_text(TOKEN)
    factor.write_text(base64.b32encode(FACTOR).decode())
    for path in (token, factor):
        path.chmod(0o600)
    given = TelegramSettings(
        token_file=token, chats=(ME,), second_factor_file=factor, api=f"http://127.0.0.1:{api.port}"
    )
    made, problems = commander_for(given, SystemClock(), on.running.parts.alarms)
    assert made is not None
    assert problems == ()
    controls = Controls(settings(home), on.journal, [on])
    task = asyncio.create_task(made.run(controls.answer, lambda: [on]))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def answers(api: BotApi, n: int) -> list[str]:
    await becomes(lambda: len(api.said) >= n)
    assert all(body["chat_id"] == ME for body in api.said)
    return [body["text"] for body in api.said]


@pytest.mark.asyncio
async def test_chat__when_asked__then_the_daemons_own_answers_and_a_stranger_hears_nothing(
    on: Loop, tmp_path: Path
) -> None:
    await on.running.tick(on.lay(vault("2400")))
    async with bot_api() as api, heeding(on, api, tmp_path):
        api.hear("/status", chat=STRANGE)
        api.hear("/status", kind="group")
        api.hear("/disarm", age_s=3_600)
        api.hear("/status")
        api.hear("/explain vault 1")
        told = await answers(api, 3)
    assert "too long ago" in told[0]
    assert "local: watching" in told[1]
    assert told[2].startswith("vault 1: SAFE, health ")
    assert len(told) == 3
    assert ("WARNING", "telegram_stranger") in on.said
    assert TOKEN not in str(on.journal.entries())


@pytest.mark.asyncio
async def test_pause__when_the_code_is_right__then_it_holds_and_is_in_the_journal_and_the_same_code_is_spent(
    on: Loop, tmp_path: Path
) -> None:
    await on.running.tick(on.lay(vault("2400")))
    async with bot_api() as api, heeding(on, api, tmp_path):
        code = code_at(FACTOR, int(SystemClock().now_s() // STEP_S))
        api.hear(f"/pause all 30m {code}")
        assert "paused for 30 minutes" in (await answers(api, 1))[0]
        api.hear(f"/pause all 1h {code}")
        assert "was used" in (await answers(api, 2))[1]
        assert on.journal.control(PAUSE) is not None
        api.hear("/resume all")
        assert "no longer paused" in (await answers(api, 3))[2]
    controls = [e for e in on.journal.entries("control") if e.subject == PAUSE]
    assert {e.data["actor"] for e in controls} == {f"telegram {ME}"}


@pytest.mark.asyncio
async def test_chat__when_the_server_is_away__then_an_alarm_without_the_token_and_ticks_go_on(
    on: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keeper.daemon.commanding.AGAIN_S", 0.02)
    async with bot_api() as api:
        api.status = 502
        async with heeding(on, api, tmp_path):
            await becomes(lambda: ("WARNING", "telegram") in on.said and api.asked > 2)
            assert (await on.running.tick(on.lay(vault("2400")))).block.number == 101
            api.status = 200
            api.hear("/positions")
            assert "vault" in (await answers(api, 1))[0]
    alarms = [
        (e.data["severity"], e.why) for e in on.journal.entries("alarm") if e.data["code"] == "telegram"
    ]
    assert [severity for severity, _ in alarms] == ["WARNING", "CLEARED"]
    assert "it answered 502" in alarms[0][1]
    assert TOKEN not in str(on.journal.entries())


@pytest.mark.asyncio
async def test_say__when_the_text_is_long__then_cut_within_what_telegram_takes() -> None:
    async with bot_api() as api:
        await telegram.Telegram(f"http://127.0.0.1:{api.port}", TOKEN).say(ME, "x" * 10_000)
    assert len(api.said[0]["text"]) < 4_096
