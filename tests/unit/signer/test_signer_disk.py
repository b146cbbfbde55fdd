"""The signer's store on its disk: brought forward whole, full and free again, moved, cut short."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken, ConfigError, Unsigned, Unwritable
from keeper.seams import TxFields
from keeper.signer import disk
from keeper.signer.guarded import GuardedSigner
from keeper.signer.key import Key
from keeper.signer.policy import SigningPolicy
from keeper.signer.remote import RemoteSigner, _accepted
from keeper.signer.service import answer, row_of, serve
from keeper.signer.store import DayCaps, Store
from keeper.units import GWEI
from keeper.venues.aave_v3.signing import aave_v3_calls
from tests.keystores import CANARY, address_of
from tests.plans import ACCOUNT, CHAIN_ID, POOL, USDC, repay_call

pytestmark = pytest.mark.unit
CAPS = DayCaps(fee_wei=10**18, units={USDC.address.lower(): 10**9})
POLICY = SigningPolicy(
    chain_id=CHAIN_ID,
    address=address_of(),
    calls=aave_v3_calls(POOL, {USDC.address: 5_000_000}, [ACCOUNT]),
    fee_wei_max=10**17,
)
FIRST_RELEASE = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE adopted (chain_id TEXT PRIMARY KEY, nonce TEXT NOT NULL, why TEXT NOT NULL, at_s REAL NOT NULL);
CREATE TABLE signed (
  chain_id TEXT NOT NULL, nonce INTEGER NOT NULL, n INTEGER NOT NULL, intent TEXT NOT NULL,
  payload BLOB NOT NULL, max_fee TEXT NOT NULL, tip TEXT NOT NULL, fee_wei TEXT NOT NULL,
  token TEXT NOT NULL, units TEXT NOT NULL, cancel INTEGER NOT NULL,
  raw BLOB NOT NULL, hash TEXT NOT NULL, at_s REAL NOT NULL,
  PRIMARY KEY (chain_id, nonce, n));
CREATE INDEX signed_intent ON signed (chain_id, intent);
INSERT INTO meta VALUES ('schema', '1');
INSERT INTO adopted VALUES ('31337', '7', 'test', 0.0);
INSERT INTO signed VALUES ('31337', 7, 0, 'a#1', x'00', '20', '1', '6000000', '', '0', 0, x'02', '0xaa', 5.0);
"""
"""The store as the first release wrote it, with one signature in it."""


def tx(nonce: int = 7, *, intent: str = "a#1", gwei: int = 20) -> TxFields:
    """A repayment."""
    return TxFields(
        chain_id=CHAIN_ID,
        nonce=nonce,
        to=POOL,
        data=repay_call(1).data,
        value_wei=0,
        gas_limit=300_000,
        max_fee_wei=gwei * GWEI,
        tip_wei=GWEI,
        intent=intent,
    )


def guarded(store: Store) -> GuardedSigner:
    return GuardedSigner(Key(CANARY), POLICY, CAPS, store, ManualClock(1_000_000.0))


def nonces_in(path: Path) -> list[int]:
    raw = sqlite3.connect(path)
    found = [n for (n,) in raw.execute("SELECT nonce FROM signed ORDER BY nonce, n")]
    raw.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signer.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    made = Store.create(path)
    made.adopt(CHAIN_ID, 7, "test", 0.0)
    yield made
    made.close()


@pytest.fixture
def old(path: Path) -> Path:
    raw = sqlite3.connect(path)
    raw.executescript(FIRST_RELEASE)
    raw.close()
    return path


def schema_of(path: Path) -> set[str]:
    raw = sqlite3.connect(path)
    found = {" ".join(s.split()) for (s,) in raw.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")}
    raw.close()
    return {s.replace("( ", "(").replace(" )", ")") for s in found}


def test_open__when_of_the_first_release__then_what_was_signed_binds_and_a_private_copy_stays(
    old: Path, tmp_path: Path
) -> None:
    store = Store.open(old)
    with pytest.raises(Broken, match="S5: a#1 was signed for nonce 7, never for 8"):
        asyncio.run(guarded(store).sign(tx(8)))
    asyncio.run(guarded(store).sign(tx(8, intent="b#1")))
    store.close()
    kept = old.with_name("signer.sqlite.schema1")
    assert (nonces_in(old), nonces_in(kept)) == ([7, 8], [7])
    assert kept.stat().st_mode & 0o777 == 0o600
    fresh = tmp_path / "fresh.sqlite"
    Store.create(fresh).close()
    assert schema_of(old) == schema_of(fresh) != schema_of(kept)
    Store.open(old).close()
    assert not old.with_name("signer.sqlite.schema2").exists()


def test_open__when_killed_before_any_step_of_the_way__then_old_or_new_and_the_next_start_finishes(
    old: Path,
) -> None:
    whole, at, seen = old.read_bytes(), 0, set()
    while True:
        at += 1
        for beside in old.parent.glob("signer.sqlite?*"):
            beside.unlink()
        old.write_bytes(whole)
        pid = os.fork()
        if not pid:
            _open_and_die(old, at)
        status = os.waitpid(pid, 0)[1]
        raw = sqlite3.connect(old)
        version = raw.execute("SELECT value FROM meta").fetchone()[0]
        raw.close()
        seen.add(version)
        assert ("signed_day" in str(schema_of(old))) == (version == "2"), at
        Store.open(old).close()
        assert nonces_in(old) == [7]
        assert "signed_day" in str(schema_of(old))
        if os.WIFEXITED(status):
            break
    assert seen == {"1", "2"}
    assert at > 5


def _open_and_die(path: Path, at: int) -> None:
    connected, count = disk.connect, 0

    def traced(path: Path) -> sqlite3.Connection:
        made = connected(path)

        def told(statement: str) -> None:
            nonlocal count
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)

        made.set_trace_callback(told)
        return made

    try:
        disk.connect = traced
        Store.open(path).close()
    finally:
        os._exit(0)


@pytest.mark.parametrize(
    "version, kind, words",
    [
        ("3", ConfigError, "knows up to 2: upgrade keeper"),
        ("0", Broken, "of another version"),
        ("x", Broken, "of another version"),
    ],
)
def test_open__when_the_schema_is_none_of_ours__then_refused_untouched(
    old: Path, version: str, kind: type[Exception], words: str
) -> None:
    raw = sqlite3.connect(old)
    raw.execute("UPDATE meta SET value = ?", (version,))
    raw.commit()
    raw.close()
    with pytest.raises(kind, match=words):
        Store.open(old)
    assert nonces_in(old) == [7]


def test_open__when_the_copy_cannot_be_made__then_refused_and_as_it_was(old: Path) -> None:
    # a folder stands where the draft of the copy would
    old.with_name("signer.sqlite.schema1.new").mkdir()
    with pytest.raises(ConfigError, match="cannot be copied"):
        Store.open(old)
    assert "signed_day" not in str(schema_of(old))


def test_sign__when_the_disk_is_full__then_unwritable_by_name_and_on_again_when_it_is_not(
    store: Store, path: Path
) -> None:
    signer = guarded(store)
    asyncio.run(signer.sign(tx()))
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages}")
    refused = ""
    for n in range(100):
        try:
            asyncio.run(signer.sign(tx(8 + n, intent=f"b#{n}")))
        except Unwritable as error:
            refused = str(error)
            break
    assert "database or disk is full" in refused
    assert str(path) in refused
    assert CANARY.hex() not in refused
    store._connection.execute("PRAGMA max_page_count=100000")
    asyncio.run(signer.sign(tx(8 + n, intent=f"b#{n}")))
    store.close()
    assert nonces_in(path) == list(range(7, 9 + n))


@pytest.mark.parametrize("name", ["signer.sqlite", "signer.sqlite-wal"])
@pytest.mark.parametrize("replaced", [True, False])
def test_sign__when_the_file_is_replaced_or_deleted__then_broken_and_no_signature_leaves(
    store: Store, path: Path, name: str, replaced: bool
) -> None:
    signer = guarded(store)
    asyncio.run(signer.sign(tx()))
    gone = path.with_name(name)
    content = gone.read_bytes()
    gone.unlink()
    if replaced:
        path.with_name("other").write_bytes(content)
        path.with_name("other").rename(gone)
    with pytest.raises(Broken, match=f"{name} was replaced or deleted under the signer"):
        asyncio.run(signer.sign(tx(8, intent="b#1")))


def test_begin__when_the_connection_is_gone__then_broken_not_a_traceback(path: Path) -> None:
    store = Store.create(path)
    store.close()
    for ask in (lambda: store.adopt(CHAIN_ID, 7, "test", 0.0), lambda: store.stored(CHAIN_ID, "a#1")):
        with pytest.raises(Broken, match=f"^signer store {path} failed: .*closed database"):
            ask()


def test_exclusive__when_what_it_guards_fails__then_rolled_back_and_the_cause_comes_out(
    store: Store, path: Path
) -> None:
    def half() -> None:
        with store._exclusive:
            store._connection.execute("UPDATE adopted SET nonce = '99'")
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        half()
    assert store._connection.execute("SELECT nonce FROM adopted").fetchone()[0] == "7"


def test_exclusive__when_the_commit_fails__then_rolled_back_and_usable_again(store: Store) -> None:
    store._connection.execute("PRAGMA foreign_keys=ON")
    store._connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY)")
    store._connection.execute("CREATE TABLE b (a REFERENCES a DEFERRABLE INITIALLY DEFERRED)")

    def orphan() -> None:
        with store._exclusive:
            # checked at the commit
            store._connection.execute("INSERT INTO b VALUES (5)")

    with pytest.raises(Broken, match="FOREIGN KEY"):
        orphan()
    asyncio.run(guarded(store).sign(tx()))


def test_answer__when_refused__then_the_daemon_learns_whether_it_may_go_on(store: Store, path: Path) -> None:
    signer = guarded(store)

    def asked(fields: TxFields) -> dict[str, object]:
        line = json.dumps({"do": "sign", "tx": row_of(fields)}).encode()
        return asyncio.run(answer(line, signer))

    outside = asked(tx(gwei=10**6))
    assert outside["kind"] == "unsigned"
    with pytest.raises(Unsigned, match="above the cap"):
        _accepted(outside)
    gap = asked(tx(9))
    assert gap["kind"] == ""
    with pytest.raises(Broken, match="S1") as caught:
        _accepted(gap)
    assert type(caught.value) is Broken
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages}")
    full = next(a for n in range(100) if not (a := asked(tx(7 + n, intent=f"b#{n}")))["ok"])
    with pytest.raises(Unwritable, match="full"):
        _accepted(full)


@pytest.mark.asyncio
async def test_remote__when_the_policy_says_no__then_that_plan_alone_is_unsigned(
    store: Store, tmp_path: Path
) -> None:
    socket = tmp_path / "s"
    server = await serve(socket, guarded(store))
    try:
        remote = await RemoteSigner.open(socket, address_of())
        with pytest.raises(Unsigned, match="signer refuses: fee"):
            await remote.sign(tx(gwei=10**6))
    finally:
        server.close()


def test_back_up__when_the_source_cannot_be_read__then_broken_and_no_copy_bears_the_name(old: Path) -> None:
    gone = sqlite3.connect(old)
    gone.close()
    with pytest.raises(Broken, match="closed database"):
        disk.back_up(old, gone, 1)
    assert not old.with_name("signer.sqlite.schema1").exists()


def test_open__when_its_log_cannot_be_opened__then_unwritable_by_name_and_on_again_when_it_can(
    path: Path,
) -> None:
    Store.create(path).close()
    log = path.with_name(f"{path.name}-wal")
    log.mkdir()
    for _ in range(2):
        with pytest.raises(Unwritable, match=f"^{path}: signer store cannot be opened: unable to open"):
            Store.open(path)
    log.rmdir()
    Store.open(path).close()


def test_open__when_another_signer_holds_it__then_the_configurations_fault_and_not_the_disks(
    store: Store, path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"^{path}: signer store cannot be opened: database is locked"):
        Store.open(path)


def test_open__when_the_file_cannot_be_read__then_refused_by_name(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk, "refuse_cut", denied)
    with pytest.raises(ConfigError, match="signer store cannot be opened: Permission denied"):
        Store.open(old)
