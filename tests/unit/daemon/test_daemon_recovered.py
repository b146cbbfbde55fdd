"""A start that could not bring journal and chain together: what is watched meanwhile, and what ends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keeper.daemon import recovering
from keeper.daemon.service import ChainDaemon
from keeper.errors import Broken, Transient, Unwritable
from keeper.model import PositionId
from keeper.transaction.nobody import silent
from tests import build
from tests.loop_double import CHAIN, DIGEST, Loop, loop, settings, vault
from tests.virtual_time import virtual

pytestmark = pytest.mark.unit
FULL = "journal entry failed: OperationalError: database or disk is full"


class Started:
    """An armed daemon over a position in need, whose recovery says what a test lays out, one word a try."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.under: Loop = loop(home)
        self.under.journal.set_control("armed", DIGEST, "test", "")
        self.daemon = ChainDaemon(settings(home), CHAIN, self.under.journal, silent, self.under.alarms)
        self.daemon.clock = self.under.clock  # type: ignore[assignment]
        self.daemon.loop, self.daemon._looked = self.under.running, True
        self.says: list[Exception | None] = []
        self.tried = 0
        self.live = SimpleNamespace(settle=self._settle)
        patch.setattr(recovering, "recover", self._recover)

    async def _settle(self, chain_id: int, at_block: int) -> None:
        assert (chain_id, at_block) == (CHAIN.chain_id, self.under.number)

    async def _recover(self, *_: object) -> tuple[()]:
        self.tried += 1
        if (said := self.says.pop(0) if self.says else None) is not None:
            raise said
        return ()

    async def start(self) -> None:
        """As ``_parts`` and ``_looped`` do with a loop of their own."""
        acting = SimpleNamespace(live=self.live, signer_address=build.WALLET, outgoing=None)
        await self.daemon._recovery.run(cast(Any, acting), self.under.number)
        self.daemon._recovery.tell(self.under.running)

    async def block(self) -> set[PositionId]:
        """One more block; who has a plan on the lane after it."""
        await self.daemon._tick(self.under.lay(vault("1450")))
        return set(self.under.running.lane.waiting)

    def standing(self) -> set[str]:
        """Codes of what stands as an alarm."""
        return {a.code for a in self.under.alarms.standing}


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    made = Started(tmp_path, monkeypatch)
    yield made
    made.under.journal.close()


@virtual
async def test_start__when_the_disk_took_no_note_of_what_was_recovered__then_tried_again_and_acting_follows(
    on: Started,
) -> None:
    on.says = [Unwritable(FULL), Unwritable(FULL), Transient("no endpoint answers"), Unwritable(FULL), None]
    await on.start()
    for tried in (2, 3, 4, 5):
        assert await on.block() == set()
        assert on.tried == tried
        assert "unwritable" in on.standing()
        assert on.under.running.broken == ""
    # the disk took it after the fourth block: the fifth is acted on
    assert await on.block() == {build.position_id()}
    assert "unwritable" not in on.standing()
    assert on.tried == 5
    # said once, and not ended and begun anew with every block
    told = [e.why for e in on.under.journal.entries("alarm") if e.data["code"] == "unwritable"]
    assert len(told) == 2, told


@virtual
async def test_start__when_recovery_finds_somebody_else__then_a_person_is_needed_and_nothing_is_tried(
    on: Started,
) -> None:
    on.says = [Broken("foreign nonce: it has sent 5 transactions")]
    await on.start()
    for _ in range(3):
        assert await on.block() == set()
    assert (on.tried, on.under.running.broken) == (1, "foreign nonce: it has sent 5 transactions")


@virtual
async def test_start__when_the_second_try_finds_somebody_else__then_stopped_for_good(on: Started) -> None:
    on.says = [Unwritable(FULL), Broken("foreign nonce: it has sent 5 transactions")]
    await on.start()
    for _ in range(3):
        assert await on.block() == set()
    assert (on.tried, on.under.running.broken) == (2, "foreign nonce: it has sent 5 transactions")


@virtual
async def test_start__when_all_is_well__then_acted_on_at_once_and_recovered_once(on: Started) -> None:
    await on.start()
    assert await on.block() == {build.position_id()}
    assert on.tried == 1


@virtual
async def test_start__when_the_signers_memory_finds_no_room__then_watched_as_with_any_full_disk(
    on: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(chain_id: int, at_block: int) -> None:
        raise Unwritable(FULL)

    monkeypatch.setattr(on.live, "settle", full)
    await on.start()
    assert await on.block() == set()
    assert (on.tried, on.under.running.broken) == (0, "")
    assert "unwritable" in on.standing()
