"""The owner's own stop on a venue, which the keeper leaves alone: said once where it lies, and again as it changes.

``stop_on_venue`` places none beside it, and in calm times nobody would learn of it: a refusal wakes nobody then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keeper.config import Settings
from keeper.daemon.carried import whys
from keeper.daemon.facts import Guarded
from keeper.daemon.followed import with_ours
from keeper.daemon.wiring import Finding, Site
from keeper.errors import Broken, ConfigError
from keeper.journal.read import Queries, Reader
from keeper.model import Perp, PerpOrder, PositionId, Snapshot
from keeper.model.perp import STOP_LOSS
from keeper.seams import Alarm, Severity, Venue
from keeper.units import BPS, WAD
from strategies.drawn import Need
from strategies.perp import Case
from strategies.stop_on_venue import DRIFT_BPS, stop_price

CODE = "owner_stop"
STRATEGY = "stop_on_venue"
KNOWN_MAX = 1_000
"""Words of orders in the diary, the newest, by which an order is known for ours."""
STAYS_BPS = 150
"""What was said to be in its place stays so up to here: the place moves with what the position owes, and a notice
that comes and goes at the edge tells nobody anything."""
IN_PLACE, EARLIER, LATER, BEYOND, FROZEN, NO_PLACE = (
    "in place",
    "earlier than the policy",
    "later than the policy",
    "beyond liquidation",
    "frozen",
    "no place to compare",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """A stop of the owner's own, and what it is against the policy."""

    where: str
    """Of the six above."""
    why: str
    """``where``, the order, its price and what it covers; behind the first semicolon how that lies to the policy."""

    @property
    def severity(self) -> Severity:
        """WARNING where it protects nothing; else the owner's choice, and no fault."""
        return Severity.WARNING if self.where in (BEYOND, FROZEN) else Severity.INFO


class OwnerStops:
    """What was said of the owners' stops of one chain."""

    def __init__(self, guarded: Sequence[Guarded], alarms: Alarm) -> None:
        self._guarded = tuple(g for g in guarded if STRATEGY in g.policy.strategies)
        self._alarms = alarms
        self._said = {subject: _head(why) for subject, why in whys(alarms, CODE).items()}
        """By position what was said and is said anew when it differs, across reloads too."""
        for subject in self._said.keys() - {str(g.id) for g in self._guarded}:
            alarms.clear(CODE, subject)  # a reload took the strategy out of its policy, or the position
            del self._said[subject]

    def tell(
        self, snapshot: Snapshot, venues: Mapping[str, Venue], unnamed: Collection[PositionId] = ()
    ) -> None:
        """Raise what is new, and end what is over; of a position that cannot be read nothing is said.

        ``unnamed``: positions with an order of ours whose key nobody knows yet: a stop there may be that one.
        """
        for guarded in self._guarded:
            venue = venues.get(guarded.venue_id)
            if venue is None or snapshot.position(guarded.id) is None or guarded.id in unnamed:
                continue
            subject = str(guarded.id)
            before = self._said.pop(subject, "")
            now = resting(guarded, snapshot, venue, before.partition(":")[0])
            if now is None or (before and before != _head(now.why)):
                self._alarms.clear(CODE, subject)
            if now is not None:
                self._said[subject] = _head(now.why)
                self._alarms.raise_alarm(now.severity, CODE, subject, now.why)


def resting(guarded: Guarded, snapshot: Snapshot, venue: Venue, before: str = "") -> Resting | None:
    """The owner's stop that keeps ``stop_on_venue`` from placing one, the first of them to fire; None where there is
    none, or one of ours. ``before``: where it was said to lie."""
    position = snapshot.position(guarded.id)
    perp = position.perp if position is not None else None
    if position is None or perp is None or STRATEGY not in guarded.policy.strategies:
        return None
    stops = [o for o in perp.orders if o.resting and o.kind == STOP_LOSS]
    if not stops or any(o.ours for o in stops):
        return None
    order = (max if perp.long else min)(stops, key=lambda o: o.trigger_price)
    need = Need(
        position=position, policy=guarded.policy, means=snapshot.means, venue=venue, block=snapshot.block
    )
    where, words = _where(Case(need=need, perp=perp, who=STRATEGY), order, before)
    more, whole = len(stops) - 1, order.size_usd >= perp.size_usd
    part = "" if whole else f", for {100 * order.size_usd // perp.size_usd} % of the size alone"
    rest = f" ({more} more of his rest there)" if more else ""
    why = (
        f"{where}: a stop that the journal does not name as the keeper's, order {order.key[:10]}, rests on the venue "
        f"at {_shown(order.trigger_price, perp)}{part}{rest}; {words}; {STRATEGY} leaves it alone and places none "
        "beside it: to have the keeper's own, cancel it on the venue's page"
    )
    return Resting(where=where, why=why)


def _head(why: str) -> str:
    """What is said anew when it differs: where the policy's own would lie moves with every block."""
    return why.partition(";")[0]


def _where(at: Case, order: PerpOrder, before: str) -> tuple[str, str]:
    """Where it lies against the place of the policy's own, and the words for it."""
    if order.frozen:
        return (
            FROZEN,
            "the venue has frozen it and does not execute it: nothing protects while the keeper is dead",
        )
    place = stop_price(at) if at.perp.stable else None
    line = _line(at) if at.perp.stable else None
    if place is None or line is None:
        return NO_PLACE, "at today's margin the policy has no fixed price for one"
    later = place - order.trigger_price if at.perp.long else order.trigger_price - place
    if (order.trigger_price - line) * (1 if at.perp.long else -1) <= 0:
        return (
            BEYOND,
            f"the position is liquidated at {_shown(line, at.perp)}, before it fires: it protects nothing",
        )
    health = f"{at.need.policy.emergency_wad / WAD:g}"
    belongs = f"{_shown(place, at.perp)}, where health is its emergency, {health}"
    off = f"{abs(later) / max(place, 1):.1%}"
    if abs(later) * BPS <= place * (STAYS_BPS if before == IN_PLACE else DRIFT_BPS):
        return IN_PLACE, f"the policy would place it at {belongs}"
    if later < 0:
        return EARLIER, f"it fires {off} before the price at which the policy would place it, {belongs}"
    return LATER, f"it fires {off} after the price at which the policy would place it, {belongs}"


def _line(at: Case) -> int | None:
    """The index price at which the position is liquidated, everything else as it is."""
    policy = replace(at.need.policy, emergency_wad=WAD)
    return stop_price(replace(at, need=replace(at.need, policy=policy)))


def _shown(price: int, perp: Perp) -> str:
    return f"{perp.index.symbol} {price * 10**perp.index.decimals / 10**30:,.2f}"


def known(journal: Queries) -> set[str]:
    """Keys of the orders that the journal names as ours."""
    told = journal.entries("order", limit=KNOWN_MAX, newest=True)
    return {order for e in told if (order := str(e.data.get("order") or ""))}


async def findings(site: Site, settings: Settings) -> list[Finding]:
    """What ``keeper check`` says of them. Raises Transient."""
    if not any(STRATEGY in g.policy.strategies for g in site.guarded):
        return []
    ours = _kept(settings.journal_path)
    if ours is None:
        return []  # a journal that cannot be read is a finding of its own
    snapshot = with_ours((await site.view()).snapshot, ours)
    found = []
    for guarded in site.guarded:
        now = resting(guarded, snapshot, site.venues[guarded.venue_id])
        if now is not None:
            found.append(Finding(severity=now.severity, code=CODE, subject=guarded.label, why=now.why))
    return found


def _kept(path: Path) -> Collection[str] | None:
    """Orders that are the keeper's by its journal; none where it has never run, None where it cannot be read."""
    if not path.exists():
        return ()
    try:
        with Reader.open(path) as journal:
            return known(journal)
    except (ConfigError, Broken):
        return None
