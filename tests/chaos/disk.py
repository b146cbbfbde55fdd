"""The journal's disk turned against the keeper: cut, rotten, older, half gone; full, read-only, replaced.

Whatever happens to the files, each need is met at most once, nothing is broadcast that the file does not hold,
a refusal names its reason, and where the disk gets well the keeper goes on by itself.
"""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import signal
import sqlite3
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from keeper.errors import Broken, ConfigError
from keeper.journal.write import Journal
from tests import build
from tests.bench.figures import record
from tests.chaos import tmpfs
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.chaos.disk_world import DiskWorld, DurableChain, Files
from tests.chaos.sim.quiet import hushed

PAGE = 4096
MAIN, WAL = "journal.sqlite", "journal.sqlite-wal"
DAMAGES = ("cut", "cut_at_page", "rot", "page", "no_wal", "cut_wal", "older", "wal_alone")
WEATHERS = ("full", "read_only", "read_only_start", "full_start", "replaced", "deleted", "wal_deleted")
UNITS = 6_000
WEATHER_EVERY = 6
"""One unit in so many is a living keeper on a failing disk; the others are files damaged at rest."""
SERVED_BLOCKS = 6
TMPFS_BYTES = 4 * 2**20


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The disk and the chain between two blocks."""

    files: Files
    chain: DurableChain
    needs: int
    crashed: bool
    """The process was killed here; False: it had closed its files."""


@cache
def history() -> tuple[Moment, ...]:
    """A short life: what disk and chain were after each block, as a crash and as an orderly end leave them."""
    folder = Path(tempfile.mkdtemp(prefix="keeper-disk-", dir=_memory()))
    moments: list[Moment] = []
    try:
        world = DiskWorld(folder)
        world.start()
        for block in range(24):
            world.needs += block % 4 == 0
            world.chain.held = block % 8 in (4, 5)
            world.blocks()
            files = world.files()
            for crashed in (True, False):
                kept = files if crashed else _folded(files)
                chain = copy.deepcopy(world.chain)
                moments.append(Moment(files=kept, chain=chain, needs=world.needs, crashed=crashed))
        world.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return tuple(moments)


def _folded(files: Files) -> Files:
    """The same journal after an orderly end: no WAL."""
    with tempfile.TemporaryDirectory(dir=_memory()) as name:
        for n, content in files.items():
            Path(name, n).write_bytes(content)
        raw = sqlite3.connect(Path(name, MAIN))
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        raw.close()
        return {MAIN: Path(name, MAIN).read_bytes()}


def damage(seed: int) -> Verdict:
    """Files damaged while no keeper ran; then a keeper starts on them and lives on."""
    rng = random.Random(seed)
    kind = DAMAGES[seed % len(DAMAGES)]
    moments = [m for m in history() if m.crashed == (kind in ("no_wal", "cut_wal", "wal_alone"))]
    if kind in ("cut", "cut_at_page", "rot", "page"):
        moments = list(history())
    at = rng.randrange(len(moments))
    moment = moments[at]
    later = moments[rng.randrange(at, len(moments))] if kind == "older" else moment
    folder = Path(tempfile.mkdtemp(prefix="keeper-disk-", dir=_memory()))
    world = DiskWorld(folder, copy.deepcopy(later.chain), later.needs)
    try:
        world.put(moment.files)
        essence = _essence(world.path)
        world.put(_damaged(kind, moment.files, rng))
        return _lives_on(world, kind, essence if kind in ("cut", "cut_at_page", "rot", "page") else None)
    finally:
        world.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _damaged(kind: str, files: Files, rng: random.Random) -> Files:
    main, wal = files[MAIN], files.get(WAL, b"")
    if kind == "cut":
        main = main[: rng.randrange(len(main))]
    elif kind == "cut_at_page":
        main = main[: PAGE * rng.randrange(len(main) // PAGE)]
    elif kind == "rot":
        at = rng.randrange(len(main))
        main = main[:at] + bytes([main[at] ^ (1 << rng.randrange(8))]) + main[at + 1 :]
    elif kind == "page":
        at = PAGE * rng.randrange(len(main) // PAGE)
        other = PAGE * rng.randrange(len(main) // PAGE)
        new = rng.choice((bytes(PAGE), rng.randbytes(PAGE), main[other : other + PAGE]))
        main = main[:at] + new + main[at + PAGE :]
    elif kind == "no_wal":
        wal = b""
    elif kind == "cut_wal":
        wal = wal[: rng.randrange(len(wal))]
    elif kind == "wal_alone":
        return {WAL: wal}
    return {MAIN: main, **({WAL: wal} if wal else {})}


def _essence(path: Path) -> object:
    """What must not change without a word: every intent's state, nonce, bytes and hash, and what comes next."""
    with Journal.open(path, DiskWorld(path.parent).clock) as journal:
        return _told(journal)


def _told(journal: Journal) -> object:
    intents = journal.intents(limit=10_000)
    attempts = [(str(i.key), i.state, [(a.nonce, a.n, a.raw, a.hash) for a in i.attempts]) for i in intents]
    return attempts, journal.next_nonce(build.CHAIN_ID, build.WALLET), journal.last_seqs()


def _lives_on(world: DiskWorld, kind: str, essence: object) -> Verdict:
    """A start on what is there: refused by name, or a life in which each need is met exactly once."""
    counts = {"damages": 1, kind: 1}
    sent = len(world.chain.sent)
    try:
        world.start()
        assert world.journal is not None
        if essence is not None and _told(world.journal) != essence:
            return Verdict(counts=counts, failure=f"{kind}: the journal tells another story and nobody minds")
        world.needs += 1
        world.chain.held = False
        world.blocks(SERVED_BLOCKS + 4)
    except (Broken, ConfigError) as error:
        counts["refused"] = 1
        if world.whole:
            return Verdict(counts=counts, failure=f"{kind}: nobody watches the chain: {error}")
        named = MAIN in str(error) or "foreign nonce" in str(error)
        new = [r for r in world.chain.sent[sent:] if r not in world.chain.sent[:sent]]
        why = "" if named else f"{kind}: refused without a name: {error}"
        return Verdict(counts=counts, failure=why or (f"{kind}: signed before refusing" if new else ""))
    stopped, last = world.stopped, world.loop.last
    if last is None or last.block.number != world.chain.head.number:
        return Verdict(counts=counts, failure=f"{kind}: blocks are judged no more")
    if stopped:
        counts["refused"] = 1
        if "broken" not in world.standing:
            return Verdict(counts=counts, failure=f"{kind}: stopped without an alarm: {stopped}")
    return Verdict(counts=counts, failure=_wrong(world, kind, served=not stopped))


def _wrong(world: DiskWorld, kind: str, *, served: bool) -> str:
    """What must never be, and what must have been; empty when all is well."""
    if world.chain.violations:
        return f"{kind}: {world.chain.violations[0]}"
    if world.effects > world.needs:
        return f"{kind}: {world.effects} rescues for {world.needs} needs"
    if served and world.effects < world.needs:
        return f"{kind}: {world.needs - world.effects} needs unmet"
    return ""


def weather(seed: int) -> Verdict:
    """A living keeper whose disk fails under it, in a child with a disk of its own; then it gets well."""
    folder = Path(tempfile.mkdtemp(prefix="keeper-weather-"))
    out, inn = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(out)
        _in_child(seed, folder, inn)
    os.close(inn)
    with os.fdopen(out) as told:
        text = told.read()
    status = os.waitpid(pid, 0)[1]
    shutil.rmtree(folder, ignore_errors=True)
    if not text:
        return Verdict(counts={"weathers": 1}, failure=f"the keeper died of it: status {status}")
    found = json.loads(text)
    return Verdict(counts=found["counts"], failure=found["failure"])


def _in_child(seed: int, folder: Path, inn: int) -> None:
    """Never returns."""
    signal.alarm(60)
    try:
        found = _weather(seed, folder)
        os.write(inn, json.dumps({"counts": found.counts, "failure": found.failure}).encode())
    finally:
        os._exit(0)


def _weather(seed: int, folder: Path) -> Verdict:
    rng = random.Random(seed)
    kind = WEATHERS[seed // WEATHER_EVERY % len(WEATHERS)]
    counts = {"weathers": 1, kind: 1}
    try:
        tmpfs.mount(folder, TMPFS_BYTES)
        real = True
    except tmpfs.Denied:
        real = False
        counts["without_tmpfs"] = 1
    world = DiskWorld(folder)
    world.start()
    world.needs += 1
    world.blocks(rng.randrange(1, 6))
    if kind.endswith("_start"):
        return _bad_start(world, kind, real, counts)
    _strike(world, kind, real, rng)
    world.needs += int(world.effects == world.needs)
    world.chain.held = rng.random() < 0.3
    before = len(set(world.chain.sent))
    world.blocks(rng.randrange(1, 8))
    signed = len(set(world.chain.sent)) - before
    lasts = kind in ("replaced", "deleted", "wal_deleted")
    if lasts and not (world.stopped and "broken" in world.standing):
        return Verdict(counts=counts, failure=f"{kind}: nobody noticed")
    if kind == "read_only" and signed:
        return Verdict(counts=counts, failure=f"{kind}: {signed} new transactions were broadcast")
    if not lasts and world.stopped:
        return Verdict(counts=counts, failure=f"{kind}: stopped for good: {world.stopped}")
    last = world.loop.last
    if last is None or last.block.number != world.chain.head.number:
        return Verdict(counts=counts, failure=f"{kind}: blocks are judged no more")
    counts["held"] = int("unwritable" in world.standing or lasts)
    _heal(world, kind, real)
    world.chain.held = False
    if lasts:
        return _after_restart(world, kind, counts)
    world.blocks(SERVED_BLOCKS)
    if "unwritable" in world.standing:
        return Verdict(counts=counts, failure=f"{kind}: the alarm stands although the disk is well")
    return Verdict(counts=counts, failure=_wrong(world, kind, served=True))


def _bad_start(world: DiskWorld, kind: str, real: bool, counts: Counts) -> Verdict:
    """The disk is full, or read-only, when the keeper starts: refused by name; well again, it starts."""
    world.stop()
    if not real:
        return Verdict(counts=counts)
    folder, sent = world.path.parent, len(world.chain.sent)
    tmpfs.fill(folder, 0)
    if kind == "read_only_start":
        tmpfs.drain(folder)
        tmpfs.read_only(folder, True)
    try:
        world.start()
        world.needs += 1
        world.blocks(2)
        if "unwritable" not in world.standing:
            return Verdict(counts=counts, failure=f"{kind}: it starts as if nothing were")
    except (Broken, ConfigError) as error:
        if MAIN not in str(error):
            return Verdict(counts=counts, failure=f"{kind}: refused without a name: {error}")
        counts["refused"] = 1
    world.stop()
    if len(set(world.chain.sent)) > len(set(world.chain.sent[:sent])):
        return Verdict(counts=counts, failure=f"{kind}: new transactions were broadcast")
    tmpfs.read_only(folder, False)
    tmpfs.drain(folder)
    found = _lives_on(world, kind, None)
    late = found.failure or ("" if not found.counts.get("refused") else f"{kind}: refused on a good disk")
    return Verdict(counts=counts, failure=late)


def _after_restart(world: DiskWorld, kind: str, counts: Counts) -> Verdict:
    """A person restarts it on whatever lies there: refused, or each need met once."""
    world.stop()
    found = _lives_on(world, kind, None)
    return Verdict(counts={**counts, "refused": found.counts.get("refused", 0)}, failure=found.failure)


def _strike(world: DiskWorld, kind: str, real: bool, rng: random.Random) -> None:
    assert world.journal is not None
    raw = world.journal._connection.connection.driver_connection
    assert raw is not None
    folder, path = world.path.parent, world.path
    if kind == "full" and real:
        tmpfs.fill(folder, rng.choice((0, 0, 4096, 8192, 16384, 40960)))
    elif kind == "full":
        raw.execute(f"PRAGMA max_page_count={raw.execute('PRAGMA page_count').fetchone()[0]}")
    elif kind == "read_only":
        # a file system with files open for writing is not turned read-only; the database can be
        raw.execute("PRAGMA query_only=ON")
    elif kind == "replaced":
        old = path.with_name("old")
        old.write_bytes(path.read_bytes())
        old.replace(path)
    else:
        (path if kind == "deleted" else path.with_name(WAL)).unlink()


def _heal(world: DiskWorld, kind: str, real: bool) -> None:
    if kind not in ("full", "read_only"):
        return
    assert world.journal is not None
    raw = world.journal._connection.connection.driver_connection
    assert raw is not None
    tmpfs.drain(world.path.parent)
    raw.execute("PRAGMA query_only=OFF")
    raw.execute("PRAGMA max_page_count=1000000")


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def unit(seed: int) -> Verdict:
    """One failure of the disk."""
    return weather(seed) if seed % WEATHER_EVERY == 0 else damage(seed)


def record_disk(counts: Counts, done: int, failures: list[str]) -> None:
    """disk_faults, disk_violations."""
    bad = len(failures)
    record("disk_faults", done, bound=f">= {UNITS}", holds=done >= UNITS, evidence="own_double", n=done)
    record("disk_violations", bad, bound="= 0", holds=bad == 0, evidence="own_double", n=done)


DISK = Campaign(name="disk", units=UNITS, run=unit, record=record_disk, around=hushed, also=())
