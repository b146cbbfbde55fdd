"""Many chains in one process: one that fails is told, started anew, and costs the others nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.chain.endpoint import EndpointStatus
from keeper.clock import ManualClock
from keeper.config import ChainSettings
from keeper.daemon.control import Blind
from keeper.daemon.loop import ChainLoop
from keeper.daemon.supervise import Chain, Fleet
from keeper.errors import Broken, ConfigError
from keeper.journal.write import Journal
from keeper.notify.alarm import Alarms
from keeper.watchdog import Listener
from tests.loop_double import CHAIN

pytestmark = pytest.mark.unit
Life = Callable[["FakeChain", Listener], Awaitable[None]]


class FakeChain:
    """A chain's daemon that lives as a test says."""

    loop: ChainLoop | None = None
    blind: Blind | None = None

    def endpoint_status(self) -> tuple[EndpointStatus, ...]:
        return ()

    def __init__(self, chain: ChainSettings, alarms: Alarms, life: Life) -> None:
        self.chain = chain
        self.alarms = alarms
        self.judged = False
        self._life = life

    async def run(self, listener: Listener) -> None:
        await self._life(self, listener)

    async def drain(self) -> None:
        return None


class Told:
    """What systemd would hear."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def ready(self, status: str) -> None:
        self.said.append(f"READY {status}")

    def ping(self, status: str) -> None:
        self.said.append(f"PING {status}")


class House:
    """A fleet of two chains, ``sick`` with the lives given in turn, ``well`` for ever."""

    def __init__(self, home: Path, *lives: Life) -> None:
        self.clock = ManualClock(1_000.0)
        self.journal = Journal.open(home / "journal.sqlite", self.clock)
        self.lives = list(lives)
        self.well: Life = for_ever
        self.started: list[tuple[str, float]] = []
        self.told = Told()
        chains = [replace(CHAIN, name="sick"), replace(CHAIN, name="well", chain_id=2)]
        self.fleet = Fleet(chains, self.make, self.told, self.clock)

    def make(self, chain: ChainSettings, alarms: Alarms | None) -> Chain:
        self.started.append((chain.name, self.clock.monotonic_s()))
        alarms = alarms or Alarms(self.journal.record, self.clock, chain.chain_id)

        async def healthy(chain: FakeChain, listener: Listener) -> None:
            await self.well(chain, listener)

        life = self.lives.pop(0) if chain.name == "sick" and self.lives else healthy
        return FakeChain(chain, alarms, life)

    @property
    def alarms(self) -> list[tuple[object, object, str]]:
        return [(e.data["severity"], e.data["code"], e.subject) for e in self.journal.entries("alarm")]


async def for_ever(chain: FakeChain, listener: Listener) -> None:
    chain.judged = True
    listener.ready("watching")
    while True:
        listener.ping("watching")
        await asyncio.sleep(0)


async def waits(chain: FakeChain, listener: Listener) -> None:
    await asyncio.Event().wait()


async def dies(chain: FakeChain, listener: Listener) -> None:
    chain.judged = True
    raise Broken("an index out of range")


async def ends(chain: FakeChain, listener: Listener) -> None:
    return None


async def refuses(chain: FakeChain, listener: Listener) -> None:
    raise ConfigError(("chains.sick: endpoint a serves chain id 5",))


async def refuses_in_a_group(chain: FakeChain, listener: Listener) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(refuses(chain, listener))


async def lived(house: House, rounds: int = 60) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(house.fleet.keep(i)) for i in (0, 1)]
    for _ in range(rounds):
        await asyncio.sleep(0)
    ended = [t for t in tasks if t.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return ended


@pytest.mark.asyncio
@pytest.mark.parametrize("life", [dies, ends])
async def test_fleet__when_one_chain_ends__then_told_started_anew_and_the_other_lives_on(
    tmp_path: Path, life: Life
) -> None:
    house = House(tmp_path, life)
    assert await lived(house) == []
    assert [name for name, _ in house.started] == ["sick", "well", "sick"]
    assert house.alarms == [("CRITICAL", "chain_failed", "sick")]
    assert any(s.startswith("PING FAILED: sick: ") and s.endswith("; watching") for s in house.told.said)
    assert house.told.said[-1] == "PING watching"


@pytest.mark.asyncio
async def test_fleet__when_a_chain_fails_again_and_again__then_each_pause_is_longer(tmp_path: Path) -> None:
    house = House(tmp_path, dies, dies, dies, dies)
    await lived(house, 200)
    at_s = [s for name, s in house.started if name == "sick"]
    assert [b - a for a, b in itertools.pairwise(at_s)] == [1.0, 2.0, 4.0, 8.0]
    assert house.alarms == [("CRITICAL", "chain_failed", "sick")]


@pytest.mark.asyncio
@pytest.mark.parametrize("life", [refuses, refuses_in_a_group])
async def test_fleet__when_nothing_was_ever_judged_by_a_configuration__then_a_refusal_ends_the_process(
    tmp_path: Path, life: Life
) -> None:
    house = House(tmp_path, life)
    house.well = waits
    (ended,) = await lived(house)
    assert isinstance(ended.exception(), ConfigError)
    assert house.alarms == []


@pytest.mark.asyncio
@pytest.mark.parametrize("life", [refuses, refuses_in_a_group])
@pytest.mark.parametrize("known", [False, True], ids=["the other chain lives", "it served before a restart"])
async def test_fleet__when_the_chain_speaks_against_one_that_served__then_it_is_tried_again_and_alarmed(
    tmp_path: Path, life: Life, known: bool
) -> None:
    house = House(tmp_path, life, life)
    house.well = waits if known else for_ever
    house.fleet.known = lambda: known
    assert await lived(house, 120) == []
    assert [name for name, _ in house.started].count("sick") == 3
    assert house.alarms == [("CRITICAL", "chain_failed", "sick")]
    (said,) = house.journal.entries("alarm")
    assert "serves chain id 5" in said.why


@pytest.mark.asyncio
async def test_fleet__when_it_refuses_only_after_it_has_lived__then_that_is_a_failure_like_others(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, dies, refuses)
    assert await lived(house, 120) == []
    assert [name for name, _ in house.started].count("sick") == 3


@pytest.mark.asyncio
async def test_fleet__when_renewed__then_each_chain_is_made_anew_without_an_alarm(tmp_path: Path) -> None:
    house = House(tmp_path)
    tasks = [asyncio.create_task(house.fleet.keep(i)) for i in (0, 1)]
    for _ in range(10):
        await asyncio.sleep(0)
    first = list(house.fleet.chains)
    house.fleet.renew()
    for _ in range(20):
        await asyncio.sleep(0)
    assert [name for name, _ in house.started] == ["sick", "well", "sick", "well"]
    assert not {*map(id, first)} & {*map(id, house.fleet.chains)}
    assert (house.alarms, [t for t in tasks if t.done()]) == ([], [])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.asyncio
async def test_fleet__when_renewed_while_it_rests_after_a_failure__then_once_and_by_itself(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, dies)
    house.fleet.renew()
    assert await lived(house) == []
    assert [name for name, _ in house.started].count("sick") == 2
