"""What is known of one protocol stands in its folder: elsewhere its name is an exception with a reason."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from keeper.kinds import KINDS
from tests.arch.sources import ROOT, Source, imports, nodes, read, sources

pytestmark = pytest.mark.unit

NAMES = tuple(kind.name for kind in KINDS)
_WORD = re.compile(rf"(?<![A-Za-z0-9_])({'|'.join(NAMES)})(?![A-Za-z0-9_])")
RECORD = ROOT / "docs" / "decisions" / "venues.md"
ALLOWED = tuple(re.findall(r"^- `(keeper/[^`]+)`", RECORD.read_text(encoding="utf-8"), re.MULTILINE))
"""Files that name a kind of venue, by path or pattern, each with its reason in the record."""


def test_kind__when_a_file_outside_its_folder_names_it__then_the_record_says_why() -> None:
    found = {s.where: said for s in sources() if _elsewhere(s) and (said := _named(s))}
    assert {w: said for w, said in found.items() if not any(fnmatch(w, a) for a in ALLOWED)} == {}


def test_record__when_a_file_names_no_kind_any_more__then_it_leaves_the_record() -> None:
    named = [s.where for s in sources() if _elsewhere(s) and _named(s)]
    assert [a for a in ALLOWED if not any(fnmatch(w, a) for w in named)] == []


def test_registry__when_read__then_a_kind_is_a_line_of_data_and_a_folder() -> None:
    folders = {p.parent.name for p in (ROOT / "keeper" / "venues").glob("*/__init__.py")}
    assert folders == set(NAMES)
    assert _imported(ROOT / "keeper" / "venues" / "registry.py") == []
    assert (
        not list(imports(read(ROOT / "keeper" / "kinds.py"))) or _imported(ROOT / "keeper" / "kinds.py") == []
    )


def test_check__when_a_room_reaches_for_a_protocol__then_it_is_found() -> None:
    """The check itself can fail: a class, a name in a comparison and a name in a text."""
    text = 'from keeper.venues.maker import Maker\nX = kind == "aave_v3"\nY = "the compound_v3 market"\n'
    path = ROOT / "keeper" / "units.py"
    planted = Source(path=path, module="keeper.units", text=text, tree=ast.parse(text))
    assert _named(planted) == ["aave_v3", "compound_v3", "maker"]


def _elsewhere(source: Source) -> bool:
    return not source.module.startswith("keeper.venues") and source.module != "keeper.kinds"


def _named(source: Source) -> list[str]:
    """Kinds that the code names: by an import of their folder, or in a text that is no docstring."""
    found = {
        name.split(".")[2]
        for name, _, _ in imports(source)
        if name.startswith("keeper.venues.") and name.split(".")[2] in NAMES
    }
    for text in _texts(source.tree):
        found |= set(_WORD.findall(text))
    return sorted(found)


def _texts(tree: ast.Module) -> Iterator[str]:
    """String constants that are values; a text that stands alone is documentation."""
    alone = {id(n.value) for n in nodes(tree) if isinstance(n, ast.Expr)}
    for node in nodes(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def _imported(path: Path) -> list[str]:
    return [
        n for n, _, _ in imports(read(path)) if n.startswith("keeper.venues.") and n.split(".")[2] in NAMES
    ]
