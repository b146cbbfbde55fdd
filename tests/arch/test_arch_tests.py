"""The tests are evidence: named by what, when and then, marked once, and without a network where pure."""

from __future__ import annotations

import ast
import re
import socket
from pathlib import Path

import pytest

from tests.arch.sources import ROOT, Source, sources
from tests.order import LONGEST

pytestmark = pytest.mark.unit

MARKERS = {"unit", "property", "vectors", "scenario", "anvil", "fork", "chaos", "browser", "bench"}
NAME = re.compile(r"test_\w+?__\w+?(__\w+)?")


def test_test__when_collected__then_it_has_exactly_one_marker() -> None:
    wrong = [
        f"{s.where}:{f.lineno} {f.name}: {sorted(found) or 'no marker'}"
        for s in _test_files()
        for f, found in _marked(s)
        if len(found) != 1
    ]
    assert wrong == []


def test_test__when_named__then_it_says_what_when_then() -> None:
    wrong = [
        f"{s.where}:{f.lineno} {f.name}"
        for s in _test_files()
        for f, _ in _marked(s)
        if not NAME.fullmatch(f.name)
    ]
    assert wrong == []


def test_test_file__when_named__then_its_name_is_unique() -> None:
    names = [s.path.name for s in _test_files()]
    assert sorted({n for n in names if names.count(n) > 1}) == []


def test_order__when_a_file_is_named_to_begin__then_it_is_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []


def test_mock_library__when_searched__then_none_is_used() -> None:
    wrong = [
        s.where
        for s in sources("tests")
        if re.search(r"unittest\.mock|from mock|mocker\b", s.text) and not _me(s)
    ]
    assert wrong == []


def test_socket__when_a_unit_test_connects__then_it_fails() -> None:
    with socket.socket() as s, pytest.raises(AssertionError, match="used a socket"):
        s.connect(("127.0.0.1", 9))


def test_private_word__when_committed_text_is_searched__then_no_machine_path_is_found() -> None:
    pattern = re.compile(r"/(?:home|work|root)/\w+|\b(?:127\.0\.0\.1|localhost):(?:3141|8081)\b")
    files = [p for p in _documents() if p.is_file()]
    wrong = [
        f"{p.relative_to(ROOT)}:{n}"
        for p in files
        for n, line in enumerate(p.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert wrong == []


def _documents() -> list[Path]:
    return [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(s.path for s in sources("keeper", "strategies")),
    ]


def _me(source: Source) -> bool:
    return source.path == Path(__file__).resolve()


def _test_files() -> list[Source]:
    return [s for s in sources("tests") if s.path.name.startswith("test_")]


def _marked(source: Source) -> list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, set[str]]]:
    """Every test function with its own, its class's and its module's markers of MARKERS."""
    module = {
        m
        for node in source.tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        for m in _marks(node.value)
    }
    found = []
    for node in source.tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        outer = (
            {m for d in node.decorator_list for m in _marks(d)} if isinstance(node, ast.ClassDef) else set()
        )
        found += [
            (f, module | outer | {m for d in f.decorator_list for m in _marks(d)})
            for f in inner
            if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef)) and f.name.startswith("test_")
        ]
    return found


def _marks(node: ast.expr) -> set[str]:
    return set(re.findall(r"pytest\.mark\.(\w+)", ast.unparse(node))) & MARKERS
