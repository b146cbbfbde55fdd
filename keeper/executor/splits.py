"""One sale over several pools: the least-cost split of convex price curves, and its parts for one size.

Each curve is taken as chords through quotes, which lie above a convex curve; so the split costs at most what is said
here, and never more than the best single way. Greedy over chords by slope is exact for sums of convex curves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from keeper.model import Leg, Route, Share
from keeper.units import mul_div_up

LEGS_MAX = 3
"""Each more costs 0.1M gas and calldata."""
WAYS_MAX = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chord:
    """A stretch of one way's curve."""

    way: int
    bought: int
    sold: int


def split(ways: Sequence[Route], router: str) -> Route | None:
    """The cheapest split over two or three ways of one pair, no pool twice; None where none beats every single way.

    ``ways``: of one Executor and one pair, none of them a split. The router must be allowed by the caller.
    """
    ways = sorted(ways, key=_cheapness)[:WAYS_MAX]
    best: Route | None = None
    for n in range(2, LEGS_MAX + 1):
        for some in combinations(ways, n):
            pools = [p for w in some for p in w.pools]
            if len(set(pools)) < len(pools):
                continue
            found = _merged(some, router)
            if (best is None or _better(found, best)) and _worthy(found, ways):
                best = found
    return best if best is not None and any(_beats(best, w) for w in ways) else None


def splits(routes: Iterable[Route], routers: Sequence[str], router: str) -> list[Route]:
    """A split for each pair that has one, where the router is among those allowed."""
    if not router or router.lower() not in {r.lower() for r in routers}:
        return []
    groups: dict[tuple[str, str, str], list[Route]] = {}
    for r in routes:
        if not (r.legs or r.calldata):
            groups.setdefault((r.executor, r.sell.address, r.buy.address), []).append(r)
    return [s for ways in groups.values() if len(ways) > 1 and (s := split(ways, router)) is not None]


def shares(found: Route, bought: int) -> tuple[Share, ...]:
    """What each way pays of ``bought``, along the chords of the split; together exactly that."""
    if not found.legs:
        return ()
    i = next((k for k, (b, _) in enumerate(found.points) if bought <= b), len(found.points) - 1)
    high = found.points[i][0]
    low = found.points[i - 1][0] if i else 0
    parts = []
    for leg in found.legs:
        below = leg.bought[i - 1] if i else 0
        parts.append(below + (bought - low) * (leg.bought[i] - below) // (high - low))
    # what rounding left goes to the way that carries most
    most = max(range(len(parts)), key=lambda k: parts[k])
    parts[most] += bought - sum(parts)
    return tuple(
        Share(fees=leg.fees, via=leg.via, bought=part)
        for leg, part in zip(found.legs, parts, strict=True)
        if part > 0
    )


def _merged(ways: Sequence[Route], router: str) -> Route:
    """Chords of all ways, the cheapest first."""
    chords = sorted(
        (c for i, w in enumerate(ways) for c in _chords(i, w)),
        key=lambda c: (c.sold * 10**18 // c.bought, c.way),
    )
    points: list[tuple[int, int]] = []
    parts: list[list[int]] = [[] for _ in ways]
    bought, sold, taken = 0, 0, [0] * len(ways)
    for chord in chords:
        bought, sold = bought + chord.bought, sold + chord.sold
        taken[chord.way] += chord.bought
        points.append((bought, sold))
        for column, units in zip(parts, taken, strict=True):
            column.append(units)
    first = ways[0]
    return Route(
        executor=first.executor,
        sell=first.sell,
        buy=first.buy,
        fees=(),
        via=(),
        pools=tuple(p for w in ways for p in w.pools),
        router=router,
        points=tuple(points),
        legs=tuple(
            Leg(fees=w.fees, via=w.via, pools=w.pools, bought=tuple(column))
            for w, column in zip(ways, parts, strict=True)
        ),
    )


def _chords(way: int, found: Route) -> list[_Chord]:
    """Stretches of one curve, none cheaper than the one before: rounding may make a quote look so."""
    chords: list[_Chord] = []
    below = (0, 0)
    for at in found.points:
        bought, sold = at[0] - below[0], at[1] - below[1]
        if chords:
            sold = max(sold, mul_div_up(chords[-1].sold, bought, chords[-1].bought))
        chords.append(_Chord(way=way, bought=bought, sold=sold))
        below = at
    return chords


def _cheapness(found: Route) -> tuple[int, int]:
    bought, sold = found.points[0]
    return sold * 10**18 // bought, len(found.pools)


def _better(one: Route, other: Route) -> bool:
    """Cheaper at the largest size that both reach; or it reaches further."""
    most = min(one.points[-1][0], other.points[-1][0])
    a, b = _sold_up(one, most), _sold_up(other, most)
    return (a, -one.points[-1][0]) < (b, -other.points[-1][0])


def _beats(found: Route, way: Route) -> bool:
    most = way.points[-1][0]
    return _sold_up(found, most) < way.points[-1][1]


def _worthy(found: Route, ways: Sequence[Route]) -> bool:
    """Nowhere dearer than any single way: between kinks both are straight."""
    for way in ways:
        most = min(way.points[-1][0], found.points[-1][0])
        kinks = {most} | {b for b, _ in (*way.points, *found.points) if b <= most}
        if any(_sold_up(found, b) > _sold_up(way, b) + len(found.legs) for b in kinks):
            return False
    return True


def _sold_up(found: Route, bought: int) -> int:
    below = (0, 0)
    for at in found.points:
        if bought <= at[0]:
            return below[1] + mul_div_up(bought - below[0], at[1] - below[1], at[0] - below[0])
        below = at
    return 2**255
