"""Which proposal is taken: an owner's limit goes before a rescue only where it rescues as well."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.decision.ranking import Graded, rank
from keeper.model import Proposal
from keeper.model.wish import Reduce
from keeper.units import UINT256_MAX, WAD
from tests import build

pytestmark = pytest.mark.unit
LIMITED = replace(
    build.policy(), reduces=(Reduce(by="exposure_limits", targets=(UINT256_MAX,), why="over its limit"),)
)


def found(strategy: str, health: str, *, first: bool = False) -> Proposal:
    return Proposal(
        ids=(build.position_id(),),
        strategy=strategy,
        steps=(),
        health_after_wad=int(float(health) * 1000) * WAD // 1000,
        spend_usd=100.0,
        gas_usd=1.0,
        idle_usd=0.0,
        cost_usd=1.0,
        why=strategy,
        first=first,
    )


@pytest.mark.parametrize(
    ("limit", "taken"),
    [
        ((found("exposure_limits", "1.05", first=True), 0), "deleverage"),
        ((found("exposure_limits", "1.30", first=True), 1), "deleverage"),
        ((found("exposure_limits", "1.40", first=True), 1), "exposure_limits"),
    ],
)
def test_rank__a_limit_that_says_it_is_first__only_where_it_rescues_as_well(
    limit: Graded, taken: str
) -> None:
    rescue = (found("deleverage", "1.40"), 1)
    best, rest = rank([limit, rescue], LIMITED, 105 * WAD // 100)
    assert best is not None
    assert best.strategy == taken
    assert len(rest) == 1
