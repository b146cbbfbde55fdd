"""Stricter lines that owners let count: each by itself, kept through failures and restarts, told where unread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keeper.clock import ManualClock
from keeper.config import VenueSettings
from keeper.daemon.chores import Chores
from keeper.daemon.lined import Lines, recalled, remembered
from keeper.daemon.wiring import Site
from keeper.errors import ConfigError, Transient
from keeper.journal.write import Journal
from keeper.notify.alarm import Alarms
from keeper.seams import LogFilter
from tests import build
from tests.loop_double import CHAIN

pytestmark = pytest.mark.unit
GOOD, BAD, LATER = ("0x" + c * 40 for c in "abc")
BLOCK = build.block()


class Market:
    """A venue whose owners authorised whomever the town says."""

    def __init__(self, town: Town, name: str, lines: Sequence[str]) -> None:
        self.id, self.town, self.counts = name, town, tuple(lines)

    def permission_logs(self, account: str) -> LogFilter:
        return LogFilter(target="0x" + "1" * 40, topics=(account,))

    def permitted(self, logs: Sequence[Any]) -> tuple[str, ...]:
        return tuple(w for w in self.town.allowed[self.id] if w not in self.counts)

    async def lines(self, who: Sequence[str], read: object) -> tuple[str, ...]:
        if self.id in self.town.away:
            raise Transient("away")
        self.town.asked.append(len(who))
        return tuple(who)


class Town:
    """Endpoints and camera of two markets, m and n."""

    def __init__(self) -> None:
        self.allowed: dict[str, tuple[str, ...]] = {"m": (), "n": ()}
        self.away: set[str] = set()
        self.unsearched = False
        self.asked: list[int] = []

    async def request(self, method: str, *_: object, **__: object) -> object:
        if self.unsearched:
            raise Transient("range too wide")
        return []

    def reader(self, block: object) -> None:
        return None

    async def load(self, settings: VenueSettings, block: object) -> Market:
        if BAD in settings.pre_liquidations:
            raise ConfigError(("it has no oracle",))
        return Market(self, settings.name, settings.pre_liquidations)

    def site(self) -> Site:
        names = ("m", "n")
        guarded = [
            SimpleNamespace(venue_id=n, id=build.position_id(), policy=build.policy(), label=n) for n in names
        ]
        return Site(
            chain=CHAIN,
            endpoints=cast(Any, self),
            block=BLOCK,
            venues=cast(Any, {n: Market(self, n, ()) for n in names}),
            settings={
                n: VenueSettings(name=n, kind="k", chain="local", provider="0x" + "2" * 40) for n in names
            },
            camera=cast(Any, self),
            guarded=cast(Any, tuple(guarded)),
        )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "j.sqlite", ManualClock(1.0)) as made:
        yield made


@pytest.fixture
def alarms(journal: Journal) -> Alarms:
    return Alarms(journal.record, ManualClock(1.0), 1, lambda _: None)


@pytest.fixture
def look(journal: Journal, alarms: Alarms) -> Callable[[Town], tuple[Lines, dict[str, Any]]]:
    def made(town: Town) -> tuple[Lines, dict[str, Any]]:
        here = town.site()
        return Lines(here, journal, alarms), dict(here.venues)

    return made


def test_look__when_one_line_cannot_count__then_it_takes_nothing_from_the_others(
    look: Callable[[Town], tuple[Lines, dict[str, Any]]],
) -> None:
    town = Town()
    town.allowed["m"] = (GOOD, BAD, LATER)
    lines, venues = look(town)
    asyncio.run(lines.look(venues, BLOCK))
    assert venues["m"].counts == lines.named["m"].pre_liquidations == (GOOD, LATER)
    assert venues["n"].counts == ()


def test_look__when_the_next_market_does_not_answer__then_what_was_found_stays_for_good(
    look: Callable[[Town], tuple[Lines, dict[str, Any]]],
) -> None:
    town = Town()
    town.allowed, town.away = {"m": (GOOD,), "n": (GOOD,)}, {"n"}
    lines, venues = look(town)
    with pytest.raises(Transient, match="away"):
        asyncio.run(lines.look(venues, BLOCK))
    assert venues["m"].counts == lines.named["m"].pre_liquidations == (GOOD,)
    town.allowed["m"], town.away = (GOOD, LATER), set()
    asyncio.run(lines.look(venues, BLOCK))
    assert venues["m"].counts == (GOOD, LATER)


def test_look__when_an_owner_authorised_hundreds__then_each_of_them_is_asked(
    look: Callable[[Town], tuple[Lines, dict[str, Any]]],
) -> None:
    town = Town()
    many = tuple(f"0x{k:040x}" for k in range(1, 151))
    town.allowed["m"] = many
    lines, venues = look(town)
    asyncio.run(lines.look(venues, BLOCK))
    assert venues["m"].counts == many
    assert max(town.asked) < len(many)


def test_look__when_logs_are_not_searched__then_it_is_told_until_they_are(
    look: Callable[[Town], tuple[Lines, dict[str, Any]]], alarms: Alarms
) -> None:
    town = Town()
    town.unsearched = True
    lines, venues = look(town)
    asyncio.run(lines.look(venues, BLOCK))
    assert [(a.code, a.subject) for a in alarms.standing] == [
        ("permissions_unread", "m"),
        ("permissions_unread", "n"),
    ]
    assert "range too wide" in alarms.standing[0].why
    town.unsearched = False
    asyncio.run(lines.look(venues, BLOCK))
    assert alarms.standing == ()


def test_restart__when_a_line_was_found_before__then_it_counts_without_a_search_unless_it_cannot(
    look: Callable[[Town], tuple[Lines, dict[str, Any]]], journal: Journal
) -> None:
    town = Town()
    town.allowed["m"] = (GOOD,)
    lines, venues = look(town)
    asyncio.run(lines.look(venues, BLOCK))
    later = Town()
    later.unsearched = True
    here = asyncio.run(recalled(later.site(), journal))
    assert cast(Market, here.venues["m"]).counts == here.settings["m"].pre_liquidations == (GOOD,)
    assert cast(Market, here.venues["n"]).counts == ()
    # what the configuration names by now, in whatever case, is no longer remembered for it
    named = {
        "m": VenueSettings(name="m", kind="k", chain="c", provider="p", pre_liquidations=(GOOD.upper(),))
    }
    assert remembered(journal, named) == {}
    journal.set_control("lines:m", f'["{BAD}"]', "keeper", "it was one once")
    here = asyncio.run(recalled(later.site(), journal))
    assert cast(Market, here.venues["m"]).counts == ()


def test_discover__looks_for_lines_first__and_at_the_rest_even_where_that_fails(
    journal: Journal, alarms: Alarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Town()
    town.allowed, town.away = {"m": (GOOD,), "n": (GOOD,)}, {"n"}
    here = town.site()
    loop = cast(Any, SimpleNamespace(last=SimpleNamespace(block=BLOCK), venues=dict(here.venues)))
    chores = Chores(cast(Any, SimpleNamespace()), here, journal, alarms)
    looked: list[object] = []

    async def look(tick: object, venues: object) -> None:
        looked.append(tick)

    monkeypatch.setattr(chores._discovery, "look", look)
    with pytest.raises(Transient, match="away"):
        asyncio.run(chores.do("discover", loop, None))
    assert loop.venues["m"].counts == (GOOD,)
    assert looked == [loop.last]
