"""sd_notify as systemd hears it, and when a ping is honest."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.watchdog import Notifier, Pulse, fresh_limit_s

pytestmark = pytest.mark.unit


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(1)
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
        receiver.bind("\0keeper-test-watchdog")
        receiver.settimeout(1)
        Notifier("@keeper-test-watchdog").ping("watching")
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
    pulse = Pulse(head_age_s=age_s, block_time_s=12.0, blind_journaled=journaled)
    assert (pulse.fresh, pulse.deserved) == (fresh, deserved)
    assert fresh_limit_s(12.0) == 46.0
