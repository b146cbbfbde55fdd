"""The runbook and the code name the same alarms: one that nobody explains wakes somebody for nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.chain.endpoint import Kind
from keeper.executor.errors import TABLE

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
TOLD = ("Fault", "Finding", "Told", "Stop")
"""Records whose code becomes an alarm's, in the rooms that raise them."""
NO_ALARM = {"not_guardian", "not_owner"}
"""Answers of the contract to people, which the daemon never meets."""


def alarms() -> Iterator[str]:
    """Every alarm code that is written in the source: raised by name, by a CODE, or carried by a finding."""
    for path in sorted((ROOT / "keeper").rglob("*.py")):
        if path.parts[-2] in ("executor", "cli", "replay"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield from _called(node)
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CODE":
                yield ast.literal_eval(node.value)
    yield from (f"endpoint_{kind}" for kind in Kind)


def _called(node: ast.Call) -> Iterator[str]:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name == "raise_alarm" and isinstance(node.args[1], ast.Constant):
        yield str(node.args[1].value)
    for keyword in node.keywords:
        if name in TOLD and keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
            yield str(keyword.value.value)


def named() -> set[str]:
    """Codes in the first column of the runbook's tables."""
    rows = re.findall(r"^\| (`.*?) \|", (GUIDE / "runbook.md").read_text(), re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)}


def test_runbook__when_the_code_can_raise_an_alarm__then_it_says_what_to_do() -> None:
    found = {code for code in alarms() if code}
    assert len(found) > 50
    assert sorted(found - named()) == []


def test_runbook__when_the_oracle_page_names_an_alarm__then_it_says_what_to_do() -> None:
    text = (ROOT / "docs/reference/oracle.md").read_text()
    told = set(re.findall(r"^\| `([a-z_]+)` \| (?:INFO|WARNING|CRITICAL)", text, re.MULTILINE))
    assert len(told) > 20
    assert sorted(told - named()) == []


def test_runbook__when_it_names_a_code__then_the_source_knows_it() -> None:
    source = "".join(p.read_text() for room in ("keeper", "strategies") for p in (ROOT / room).rglob("*.py"))
    known = {told.code for told in TABLE.values()} | {f"endpoint_{kind}" for kind in Kind}
    assert sorted(code for code in named() - known if f'"{code}"' not in source) == []


@pytest.mark.parametrize(
    "page", sorted([*GUIDE.glob("*.md"), ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
)
def test_docs__when_a_page_links_to_a_file__then_it_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
