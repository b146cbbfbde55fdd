"""The replay: kernels find the next bar at which a line is crossed, keepers and liquidators act there, and on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from keeper.replay.fleet import Fleet
from keeper.replay.market import Market
from keeper.replay.paths import Paths, changes
from keeper.replay.policies import Act, Keeper
from keeper.replay.seizure import LEAST_BAD_USD, liquidate
from keeper.replay.vessel import Vessel
from keeper.risk import screen
from keeper.risk.book import Floats

ACTS_MAX = 10_000
LIQUIDATION = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to one account at a moment."""

    time_s: float
    what: str
    """``act``, ``failed`` or ``liquidated``."""
    health_before: float
    health_after: float
    usd: float
    """Of an act, what was sold or paid in; of a liquidation, the debt repaid."""
    cost_usd: float
    why: str = ""
    repaid_usd: float = 0.0
    pair: tuple[str, str] = ("", "")
    """What was sold, and the debt that was repaid."""
    bad_usd: float = 0.0
    """Of a liquidation: debt that no collateral was left for, and that the venue wrote off."""


Course = tuple[int, tuple[list[int], list[float], list[float]]]
"""From which moment on, and the account's weights by path from there."""


class Trip:
    """What became of one account under one keeper. USD: ``lost`` to liquidators, ``cost`` impact and fees of the
    keeper's own acts, ``gas`` beside it."""

    def __init__(self, name: str, keeper: str, start: float) -> None:
        self.name, self.keeper, self.start = name, keeper, start
        self.lowest = math.inf
        self.gap = 1.0
        """The largest further fall of the market in one update that it survived at its worst moment, from where an
        act decided at the start would have landed."""
        self.settled = 0
        self.end = self.equity_usd = math.nan
        self.lost_usd = self.cost_usd = self.gas_usd = 0.0
        self.events: list[Event] = []
        self.course: list[Course] = []
        self.way: Floats | None = None
        """Health at every moment, of what no course of weights tells: perpetual positions."""

    @property
    def acts(self) -> int:
        """How often the keeper acted."""
        return sum(e.what == "act" for e in self.events)

    @property
    def liquidations(self) -> int:
        """At how many moments liquidators acted."""
        return sum(e.what == "liquidated" for e in self.events)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voyage:
    """Every account under one keeper."""

    keeper: str
    trips: tuple[Trip, ...]
    usd: float = 1.0
    """Dollars of the fleet's unit at the start."""

    @property
    def liquidated(self) -> int:
        """How many accounts were liquidated at least once."""
        return sum(t.liquidations > 0 for t in self.trips)

    @property
    def lost_usd(self) -> float:
        """To liquidators."""
        return sum(t.lost_usd for t in self.trips)

    @property
    def bad_usd(self) -> float:
        """What venues wrote off."""
        return sum(e.bad_usd for t in self.trips for e in t.events)

    @property
    def cost_usd(self) -> float:
        """Of the keeper's own acts, gas included."""
        return sum(t.cost_usd + t.gas_usd for t in self.trips)


Make = Callable[[Vessel], Keeper]
"""A keeper for one account: some have a wallet of their own for each."""


class Book(Protocol):
    """Where trips are kept as they end, so that a run that was cut short goes on."""

    def known(self, name: str) -> Trip | None:
        """The account's trip, where it has already been made."""
        ...

    def noted(self, made: Trip) -> None:
        """A trip has ended."""
        ...


def voyage(fleet: Fleet, paths: Paths, make: Make, market: Market, book: Book | None = None) -> Voyage:
    """Every account of ``fleet`` along ``paths`` under the keepers that ``make`` gives."""
    usd, changed = unit_usd(fleet, paths, market), changes(paths)
    trips = []
    for account in fleet.accounts:
        found = book.known(account.name) if book is not None else None
        if found is None:
            vessel = Vessel(account, paths, usd, changed)
            found = trip(vessel, make(vessel), market)
            if book is not None:
                book.noted(found)
        trips.append(found)
    return Voyage(keeper=trips[0].keeper if trips else "", trips=tuple(trips), usd=usd)


def unit_usd(fleet: Fleet, paths: Paths, market: Market) -> float:
    """Dollars of the fleet's unit at the first close."""
    if fleet.unit == "USD":
        return 1.0
    names = ("WETH", "ETH", "stETH", "wstETH")
    return next((p for n in names if (p := paths.usd_of(n)) is not None), market.eth_usd)


def trip(vessel: Vessel, keeper: Keeper, market: Market) -> Trip:
    """One account under one keeper from the first moment to the last."""
    paths = vessel.paths
    moments = len(paths.bar)
    log = Trip(vessel.name, keeper.name, vessel.health())
    log.settled = market.delay(paths, 0) + 1
    log.course.append((0, vessel.weights()))
    at = 0
    while at < moments and len(log.events) < ACTS_MAX:
        line = max(keeper.line, LIQUIDATION)
        crossed = _first_below(vessel, at, line)
        _sail(vessel, at, min(crossed, moments - 1), log)
        if crossed >= moments:
            break
        at = (
            _met(vessel, keeper, market, log)
            if vessel.health() >= LIQUIDATION
            else _sunk(vessel, market, log)
        )
    vessel.at = moments - 1
    log.end, log.equity_usd = vessel.health(), vessel.equity_usd()
    return log


def _met(vessel: Vessel, keeper: Keeper, market: Market, log: Trip) -> int:
    """A keeper's line is crossed: what it orders now lands after the delay, whatever the liquidators did by then.
    The next moment to see: where it landed, or the one after where nothing was ordered."""
    paths, seen = vessel.paths, vessel.at
    found = keeper.plan(vessel, market)
    if isinstance(found, Act):
        _noted(log, vessel, vessel.health(), found)
        return seen + 1
    lands = seen + market.delay(paths, seen)
    last, at = min(lands, len(paths.bar) - 1), seen
    while (sinks := _first_below(vessel, at, LIQUIDATION)) <= last:
        _sail(vessel, vessel.at, sinks, log)
        at = _sunk(vessel, market, log)
    _sail(vessel, vessel.at, last, log)
    if last == lands:
        before = vessel.health()
        _noted(log, vessel, before, found.land(vessel, market))
    return lands


def _sunk(vessel: Vessel, market: Market, log: Trip) -> int:
    """The venue's line is crossed: liquidators act at once."""
    before = vessel.health()
    for seized in liquidate(vessel, market):
        log.lost_usd += seized.lost
        event = Event(
            time_s=_time(vessel),
            what="liquidated",
            health_before=before,
            health_after=vessel.health(),
            usd=seized.repaid,
            cost_usd=seized.lost,
            repaid_usd=seized.repaid,
            pair=seized.pair,
            bad_usd=seized.bad,
            why=f"bad debt: {seized.bearer} bear it" if seized.bad > LEAST_BAD_USD else "",
        )
        log.events.append(event)
    log.course.append((vessel.at, vessel.weights()))
    return vessel.at + 1


def _noted(log: Trip, vessel: Vessel, before: float, done: Act) -> None:
    if done.calm:
        return
    log.cost_usd += done.cost
    log.gas_usd += done.gas
    # the same refusal moment after moment is one event, unless it was paid for
    again = log.events and (log.events[-1].what, log.events[-1].why) == ("failed", done.why)
    if done.why and again and not done.gas:
        return
    log.events.append(
        Event(
            time_s=_time(vessel),
            what="failed" if done.why else "act",
            health_before=before,
            health_after=vessel.health(),
            usd=done.sold or done.paid_in,
            cost_usd=done.cost + done.gas,
            why=done.why,
            repaid_usd=done.repaid,
            pair=done.pair,
        )
    )
    if not done.why:
        log.course.append((vessel.at, vessel.weights()))


def _sail(vessel: Vessel, first: int, last: int, log: Trip) -> None:
    """On to moment ``last``, remembering the lowest health on the way."""
    if last > first:
        least = np.empty(1)
        begin, end = np.array([first], np.int64), np.array([last], np.int64)
        screen.lowest(vessel.book(), vessel.paths.said, begin, end, least)
        log.lowest = min(log.lowest, float(least[0]))
    begin_at = max(first, log.settled)
    if begin_at <= last:
        log.gap = min(log.gap, vessel.gap(begin_at, last))
    vessel.at = last
    log.lowest = min(log.lowest, vessel.health())


def _first_below(vessel: Vessel, at: int, line: float) -> int:
    """The first moment from ``at`` on with health below ``line``; the number of moments when there is none."""
    out = np.empty(1, np.int64)
    screen.first_below(vessel.book(), vessel.paths.said, np.array([at], np.int64), np.array([line]), out)
    return int(out[0])


def _time(vessel: Vessel) -> float:
    return float(vessel.paths.times_s[vessel.paths.bar[vessel.at]])
