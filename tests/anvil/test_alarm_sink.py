"""Alarms, pings and figures over real sockets of this machine: what arrives, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from keeper.clock import SystemClock
from keeper.config.telling import AlarmSettings, MetricsSettings
from keeper.daemon.announcing import Announcer
from keeper.notify import courier
from keeper.notify.web import served
from keeper.seams import Severity
from keeper.watchdog import Notifier
from tests.loop_double import Loop, loop, settings, vault
from tests.patience import becomes
from tests.sinks import SECRET, webhook

pytestmark = pytest.mark.anvil


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Loop]:
    made = loop(tmp_path)
    yield made
    made.journal.close()


@asynccontextmanager
async def speaking(on: Loop, alarms: AlarmSettings, metrics: MetricsSettings) -> AsyncIterator[Announcer]:
    given = replace(settings(on.journal.path.parent), alarms=alarms, metrics=metrics)
    made = Announcer(given, on.journal, SystemClock())
    task = asyncio.create_task(made.run(lambda: [on]))
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.asyncio
async def test_alarm__when_the_sink_is_down_and_comes_back__then_delivered_and_no_tick_waited(
    on: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(courier, "BACK_OFF_S", 0.05)
    monkeypatch.setattr(courier, "POLL_S", 0.02)
    async with webhook() as sink:
        targets, dead_man = tmp_path / "targets", tmp_path / "dead"
        targets.write_text(f"json://127.0.0.1:{sink.port}/{SECRET}\n")
        dead_man.write_text(f"http://127.0.0.1:{sink.port}/alive\n")
        sink.status = 503
        given = AlarmSettings(targets_file=targets, dead_man_file=dead_man, dead_man_every_s=0.05)
        async with speaking(on, given, MetricsSettings()) as made:
            made.alarms.raise_alarm(Severity.CRITICAL, "blind", "local", "no head for 46 s")
            await becomes(lambda: made.courier.routes[0].down)
            # protection goes on, and the dead man's switch is silent until the watchdog is fed
            tick = await on.running.tick(on.lay(vault("2400")))
            assert tick.block.number == 101
            assert sink.pings == 0
            made.listening(Notifier(None)).ping("watching")
            await becomes(lambda: sink.pings > 1)
            sink.status = 200
            await becomes(lambda: bool(sink.got))
            await becomes(lambda: not made.courier.routes[0].down)
        (got, *_) = sink.got
        assert sink.refused >= 3
        assert "CRITICAL blind local: no head for 46 s" in got["message"]
        assert got["type"] == "failure"
    kept = [(e.kind, e.data.get("code"), e.data.get("severity")) for e in on.journal.entries()]
    assert ("alarm", "alarm_target", "CRITICAL") in kept
    assert ("alarm", "alarm_target", "CLEARED") in kept
    assert sum(kind == "delivery" for kind, _, _ in kept) >= 3
    assert SECRET not in str(on.journal.entries())


@pytest.mark.asyncio
async def test_http__when_asked__then_figures_and_states_and_no_stranger(on: Loop) -> None:
    async with speaking(on, AlarmSettings(), MetricsSettings()) as made:
        await on.running.tick(on.lay(vault("2400")))
        async with (
            served("127.0.0.1", 0, made.answers(lambda: [on])) as port,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
        ):

            async def asked(path: str, **headers: str) -> tuple[int, str]:
                async with http.get(path, headers=headers) as answer:
                    return answer.status, await answer.text()

            status, text = await asked("/metrics")
            assert status == 200
            assert 'keeper_head_block{chain="local"} 101.0' in text
            assert (await asked("/readyz"))[0] == 200
            made.listening(Notifier(None)).ping("watching")
            assert (await asked("/healthz"))[0] == 200
            assert (await asked("/metrics", Host="evil.example"))[0] == 403
            assert (await asked("/metrics", Origin="http://evil.example"))[0] == 403
            assert (await asked("/metrics", Host=f"localhost:{port}"))[0] == 200
            assert (await asked("/anything"))[0] == 404
            async with http.post("/metrics") as answer:
                assert answer.status == 405


@pytest.mark.asyncio
async def test_http__when_the_port_is_taken__then_alarmed_and_everything_else_goes_on(on: Loop) -> None:
    async with webhook() as sink:
        async with speaking(on, AlarmSettings(), MetricsSettings(host="127.0.0.1", port=sink.port)) as made:
            await becomes(lambda: any(c == "metrics" for _, c in on.said))
            await on.running.tick(on.lay(vault("2400")))
            await becomes(lambda: made.figures([on]).chains[0].block == 101)
        assert ("WARNING", "metrics") in on.said
