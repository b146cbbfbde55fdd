"""How long the pings go on after the daemon stopped to watch: by a dead head stream, a stalled loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from pathlib import Path

import pytest

from keeper.daemon import service
from keeper.watchdog import TICKS_S, Notifier, fresh_limit_s
from tests.bench import figures
from tests.loop_double import CHAIN, vault
from tests.patience import becomes
from tests.unit.test_pulse import Watched

pytestmark = pytest.mark.unit
LIMIT_S = fresh_limit_s(CHAIN.block_time_s)
STALL_S = 0.3


async def _seconds_of_pings(watched: Watched) -> float:
    """Virtual seconds, one at a time, until the first in which nothing is pinged."""
    for second in range(1, 200):
        watched.clock.advance(1.0)
        watched.endpoints.probed_s = watched.clock.monotonic_s()
        if "PING" not in await watched.pulse():
            return float(second)
    raise AssertionError("pinged for ever")


@pytest.mark.asyncio
async def test_ping__when_the_head_stream_is_dead_and_endpoints_show_newer_blocks__then_it_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(tmp_path, monkeypatch)
    watched.under.number = 99
    watched.under.lay(vault())
    await watched.block()
    watched.endpoints.head = 101
    stop_s = await _seconds_of_pings(watched)
    assert stop_s <= LIMIT_S + 1
    figures.record(
        "watchdog_stop_s",
        stop_s,
        unit="s",
        bound=f"<= {LIMIT_S + 1:.0f} after the last head (3 block times + 10 s), 12 s blocks",
        holds=stop_s <= LIMIT_S + 1,
        evidence="own_double",
        n=1,
    )


@pytest.mark.asyncio
async def test_ping__when_the_loop_stalls__then_systemd_hears_nothing_from_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(tmp_path, monkeypatch)
    watched.under.lay(vault())
    await watched.block()
    monkeypatch.setattr(service, "PULSE_S", 0.02)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        beating = asyncio.create_task(watched.daemon._pulse(Notifier(str(tmp_path / "notify"))))
        await becomes(lambda: _pings(systemd))
        _pings(systemd)
        time.sleep(STALL_S)  # noqa: ASYNC251  a stalled loop is what is tested
        assert _pings(systemd) == 0
        await becomes(lambda: _pings(systemd))
        beating.cancel()


def _pings(systemd: socket.socket) -> int:
    """How many have come since it was asked last."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            count += systemd.recv(300).startswith(b"WATCHDOG=1")
    return count


def test_limits__when_added_up__then_a_hang_is_killed_within_two_minutes() -> None:
    assert LIMIT_S + TICKS_S + 1 + 30 < 120
