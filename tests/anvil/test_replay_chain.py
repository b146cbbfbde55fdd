"""Does the paper market tell the truth: a fall on real Aave v3.6 and Uniswap v3, beside the paper.

Five falls, and the figures of them, are in ``tests/bench/test_bench_replay_chain.py``.
"""

from __future__ import annotations

import pytest

from anvil.client import Chain
from anvil.deployment import Deployment
from anvil.replayed import drive
from anvil.replayed_cases import COST_APART_MAX, HEALTH_APART_MAX, Case
from tests.replay_falls import FALLS

pytestmark = [pytest.mark.anvil, pytest.mark.timeout(600)]


@pytest.mark.parametrize("case", [FALLS[0]], ids=lambda c: c.name)
def test_paper__when_the_same_fall_is_driven_through_the_chain__then_they_agree(
    chain: Chain, deployment: Deployment, case: Case
) -> None:
    for keeper in ("nobody", "ours"):
        found = drive(chain, deployment, case, (keeper, None))
        assert found.paper_sunk == found.chain_sunk
        assert found.paper_refused == found.chain_refused
        assert (keeper == "ours") == bool(found.paper_refused)
        assert found.health_apart <= HEALTH_APART_MAX
        assert found.cost_apart <= COST_APART_MAX
