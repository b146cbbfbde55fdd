"""Who stood nearest the line in the block before: read apart, and thought over while everybody else is being read.

See docs/decisions/triage.md. A guess only: nothing is decided by it that the whole block does not show to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np
import numpy.typing as npt

from keeper.daemon.triage import EVERY_HEALTH, FEW_MAX, chosen
from keeper.model import PositionId, Snapshot
from keeper.snapshot import Film

NEAREST = FEW_MAX
"""So many are read apart; where more fall at once everybody is judged together anyway."""
PAYS_ABOVE = 250
"""Positions from which it pays: below, everybody is in one request, and its answer is looked through at once."""
Thinks = Callable[[Snapshot], None]
"""Told of those in need as soon as they are seen, should the whole block show the same."""


def nothing(_: Snapshot) -> None:
    """Whom nobody follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """Accounts by venue id, in the venue's order, each with its line."""

    accounts: Mapping[str, tuple[str, ...]]
    lines: Mapping[str, npt.NDArray[np.uint64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """Those in need as the small reading showed them, and all that this was made of."""

    snapshot: Snapshot
    grain: tuple[object, ...]

    def shown(self, film: Film, few: Mapping[str, Sequence[int]]) -> Snapshot | None:
        """The snapshot of ``few``, where the film of everybody shows the same few and facts to the byte."""
        return self.snapshot if film.grain(few) == self.grain else None


class Ranks:
    """Positions by how far they stood above their line when everybody was seen last."""

    def __init__(self, lines_wad: Mapping[PositionId, int], homes: Mapping[PositionId, str]) -> None:
        """``homes``: each position's venue id. Both in the order of the configuration."""
        self._lines_wad = lines_wad
        self._homes = homes
        always = sum(line >= EVERY_HEALTH for line in lines_wad.values())
        self._pays = len(lines_wad) >= PAYS_ABOVE and always <= FEW_MAX
        """Not where so many always come first that everybody is judged together anyway."""
        self._ids: frozenset[PositionId] = frozenset()
        self.nearest: Nearest | None = None
        """None before anybody was seen, and where they are too few."""

    def see(self, snapshot: Snapshot) -> None:
        """Everybody at a block. Whoever is read apart stays until one of the nearer half is not among them."""
        if not self._pays:
            return
        lines = self._lines_wad
        above = [
            (p.health_wad / lines[p.id], k)
            for k, p in enumerate(snapshot.positions)
            if p.health_wad is not None and lines.get(p.id)
        ]
        order = [snapshot.positions[k].id for _, k in nsmallest(NEAREST, above)]
        if not self._ids.issuperset(order[: (NEAREST + 1) // 2]):
            self._ids = frozenset(order)
            self.nearest = self._of(self._ids)

    def _of(self, ids: frozenset[PositionId]) -> Nearest:
        homes = dict.fromkeys(self._homes.values())
        rows = {v: [id for id, home in self._homes.items() if home == v and id in ids] for v in homes}
        return Nearest(
            accounts={v: tuple([id.account for id in mine]) for v, mine in rows.items()},
            lines={v: np.array([self._lines_wad[id] for id in mine], np.uint64) for v, mine in rows.items()},
        )


async def glimpsed(film: Film, nearest: Nearest, think: Thinks) -> Glimpse | None:
    """Those in need among the nearest, thought over; None where nobody is, or it takes everybody to tell.

    Raises KeeperError where the film does not suffice.
    """
    low = film.low(nearest.lines)
    few = None if low is None or not any(low.values()) else chosen(film, low, frozenset())
    snapshot = None if few is None else await film.few(few)
    if few is None or snapshot is None:
        return None
    grain = film.grain(few)
    think(snapshot)
    return Glimpse(snapshot=snapshot, grain=grain)
