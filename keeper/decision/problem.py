"""The rescue of an owner's positions as numbers: what each position lacks, what each action would do and cost.

USD and float64 throughout; the first scenario is the base case. Effects are linear in the amount moved, in every
scenario: prices enter as factors on weighted collateral and debt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

SLACK = 1e-7
"""Relative room that the solver's own tolerance takes of a floor; closed when the amounts are rounded to units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One position: what its health is made of, by scenario (the base case first), in USD."""

    weighted: tuple[float, ...]
    """Collateral value x liquidation threshold."""
    debt: tuple[float, ...]
    floor: tuple[float, ...]
    """Health to be reached: target in the base case, the stress floor in the others."""
    ceiling: float = float("inf")
    """Most health that the policy wants in the base case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of an action over which a dollar moved has one price and one effect."""

    usd_max: float
    cost: float
    """USD lost per USD moved."""
    weighted: tuple[float, ...]
    """Change of the position's weighted collateral per USD moved, by scenario."""
    debt: tuple[float, ...]
    """Change of its debt per USD moved, by scenario."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One action on one position: add collateral k, repay debt j, sell k to repay j, ..."""

    name: str
    position: int
    parts: tuple[Part, ...]
    fixed_usd: float = 0.0
    """Gas and fees of doing it at all."""
    usd_min: float = 0.0
    uses: Mapping[str, float] = field(default_factory=dict)
    """Resource -> how much of it a USD moved takes (the wallet's USDC, cash of a reserve, an epoch's cap)."""
    takes: Mapping[str, float] = field(default_factory=dict)
    """Resource -> how much of it doing it at all takes (gas money)."""
    whole: bool = False
    """All or nothing: the whole of every part, as when a debt is closed."""
    instead_of: str = ""
    """At most one way of the same non-empty group is taken."""

    @property
    def usd_max(self) -> float:
        """The most it can move."""
        return sum(p.usd_max for p in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An owner's positions, the ways, and what they share."""

    forms: tuple[Form, ...]
    ways: tuple[Way, ...]
    resources: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A way that is part of the answer."""

    way: Way
    usd: float
    cost_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The cheapest set of ways, lowest position first."""

    taken: tuple[Taken, ...]
    cost_usd: float
    reaches: tuple[bool, ...]
    """By position: whether every floor asked for is reached."""
    stressed: bool
    """Whether the stress floors were asked for; False when only the base case could be met, or not even that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One way by itself, for the record of what was not taken."""

    way: Way
    usd: float
    cost_usd: float
    short: str
    """Why it does not do alone; empty when it does."""


def missing(form: Form, scenario: int) -> float:
    """Weighted USD missing to the floor: T D - W."""
    return form.floor[scenario] * form.debt[scenario] - form.weighted[scenario]


def gains(form: Form, part: Part) -> list[float]:
    """What a USD through the part closes of ``missing``, by scenario."""
    return [w - t * d for w, t, d in zip(part.weighted, form.floor, part.debt, strict=True)]


def wanted(form: Form, part: Part, gaps: Sequence[float]) -> float:
    """USD through the part that close every gap; infinite where it closes none of one."""
    return _filling(gaps, gains(form, part))


def _filling(gaps: Sequence[float], closed: Sequence[float]) -> float:
    """USD that close every gap where each closes so much of it; infinite where it closes none of one."""
    most = 0.0
    for gap, gain in zip(gaps, closed, strict=True):
        if gap > 0:
            most = max(most, gap / gain if gain > 0 else float("inf"))
    return most


def tightened(problem: Problem) -> Problem:
    """The same problem with every way cut to what can be of use: its share of a resource, and its need alone.

    No optimum moves more through a way than would close every gap by itself, because doing only that would cost
    no more. Ways of which nothing is left are dropped; the tighter limits are what makes the search short.
    """
    gaps = [[missing(f, s) for s in range(len(f.weighted))] for f in problem.forms]
    ways = [cut for way in problem.ways if (cut := _cut(problem, way, gaps[way.position])) is not None]
    return replace(problem, ways=tuple(ways))


def alone(problem: Problem, way: Way) -> Alternative:
    """What one way by itself would do for its own position: parts in order until every floor of it holds."""
    form = problem.forms[way.position]
    gaps = [missing(form, s) for s in range(len(form.weighted))]
    usd, cost = 0.0, way.fixed_usd
    for part in way.parts:
        amount = part.usd_max if way.whole else min(part.usd_max, wanted(form, part, gaps))
        gaps = [g - amount * gain for g, gain in zip(gaps, gains(form, part), strict=True)]
        usd, cost = usd + amount, cost + amount * part.cost
    scarce = _overdrawn(problem, way, usd)
    if max(gaps) > SLACK * max(form.debt):
        return Alternative(way=way, usd=usd, cost_usd=cost, short="does not reach the floor by itself")
    return Alternative(way=way, usd=usd, cost_usd=cost, short=f"{scarce} does not suffice" if scarce else "")


def malformed(problem: Problem) -> str:
    """What is wrong with the problem, in words; "" when nothing is."""
    sizes = {len(x) for f in problem.forms for x in (f.weighted, f.debt, f.floor)}
    sizes |= {len(x) for w in problem.ways for p in w.parts for x in (p.weighted, p.debt)}
    if not problem.forms or len(sizes) != 1:
        return "every position and part needs the same scenarios, at least the base case"
    for way in problem.ways:
        if not 0 <= way.position < len(problem.forms):
            return f"{way.name}: position {way.position} does not exist"
        if any(not p.usd_max >= 0 or not p.cost >= 0 for p in way.parts) or not way.fixed_usd >= 0:
            return f"{way.name}: amounts and costs must be numbers from 0 up"
        if any(b.cost < a.cost for a, b in pairwise(way.parts)):
            return f"{way.name}: parts must not become cheaper, or the dearer one would be skipped"
    values = [v for f in problem.forms for v in (*f.weighted, *f.debt, *f.floor)]
    values += [v for w in problem.ways for p in w.parts for v in (p.cost, *p.weighted, *p.debt)]
    return "" if all(abs(v) < 1e30 for v in values) else "a value is not a finite number"


def _cut(problem: Problem, way: Way, gaps: Sequence[float]) -> Way | None:
    form, have = problem.forms[way.position], problem.resources
    if any(t > have.get(n, 0.0) for n, t in way.takes.items()):
        return None
    left = min([have.get(n, 0.0) / u for n, u in way.uses.items() if u > 0], default=float("inf"))
    if way.whole:
        return way if 0 < way.usd_max <= left else None
    parts = list[Part]()
    for part in way.parts:
        closed = gains(form, part)
        amount = min(part.usd_max, max(_filling(gaps, closed), way.usd_min), left)
        if amount <= 0 or (parts and max(gaps) <= 0):
            break
        gaps = [g - amount * gain for g, gain in zip(gaps, closed, strict=True)]
        left -= amount
        parts.append(part if amount == part.usd_max else _narrower(part, amount))
    if not parts or sum(p.usd_max for p in parts) < way.usd_min:
        return None
    return replace(way, parts=tuple(parts))


def _narrower(part: Part, usd_max: float) -> Part:
    """By name: ``replace`` takes three times as long, a hundred times a solve."""
    return Part(usd_max=usd_max, cost=part.cost, weighted=part.weighted, debt=part.debt)


def _overdrawn(problem: Problem, way: Way, usd: float) -> str:
    for name in sorted({*way.uses, *way.takes}):
        need = way.uses.get(name, 0.0) * usd + way.takes.get(name, 0.0)
        if need > problem.resources.get(name, 0.0) * (1 + SLACK):
            return name
    return ""
