"""A chain's start where its configuration has served before: what was found then counts from the first block on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from keeper.clock import ManualClock
from keeper.daemon import safe, service
from keeper.daemon.chores import FIRST
from keeper.daemon.facts import LiveFacts
from keeper.daemon.service import ChainDaemon
from keeper.errors import Broken
from keeper.journal.write import Journal
from keeper.model import Outcome, PlanKey, PositionId, Snapshot
from keeper.transaction.nobody import silent
from tests import plans
from tests.loop_double import settings, vault
from tests.unit.test_pulse import Watched

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


class Asked:
    """Slow jobs, by the names that were asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def ask(self, *names: str) -> None:
        self.names += names


@pytest.mark.asyncio
@pytest.mark.parametrize("safe_mode", [True, False])
@pytest.mark.parametrize("unproven", [(), ("it has other code",)])
async def test_tick__when_an_executor_was_not_proven_at_the_start__then_it_is_looked_at_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unproven: tuple[str, ...], safe_mode: bool
) -> None:
    watched, asked = Watched(tmp_path, monkeypatch), Asked()
    watched.daemon.settings = replace(watched.daemon.settings, safe_mode=safe_mode)
    here = SimpleNamespace(unproven=unproven, camera=SimpleNamespace(stale={}))
    watched.daemon._here, watched.daemon.jobs = cast(Any, here), cast(Any, asked)
    watched.under.lay(vault())
    for _ in range(3):
        await watched.block()
    assert asked.names.count("executors") == len(unproven)
    assert set(asked.names) == {*(() if safe_mode else FIRST), *(["executors"] if unproven else [])}
    # and again by its interval, also where most slow jobs are left out
    assert "executors" in safe.JOBS


class Shown:
    """A lens and a confirmation, as far as it matters when the limits are told."""

    def __init__(self, order: list[str]) -> None:
        self.order = order
        self.camera = SimpleNamespace(transport=None)

    async def look(self, *_: object) -> Snapshot:
        return plans.snapshot()

    async def few(self, *_: object) -> Snapshot | None:
        return plans.snapshot()

    def pending(self, *_: object, **__: object) -> frozenset[PositionId]:
        return frozenset()

    async def tend(self, *_: object) -> tuple[Outcome, ...]:
        self.order.append("tended")
        return ()

    troubles: ClassVar[dict[PlanKey, str]] = {}


@pytest.mark.asyncio
async def test_photograph__of_a_few_or_of_everybody__the_signer_s_limits_follow_before_anything_is_signed_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, order = Watched(tmp_path, monkeypatch, dry=False), list[str]()
    shown = cast(Any, Shown(order))
    pace = cast(Any, SimpleNamespace(learn_beside=lambda _: None, newer=None, begin=lambda *_: None))
    facts = LiveFacts(shown, shown, watched.daemon.alarms, pace)
    monkeypatch.setattr(facts, "_tend", shown.tend)
    acting = SimpleNamespace(
        follow=lambda means: order.append("limits"),
        live=None,
        outgoing=SimpleNamespace(follow=lambda *_: None),
    )
    watched.daemon._following, watched.daemon._acting = facts, cast(Any, acting)
    watched.daemon._looped(watched.under.running.parts, cast(Any, SimpleNamespace(venues={})))
    assert await facts.glance(plans.block(), {}) is not None
    assert order == ["limits"]
    await facts.take(plans.block(), {})
    assert order == ["limits", "limits", "tended"]


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
