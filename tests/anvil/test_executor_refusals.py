"""Wrong input to a deployed Executor: each is refused under its own name, and nothing moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_utils.crypto import keccak

from anvil.abi import encode_call
from anvil.client import Chain, Reverted
from anvil.compile import own_artifact
from anvil.deploy_executor import (
    ADD_COLLATERAL,
    COLLATERAL,
    REPAY_FROM_RESERVE,
    Order,
    deploy_executor,
    deploy_factory,
    executor_address,
    set_assets,
    set_position,
)
from anvil.deployment import Deployment
from anvil.shock import set_ltv_zero
from keeper.executor import errors
from keeper.executor.abi import selector
from keeper.model import Amount
from tests.anvil_reading import Reader
from tests.executor_stage import ExecutorStage
from tests.mandates import sale

pytestmark = pytest.mark.anvil
WAD = 10**18
USDC = 10**6


@pytest.fixture
def stage(chain: Chain, deployment: Deployment) -> ExecutorStage:
    """The borrower after the crash; two hours after deployment, when what loosens needs notice."""
    stage = ExecutorStage(chain, deployment)
    stage.configure()
    stage.open({"WETH": 10 * WAD}, {"USDC": 17_000 * USDC})
    stage.grant("WETH", 8 * WAD)
    chain.mine(stage.now_s() + 7_200)
    stage.crash({"WETH": 2_060})
    return stage


def refused(
    stage: ExecutorStage, name: str, order: Order | None = None, *, sender: str | None = None
) -> None:
    """The order reverts with that error, and position and seq are as they were."""
    before = stage.actors.holdings(stage.owner)[0]["WETH"]
    with pytest.raises(Reverted) as caught:
        stage.deleverage(order or stage.order(12_000 * USDC, 6 * WAD), sender=sender)
    assert caught.value.name == name
    assert stage.actors.holdings(stage.owner)[0]["WETH"] >= before
    assert stage.seq() == 0


def test_grant__missing_too_small_or_revoked__is_named(stage: ExecutorStage) -> None:
    for units in (0, WAD, 0):
        stage.grant("WETH", units)
        refused(stage, "GrantShort")


def test_policy__expired__is_named(stage: ExecutorStage, chain: Chain) -> None:
    chain.mine(stage.now_s() + 31 * 86_400)
    refused(stage, "PolicyExpired")


def test_router__not_on_the_list__is_named(stage: ExecutorStage, deployment: Deployment) -> None:
    order = stage.order(12_000 * USDC, 6 * WAD, 3, router=deployment.uniswap.router, data=(b"",))
    refused(stage, "RouterUnknown", order)


def test_terms__target_below_trigger__are_named(stage: ExecutorStage, chain: Chain) -> None:
    terms = stage.terms(target=124 * WAD // 100)
    with pytest.raises(Reverted) as caught:
        set_position(chain, stage.owner, stage.executor, stage.position, terms)
    assert (caught.value.name, caught.value.arguments) == ("BadPolicy", (3,))


def test_position__the_executor_does_not_know__is_named(stage: ExecutorStage) -> None:
    order = stage.order(12_000 * USDC, 6 * WAD)
    refused(stage, "PositionUnknown", replace(order, position=bytes(32)))


def test_token__not_listed__is_named(stage: ExecutorStage) -> None:
    order = stage.order(12_000 * USDC, 6 * WAD)
    refused(stage, "AssetUnknown", replace(order, debt=stage.token("DAI")))


def test_caller__guardian_owner_or_stranger__is_no_bot(stage: ExecutorStage) -> None:
    for sender in (stage.guardian, stage.owner, stage.stranger):
        refused(stage, "NotBot", sender=sender)


def test_pause__by_the_guardian__stops_the_bot_and_the_bot_cannot_pause(
    stage: ExecutorStage, chain: Chain
) -> None:
    with pytest.raises(Reverted, match="NotGuardian"):
        chain.send(stage.bot, stage.executor, "pause()")
    chain.send(stage.guardian, stage.executor, "pause()")
    refused(stage, "IsPaused")


def test_pay_in__from_wallet_and_reserve__does_what_it_says(
    stage: ExecutorStage, chain: Chain, deployment: Deployment
) -> None:
    stage.actors.mint("USDC", stage.executor, 3_000 * USDC)
    stage.actors.mint("USDC", stage.owner, 3_000 * USDC)
    arguments = (stage.position, 0, stage.token("USDC"), 5_000 * USDC, stage.now_s() + 60)
    with pytest.raises(Reverted, match="GrantShort"):
        chain.send(stage.bot, stage.executor, REPAY_FROM_RESERVE, *arguments)
    chain.send(stage.owner, stage.token("USDC"), "approve(address,uint256)", stage.executor, 2_000 * USDC)
    chain.send(stage.bot, stage.executor, REPAY_FROM_RESERVE, *arguments)
    assert stage.health() >= 1.40 * WAD
    assert stage.actors.balance("USDC", stage.owner) == 1_000 * USDC
    assert stage.leftovers() == {}

    stage.crash({"WETH": 1_800})
    stage.actors.mint("WETH", stage.executor, 2 * WAD)
    chain.rpc("anvil_mine", hex(5))
    seq = stage.seq()
    late = stage.now_s() + 60
    chain.send(
        stage.bot, stage.executor, ADD_COLLATERAL, stage.position, seq, stage.token("WETH"), 2 * WAD, late
    )
    assert stage.health() >= 1.40 * WAD
    assert stage.leftovers() == {}


def test_router__added_late__waits_a_day_from_its_announcement(
    stage: ExecutorStage, chain: Chain, deployment: Deployment
) -> None:
    call = ("setRouter(address,bool)", deployment.uniswap.router, True)
    with pytest.raises(Reverted, match="NotAnnounced"):
        stage.by_owner(*call)
    stage.by_owner("announce(bytes32)", keccak(encode_call(*call)))
    with pytest.raises(Reverted, match="NotAnnounced"):
        stage.by_owner(*call)
    chain.mine(stage.now_s() + 86_400)
    stage.by_owner(*call)


def test_executor__deployed_twice_or_by_another__has_an_address_of_the_owners_own(
    stage: ExecutorStage, chain: Chain, deployment: Deployment
) -> None:
    factory, artifact = deploy_factory(chain), own_artifact("AaveV3Executor")
    assert stage.executor == executor_address(factory, stage.owner, artifact)
    with pytest.raises(Reverted, match="DeployFailed"):
        deploy_executor(chain, stage.owner, stage.venues)
    assert deploy_executor(chain, stage.stranger, stage.venues) != stage.executor


def test_executor__code_on_chain__is_the_artifact_but_for_its_immutables(
    stage: ExecutorStage, chain: Chain
) -> None:
    artifact = own_artifact("AaveV3Executor")
    code = bytearray.fromhex(chain.rpc("eth_getCode", stage.executor, "latest")[2:])
    assert len(code) <= 24_576
    for start, length in artifact.immutables:
        code[start : start + length] = bytes(length)
    assert "0x" + code.hex() == artifact.runtime


def test_sale__while_other_collateral_lends_nothing__is_refused_by_name_and_that_one_sold(
    chain: Chain, deployment: Deployment
) -> None:
    stage = ExecutorStage(chain, deployment)
    stage.configure()
    set_assets(
        chain, stage.owner, stage.executor, stage.position, [(stage.token("WBTC"), COLLATERAL, 10**9, 0)]
    )
    stage.open({"WETH": 10 * WAD, "WBTC": 10**7}, {"USDC": 17_000 * USDC})
    stage.grant("WETH", 8 * WAD)
    stage.grant("WBTC", 10**7)
    stage.crash({"WETH": 1_700})
    reader = Reader(chain, deployment)
    tokens = {t.symbol: t for t in reader.venue.tokens}
    repay, sold = Amount(token=tokens["USDC"], units=6_100 * USDC), {"WETH": 4 * WAD, "WBTC": 7 * 10**6}

    def codes() -> dict[str, str | None]:
        now = reader.snapshot([stage.owner])
        found: dict[str, str | None] = {}
        for symbol, units in sold.items():
            step = sale(sell_max=Amount(token=tokens[symbol], units=units), sold=units, repay=repay)
            no = reader.venue.can(step, now.positions[0], now.means)
            found[symbol] = no.code if no else None
        return found

    assert codes() == {"WETH": None, "WBTC": None}
    set_ltv_zero(chain, deployment, "WBTC")
    assert codes() == {"WETH": "ltv_zero_first", "WBTC": None}
    with pytest.raises(Reverted, match="LtvValidationFailed"):
        stage.deleverage(stage.order(repay.units, sold["WETH"]))
    assert errors.NAMES[selector("LtvValidationFailed()")] == "Aave: LtvValidationFailed"
    btc = stage.order(repay.units, sold["WBTC"], collateral=stage.token("WBTC"), swap_fee=3_000)
    stage.deleverage(btc)
    assert stage.health() >= 1.40 * WAD
