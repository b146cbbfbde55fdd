"""Every kind of account of the 3.0 line on its real bytecode: our integers are the pool's own, to the wei."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.deploy_aave_v3_0 import deploy_aave_v3_0
from anvil.deployment import Deployment
from anvil.node import Anvil
from anvil.shock import set_prices
from keeper.model import Amount, Repay, Supply
from keeper.units import WAD
from keeper.venues.aave_v3.math import LINE_3_0
from keeper.venues.aave_v3.rules import Case, Liquidation, closable_units, liquidate
from tests.aave_v3_states import (
    BORROW,
    DAY_S,
    STABLE,
    USD8,
    Script,
    lets_liquidate,
    run,
    start_prices,
    whale,
)
from tests.anvil_reading import Reader
from tests.bench.figures import record

pytestmark = pytest.mark.anvil

SEED = 20_260_502
CLASSES = ("one_debt", "several_debts", "e_mode", "switched_off", "dust", "isolation", "stable_rate")
EACH = 29
N = len(CLASSES) * EACH
ROUNDS = 3


@pytest.fixture(scope="module")
def spark(upstream: Anvil, deployment: Deployment) -> Iterator[Deployment]:
    """The 3.0 market in place of the newer one, for this file; each test's own changes are undone by ``chain``."""
    client = deployment.chain(upstream.url)
    snapshot = client.snapshot()
    yield deploy_aave_v3_0(client, deployment)
    client.revert(snapshot)
    client.close()


def test_states_exact__203_random_accounts_of_seven_classes__equal_the_pool_to_the_wei(
    chain: Chain, spark: Deployment
) -> None:
    rng, start = random.Random(SEED), start_prices(chain, spark)
    assert Reader(chain, spark).venue.market.line is LINE_3_0
    whale(chain, spark, start)
    people = [Script(kind, rng, spark, start) for kind in CLASSES for _ in range(EACH)]
    tally = run(chain, spark, people, rng, [lambda: None] * ROUNDS)
    wrong = len(tally.wrong)
    proof: dict[str, Any] = {"evidence": "real_bytecode", "n": N, "seed": SEED}
    record("states_exact_aave_v3_0", N - wrong, unit="states", bound=f"= {N}", holds=not wrong, **proof)
    record("states_wrong_aave_v3_0", wrong, unit="states", bound="= 0", holds=not wrong, **proof)
    assert not wrong, f"{wrong} of {N} differ, e.g. {tally.wrong[0]}"
    assert tally.underwater, (
        "no account was ever liquidatable: the prices do not reach the interesting states"
    )
    assert tally.fixed == EACH * ROUNDS, "debt at a stable rate stands apart, under its own name"


@pytest.fixture
def loan(chain: Chain, spark: Deployment) -> Reader:
    """One account with collateral of two thresholds and one debt, a year old."""
    user = spark.roles.actors[1]
    collateral = {"WETH": 10 * 10**18 + 7, "wstETH": 3 * 10**18 + 1}
    Actors(chain, spark).open(
        Borrower(account=user, collateral=collateral, debt={"USDC": 25_000 * 10**6 + 1})
    )
    chain.mine(chain.block().timestamp_s + 365 * DAY_S)
    return Reader(chain, spark)


def test_verdict__at_the_exact_boundary_price__is_the_pools_own_on_both_sides(
    chain: Chain, spark: Deployment, loan: Reader
) -> None:
    user = spark.roles.actors[1]
    liquidator, usdc = spark.roles.liquidator, spark.token("USDC").address
    chain.send(chain.accounts[0], usdc, "mint(address,uint256)", liquidator, 10**12)
    chain.send(liquidator, usdc, "approve(address,uint256)", spark.pool, 2**256 - 1)
    chain.rpc("anvil_setBlockTimestampInterval", 0)

    def health(price: int) -> int:
        set_prices(chain, spark, {"WETH": price})
        return loan.position(user).health_wad or 0

    low, high = 500 * USD8, 3_000 * USD8
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if health(middle) >= WAD else (middle, high)
    sides = []
    for price in (high, low):
        ours = health(price) < WAD
        sides.append((ours, lets_liquidate(chain, spark, user)))
    assert sides == [(False, False), (True, True)]


def test_rescue__by_top_up_and_by_repayment__does_what_was_projected(
    chain: Chain, spark: Deployment, loan: Reader
) -> None:
    user, keeper = spark.roles.actors[1], spark.roles.keeper
    tokens = {t.symbol: t for t in loan.venue.tokens}
    for symbol in ("WETH", "USDC"):
        chain.send(chain.accounts[0], tokens[symbol].address, "mint(address,uint256)", keeper, 10**22)
        chain.send(keeper, tokens[symbol].address, "approve(address,uint256)", spark.pool, 2**256 - 1)
    for step in (
        Supply(amount=Amount(token=tokens["WETH"], units=10**18)),
        Repay(amount=Amount(token=tokens["USDC"], units=5_000 * 10**6)),
        Repay(amount=Amount(token=tokens["USDC"], units=50_000 * 10**6)),
    ):
        chain.rpc("anvil_setBlockTimestampInterval", 0)
        snapshot = loan.snapshot([user], wallet=keeper)
        before = snapshot.positions[0]
        assert loan.venue.can(step, before, snapshot.means) is None
        promised = loan.venue.after([step], before)
        call = loan.venue.encode(step, before)
        receipt = chain.send(keeper, call.target, call.data, gas=loan.venue.gas(step))
        assert int(receipt["gasUsed"], 16) < loan.venue.gas(step)
        real = loan.position(user)
        assert (promised.health_wad or 0) <= (real.health_wad or 0)
        assert (real.health_wad or 0) > (before.health_wad or 0)
    assert not real.debt


def test_stable_rate__when_owed__is_read_and_named_and_no_step_touches_it(
    chain: Chain, spark: Deployment
) -> None:
    user, keeper = spark.roles.actors[2], spark.roles.keeper
    Actors(chain, spark).open(Borrower(account=user, collateral={"WETH": 10**19}, debt={"USDC": 50 * 10**6}))
    reader = Reader(chain, spark)
    # nobody owes at a stable rate yet: accounts are not asked for it
    assert len(reader.position(user).debt) == 1
    calm = len(reader.venue.calls([user], reader.seen[reader.venue.id]))
    usdc = spark.token("USDC").address
    chain.send(user, spark.pool, BORROW, usdc, 9_000 * 10**6, STABLE, 0, user)
    chain.mine(chain.block().timestamp_s + 90 * DAY_S)
    snapshot = reader.snapshot([user], wallet=keeper)
    assert len(reader.venue.calls([user], reader.seen[reader.venue.id])) == calm + 1
    (position,) = snapshot.positions
    fixed, variable = position.debt
    assert fixed.amount.token.symbol == "USDC (stable rate)"
    assert fixed.amount.units > 9_000 * 10**6
    assert "stable_rate" in position.row.flags
    refused = reader.venue.can(Repay(amount=fixed.amount), position, snapshot.means)
    assert refused is not None
    assert refused.code == "reserve_unread"
    part = Repay(amount=Amount(token=variable.amount.token, units=10 * 10**6))
    assert reader.venue.can(part, position, snapshot.means) is None
    assert reader.venue.after([part], position).debt[0] == fixed


def test_liquidation__half_of_the_reserves_debt__moves_what_the_rule_says(
    chain: Chain, spark: Deployment, loan: Reader
) -> None:
    user, liquidator = spark.roles.actors[1], spark.roles.liquidator
    usdc, weth = spark.token("USDC"), spark.token("WETH")
    chain.send(chain.accounts[0], usdc.address, "mint(address,uint256)", liquidator, 10**12)
    chain.send(liquidator, usdc.address, "approve(address,uint256)", spark.pool, 2**256 - 1)
    chain.rpc("anvil_setBlockTimestampInterval", 0)
    set_prices(chain, spark, {"WETH": 1_900 * USD8})
    before = loan.position(user)
    assert 0.95 < (before.health_wad or 0) / WAD < 1
    held = {h.amount.token.symbol: h for h in (*before.collateral, *before.debt)}
    case = Case(
        health_wad=before.health_wad or 0,
        collateral_units=held["WETH"].amount.units,
        collateral_price=held["WETH"].price_base,
        collateral_unit=weth.unit,
        debt_units=held["USDC"].amount.units,
        debt_price=held["USDC"].price_base,
        debt_unit=usdc.unit,
        total_debt_base=held["USDC"].value_base,
        bonus_bps=held["WETH"].bonus_bps,
        bonus_fee_bps=held["WETH"].bonus_fee_bps,
        cover_units=2**200,
    )
    expected = liquidate(LINE_3_0, case)
    assert isinstance(expected, Liquidation)
    assert expected.repaid_units == closable_units(LINE_3_0, case)
    call = "liquidationCall(address,address,address,uint256,bool)"
    chain.send(liquidator, spark.pool, call, weth.address, usdc.address, user, 2**256 - 1, False)
    signature = "balanceOf(address)(uint256)"
    assert chain.call(weth.address, signature, liquidator) == expected.seized_units
    assert 10**12 - chain.call(usdc.address, signature, liquidator) == expected.repaid_units
