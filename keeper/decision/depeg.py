"""A stable that markets see below its peg while the venue's oracle still says one dollar: what to do, in order.

First debt in it is bought back: each token costs less than the dollar that it counts for. Then what is held of it is
sold, while the venue counts it as whole. Believed only where two sources say so, each fresh; one alone may be a
broken pool, or the other side of its pair that rose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeper.decision.smaller import PPM, ROOM_WAD, is_dollar
from keeper.model import Holding, Policy, Position, Quoted, Reduce
from keeper.units import UINT256_MAX, WAD, decimal_text, mul_div_down

NAME = "depeg_playbook"
SOURCES_LEAST = 2
FRESH_S = 120
"""A market's word is of a block seconds ago; an older one does not confirm anything."""
QUARTERS = (4, 3, 2, 1, 0)
"""How far towards max_health is tried, the farthest first."""
USEFUL_DIVISOR = 20
"""Above trigger a step lifts health by a twentieth at least: a stable stays off its peg for days, and gas is paid
each time."""


def off_peg(
    policy: Policy, position: Position, quoted: Sequence[Quoted], at_s: int
) -> Mapping[str, tuple[int, ...]]:
    """Feed -> what its sources say (wad, the highest last), of each dollar of the position that two fresh sources or
    more see ``depeg_ppm`` below one while the venue's oracle does not.
    """
    if not policy.depeg_ppm:
        return {}
    line = WAD - WAD * policy.depeg_ppm // PPM
    found: dict[str, tuple[int, ...]] = {}
    for h in (*position.collateral, *position.debt):
        said = {q.source: q.price_wad for q in quoted if q.feed == h.feed and 0 <= at_s - q.at_s <= FRESH_S}
        seen = tuple(sorted(said.values()))
        # every source must agree: one that still sees a dollar is a reason to wait
        whole = is_dollar(h, position) and h.price_base * WAD > line * 10**position.base_decimals
        if whole and len(seen) >= SOURCES_LEAST and seen[0] > 0 and seen[-1] <= line:
            found[h.feed] = seen
    return found


def reduces(policy: Policy, position: Position, quoted: Sequence[Quoted], at_s: int) -> tuple[Reduce, ...]:
    """The playbook's steps that the position can use, in their order; none while nothing is off its peg."""
    off = off_peg(policy, position, quoted, at_s)
    if not off or position.perp is not None or position.health_wad is None:
        return ()
    owed = [h for h in position.debt if h.feed in off]
    sound = [h for h in position.collateral if h.feed not in off and h.threshold_wad]
    falling = [h for h in position.collateral if h.feed in off and h.threshold_wad]
    others = [h for h in position.debt if h.feed not in off]
    targets = _targets(policy, position)
    steps = []
    if owed and sound and targets:
        # a bargain, not a danger: no farther than any rescue may go
        steps.append(_step(targets, (sound, owed), f"debt is cheaper to repay: {_told(owed, off)}"))
    if falling and others:
        why = f"sold while it counts as a dollar: {_told(falling, off)}"
        steps.append(_step((UINT256_MAX, *targets), (falling, others), why))
    elif falling:
        # both sides are of it, or nothing is owed: no step of the keeper makes that better
        steps.append(Reduce(by=NAME, targets=(), why=f"nothing to do about it: {_told(falling, off)}"))
    return tuple(steps)


def _step(targets: tuple[int, ...], sides: tuple[list[Holding], list[Holding]], why: str) -> Reduce:
    sell, repay = (tuple(h.amount.token.address for h in side) for side in sides)
    return Reduce(by=NAME, targets=targets, why=why, sell=sell, repay=repay)


def _targets(policy: Policy, position: Position) -> tuple[int, ...]:
    """As far towards max_health as can be, down to what is of use (below trigger: target); none above max_health."""
    health = position.health_wad
    if health is None or health == UINT256_MAX or not position.debt:
        return ()
    useful = health + max(policy.hysteresis_wad, health // USEFUL_DIVISOR)
    least = policy.target_wad if health < policy.trigger_wad else useful
    # a sale aims below what no rescue may pass: its quote may turn out better
    way = policy.max_health_wad - ROOM_WAD - least
    if way < 0:
        return ()
    return tuple(dict.fromkeys(least + mul_div_down(way, q, max(QUARTERS)) for q in QUARTERS))


def _told(held: Sequence[Holding], off: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(
        f"{h.amount.token.symbol} at {decimal_text(off[h.feed][-1], 18)[:6]} by {len(off[h.feed])} sources, "
        "the oracle says one dollar"
        for h in {h.feed: h for h in held}.values()
    )
