"""``keeper replay --config`` over a loan on the real Aave v3.6 and its hedge on GMX's double: both are sailed.

The paper's liquidations come at the prices at which both engines liquidate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anvil.client import Chain
from anvil.node import Anvil
from tests.command import typed
from tests.joint_stage import Joint, joint, joint_home, liquidated
from tests.perp_node import client, own_node

pytestmark = pytest.mark.anvil
STEP = 10
"""Dollars from one bar to the next."""
WAY = (*range(2_000, 1_390, -STEP), *range(1_400, 2_910, STEP))
"""Down through the loan, up through the short."""


@pytest.fixture
def node() -> Iterator[Anvil]:
    with own_node() as made:
        yield made


@pytest.fixture
def chain(node: Anvil) -> Iterator[Chain]:
    with client(node) as made:
        yield made


def taken(chain: Chain, at: Joint, eth_usd: int) -> bool:
    """Whether GMX's engine takes the short at that price; nothing of it remains."""
    before = chain.snapshot()
    found = liquidated(chain, at, eth_usd)
    chain.revert(before)
    return found


def health(chain: Chain, at: Joint, eth_usd: int) -> float:
    """The loan's by Aave at that price."""
    before = chain.snapshot()
    chain.send(chain.accounts[0], at.market.token("WETH").feed, "set(int256)", eth_usd * 10**8)
    found = at.health()
    chain.revert(before)
    return found


def sunk_at(accounts: list[dict[str, Any]], name: str) -> int:
    """The price of the bar in which its liquidators came."""
    (events,) = [a["events"] for a in accounts if a["name"] == name]
    first = next(e for e in events if e["what"] == "liquidated")
    return WAY[int(first["time_s"]) // 60 - 1]


def test_replay__of_a_configured_loan_and_its_hedge__sails_both_and_liquidates_each_where_its_engine_does(
    tmp_path: Path, node: Anvil, chain: Chain
) -> None:
    at = joint(node, chain)
    home = joint_home(tmp_path, node, at)
    chain.rpc("evm_setAutomine", True)
    chain.mine()
    rows = (f"{60 * n},ETH/USDT,{p},{p},{p},{p}\n" for n, p in enumerate(WAY, 1))
    (tmp_path / "eth.csv").write_text("ts,symbol,open,high,low,close\n" + "".join(rows))
    line = ("replay", "--config", str(home.config), "--prices", str(tmp_path / "eth.csv"), "--field", "close")
    line = (*line, "--feed", "every", "--keepers", "nobody,ours")
    told = typed(tmp_path, *line, "--json")
    assert told.returncode in (0, 1), told.stderr
    body = json.loads(told.stdout)
    assert body["left_out"] == []
    assert body["perps"]["positions"] == 1
    by = {k["keeper"]: k["accounts"] for k in body["keepers"]}
    assert [a["name"] for a in by["nobody"]] == [a["name"] for a in by["ours"]] == ["loan", "hedge"]
    low, high = sunk_at(by["nobody"], "loan"), sunk_at(by["nobody"], "hedge")
    assert health(chain, at, low) < 1 <= health(chain, at, low + STEP)
    assert taken(chain, at, high)
    assert not taken(chain, at, high - STEP)
    # each is held to the policy that guards it: in the measure of its venue the short is closed in part before that
    told_of = "each position is replayed under the policy that guards it: default: 1 (loan); perp: 1 (hedge)"
    assert told_of in body["notes"]
    assert [a["policy"] for a in by["ours"]] == ["default", "perp"]
    hedge = by["ours"][1]
    first = next(e for e in hedge["events"] if e["what"] == "act")
    assert (first["health_before"], first["health_after"]) == pytest.approx((1.03, 1.04), abs=0.008)
    assert hedge["health_lowest"] > 1
    # and fares as where all are held to that one by name
    shown = typed(tmp_path, *line, "--policy", "perp")
    assert shown.returncode in (0, 1), shown.stderr
    assert "left out" not in shown.stdout
    assert "1 perpetual positions: funding and borrowing at the rates of now" in shown.stdout
    named = json.loads(typed(tmp_path, *line, "--policy", "perp", "--json").stdout)
    assert [k["accounts"][1] for k in named["keepers"]] == [by["nobody"][1], hedge]
