"""What the watchdog is fed with: a block counts as judged only when it was read and judged to its end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from keeper.chain.endpoint import EndpointStatus, State
from keeper.chain.head import Heads
from keeper.chain.line import HeadEvent, HeadKind
from keeper.clock import ManualClock
from keeper.daemon import service
from keeper.daemon.pace import LOOKS, Pace
from keeper.daemon.senders import Sending
from keeper.daemon.service import ChainDaemon
from keeper.errors import Transient
from keeper.transaction.nobody import silent
from tests import build
from tests.loop_double import CHAIN, Loop, loop, settings, vault

pytestmark = pytest.mark.unit


class Told:
    """What the unit would hear."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def ready(self, status: str) -> None:
        self.said.append("READY")

    def ping(self, status: str) -> None:
        self.said.append("PING")


class Endpoints:
    """As far as the pulse looks at them."""

    def __init__(self) -> None:
        self.state = State.UP
        self.head: int | None = 100
        self.probed_s = 1_000.0

    def status(self) -> tuple[EndpointStatus, ...]:
        return (
            EndpointStatus(name="a", state=self.state, latency_ms=1.0, last_error="", head_number=self.head),
        )

    async def request_each(self, *_: object, **__: object) -> tuple[object, ...]:
        raise Transient("what kind of nodes they are they do not say")


class Watched:
    """A daemon with heads that always come, and ticks as a test lays them out."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch, *, dry: bool = True) -> None:
        self.under: Loop = loop(home, dry=dry)
        self.clock: ManualClock = self.under.clock
        self.daemon = ChainDaemon(settings(home), CHAIN, self.under.journal, silent)
        self.daemon.clock = self.clock  # type: ignore[assignment]
        self.daemon._begun_s = self.daemon._judged_s = self.clock.monotonic_s()
        self.endpoints, self.told = Endpoints(), Told()
        self.daemon.loop = self.under.running
        self.daemon.jobs = Jobs()  # type: ignore[assignment]
        self.daemon._endpoints = self.endpoints  # type: ignore[assignment]
        self.daemon.heads = Heads(CHAIN, self.endpoints, self.clock, lambda _: None)  # type: ignore[arg-type]
        patch.setattr(service, "PULSE_S", 0.0)

    async def block(self, *, seconds: float = 12.0, head: bool = True) -> None:
        """A head comes and is ticked on; time passes; the pulse is felt once."""
        self.clock.advance(seconds)
        self.endpoints.probed_s = self.clock.monotonic_s()
        if head:
            assert self.daemon.heads is not None
            self.daemon.heads._line._deliver(build.block(self.under.number))
            await self.daemon._tick(build.block(self.under.number))

    async def pulse(self) -> list[str]:
        """What is said within a few beats."""
        self.told.said.clear()
        beating = asyncio.create_task(self.daemon._pulse(self.told))
        for _ in range(6):
            await asyncio.sleep(0)
        beating.cancel()
        return list(self.told.said)


class Jobs:
    """No slow jobs."""

    def ask(self, *names: str) -> None:
        return None


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(tmp_path, monkeypatch)


async def _fails(watched: Watched, why: Exception) -> None:
    watched.under.lay(vault())
    await watched.block()
    assert "PING" in await watched.pulse()
    watched.under.facts.next = why
    for _ in range(6):
        await watched.block()


@pytest.mark.asyncio
@pytest.mark.parametrize("why", [Transient("the answer makes no sense"), RuntimeError("our own code broke")])
async def test_pulse__when_every_tick_fails_and_endpoints_answer__then_no_ping_and_blind_is_said(
    watched: Watched, why: Exception
) -> None:
    await _fails(watched, why)
    assert "PING" not in await watched.pulse()
    assert watched.daemon.blind is not None
    assert "none could be judged" in watched.daemon.blind.why


@pytest.mark.asyncio
async def test_pulse__when_every_tick_fails_because_endpoints_are_dead__then_blind_and_pinged(
    watched: Watched,
) -> None:
    watched.endpoints.state = State.OUT
    await _fails(watched, Transient("nobody answers"))
    assert "PING" in await watched.pulse()
    assert watched.daemon.blind is not None


@pytest.mark.asyncio
async def test_pulse__when_a_block_is_judged_again__then_blind_ends_and_pings_go_on(watched: Watched) -> None:
    await _fails(watched, Transient("the answer makes no sense"))
    await watched.pulse()
    watched.under.lay(vault())
    await watched.block()
    assert "PING" in await watched.pulse()
    assert watched.daemon.blind is None


@pytest.mark.asyncio
async def test_pulse__when_no_block_was_judged_yet__then_not_ready(watched: Watched) -> None:
    watched.under.facts.next = Transient("nobody answers")
    await watched.block()
    assert await watched.pulse() == ["PING"] * len(watched.told.said)
    watched.under.lay(vault())
    await watched.block()
    assert (await watched.pulse())[0] == "READY"


@pytest.mark.asyncio
@pytest.mark.parametrize(("shown", "pinged"), [(100, True), (101, False)])
async def test_pulse__when_heads_stop__then_a_standing_chain_is_a_state_and_missed_blocks_are_a_hang(
    watched: Watched, shown: int, pinged: bool
) -> None:
    watched.under.number = 99
    watched.under.lay(vault())
    await watched.block()
    watched.endpoints.head = shown
    await watched.block(seconds=300.0, head=False)
    said = await watched.pulse()
    assert ("PING" in said) is pinged
    assert watched.daemon.blind is not None


def test_heads__when_the_chain_was_reorganised__then_what_is_followed_is_tended_before_the_next_plans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, pace = Watched(tmp_path, monkeypatch), Pace()
    pace.begin(build.block(100), 0)
    for _ in range(LOOKS):
        pace.tended(pace.begun)
    told = HeadEvent(kind=HeadKind.REORG, block_number=101, depth=2, why="2 blocks are gone")
    watched.daemon._on_head(told)
    watched.daemon._acting = cast(Sending, SimpleNamespace(pace=pace, follow=lambda _: None))
    assert not pace.moved
    watched.daemon._on_head(told)
    assert pace.moved
