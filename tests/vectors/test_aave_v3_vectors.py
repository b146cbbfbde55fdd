"""Account data of real contracts, recorded: 125 states of v3.6.0 and 125 of v3.0.2, reproduced to the wei."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from keeper.venues.aave_v3.math import LINE_3_0, LINE_3_5, AccountData, Line, supply_index, value_down

pytestmark = pytest.mark.vectors

RECORDED = {"aave-3.6.0": LINE_3_5, "aave-3.0.2": LINE_3_0}


def data_folder() -> Path:
    """Where the recorded vectors lie: $KEEPER_VECTORS, or ``shared/data`` beside the repository."""
    named = os.environ.get("KEEPER_VECTORS")
    return Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, list[dict[str, object]]]:
    path = data_folder() / "lending_vectors.json"
    if not path.is_file():
        pytest.skip(f"no recorded vectors at {path} (set KEEPER_VECTORS)")
    loaded: Mapping[str, list[dict[str, object]]] = json.loads(path.read_text())
    return loaded


def account(line: Line, state: dict) -> AccountData:  # type: ignore[type-arg]
    """The six words of one recorded state by the line's arithmetic."""
    now = int(state["now"])
    c = d = by_threshold = by_ltv = 0
    for p in state["positions"]:
        r = {k: int(v) for k, v in p["reserve"].items()}
        price, unit, age = int(p["price"]), int(p["unit"]), now - r["last"]
        if p["coll"] and (line.bare_threshold_counts or int(p.get("lt_raw", p["lt"]))):
            index = supply_index(r["liquidityIndex"], r["liquidityRate"], age)
            base = value_down(line.collateral(int(p["scaledA"]), index), price, unit)
            c, by_threshold, by_ltv = (
                c + base,
                by_threshold + base * int(p["lt"]),
                by_ltv + base * int(p["ltv"]),
            )
        if int(p["scaledD"]):
            index = line.borrow_index(r["borrowIndex"], r["borrowRate"], age)
            d += line.debt_value(line.debt(int(p["scaledD"]), index), price, unit)
    return line.account(c, d, by_threshold, by_ltv)


@pytest.mark.parametrize("version", list(RECORDED))
def test_account_data__recorded_states__equal_to_the_wei(version: str, recorded: Mapping[str, list]) -> None:  # type: ignore[type-arg]
    states = recorded[version]
    assert len(states) == 125
    for state in states:
        e = {k: int(v) for k, v in state["expect"].items()}
        expected = (e["collateral"], e["debt"], e["available"], e["lt"], e["ltv"], e["hf"])
        assert account(RECORDED[version], state) == expected


def test_account_data__line_of_another_release__differs(recorded: Mapping[str, list]) -> None:  # type: ignore[type-arg]
    states = recorded["aave-3.6.0"]
    wrong = sum(account(LINE_3_0, s)[5] != int(s["expect"]["hf"]) for s in states)
    assert wrong > len(states) // 2, "the vectors would not notice the wrong line"
