"""The lock of a server: all that runs there, at the pins that were tested, and nothing that only tests need."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]
SERVED = ("alarms", "metrics", "page")
"""Extras that a service uses; ``analysis`` is for a desk."""


def pins(name: str) -> set[str]:
    """``name==version`` of every package; a platform may have one of its own."""
    return set(re.findall(r"^([a-z0-9._-]+==[^ \\]+)", (ROOT / name).read_text(), re.MULTILINE))


def packages(lines: list[str]) -> set[str]:
    return {re.split(r"[<>=!~\[; ]", line)[0].lower() for line in lines}


def test_runtime_lock__beside_the_whole_one__has_its_pins_and_a_hash_for_each() -> None:
    text = (ROOT / "requirements-runtime.lock").read_text()
    assert pins("requirements-runtime.lock") <= pins("requirements.lock"), "run make lock"
    assert len(re.findall(r"^[a-z0-9._-]+==.*\\\n +--hash=sha256:", text, re.MULTILINE)) == len(
        re.findall(r"^[a-z]", text, re.MULTILINE)
    )
    assert "://" not in text


def test_runtime_lock__of_what_the_project_declares__holds_the_service_and_no_test_tools() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = packages(project["project"]["dependencies"]) | packages(
        [line for extra in SERVED for line in extras[extra]]
    )
    named = {pin.split("==")[0] for pin in pins("requirements-runtime.lock")}
    assert sorted(wanted - named) == []
    groups = project["dependency-groups"]
    unwanted = packages(groups["test"] + groups["browser"] + groups["lint"] + extras["analysis"])
    assert sorted(named & unwanted) == []
