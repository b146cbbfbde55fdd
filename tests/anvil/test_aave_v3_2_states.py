"""Aave v3.2 on its real bytecode: our integers are the pool's own, at the boundary its verdict, rescues and a
liquidation do what was projected.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.deploy_aave_v3 import RESERVES
from anvil.deploy_aave_v3_2 import deploy_aave_v3_2
from anvil.deployment import Deployment
from anvil.node import Anvil
from anvil.shock import set_prices
from keeper.model import WHOLE_BPS_AVERAGE, Amount, Repay, Supply
from keeper.units import WAD
from keeper.venues.aave_v3.math import LINE_3_2
from keeper.venues.aave_v3.rules import Case, Liquidation, closable_units, liquidate
from tests.aave_v3_states import (
    DAY_S,
    LIQUIDATE,
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

SEED = 20_261_124
CLASSES = ("one_debt", "several_debts", "e_mode", "switched_off", "dust", "isolation")
EACH = 34
N = len(CLASSES) * EACH
UNLENT = "wstETH"
"""Its loan-to-value goes to 0 at last, in its e-mode too: this release knows one for both."""
CONFIGURE = "configureReserveAsCollateral(address,uint256,uint256,uint256)"


@pytest.fixture(scope="module")
def middle(upstream: Anvil, deployment: Deployment) -> Iterator[Deployment]:
    """The 3.2 market in place of the newer one, for this file; each test's own changes are undone by ``chain``."""
    client = deployment.chain(upstream.url)
    snapshot = client.snapshot()
    yield deploy_aave_v3_2(client, deployment)
    client.revert(snapshot)
    client.close()


def test_states_exact__204_random_accounts_of_six_classes__equal_the_pool_to_the_wei(
    chain: Chain, middle: Deployment
) -> None:
    rng, start = random.Random(SEED), start_prices(chain, middle)
    market = Reader(chain, middle).venue.market
    assert (market.revision, market.line) == (5, LINE_3_2)
    whale(chain, middle, start)
    people = [Script(kind, rng, middle, start) for kind in CLASSES for _ in range(EACH)]

    def unlend() -> None:
        (found,) = (r for r in RESERVES if r.symbol == UNLENT)
        values = (middle.token(UNLENT).address, 0, found.threshold_bps, found.bonus_bps)
        chain.send(chain.accounts[0], middle.configurator, CONFIGURE, *values)

    tally = run(chain, middle, people, rng, [lambda: None, lambda: None, unlend])
    wrong = len(tally.wrong)
    proof: dict[str, Any] = {"evidence": "real_bytecode", "n": N, "seed": SEED}
    record("states_exact_aave_v3_2", N - wrong, unit="states", bound=f"= {N}", holds=not wrong, **proof)
    record("states_wrong_aave_v3_2", wrong, unit="states", bound="= 0", holds=not wrong, **proof)
    assert not wrong, f"{wrong} of {N} differ, e.g. {tally.wrong[0]}"
    assert tally.underwater, (
        "no account was ever liquidatable: the prices do not reach the interesting states"
    )


@pytest.fixture
def loan(chain: Chain, middle: Deployment) -> Reader:
    """One account with collateral of two thresholds and one debt, a year old; somebody to liquidate it."""
    user, who, usdc = middle.roles.actors[1], middle.roles.liquidator, middle.token("USDC").address
    collateral = {"WETH": 10 * 10**18 + 7, "wstETH": 3 * 10**18 + 1}
    Actors(chain, middle).open(
        Borrower(account=user, collateral=collateral, debt={"USDC": 25_000 * 10**6 + 1})
    )
    chain.mine(chain.block().timestamp_s + 365 * DAY_S)
    chain.send(chain.accounts[0], usdc, "mint(address,uint256)", who, 10**12)
    chain.send(who, usdc, "approve(address,uint256)", middle.pool, 2**256 - 1)
    chain.rpc("anvil_setBlockTimestampInterval", 0)
    return Reader(chain, middle)


def test_verdict__at_the_exact_boundary_price__is_the_pools_own_on_both_sides(
    chain: Chain, middle: Deployment, loan: Reader
) -> None:
    user = middle.roles.actors[1]

    def health(price: int) -> int:
        set_prices(chain, middle, {"WETH": price})
        return loan.position(user).health_wad or 0

    low, high = 500 * USD8, 3_000 * USD8
    while high - low > 1:
        between = (low + high) // 2
        low, high = (low, between) if health(between) >= WAD else (between, high)
    sides = []
    for price in (high, low):
        ours = health(price) < WAD
        sides.append((ours, lets_liquidate(chain, middle, user)))
    assert sides == [(False, False), (True, True)]


def test_rescue__by_top_up_and_by_repayment__does_what_was_projected(
    chain: Chain, middle: Deployment, loan: Reader
) -> None:
    user, keeper = middle.roles.actors[1], middle.roles.keeper
    tokens = {t.symbol: t for t in loan.venue.tokens}
    for symbol in ("WETH", "USDC"):
        chain.send(chain.accounts[0], tokens[symbol].address, "mint(address,uint256)", keeper, 10**22)
        chain.send(keeper, tokens[symbol].address, "approve(address,uint256)", middle.pool, 2**256 - 1)
    for step in (
        Supply(amount=Amount(token=tokens["WETH"], units=10**18)),
        Repay(amount=Amount(token=tokens["USDC"], units=5_000 * 10**6)),
        Repay(amount=Amount(token=tokens["USDC"], units=50_000 * 10**6)),
    ):
        snapshot = loan.snapshot([user], wallet=keeper)
        before = snapshot.positions[0]
        assert before.row.flags == (WHOLE_BPS_AVERAGE,)
        assert loan.venue.can(step, before, snapshot.means) is None
        promised = loan.venue.after([step], before)
        call = loan.venue.encode(step, before)
        receipt = chain.send(keeper, call.target, call.data, gas=loan.venue.gas(step))
        assert int(receipt["gasUsed"], 16) < loan.venue.gas(step)
        real = loan.position(user)
        assert (promised.health_wad or 0) <= (real.health_wad or 0)
        assert (real.health_wad or 0) > (before.health_wad or 0)
    assert not real.debt


@pytest.mark.parametrize(("usd", "most"), [(1_900, "half"), (1_700, "all")])
def test_liquidation__above_and_below_health_0_95__moves_what_the_rule_says(
    chain: Chain, middle: Deployment, loan: Reader, usd: int, most: str
) -> None:
    user, liquidator = middle.roles.actors[1], middle.roles.liquidator
    usdc, weth = middle.token("USDC"), middle.token("WETH")
    set_prices(chain, middle, {"WETH": usd * USD8})
    before = loan.position(user)
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
    expected = liquidate(LINE_3_2, case)
    assert isinstance(expected, Liquidation)
    half = (case.debt_units + 1) // 2
    assert closable_units(LINE_3_2, case) == (half if most == "half" else case.debt_units)
    chain.send(liquidator, middle.pool, LIQUIDATE, weth.address, usdc.address, user, 2**256 - 1, False)
    signature = "balanceOf(address)(uint256)"
    assert chain.call(weth.address, signature, liquidator) == expected.seized_units
    assert 10**12 - chain.call(usdc.address, signature, liquidator) == expected.repaid_units


def test_liquidation__that_leaves_dust__goes_through(chain: Chain, middle: Deployment, loan: Reader) -> None:
    """The rule that forbids it came a release later: a liquidator may leave what nobody will take."""
    user, liquidator = middle.roles.actors[2], middle.roles.liquidator
    usdc, weth = middle.token("USDC"), middle.token("WETH")
    Actors(chain, middle).open(
        Borrower(account=user, collateral={"WETH": 10**18}, debt={"USDC": 2_000 * 10**6})
    )
    set_prices(chain, middle, {"WETH": 2_200 * USD8})
    cover = 1_500 * 10**6
    chain.send(liquidator, middle.pool, LIQUIDATE, weth.address, usdc.address, user, cover, False)
    left = loan.position(user)
    assert [0 < h.value_base < 1_000 * USD8 for h in (*left.collateral, *left.debt)] == [True, True]


def test_cash__sent_to_the_pool_past_its_books__is_not_counted(
    chain: Chain, middle: Deployment, loan: Reader
) -> None:
    """Virtual accounting: what lies there and was not supplied cannot be withdrawn or borrowed."""
    usdc, user = middle.token("USDC"), middle.roles.actors[1]

    def cash() -> int:
        (found,) = (r for r in loan.snapshot([user]).means.reserves if r.token.address == usdc.address)
        return found.cash_units

    before = cash()
    chain.send(chain.accounts[0], usdc.address, "mint(address,uint256)", usdc.a_token, 10**15)
    assert chain.call(usdc.address, "balanceOf(address)(uint256)", usdc.a_token) == before + 10**15
    assert cash() == before


def test_threshold__that_a_reserve_has_not_of_its_own__no_e_mode_gives_it(
    chain: Chain, middle: Deployment, loan: Reader
) -> None:
    """No vote gets there while somebody supplies it: its configuration is written past the configurator's checks."""
    user, token = middle.roles.actors[2], middle.token("wstETH").address
    Actors(chain, middle).open(
        Borrower(
            account=user,
            collateral={"wstETH": 10**19, "DAI": 10**22},
            debt={"WETH": 10**18},
            emode=2,
        )
    )
    stripped = chain.call(middle.pool, "getConfiguration(address)(uint256)", token) & ~(2**32 - 1)
    chain.rpc("anvil_impersonateAccount", middle.configurator)
    chain.rpc("anvil_setBalance", middle.configurator, hex(10**20))
    chain.send(middle.configurator, middle.pool, "setConfiguration(address,(uint256))", token, (stripped,))
    found = loan.position(user)
    assert {h.amount.token.symbol: bool(h.threshold_wad) for h in found.collateral} == {
        "wstETH": False,
        "DAI": True,
    }
    (dai,) = (h for h in found.collateral if h.threshold_wad)
    answer = "(uint256,uint256,uint256,uint256,uint256,uint256)"
    six = chain.call(middle.pool, f"getUserAccountData(address){answer}", user)
    assert (six[0], six[5]) == (dai.value_base, found.health_wad)
