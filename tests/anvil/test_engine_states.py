"""A few random accounts on two real perp engines: our margins are theirs to the digit. The long form: make bench."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from anvil.tools import HERE
from tests.engines import perp_v2_crowd, synthetix_crowd

pytestmark = pytest.mark.anvil

N = 12
SEED = 20_260_821


@pytest.fixture(scope="module", autouse=True)
def tools(anvil_binary: None) -> None:
    """Skip with the reason where the engines cannot be stood up."""
    if shutil.which("node") is None or not (HERE / "node_modules" / "@perp").is_dir():
        pytest.skip("the engines' packages or node are missing: run `make setup`")


def test_synthetix_v3__random_accounts__margins_and_verdicts_are_the_engines_own() -> None:
    tally = synthetix_crowd.run(N, SEED)
    assert tally.states == N
    assert not tally.wrong, tally.wrong
    assert tally.edges == N
    assert tally.in_debt
    assert tally.crossed


def test_perp_v2__random_accounts__margins_and_verdicts_are_the_engines_own() -> None:
    tally = perp_v2_crowd.run(N, SEED)
    assert tally.states == N
    assert not tally.wrong, tally.wrong
    assert tally.edges
    assert tally.crossed


def test_perp_v2__balances_read_one_unit_off__are_found_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    read = perp_v2_crowd.read_account
    monkeypatch.setattr(
        perp_v2_crowd,
        "read_account",
        lambda *a: replace(read(*a), balance=read(*a).balance + 1),
    )
    assert len(perp_v2_crowd.run(4, SEED).wrong) == 4
