"""Random portfolios to rescue, and the plain search that the optimiser is held against."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from keeper.decision.problem import SLACK, Form, Part, Problem, Taken, Way, gains, missing, wanted

STRESS = 0.8
"""Collateral in the stressed scenario."""
Amounts = list[tuple[Way, float]]


def portfolio(seed: int) -> Problem:
    """1-3 positions below target, competing for one wallet: top-ups, repayments and sales with rising impact."""
    r = random.Random(seed)
    forms, ways = list[Form](), list[Way]()
    for p in range(r.choice((1, 1, 1, 2, 2, 3))):
        value = [r.uniform(5e3, 2e5) for _ in range(r.randint(1, 3))]
        threshold = [r.uniform(0.6, 0.9) for _ in value]
        debts = r.randint(1, 2)
        weighted = sum(v * t for v, t in zip(value, threshold, strict=True))
        debt = weighted / r.uniform(1.01, 1.2)
        floors = (r.uniform(1.25, 1.6), r.uniform(1.0, 1.1))
        forms.append(Form(weighted=(weighted, weighted * STRESS), debt=(debt, debt), floor=floors))
        for k, (v, t) in enumerate(zip(value, threshold, strict=True)):
            up = Part(usd_max=1e7, cost=r.uniform(0, 0.002), weighted=(t, t * STRESS), debt=(0.0, 0.0))
            ways.append(
                Way(name=f"add{k}", position=p, fixed_usd=r.uniform(1, 30), parts=(up,), uses={f"k{k}": 1.0})
            )
            for j in range(debts):
                impact = [r.uniform(0.001, 0.004) * (i + 1) ** 1.5 for i in range(4)]
                sold = tuple(
                    Part(usd_max=v / 4, cost=c, weighted=(-t, -t * STRESS), debt=(c - 1, c - 1))
                    for c in sorted(impact)
                )
                ways.append(
                    Way(
                        name=f"sell{k}{j}",
                        position=p,
                        fixed_usd=r.uniform(5, 60),
                        parts=sold,
                        uses={f"c{p}{k}": 1.0},
                    )
                )
        for j in range(debts):
            back = Part(
                usd_max=debt / debts, cost=r.uniform(0, 0.002), weighted=(0.0, 0.0), debt=(-1.0, -1.0)
            )
            ways.append(
                Way(
                    name=f"repay{j}",
                    position=p,
                    fixed_usd=r.uniform(1, 30),
                    parts=(back,),
                    uses={f"d{j}": 1.0},
                )
            )
    names = {n for w in ways for n in w.uses}
    have = {n: 1e6 if n.startswith("c") else r.choice((0.0, r.uniform(0, 4e4))) for n in sorted(names)}
    return Problem(forms=tuple(forms), ways=tuple(ways), resources=have)


def left(problem: Problem, amounts: list[tuple[Way, float]]) -> list[list[float]]:
    """Weighted USD still missing, by position and scenario, after amounts put through the ways' parts in order."""
    gaps = [[missing(f, s) for s in range(len(f.debt))] for f in problem.forms]
    for way, usd in amounts:
        for part in way.parts:
            through = min(usd, part.usd_max)
            usd -= through
            closed = gains(problem.forms[way.position], part)
            gaps[way.position] = [g - through * c for g, c in zip(gaps[way.position], closed, strict=True)]
    return gaps


def cost(way: Way, usd: float) -> float:
    """Gas and impact of one amount."""
    total = way.fixed_usd
    for part in way.parts:
        total += min(usd, part.usd_max) * part.cost
        usd -= min(usd, part.usd_max)
    return total


def grid(problem: Problem, steps: int = 6) -> tuple[float, Amounts] | None:
    """The cheapest plan of up to three ways for one position: amounts in ``steps``, one sized to fit.

    What some amounts cost already is not taken back by a last way, so dearer ones are passed over.
    """
    best: tuple[float, Amounts] | None = None
    dealt = {id(w): [_dealt(problem, w, s / steps) for s in range(1, steps + 1)] for w in problem.ways}
    for n in (1, 2, 3):
        for ways in combinations(problem.ways, n):
            for last in range(n if n > 1 else 1):
                first = [dealt[id(w)] for i, w in enumerate(ways) if i != last]
                for some in product(*first):
                    spent = sum(d.cost for d in some)
                    if best is not None and spent >= best[0]:
                        continue
                    found = _completed(problem, some, ways[last])
                    if found is not None and (best is None or found[0] < best[0]):
                        best = found
    return best


@dataclass(frozen=True, slots=True)
class _Dealt:
    """One amount through one way: what it costs, and what it closes by scenario."""

    way: Way
    usd: float
    cost: float
    closed: tuple[float, ...]


def _dealt(problem: Problem, way: Way, share: float) -> _Dealt:
    usd, form = _most(problem, way) * share, problem.forms[0]
    before, after = (missing(form, 0), missing(form, 1)), left(problem, [(way, usd)])[0]
    closed = tuple(b - a for b, a in zip(before, after, strict=True))
    return _Dealt(way, usd, cost(way, usd) if usd > 0 else 0.0, closed)


def splits(problem: Problem, tries: int, seed: int) -> Iterator[list[Problem]]:
    """The positions by themselves, shared resources dealt out at random, first all to each in turn."""
    r, count = random.Random(seed), len(problem.forms)
    for attempt in range(tries):
        deals = [dict[str, float]() for _ in range(count)]
        for name, have in problem.resources.items():
            weights = [r.random() ** 3 for _ in range(count)]
            if attempt < count:
                weights = [float(p == attempt) for p in range(count)]
            for p, weight in enumerate(weights):
                deals[p][name] = have if name.startswith("c") else have * weight / sum(weights)
        yield [only(problem, p, deals[p]) for p in range(count)]


def fits(problem: Problem, taken: Sequence[Taken]) -> bool:
    """Whether what the ways together use of each resource is there."""
    used = dict[str, float]()
    for t in taken:
        for name, each in t.way.uses.items():
            used[name] = used.get(name, 0.0) + each * t.usd
        for name, once in t.way.takes.items():
            used[name] = used.get(name, 0.0) + once
    return all(u <= problem.resources.get(name, 0.0) * (1 + SLACK) for name, u in used.items())


def only(problem: Problem, position: int, resources: Mapping[str, float]) -> Problem:
    """One position by itself."""
    ways = tuple(replace(w, position=0) for w in problem.ways if w.position == position)
    return Problem(forms=(problem.forms[position],), ways=ways, resources=resources)


def _most(problem: Problem, way: Way) -> float:
    have = [problem.resources.get(n, 0.0) / u for n, u in way.uses.items()]
    return min(way.usd_max, *have, 5e5)


def _completed(problem: Problem, some: Sequence[_Dealt], way: Way) -> tuple[float, Amounts] | None:
    """The amounts with just as much of ``way`` as closes every gap, when that is possible."""
    form, usd = problem.forms[0], 0.0
    gaps = [missing(form, s) - sum(d.closed[s] for d in some) for s in range(2)]
    for part in way.parts:
        through = min(part.usd_max, wanted(form, part, gaps))
        gaps = [g - through * c for g, c in zip(gaps, gains(form, part), strict=True)]
        usd += through
    if max(gaps) > SLACK * form.debt[0]:
        return None
    whole = [*((d.way, d.usd) for d in some), (way, usd)]
    used = dict[str, float]()
    for w, moved in whole:
        for name, each in w.uses.items():
            used[name] = used.get(name, 0.0) + each * moved
    if any(u > problem.resources.get(n, 0.0) * (1 + SLACK) for n, u in used.items()):
        return None
    return sum(cost(w, moved) for w, moved in whole if moved > 0), [(w, m) for w, m in whole if m > 0]
