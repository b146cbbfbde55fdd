"""sd_notify as systemd hears it, and when a ping is honest."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.watchdog import STUCK_S_MAX, TICKS_S, Chorus, Notifier, Pulse, fresh_limit_s

pytestmark = pytest.mark.unit


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(60)
        yield path, receiver


def test_notifier__when_told__then_one_datagram_each(systemd: tuple[str, socket.socket]) -> None:
    path, receiver = systemd
    notifier = Notifier(path)
    notifier.ready("watching")
    notifier.ping("BLIND: local: no head")
    notifier.stopping()
    assert [receiver.recv(200) for _ in range(3)] == [
        b"READY=1\nSTATUS=watching",
        b"WATCHDOG=1\nSTATUS=BLIND: local: no head",
        b"STOPPING=1",
    ]


def test_notifier__when_the_socket_is_abstract__then_it_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        name = f"keeper-test-watchdog-{os.getpid()}"
        receiver.bind(f"\0{name}")
        receiver.settimeout(60)
        Notifier(f"@{name}").ping("watching")
        assert receiver.recv(200).startswith(b"WATCHDOG=1")


def test_notifier__when_nobody_reads__then_it_does_not_hold_up_the_loop(
    systemd: tuple[str, socket.socket],
) -> None:
    notifier = Notifier(systemd[0])
    for _ in range(2_000):
        notifier.ping("x" * 500)


@pytest.mark.parametrize("address", [None, "/nowhere/at/all"])
def test_notifier__when_there_is_no_receiver__then_silence(address: str | None) -> None:
    Notifier(address).ready("watching")


def test_from_systemd__when_the_environment_names_a_socket__then_that_one(
    systemd: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd[0])
    Notifier.from_systemd().stopping()
    assert systemd[1].recv(50) == b"STOPPING=1"


@pytest.mark.parametrize(
    ("age_s", "journaled", "fresh", "deserved"),
    [
        (0.0, False, True, True),
        (46.0, False, True, True),
        (46.1, False, False, False),
        (46.1, True, False, True),
        (float("inf"), True, False, True),
    ],
)
def test_pulse__by_age_and_journal__is_deserved_only_when_honest(
    age_s: float, journaled: bool, fresh: bool, deserved: bool
) -> None:
    pulse = Pulse(head_age_s=age_s, judged_age_s=age_s, block_time_s=12.0, blind_journaled=journaled)
    assert (pulse.fresh, pulse.deserved) == (fresh, deserved)
    assert fresh_limit_s(12.0) == 46.0


JUDGED_S = fresh_limit_s(12.0) + TICKS_S


@pytest.mark.parametrize(
    ("judged_age_s", "journaled", "dead", "deserved"),
    [
        (JUDGED_S, False, False, True),
        (JUDGED_S + 1, False, False, False),
        (JUDGED_S + 1, True, False, False),
        (JUDGED_S + 1, False, True, False),
        (JUDGED_S + 1, True, True, True),
    ],
)
def test_pulse__when_heads_come_and_are_not_judged__then_only_dead_endpoints_excuse_it(
    judged_age_s: float, journaled: bool, dead: bool, deserved: bool
) -> None:
    pulse = Pulse(
        head_age_s=1.0,
        judged_age_s=judged_age_s,
        block_time_s=12.0,
        blind_journaled=journaled,
        endpoints_dead=dead,
    )
    assert pulse.deserved is deserved


@pytest.mark.parametrize(
    ("head_age_s", "missed", "stuck_s", "deserved"),
    [
        (47.0, 0, 0.0, True),
        (47.0, 1, 0.0, False),
        (46.0, 1, 0.0, True),
        (47.0, 0, STUCK_S_MAX + 1, False),
        (1.0, 0, STUCK_S_MAX + 1, False),
    ],
)
def test_pulse__when_blind__then_deserved_only_while_what_turns_by_itself_turns(
    head_age_s: float, missed: int, stuck_s: float, deserved: bool
) -> None:
    pulse = Pulse(
        head_age_s=head_age_s,
        judged_age_s=head_age_s,
        block_time_s=12.0,
        blind_journaled=True,
        missed_blocks=missed,
        stuck_s=stuck_s,
    )
    assert pulse.deserved is deserved


class Told:
    """What systemd would hear."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def ready(self, status: str) -> None:
        self.said.append(f"READY {status}")

    def ping(self, status: str) -> None:
        self.said.append(f"PING {status}")


def test_chorus__when_one_chain_is_silent__then_no_ping_however_often_the_other_pings() -> None:
    told = Told()
    chorus = Chorus(told, ["a", "b"])
    a, b = chorus.voice("a"), chorus.voice("b")
    for _ in range(5):
        a.ping("watching")
    assert told.said == []
    b.ping("BLIND: b: no head")
    a.ping("watching")
    assert told.said == ["PING watching; BLIND: b: no head"]


def test_chorus__when_the_last_chain_is_ready__then_ready_once() -> None:
    told = Told()
    chorus = Chorus(told, ["a", "b"])
    a, b = chorus.voice("a"), chorus.voice("b")
    a.ready("watching")
    a.ready("watching")
    assert told.said == []
    b.ready("watching")
    b.ready("watching")
    assert told.said == ["READY watching"]


def test_chorus__when_a_chain_failed__then_the_others_are_pinged_for_and_alone_it_is_not() -> None:
    told = Told()
    chorus = Chorus(told, ["a", "b"])
    a, b = chorus.voice("a"), chorus.voice("b")
    a.ready("watching")
    a.ping("watching")
    b.failed("FAILED: b")
    assert told.said == ["READY watching; FAILED: b", "PING watching; FAILED: b"]
    a.failed("FAILED: a")
    b.failed("FAILED: b")
    assert len(told.said) == 2
    b.ping("watching")
    assert told.said[2:] == ["PING FAILED: a; watching"]
