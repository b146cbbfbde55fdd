"""Mutated JSON-RPC answers before the real daemon: every byte that a node sends may be wrong.

The world of the simulation without crashes, its nodes behind the real ``Rpc``; bodies are truncated, retyped,
stripped, swapped and nested before they are parsed. No position is in danger, so a signature is a violation,
and so is an exception that reaches a supervisor.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from keeper.chain.endpoints import Endpoints
from keeper.chain.rpc import Rpc
from keeper.daemon import service as daemons
from keeper.errors import Rejected
from keeper.journal.write import Journal
from keeper.seams import TxFields
from keeper.watchdog import Notifier
from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.chaos.sim import world as worlds
from tests.chaos.sim.chain import START_S
from tests.chaos.sim.node import HEALTHY
from tests.chaos.sim.virtual import VirtualLoop
from tests.chaos.sim.world import Mix, SimJournal, SimNode, World

MUTATIONS = 100_000
A_UNIT = 500
JUNK = (
    None, True, -1, 0, 1.5, 1e308, 2**70, "", "0x", "0x0", "0xzz", "nope", [], {}, [[]], {"a": {}}, "\u0000",
    "9" * 400,
)  # fmt: skip


class MutatedRpc(Rpc):
    """The real body and parser; the answer is a node's, mutated on its way."""

    def __init__(self, node: SimNode, rng: random.Random, share: float) -> None:
        super().__init__("mutated", "http://unused.invalid/")
        self._node = node
        self._rng = rng
        self._share = share
        self.mutated = 0

    async def _post(self, body: bytes, timeout_s: float) -> tuple[int, str | None, bytes]:
        asked = json.loads(body)
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
        try:
            answer["result"] = await self._node.call(asked["method"], asked["params"], timeout_s=timeout_s)
        except Rejected as error:
            answer["error"] = {"code": error.code, "message": error.message, "data": error.data}
        status, text = 200, json.dumps(answer).encode()
        if self._rng.random() >= self._share:
            return status, None, text
        self.mutated += 1
        return self._mutate(status, answer)

    def _mutate(self, status: int, answer: dict[str, Any]) -> tuple[int, str | None, bytes]:
        rng, text = self._rng, json.dumps(answer).encode()
        kind = rng.randrange(9)
        if kind == 0:
            return status, None, text[: rng.randrange(len(text))]
        if kind == 1:
            at = rng.randrange(len(text))
            # outside hex digits: what they say is the node's to know, and another test's
            flipped = (
                bytes([text[at] ^ (1 << rng.randrange(7))])
                if text[at] not in b"0123456789abcdef"
                else b"\xff"
            )
            return status, None, text[:at] + flipped + text[at + 1 :]
        if kind == 2:
            return (
                rng.choice((204, 301, 400, 401, 429, 500, 502, 503)),
                rng.choice((None, "x", "-5", "1e9")),
                text,
            )
        if kind == 3:
            return (
                status,
                None,
                rng.choice((b"", b"null", b"[]", b"<html>", b"\xff\xfe", b"{" * 2000, b"[" + text + b"]")),
            )
        if kind == 4:
            answer = {**answer, "id": rng.choice(JUNK)}
        elif kind == 5:
            answer = {
                "jsonrpc": "2.0",
                "id": answer["id"],
                "error": rng.choice(
                    (*JUNK, {"code": rng.choice(JUNK), "message": rng.choice(JUNK), "data": rng.choice(JUNK)})
                ),
            }
        else:
            answer = {**answer, "result": self._retype(answer.get("result"))}
        return status, None, json.dumps(answer).encode()

    def _retype(self, value: Any) -> Any:
        """The value with a part of another type, missing, or cut short."""
        rng = self._rng
        if isinstance(value, dict) and value and rng.random() < 0.85:
            name = rng.choice(sorted(value))
            rest = {k: v for k, v in value.items() if k != name}
            return rest if rng.random() < 0.3 else {**rest, name: rng.choice(JUNK)}
        if isinstance(value, str) and len(value) > 100 and rng.random() < 0.7:
            cut = rng.randrange(len(value))
            return rng.choice(
                (
                    value[:cut],
                    value[:cut] + "g" + value[cut + 1 :],
                    value + "00",
                    value[2:],
                    "0x" + "f" * (len(value) - 2),
                )
            )
        return rng.choice(JUNK)


class _Ears:
    """Keeps what a supervisor would have logged as an exception."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, logger: Any, name: str, event: dict[str, Any]) -> Any:
        if event.get("exc_info"):
            import sys

            self.heard.append(f"{event.get('event')}: {sys.exc_info()[1]!r}")
        raise structlog.DropEvent


def storm(seed: int, many: int = A_UNIT) -> Verdict:
    """A daemon that lives until ``many`` answers were mutated."""
    world = World(seed)
    world.mix = replace(
        Mix.draw(random.Random(0)), faults=(HEALTHY,) * 3, crash_at_probe=0.0, crash_at_write=0.0,
        crash_at_call=0.0, disk_full=0.0, outage=0.0,
    )  # fmt: skip
    world.chain.prices = world.chain.prices[:1]
    signed: list[TxFields] = []
    world.on_signed = signed.append  # type: ignore[method-assign]
    ears, before = _Ears(), structlog.get_config()
    structlog.reset_defaults()
    structlog.configure(processors=[ears])
    folder = Path(tempfile.mkdtemp(prefix="keeper-mutation-"))
    try:
        why = _live(world, folder / "journal.sqlite", many)
    finally:
        structlog.configure(**before)
        shutil.rmtree(folder, ignore_errors=True)
    whys = [*ears.heard, *([why] if why else []), *(["a signature was caused"] if signed else [])]
    counts = {"mutations": many, "unhandled": len(whys), "signatures": len(signed)}
    return Verdict(counts=counts, failure="; ".join(whys[:3]))


def _live(world: World, path: Path, many: int) -> str:
    loop = VirtualLoop(START_S)
    world.loop = loop
    asyncio.set_event_loop(loop)
    path.write_bytes(worlds._new_journal(world.chain.genesis.nonce))
    asyncio.set_event_loop(loop)
    journal = Journal.open(path, worlds.VirtualClock())
    world.journal = SimJournal.of(journal, world)
    bodies: list[MutatedRpc] = []
    with worlds._patched(world):
        opened = daemons.Endpoints.open

        async def mutated(chain: Any, clock: Any, on_event: Callable[..., None]) -> Endpoints:
            made = await opened(chain, clock, on_event)
            for number, endpoint in enumerate(made._all):
                # the first is wrong most of the time, the others less: something can always be read
                bodies.append(MutatedRpc(world.nodes[number], world.rng, (0.7, 0.4, 0.2)[number]))  # type: ignore[arg-type]
                endpoint.rpc = bodies[-1]
            return made

        daemons.Endpoints.open = mutated  # type: ignore[method-assign,assignment]
        task = loop.create_task(_daemon(world, journal))
        worlds._schedule_block(world, loop)
        deadline_s = START_S + 40_000

        def check() -> None:
            if task.done() or sum(b.mutated for b in bodies) >= many or loop.now_s > deadline_s:
                loop.stop()
            loop.call_later(1.0, check)

        loop.call_later(1.0, check)
        loop.run_forever()
        why = ""
        if task.done():
            why = f"the daemon ended: {task.exception()!r}"
        elif world.daemon is not None and world.daemon.loop is not None and world.daemon.loop.broken:
            why = f"stopped acting: {world.daemon.loop.broken}"
        elif loop.now_s > deadline_s:
            why = f"only {sum(b.mutated for b in bodies)} answers were mutated"
        world.dead = True
        worlds._bury(loop)
        Journal.close(journal)
    return why


async def _daemon(world: World, journal: Journal) -> None:
    daemon = daemons.ChainDaemon(worlds.SETTINGS, worlds.CHAIN, journal, lambda point: None)
    world.daemon = daemon
    await daemon.run(Notifier(None))


def record_mutations(counts: Counts, done: int, failures: list[str]) -> None:
    """rpc_mutations, rpc_mutations_unhandled."""
    n, bad = counts.get("mutations", 0), counts.get("unhandled", 0)
    record("rpc_mutations", n, bound=f">= {MUTATIONS}", holds=n >= MUTATIONS, evidence="own_double", n=n)
    record("rpc_mutations_unhandled", bad, bound="= 0", holds=bad == 0, evidence="own_double", n=n)


MUTATION = Campaign(name="mutation", units=MUTATIONS // A_UNIT, run=storm, record=record_mutations, also=())
__all__ = ["MUTATION", "storm"]
