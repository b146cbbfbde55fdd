"""What a person is told of orders on a venue by which nothing is decided: of whose end nobody tells, his own stops.

A notice that breaks is logged, and neither a photograph nor an act waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeper.daemon.carried import subjects
from keeper.daemon.facts import Guarded
from keeper.daemon.followed import MINED, Followed, untold
from keeper.daemon.isolation import aside
from keeper.daemon.owner_stops import OwnerStops
from keeper.journal.read import Queries
from keeper.model import HEDGE, Snapshot
from keeper.seams import Alarm, Severity, Venue

UNTOLD = "order_untold"


class Notices:
    """What was said of the orders of one chain, or of one hedge; what stands of positions that a reload took away is
    ended at once."""

    def __init__(self, guarded: Sequence[Guarded], journal: Queries, alarms: Alarm) -> None:
        self._journal, self._alarms = journal, alarms
        mine = {str(g.id) for g in guarded}
        hedge = any(g.id.venue == HEDGE for g in guarded)
        # a hedge has an account, a journal and facts of its own beside its chain's
        standing = {
            s for s in subjects(alarms, UNTOLD) if s in mine or not (hedge or s.startswith(f"{HEDGE}:"))
        }
        self._doubted = standing & mine
        """Positions with an order of which nobody tells."""
        for subject in standing - mine:
            alarms.clear(UNTOLD, subject)
        self._stops = None if hedge else OwnerStops(guarded, alarms)

    def tell(self, snapshot: Snapshot, venues: Mapping[str, Venue], followed: Sequence[Followed]) -> None:
        """Raise what is new, and end what is over. Raises Broken."""
        aside(lambda: self._doubt(snapshot, followed))
        if (stops := self._stops) is not None:
            unnamed = [f.key.position for f in followed if not f.order]
            aside(lambda: stops.tell(snapshot, venues, unnamed))

    def _doubt(self, snapshot: Snapshot, followed: Sequence[Followed]) -> None:
        """Say of whose orders no endpoint tells, and end what is answered; they are asked after all the same."""
        found: dict[str, list[str]] = {}
        for one in followed:
            if not (why := untold(one, snapshot)):
                continue
            intent = self._journal.intent(one.key)
            # what a reorganisation took out again is watched, and alarmed, by those who follow transactions
            if intent is not None and intent.state in MINED:
                found.setdefault(str(one.key.position), []).append(why)
        for subject in self._doubted - found.keys():
            self._alarms.clear(UNTOLD, subject)
        for subject, whys in found.items():
            self._alarms.raise_alarm(Severity.WARNING, UNTOLD, subject, "; ".join(whys))
        self._doubted = set(found)
