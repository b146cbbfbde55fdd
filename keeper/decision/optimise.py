"""Least cost over an owner's positions: which actions, how much of each, so that every position reaches its floor.

A small mixed-integer linear program: an action is on or off (its gas and fees are paid once) and moves an amount in
USD through parts of rising cost (the impact on a pool, piecewise linear). The caller rounds the amounts to units
against us and asks the own arithmetic of the venue whether the target holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from keeper.decision.problem import (
    SLACK,
    Form,
    Part,
    Problem,
    Solution,
    Taken,
    Way,
    gains,
    malformed,
    missing,
    tightened,
)
from keeper.decision.program import Column, Program, Row, minimum
from keeper.model import Refusal

WHO = "optimise"
CENT_USD = 0.005
"""Less than half a cent moved is nothing moved."""
UNIT_USD = 1000.0
"""Amounts are columns of thousands: beside switches of 0 and 1, dollars took the search twice as many nodes. Its own
tolerance, a millionth of a column, is a tenth of a cent."""


def solve(problem: Problem) -> Solution | Refusal:
    """The cheapest ways that meet every floor; else every base floor; else what leaves the least missing.

    The three are tried in this order, so that a stress set that cannot be met never costs the base case. Within
    ``program.GAP`` of the least cost. Refused as ``malformed``, and as ``no_way`` when something is missing and
    nothing can be done about it.
    """
    bad = malformed(problem)
    if bad:
        return Refusal(who=WHO, code="malformed", why=bad)
    scenarios = len(problem.forms[0].weighted)
    if not any(missing(f, s) > 0 for f in problem.forms for s in range(scenarios)):
        return Solution(taken=(), cost_usd=0.0, reaches=(True,) * len(problem.forms), stressed=True)
    for used in dict.fromkeys((scenarios, 1)):
        found = _cheapest(_narrowed(problem, used))
        if found is not None:
            return replace(found, stressed=used == scenarios)
    return _nearest(_narrowed(problem, 1))


def _narrowed(problem: Problem, scenarios: int) -> Problem:
    """The problem with its first scenarios only."""
    if scenarios == len(problem.forms[0].weighted):
        return problem
    forms = tuple(
        replace(f, weighted=f.weighted[:scenarios], debt=f.debt[:scenarios], floor=f.floor[:scenarios])
        for f in problem.forms
    )
    ways = tuple(
        replace(
            w,
            parts=tuple(
                replace(p, weighted=p.weighted[:scenarios], debt=p.debt[:scenarios]) for p in w.parts
            ),
        )
        for w in problem.ways
    )
    return replace(problem, forms=forms, ways=ways)


def _cheapest(problem: Problem) -> Solution | None:
    cut = tightened(problem)
    found = minimum(_program(cut))
    return None if found is None else _solution(cut, found)


def _nearest(problem: Problem) -> Solution | Refusal:
    """Least missing (as a share of each debt) first, then least cost with no more missing than that."""
    program = _program(problem, short=True)
    found = minimum(program)
    if found is None:
        return Refusal(who=WHO, code="no_way", why="no action is possible within the ceiling and the limits")
    first = len(program.columns) - len(problem.forms)
    kept = tuple(Column(cost=0.0, upper=v * (1 + SLACK) + SLACK) for v in found[first:])
    priced, _, _ = _columns(problem, priced=True)
    cheapest = minimum(Program(columns=(*priced, *kept), rows=program.rows))
    solution = _solution(problem, found if cheapest is None else cheapest)
    none = Refusal(who=WHO, code="no_way", why="no action brings any position nearer to its floor")
    return replace(solution, stressed=False) if solution.taken else none


def _program(problem: Problem, short: bool = False) -> Program:
    """Columns: per way one switch and its parts; with ``short`` one shortfall per position, which is what costs."""
    columns, switch, parts = _columns(problem, priced=not short)
    shortfall = [len(columns) + i for i in range(len(problem.forms))] if short else []
    columns += [Column(cost=1.0, upper=float("inf"))] * len(shortfall)
    rows = [row for w, way in enumerate(problem.ways) for row in _switched(way, switch[w], parts[w])]
    rows += _shared(problem, switch, parts)
    for p, form in enumerate(problem.forms):
        ways = [(way, parts[w]) for w, way in enumerate(problem.ways) if way.position == p]
        mine = [(c, part) for way, cs in ways for c, part in zip(cs, way.parts, strict=True)]
        closed = [(c, gains(form, part)) for c, part in mine]
        for s, debt in enumerate(form.debt):
            entries = _scaled([(c, gain[s] * UNIT_USD) for c, gain in closed], debt)
            if short:
                entries += ((shortfall[p], 1.0),)
            rows.append(Row(entries=entries, lower=missing(form, s) / max(debt, SLACK)))
        if form.ceiling != float("inf"):
            rows.append(_below(form, mine))
    return Program(columns=tuple(columns), rows=tuple(rows))


def _columns(problem: Problem, priced: bool) -> tuple[list[Column], list[int], list[list[int]]]:
    """The ways' columns, and where each way's switch and parts stand."""
    columns, switch, parts = list[Column](), list[int](), list[list[int]]()
    for way in problem.ways:
        switch.append(len(columns))
        columns.append(Column(cost=way.fixed_usd if priced else 0.0, upper=1.0, whole=True))
        parts.append([len(columns) + i for i in range(len(way.parts))])
        columns += [
            Column(cost=p.cost * UNIT_USD if priced else 0.0, upper=p.usd_max / UNIT_USD) for p in way.parts
        ]
    return columns, switch, parts


def _switched(way: Way, switch: int, parts: Sequence[int]) -> Iterable[Row]:
    """Nothing moves while the switch is off; the least amount, or all of it, moves when it is on."""
    for column, part in zip(parts, way.parts, strict=True):
        least = 0.0 if way.whole else -float("inf")
        yield Row(entries=((column, 1.0), (switch, -part.usd_max / UNIT_USD)), lower=least, upper=0.0)
    if way.usd_min > 0 and not way.whole:
        yield Row(entries=(*((c, 1.0) for c in parts), (switch, -way.usd_min / UNIT_USD)), lower=0.0)


def _shared(problem: Problem, switch: Sequence[int], parts: Sequence[Sequence[int]]) -> Iterable[Row]:
    """What the ways share: resources that all of them together overdraw, and groups of which one is taken."""
    for name in sorted({n for w in problem.ways for n in (*w.uses, *w.takes)}):
        entries, most, have = list[tuple[int, float]](), 0.0, problem.resources.get(name, 0.0)
        for w, way in enumerate(problem.ways):
            if use := way.uses.get(name, 0.0):
                entries += [(c, use * UNIT_USD) for c in parts[w]]
                most += max(use, 0.0) * way.usd_max
            if take := way.takes.get(name, 0.0):
                entries.append((switch[w], take))
                most += max(take, 0.0)
        if not most <= have:
            scale = max(have, 1.0)
            yield Row(entries=_scaled(entries, scale), upper=have / scale)
    for group in sorted({w.instead_of for w in problem.ways} - {""}):
        one = tuple((switch[w], 1.0) for w, way in enumerate(problem.ways) if way.instead_of == group)
        yield Row(entries=one, upper=1.0)


def _below(form: Form, moved: Sequence[tuple[int, Part]]) -> Row:
    """Base-case health stays at or below the ceiling: W + dW <= C (D + dD)."""
    entries = [(c, (part.weighted[0] - form.ceiling * part.debt[0]) * UNIT_USD) for c, part in moved]
    room = form.ceiling * form.debt[0] - form.weighted[0]
    return Row(entries=_scaled(entries, form.debt[0]), upper=room / max(form.debt[0], SLACK))


def _scaled(entries: Sequence[tuple[int, float]], by: float) -> tuple[tuple[int, float], ...]:
    scale = max(by, SLACK)
    return tuple((c, v / scale) for c, v in entries if v != 0.0)


def _solution(problem: Problem, values: Sequence[float]) -> Solution:
    """Read the columns back."""
    taken, at = list[Taken](), 0
    gaps = [[missing(f, s) for s in range(len(f.debt))] for f in problem.forms]
    for way in problem.ways:
        amounts = [v * UNIT_USD for v in values[at + 1 : at + 1 + len(way.parts)]]
        # the solver's tolerance lets a millionth of a large sale through a switch that is off
        off = values[at] < 0.5
        at += 1 + len(way.parts)
        if off or sum(amounts) <= CENT_USD:
            continue
        moved = 0.0
        for amount, part in zip(amounts, way.parts, strict=True):
            moved += amount * part.cost
            closed = gains(problem.forms[way.position], part)
            gaps[way.position] = [g - amount * c for g, c in zip(gaps[way.position], closed, strict=True)]
        taken.append(Taken(way=way, usd=sum(amounts), cost_usd=way.fixed_usd + moved))
    taken.sort(key=lambda t: t.way.position)
    reaches = tuple(
        all(g <= 1e-5 * max(d, 1.0) for g, d in zip(gap, form.debt, strict=True))
        for gap, form in zip(gaps, problem.forms, strict=True)
    )
    return Solution(
        taken=tuple(taken), cost_usd=sum(t.cost_usd for t in taken), reaches=reaches, stressed=True
    )
