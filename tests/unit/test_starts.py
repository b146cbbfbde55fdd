"""What a disk or a journal says at a start: which of it is the configuration's fault, and what is kept meanwhile."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from keeper import config
from keeper.cli import kernels
from keeper.cli.endings import exit_code_of
from keeper.cli.run import command
from keeper.clock import ManualClock, SystemClock
from keeper.config import Settings
from keeper.daemon import running, starts
from keeper.daemon.announcing import Announcer
from keeper.daemon.reloading import Current, Reloading
from keeper.daemon.stops import PAUSE
from keeper.daemon.supervise import Ear
from keeper.errors import Broken, ConfigError, Unwritable, unopened
from keeper.journal.write import Journal
from keeper.model import IntentState
from keeper.notify import control, log
from keeper.seams import Severity
from keeper.signer import disk
from keeper.signer.store import Store
from tests.loop_double import DIGEST, heard, settings
from tests.patience import becomes
from tests.unit.journal.test_journal_queries import attempt, plan

pytestmark = pytest.mark.unit
DISK = [
    errno.ENOSPC,
    errno.EROFS,
    errno.EIO,
    errno.EDQUOT,
    errno.ENODEV,
    errno.ESTALE,
    errno.EMFILE,
    errno.ENXIO,
]
PLACE = [errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP]


@pytest.mark.parametrize(
    ("number", "kind"), [(n, Unwritable) for n in DISK] + [(n, ConfigError) for n in PLACE]
)
def test_unopened__when_a_place_is_wrong_or_a_disk_unwell__then_only_the_place_is_the_configurations_fault(
    number: int, kind: type[Exception]
) -> None:
    assert isinstance(unopened(OSError(number, os.strerror(number)), "x"), kind)
    assert isinstance(unopened(OSError("AF_UNIX path too long"), "x"), ConfigError)


@pytest.mark.parametrize("number", DISK)
def test_store__when_its_disk_is_unwell__then_it_is_tried_again_and_is_no_wrong_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "signer.sqlite"
    Store.create(path).close()

    def fails(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk, "refuse_cut", fails)
    with pytest.raises(Unwritable, match=r"signer\.sqlite: signer store cannot be opened"):
        Store.open(path)


def test_adrift__when_asked_to_keep_what_must_outlive_it__then_refused_and_paused(tmp_path: Path) -> None:
    given = settings(tmp_path / "nowhere", "live")
    with starts.adrift(given, "the disk is full", SystemClock()) as journal:
        for keeps in (
            lambda: journal.open_intent(plan()),
            lambda: journal.open_intent(plan(), dry=True),
            lambda: journal.add_attempt(attempt(plan().key, nonce=1), "0x1"),
            lambda: journal.set_control("armed", DIGEST, "alice", ""),
            lambda: journal.set_control(PAUSE, None, "alice", ""),
        ):
            with pytest.raises(Unwritable, match="the disk is full"):
                keeps()
        paused = journal.control(PAUSE)
        assert paused is not None
        assert float(paused.value or 0) > SystemClock().now_s() + 3600
        assert journal.control("armed") is None
        assert journal.open_intents(plan().key.position.chain_id) == ()
        assert IntentState.DRY not in {i.state for i in journal.intents()}
        # this configuration is taken for one that has served
        assert starts.known(journal, given.digest)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(("key", "value"), [(starts.JUDGED, DIGEST), (starts.ARMED, DIGEST)])
def test_known__when_a_block_was_judged_or_a_person_armed_it__then_for_that_configuration_alone(
    tmp_path: Path, key: str, value: str
) -> None:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock()) as journal:
        assert not starts.known(journal, DIGEST)
        journal.set_control(key, value, "test", "")
        assert starts.known(journal, DIGEST)
        assert not starts.known(journal, "another")


class Rewritten(Current):
    """A configuration whose file says something else by now."""

    def read(self) -> Settings:
        loose = replace(self.settings.policies[0], cooldown_blocks=99)
        return replace(self.settings, policies=(loose,), digest="another")


@pytest.mark.asyncio
@pytest.mark.parametrize("served", [False, True])
async def test_reload__when_the_one_before_has_served__then_so_has_the_new_one_and_neither_is_armed(
    tmp_path: Path, served: bool
) -> None:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock()) as journal:
        if served:
            journal.set_control(starts.JUDGED, DIGEST, "keeper", "a block was judged")
            journal.set_control(starts.ARMED, DIGEST, "alice", "")
        reloading = Reloading(Rewritten(settings(tmp_path)), journal, lambda: None)
        assert (await reloading.answer({"do": "reload", "apply": True}))["ok"] is True
        assert starts.known(journal, "another") is served
        armed = journal.control(starts.ARMED)
        assert armed is None or armed.value is None


class Judging:
    judged = False


@pytest.mark.asyncio
async def test_witness__when_a_block_is_judged__then_kept_once_for_the_configuration_that_holds(
    tmp_path: Path,
) -> None:
    chain, clock = Judging(), ManualClock()
    with Journal.open(tmp_path / "journal.sqlite", clock) as journal:
        current = Current(settings(tmp_path))
        task = asyncio.create_task(starts.witness(current, journal, lambda: [chain], clock))
        for judged in (False, True, True):
            chain.judged = judged
            for _ in range(4):
                await asyncio.sleep(0)
            assert starts.known(journal, DIGEST) is judged
        assert len(journal.entries("control")) == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.asyncio
async def test_relieved__when_the_disk_takes_it_again__then_it_ends_and_said_so_before(
    tmp_path: Path,
) -> None:
    given, told = settings(tmp_path / "state"), heard()
    (tmp_path / "state").mkdir()
    lock = given.journal_path.with_name("journal.sqlite.lock")
    lock.symlink_to("/proc/self/nothing/there")  # ENOENT: wrong for now, whatever it is
    with starts.adrift(given, "the disk is full", ManualClock()) as journal:
        task = asyncio.create_task(starts.relieved(given, journal, Unwritable("full"), told, ManualClock()))
        await becomes(lambda: len(told.raised) > 1)
        assert not task.done()
        lock.unlink()
        await asyncio.wait_for(task, 60)
    assert {(s, c) for s, c, _, _ in told.raised} == {(Severity.CRITICAL, "unwritable")}
    with Journal.open(given.journal_path, ManualClock()) as real:
        assert [(e.kind, e.subject) for e in real.entries()] == [("start", "journal")]


@pytest.mark.asyncio
async def test_ear__when_the_disk_takes_no_socket__then_alarmed_and_tried_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def serve(path: Path, answer: object) -> object:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unwritable("Read-only file system")
        return Listening()

    monkeypatch.setattr(control, "serve", serve)
    clock = ManualClock()
    with Journal.open(tmp_path / "journal.sqlite", clock) as journal:
        announcer = Announcer(settings(tmp_path), journal, clock)
        ear = Ear(tmp_path / "control.sock", nobody, announcer)
        await ear.open()
        await asyncio.wait_for(ear.keep(), 60)
        ear.close()
        told = [(e.data["severity"], e.data["code"], e.subject) for e in journal.entries("alarm")]
    assert told == [(s, "unwritable", "control socket") for s in ("CRITICAL", "CLEARED")]


class Listening:
    def close(self) -> None:
        return None


async def nobody(_: dict[str, object]) -> dict[str, object]:
    return {}


@pytest.mark.asyncio
async def test_control__when_the_disk_takes_no_socket__then_no_wrong_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(asyncio, "start_unix_server", full)
    with pytest.raises(Unwritable, match="the control socket"):
        await control.serve(tmp_path / "control.sock", nobody)


def test_waits__when_the_journal_is_damaged__then_only_where_nobody_reads_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert starts.waits(Unwritable("full"))
    assert not starts.waits(Broken("damaged"))
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/nobody")
    assert starts.waits(Broken("damaged"))


Holding = Callable[[Path], AbstractContextManager[object]]


@contextmanager
def journal_held(home: Path) -> Iterator[None]:
    with Journal.open(settings(home).journal_path, SystemClock()) as journal:
        journal.set_control(starts.JUDGED, DIGEST, "keeper", "a block was judged")
        yield


@contextmanager
def socket_held(home: Path) -> Iterator[None]:
    with journal_held(home):
        pass
    with closing(socket.socket(socket.AF_UNIX)) as held:
        held.bind(str(settings(home).control_path))
        held.listen()
        yield


@pytest.mark.parametrize("held", [journal_held, socket_held])
@pytest.mark.parametrize(
    ("unit", "digest", "code"), [(True, DIGEST, 70), (True, "never served", 78), (False, DIGEST, 78)]
)
def test_run__when_another_process_is_in_the_way__then_a_unit_that_has_served_is_tried_again_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Holding, unit: bool, digest: str, code: int
) -> None:
    told: list[str] = []

    async def farewell(_: Path | None, why: str, how: str) -> None:
        told.append(f"{how}: {why}")

    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if unit:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    for where, name in ((kernels, "prepare"), (running, "_warm"), (log, "configure"), (log, "last_words")):
        monkeypatch.setattr(where, name, lambda *_, **__: None)
    monkeypatch.setattr(config, "load", lambda _: replace(settings(tmp_path), digest=digest))
    monkeypatch.setattr(starts, "farewell", farewell)
    with held(tmp_path):
        for _ in range(2):
            with pytest.raises((typer.Exit, ConfigError)) as ended:
                command(tmp_path / "keeper.toml")
            error = ended.value
            assert (error.exit_code if isinstance(error, typer.Exit) else exit_code_of(error)) == code
    hows = [x.split(":")[0] for x in told]
    assert hows == {70: [starts.FOR_NOW], 78: [starts.FOR_GOOD] * 2 * unit}[code]
    assert all("another keeper" in x for x in told)


def test_due__when_told_lately__then_again_after_a_while_or_when_the_clock_was_set_back(
    tmp_path: Path,
) -> None:
    given = settings(tmp_path)
    for at_s, is_due in (
        (1e9, True),
        (1e9 + starts.HELD_S - 1, False),
        (1e9 + starts.HELD_S, True),
        (1e9, True),
    ):
        assert starts.due(given, ManualClock(at_s)) is is_due
    gone = replace(given, state_dir=tmp_path / "nowhere")
    assert [starts.due(gone, ManualClock()) for _ in range(2)] == [True, True]
