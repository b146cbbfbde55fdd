"""Whether a journal can be started on: every row that a start reads, and the bytes that may be sent again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken
from keeper.journal.whole import NEWEST, refuse_damaged, sendable
from keeper.journal.write import Journal
from keeper.model import AddMargin, Amount, IntentState, Outcome
from tests.plans import CHAIN_ID, USDC, WALLET, attempt, plan, position_id
from tests.unit.journal.test_journal_recover import signed

pytestmark = pytest.mark.unit
ONE = position_id("one")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Every table has a row; the newest of two plans is open, the other mined and not final."""
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as made:
        made.adopt_nonce(CHAIN_ID, WALLET, 0, "unused")
        made.set_memories({ONE: {"level": "SAFE"}})
        for nonce in range(2):
            planned = plan(nonce + 1, position=ONE)
            made.open_intent(planned)
            bytes_ = signed(nonce, gwei=20)
            made.add_attempt(
                replace(attempt(planned.key, nonce=nonce), raw=bytes_.raw, hash=bytes_.hash), WALLET
            )
            if not nonce:
                made.record_outcome(mined(planned.key, bytes_.hash), "0xb")
        yield made


def mined(key: object, tx_hash: str) -> Outcome:
    return Outcome(
        key=key, state=IntentState.INCLUDED, block_number=99, tx_hash=tx_hash, gas_used=1,  # type: ignore[arg-type]
        gas_price_wei=1, health_after_wad=None, promised_min_wad=None, surprise="",
    )  # fmt: skip


def altered(journal: Journal, statement: str) -> None:
    raw = journal._connection.connection.driver_connection
    assert raw is not None
    raw.execute(statement)
    raw.commit()


def test_whole__when_nothing_is_wrong__then_nothing_is_refused(journal: Journal) -> None:
    refuse_damaged(journal)
    assert [i.key.seq for i in sendable(journal)] == [2, 1]
    assert sendable(journal, CHAIN_ID + 1) == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE intent SET plan = 'x' || plan WHERE seq = 1",
        "UPDATE intent SET plan = 'x' || plan WHERE seq = 2",
        "UPDATE intent SET state = 'SINGED' WHERE seq = 2",
        "UPDATE attempt SET raw = x'00' WHERE nonce = 0",
        "UPDATE attempt SET hash = '0x00' WHERE nonce = 1",
        "UPDATE memory SET data = '[1]'",
        "UPDATE memory SET position = 'nowhere'",
        "INSERT INTO shadow (position, data, at_s) VALUES ('aave_v3:1:0x1:x', '{', 1.0)",
        "ALTER TABLE control RENAME COLUMN actor TO acuor",
    ],
)
def test_whole__when_a_row_or_a_byte_is_damaged__then_broken_names_the_file(
    journal: Journal, statement: str
) -> None:
    altered(journal, statement)
    with pytest.raises(Broken, match=f"journal {journal.path} (is damaged|failed)"):
        refuse_damaged(journal)


@pytest.mark.parametrize("in_steps", [False, True])
def test_whole__of_plans_that_leave_orders__the_older_ones_are_read_too(
    tmp_path: Path, in_steps: bool
) -> None:
    """An order rests below many rescues; of other plans the newest alone is read at a start."""
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as journal:
        for seq in range(1, 4):
            made = plan(seq, position=ONE)
            if in_steps:
                margin = AddMargin(amount=Amount(token=USDC, units=1), fee_wei=1)
                made = replace(made, steps=(margin,))
            journal.open_intent(made)
            journal.set_state(made.key, IntentState.ABANDONED, "over", 100)
        altered(journal, "UPDATE intent SET plan = 'x' || plan WHERE seq = 1")
        if in_steps:
            with pytest.raises(Broken, match="is damaged"):
                refuse_damaged(journal)
        else:
            refuse_damaged(journal)
    assert NEWEST >= 3
