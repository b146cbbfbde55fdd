"""The Executor on the real bytecode of the lines that round half up, 3.0 and 3.2: the unit that their rounding takes,
e-mode, debt at a stable rate; on 3.2 random states besides, rescued every way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any

import pytest

from anvil.abi import encode_call
from anvil.actors import Actors, Borrower
from anvil.client import Chain, Reverted
from anvil.deploy_aave_v3_0 import LENT_USD, deploy_aave_v3_0
from anvil.deploy_aave_v3_2 import deploy_aave_v3_2
from anvil.deploy_compound_v3 import deploy_compound_v3_on
from anvil.deploy_executor import Terms
from anvil.deploy_morpho import deploy_morpho
from anvil.deployment import Deployment
from anvil.node import Anvil
from keeper.cli.owner_cushion import signings
from keeper.daemon.cushions import lacking, without
from keeper.decision import plain_outlook
from keeper.executor.grants import Signing
from keeper.model import Call, Policy, Proposal, Refusal, Token
from keeper.units import WAD
from keeper.venues.cushion import Cushion
from strategies.deleverage import Deleverage
from tests import build
from tests.bench.figures import record
from tests.rescue_states import PPM, WALLET, WAYS, policy, rescued
from tests.venue_executor_stage import Ground, VenueExecutor

DAY_S = 86_400
YEAR_S = 365 * DAY_S
USED_PCT = 99
"""Of the ether lent: a year later its index stands a third higher."""
TRIES = 60
SHORT = "32"
"""NOT_ENOUGH_AVAILABLE_USER_BALANCE."""
BORROW = "borrow(address,uint256,uint256,uint16,address)"
STABLE = 1
TIGHT = build.policy(
    trigger="1.03", target="1.04", max_health="1.08", emergency="1.01", warn="1.05", hysteresis="0.005"
)

BOTH = pytest.mark.parametrize("kind", ["aave_v3_0", "aave_v3_2"])
OLD = pytest.mark.parametrize("kind", ["aave_v3_0"])
SAMPLE = 3
STATES = 200
SEED = 20_261_126
GAS_MAX = 620_000
"""Of a sale, as on the 3.0 line."""


@pytest.fixture(scope="module")
def built(upstream: Anvil, deployment: Deployment) -> Iterator[Ground]:
    """Both markets with an index of ether well above 1, for this file."""
    client = deployment.chain(upstream.url)
    snapshot = client.snapshot()
    site, comet = deploy_morpho(client, deployment), deploy_compound_v3_on(client, deployment)
    spark, middle = deploy_aave_v3_0(client, deployment), deploy_aave_v3_2(client, deployment)
    for market in (spark, middle):
        units = {
            symbol: usd * market.token(symbol).unit // Actors(client, market).price_usd8(symbol) * 10**8
            for symbol, usd in (("wstETH", 10 * LENT_USD), ("WETH", LENT_USD * USED_PCT // 100))
        }
        whale = Borrower(
            account=market.roles.liquidator,
            collateral={"wstETH": units["wstETH"]},
            debt={"WETH": units["WETH"]},
        )
        Actors(client, market).open(whale)
    client.mine(client.block().timestamp_s + YEAR_S)
    yield Ground(chain=client, deployment=deployment, morpho=site, comet=comet, spark=spark, middle=middle)
    client.revert(snapshot)
    client.close()


@pytest.fixture
def stage(built: Ground, chain: Chain, kind: str) -> VenueExecutor:
    """An owner with an Executor, before he granted anything."""
    found = VenueExecutor(replace(built, chain=chain), kind, built.deployment.roles.actors[0])
    found.ground.oracles(3_000)
    found.configure(found.terms())
    return found


@pytest.mark.anvil
@BOTH
def test_sale__that_would_lack_the_last_unit__reverts_until_the_executor_keeps_what_is_asked_for(
    stage: VenueExecutor,
) -> None:
    stage.open({"WETH": 10 * WAD}, {"USDC": 17_000 * 10**6})
    stage.grant("WETH", 10 * WAD)
    stage.crash({"WETH": 2_200})
    (missing,) = _lacking(stage)
    assert missing.token.symbol == "WETH"
    assert "aWETH" in without((missing,))
    nothing, later = _asked(stage, stage.stranger, missing.token)
    assert nothing == ()
    assert "aWETH" in later
    (signing,), later = _asked(stage, stage.owner, missing.token)
    assert later == ""
    # the same blocks and the same index, whatever is sent in the first of them
    idle = Call(target=missing.receipt, data=encode_call("approve(address,uint256)", stage.stranger, 0))
    found = next(n for n in range(TRIES) if _sold(stage, idle, n) == SHORT)
    assert found, "the first amount is as good as any"
    assert [_sold(stage, signing.call, n) for n in (found - 1, found, found + 1)] == ["", "", ""]
    stage.chain.send(stage.owner, signing.call.target, signing.call.data)
    assert _lacking(stage) == ()
    assert _asked(stage, stage.owner, missing.token) == ((), "")


def _lacking(stage: VenueExecutor) -> tuple[Cushion, ...]:
    read = stage.reader.read(stage.chain.block())
    return asyncio.run(lacking(stage.reader.venue, stage.executor, read))


def _asked(stage: VenueExecutor, owner: str, token: Token) -> tuple[tuple[Signing, ...], str]:
    read = stage.reader.read(stage.chain.block())
    return asyncio.run(signings(stage.reader.venue, owner, stage.executor, [token], read))


def _sold(stage: VenueExecutor, first: Call, n: int) -> str:
    """What the pool says of the n-th sale after that call of the owner's, undone; what was kept stays."""
    before = stage.chain.snapshot()
    try:
        stage.chain.send(stage.owner, first.target, first.data)
        kept = stage.leftovers()
        stage.deleverage(stage.order(7_000 * 10**6 + n, 5 * WAD))
        assert stage.leftovers() == kept
    except Reverted as reverted:
        return str(reverted).rpartition(" ")[2]
    finally:
        stage.chain.revert(before)
    return ""


@pytest.mark.anvil
@BOTH
def test_sale__in_an_e_mode__is_by_its_threshold_and_stays_in_it(stage: VenueExecutor) -> None:
    terms = Terms(
        trigger=103 * WAD // 100, target=104 * WAD // 100, max=110 * WAD // 100,
        emergency=1005 * WAD // 1000, hysteresis=WAD // 200, expiry_s=stage.now_s() + 60 * DAY_S,
    )  # fmt: skip
    stage.configure(terms, collateral="wstETH", debt="WETH")
    stage.open({"wstETH": 10 * WAD}, {"WETH": 11 * WAD}, emode=2)
    stage.grant("wstETH", 10 * WAD)
    stage.cushion("wstETH", stage.owner)
    stage.chain.mine(stage.now_s() + 7 * DAY_S)
    before = stage.now()
    assert before.emode
    assert WAD < (before.health_wad or 0) < terms.trigger
    said = _proposed(stage, TIGHT)
    assert isinstance(said, Proposal), said
    stage.sends(stage.reader.venue.encode(said.steps[0], before))
    after = stage.now()
    assert after.emode
    assert (after.health_wad or 0) >= terms.target
    assert (after.health_wad or 0) >= said.health_after_wad * (10**6 - PPM) // 10**6


@pytest.mark.anvil
@OLD
def test_sale__beside_debt_at_a_stable_rate__repays_the_variable_part_alone(stage: VenueExecutor) -> None:
    stage.open({"WETH": 10 * WAD}, {"USDC": 12_000 * 10**6})
    usdc = stage.token("USDC")
    stage.chain.send(stage.owner, stage.market.pool, BORROW, usdc, 3_000 * 10**6, STABLE, 0, stage.owner)
    stage.authorise()
    stage.crash({"WETH": 2_200})
    said = _proposed(stage, policy())
    assert isinstance(said, Proposal), said
    fixed = stage.now().debt[0]
    assert fixed.amount.token.symbol == "USDC (stable rate)"
    stage.sends(stage.reader.venue.encode(said.steps[0], stage.now()))
    left = stage.now()
    assert left.debt[0].amount.units >= fixed.amount.units
    assert (left.health_wad or 0) >= policy().target_wad


@pytest.mark.anvil
@OLD
def test_sale__where_all_debt_is_at_a_stable_rate__is_refused_here_and_there(stage: VenueExecutor) -> None:
    stage.open({"WETH": 10 * WAD}, {})
    usdc = stage.token("USDC")
    stage.chain.send(stage.owner, stage.market.pool, BORROW, usdc, 16_000 * 10**6, STABLE, 0, stage.owner)
    stage.authorise()
    stage.crash({"WETH": 2_200})
    assert isinstance(_proposed(stage, policy()), Refusal)
    with pytest.raises(Reverted, match="39"):  # NO_DEBT_OF_SELECTED_TYPE
        stage.deleverage(stage.order(6_000 * 10**6, 5 * WAD))


@pytest.mark.anvil
def test_rescues__random_states_on_3_2__each_way_reaches_what_it_promised(
    built: Ground, chain: Chain
) -> None:
    found = rescued(replace(built, chain=chain), "aave_v3_2", SAMPLE, seed=SEED)
    assert found.wrong == []
    assert found.done == {way.name: SAMPLE for way in WAYS}, found.refused


@pytest.mark.chaos
@pytest.mark.timeout(3_600)
def test_rescues__200_random_states_on_3_2__each_way_reaches_what_it_promised(
    built: Ground, chain: Chain
) -> None:
    every = (*WAYS, *WALLET)
    found = rescued(replace(built, chain=chain), "aave_v3_2", STATES, seed=SEED, ways=every)
    proof: dict[str, Any] = {"evidence": "real_bytecode", "n": STATES, "seed": SEED}
    for way, done in sorted(found.done.items()):
        name = f"rescues_{way}_aave_v3_2"
        record(name, done, unit="states", bound=f"= {STATES}", holds=done == STATES, **proof)
    gas = int(median(found.gas["deleverage"]))
    bound = f"<= {GAS_MAX}"
    record("deleverage_gas_on_aave_v3_2", gas, unit="gas", bound=bound, holds=gas <= GAS_MAX, **proof)
    assert found.wrong == []
    assert found.done == {way.name: STATES for way in every}, found.refused


def _proposed(stage: VenueExecutor, terms: Policy) -> Proposal | Refusal:
    shot = stage.snapshot(stage.desk())
    (position,) = shot.positions
    outlook = plain_outlook(position, terms, "")
    return Deleverage().propose(position, outlook, terms, shot.means, stage.reader.venue, shot.block)
