"""A private relay before the pools, on the real market: one that swallows silently costs a block, no rescue.

Beside it the look of a second endpoint before the signature: the plan is played there, its promise read off it.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from eth_utils.crypto import keccak

from anvil.guard import START_S, Guard
from anvil.scenario import load_scenario
from anvil.stage import stage
from keeper.config import load
from tests.anvil_daemon import Night, armed, rewritten

pytestmark = pytest.mark.anvil
SEND = "eth_sendRawTransaction"


class Spy:
    """A JSON-RPC server on loopback that remembers what it was asked; it forwards, or swallows transactions."""

    def __init__(self, target: str | None) -> None:
        self.heard: list[tuple[str, Any, Any]] = []
        """(method, params, result) in order."""
        spy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = spy._answer(body, target)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asked(self, method: str) -> list[tuple[Any, Any]]:
        """(params, result) of every request of that method."""
        return [(params, result) for name, params, result in self.heard if name == method]

    def _answer(self, body: bytes, target: str | None) -> bytes:
        request = json.loads(body)
        if target is None:
            raw = bytes.fromhex(request["params"][0][2:])
            told: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"], "result": "0x" + keccak(raw).hex()}
        else:
            headers = {"Content-Type": "application/json"}
            with urllib.request.urlopen(urllib.request.Request(target, body, headers)) as reply:
                told = json.load(reply)
        self.heard.append((request["method"], request["params"], told.get("result")))
        return json.dumps(told).encode()


@contextmanager
def spy(target: str | None = None) -> Iterator[Spy]:
    """One that forwards to ``target``, or a relay that accepts everything and forgets it."""
    made = Spy(target)
    try:
        yield made
    finally:
        made.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A night with two spied endpoints and a relay that swallows."""

    night: Night
    first: Spy
    second: Spy
    relay: Spy

    @property
    def public(self) -> int:
        """Broadcasts that any pool has heard of."""
        return len(self.first.asked(SEND)) + len(self.second.asked(SEND))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The tests of this file are one night, in their order."""
    folder = tmp_path_factory.mktemp("private")
    with (
        stage(load_scenario("crash"), folder, mode="live") as on,
        spy(on.node.url) as first,
        spy(on.node.url) as second,
        spy() as relay,
    ):
        armed(on)
        more = "".join(
            f'[[chains.endpoints]]\nname = "{name}"\nurl = "{url}"\nrate_per_s = 1000\n{rest}'
            for name, url, rest in (("spare", second.url, ""), ("relay", relay.url, "private = true\n"))
        )
        rewritten(on, {f'"{on.node.url}"': f'"{first.url}"', "[[venues]]": f"{more}[[venues]]"})
        on.chain.rpc("evm_setAutomine", False)
        with Guard(on.config) as guard:
            lives = Night(on=on, guard=guard, settings=load(on.config))
            guard.caught_up(on.chain.mine().number, within_s=START_S)
            yield Watched(night=lives, first=first, second=second, relay=relay)


def test_rescue__when_the_relay_swallows_it__then_private_for_a_block_and_public_in_time(
    watched: Watched,
) -> None:
    lives = watched.night
    # above emergency, but a fifth in one block: health 1 is near at this pace
    assert lives.position("plain", lives.falls(WETH=0.8, wstETH=0.8))["level"] == "ACT"
    assert [len(watched.relay.asked(SEND)) > 0, watched.public] == [True, 0]
    lives.block()
    assert lives.rescues("plain") == 0
    assert watched.public > 0
    lives.block()
    assert lives.rescues("plain") == 1
    assert lives.health("plain") >= 1249 * 10**15
    (saved,) = lives.intents("plain")
    assert "PRESSING" in saved.plan.why


def test_relay__when_it_is_configured__then_nothing_is_ever_read_from_it(watched: Watched) -> None:
    assert {method for method, _, _ in watched.relay.heard} == {SEND}


def test_look__when_a_second_endpoint_is_there__then_it_plays_the_plan_and_every_call_succeeds(
    watched: Watched,
) -> None:
    plans = {i.plan.call.data for i in watched.night.intents("plain")}
    played = watched.second.asked("eth_simulateV1")
    assert played
    assert watched.first.asked("eth_simulateV1") == []
    for params, result in played:
        calls = params[0]["blockStateCalls"][0]["calls"]
        assert [call["status"] for call in result[0]["calls"]] == ["0x1"] * 4
        assert calls[1]["to"] == watched.night.settings.chains[0].multicall
    seen = {bytes.fromhex(p[0]["blockStateCalls"][0]["calls"][0]["data"][2:]) for p, _ in played}
    assert plans <= seen


def test_rescue__when_in_an_emergency__then_public_at_once(watched: Watched) -> None:
    lives = watched.night
    before, rescued = watched.public, lives.rescues("plain")
    assert lives.position("plain", lives.falls(WETH=0.6, wstETH=0.6))["level"] == "URGENT"
    assert watched.public > before
    lives.block()
    assert lives.rescues("plain") == rescued + 1
