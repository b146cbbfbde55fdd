"""Endpoints that die under a daemon: failover, BLIND said honestly, recovery, and a rescue at each point."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from anvil.guard import START_S, Guard
from anvil.scenario import load_scenario
from anvil.stage import stage
from keeper.config import load
from tests.anvil_daemon import Night, armed, rewritten, until
from tests.anvil_wire import Wire

pytestmark = pytest.mark.anvil

FRESH_LIMIT_S = 13
"""Three blocks of one second and ten seconds: after that the chain counts as unseen."""


class Receiver:
    """The end of NOTIFY_SOCKET that systemd holds: remembers what arrived and when."""

    def __init__(self, path: Path) -> None:
        self.heard: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.2)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._over.set()
        self._thread.join()
        self._socket.close()

    def since(self, moment_s: float) -> list[str]:
        """Messages that came after a moment of the monotonic clock."""
        return [text for at_s, text in self.heard if at_s >= moment_s]

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                text = self._socket.recv(4096).decode()
            except TimeoutError:
                continue
            self.heard.append((time.monotonic(), text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """A night whose two endpoints hang on wires that can be cut."""

    night: Night
    first: Wire
    second: Wire
    systemd: Receiver


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    """The tests of this file are one night, in their order."""
    folder = tmp_path_factory.mktemp("wires")
    with (
        stage(load_scenario("crash"), folder, mode="live") as on,
        Wire(on.node.url) as first,
        Wire(on.node.url) as second,
        pytest.MonkeyPatch.context() as patch,
    ):
        armed(on)
        url, ws_url = on.node.url, on.node.ws_url
        spare = f'name = "spare"\nurl = "{second.url}"\nrate_per_s = 1000'
        rewritten(
            on,
            {
                f'"{url}"': f'"{first.url}"',
                f'"{ws_url}"': f'"{first.ws_url}"',
                "[[venues]]": f"[[chains.endpoints]]\n{spare}\n[[venues]]",
                "block_time_s = 12": "block_time_s = 1",
            },
        )
        systemd = Receiver(folder / "notify")
        patch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        first.cut()
        second.cut()
        on.chain.rpc("evm_setAutomine", False)
        with Guard(on.config) as guard:
            lives = Night(on=on, guard=guard, settings=load(on.config))
            yield Wired(night=lives, first=first, second=second, systemd=systemd)
        systemd.close()


def test_start__when_nobody_answers__then_blind_is_journaled_ready_told_and_nothing_reads_healthy(
    wired: Wired,
) -> None:
    lives = wired.night
    until(lambda: bool(wired.systemd.since(0)), START_S)
    assert wired.systemd.since(0)[0].startswith("READY=1\nSTATUS=BLIND")
    view = status(lives)
    assert view["blind"] is not None
    assert view["block"] is None
    assert [p["label"] for p in view["positions"]] == [p.label for p in lives.on.pairs]
    assert {p["level"] for p in view["positions"]} == {"UNKNOWN"}
    assert {p["health_wad"] for p in view["positions"]} == {None}
    assert said(lives, "blind") == [("CRITICAL", "local")]
    assert "cannot be seen" in lives.guard.ask({"do": "arm", "accept_immediate": True})["why"]


def test_start__when_the_endpoints_come__then_it_watches(wired: Wired) -> None:
    wired.first.mend()
    wired.second.mend()
    view = wired.night.guard.caught_up(wired.night.on.chain.block().number)
    assert {p["level"] for p in view["positions"]} <= {"SAFE", "WATCH"}
    until(lambda: status(wired.night)["blind"] is None)
    assert said(wired.night, "blind") == [("CRITICAL", "local"), ("CLEARED", "local")]
    until(lambda: wired.systemd.since(0)[-1] == "WATCHDOG=1\nSTATUS=watching")


def test_endpoint__when_the_first_dies__then_ticks_go_on_and_a_rescue_lands(wired: Wired) -> None:
    lives = wired.night
    wired.first.cut()
    view = lives.falls(WETH=0.8, wstETH=0.8)
    assert view["blind"] is None
    assert lives.position("plain", view)["level"] == "ACT"
    assert int(lives.position("plain", view)["health_wad"]) == lives.health("plain")
    view = lives.block()
    assert lives.rescues("plain") == 1
    assert lives.health("plain") >= 1249 * 10**15
    assert said(lives, "endpoint_down")[-1] == ("WARNING", "anvil")


def test_endpoint__when_both_die__then_blind_is_said_and_nothing_reads_healthy(wired: Wired) -> None:
    lives = wired.night
    # its head comes later than this
    cut_s = time.monotonic()
    seen = lives.block()
    known = {p["label"]: p["health_wad"] for p in seen["positions"]}
    assert all(known.values())
    cut_wall_s = time.time()
    wired.second.cut()
    until(lambda: status(lives)["blind"] is not None)
    assert time.monotonic() - cut_s >= FRESH_LIMIT_S - 2

    view = status(lives)
    assert cut_wall_s < view["blind"]["since_s"] <= time.time()
    assert f"last known state is of block {seen['block']}" in view["blind"]["why"]
    for position in view["positions"]:
        assert position["level"] == "UNKNOWN"
        assert position["health_wad"] is None
        assert position["last_known"]["health_wad"] == known[position["label"]]
        assert position["last_known"]["block"] == seen["block"]
    # a machine that stood still may have been blind for a moment before: what counts is said last
    assert said(lives, "blind")[-1] == ("CRITICAL", "local")
    assert said(lives, "endpoint_down")[-1] == ("WARNING", "spare")
    refused = lives.guard.ask({"do": "arm", "accept_immediate": True})
    assert refused["ok"] is False
    assert "cannot be seen" in refused["why"]


def test_watchdog__when_blind__then_pings_continue_and_say_so(wired: Wired) -> None:
    moment_s = time.monotonic()
    until(lambda: sum("WATCHDOG=1" in t for t in wired.systemd.since(moment_s)) >= 2)
    assert all("STATUS=BLIND" in text for text in wired.systemd.since(moment_s))


def test_endpoint__when_back__then_it_recovers_and_acts_on_what_happened_meanwhile(wired: Wired) -> None:
    lives = wired.night
    before = lives.rescues("plain")
    # the fall comes while nobody sees it
    lives.submit_prices(WETH=0.72, wstETH=0.72)
    number = lives.on.chain.mine().number
    assert status(lives)["blind"] is not None

    wired.second.mend()
    lives.guard.caught_up(number)
    until(lambda: status(lives)["blind"] is None and status(lives)["idle"])
    assert lives.position("plain")["level"] in ("ACT", "URGENT")
    assert said(lives, "blind")[-2:] == [("CRITICAL", "local"), ("CLEARED", "local")]
    lives.block()
    assert lives.rescues("plain") == before + 1
    assert lives.health("plain") >= 1249 * 10**15
    moment_s = time.monotonic()
    until(lambda: any("STATUS=watching" in t for t in wired.systemd.since(moment_s)))
    assert sum("READY=1" in text for text in wired.systemd.since(0)) == 1


def status(lives: Night) -> dict[str, Any]:
    """The one chain of the daemon's status."""
    return dict(lives.guard.ask({"do": "status"})["chains"][0])


def said(lives: Night, code: str) -> list[tuple[str, str]]:
    """(severity, subject) of an alarm, as journaled and as logged."""

    def journaled() -> list[tuple[str, str]]:
        told = [e for e in lives.entries("alarm") if e.data["code"] == code]
        return [(str(e.data["severity"]), e.subject) for e in told]

    def logged() -> list[tuple[str, str]]:
        told = [line for line in lives.logged("alarm") if line["code"] == code]
        return [(line["severity"], line["subject"]) for line in told]

    # the daemon writes one after the other
    until(lambda: journaled() == logged())
    return journaled()
