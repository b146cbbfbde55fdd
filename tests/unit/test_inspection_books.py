"""check, live: a chain that is ahead of the journal and plans left open are found before the night."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.config import Settings
from keeper.inspection import books
from keeper.journal.write import Journal
from keeper.model import IntentState
from keeper.seams import Priority
from tests.loop_double import settings
from tests.plans import CHAIN_ID, WALLET, attempt, plan

pytestmark = pytest.mark.unit


class Counts:
    """A node that only knows how many transactions the wallet has sent."""

    def __init__(self, latest: int, pending: int | None = None) -> None:
        self.counts = {"latest": latest, "pending": latest if pending is None else pending}

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        if method == "eth_blockNumber":
            return "0x64"
        assert method == "eth_getTransactionCount"
        return hex(self.counts.get(str(params[1]), self.counts["latest"]))

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        raise AssertionError("a check sends nothing")


def ours(folder: Path, mode: str = "live") -> Settings:
    made = settings(folder, mode)
    return replace(made, wallet=replace(made.wallet, address=WALLET))


async def codes(on: Settings, node: Counts) -> list[tuple[str, str]]:
    chain = replace(on.chains[0], chain_id=CHAIN_ID)
    return [(f.severity.value, f.code) for f in await books(on, chain, node)]


@pytest.mark.parametrize(
    ("latest", "pending", "adopted", "found"),
    [
        (0, 0, None, []),
        (3, 3, None, [("CRITICAL", "foreign_nonce")]),
        (0, 1, None, [("CRITICAL", "foreign_nonce")]),
        (3, 3, 3, []),
        (4, 4, 3, [("CRITICAL", "foreign_nonce")]),
    ],
)
@pytest.mark.asyncio
async def test_books__when_the_chain_may_be_ahead__then_a_foreign_nonce_is_critical(
    tmp_path: Path, latest: int, pending: int, adopted: int | None, found: list[tuple[str, str]]
) -> None:
    on = ours(tmp_path)
    if adopted is not None:
        on.journal_path.parent.mkdir(parents=True, exist_ok=True)
        with Journal.open(on.journal_path, ManualClock(0.0)) as journal:
            journal.adopt_nonce(CHAIN_ID, WALLET, adopted, "test")
    assert await codes(on, Counts(latest, pending)) == found


@pytest.mark.asyncio
async def test_books__when_a_plan_is_open__then_it_is_named_and_ours_is_no_foreign_nonce(
    tmp_path: Path,
) -> None:
    on = ours(tmp_path)
    on.journal_path.parent.mkdir(parents=True, exist_ok=True)
    with Journal.open(on.journal_path, ManualClock(0.0)) as journal:
        journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        wanted = plan()
        journal.open_intent(wanted)
        journal.add_attempt(attempt(wanted.key), WALLET)
        journal.set_state(wanted.key, IntentState.SIGNED, "signed", 100)
    assert await codes(on, Counts(1)) == [("WARNING", "open_intent")]


@pytest.mark.asyncio
async def test_books__when_dry_run__then_nothing_is_asked(tmp_path: Path) -> None:
    assert await codes(ours(tmp_path, "dry-run"), Counts(7)) == []
