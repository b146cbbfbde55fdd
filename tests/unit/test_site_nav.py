"""The site's table of contents: every page is in it, or in the table of one that is, and it names no other."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.pages import ROOT

pytestmark = pytest.mark.unit
DOCS = ROOT / "docs"
DECISIONS = "decisions/README.md"


def entries(nav: list[dict[str, Any]]) -> Iterator[str]:
    for entry in nav:
        for told in entry.values():
            yield from [told] if isinstance(told, str) else entries(told)


def test_nav__each_page__is_reached_from_it_and_each_entry_is_a_page() -> None:
    named = list(entries(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]))
    assert len(named) == len(set(named))
    # the records of decisions have a table of their own
    listed = re.findall(r"^\| \[[^]]+\]\(([a-z0-9-]+\.md)\)", (DOCS / DECISIONS).read_text(), re.MULTILINE)
    reached = {*named, *(f"decisions/{name}" for name in listed)}
    there = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")}
    assert reached == there, "`make docs` does not say it of a page that the table lacks, or names in vain"
