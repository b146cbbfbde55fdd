"""Weighing together leaves nobody worse: who could be helped by one step is helped, and no unit is spent twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.decision import Memory, Options, decide
from keeper.decision.optimise import solve
from keeper.decision.problem import Problem, Solution
from keeper.errors import Broken
from keeper.model import Decision, Means, Position, Refusal, Side, Step, Supply, from_wallet
from keeper.plan import Case, compile_plan
from keeper.triggers import kept
from keeper.units import WAD
from strategies.registry import SHIPPED
from tests import build, mandates
from tests.build import ALICE, BOB, DAI, USDC, WBTC, WETH, amount, collateral, debt, position
from tests.fakes import LendingDouble

pytestmark = pytest.mark.property


class Frozen(LendingDouble):
    """A venue that takes no more of any collateral."""

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        if isinstance(step, Supply):
            return Refusal(who=self.id, code="reserve_frozen", why="frozen: no new supply")
        return super().can(step, position, means)


VENUE, FROZEN = LendingDouble(), Frozen()
POLICY = build.policy(
    target="1.40", strategies=("repay", "add_collateral", "deleverage", "repay_from_reserve")
)
healths = st.integers(1_010, 1_249)
dollars = st.integers(0, 6_000)


def plain(problem: Problem) -> Solution | Refusal:
    """Without an optimiser every position takes what it finds by itself."""
    raise Broken("switched off")


def borrower(health_milli: int, account: str, second: bool) -> Position:
    """ETH, and perhaps BTC, against USDC and perhaps DAI at that health."""
    supplied = [collateral(WETH, "8")] + ([collateral(WBTC, "0.1")] if second else [])
    weighted = 8 * 2000 * 0.83 + (0.1 * 60000 * 0.78 if second else 0.0)
    owed = int(weighted / health_milli * 1000)
    borrowed = (
        [debt(USDC, str(owed - owed // 4)), debt(DAI, str(owed // 4))] if second else [debt(USDC, str(owed))]
    )
    return position(supplied, borrowed, account=account)


def purse(usdc: int, eth_milli: int, sells: int, funds: int, impact: int) -> Means:
    """What there is for both."""
    listed = (
        mandates.asset(WETH, Side.COLLATERAL, granted=sells * WAD),
        mandates.asset(USDC, Side.DEBT, funds=funds * 10**6, fund_cap=2**100),
    )
    found = mandates.means(mandates.mandate(assets=listed), [mandates.route(impact_ppm=impact, most="20000")])
    money = (amount(USDC, str(usdc)), amount(WETH, str(eth_milli / 1000)))
    return replace(found, balances=money, allowances=build.means(money).allowances)


@settings(max_examples=40, deadline=None)
@given(
    healths,
    healths,
    st.booleans(),
    dollars,
    st.integers(0, 3_000),
    st.integers(0, 8),
    dollars,
    st.integers(0, 9_000),
)
def test_decide__whatever_is_weighed_together__nobody_is_worse_off_than_by_himself(
    first: int, second: int, two: bool, usdc: int, eth_milli: int, sells: int, funds: int, impact: int
) -> None:
    pair = [borrower(first, ALICE, two), borrower(second, BOB, False)]
    means = purse(usdc, eth_milli, sells, funds, impact)
    joint, alone = decided(pair, means, solve), decided(pair, means, plain)
    for found in pair:
        mine, own = joint[found.id.account], alone[found.id.account]
        assert bool(mine.chosen) >= bool(own.chosen)
        for proposal in mine.chosen:
            after = VENUE.after(proposal.steps, found).health_wad or 0
            assert kept(found.health_wad or 0, after, POLICY) is None
            if own.chosen and own.chosen[0].health_after_wad >= POLICY.target_wad:
                assert after >= POLICY.target_wad or "FIRST OF" in mine.why
            guarded(proposal, found, pair, means)
    steps = [s for d in joint.values() for p in d.chosen for s in p.steps]
    for token in (USDC, WETH):
        assert sum(a.units for a in from_wallet(steps) if a.token == token) <= means.balance(token)


@settings(max_examples=40, deadline=None)
@given(healths, dollars, st.integers(0, 3_000), st.integers(0, 8), dollars, st.integers(0, 9_000))
def test_decide__whenever_a_single_step_reaches_target__then_it_is_reached(
    health: int, usdc: int, eth_milli: int, sells: int, funds: int, impact: int
) -> None:
    found, means = borrower(health, ALICE, False), purse(usdc, eth_milli, sells, funds, impact)
    single = [
        s.propose(found, build.outlook(found), POLICY, means, VENUE, build.block())
        for s in SHIPPED
        if s.name in POLICY.strategies
    ]
    reaching = [p for p in single if not isinstance(p, Refusal) and p.health_after_wad >= POLICY.target_wad]
    (decision,) = decided([found], means, solve).values()
    if not reaching:
        return
    (chosen,) = decision.chosen
    assert chosen.health_after_wad >= POLICY.target_wad or "FIRST OF" in decision.why
    assert chosen.cost_usd <= min(p.cost_usd for p in reaching) + 0.01


@settings(max_examples=30, deadline=None)
@given(healths, healths, dollars, st.integers(1, 3_000), st.integers(0, 8), st.integers(0, 9_000))
def test_decide__when_a_token_is_frozen__then_as_if_the_wallet_held_none(
    first: int, second: int, usdc: int, eth_milli: int, sells: int, impact: int
) -> None:
    pair = [borrower(first, ALICE, False), borrower(second, BOB, False)]
    stuck = decided(pair, purse(usdc, eth_milli, sells, 0, impact), solve, FROZEN)
    bare = decided(pair, purse(usdc, 0, sells, 0, impact), solve, FROZEN)
    for account, decision in bare.items():
        assert [p.steps for p in stuck[account].chosen] == [p.steps for p in decision.chosen]


def decided(
    pair: list[Position], means: Means, solver: object, venue: LendingDouble = VENUE
) -> dict[str, Decision]:
    """Every decision by account."""
    options = Options(venues={venue.id: venue}, strategies=SHIPPED, solver=solver)  # type: ignore[arg-type]
    snapshot = build.snapshot(pair, wallet=means)
    policies = {p.id: POLICY for p in pair}
    said, _ = decide(snapshot, [build.outlook(p) for p in pair], policies, Memory(), options)
    return {d.id.account: d for d in said}


def guarded(proposal: object, found: Position, pair: list[Position], means: Means) -> None:
    """What is chosen, the guard takes."""
    snapshot = build.snapshot(pair, wallet=means)
    case = Case(position=found, venue=VENUE, policy=POLICY, snapshot=snapshot, seq=1)
    assert not isinstance(compile_plan(proposal, case), Refusal)  # type: ignore[arg-type]
