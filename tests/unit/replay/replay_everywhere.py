"""The slow way through a history: the rooms are asked at every single moment, whatever health is."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.replay import compare, market, paper, run, seizure
from keeper.replay.ours import Ours
from keeper.replay.policies import Act, Order
from keeper.replay.vessel import Vessel
from tests.bench import replay_events

Told = tuple[float, str, float, float]
"""Time, what, dollars, health after."""


def everywhere(vessel: Vessel, ours: Ours, shop: market.Market) -> tuple[list[Told], int]:
    """At each moment first the liquidators, then what is under way, then photograph, assess and decide; and how often
    they were asked."""
    events: list[Told] = []
    waits: tuple[int, Order] | None = None
    asked = 0
    for at in range(len(vessel.paths.bar)):
        vessel.at = at
        time_s = float(vessel.paths.times_s[vessel.paths.bar[at]])
        sunk = vessel.health() < 1.0
        for seized in seizure.liquidate(vessel, shop) if sunk else ():
            events.append((time_s, "liquidated", seized.repaid, vessel.health()))
        landed = waits is not None and waits[0] == at
        if waits is not None and landed:
            done = waits[1].land(vessel, shop)
            events.append((time_s, "failed" if done.why else "act", done.sold, vessel.health()))
            waits = None
        if sunk and not landed:
            continue
        asked += 1
        if waits is not None:
            # what is under way is no second action: the memory goes on, the cooldown is the first one's
            last = ours.memory.of(paper.ID).last_action_block
            ours.memory = ours.heard(vessel, shop).memory.with_action(paper.ID, last)
            continue
        found = ours.plan(vessel, shop)
        if not isinstance(found, Act):
            waits = at + shop.delay(vessel.paths, at), found
        elif not found.calm and vessel.health() < ours.line:
            events.append((time_s, "failed", 0.0, vessel.health()))
    return events, asked


def screened(vessel: Vessel, ours: Ours, shop: market.Market) -> list[Told]:
    """The replay's own way, in the same words."""
    return [(e.time_s, e.what, e.usd, e.health_after) for e in run.trip(vessel, ours, shop).events]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Real accounts both ways: so many, over so many moments each, asked so often, and who differed."""

    accounts: int
    moments: int
    asked: int
    apart: tuple[str, ...]


def real(event: replay_events.Event, count: int) -> Compared:
    """The first ``count`` real accounts, loops apart, to which something happens in ``event``."""
    crew, shop = replay_events.accounts(), market.Market()
    moved = replay_events.moved(event, crew)
    make = compare.makes(["ours"], None, crew.assets, shop)["ours"]
    usd = run.unit_usd(crew, moved, shop)
    accounts, asked, apart = 0, 0, list[str]()
    for account in replay_events.only(crew, loops=False).accounts:
        if accounts == count:
            break
        vessels = [Vessel(account, moved, usd) for _ in range(2)]
        fast, slow = (make(v) for v in vessels)
        assert isinstance(fast, Ours)
        assert isinstance(slow, Ours)
        found = screened(vessels[0], fast, shop)
        if found:
            told, times = everywhere(vessels[1], slow, shop)
            accounts, asked = accounts + 1, asked + times
            apart += [account.name] if told != found else []
    return Compared(accounts=accounts, moments=len(moved.bar), asked=asked, apart=tuple(apart))
