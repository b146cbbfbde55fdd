"""The owner's own stop on GMX: said once where it lies against the policy, by alarm and by ``keeper check``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from keeper.clock import ManualClock
from keeper.daemon.facts import Guarded
from keeper.daemon.owner_stops import CODE, OwnerStops, findings
from keeper.journal.write import Journal
from keeper.model import Entry, Perp, PerpOrder, Policy, Snapshot
from keeper.notify.alarm import Alarms
from keeper.seams import Severity
from keeper.venues.gmx_v2 import GmxV2
from strategies.stop_on_venue import StopOnVenue
from tests import perps
from tests.perps import POLICY, order, perp, position, slot

pytestmark = pytest.mark.unit

STOPPED = replace(POLICY, strategies=("add_margin", "reduce_perp", StopOnVenue.name))
PLACE, SHOWN = {True: 1_851, False: 2_146}, {True: "WETH 1,851.42", False: "WETH 2,145.88"}
"""Where the policy's emergency, 1.02, lies; it is liquidated at 1,811.20 and at 2,188.80."""


def own(price: int, long: bool = True, **change: object) -> PerpOrder:
    return replace(order(9, resting=True), trigger_price=price * 10**12, **change)  # type: ignore[arg-type]


@dataclass
class Watch:
    """One guarded slot of GMX, photographed again and again."""

    journal: Journal
    alarms: Alarms
    policy: Policy = STOPPED
    long: bool = True
    stops: OwnerStops = field(init=False)

    def __post_init__(self) -> None:
        self.stops = OwnerStops([self.guarded], self.alarms)

    @property
    def guarded(self) -> Guarded:
        venue, id = GmxV2(slot(self.long)), position(perp(2_000, self.long)).id
        return Guarded(label="mine", policy=self.policy, venue_id=venue.id, id=id)

    def shot(self, now: Perp, *orders: PerpOrder) -> Snapshot:
        return perps.world(replace(now, orders=orders))[0]

    def block(self, *orders: PerpOrder, margin: int = 2_000) -> list[str]:
        """What was said in a block that shows these orders: severities."""
        before = len(self.journal.entries("alarm"))
        venue = GmxV2(slot(self.long))
        self.stops.tell(self.shot(perp(2_000, self.long, margin), *orders), {venue.id: venue})
        return [str(e.data["severity"]) for e in self.journal.entries("alarm")[before:]]

    def check(self, *orders: PerpOrder) -> list[tuple[Severity, str, str, str]]:
        """What ``keeper check`` says of these orders."""
        shot = self.shot(perp(2_000, self.long), *orders)

        async def view() -> SimpleNamespace:
            return SimpleNamespace(snapshot=shot)

        venue = GmxV2(slot(self.long))
        site = SimpleNamespace(guarded=(self.guarded,), venues={venue.id: venue}, view=view)
        settings = SimpleNamespace(journal_path=self.journal.path)
        found = asyncio.run(findings(site, settings))  # type: ignore[arg-type]
        return [(f.severity, f.code, f.subject, f.why) for f in found]

    @property
    def why(self) -> str:
        (told,) = self.alarms.standing
        assert told.code == CODE
        return told.why


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    clock = ManualClock(1_000_000.0)
    with Journal.open(tmp_path / "journal.sqlite", clock) as journal:
        yield Watch(journal=journal, alarms=Alarms(journal.record, clock, 1))


@pytest.mark.parametrize("long", [True, False])
@pytest.mark.parametrize(
    ("off", "where", "severity"),
    [
        (0, "in place", "INFO"),
        (30, "earlier than the policy", "INFO"),
        (-25, "later than the policy", "INFO"),
        (-60, "beyond liquidation", "WARNING"),
    ],
)
def test_owners_stop__when_it_rests__then_its_price_and_its_place_are_said_once(
    watch: Watch, long: bool, off: int, where: str, severity: str
) -> None:
    watch = Watch(journal=watch.journal, alarms=watch.alarms, long=long)
    price = PLACE[long] + (off if long else -off)
    assert watch.block(own(price)) == [severity]
    assert watch.block(own(price)) == []
    assert watch.why.startswith(f"{where}: ")
    assert f"WETH {price:,}.00" in watch.why
    assert ("cancel it" in watch.why, order(0).key[:10] in watch.why) == (True, True)
    if where in ("in place", "earlier than the policy", "later than the policy"):
        assert SHOWN[long] in watch.why
    assert [(s, c, label) for s, c, label, _ in watch.check(own(price))] == [
        (Severity(severity), CODE, "mine")
    ]


def test_owners_stop__when_it_is_moved_or_cut_or_gone__then_that_is_said(watch: Watch) -> None:
    assert watch.block(own(1_853)) == ["INFO"]
    assert watch.block(own(1_854)) == ["CLEARED", "INFO"], "he moved it"
    assert watch.block(own(1_854, size_usd=10_000 * perps.USD)) == ["CLEARED", "INFO"]
    assert "50 % of the size alone" in watch.why
    assert watch.block(own(1_854, frozen=True)) == ["CLEARED", "WARNING"]
    assert watch.block() == ["CLEARED"]
    assert watch.block() == []


def test_owners_stop__when_it_is_moved_while_the_daemon_reloads__then_that_is_said(watch: Watch) -> None:
    assert watch.block(own(1_866)) == ["INFO"]
    again = Watch(journal=watch.journal, alarms=watch.alarms)
    assert again.block(own(1_866), margin=2_090) == [], "what stays is not said again, at the edge neither"
    again = Watch(journal=watch.journal, alarms=watch.alarms)
    assert again.block(own(1_854)) == ["CLEARED", "INFO"]
    again = Watch(journal=watch.journal, alarms=watch.alarms)
    assert again.block() == ["CLEARED"]


def test_owners_stop__when_its_place_wanders_about_the_edge__then_it_is_not_said_again_and_again(
    watch: Watch,
) -> None:
    """Ten dollars of margin move the place by one: from 0.8 % off to 1.3 %, and to 2.4 %."""
    assert watch.block(own(1_866)) == ["INFO"]
    assert watch.block(own(1_866), margin=2_090) == []
    assert watch.why.startswith("in place: ")
    assert watch.block(own(1_866), margin=2_300) == ["CLEARED", "INFO"]
    assert watch.why.startswith("earlier than the policy: ")


@pytest.mark.parametrize("kept", ["other", "unnamed", "ours", "unread"])
def test_owners_stop__when_it_may_be_ours_or_nobody_asked__then_nothing_is_said(
    watch: Watch, kept: str
) -> None:
    venue, shot = GmxV2(slot()), watch.shot(perp(2_000), own(1_853, ours=kept == "ours"))
    if kept == "other":
        watch = Watch(journal=watch.journal, alarms=watch.alarms, policy=POLICY)
    if kept == "unread":
        shot = replace(shot, positions=())
    unnamed = [watch.guarded.id] if kept == "unnamed" else []
    watch.stops.tell(shot, {venue.id: venue}, unnamed)
    assert watch.alarms.standing == ()


def test_owners_stop__when_the_margin_is_no_dollar__then_that_there_is_no_place_to_compare(
    watch: Watch,
) -> None:
    venue = GmxV2(slot())
    shot = watch.shot(replace(perp(2_000), stable=False), own(1_853))
    watch.stops.tell(shot, {venue.id: venue})
    assert watch.why.startswith("no place to compare: ")


def test_check__when_the_journal_names_the_stop_as_ours__then_it_is_no_finding(watch: Watch) -> None:
    data: dict[str, object] = {"state": "PENDING", "order": order(0).key}
    told = Entry(kind="order", chain_id=1, block_number=1, subject="x#1", why="placed", data=data)
    watch.journal.record(told)
    assert watch.check(own(1_853)) == []
    assert [c for _, c, _, _ in watch.check(own(1_853, key="0x" + "ef" * 32))] == [CODE]
