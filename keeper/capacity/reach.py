"""The best health that a case's ways and limits allow, and the limit that stands in the way.

Below emergency everything that helps is taken, one action after the other. Above it the keeper's own money may be
used in part, but the owner's collateral is sold only where that reaches the goal (docs/decisions/triggers.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

from keeper.capacity.records import Case, Kind, Reach, Unit, Way
from keeper.executor import quotes
from keeper.phrases import health_text
from keeper.sizing import (
    debt_base_up,
    health_down,
    units_down,
    value_base_down,
    value_base_up,
    weighted_base_wad,
)
from keeper.triggers import crossed, emergency, useful_gain_wad
from keeper.units import BPS, UINT256_MAX, WAD, mul_div_down, mul_div_up

WAYS_MAX = 7
"""Of more ways than that the first in order are looked at, and the others named: they may be the better ones."""
NARROW_BPS = 10
"""What a sale above emergency leaves for the price to worsen."""
PPM = 1_000_000


@dataclass(slots=True, kw_only=True)
class _State:
    """The position while one way after the other is taken."""

    weighted: int
    owed: int
    left: dict[tuple[bool, str], int]
    """(is debt, token address) -> units still there."""
    used: dict[str, int] = field(default_factory=dict)

    @property
    def health_wad(self) -> int:
        return health_down(self.weighted, self.owed) if self.owed > 0 else UINT256_MAX


def reach(case: Case) -> Reach:
    """What the case allows, with the binding limit named where that is less than needed."""
    before = case.position.health_wad or 0
    needed = crossed(before, case.policy) and bool(case.position.debt)
    goal = case.policy.target_wad if needed else 0
    if not needed:
        return Reach(
            id=case.position.id, stress="", before_wad=before, needs_wad=0, reached_wad=before, ways=()
        )
    reached, ways = _best(case, frozenset())
    shown = min(reached, goal)
    if shown >= goal:
        return Reach(
            id=case.position.id, stress="", before_wad=before, needs_wad=goal, reached_wad=goal, ways=ways
        )
    keys = binding_keys(case, reached)
    codes = tuple(dict.fromkeys(case.limits[k].code for k in keys)) or ("position",)
    return Reach(
        id=case.position.id,
        stress="",
        before_wad=before,
        needs_wad=goal,
        reached_wad=shown,
        ways=ways,
        binding=codes if keys or not case.barred else (case.barred[0].code,),
        why=_why(case, keys, goal),
    )


def relaxed(case: Case, keys: frozenset[str]) -> int:
    """Health that is reached where these limits do not hold."""
    return _best(case, keys)[0]


def _why(case: Case, keys: tuple[str, ...], goal: int) -> str:
    barred = "; ".join(dict.fromkeys(f"{r.code}: {r.why}" for r in case.barred))
    over = ", ".join(w.name for w in _ordered(case)[WAYS_MAX:])
    left = f"; not looked at, more ways than {WAYS_MAX}: {over}" if over else ""
    if not keys:
        none = f"nothing that is there brings it to {health_text(goal)}"
        return f"{none}; {barred}{left}" if barred else f"{none}{left}"
    told = " and ".join(f"{case.limits[k].code}: {case.limits[k].text}" for k in keys)
    return f"{told}; besides, {barred}{left}" if barred else f"{told}{left}"


def binding_keys(case: Case, reached: int) -> tuple[str, ...]:
    """The one limit whose absence raises health most, else a least set whose absence does; empty where none does."""
    drawn = {k for way in case.ways for k in way.draws}
    keys = [k for k in case.limits if k in drawn]
    best = max(((relaxed(case, frozenset([k])), k) for k in keys), default=(0, ""), key=lambda f: f[0])
    if best[0] > reached:
        return (best[1],)
    together = set(keys)
    if not keys or relaxed(case, frozenset(together)) <= reached:
        return ()
    for key in reversed(keys):
        if relaxed(case, frozenset(together - {key})) > reached:
            together.discard(key)
    return tuple(k for k in keys if k in together)


def _best(case: Case, free: frozenset[str]) -> tuple[int, tuple[str, ...]]:
    """(highest health, the ways taken for it) over every set of ways, each in its order, up to the first that reaches
    the target."""
    before = case.position.health_wad or 0
    best: tuple[int, tuple[str, ...]] = (before, ())
    for some in _sets(case):
        health = _taken(case, some, free)
        if health > best[0]:
            best = health, tuple(w.name for w in some)
        if best[0] >= case.policy.target_wad:
            break
    return best


def _sets(case: Case) -> Iterator[tuple[Way, ...]]:
    """Small sets first, so that what one action does is not told as two; each ordered by kind."""
    ways = _ordered(case)[:WAYS_MAX]
    for n in range(1, len(ways) + 1):
        yield from combinations(ways, n)


def _ordered(case: Case) -> list[Way]:
    return sorted(case.ways, key=lambda w: (w.kind, -w.held.value_base, w.name))


def _taken(case: Case, some: tuple[Way, ...], free: frozenset[str]) -> int:
    """Health after the ways, 0 where one of them may not be taken."""
    position = case.position
    state = _State(
        weighted=weighted_base_wad(position),
        owed=debt_base_up(position),
        left={(False, h.amount.token.address): h.amount.units for h in position.collateral}
        | {(True, h.amount.token.address): h.amount.units for h in position.debt},
    )
    urgent = emergency(position.health_wad, case.policy)
    partial = list[int]()
    for way in some:
        if not _affordable(case, way, state, free):
            return 0
        before = state.health_wad
        _do(case, way, state, free, urgent)
        gain = state.health_wad - before
        if gain < useful_gain_wad(before, case.policy):
            partial.append(gain)
    reached = state.health_wad
    sells = any(way.kind is Kind.SELL for way in some)
    if sells and (reached < WAD or (not urgent and reached < case.sale_goal_wad)):
        return 0
    # what is too little to be of use is only taken where it completes the rescue
    return 0 if partial and reached < case.policy.target_wad else reached


def _affordable(case: Case, way: Way, state: _State, free: frozenset[str]) -> bool:
    """Whether the gas of one more action is there, and may be spent on it."""
    for key in way.draws:
        limit = case.limits[key]
        if limit.unit is not Unit.WEI or key in free:
            continue
        spent = way.gas_wei + (0 if limit.each else state.used.get(key, 0))
        if spent > limit.left:
            return False
        state.used[key] = spent
    return True


def _do(case: Case, way: Way, state: _State, free: frozenset[str], urgent: bool) -> None:
    token = way.held.amount.token
    most = _most(case, way, state, free)
    if way.kind is Kind.SELL:
        _sell(case, way, state, free, _padded(case, most, urgent))
        return
    if way.kind is Kind.REPAY:
        units = min(most, state.left[True, token.address])
        state.left[True, token.address] -= units
        whole = not state.left[True, token.address]
        value = value_base_down(units, way.held.price_base, token.decimals)
        state.owed -= way.held.value_base if whole and units == way.held.amount.units else value
    else:
        units = min(most, _wanted(case, way, state))
        state.weighted += value_base_down(units, way.held.price_base, token.decimals) * way.held.threshold_wad
    _draw(case, way, state, units, 0)


def _wanted(case: Case, way: Way, state: _State) -> int:
    """Collateral that reaches the target with room to spare; more would only empty what others need."""
    goal = 2 * case.policy.target_wad
    lacking = max(0, goal * state.owed - state.weighted) // max(1, way.held.threshold_wad)
    return units_down(lacking, way.held.price_base, way.held.amount.token.decimals) + 1


def _most(case: Case, way: Way, state: _State, free: frozenset[str]) -> int:
    """Units of the way's token that its limits leave."""
    token, most = way.held.amount.token, 2**200
    for key in way.draws:
        limit = case.limits[key]
        if key in free or limit.unit in (Unit.WEI, Unit.BOUGHT):
            continue
        left = max(0, limit.left - (0 if limit.each else state.used.get(key, 0)))
        if limit.unit is Unit.BASE:
            left = units_down(left, way.held.price_base, token.decimals)
        most = min(most, left)
    return most


def _padded(case: Case, most: int, urgent: bool) -> int:
    return mul_div_down(most, BPS, BPS + (max(case.slippage_bps, NARROW_BPS) if urgent else NARROW_BPS))


def _sell(case: Case, way: Way, state: _State, free: frozenset[str], most: int) -> None:
    """As much as lifts health, up to ``most``: more of a worsening price may lower it again."""
    assert way.debt is not None  # a sale repays something
    assert way.route is not None
    token, debt = way.held.amount.token, way.debt.amount.token
    most = min(most, state.left[False, token.address])
    key = next((k for k in way.draws if case.limits[k].unit is Unit.BOUGHT), None)
    lent = case.limits[key].left if key is not None and key not in free else UINT256_MAX
    deep = not any(k in free for k in way.draws if case.limits[k].code == "depth")
    best = (state.health_wad, 0, 0)
    owed = min(state.left[True, debt.address], lent)
    for sold in _sizes(way, most, owed, deep):
        repaid = min(_repaid(way, sold, deep), owed)
        found = _with_sale(way, state, sold, repaid)
        if found < best[0]:
            break
        best = max(best, (found, sold, repaid))
    _, sold, repaid = best
    gone = value_base_up(sold, way.held.price_base, token.decimals)
    state.weighted -= gone * way.held.threshold_wad
    state.left[False, token.address] -= sold
    left = state.left[True, debt.address] = state.left[True, debt.address] - repaid
    paid = value_base_down(repaid, way.debt.price_base, debt.decimals)
    state.owed -= way.debt.value_base if not left and repaid == way.debt.amount.units else paid
    _draw(case, way, state, sold, repaid)


def _with_sale(way: Way, state: _State, sold: int, repaid: int) -> int:
    assert way.debt is not None  # asked before
    gone = value_base_up(sold, way.held.price_base, way.held.amount.token.decimals)
    paid = value_base_down(repaid, way.debt.price_base, way.debt.amount.token.decimals)
    owed = state.owed - paid
    weighted = state.weighted - gone * way.held.threshold_wad
    return UINT256_MAX if owed <= 0 <= weighted else health_down(max(0, weighted), owed) if owed > 0 else 0


def _sizes(way: Way, most: int, owed: int, deep: bool) -> list[int]:
    """Kinks of the curve up to ``most``, what repays all that may be repaid, and ``most`` itself: between them health
    is quasi-concave.
    """
    assert way.route is not None
    whole = _sold_up(way, mul_div_up(owed, PPM + way.fee_ppm, PPM), deep)
    ends = [most] if whole is None else [min(most, whole)]
    kinks = [sold for _, sold in way.route.points] if deep else []
    return sorted({s for s in (*kinks, *ends) if 0 < s <= min(most, ends[0])})


def _repaid(way: Way, sold: int, deep: bool) -> int:
    """Debt units that are repaid with what is sold, the loan's fee paid."""
    return mul_div_down(_bought(way, sold, deep), PPM, PPM + way.fee_ppm)


def _bought(way: Way, sold: int, deep: bool) -> int:
    assert way.route is not None
    if deep:
        return quotes.bought_down(way.route, sold)
    best, at = way.route.points[0]
    return sold * best // at


def _sold_up(way: Way, bought: int, deep: bool) -> int | None:
    assert way.route is not None
    if deep:
        return quotes.sold_up(way.route, bought)
    best, at = way.route.points[0]
    return mul_div_up(bought, at, best)


def _draw(case: Case, way: Way, state: _State, units: int, bought: int) -> None:
    """What was taken is gone for the next."""
    base = value_base_up(units, way.held.price_base, way.held.amount.token.decimals)
    amounts = {Unit.TOKEN: units, Unit.BOUGHT: bought, Unit.BASE: base}
    for key in way.draws:
        limit = case.limits[key]
        if limit.unit in amounts and not limit.each:
            state.used[key] = state.used.get(key, 0) + amounts[limit.unit]
