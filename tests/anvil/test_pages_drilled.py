"""The drills of the pages, as a reader types them: README before he has a configuration, the reference with one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anvil.scenario import load_scenario
from anvil.stage import Stage, stage
from tests.command import ROOT, typed
from tests.pages import Command, blocks

pytestmark = pytest.mark.chaos
LONG_S = 600


def drills(page: str) -> tuple[Command, ...]:
    """The drills of a shock that a page shows."""
    found = (c for b in blocks(ROOT / page) if b.language == "sh" for c in b.commands)
    return tuple(c for c in found if c.keeper and c.keeper[0] == "drill" and "--shock" in c.keeper)


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(load_scenario("crash"), tmp_path_factory.mktemp("chain"), mode="dry-run") as made:
        yield made


@pytest.mark.parametrize(
    "line", [*drills("README.md"), *drills("docs/reference/drill.md")], ids=lambda c: c.page
)
def test_drill__of_a_page__says_what_would_have_been_lost_and_saved(
    on: Stage, tmp_path: Path, line: Command
) -> None:
    account = on.pairs[0].guarded
    given = {"0xYourAddress": account, "https://your-endpoint": on.node.url}
    assert line.keeper is not None
    said = [given.get(word, word) for word in line.keeper]
    if "--config" in said:
        where = ("--rpc", on.node.url, "--provider", on.market.provider, "--out", "keeper.toml")
        made = typed(tmp_path, "init", "--from", account, *where)
        assert made.returncode == 0, made.stderr
    else:
        said += ["--provider", on.market.provider]
    ran = subprocess.run(
        [sys.executable, "-m", "keeper", *said, "--precision", "30"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LONG_S,
    )
    assert ran.returncode == 0, f"{line.where}: {ran.stdout}{ran.stderr}"
    # no wallet was ever named, in no configuration either
    assert "30% of the debt" in ran.stdout
    assert re.search(r"^without a keeper +\dx +[\d,.]+", ran.stdout, re.MULTILINE), ran.stdout
    assert re.search(r"^with the keeper +(no|\dx) ", ran.stdout, re.MULTILINE), ran.stdout
    assert "largest single update survived" in ran.stdout
    assert (tmp_path / "drill.html").is_file()
