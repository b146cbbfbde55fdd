"""Crashes and squeezes on two real perp engines: who is protected in time stands, the engine liquidates his twin.

Synthetix v3's perps market and Perpetual Protocol v2 are wound down: they prove cross margin, orders in two steps,
delegation, and refusals below maintenance, not a venue to configure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from anvil import deploy_perp_v2 as perp_v2
from anvil import deploy_synthetix_v3 as synthetix
from anvil.client import Chain, Reverted
from anvil.deploy_multicall3 import deploy_multicall3
from keeper.model import (
    AddMargin,
    Amount,
    Intent,
    IntentState,
    PlanKey,
    Position,
    Proposal,
    ReducePerp,
    Refusal,
)
from keeper.seams import Progress
from keeper.units import WAD
from tests.anvil.test_engine_states import tools
from tests.bench.figures import record
from tests.engines import perp_v2_crowd, rescue, synthetix_crowd
from tests.engines.perp_v2_venue import PerpV2
from tests.engines.synthetix_venue import SynthetixPerps, permissions
from tests.engines.venue import EngineReader, position, standing
from tests.plans import plan

pytestmark = pytest.mark.anvil
__all__ = ["tools"]

DOWN = tuple(1 - 0.018 * n for n in range(1, 8))
UP = tuple(1 + 0.018 * n for n in range(1, 8))
FINELY = tuple(1 - 0.006 * n for n in range(1, 22))


class Synthetix:
    """The stage of one test on Synthetix v3: accounts 1 to 3 of one owner, the keeper allowed both permissions."""

    lines = rescue.Lines(reduce_below="4.0", add_below="2.0", target="5.0")

    def __init__(self, chain: Chain, site: synthetix.SynthetixSite) -> None:
        self.chain, self.site = chain, site
        self.owner, self.keeper, self.taker = chain.accounts[5:8]
        self.market = site.market("ETH")
        names = {str(n): self.owner for n in range(1, 4)}
        venue = SynthetixPerps(site, 31_337, self.keeper, names)
        self.reader = EngineReader(chain, venue, deploy_multicall3(chain), self.keeper)
        self.venue = venue
        chain.send(chain.accounts[0], site.usd, "mint(address,uint256)", self.keeper, 10_000 * WAD)
        chain.send(self.keeper, site.usd, "approve(address,uint256)", site.perps, 5_000 * WAD)

    def open(self, size: int) -> tuple[str, str, str]:
        for n in (1, 2, 3):
            synthetix.open_account(self.chain, self.site, self.owner, n, 800 * WAD)
            synthetix.trade(self.chain, self.site, self.market, (self.owner, n, size))
            for grant in permissions(self.keeper, n):
                self.chain.send(
                    self.owner, self.site.perps, "grantPermission(uint128,bytes32,address)", *grant
                )
        return "1", "2", "3"

    def move(self, factor: float) -> None:
        synthetix.set_price(self.chain, self.market, self.market.usd * factor)

    def settle(self, account: str) -> None:
        self.chain.mine(self.chain.block().timestamp_s + synthetix.DELAY_S + 1)
        self.chain.send(self.taker, self.site.perps, "settleOrder(uint128)", int(account))

    def liquidate(self, account: str) -> bool:
        perps = self.site.perps
        return rescue.tried(
            lambda: self.chain.send(self.taker, perps, "liquidate(uint128)", int(account)),
            "NotEligibleForLiquidation",
        )


class Perp:
    """The stage of one test on Perpetual Protocol v2: three owners, of whom each lets the keeper trade for him."""

    lines = rescue.Lines(reduce_below="1.5", add_below="1.3", target="1.7")

    def __init__(self, chain: Chain, site: perp_v2.PerpSite) -> None:
        self.chain, self.site = chain, site
        self.keeper, *self.people = chain.accounts[5:9]
        self.market = site.market("ETH")
        self.venue = PerpV2(site, 31_337, self.keeper)
        self.reader = EngineReader(chain, self.venue, deploy_multicall3(chain), self.keeper)
        chain.send(chain.accounts[0], site.usdc, "mint(address,uint256)", self.keeper, 10_000 * 10**6)
        chain.send(self.keeper, site.usdc, "approve(address,uint256)", site.vault, 5_000 * 10**6)

    def open(self, size: int) -> tuple[str, str, str]:
        for who in self.people:
            perp_v2.fund(self.chain, self.site, who, 1_000)
            taken = perp_v2.order(self.market, sell=size < 0, exact_base=True, amount=abs(size))
            perp_v2.trade(self.chain, self.site, who, taken)
            self.chain.send(who, self.site.delegates, "approve(address,uint8)", self.keeper, 1)
        return self.people[0], self.people[1], self.people[2]

    def move(self, factor: float) -> None:
        usd = self.market.usd * factor
        perp_v2.push(self.chain, self.site, self.market, usd)
        self.chain.mine(self.chain.block().timestamp_s + 1_900)
        perp_v2.set_index(self.chain, self.market, usd)
        self.chain.mine(self.chain.block().timestamp_s + 20)

    def settle(self, account: str) -> None:
        """An order acts at once here."""

    def liquidate(self, account: str) -> bool:
        house, base = self.site.clearing_house, self.market.base
        return rescue.tried(
            lambda: self.chain.send(self.site.liquidator, house, "liquidate(address,address)", account, base),
            "CH_EAV",
        )


@pytest.fixture(scope="module")
def synthetix_site() -> Iterator[tuple[Chain, synthetix.SynthetixSite]]:
    with synthetix_crowd.standing() as found:
        yield found


@pytest.fixture(scope="module")
def perp_site() -> Iterator[tuple[Chain, perp_v2.PerpSite]]:
    with perp_v2_crowd.standing() as found:
        yield found


@pytest.fixture
def on_synthetix(synthetix_site: tuple[Chain, synthetix.SynthetixSite]) -> Iterator[Synthetix]:
    chain, site = synthetix_site
    undo = chain.snapshot()
    yield Synthetix(chain, site)
    chain.revert(undo)


@pytest.fixture
def on_perp(perp_site: tuple[Chain, perp_v2.PerpSite]) -> Iterator[Perp]:
    chain, site = perp_site
    undo = chain.snapshot()
    yield Perp(chain, site)
    chain.revert(undo)


TALLIES: dict[str, rescue.Tally] = {}


def told(engine: str, story: rescue.Story, accounts: tuple[str, str, str]) -> None:
    """Both protected stand, the twin does not; the figures of the engine so far, kept before anything is asserted."""
    added, reduced, twin = accounts
    tally = TALLIES.setdefault(engine, rescue.Tally())
    tally.add(story, accounts)
    for figure in tally.figures(engine):
        record(**figure)
    assert twin in story.liquidated, story
    assert story.acted[added]
    assert story.acted[reduced]
    assert not {added, reduced} & story.liquidated.keys(), story


@pytest.mark.parametrize(("size", "way"), [(5 * WAD, DOWN), (-5 * WAD, UP)], ids=["crash", "squeeze"])
def test_synthetix__the_price_runs__protected_accounts_stand_and_their_twin_is_liquidated(
    on_synthetix: Synthetix, size: int, way: tuple[float, ...]
) -> None:
    accounts = on_synthetix.open(size)
    story = rescue.run(on_synthetix, accounts, on_synthetix.lines, way)
    told("synthetix_v3", story, accounts)
    # seized, and closed in windows: nothing of the twin's margin is left
    left = on_synthetix.chain.call(
        on_synthetix.site.perps, "totalCollateralValue(uint128)(uint256)", int(accounts[2])
    )
    assert left == 0


@pytest.mark.parametrize(("size", "way"), [(4 * WAD, DOWN), (-4 * WAD, UP)], ids=["crash", "squeeze"])
def test_perp_v2__the_price_runs__protected_accounts_stand_and_their_twin_is_liquidated(
    on_perp: Perp, size: int, way: tuple[float, ...]
) -> None:
    accounts = on_perp.open(size)
    told("perp_v2", rescue.run(on_perp, accounts, on_perp.lines, way), accounts)


@pytest.mark.parametrize("engine", ["synthetix", "perp_v2"])
def test_one_policy_of_both_ways__reduces_at_its_trigger_and_from_emergency_on_gives_margin_alone(
    engine: str, on_synthetix: Synthetix, on_perp: Perp
) -> None:
    stage: Any = on_synthetix if engine == "synthetix" else on_perp
    accounts = stage.open(5 * WAD if engine == "synthetix" else 4 * WAD)
    reduced, given, _ = accounts
    policy = rescue.both(stage.lines)
    assert policy.trigger_wad > policy.emergency_wad > WAD
    seen: dict[str, int] = {}
    for factor in FINELY:
        stage.move(factor)
        said, held = rescue.decided(stage, given, policy)
        health = held.health_wad or 0
        if health >= policy.trigger_wad:
            assert said is None or not said.chosen, said
            continue
        assert said is not None
        (way,) = said.chosen
        codes = {r.strategy: r.code for r in said.rejected}
        if health >= policy.emergency_wad:
            # first, though margin would reach target as well
            assert way.strategy == "reduce_perp", said
            assert way.health_after_wad >= policy.target_wad
            other = rescue.proposed(stage, given, policy, rescue.Added())
            assert isinstance(other, Proposal)
            assert other.health_after_wad >= policy.target_wad
            if "first" not in seen:
                early, its = rescue.decided(stage, reduced, policy)
                assert early is not None
                rescue.act(stage, early.chosen[0].steps[0], its)
            seen["first"] = health
            continue
        assert (way.strategy, codes["reduce_perp"]) == ("add_margin", "margin_only"), said
        seen["under" if health < WAD else "late"] = health
        if health < WAD:
            break
    assert set(seen) == {"first", "late", "under"}, seen
    rescue.act(stage, way.steps[0], held)
    assert [stage.liquidate(account) for account in accounts] == [False, False, True]


def refusal(stage: Any, step: AddMargin | ReducePerp, held: Position) -> str:
    """The adapter's code; what the engine says must be no as well."""
    said = stage.venue.can(step, held, stage.reader.snapshot([held.id.account]).means)
    assert isinstance(said, Refusal)
    return said.code


def engine_says(stage: Any, step: AddMargin | ReducePerp, held: Position) -> str:
    call = stage.venue.encode(step, held)
    with pytest.raises(Reverted) as no:
        stage.chain.send(stage.keeper, call.target, call.data)
    return no.value.name


def below_maintenance(stage: Any, account: str, factors: tuple[float, ...]) -> Position:
    for factor in factors:
        stage.move(factor)
        held: Position = stage.reader.position(account)
        if (held.health_wad or 0) < WAD:
            return held
    raise AssertionError("the account never fell below maintenance")


def more(stage: Any, dollars: int) -> AddMargin:
    token = stage.venue.margin
    return AddMargin(amount=Amount(token=token, units=dollars * 10**token.decimals), fee_wei=0)


def test_synthetix__below_maintenance__orders_are_refused_margin_is_taken_until_flagged(
    on_synthetix: Synthetix,
) -> None:
    stage = on_synthetix
    account, other, _ = stage.open(5 * WAD)
    held = below_maintenance(stage, account, DOWN)
    step = rescue.reduction(held, "5.0")
    assert refusal(stage, step, held) == "below_maintenance"
    assert engine_says(stage, step, held) == "AccountLiquidatable"
    rescue.act(stage, more(stage, 300), held)
    assert not stage.liquidate(account)
    # the other one is flagged by the engine: from then on it takes nothing
    assert stage.liquidate(other)
    lost = stage.reader.position(other)
    # its position is closed in one window, and with it the flag
    assert lost.debt == ()


def test_synthetix__flagged_and_not_yet_closed__takes_no_margin(on_synthetix: Synthetix) -> None:
    stage = on_synthetix
    # 42 ether fit into one window of liquidation: 80 need two
    synthetix.open_account(stage.chain, stage.site, stage.owner, 9, 9_000 * WAD)
    synthetix.trade(stage.chain, stage.site, stage.market, (stage.owner, 9, 80 * WAD))
    for grant in permissions(stage.keeper, 9):
        stage.chain.send(stage.owner, stage.site.perps, "grantPermission(uint128,bytes32,address)", *grant)
    held = below_maintenance(stage, "9", DOWN)
    assert stage.liquidate("9")
    held = stage.reader.position("9")
    assert refusal(stage, more(stage, 100), held) == "flagged"
    assert engine_says(stage, more(stage, 100), held) == "AccountLiquidatable"


def test_synthetix__an_order_that_waits__is_pending_then_done_or_failed(on_synthetix: Synthetix) -> None:
    stage = on_synthetix
    account, other, _ = stage.open(5 * WAD)
    for who, settled in ((account, True), (other, False)):
        held = stage.reader.position(who)
        step = rescue.reduction(held, str((held.health_wad or 0) * 1.4 / WAD))
        call = stage.venue.encode(step, held)
        stage.chain.send(stage.keeper, call.target, call.data)
        key = PlanKey(position=held.id, seq=1)
        block, health = stage.chain.block(), held.health_wad
        made = replace(plan(), key=key, steps=(step,), health_before_wad=health, block=block)
        waiting = Intent(key=key, plan=made, state=IntentState.INCLUDED)
        stage.chain.mine()
        there = stage.reader.snapshot([who])
        assert stage.venue.effect(waiting, there).progress is Progress.PENDING
        now = there.positions[0]
        assert refusal(stage, more(stage, 1), now) == "order_pending"
        assert engine_says(stage, more(stage, 1), now) == "PendingOrderExists"
        if settled:
            stage.settle(who)
        else:
            stage.chain.mine(stage.chain.block().timestamp_s + synthetix.DELAY_S + synthetix.WINDOW_S + 2)
        said = stage.venue.effect(waiting, stage.reader.snapshot([who]))
        assert said.progress is (Progress.DONE if settled else Progress.FAILED), said
        if not settled:
            with pytest.raises(Reverted, match="SettlementWindowExpired"):
                stage.settle(who)
            # an order that nobody settled in time stands in nobody's way
            rescue.act(stage, more(stage, 1), stage.reader.position(who))


@pytest.mark.parametrize("engine", ["synthetix", "perp_v2"])
def test_delegation__not_given__both_refuse_an_order_and_a_stranger_gets_nothing_out(
    engine: str, on_synthetix: Synthetix, on_perp: Perp
) -> None:
    stage: Any = on_synthetix if engine == "synthetix" else on_perp
    account = stage.open(4 * WAD)[0]
    if engine == "synthetix":
        for _, name, who in permissions(stage.keeper, 1):
            stage.chain.send(
                stage.owner, stage.site.perps, "revokePermission(uint128,bytes32,address)", 1, name, who
            )
        wanted = "PermissionDenied"
    else:
        stage.chain.send(account, stage.site.delegates, "revoke(address,uint8)", stage.keeper, 1)
        wanted = "CH_SHNAOPT"
    held = stage.reader.position(account)
    step = rescue.reduction(held, str((held.health_wad or 0) * 1.2 / WAD))
    assert refusal(stage, step, held) == "no_permission"
    assert engine_says(stage, step, held) == wanted
    if engine == "perp_v2":
        # anybody may pay in for anybody there
        rescue.act(stage, more(stage, 10), held)


def test_perp_v2__below_maintenance__a_reduction_is_refused_and_margin_rescues(on_perp: Perp) -> None:
    account, twin, _ = on_perp.open(4 * WAD)
    held = below_maintenance(on_perp, account, DOWN)
    step = rescue.reduction(held, "1.7")
    small = replace(step, amount=replace(step.amount, units=step.amount.units // 100))
    assert refusal(on_perp, small, held) == "below_maintenance"
    assert engine_says(on_perp, small, held) == "CH_NEFCM"
    rescue.act(on_perp, more(on_perp, 400), held)
    held = on_perp.reader.position(account)
    rescue.act(on_perp, rescue.reduction(held, "2.5"), held)
    assert not on_perp.liquidate(account)
    assert on_perp.liquidate(twin)


def test_row__of_a_cross_margined_account__tells_the_margin_at_another_price(on_perp: Perp) -> None:
    account = on_perp.open(4 * WAD)[0]
    before = on_perp.reader.position(account)
    on_perp.move(0.97)
    after = on_perp.reader.position(account)
    row, leg = before.row, after.collateral[1]
    price = leg.price_base / 10**30
    told_margin = row.a0 + row.a[0] * price - row.b0 - row.b[0] * price
    stands = standing(after)
    # funding of half an hour apart
    assert told_margin == pytest.approx((stands.available - stands.needed) / WAD, abs=1.0)
    assert position(after.id, "", 1, on_perp.venue.margin, stands).health_wad == after.health_wad
