"""A loan and its hedge: cover, the policy in force, a hedge that is lost; the joint plan beside two separate ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.decision import Memory, Options, decide
from keeper.decision.legs import Cover, Hedged, InForce, cover, in_force, relaxed
from keeper.decision.pair import REPAY, SELL, TAKE_PROFIT, Costs, LoanLeg, ShortLeg, Together, weigh
from keeper.decision.problem import Solution
from keeper.model import Decision, Level, Position, PositionId, Snapshot, Unreadable
from keeper.units import wad_from
from strategies.registry import SHIPPED
from tests import build, hedged
from tests.bench.figures import record
from tests.build import USDC, WETH, amount, means, position_id
from tests.fakes import LendingDouble
from tests.hedged import SHORT, loan, perp, short

pytestmark = pytest.mark.unit

POLICY = build.policy(strategies=("repay",), cooldown_blocks=50)
"""Trigger 1.25, target 1.45, emergency 1.08."""
LINK = Hedged(
    loan=position_id(),
    short=SHORT,
    assets=("WETH",),
    trigger_wad=wad_from("1.15"),
    target_wad=wad_from("1.30"),
    cover_least=0.4,
)


def seen(price: str, hedge: Position | Unreadable | None, *, at: int = 100) -> Snapshot:
    found = replace(loan(price), block_number=at)
    rows = [found, *([hedge] if isinstance(hedge, Position) else [])]
    lost = [hedge] if isinstance(hedge, Unreadable) else []
    snapshot = build.snapshot(rows, wallet=means([amount(USDC, "9000")]), at=build.block(at))
    return replace(snapshot, unreadable=tuple(lost))


GONE = Unreadable(id=SHORT, why="reverted", since_block=90)


@pytest.mark.parametrize(
    ("hedge", "share", "why"),
    [
        (short(perp(2000)), 0.5, ""),
        (short(perp(2000, eth=20.0, margin_usd=9000)), 1.0, ""),
        (short(perp(2000, eth=3.0)), 0.3, "covers 30 %"),
        (short(perp(2000, disabled=True)), 0.5, "disabled"),
        (short(perp(2000, long=True)), 0.0, "a long"),
        (short(perp(2000, margin_usd=900)), 0.5, "itself near liquidation"),
        (short(None), 0.0, "gone"),
        (GONE, 0.0, "cannot be read"),
        (None, 0.0, "cannot be read"),
    ],
)
def test_cover__of_a_short__counts_what_is_read_and_stands(
    hedge: Position | Unreadable | None, share: float, why: str
) -> None:
    found = cover(LINK, seen("2000", hedge))
    assert found.share == pytest.approx(share)
    assert found.holds is (why == "")
    assert why in found.why


def test_cover__of_a_loan_that_cannot_be_read__is_none() -> None:
    nothing = replace(seen("2000", short(perp(2000))), positions=(short(perp(2000)),))
    assert "the loan" in cover(LINK, nothing).why


def test_relaxed__never_leaves_the_owners_own_bounds() -> None:
    lower = relaxed(POLICY, LINK)
    assert (lower.trigger_wad, lower.target_wad) == (wad_from("1.15"), wad_from("1.30"))
    assert lower.warn_wad == wad_from("1.25")
    reckless = relaxed(POLICY, replace(LINK, trigger_wad=wad_from("1.01"), target_wad=wad_from("1.01")))
    assert reckless.trigger_wad == POLICY.emergency_wad + POLICY.hysteresis_wad
    assert reckless.target_wad == reckless.trigger_wad + POLICY.hysteresis_wad
    stricter = relaxed(POLICY, replace(LINK, trigger_wad=wad_from("1.4"), target_wad=wad_from("1.9")))
    assert stricter == POLICY


def step(
    snapshot: Snapshot, memory: Memory, before: Mapping[PositionId, Cover]
) -> tuple[Decision | None, InForce, Memory]:
    """One block: the policies in force, then deciding."""
    policies = {position_id(): POLICY}
    now = in_force([LINK], snapshot, policies, memory, before)
    outlooks = [build.outlook(p) for p in snapshot.positions if p.id in now.policies]
    venue = LendingDouble()
    options = Options(venues={venue.id: venue}, strategies=SHIPPED)
    said, after = decide(snapshot, outlooks, now.policies, now.memory, options)
    return (said[0] if said else None), now, after


@pytest.mark.parametrize(
    "fate",
    [short(None), short(perp(1700, eth=1.0)), GONE],
    ids=["liquidated", "closed in part by ADL", "unread"],
)
def test_in_force__when_the_hedge_is_lost__then_the_loan_is_planned_anew_in_the_same_block(
    fate: Position | Unreadable,
) -> None:
    # health 1.1758: below the loan's own trigger, above that which holds while it is covered
    calm, now, memory = step(seen("1700", short(perp(1700))), Memory(), {})
    assert now.lost == {}
    assert calm is None or calm.level is Level.WATCH
    assert calm is None or not calm.chosen
    # an action of a few blocks ago would keep it quiet for fifty
    memory = memory.with_action(position_id(), 100)
    made, now, after = step(seen("1700", fate, at=101), memory, now.covers)
    assert list(now.lost) == [position_id()]
    assert made is not None
    assert made.level is Level.ACT
    assert [p.strategy for p in made.chosen] == ["repay"]
    assert made.chosen[0].health_after_wad >= POLICY.target_wad
    # it is said once: the next block remembers that the cover is gone, and the cooldown of the new action holds
    again, now, _ = step(seen("1700", fate, at=102), after, now.covers)
    assert now.lost == {}
    assert again is not None
    assert not again.chosen


def test_in_force__when_the_cover_swings_around_its_line__then_it_is_lost_once_and_regained_by_a_margin() -> (
    None
):
    eths = [4.01, 3.99, 4.01, 3.99, 4.01, 4.07, 4.09, 4.01]  # of 10; the line is 40 %
    held, lost, covers = [], 0, dict[PositionId, Cover]()
    for n, eth in enumerate(eths):
        here = seen("1700", short(perp(1700, eth=eth)), at=100 + n)
        _, now, _ = step(here, Memory(), covers)
        covers = dict(now.covers)
        held.append(covers[position_id()].holds)
        lost += len(now.lost)
    assert held == [True, False, False, False, False, False, True, True]
    assert lost == 1


def test_cover__of_a_short_that_was_thin_or_only_unread__asks_for_the_margin_only_of_the_thin() -> None:
    narrow = seen("2000", short(perp(2000, eth=4.01)))
    unread = cover(LINK, seen("2000", GONE), cover(LINK, narrow))
    assert cover(LINK, narrow, unread).holds
    thin = cover(LINK, seen("2000", short(perp(2000, eth=3.9))))
    assert not thin.holds
    lost = cover(LINK, seen("2000", GONE), thin)
    assert "40.1 % of the collateral, less than 40.8 %" in cover(LINK, narrow, lost).why


def test_in_force__without_a_link__changes_nothing() -> None:
    snapshot, memory = seen("1700", short(perp(1700))), Memory()
    found = in_force([], snapshot, {position_id(): POLICY}, memory, {})
    assert found.policies == {position_id(): POLICY}
    assert found.lost == {}
    other = replace(LINK, loan=replace(position_id(), key="another"))
    assert in_force([other], snapshot, {position_id(): POLICY}, memory, {}).covers == {}


# the example of docs/reference/joint.md: ether fell from 2,000 to 1,500
PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "joint.md"
LOAN = LoanLeg(weighted_usd=12_450.0, debt_usd=12_000.0, threshold=0.83, target=1.25)
WINNING = ShortLeg(notional_usd=7_500.0, profit_usd=2_500.0, equity_usd=4_500.0, need_usd=100.0, target=10.0)
COSTS = Costs(gas_usd=0.5, sale=0.005, close=0.0006, order_usd=0.3, idle=0.05 * 30 / 365)


def answer(found: Together) -> tuple[list[str], list[str]]:
    assert isinstance(found.joint, Solution)
    separate = [t.way.name for part in found.separate if isinstance(part, Solution) for t in part.taken]
    return [t.way.name for t in found.joint.taken], separate


def test_weigh__a_key_that_holds_gas_only__pays_the_loan_from_the_hedges_profit() -> None:
    found = weigh(LOAN, WINNING, COSTS, wallet_usd=0.0)
    assert answer(found) == ([TAKE_PROFIT], [SELL])
    assert isinstance(found.joint, Solution)
    first, second = found.separate
    assert isinstance(first, Solution)
    assert isinstance(second, Solution)
    # 2,040 of debt are too much for 1.25: repaid by closing 82 % of the short ...
    assert found.joint.taken[0].usd == pytest.approx(12_000 - 12_450 / 1.25)
    assert found.joint.cost_usd == pytest.approx(2_040 * 3 * 0.0006 + 1.3)
    # ... or by selling 6,163 dollars of ether below the market
    sold = (1.25 * 12_000 - 12_450) / (1.25 * 0.995 - 0.83)
    assert first.taken[0].usd == pytest.approx(sold)
    assert first.cost_usd == pytest.approx(sold * 0.005 + 0.5)
    assert second.taken == ()
    assert found.saves_usd == pytest.approx(first.cost_usd - found.joint.cost_usd)
    record(
        "joint_saving_usd",
        round(found.saves_usd, 2),
        unit="USD",
        bound="= 26.34, as the joint page says",
        holds=round(found.saves_usd, 2) == 26.34,
        evidence="generated",
        n=1,
    )
    assert found.saves_usd == pytest.approx(26.34, abs=0.01)


def test_page__of_the_example__says_what_is_reckoned() -> None:
    found, text = weigh(LOAN, WINNING, COSTS, wallet_usd=0.0), PAGE.read_text()
    assert isinstance(found.joint, Solution)
    (first, _) = found.separate
    assert isinstance(first, Solution)
    (taken,), (sold,) = found.joint.taken, first.taken
    for figure in (
        f"{taken.usd:,.0f} USD",
        f"{100 * taken.usd / WINNING.profit_usd:.0f} % of the short",
        f"{found.joint.cost_usd:.2f} USD",
        f"{sold.usd:,.0f} USD",
        f"{first.cost_usd:.2f} USD",
        f"{found.saves_usd:.2f} USD",
    ):
        assert figure in text, figure


def test_weigh__a_full_wallet__is_drawn_on_where_that_is_cheaper() -> None:
    dear = replace(COSTS, close=0.01)
    joint, separate = answer(weigh(LOAN, WINNING, dear, wallet_usd=5_000.0))
    assert joint == separate == [REPAY]


def test_weigh__both_legs_want_the_one_wallet__together_both_are_saved() -> None:
    # wide pools are gone: nothing is sold; the wallet pays for one, and the short needs margin as well
    closed = replace(COSTS, sale=0.4)
    thin = replace(WINNING, equity_usd=300.0, need_usd=100.0, target=4.0)
    found = weigh(LOAN, thin, closed, wallet_usd=2_040.0)
    assert isinstance(found.joint, Solution)
    assert all(found.joint.reaches)
    assert found.joint.cost_usd < sum(p.cost_usd for p in found.separate if isinstance(p, Solution))


def test_weigh__a_sale_that_cannot_help__is_safer_together() -> None:
    lost = replace(COSTS, sale=0.4)
    found = weigh(LOAN, WINNING, lost, wallet_usd=0.0)
    assert found.safer
    assert found.saves_usd is None


def test_weigh__a_losing_short__has_no_profit_to_take() -> None:
    losing = replace(WINNING, profit_usd=-500.0, equity_usd=1_500.0)
    joint, separate = answer(weigh(LOAN, losing, COSTS, wallet_usd=0.0))
    assert joint == separate == [SELL]


def test_weth__of_the_builders__is_what_the_link_names() -> None:
    assert WETH.symbol in LINK.assets
    assert hedged.loan("2000").id == LINK.loan
