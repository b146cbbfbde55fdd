"""The locks of a server: all that runs there, at the pins that were tested, and nothing that only tests need."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.pages import commands

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]
RUNTIME, TICKERS = "requirements-runtime.lock", "requirements-tickers.lock"
SERVED = ("alarms", "metrics", "page")
"""Extras that a service uses; ``analysis`` is for a desk."""


def pins(name: str) -> set[str]:
    """``name==version`` of every package; a platform may have one of its own."""
    return set(re.findall(r"^([a-z0-9._-]+==[^ \\]+)", (ROOT / name).read_text(), re.MULTILINE))


def packages(lines: list[str]) -> set[str]:
    return {re.split(r"[<>=!~\[; ]", line)[0].lower() for line in lines}


@pytest.mark.parametrize("name", [RUNTIME, TICKERS])
def test_lock_of_a_server__beside_the_whole_one__has_its_pins_and_a_hash_for_each(name: str) -> None:
    text = (ROOT / name).read_text()
    assert pins(name) <= pins("requirements.lock"), "run make lock"
    assert len(re.findall(r"^[a-z0-9._-]+==.*\\\n +--hash=sha256:", text, re.MULTILINE)) == len(
        re.findall(r"^[a-z]", text, re.MULTILINE)
    )
    assert "://" not in text


def test_tickers_lock__beside_a_servers__holds_all_of_it_and_ccxt() -> None:
    assert pins(RUNTIME) < pins(TICKERS), "run make lock"
    more = {pin.split("==")[0] for pin in pins(TICKERS) - pins(RUNTIME)}
    assert {"ccxt", "aiodns"} <= more
    assert len(more) < 10, "the extra brings more than it did: see docs/decisions/market-prices.md"


@pytest.mark.parametrize("page", ["docs/guide/install.md", "docs/reference/oracle.md"])
def test_tickers_lock__on_the_pages__is_installed_by_its_hashes_as_the_servers_is(page: str) -> None:
    (line,) = [c.shell for c in commands(ROOT / "docs/guide/install.md") if RUNTIME in c.shell]
    text = (ROOT / page).read_text()
    assert f"`{line.replace(RUNTIME, TICKERS)}`" in text
    assert "keeper[tickers]" not in text, "no index has this project"


def test_runtime_lock__of_what_the_project_declares__holds_the_service_and_no_test_tools() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = packages(project["project"]["dependencies"]) | packages(
        [line for extra in SERVED for line in extras[extra]]
    )
    named = {pin.split("==")[0] for pin in pins(RUNTIME)}
    assert sorted(wanted - named) == []
    groups = project["dependency-groups"]
    unwanted = packages(groups["test"] + groups["browser"] + groups["lint"] + extras["analysis"])
    assert sorted(named & unwanted) == []
