"""A hedge that broke: its key signs nothing more, and that is said again for as long as it lasts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keeper.clock import ManualClock
from keeper.daemon.hedges import Hedges
from keeper.errors import Broken, ConfigError
from keeper.journal.write import Journal
from keeper.notify.alarm import REPEAT_CRITICAL_S, Alarms, Told
from tests.unit.daemon.test_daemon_hedges_dropped import CHAINS, written

pytestmark = pytest.mark.unit
BLOCK_S = 12.0


class Breaking:
    """A chain's loop, idle after each block, in which a hedge cannot be opened."""

    def __init__(self, error: Exception) -> None:
        self.error, self.tried = error, 0
        self.last, self.idle = object(), True

    async def rest(self, within_s: float) -> None:
        return None

    @property
    def pairs(self) -> object:
        self.tried += 1
        raise self.error


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "tried"), [(Broken("a nonce"), 1), (KeyError("a slip"), 1), (ConfigError(("a file",)), 3)]
)
async def test_run__when_a_hedge_has_stopped__then_said_again_by_age_and_tried_only_where_that_can_help(
    tmp_path: Path, error: Exception, tried: int
) -> None:
    clock, told = ManualClock(1.0), list[Told]()
    with Journal.open(tmp_path / "journal.sqlite", clock) as journal:
        alarms = Alarms(journal.record, clock, CHAINS["first"], told.append)
        hedges = Hedges(written("one"), journal, alarms, clock, lambda _: None)
        loop = Breaking(error)
        here = SimpleNamespace(
            guarded=[SimpleNamespace(label="one")], chain=SimpleNamespace(block_time_s=BLOCK_S)
        )
        run = asyncio.create_task(hedges.run(cast(Any, here)))
        for _ in range(int(2 * REPEAT_CRITICAL_S / BLOCK_S) + 1):
            hedges.see(cast(Any, loop))
            await asyncio.sleep(0.001)
            clock.advance(BLOCK_S)
        run.cancel()
    assert loop.tried == tried
    assert [(t.title, t.again) for t in told] == [
        ("CRITICAL hedge_stopped one", again) for again in (False, True, True)
    ]
    assert len({t.why for t in told}) == 1
