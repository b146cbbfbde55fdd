"""What the journal answers: each query's edge, and rows that rotted."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken, Raced, Unwritable
from keeper.journal import files
from keeper.journal.read import Inclusion, Reader
from keeper.journal.tables import Uint
from keeper.journal.write import Journal
from keeper.model import Entry, IntentState, Outcome, PositionId
from keeper.seams import Shadow
from tests.plans import CHAIN_ID, WALLET, attempt, block, cancelling, plan, position_id, snapshot

pytestmark = pytest.mark.unit
S = IntentState


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal.open(path, ManualClock(1000.0)) as opened:
        yield opened


def tick(number: int, *, kind: str = "tick", subject: str = "", chain_id: int = CHAIN_ID) -> Entry:
    return Entry(kind=kind, chain_id=chain_id, block_number=number, subject=subject, why="w")


def ended(
    journal: Journal, seq: int, state: IntentState, number: int, position: PositionId | None = None
) -> None:
    """A plan of the main position, or of another, that ended so in that block."""
    made = plan(seq, at=block(number), position=position)
    journal.open_intent(made)
    journal.add_attempt(attempt(made.key, nonce=seq if position is None else number), WALLET)
    journal.record_outcome(
        Outcome(
            key=made.key,
            state=state,
            block_number=number,
            tx_hash="0x",
            gas_used=1,
            gas_price_wei=1,
            health_after_wad=None,
            promised_min_wad=1,
            surprise="",
        ),
        f"0x{number:02x}",
    )


def test_newest_entry__when_several_chains_write__then_the_last_of_that_kind_and_chain(
    journal: Journal,
) -> None:
    assert journal.newest_entry("tick", CHAIN_ID) is None
    journal.record_all([tick(1), tick(2), tick(3, chain_id=1), tick(4, kind="head")])
    found = journal.newest_entry("tick", CHAIN_ID)
    assert found is not None
    assert found.block_number == 2


def test_entries__when_filtered__then_by_kind_subject_and_id_oldest_first(journal: Journal) -> None:
    ids = journal.record_all([tick(1, subject="a"), tick(2), tick(3, subject="a"), tick(4, kind="head")])
    assert ids == (1, 2, 3, 4)
    assert [e.block_number for e in journal.entries(subject="a")] == [1, 3]
    assert [e.block_number for e in journal.entries("tick", "a", since_id=1)] == [3]
    assert [e.block_number for e in journal.entries(limit=2)] == [1, 2]
    assert [e.block_number for e in journal.entries(limit=3, newest=True)] == [2, 3, 4]
    assert [e.block_number for e in journal.entries(since_id=4)] == []


def test_intents__when_limited__then_the_newest_oldest_first_and_of_one_position(journal: Journal) -> None:
    for seq in (1, 2, 3):
        journal.open_intent(plan(seq), dry=True)
    journal.open_intent(plan(position=position_id("other")), dry=True)
    assert [i.key.seq for i in journal.intents(position_id())] == [1, 2, 3]
    assert [(i.key.position.key, i.key.seq) for i in journal.intents(limit=2)] == [("main", 3), ("other", 1)]


def test_intents_on__when_several_chains_plan__then_the_newest_of_that_chain_oldest_first(
    journal: Journal,
) -> None:
    elsewhere = replace(position_id(), chain_id=1)
    for seq in (1, 2, 3):
        journal.open_intent(plan(seq), dry=True)
    journal.open_intent(plan(position=elsewhere), dry=True)
    assert [i.key.seq for i in journal.intents_on(CHAIN_ID, limit=2)] == [2, 3]
    assert [i.key.position for i in journal.intents_on(1)] == [elsewhere]
    assert journal.intents_on(2) == ()


def test_intents__when_no_limit_is_named__then_the_newest_hundred(journal: Journal) -> None:
    with journal.batch():
        for seq in range(1, 102):
            journal.open_intent(plan(seq), dry=True)
    newest = list(range(2, 102))
    assert [i.key.seq for i in journal.intents()] == newest
    assert [i.key.seq for i in journal.intents(position_id())] == newest
    assert [i.key.seq for i in journal.intents_on(CHAIN_ID)] == newest


def test_open_and_followed__when_chains_differ__then_each_only_its_own(journal: Journal) -> None:
    ended(journal, 1, S.INCLUDED, 101)
    journal.open_intent(plan(2, at=block(102)))
    assert [i.key.seq for i in journal.open_intents(CHAIN_ID)] == [2]
    assert [i.key.seq for i in journal.open_intents()] == [2]
    assert journal.open_intents(1) == ()
    assert [i.key.seq for i in journal.followed_intents(CHAIN_ID)] == [1]
    assert journal.followed_intents(1) == ()


def test_inclusion__when_included_and_taken_back__then_where_and_nowhere(journal: Journal) -> None:
    assert journal.inclusion(plan().key) is None
    assert journal.last_inclusion_block(position_id()) == 0
    ended(journal, 1, S.INCLUDED, 101)
    assert journal.inclusion(plan().key) == Inclusion(block_number=101, block_hash="0x65")
    assert journal.last_inclusion_block(position_id()) == 101
    journal.set_state(plan().key, S.SENT, "reorganisation", 102)
    assert journal.inclusion(plan().key) is None
    assert journal.last_inclusion_block(position_id()) == 0


def test_reverted_blocks__when_counted__then_only_reverts_after_that_block(journal: Journal) -> None:
    ended(journal, 1, S.REVERTED, 101)
    ended(journal, 2, S.REVERTED, 103)
    ended(journal, 3, S.INCLUDED, 104)
    assert journal.reverted_blocks(position_id(), 100) == (101, 103)
    assert journal.reverted_blocks(position_id(), 101) == (103,)
    assert journal.reverted_blocks(position_id("other"), 0) == ()


def test_reverted_blocks_each__when_counted__then_of_every_position_of_that_chain_at_once(
    journal: Journal,
) -> None:
    other = position_id("other")
    ended(journal, 1, S.REVERTED, 101)
    ended(journal, 2, S.REVERTED, 103)
    ended(journal, 3, S.INCLUDED, 104)
    ended(journal, 1, S.REVERTED, 105, position=other)
    assert journal.reverted_blocks_each(CHAIN_ID, 100) == {position_id(): (101, 103), other: (105,)}
    assert journal.reverted_blocks_each(CHAIN_ID, 103) == {other: (105,)}
    assert journal.reverted_blocks_each(1, 0) == {}


def test_reader__when_the_daemon_writes_between_two_questions__then_each_is_answered_anew(
    journal: Journal, path: Path
) -> None:
    with Reader.open(path) as reader:
        assert (reader.next_seq(position_id()), reader.next_nonce(CHAIN_ID, WALLET)) == (1, None)
        journal.adopt_nonce(CHAIN_ID, WALLET, 7, "test")
        journal.open_intent(plan())
        assert (reader.next_seq(position_id()), reader.next_nonce(CHAIN_ID, WALLET)) == (2, 7)
        assert [i.state for i in reader.open_intents(CHAIN_ID)] == [S.PLANNED]
        journal.add_attempt(attempt(plan().key, nonce=7), WALLET)
        assert [i.state for i in reader.open_intents(CHAIN_ID)] == [S.SIGNED]
        assert reader.next_nonce(CHAIN_ID, WALLET) == 8


def test_nonces__when_several_signers_and_chains__then_each_its_own(journal: Journal) -> None:
    journal.adopt_nonce(CHAIN_ID, WALLET, 5, "first")
    journal.adopt_nonce(1, WALLET, 50, "other chain")
    journal.adopt_nonce(CHAIN_ID, "0xOther", 500, "other key")
    assert [
        journal.next_nonce(CHAIN_ID, WALLET.upper().replace("X", "x")),
        journal.next_nonce(1, WALLET),
    ] == [
        5,
        50,
    ]
    journal.open_intent(plan())
    journal.add_attempt(attempt(plan().key, nonce=3), WALLET)
    assert journal.next_nonce(CHAIN_ID, WALLET) == 5
    assert journal.max_nonce(CHAIN_ID, WALLET) == 3
    journal.adopt_nonce(CHAIN_ID, WALLET, 2, "back")
    assert journal.next_nonce(CHAIN_ID, WALLET) == 4
    assert journal.next_nonce(CHAIN_ID, "0xother") == 500
    assert journal.max_nonce(CHAIN_ID, "0xother") is None
    told = journal.entries("control", WALLET)
    assert [e.data for e in told][-1] == {"key": "nonce", "value": 2, "actor": "keeper"}


def test_spend__when_asked_of_one_intent__then_its_own_or_the_plans_bound(journal: Journal) -> None:
    journal.open_intent(plan(), spend_usd=0)
    journal.open_intent(plan(position=position_id("other")))
    assert journal.spend_usd(plan().key) == 0
    assert journal.spend_usd(plan(position=position_id("other")).key) == plan().bounds.cost_usd_max
    assert journal.spend_usd(plan(9).key) == 0


def test_carried__when_replaced_twice__then_each_attempt_has_the_plan_it_carries(journal: Journal) -> None:
    first = plan()
    journal.open_intent(first, spend_usd=30)
    journal.add_attempt(attempt(first.key), WALLET)
    larger = [replace(plan(at=block(100 + n)), why=f"larger {n}") for n in (1, 2)]
    journal.replan(larger[0], attempt(first.key, n=1), WALLET, spend_usd=20)
    journal.replan(larger[1], attempt(first.key, n=2), WALLET, spend_usd=70)
    [found] = journal.open_intents()
    assert [journal.carried(found, n) for n in (0, 1, 2)] == [first, *larger]
    assert (found.plan, found.why, journal.spend_usd(first.key)) == (larger[1], "larger 2", 70)
    assert [e.why for e in journal.entries("replan")] == ["larger 1", "larger 2"]


@pytest.mark.parametrize("state", [S.CANCELLING, S.PLANNED, S.INCLUDED])
def test_replan__when_it_is_not_on_the_wire__then_raced_and_nothing_changes(
    journal: Journal, state: IntentState
) -> None:
    journal.open_intent(plan())
    if state is not S.PLANNED:
        journal.add_attempt(attempt(plan().key), WALLET)
        journal.set_state(plan().key, state, "t", 100)
    with pytest.raises(Raced, match=f"is {state}"):
        journal.replan(plan(at=block(101)), attempt(plan().key, n=1), WALLET, spend_usd=1)
    assert journal.entries("replan") == ()


def test_replan__when_planned_before_an_inclusion__then_raced(journal: Journal) -> None:
    ended(journal, 1, S.INCLUDED, 105)
    second = plan(2, at=block(105))
    journal.open_intent(second)
    journal.add_attempt(attempt(second.key, nonce=9), WALLET)
    with pytest.raises(Raced, match="before an inclusion"):
        journal.replan(plan(2, at=block(104)), attempt(second.key, nonce=9, n=1), WALLET, spend_usd=1)
    journal.replan(plan(2, at=block(105)), attempt(second.key, nonce=9, n=1), WALLET, spend_usd=1)


def test_attempt__when_it_cancels__then_cancelling_and_a_second_one_changes_nothing(journal: Journal) -> None:
    journal.open_intent(plan())
    journal.add_attempt(attempt(plan().key), WALLET)
    for n in (1, 2):
        journal.add_attempt(cancelling(attempt(plan().key, n=n)), WALLET)
        [found] = journal.open_intents()
        assert found.state is S.CANCELLING
    told = [(e.why, e.data.get("state")) for e in journal.entries("attempt")]
    assert told == [
        ("signed", "SIGNED"),
        ("signed", None),
        ("self-send signed", "CANCELLING"),
        ("cancel", None),
        ("cancel", None),
    ]


def test_state__when_it_is_the_same__then_nothing_is_written(journal: Journal) -> None:
    journal.open_intent(plan())
    before = journal.entries()
    journal.set_state(plan().key, S.PLANNED, "again", 101)
    assert journal.entries() == before


def test_memories__when_there_are_none__then_nothing_is_asked_of_the_disk(journal: Journal) -> None:
    journal.set_memories({})
    assert journal.memories() == {}
    assert journal.memory(position_id()) is None
    journal.set_memories({position_id(): {"a": 1}, position_id("b"): {"b": 2}})
    journal.set_memory(position_id(), {"a": 3})
    assert journal.memories() == {position_id(): {"a": 3}, position_id("b"): {"b": 2}}


def test_shadow__when_kept_without_a_purse__then_the_purse_stays(journal: Journal) -> None:
    shadow = Shadow(id=position_id(), collateral={}, debt={"0xA": 1})
    assert journal.shadow(position_id()) is None
    journal.set_shadow(shadow, {"0xB": -5, "0xC": 7})
    journal.set_shadow(replace(shadow, debt={"0xA": 2}))
    assert journal.wallet_deltas(CHAIN_ID) == {"0xB": -5, "0xC": 7}
    assert journal.wallet_deltas(1) == {}
    found = journal.shadow(position_id())
    assert found is not None
    assert found.debt == {"0xA": 2}


def test_controls__when_several__then_each_by_its_key(journal: Journal) -> None:
    journal.set_control("a", "1", "me", "why", chain_id=7)
    journal.set_control("b", None, "you", "because")
    found = journal.controls()
    assert {k: (c.value, c.actor, c.why, c.at_s) for k, c in found.items()} == {
        "a": ("1", "me", "why", 1000.0),
        "b": (None, "you", "because", 1000.0),
    }
    assert journal.control("c") is None
    assert [e.chain_id for e in journal.entries("control")] == [7, 0]


def test_snapshot__when_forks_share_a_number__then_the_newest_full_one(journal: Journal) -> None:
    for fork in (0, 1):
        journal.save_snapshot(replace(snapshot(block(100, fork=fork)), digest=f"d{fork}"), full=True)
    journal.save_snapshot(replace(snapshot(block(100, fork=2)), digest="d2"), full=False)
    found = journal.snapshot(CHAIN_ID, 100)
    assert found is not None
    assert found.digest == "d1"
    assert journal.digest(CHAIN_ID, block(100, fork=2).hash) == "d2"
    assert journal.digest(CHAIN_ID, "0x") is None
    assert journal.digest(1, block(100).hash) is None
    assert journal.snapshot(1, 100) is None
    assert journal.snapshot(CHAIN_ID, 101) is None


@pytest.mark.parametrize(
    "statement, ask",
    [
        ("UPDATE intent SET state = 'LOST'", lambda j: j.intents()),
        ("UPDATE intent SET position = 'nowhere'", lambda j: j.intents()),
        ("UPDATE intent SET position = 'nowhere'", lambda j: j.last_seqs()),
        ("UPDATE intent SET plan = '{}'", lambda j: j.intents()),
        ("UPDATE attempt SET max_fee_wei = 'much'", lambda j: j.intents()),
        ("UPDATE memory SET data = '[]'", lambda j: j.memories()),
        ("UPDATE memory SET data = '{'", lambda j: j.memory(position_id())),
        ("UPDATE memory SET position = 'x'", lambda j: j.memories()),
        ("UPDATE shadow SET data = 'x'", lambda j: j.shadows()),
        ("UPDATE snapshot SET body = x'00'", lambda j: j.snapshot(CHAIN_ID, 100)),
    ],
)
def test_query__when_a_row_rotted__then_broken_and_no_other_error(
    journal: Journal, statement: str, ask: Callable[[Journal], object]
) -> None:
    journal.open_intent(plan())
    journal.add_attempt(attempt(plan().key), WALLET)
    journal.set_memory(position_id(), {})
    journal.set_shadow(Shadow(id=position_id(), collateral={}, debt={}))
    journal.save_snapshot(snapshot(), full=True)
    ask(journal)
    journal._connection.exec_driver_sql(statement)
    journal._connection.commit()
    with pytest.raises(Broken):
        ask(journal)


def test_uint__when_negative_or_null__then_refused_and_null() -> None:
    kind = Uint()
    dialect = None
    assert kind.process_bind_param(None, dialect) is None  # type: ignore[arg-type]
    assert kind.process_bind_param(0, dialect) == "0"  # type: ignore[arg-type]
    assert kind.process_result_value(None, dialect) is None  # type: ignore[arg-type]
    assert kind.process_result_value(str(2**256), dialect) == 2**256  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="-1 is negative"):
        kind.process_bind_param(-1, dialect)  # type: ignore[arg-type]


def test_close__when_called_twice__then_fine_and_the_lock_is_free(path: Path) -> None:
    first = Journal.open(path, ManualClock())
    first.close()
    first.close()
    Journal.open(path, ManualClock()).close()


@pytest.mark.parametrize("name", ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite.lock"])
def test_commit__when_a_file_was_deleted_under_it__then_broken_names_the_file(
    journal: Journal, path: Path, name: str
) -> None:
    journal.record(tick(1))
    path.with_name(name).unlink()
    with pytest.raises(Broken, match=f"{name} was replaced or deleted under the running keeper"):
        journal.record(tick(2))


def test_commit__when_the_database_may_take_it_later__then_unwritable_and_on_again(journal: Journal) -> None:
    raw = journal._connection.connection.driver_connection
    assert raw is not None
    raw.execute("PRAGMA query_only=ON")
    with pytest.raises(Unwritable, match="readonly"):
        journal.record(tick(1))
    raw.execute("PRAGMA query_only=OFF")
    journal.record(tick(2))
    assert [e.block_number for e in journal.entries()] == [2]


@pytest.mark.parametrize(
    "code, passes",
    [
        (sqlite3.SQLITE_FULL, True),
        (sqlite3.SQLITE_IOERR_WRITE, True),
        (sqlite3.SQLITE_READONLY, True),
        (sqlite3.SQLITE_CANTOPEN, True),
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_IOERR_SHORT_READ, False),
        (sqlite3.SQLITE_READONLY_DBMOVED, False),
        (sqlite3.SQLITE_CORRUPT, False),
        (sqlite3.SQLITE_ERROR, False),
        (None, False),
    ],
)
def test_failure__when_told_by_its_code__then_whether_it_may_pass(code: int | None, passes: bool) -> None:
    error = sqlite3.OperationalError("x")
    if code is not None:
        error.sqlite_errorcode = code
    assert files.may_pass(error) is passes


def test_file__when_it_cannot_be_read_or_is_cut_inside_a_page__then_refused_by_name(path: Path) -> None:
    Journal.open(path, ManualClock()).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(Broken, match="cut short in the middle of a page"):
        files.check_file(path)
    # the rest of a page that a checkpoint wrote half waits in the WAL
    path.with_name("journal.sqlite-wal").write_bytes(b"x")
    files.check_file(path)
    path.write_bytes(whole[:99])
    with pytest.raises(Broken, match="no SQLite file"):
        files.check_file(path)
    path.write_bytes(whole[:16] + b"\x00\x01" + whole[18:100] + bytes(65_436))
    path.with_name("journal.sqlite-wal").unlink()
    files.check_file(path)
    path.write_bytes(path.read_bytes() + bytes(4096))
    with pytest.raises(Broken, match="cut short"):
        files.check_file(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(files.ConfigError, match=r"journal\.sqlite cannot be read: Is a directory"):
        files.check_file(path)


def test_open__when_only_the_wal_is_left__then_broken_and_no_new_journal_takes_its_name(path: Path) -> None:
    path.with_name("journal.sqlite-wal").write_bytes(b"commits")
    with pytest.raises(Broken, match=r"is gone and its journal\.sqlite-wal is not"):
        Journal.open(path, ManualClock())
    assert not path.exists()


def test_open__when_an_index_and_its_table_differ__then_broken(path: Path) -> None:
    with Journal.open(path, ManualClock()) as journal:
        journal.open_intent(plan())
        journal.add_attempt(attempt(plan().key, nonce=77), WALLET)
        text = attempt(plan().key, nonce=77).hash.encode()
    content, refused, at = path.read_bytes(), 0, -1
    while (at := content.find(text, at + 1)) >= 0:
        path.write_bytes(content[: at + 5] + bytes([content[at + 5] ^ 1]) + content[at + 6 :])
        with contextlib.suppress(Broken):
            Journal.open(path, ManualClock()).close()
            continue
        refused += 1
    # in the table, and in the index of unique hashes; the diary has no index of its data
    assert refused == 2


def test_open__when_the_folder_cannot_be_made__then_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(files.ConfigError, match="cannot be opened"):
        Journal.open(tmp_path / "file" / "journal.sqlite", ManualClock())


@pytest.mark.parametrize("opener", [lambda p: Journal.open(p, ManualClock()), Reader.open])
def test_open__when_refused__then_no_descriptor_of_the_file_is_left_open(
    path: Path, opener: Callable[[Path], object]
) -> None:
    with Journal.open(path, ManualClock()) as journal:
        journal._connection.exec_driver_sql("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
        journal._connection.commit()
    with pytest.raises(files.ConfigError, match="upgrade keeper") as held:
        opener(path)
    # the error still holds its frames, and they hold nothing
    assert held.tb is not None
    assert not [t for t in descriptors() if t.startswith(str(path))]


def descriptors() -> list[str]:
    """What this process has open."""
    return [str(Path(f"/proc/self/fd/{n}").resolve()) for n in os.listdir("/proc/self/fd")]
