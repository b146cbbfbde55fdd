"""Every command line of README and the guide is run by something that runs by itself; what that is, line by line.

A runner is a module that says which lines it takes from the pages, or a line of ``.ci/run`` itself. A line that no
runner takes must stand in ``NOWHERE``, with its reason; a page that is changed is then a test that is changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests import clean_machine
from tests.anvil import test_canary_daemon, test_pages_drilled, test_pages_followed
from tests.chaos import test_chaos_systemd
from tests.pages import ROOT, Command, blocks, commands, pages

pytestmark = pytest.mark.unit
PAGES = pages("README.md", "docs/guide/*.md")
CI = (ROOT / ".ci" / "run").read_text()
DEMO = "make demo"
RUNNERS: Mapping[str, Callable[[], Iterable[Command]]] = {
    "tests/anvil/test_pages_followed.py": test_pages_followed.followed,
    "tests/anvil/test_canary_daemon.py": lambda: commands(test_canary_daemon.PAGE),
    "tests/anvil/test_pages_drilled.py": lambda: test_pages_drilled.drills("README.md"),
    "tests/chaos/test_chaos_systemd.py": test_chaos_systemd.booted,
    "make clean-machine": clean_machine.run_here,
    DEMO: lambda: (c for c in commands(ROOT / "README.md") if c.shell == DEMO),
}
NOWHERE: Mapping[str, str] = {}
"""A line as it stands on its page, and why nothing can run it: none today."""
READ = {
    "sh": "run, by a runner",
    "toml": "parsed, by test_pages_named.py",
    "": "shown: what a command prints, a drawing",
}
"""What becomes of a block, by the language that it says."""


def lines() -> tuple[Command, ...]:
    """Every command line of README and the guide."""
    return tuple(c for page in PAGES for c in commands(page))


def run_by(said: Iterable[Command]) -> dict[Command, list[str]]:
    """Each line and its runners."""
    taken = {name: frozenset(told()) for name, told in RUNNERS.items()}
    return {c: [name for name, some in taken.items() if c in some] for c in said}


def run_by_nobody(said: Iterable[Command]) -> list[str]:
    """The lines that are neither run nor excused."""
    return [c.where for c, names in run_by(said).items() if not names and c.shell not in NOWHERE]


def test_pages__each_command_line_of_readme_and_guide__is_run_by_something_or_excused() -> None:
    found = run_by(lines())
    for command, names in found.items():
        print(f"{command.place:32} {', '.join(names):72} {command.shell[:90]}")
    assert len(found) > 80
    told = "run by nothing: let a runner take them, or say in NOWHERE why none can"
    assert run_by_nobody(found) == [], told
    assert set(NOWHERE) <= {c.shell for c, names in found.items() if not names}, "an excuse that nobody needs"


def test_pages__a_line_that_no_runner_takes__is_told_with_its_place() -> None:
    last = lines()[-1]
    planted = replace(last, words=("keeper", "new"), shell="keeper new", line=99)
    assert run_by_nobody((*lines(), planted)) == [f"{last.page}:99: keeper new"]


def test_runners__what_each_of_them_takes__is_on_a_page() -> None:
    known = set(lines())
    for name, told in RUNNERS.items():
        taken = {c for c in told() if c.page == "README.md" or c.page.startswith("docs/guide/")}
        assert taken, name
        assert taken <= known, name


@pytest.mark.parametrize("name", RUNNERS)
def test_runners__each_of_them__runs_by_itself(name: str) -> None:
    if name.startswith("make "):
        assert re.search(rf"^(exec )?{name}$", CI, re.MULTILINE)
        return
    marks = re.findall(r"^pytestmark = pytest\.mark\.(\w+)$", (ROOT / name).read_text(), re.MULTILINE)
    assert marks, name
    # `make test` leaves chaos out
    assert marks == ["anvil"] or re.search(rf"-m chaos\b.* {re.escape(name)}\b", CI), name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages__every_block__is_of_a_kind_that_is_read(page: Path) -> None:
    found = blocks(page)
    text = page.read_text()
    assert {b.language for b in found} <= set(READ)
    fences = re.findall(r"^\s*(?:```|~~~).*$", text, re.MULTILINE)
    assert len(fences) == 2 * len(found), "a fence that the extractor does not see"
    assert "<pre" not in text
    # four blanks after an empty line are a block too, unless they belong to a list
    assert not re.search(r"\n\n    (?:sudo|\$|\.venv/|keeper |make )", text)
    said = [b for b in found if not b.language]
    assert not [b for b in said if re.search(r"^\s*(?:\$|sudo|\.venv/|make )", b.text, re.MULTILINE)]
