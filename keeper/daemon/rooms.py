"""The pure rooms of one chain, asked over one snapshot: risk, decision, plan; in their turn, or ahead of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from keeper.daemon.building import Bench, Built, built
from keeper.daemon.foresight import Asks, Foresight, plainly
from keeper.daemon.isolation import alone
from keeper.daemon.judging import World, decided, outlooks_of
from keeper.daemon.pairs import Pairs
from keeper.daemon.parts import Parts
from keeper.daemon.urgency import Healths
from keeper.daemon.watching import Watching
from keeper.decision import Memory, Options
from keeper.model import Decision, Outlook, Policy, PositionId, Refusal, Shock, Snapshot
from keeper.oracle.ahead import Next, raised
from keeper.risk.shocks import for_feeds
from keeper.seams import Venue

Policies = Mapping[PositionId, Policy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Few:
    """Those who come first, and what is decided on beside them."""

    snapshot: Snapshot
    policies: Policies
    """Everybody's, as they stand at the snapshot."""
    foreseen: tuple[Next, ...]
    options: Options
    memory: Memory


class Rooms:
    """What the rooms are asked with, and what they said ahead."""

    def __init__(self, parts: Parts, pairs: Pairs, venue_of: Callable[[PositionId], Venue]) -> None:
        self.foresight = Foresight()
        self.healths = Healths()
        self._parts = parts
        self._pairs = pairs
        self._venue_of = venue_of
        self._shocked: tuple[dict[str, str], tuple[Shock, ...]] = ({}, ())
        """The shocks as they move the feeds of those symbols: the same in every block."""

    def outlooks(
        self,
        snapshot: Snapshot,
        policies: Policies,
        foreseen: tuple[Next, ...],
        watching: Watching | None,
        ask: Asks | None = None,
    ) -> tuple[Outlook, ...]:
        """Outlooks, raised by what the feeds will say next; with ``watching`` what it certified is not judged anew,
        and what was said ahead of those who come first is not asked for.
        """
        shocks = self._shocks(snapshot)
        if watching is not None:
            found = outlooks_of(snapshot, shocks, policies, watching)
        else:
            found = (ask or self.foresight.now)("risk", outlooks_of, snapshot, shocks, policies)
        higher, _ = alone(partial(raised, found, snapshot, policies, foreseen))
        return higher or found

    def decided(
        self, world: World, memory: Memory, *, few: bool
    ) -> tuple[tuple[Decision, ...], Memory, tuple[tuple[PositionId, Refusal], ...]]:
        """``judging.decided``."""
        return (self.foresight.now if few else plainly)("decision", decided, world, memory)

    def built(
        self,
        decisions: Sequence[Decision],
        snapshot: Snapshot,
        policies: Policies,
        options: Options,
        ask: Asks | None = None,
    ) -> Built:
        """``building.built``."""
        bench = Bench(
            parts=self._parts,
            policies=policies,
            venue_of=self._venue_of,
            healths=self.healths,
            pairs=self._pairs,
            ask=ask or self.foresight.now,
        )
        return built(bench, decisions, snapshot, options)

    def think(self, few: Few) -> None:
        """Ask every room about those who may come first, ahead of their turn; nothing else comes of it."""
        alone(partial(self._think, few))

    def _think(self, few: Few) -> None:
        ask, snapshot = self.foresight.ahead, few.snapshot
        outlooks = self.outlooks(snapshot, few.policies, few.foreseen, None, ask)
        theirs = {o.id: few.policies[o.id] for o in outlooks}
        world = World(snapshot=snapshot, outlooks=outlooks, policies=theirs, options=few.options)
        decisions, _, _ = ask("decision", decided, world, few.memory)
        self.built(decisions, snapshot, few.policies, few.options, ask)

    def _shocks(self, snapshot: Snapshot) -> tuple[Shock, ...]:
        symbols = {r.feed: r.token.symbol for r in snapshot.means.reserves}
        if symbols != self._shocked[0]:
            self._shocked = symbols, tuple(for_feeds(shock, symbols) for shock in self._parts.shocks)
        return self._shocked[1]
