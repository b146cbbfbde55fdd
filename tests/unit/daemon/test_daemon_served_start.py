"""A chain's start where its configuration has served before: what was found then counts from the first block on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keeper.clock import ManualClock
from keeper.daemon import service
from keeper.daemon.service import ChainDaemon
from keeper.errors import Broken
from keeper.journal.write import Journal
from keeper.transaction.nobody import silent
from tests.loop_double import settings

pytestmark = pytest.mark.unit


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "j.sqlite", ManualClock(1.0)) as made:
        yield made


@pytest.mark.asyncio
@pytest.mark.parametrize("served", [True, False])
async def test_start__when_the_configuration_has_served__then_lines_found_before_are_recalled(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, served: bool
) -> None:
    plain, lined = SimpleNamespace(name="plain"), SimpleNamespace(name="lined")

    async def gives(*_: object, **__: object) -> object:
        return plain

    async def recalled(here: object, found: object) -> object:
        assert (here, found) == (plain, journal)
        return lined

    async def parts(here: object) -> object:
        return here

    given = settings(tmp_path)
    daemon = ChainDaemon(given, given.chains[0], journal, silent)
    monkeypatch.setattr(service.Endpoints, "open", gives)
    monkeypatch.setattr(service, "latest", gives)
    monkeypatch.setattr(service, "site", gives)
    monkeypatch.setattr(service, "recalled", recalled)
    monkeypatch.setattr(service.starts, "known", lambda *_: served)
    monkeypatch.setattr(daemon, "_parts", parts)
    monkeypatch.setattr(daemon, "_looped", lambda parts, here: cast(Any, (parts, here)))
    _, here = await daemon.start()
    assert cast(Any, here) is (lined if served else plain)


def test_plans__when_the_journal_went_under_the_keeper__then_signing_stops_and_the_block_counts_as_judged(
    tmp_path: Path, journal: Journal
) -> None:
    given, stopped = settings(tmp_path), list[Broken]()
    daemon = ChainDaemon(given, given.chains[0], journal, silent)
    journal.path.unlink()
    loop = SimpleNamespace(hand=lambda _: (), stop_acting=stopped.append)
    daemon._handed(cast(Any, loop), cast(Any, None))
    (why,) = stopped
    assert "was replaced or deleted" in str(why)
