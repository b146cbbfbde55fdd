"""A disk that fills under a running daemon: it judges, tells and feeds the watchdog, signs nothing, and goes on.

The daemon's own tick, lane, pulse and journal, in a child on a file system of its own that is really full.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.daemon.permit import Permit
from tests.chaos import tmpfs
from tests.chaos.sim.quiet import hushed
from tests.loop_double import vault
from tests.unit.test_pulse import Watched

pytestmark = pytest.mark.scenario
SPACE_BYTES = 2 * 2**20
LEFT_BYTES = (0, 4_096, 20_480, 61_440)
FULL_BLOCKS = 9
"""So many blocks of twelve seconds are more than the watchdog's whole patience."""
HEALTHY, LOW = vault(), vault("1400")


def told(folder: Path) -> list[str]:
    """What was wrong, from a child that has the file system at ``folder`` for itself."""
    out, inn = os.pipe()
    pid = os.fork()
    if not pid:
        found = ["the child died"]
        try:
            signal.alarm(60)
            os.close(out)
            with hushed():
                found = asyncio.run(lived(folder))
        except BaseException as error:
            found = [f"{type(error).__name__}: {error}"]
        finally:
            os.write(inn, json.dumps(found).encode())
            os._exit(0)
    os.close(inn)
    with os.fdopen(out) as said:
        text = said.read()
    os.waitpid(pid, 0)
    return list(json.loads(text))


async def lived(folder: Path) -> list[str]:
    """One daemon on a disk that is filled and emptied several times."""
    try:
        tmpfs.mount(folder, SPACE_BYTES)
    except tmpfs.Denied:
        return ["denied"]
    with pytest.MonkeyPatch.context() as patch:
        watched = Watched(folder, patch)
        loop = watched.under.running
        lane = asyncio.create_task(watched.daemon._lane(loop))
        wrong: list[str] = []
        for left in LEFT_BYTES:
            for _ in range(10):
                await block(watched, low=False)
            tmpfs.fill(folder, left)
            wrong += [f"{left} bytes left: {why}" for why in await through(watched, folder)]
        lane.cancel()
        return wrong


async def block(watched: Watched, *, low: bool) -> list[str]:
    """A block is read, acted on as far as it goes, and the pulse felt."""
    watched.under.lay(LOW if low else HEALTHY)
    await watched.block()
    for _ in range(6):
        await asyncio.sleep(0)
    return await watched.pulse()


async def through(watched: Watched, folder: Path) -> list[str]:
    """The disk is full: everything but signing goes on; then it is not, and signing goes on as well."""
    under, wrong, calm = watched.under, [], 0
    permit, asked = under.running.permit, under.sender.asked
    while not permit.stops.unwritable and calm < 100:
        calm += 1
        await block(watched, low=False)
    before = len(asked)
    for number in range(FULL_BLOCKS):
        said = await block(watched, low=True)
        if "PING" not in said or watched.daemon.blind is not None:
            wrong.append(f"the watchdog is not fed in block {number}: {said}, {watched.daemon.blind}")
        last = under.running.last
        if last is None or last.block.number != under.number or not last.plans:
            wrong.append(f"block {number} is not judged")
    codes = {(s.severity.value, s.code) for s in under.alarms.standing}
    wrong += [c for c in ("unwritable", "not_acting") if ("CRITICAL", c) not in codes]
    if len(asked) > before:
        wrong.append("something was sent that no journal holds")
    tmpfs.drain(folder)
    # the tick that is kept says so, and the next one acts
    for _ in range(2):
        await block(watched, low=True)
    if permit.broken or permit.stops.unwritable or len(asked) == before:
        wrong.append(f"it does not go on: {permit.broken or permit.stops.unwritable or 'nothing sent'}")
    if under.said[-3:].count(("CLEARED", "unwritable")) != 1:
        wrong.append(f"its end is not told: {under.said[-3:]}")
    return wrong


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the child has its file system; nothing of it is seen here."""
    made = Path(tempfile.mkdtemp(prefix="keeper-full-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_daemon__when_its_disk_fills_and_empties_again__then_only_signing_stops_and_goes_on_by_itself(
    folder: Path,
) -> None:
    found = told(folder)
    if found == ["denied"]:
        pytest.skip("nobody may mount a file system here")
    assert found == []


def test_daemon__when_a_full_disk_is_taken_for_a_lasting_fault__then_the_story_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def for_good(self: Permit, why: object) -> None:
        self.broken = str(why)

    monkeypatch.setattr(Permit, "stop_acting", for_good)
    found = told(folder)
    if found == ["denied"]:
        pytest.skip("nobody may mount a file system here")
    assert any("it does not go on" in why for why in found)


def test_daemon__when_plans_are_handed_over_all_the_same__then_the_story_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Permit, "on_paper", lambda *_: "")
    found = told(folder)
    if found == ["denied"]:
        pytest.skip("nobody may mount a file system here")
    assert any("no journal holds" in why for why in found)
