"""The disk campaign in small: every kind of damage and weather, and that it can find what it looks for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.journal import files
from keeper.journal.write import Journal
from tests.chaos.disk import DAMAGES, WEATHER_EVERY, WEATHERS, damage, unit, weather
from tests.chaos.disk_world import DiskWorld
from tests.chaos.sim.quiet import hushed

pytestmark = pytest.mark.scenario


@pytest.fixture(autouse=True)
def _hushed() -> Iterator[None]:
    with hushed():
        yield


@pytest.mark.parametrize("kind", DAMAGES)
def test_journal__when_its_files_are_damaged__then_refused_by_name_or_every_need_is_met_once(
    kind: str,
) -> None:
    for turn in range(2):
        found = damage(DAMAGES.index(kind) + turn * len(DAMAGES))
        assert found.failure == ""
        assert found.counts[kind] == 1


@pytest.mark.parametrize("seed", [1370, 2042, 3562, 3874, 4114, 5890])
def test_journal__when_a_bit_turns_in_a_plan_or_in_bytes_that_a_reorganisation_would_send__then_refused_by_name(
    seed: int,
) -> None:
    assert unit(seed).failure == ""


@pytest.mark.parametrize("seed", [702, 1170])
def test_keeper__when_its_file_is_deleted_while_a_transaction_waits__then_not_even_stored_bytes_are_sent_again(
    seed: int,
) -> None:
    assert unit(seed).failure == ""


@pytest.mark.parametrize("kind", WEATHERS)
def test_keeper__when_its_disk_fails_under_it__then_nothing_unkept_is_sent_and_it_goes_on(kind: str) -> None:
    found = weather(WEATHERS.index(kind) * WEATHER_EVERY)
    assert found.failure == ""
    assert found.counts[kind] == 1


@pytest.mark.parametrize("name", ["journal.sqlite", "journal.sqlite-wal"])
def test_judging__when_the_journal_goes_under_it__then_each_block_is_judged_and_none_ends_in_an_error(
    tmp_path: Path, name: str
) -> None:
    world = DiskWorld(tmp_path)
    world.start()
    world.blocks(2)
    world.path.with_name(name).unlink()
    for _ in range(2):
        head = world.chain.mine()
        tick = asyncio.run(world.loop.tick(head))
        assert (tick.block.number, world.loop.last) == (head.number, tick)
    assert f"{name} was replaced or deleted" in world.stopped
    assert "broken" in world.standing
    world.stop()


def test_campaign__when_nobody_watches_the_files__then_it_finds_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.Place, "refuse_replaced", lambda _: None)
    assert "replaced: nobody noticed" in weather(WEATHERS.index("replaced") * WEATHER_EVERY).failure


def test_campaign__when_a_full_disk_stops_for_good__then_it_finds_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "may_pass", lambda _: False)
    assert "stopped for good" in weather(WEATHERS.index("full") * WEATHER_EVERY).failure


def test_campaign__when_signed_bytes_are_not_kept__then_it_finds_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Journal, "add_attempt", lambda *_: None)
    assert "broadcast before the journal's file held" in weather(WEATHERS.index("full")).failure
