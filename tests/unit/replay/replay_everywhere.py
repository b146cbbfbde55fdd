"""The slow way through a history: the rooms are asked at every single moment, whatever health is."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.replay import compare, market, paper, run
from keeper.replay.ours import Ours
from keeper.replay.vessel import Vessel
from tests.bench import replay_events

Told = tuple[float, str, float, float]
"""Time, what, dollars, health after."""


def everywhere(vessel: Vessel, ours: Ours, shop: market.Market) -> tuple[list[Told], int]:
    """First the liquidators, then photograph, assess and decide, at each moment; and how often they were asked."""
    events: list[Told] = []
    lands, asked = -1, 0
    for at in range(len(vessel.paths.bar)):
        vessel.at = at
        time_s = float(vessel.paths.times_s[vessel.paths.bar[at]])
        if vessel.health() < 1.0:
            for seized in market.liquidate(vessel, shop):
                events.append((time_s, "liquidated", seized.repaid, vessel.health()))
            lands = -1
            continue
        heard = ours.heard(vessel, shop)
        asked += 1
        if at == lands and (heard.chosen or heard.crossed):
            done = ours.carried(heard, vessel, shop) if heard.chosen else None
            ours.memory = heard.memory
            failed = done is None or bool(done.why)
            events.append(
                (time_s, "failed" if failed else "act", done.sold if done else 0.0, vessel.health())
            )
        else:
            # what is only decided is not yet an action: the cooldown begins where one lands
            before = ours.memory.of(paper.ID).last_action_block
            ours.memory = heard.memory.with_action(paper.ID, before)
        if at == lands:
            lands = -1
        elif lands < 0 and (heard.chosen or heard.crossed):
            lands = at + shop.delay(vessel.paths, at)
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
