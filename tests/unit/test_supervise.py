"""Many chains in one process: one that fails is told, started anew, and costs the others nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from keeper.chain.endpoint import EndpointStatus
from keeper.clock import ManualClock, SystemClock
from keeper.config import ChainSettings
from keeper.config.telling import PageSettings, TelegramSettings
from keeper.daemon import starts, supervise
from keeper.daemon.announcing import Announcer
from keeper.daemon.commanding import Commander
from keeper.daemon.control import Blind
from keeper.daemon.loop import ChainLoop
from keeper.daemon.paging.child import PageChild
from keeper.daemon.reloading import Current
from keeper.daemon.supervise import Chain, Fleet
from keeper.errors import Broken, ConfigError
from keeper.journal.write import Journal
from keeper.notify.alarm import Alarms
from keeper.notify.chat import STEP_S, SecondFactor, code_at
from keeper.seams import Alarm, Clock
from keeper.watchdog import Listener
from tests.loop_double import CHAIN, settings
from tests.patience import becomes
from tests.unit.notify.test_notify_chat import ME, NOW_S, SECRET, Room, said

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


class Pipe:
    """One acknowledgement of the page's process, and what it is answered."""

    def __init__(self) -> None:
        self.stdin, self.stdout, self.got = self, asyncio.StreamReader(), b""
        self.stdout.feed_data(b'{"kind": "ack", "n": 7}\n')

    def write(self, line: bytes) -> None:
        self.got += line

    async def drain(self) -> None:
        return None


@pytest.mark.asyncio
async def test_serve__when_the_disk_takes_no_acknowledgement__then_chat_and_page_say_so_and_live_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, factor = SystemClock(), SecondFactor(SECRET)
    text = f"/ack {code_at(SECRET, int(NOW_S // STEP_S))}"
    room, pipe = Room([said(text)]), Pipe()

    class Pressed(PageChild):
        async def run(self, chains: object) -> None:
            await self._heed(pipe)  # type: ignore[arg-type]

    def heard(_: object, __: Clock, alarms: Alarm) -> tuple[Commander, tuple[str, ...]]:
        return Commander(room, [ME], factor, ManualClock(NOW_S), alarms), ()

    monkeypatch.setattr(supervise, "PageChild", Pressed)
    monkeypatch.setattr(supervise, "commander_for", heard)
    given = replace(
        settings(tmp_path),
        page=PageSettings(host="127.0.0.1"),
        telegram=TelegramSettings(token_file=tmp_path / "token", chats=(ME,)),
    )
    with starts.adrift(given, "the disk is full", clock) as journal:
        announcer, ends = Announcer(given, journal, clock), supervise.Ends(stop=asyncio.Event())
        current = Current(given)

        def made(chain: ChainSettings, alarms: Alarms | None) -> Chain:
            return FakeChain(chain, alarms or announcer.alarms, waits)

        serving = asyncio.create_task(supervise.serve(current, journal, made, announcer, ends))
        await becomes(lambda: bool(room.said and pipe.got))
        ends.stop.set()
        assert await serving == 0
        alarmed = {a.why for a in announcer.alarms.standing}
    assert room.said == [(ME, "the disk is full")]
    assert orjson.loads(pipe.got) == {"kind": "answer", "n": 7, "ok": False, "why": "the disk is full"}
    assert not any("Unwritable" in why for why in alarmed)


@pytest.mark.asyncio
async def test_speak__when_the_announcer_goes_on_after_a_fault__then_its_alarm_is_over(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    with Journal.open(tmp_path / "journal.sqlite", clock) as journal:
        announcer, runs = Announcer(settings(tmp_path), journal, clock), list[int]()

        async def run(_: object) -> None:
            runs.append(1)
            if len(runs) == 1:
                raise RuntimeError("apprise changed its mind")
            await asyncio.Event().wait()

        announcer.run = run  # type: ignore[method-assign,assignment]
        fleet = House(tmp_path / "house").fleet
        task = asyncio.create_task(supervise.speak(announcer, fleet, rest_s=0.0, well_s=0.0))
        await becomes(lambda: len(journal.entries("alarm")) == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [e.data["severity"] for e in journal.entries("alarm")] == ["CRITICAL", "CLEARED"]


@pytest.mark.asyncio
async def test_heed__when_the_files_that_were_wrong_are_mended__then_its_alarm_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, looks = ManualClock(), list[int]()

    def found(*_: object) -> tuple[None, tuple[str, ...]]:
        looks.append(1)
        return None, ("token_file: no such file",) if len(looks) == 1 else ()

    monkeypatch.setattr(supervise, "commander_for", found)
    with Journal.open(tmp_path / "journal.sqlite", clock) as journal:
        announcer = Announcer(settings(tmp_path), journal, clock)
        fleet = House(tmp_path / "house").fleet
        task = asyncio.create_task(supervise.heed(TelegramSettings(), announcer, fleet, nobody))
        await becomes(lambda: len(looks) > 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        told = [(e.data["severity"], e.subject) for e in journal.entries("alarm")]
    assert told == [("WARNING", "setup"), ("CLEARED", "setup")]


async def nobody(_: dict[str, object]) -> dict[str, object]:
    return {}


@pytest.mark.asyncio
async def test_fleet__when_renewed_while_it_rests_after_a_failure__then_once_and_by_itself(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, dies)
    house.fleet.renew()
    assert await lived(house) == []
    assert [name for name, _ in house.started].count("sick") == 2
