"""PromQL as the alert rules and the dashboard use it: what is selected, and which labels the answer carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import promql_parser as grammar

SCRAPED = frozenset({"instance", "job"})
"""What Prometheus adds to each sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """One metric of an expression, and what its labels must be: (label, operator, value)."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(expression: str) -> tuple[Selector, ...]:
    """Every metric of an expression. ValueError where it is no PromQL."""
    found = list[Selector]()

    def seen(node: Any) -> bool:
        vector = node.vector_selector if isinstance(node, grammar.MatrixSelector) else node
        if isinstance(vector, grammar.VectorSelector):
            matchers = vector.matchers.matchers
            told = tuple((m.name, str(m.op).removeprefix("MatchOp."), m.value) for m in matchers)
            found.append(Selector(name=vector.name or "", matchers=told))
        return True

    grammar.walk(_parsed(expression), pre_visit=seen)
    return tuple(found)


def labels(expression: str, exposed: Mapping[str, Set[str]]) -> Set[str]:
    """The labels of what an expression gives, by those of each metric. ValueError for a label that is not there."""
    return _labels(_parsed(expression), exposed)


def _parsed(expression: str) -> Any:
    return grammar.parse(expression)


def _labels(node: Any, exposed: Mapping[str, Set[str]]) -> Set[str]:
    if isinstance(node, grammar.VectorSelector):
        return frozenset(exposed[node.name or ""]) | SCRAPED
    if isinstance(node, grammar.MatrixSelector):
        return _labels(node.vector_selector, exposed)
    if isinstance(node, grammar.ParenExpr):
        return _labels(node.expr, exposed)
    if isinstance(node, grammar.Call):
        return _called(node, exposed)
    if isinstance(node, grammar.AggregateExpr):
        by = () if node.modifier is None else _asked(node.modifier, _labels(node.expr, exposed))
        return frozenset(by)
    if isinstance(node, grammar.BinaryExpr):
        return _joined(node, exposed)
    if isinstance(node, grammar.NumberLiteral):
        return frozenset()
    raise ValueError(f"{type(node).__name__}: say here what its labels are")


def _called(node: Any, exposed: Mapping[str, Set[str]]) -> Set[str]:
    name, given = node.func.name, [_labels(x, exposed) for x in node.args]
    if name in ("absent", "time"):
        return frozenset()
    if name == "histogram_quantile":
        if "le" not in given[1]:
            raise ValueError("a quantile of what has no le")
        return given[1] - {"le"}
    if name in ("rate", "increase", "max_over_time"):
        return given[0]
    raise ValueError(f"{name}: say here what its labels are")


def _joined(node: Any, exposed: Mapping[str, Set[str]]) -> Set[str]:
    left, right = _labels(node.lhs, exposed), _labels(node.rhs, exposed)
    matching = None if node.modifier is None else node.modifier.matching
    if matching is not None:
        for side in (left, right):
            _asked(matching, side)
    elif not _numbers(node) and left != right:
        raise ValueError(f"{sorted(left ^ right)} stand on one side alone, and nothing says on which to join")
    return left or right


def _asked(modifier: Any, there: Set[str]) -> Sequence[str]:
    if not str(modifier.type).endswith(("By", "Include")):
        raise ValueError(f"{modifier.type}: name the labels")
    if unknown := set(modifier.labels) - there:
        raise ValueError(f"{sorted(unknown)} are not among {sorted(there)}")
    return tuple(modifier.labels)


def _numbers(node: Any) -> bool:
    """Whether one side has no series: a number, or the time."""
    sides = (node.lhs, node.rhs)
    return any(isinstance(x, grammar.NumberLiteral) or not selectors(x.prettify()) for x in sides)
