"""Starts at which nobody is there: a disk that takes nothing, a chain that speaks against what served for weeks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from anvil.guard import START_S, Guard
from anvil.scenario import load_scenario
from anvil.stage import Stage, stage
from keeper.config import load
from keeper.journal.read import Reader
from keeper.seams import Severity
from tests.anvil_daemon import ROOT, armed, logged, night, owes, rewritten, second_market, until

pytestmark = pytest.mark.anvil
TARGETS = '[alarms]\ntargets_file = "targets"\n'


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An armed live stage. The tests of this file are one story, in their order."""
    with stage(load_scenario("crash"), tmp_path_factory.mktemp("starts"), mode="live") as played:
        played.config.write_text(played.config.read_text() + TARGETS)
        armed(played)
        yield played


@contextmanager
def hook(on: Stage) -> Iterator[list[dict[str, Any]]]:
    """What the configuration's one alarm target is told."""
    got: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    path = on.config.with_name("targets")
    path.write_text(f"json://127.0.0.1:{server.server_port}/hook\n")
    path.chmod(0o600)
    try:
        yield got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def entries(on: Stage, kind: str) -> list[Any]:
    with Reader.open(load(on.config).journal_path) as journal:
        return list(journal.entries(kind, limit=10_000))


def alarmed(guard: Guard, code: str) -> list[str]:
    return [x["severity"] for x in logged(guard, "alarm") if x["code"] == code]


def test_disk__when_it_takes_no_journal_at_the_start__then_watched_and_told_and_acted_once_it_does(
    on: Stage,
) -> None:
    path = load(on.config).journal_path
    lock = path.with_name(f"{path.name}.lock")
    lock.unlink()
    # to open a socket fails as a device does that is gone; a path of its own length is too long for one
    held = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(lock.parent)
    held.bind(lock.name)
    os.chdir(here)
    before = path.read_bytes()
    with hook(on) as got, night(on) as lives:
        sent = lives.nonce
        view = lives.falls(WETH=0.8, wstETH=0.8)
        assert {p["level"] for p in view["positions"]} & {"ACT", "URGENT"}
        view = lives.block()
        assert (lives.nonce, view["armed"], path.read_bytes()) == (sent, False, before)
        assert alarmed(lives.guard, "unwritable")[0] == "CRITICAL"
        assert "CRITICAL" in alarmed(lives.guard, "not_acting")
        until(lambda: any("unwritable" in str(x) for x in got))
        assert lives.guard.ask({"do": "arm", "accept_immediate": True})["ok"] is False
        assert lives.guard.ask({"do": "resume"})["ok"] is False
        held.close()
        lock.unlink()
        until(lambda: bool(logged(lives.guard, "attempt")), within_s=START_S)
        lives.block()
        assert lives.nonce > sent
        told = [e.data["severity"] for e in entries(on, "alarm") if e.data["code"] == "unwritable"]
        assert told == ["CRITICAL", "CLEARED"]
        until(lambda: any("CLEARED unwritable" in str(x) for x in got))
        pid = lives.guard.pid
    assert pid == lives.guard.pid
    assert [e.kind for e in entries(on, "stop")] == ["stop"]


def test_contract__when_it_is_not_there_after_a_restart__then_alarmed_and_tried_until_it_is(
    on: Stage,
) -> None:
    settings = load(on.config)
    where = settings.chains[0].multicall
    code = on.chain.rpc("eth_getCode", where, "latest")
    on.chain.rpc("anvil_setCode", where, "0x")
    on.config.with_suffix(".log").unlink(missing_ok=True)
    try:
        with hook(on) as got, Guard(on.config) as guard:
            until(lambda: alarmed(guard, "chain_failed") == ["CRITICAL"], within_s=START_S)
            until(lambda: any("set it to a Multicall3" in str(x) for x in got))
            on.chain.rpc("anvil_setCode", where, code)
            guard.caught_up(on.chain.mine().number)
            until(lambda: alarmed(guard, "chain_failed") == ["CRITICAL", "CLEARED"])
    finally:
        on.chain.rpc("anvil_setCode", where, code)


def test_contract__when_it_is_not_there_at_a_configurations_first_start__then_78_and_the_target_is_told(
    on: Stage,
) -> None:
    where = load(on.config).chains[0].multicall
    code = on.chain.rpc("eth_getCode", where, "latest")
    on.chain.rpc("anvil_setCode", where, "0x")
    text = on.config.read_text()
    rewritten(on, {"cooldown_blocks = 2": "cooldown_blocks = 3"})
    try:
        with hook(on) as got:
            done = run(on)
            assert done.returncode == 78, done.stderr
            (told,) = [x for x in got if "refused" in str(x)]
            assert "set it to a Multicall3" in str(told)
            assert Severity.CRITICAL.value in str(told)
            got.clear()
            # the file itself is wrong: nothing of it but the target can be read
            on.config.write_text(text + "nonsense = 1\n")
            done = run(on)
            assert done.returncode == 78, done.stderr
            assert ["nonsense" in str(x) for x in got] == [True]
    finally:
        on.config.write_text(text)
        on.chain.rpc("anvil_setCode", where, code)
    assert entries(on, "stop")[-1].why.startswith("refused: ")


def run(on: Stage) -> subprocess.CompletedProcess[str]:
    """The daemon as a unit starts it, until it ends by itself."""
    unit = {**os.environ, "PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": str(on.folder / "nobody")}
    line = [sys.executable, "-m", "keeper", "run", "--config", str(on.config)]
    return subprocess.run(line, env=unit, capture_output=True, text=True, timeout=600, check=False)


def test_venue__when_it_cannot_be_loaded_after_a_restart__then_its_positions_alone_are_unknown_until_it_can(
    on: Stage,
) -> None:
    on.chain.rpc("evm_setAutomine", True)
    other = second_market(on)
    owes(other, on.pairs[0].guarded)
    named = f'name = "other"\nkind = "aave_v3"\nchain = "local"\nprovider = "{other.market.provider}"'
    place = f'label = "second"\nvenue = "other"\naccount = "{on.pairs[0].guarded}"\npolicy = "plain"'
    on.config.write_text(f"{on.config.read_text()}[[venues]]\n{named}\n[[positions]]\n{place}\n")
    armed(on)
    where = other.market.provider
    code = on.chain.rpc("eth_getCode", where, "latest")
    on.chain.rpc("anvil_setCode", where, "0x")
    on.config.with_suffix(".log").unlink(missing_ok=True)
    with night(on) as lives:
        sent, view = lives.nonce, lives.block()
        assert (lives.position("second", view)["level"], lives.position("second", view)["health_wad"]) == (
            "UNKNOWN",
            None,
        )
        assert "no contract at" in lives.position("second", view)["unreadable"]
        until(lambda: alarmed(lives.guard, "market_changed") == ["CRITICAL"])
        # a policy taken over meanwhile costs the venue that is there nothing
        rewritten(on, {"cooldown_blocks = 2": "cooldown_blocks = 3"})
        assert lives.guard.ask({"do": "reload", "apply": True})["ok"] is True
        until(lambda: lives.guard.ask({"do": "arm", "accept_immediate": True})["ok"] is True)
        # armed is the new one alone: it has judged a block
        until(lambda: lives.block()["armed"] is True)
        assert lives.position("second", lives.block())["level"] == "UNKNOWN"
        assert alarmed(lives.guard, "chain_failed") == []
        lives.falls(WETH=0.7, wstETH=0.7)
        lives.block()
        assert lives.nonce > sent
        on.chain.rpc("anvil_setCode", where, code)
        until(lambda: "CLEARED" in alarmed(lives.guard, "market_changed"))
        view = lives.block()
        assert lives.position("second", view)["level"] != "UNKNOWN"
        # one identity before and after: what was raised of it is cleared
        told = [e for e in lives.entries("alarm") if where.lower() in e.subject.lower()]
        unknown = [(e.data["severity"], e.subject) for e in told if e.data["code"] == "unknown"]
        assert [s for s, _ in unknown] == ["CRITICAL", "CLEARED"]
        assert len({subject for _, subject in unknown}) == 1
        assert (
            int(lives.position("second", view)["health_wad"]) == other.account(on.pairs[0].guarded).health_wad
        )
