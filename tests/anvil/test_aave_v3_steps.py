"""Steps on the real pool: what we encode works, what we project holds, what we refuse reverts."""

from __future__ import annotations

import random

import pytest

from anvil.actors import Actors, Borrower
from anvil.client import Chain, Reverted
from anvil.deployment import Deployment
from anvil.liquidator import Liquidator
from anvil.shock import set_feed_broken, set_frozen, set_paused, set_prices, set_supply_cap
from keeper.model import Amount, Position, Repay, Step, Supply, Token
from keeper.seams import Shadow
from keeper.venues.aave_v3.rules import Case, Liquidation, liquidate, loss_base_up
from tests.anvil_reading import Reader

pytestmark = pytest.mark.anvil

SEED = 7
DAY_S = 86_400


class Stage:
    """A borrower, a keeper with approvals, and a reader."""

    def __init__(self, chain: Chain, deployment: Deployment, *, emode: bool = False) -> None:
        self.chain, self.deployment = chain, deployment
        self.actors = Actors(chain, deployment)
        self.keeper, self.user = deployment.roles.keeper, deployment.roles.actors[0]
        given = {"USDC": 50_000 * 10**6} if emode else {"WETH": 10 * 10**18 + 7, "WBTC": 12_345_678}
        owed = {"DAI": 40_000 * 10**18} if emode else {"USDC": 15_000 * 10**6 + 1, "DAI": 3_000 * 10**18 + 13}
        self.actors.open(Borrower(account=self.user, collateral=given, debt=owed, emode=1 if emode else 0))
        # a year of interest first, so that no index is 1 and every rounding shows
        chain.mine(chain.block().timestamp_s + 365 * DAY_S)
        self.actors.supply(deployment.roles.lender, "DAI", 10**18)
        for symbol in deployment.symbols:
            self.actors.mint(symbol, self.keeper, 10**6 * deployment.token(symbol).unit)
            self.actors.approve(self.keeper, symbol)
        self.reader = Reader(chain, deployment)
        self.venue = self.reader.venue

    def token(self, symbol: str) -> Token:
        return next(t for t in self.venue.tokens if t.symbol == symbol)

    def supply(self, symbol: str, units: int) -> Supply:
        return Supply(amount=Amount(token=self.token(symbol), units=units))

    def repay(self, symbol: str, units: int) -> Repay:
        return Repay(amount=Amount(token=self.token(symbol), units=units))

    def now(self) -> Position:
        return self.reader.position(self.user)

    def act(self, step: Step) -> int:
        """Send the step as the keeper; gas used. Raises Reverted."""
        call = self.venue.encode(step, self.now())
        receipt = self.chain.send(self.keeper, call.target, call.data, gas=self.venue.gas(step))
        return int(receipt["gasUsed"], 16)

    def refusal(self, step: Step) -> str | None:
        snapshot = self.reader.snapshot([self.user], wallet=self.keeper)
        found = self.venue.can(step, snapshot.positions[0], snapshot.means)
        return found.code if found else None


@pytest.fixture
def stage(chain: Chain, deployment: Deployment) -> Stage:
    return Stage(chain, deployment)


def stored(position: Position) -> Shadow:
    return Shadow(
        id=position.id,
        collateral={h.amount.token.address: h.stored for h in position.collateral},
        debt={h.amount.token.address: h.stored for h in position.debt},
    )


def live(values: dict[str, int]) -> dict[str, int]:
    return {token: units for token, units in values.items() if units}


def test_fill__random_supplies_and_repayments__leave_the_pools_own_scaled_balances(stage: Stage) -> None:
    rng = random.Random(SEED)
    for _ in range(12):
        before = stage.reader.snapshot([stage.user])
        position = before.positions[0]
        held = rng.choice([*position.collateral, *position.debt])
        units = max(10, int(held.amount.units * 10 ** rng.uniform(-9, -0.5)))
        kind = Supply if held in position.collateral else Repay
        step: Step = kind(amount=Amount(token=held.amount.token, units=units))
        gas = stage.act(step)
        block = stage.reader.block()
        filled = stage.venue.fill([step], block, before, stored(position))
        after = stage.now()
        assert live(dict(filled.collateral)) == dict(stored(after).collateral)
        assert live(dict(filled.debt)) == dict(stored(after).debt)
        assert gas < stage.venue.gas(step)
        # the shadow read at the same block is the real position, health included
        shadowed = stage.reader.position(stage.user, shadow=filled)
        assert (shadowed.health_wad, shadowed.collateral, shadowed.debt) == (
            after.health_wad,
            after.collateral,
            after.debt,
        )
        stage.chain.mine(block.timestamp_s + rng.randint(1, 30 * DAY_S))


def test_fill__more_than_is_owed__clears_the_debt_as_the_pool_does(stage: Stage) -> None:
    before = stage.reader.snapshot([stage.user])
    position = before.positions[0]
    owed = next(h for h in position.debt if h.amount.token.symbol == "USDC")
    step = stage.repay("USDC", owed.amount.units * 2)
    stage.act(step)
    filled = stage.venue.fill([step], stage.reader.block(), before, stored(position))
    assert filled.debt[owed.amount.token.address] == 0
    assert [h.amount.token.symbol for h in stage.now().debt] == ["DAI"]


@pytest.mark.parametrize("emode", [False, True])
def test_after__each_step_at_once__is_met_or_beaten_by_a_few_units(
    chain: Chain, deployment: Deployment, emode: bool
) -> None:
    stage = Stage(chain, deployment, emode=emode)
    owed, given = ("DAI", "USDC") if emode else ("USDC", "WETH")
    for step in (
        stage.repay(owed, 1_000 * 10 ** stage.token(owed).decimals + 3),
        stage.supply(given, 10 ** stage.token(given).decimals // 7),
    ):
        chain.rpc("anvil_setBlockTimestampInterval", 0)
        before = stage.now()
        promised = stage.venue.after([step], before)
        stage.act(step)
        # the same second: nothing accrues between promise and effect
        assert stage.reader.block().timestamp_s == chain.block(before.block_number).timestamp_s
        real = stage.now()
        chain.rpc("anvil_setBlockTimestampInterval", 12)
        assert promised.health_wad is not None
        assert real.health_wad is not None
        assert promised.health_wad <= real.health_wad
        assert real.health_wad - promised.health_wad < 10**11
        for mine, theirs in zip(
            (*promised.collateral, *promised.debt), (*real.collateral, *real.debt), strict=True
        ):
            assert abs(mine.amount.units - theirs.amount.units) <= 8
        assert real.health_wad > (before.health_wad or 0)


def reverts(stage: Stage, step: Step) -> str:
    with pytest.raises(Reverted) as refused:
        stage.act(step)
    return refused.value.name


def test_can__paused_reserve__refuses_what_the_pool_reverts(stage: Stage) -> None:
    set_paused(stage.chain, stage.deployment, "USDC")
    step = stage.repay("USDC", 10**6)
    assert stage.refusal(step) == "reserve_paused"
    assert reverts(stage, step) == "ReservePaused"


def test_can__frozen_reserve__refuses_the_supply_and_allows_the_repayment(stage: Stage) -> None:
    for symbol in ("WETH", "USDC"):
        set_frozen(stage.chain, stage.deployment, symbol)
    step = stage.supply("WETH", 10**18)
    assert stage.refusal(step) == "reserve_frozen"
    assert reverts(stage, step) == "ReserveFrozen"
    assert stage.refusal(stage.repay("USDC", 10**6)) is None
    stage.act(stage.repay("USDC", 10**6))


def test_can__supply_cap__allows_all_the_room_and_refuses_what_the_pool_reverts(stage: Stage) -> None:
    supplied = stage.chain.call(stage.deployment.token("WETH").a_token, "totalSupply()(uint256)")
    set_supply_cap(stage.chain, stage.deployment, "WETH", supplied // 10**18 + 5)
    snapshot = stage.reader.snapshot([stage.user])
    room = next(r.supply_room_units for r in snapshot.means.reserves if r.token.symbol == "WETH")
    assert room is not None
    assert 0 < room <= 6 * 10**18
    over = stage.supply("WETH", room + 10**16)
    assert stage.refusal(over) == "supply_cap"
    assert reverts(stage, over) == "SupplyCapExceeded"
    stage.act(stage.supply("WETH", room))


def test_can__nothing_owed_or_no_collateral__is_refused(stage: Stage) -> None:
    assert stage.refusal(stage.repay("WETH", 10**18)) == "no_debt"
    assert reverts(stage, stage.repay("WETH", 10**18)) == "NoDebtOfSelectedType"
    assert stage.refusal(stage.supply("wstETH", 10**18)) == "not_collateral"


def test_can__amount_that_rounds_to_nothing__is_refused_and_reverts(stage: Stage) -> None:
    step = stage.repay("USDC", 1)
    assert stage.refusal(step) == "too_small"
    assert reverts(stage, step) == "InvalidBurnAmount"


def test_can__collateral_switched_off__is_refused_because_health_would_not_rise(stage: Stage) -> None:
    stage.actors.set_collateral(stage.user, "WBTC", False)
    step = stage.supply("WBTC", 10**6)
    assert stage.refusal(step) == "not_collateral"
    before = stage.now()
    stage.act(step)
    assert (stage.now().health_wad or 0) <= (before.health_wad or 0)


def test_broken_feed__of_one_asset__makes_unknown_exactly_who_holds_it(stage: Stage) -> None:
    other = stage.deployment.roles.actors[1]
    stage.actors.open(Borrower(account=other, collateral={"WETH": 10**18}, debt={"USDC": 10**8}))
    both = [stage.user, other]
    stage.reader.snapshot(both)
    set_feed_broken(stage.chain, stage.deployment, "WBTC")
    snapshot = stage.reader.snapshot(both)
    assert [p.id.account for p in snapshot.positions] == [other]
    (gone,) = snapshot.unreadable
    assert gone.id.account == stage.user
    assert "WBTC" in gone.why
    set_feed_broken(stage.chain, stage.deployment, "WBTC", False)
    assert stage.reader.snapshot(both).unreadable == ()


def test_upgrade__provider_points_to_another_oracle__is_noticed(stage: Stage) -> None:
    stage.reader.snapshot([stage.user])
    admin = stage.deployment.roles.deployer
    stage.chain.send(
        admin, stage.deployment.provider, "setPriceOracle(address)", stage.deployment.token("DAI").feed
    )
    snapshot = stage.reader.snapshot([stage.user])
    assert snapshot.positions == ()
    assert "oracle changed" in stage.reader.seen[stage.venue.id].stale


@pytest.mark.parametrize(("price_usd8", "close"), [(1_795 * 10**8, "half"), (1_650 * 10**8, "all")])
def test_rules__real_liquidation_call__moves_what_the_rule_says(
    chain: Chain, deployment: Deployment, price_usd8: int, close: str
) -> None:
    actors, user = Actors(chain, deployment), deployment.roles.actors[0]
    actors.open(Borrower(account=user, collateral={"WETH": 10 * 10**18}, debt={"USDC": 15_000 * 10**6}))
    set_prices(chain, deployment, {"WETH": price_usd8})
    reader = Reader(chain, deployment)
    before = reader.snapshot([user])
    (done,) = Liquidator(actors).act([user])
    at = reader.block()
    # the state before the call, accrued to the block of the call
    held = before.positions[0]
    same = reader.position(user, shadow=stored(held))
    weth, usdc = same.collateral[0], same.debt[0]
    case = Case(
        health_wad=same.health_wad or 0,
        collateral_units=weth.amount.units,
        collateral_price=weth.price_base,
        collateral_unit=10**18,
        debt_units=usdc.amount.units,
        debt_price=usdc.price_base,
        debt_unit=10**6,
        total_debt_base=usdc.value_base,
        bonus_bps=weth.bonus_bps,
        bonus_fee_bps=weth.bonus_fee_bps,
        cover_units=2**200,
    )
    ours = liquidate(reader.venue.market.line, case)
    assert isinstance(ours, Liquidation)
    assert done.block_number == at.number
    assert (ours.repaid_units, ours.fee_units) == (done.debt_units, done.fee_units)
    assert ours.seized_units + ours.fee_units == done.seized_units
    whole = ours.repaid_units == usdc.amount.units
    assert whole == (close == "all")
    assert loss_base_up(case, ours) == pytest.approx(done.loss_usd8, abs=10)
