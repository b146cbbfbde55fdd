"""Does the paper market tell the truth: five falls on real Aave v3.6 and Uniswap v3, beside the paper.

``paper_vs_chain_health_max``: the largest difference of health at any moment of the five, with nobody acting and with
ours. ``paper_vs_chain_cost_pct``: the largest difference of what the owner paid (to liquidators, for impact, fees and
gas), in per cent of the paper's. Liquidations are at the same moments, or the test fails.
"""

from __future__ import annotations

import shutil

import pytest
from rich.console import Console
from rich.table import Table

from anvil.client import Chain
from anvil.deploy import deploy
from anvil.node import Anvil, AnvilSettings
from anvil.replayed import GENESIS_S, drive
from anvil.replayed_cases import COST_APART_MAX, HEALTH_APART_MAX
from anvil.tools import HERE
from tests.bench.figures import record
from tests.replay_falls import FALLS

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(1_200),
    pytest.mark.skipif(
        shutil.which("node") is None or not (HERE / "node_modules").is_dir(), reason="run `make setup` first"
    ),
]


def test_paper__when_five_falls_are_driven_through_the_chain__then_they_agree() -> None:
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S)) as node:
        chain = Chain(node.url)
        try:
            market = deploy(chain)
            found = [drive(chain, market, case, (k, None)) for case in FALLS for k in ("nobody", "ours")]
        finally:
            chain.close()
    table = Table(
        "fall", "keeper", "moments", "apart", "liquidated", "on chain", "refused", "paid USD", "on chain USD"
    )
    for one in found:
        table.add_row(*one.cells())
    Console(width=120).print(table)
    health, cost = max(f.health_apart for f in found), max(f.cost_apart for f in found)
    record(
        "paper_vs_chain_health_max",
        float(f"{health:.2g}"),
        unit="health",
        bound=f"<= {HEALTH_APART_MAX:g}",
        holds=health <= HEALTH_APART_MAX,
        evidence="real_bytecode",
        n=len(FALLS),
    )
    record(
        "paper_vs_chain_cost_pct",
        round(100.0 * cost, 3),
        unit="%",
        bound=f"<= {100.0 * COST_APART_MAX:g}",
        holds=cost <= COST_APART_MAX,
        evidence="real_bytecode",
        n=len(FALLS),
    )
    assert all(f.paper_sunk == f.chain_sunk for f in found)
    assert all(f.paper_refused == f.chain_refused for f in found)
    assert {name for f in found for name in f.paper_refused} >= {"SellLimit"}
    assert health <= HEALTH_APART_MAX
    assert cost <= COST_APART_MAX
