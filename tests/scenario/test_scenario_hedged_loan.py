"""A fall of a third and back: a loan alone, and one with a short against it that the venue closes half-way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from keeper.decision import Memory, Options, decide
from keeper.decision.legs import Cover, Hedged, in_force
from keeper.model import Perp, Plan, Position, PositionId
from keeper.plan import Case, compile_plan
from keeper.units import WAD, wad_from
from strategies.hedge import Order, Seen, Terms, propose
from strategies.registry import SHIPPED
from tests import build
from tests.build import USDC, amount, position_id, repriced
from tests.fakes import LendingDouble
from tests.hedged import SHORT, dollars, loan, perp, short

pytestmark = pytest.mark.scenario

VENUE = LendingDouble()
POLICY = build.policy(strategies=("repay",), caps=build.limits(action=10**7, day=10**7), cooldown_blocks=3)
LINK = Hedged(
    loan=position_id(),
    short=SHORT,
    assets=("WETH",),
    trigger_wad=wad_from("1.12"),
    target_wad=wad_from("1.20"),
)
KEY = "0x" + "77" * 20
TERMS = Terms(
    on=True,
    key=KEY,
    assets=("WETH",),
    share_pct=100,
    notional_usd_max=40_000,
    action_usd_max=40_000,
    day_usd_max=40_000,
    leverage=4,
)
FALL = (2000, 1900, 1800, 1700, 1640, 1600, 1560, 1500, 1420, 1340)


@dataclass(slots=True, kw_only=True)
class Paper:
    """What the owner has besides: cash in the rescue's wallet, and the short as a venue would keep it."""

    cash: float
    eth: float = 0.0
    entry: float = 0.0
    margin: float = 0.0
    realised: float = 0.0

    def perp(self, price: int) -> Perp | None:
        if not self.eth:
            return None
        return perp(price, eth=self.eth, entry=self.entry, margin_usd=self.margin)

    def worth(self, price: int) -> float:
        return self.cash + self.margin + self.realised + self.eth * (self.entry - price)


def hedge(paper: Paper, held: Position, price: int) -> None:
    """The hedge's own key follows its orders; what it lacks is opened, what is too much closed."""
    nothing = perp(price, eth=0.0, entry=0.0, margin_usd=0.0)
    there = short(paper.perp(price) or nothing)
    means = replace(build.means([dollars(10_000)]), wallet=KEY)
    told = propose(held, there, TERMS, Seen(keeper=build.WALLET, means=means, funding_year_pct=12.0))
    if isinstance(told, Order) and told.opens and not paper.eth:
        paper.eth, paper.entry = told.size_usd / 10**30 / price, float(price)
        paper.margin = told.margin.units / 10**6
        paper.cash -= paper.margin


def run(*, hedged: bool, closed_at: int = 0) -> tuple[Paper, Position, list[tuple[int, float]]]:
    """Price by price: (what the owner holds, his loan, repayments as (price, dollars))."""
    paper, held, memory = Paper(cash=20_000.0), loan("2000"), Memory()
    covers: Mapping[PositionId, Cover] = {}
    paid = list[tuple[int, float]]()
    if hedged:
        hedge(paper, held, 2000)
    for n, price in enumerate(FALL):
        block = build.block(100 + 10 * n)
        held = replace(repriced(held, {"WETH": str(price)}), block_number=block.number)
        if price <= closed_at and paper.eth:
            # auto-deleveraged: the venue pays the profit out and the short is gone
            paper.realised += paper.eth * (paper.entry - price)
            paper.eth = 0.0
        there = [held, short(paper.perp(price), at=block.number)] if hedged else [held]
        cash = amount(USDC, str(int(max(paper.cash, 0.0))))
        snapshot = build.snapshot(there, wallet=build.means([cash]), at=block)
        links = [LINK] if hedged else []
        now = in_force(links, snapshot, {held.id: POLICY}, memory, covers)
        covers = now.covers
        options = Options(venues={VENUE.id: VENUE}, strategies=SHIPPED)
        said, memory = decide(snapshot, [build.outlook(held)], now.policies, now.memory, options)
        for proposal in (p for d in said for p in d.chosen):
            policy = now.policies[held.id]
            case = Case(position=held, venue=VENUE, policy=policy, snapshot=snapshot, seq=n + 1)
            plan = compile_plan(proposal, case)
            assert isinstance(plan, Plan), plan
            held = VENUE.after(plan.steps, held)
            spent = sum(s.amount.units for s in plan.steps) / 10**6
            paper.cash -= spent
            paid.append((price, spent))
    return paper, held, paid


def worth(paper: Paper, held: Position) -> float:
    owned = sum(h.value_base for h in held.collateral) / 10**8
    owed = sum(h.value_base for h in held.debt) / 10**8
    return owned - owed + paper.worth(FALL[-1])


def test_fall__with_a_hedge__the_owner_keeps_what_he_had_and_is_rescued_later() -> None:
    bare, alone, early = run(hedged=False)
    covered, loan_, late = run(hedged=True)
    start = 10 * 2000 - 12_000 + 20_000
    # every repayment moves cash into the loan: worth is what the price took
    assert worth(bare, alone) == pytest.approx(start - 10 * 660, abs=1.0)
    assert worth(covered, loan_) == pytest.approx(start, abs=1.0)
    for held in (alone, loan_):
        assert (held.health_wad or 0) > WAD
    # while it is covered the loan waits for its lower trigger
    assert early[0][0] > late[0][0]
    assert sum(usd for _, usd in late) < sum(usd for _, usd in early)


def test_fall__the_short_is_auto_deleveraged__the_loan_is_planned_anew_at_that_very_price() -> None:
    covered, _, late = run(hedged=True)
    lost, held, paid = run(hedged=True, closed_at=1700)
    assert covered.eth > 0.0
    assert lost.eth == 0.0
    assert lost.realised == pytest.approx(10 * 300, rel=0.01)
    # 1,700 is 1.1758: under the loan's own trigger, over that of a covered loan
    assert paid[0][0] == 1700
    assert late[0][0] < 1700
    assert (held.health_wad or 0) > POLICY.emergency_wad
