"""An empty-wallet borrower is brought to target in one transaction, through each flash source, on real Aave v3.6."""

from __future__ import annotations

import pytest

from anvil.client import Chain
from anvil.deploy_executor import AAVE_V3, UNISWAP_V3_FLASH, UNISWAP_V3_SWAP
from anvil.deployment import Deployment
from tests.executor_stage import ExecutorStage

pytestmark = pytest.mark.anvil
WAD = 10**18


@pytest.fixture
def stage(chain: Chain, deployment: Deployment) -> ExecutorStage:
    """10 WETH against 17,000 USDC; then ETH falls to 2,060 dollars and health to 1.0058."""
    stage = ExecutorStage(chain, deployment)
    stage.configure()
    stage.open({"WETH": 10 * WAD}, {"USDC": 17_000 * 10**6})
    stage.grant("WETH", 8 * WAD)
    stage.crash({"WETH": 2_060})
    return stage


@pytest.mark.parametrize("source", [UNISWAP_V3_SWAP, UNISWAP_V3_FLASH, AAVE_V3])
def test_deleverage__wallet_empty_after_a_crash__reaches_target_in_one_transaction(
    stage: ExecutorStage, source: int
) -> None:
    before = stage.health()
    order = stage.order(12_000 * 10**6, 6 * WAD, source, source_token=stage.token("DAI"), source_fee=500)
    receipt = stage.deleverage(order)
    print("gas", source, int(receipt["gasUsed"], 16))
    assert 1.40 * WAD <= stage.health() <= 1.60 * WAD, (before, stage.health())
    assert stage.leftovers() == {}
    assert stage.seq() == 1
