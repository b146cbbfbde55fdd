"""The glossary against the leverage room: every formula has a term there, a docstring, and somebody who uses it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
ROOM = ROOT / "keeper" / "risk" / "leverage"
FORMULAS = ("ratios", "concentration", "pace", "contagion", "warning")
"""Modules of formulas; the others of the room apply them to a book."""
NAMED = re.compile(r"`((?:ratios|concentration|pace|contagion|warning|borrowing|standing)\.\w+)`")


def functions(module: str) -> dict[str, str]:
    """Public function -> its docstring."""
    body = ast.parse((ROOM / f"{module}.py").read_text()).body
    found = [n for n in body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    return {n.name: ast.get_docstring(n) or "" for n in found}


def test_glossary__when_compared_with_the_formulas__then_each_has_a_term_and_nothing_else_is_named() -> None:
    said = set(NAMED.findall((ROOT / "docs" / "GLOSSARY.md").read_text()))
    formulas = {f"{m}.{name}" for m in FORMULAS for name in functions(m)}
    every = formulas | {f"{m}.{name}" for m in ("borrowing", "standing") for name in functions(m)}
    assert formulas - said == set(), "no term in docs/GLOSSARY.md"
    assert said - every == set(), "named in docs/GLOSSARY.md, and no function"


def test_formula__when_nobody_reads_its_answer__then_it_is_no_part_of_the_house() -> None:
    sources = {p: p.read_text() for p in (ROOT / "keeper").rglob("*.py")}
    idle = [
        f"{m}.{name}"
        for m in FORMULAS
        for name in functions(m)
        if not any(
            re.search(rf"(?<!def )\b{name}\(", text) for p, text in sources.items() if p.name != f"{m}.py"
        )
        and len(re.findall(rf"(?<!def )\b{name}\(", sources[ROOM / f"{m}.py"])) == 0
    ]
    assert idle == []


def test_formula__when_it_has_no_words__then_told() -> None:
    silent = [f"{m}.{name}" for m in FORMULAS for name, doc in functions(m).items() if len(doc) < 40]
    assert silent == []


def test_glossary__when_read__then_each_term_stands_once() -> None:
    terms = re.findall(r"^\*\*(.+?)\*\*", (ROOT / "docs" / "GLOSSARY.md").read_text(), re.MULTILINE)
    twice = sorted({t for t in terms if terms.count(t) > 1})
    assert twice == []
    assert len(terms) > 80
