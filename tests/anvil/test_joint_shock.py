"""``keeper shock``, ``distance`` and ``risk`` over a loan on the real Aave v3.6 and its hedge on GMX's double.

One grid, as both engines judge it; the days that funding and borrowing leave; and how near ADL is.

The engine double closes nobody by ADL: its store holds the share above which GMX may, and that is all that is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anvil.client import Chain
from anvil.deploy_gmx_v2 import USD, key, market_moves, put
from anvil.node import Anvil
from tests.command import typed
from tests.joint_stage import Joint, joint, joint_home, liquidated
from tests.perp_node import client, own_node
from tests.venue_stage import Guarded

pytestmark = pytest.mark.anvil

START = 2_000
STEPS = (-30, -10, 0, 20, 45)
BREAKS = {-30: "loan", 45: "hedge"}
"""Health of the loan is 1.38, the short has 4,000 dollars of margin on 10,000: which leg each move liquidates."""


@pytest.fixture
def node() -> Iterator[Anvil]:
    with own_node() as made:
        yield made


@pytest.fixture
def chain(node: Anvil) -> Iterator[Chain]:
    with client(node) as made:
        yield made


def engines(chain: Chain, at: Joint, eth_usd: int) -> tuple[float, bool]:
    """(the loan's health by Aave, whether GMX liquidates the short) at that price, and nothing of it remains."""
    before = chain.snapshot()
    for feed in (at.market.token("WETH").feed, at.gmx.wnt_feed):
        chain.send(chain.accounts[0], feed, "set(int256)", eth_usd * 10**8)
    found = at.health(), liquidated(chain, at, eth_usd)
    chain.revert(before)
    return found


def test_shock__on_a_loan_and_its_hedge__shows_both_legs_in_one_grid_as_both_engines_judge_them(
    tmp_path: Path, node: Anvil, chain: Chain
) -> None:
    at = joint(node, chain)
    home = joint_home(tmp_path, node, at)
    chain.rpc("evm_setAutomine", True)
    chain.mine()
    line = ("shock", "--config", str(home.config), "--grid", "ETH,USDC", "--steps", ",".join(map(str, STEPS)))
    told = typed(tmp_path, *line, "--json")
    assert told.returncode == 0, told.stderr
    body = json.loads(told.stdout)
    assert sorted(body["positions"]) == ["hedge", "loan"]
    places = {name: i for i, name in enumerate(body["positions"])}
    assert len(body["shocks"]) == len(STEPS) ** 2
    assert {tuple(s["joint_usd"]) for s in body["shocks"]} == {(at.owner,)}, "one owner, all of his legs"
    # the dollar stands still: row by row, its column of no move is the third of five
    still = dict(zip(STEPS, body["shocks"][2 :: len(STEPS)], strict=True))
    for move, shock in still.items():
        health, taken = engines(chain, at, START * (100 + move) // 100)
        loan, hedge = (shock["health"][places[name]] for name in ("loan", "hedge"))
        assert loan == pytest.approx(health, rel=1e-4), move
        assert (hedge < 1) == taken, move
        broken = [n for n, h in (("loan", loan), ("hedge", hedge)) if h < 1]
        assert broken == ([BREAKS[move]] if move in BREAKS else []), move
        assert shock["liquidatable"] == len(broken)
    # five of the ten ether are hedged: the owner feels half of what ether does
    worth = {move: shock["joint_usd"][at.owner] for move, shock in still.items()}
    for move in STEPS:
        assert worth[move] - worth[0] == pytest.approx(5 * START * move / 100, rel=0.02, abs=1.0), move
    shown = typed(tmp_path, *line)
    assert shown.returncode == 0
    assert all(word in shown.stdout for word in ("joint USD", "loan", "hedge"))


def answer(folder: Path, home: Guarded, *line: str) -> dict[str, Any]:
    """A command's JSON over the guarded positions."""
    found = typed(folder, *line, "--config", str(home.config), "--json")
    assert found.returncode == 0, found.stderr
    body: dict[str, Any] = json.loads(found.stdout)
    return body


def test_distance__of_a_hedge_that_pays_for_its_place__tells_the_days_after_which_the_engine_takes_it(
    tmp_path: Path, node: Anvil, chain: Chain
) -> None:
    at = joint(node, chain)
    home = joint_home(tmp_path, node, at)
    chain.rpc("evm_setAutomine", True)
    chain.mine()
    rows = {row["name"]: row for row in answer(tmp_path, home, "distance")["positions"]}
    days = rows["hedge"]["days_by_rates"]
    assert days is not None, "the clock of a configured slot"
    assert 0 < days < math.inf
    now_s = chain.block().timestamp_s
    # the price stands still; health is counted at a price that is a little worse than the engine's
    for share, taken in ((0.98, False), (1.02, True)):
        before = chain.snapshot()
        chain.mine(now_s + int(days * share * 86_400))
        assert liquidated(chain, at, START) == taken, share
        chain.revert(before)


@pytest.mark.parametrize(("limit_pct", "enabled"), [(85, False), (5, True)])
def test_risk__of_a_winning_hedge__says_how_near_the_venue_is_to_closing_it(
    limit_pct: int, enabled: bool, tmp_path: Path, node: Anvil, chain: Chain
) -> None:
    at = joint(node, chain)
    home = joint_home(tmp_path, node, at)
    chain.rpc("evm_setAutomine", True)
    limit = key("MAX_PNL_FACTOR", "MAX_PNL_FACTOR_FOR_ADL", at.gmx.market, False)
    put(chain, at.gmx, {limit: USD * limit_pct // 100})
    (calm,) = answer(tmp_path, home, "risk")["adl"]
    assert calm == {
        "name": "hedge",
        "by": "gmx_v2",
        "value": calm["value"],
        "winning": False,
        "enabled": False,
    }
    market_moves(chain, at.gmx, 1_500 * 10**8)
    (row,) = answer(tmp_path, home, "risk")["adl"]
    # twenty millions of others' shorts and its own won a quarter, out of a hundred millions of dollars
    share = (20_000_000 + 10_000) * 0.25 / 100_000_000
    assert row["value"] == pytest.approx(1 - share / (limit_pct / 100), abs=2e-3 / (limit_pct / 100))
    assert (row["name"], row["by"], row["winning"], row["enabled"]) == ("hedge", "gmx_v2", True, enabled)
