"""Health over time: a point a tick, thinned with age, so that a thousand positions stay in few megabytes."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping

POINTS_MAX = 1_200
"""Of one position; 1,000 positions take 5 MB."""
AGE_S_MAX = 7 * 86_400.0


class History:
    """What was heard since the page started; older points stand for pairs, by the lower health of the two."""

    def __init__(self, points_max: int = POINTS_MAX) -> None:
        self._points_max = points_max
        self._times = array("d")
        self._healths: dict[str, array[float]] = {}

    def add(self, at_s: float, healths: Mapping[str, float | None]) -> None:
        """One tick; None is unknown, and a gap. A position that is not among them any more is forgotten."""
        for id in self._healths.keys() - healths.keys():
            del self._healths[id]
        for id, health in healths.items():
            row = self._healths.get(id)
            if row is None:
                row = self._healths[id] = array("f", [math.nan]) * len(self._times)
            row.append(math.nan if health is None else health)
        self._times.append(at_s)
        if len(self._times) > self._points_max:
            self._thin()

    def of(self, id: str) -> tuple[list[float], list[float | None]]:
        """(wall times, healths), oldest first; None is a gap."""
        row = self._healths.get(id)
        if row is None:
            return [], []
        return self._times.tolist(), [None if math.isnan(h) else h for h in row]

    def _thin(self) -> None:
        """Pairs of the older half become one point each, at the later time; what is too old goes."""
        half = len(self._times) // 4 * 2
        first = 0
        while first < half and self._times[first] < self._times[-1] - AGE_S_MAX:
            first += 2
        self._times = self._times[first + 1 : half : 2] + self._times[half:]
        for id, row in self._healths.items():
            pairs = zip(row[first:half:2], row[first + 1 : half : 2], strict=True)
            # unknown is never healthy: a gap in either is a gap
            self._healths[id] = (
                array("f", [math.nan if math.isnan(a + b) else min(a, b) for a, b in pairs]) + row[half:]
            )
