"""The joint plan: a part of a winning short is closed, and its profit repays the loan; its bounds and its guard."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.decision.legs import HEDGE_PROFIT
from keeper.model import Decision, Plan, ReducePerp, Refusal, Route
from keeper.plan import Case, Relieves, check, compile_plan
from strategies.hedge_profit import paid_out, take
from tests import build, hedged, mandates
from tests.build import position_id
from tests.hedge_relief import GMX, OWN, PERP, SHORT, decided, means, relief, seen, short

pytestmark = pytest.mark.unit
LOAN = position_id()


def thin(price: int, impact_ppm: int = 8_000) -> Route:
    """A pool at that price, in which a sale of some thousands loses most of a per cent."""
    found = mandates.route(impact_ppm=impact_ppm, most="12000")
    return replace(found, points=tuple((bought, sold * 2000 // price) for bought, sold in found.points))


def test_loan__nothing_can_be_sold__the_hedge_pays_and_the_loan_waits() -> None:
    found = decided(seen("1700", short(1700), means()))
    assert found[LOAN].chosen == ()
    assert "the hedge pays" in found[LOAN].why
    (order,) = found[SHORT].chosen
    assert (order.strategy, order.ids) == (HEDGE_PROFIT, (SHORT,))
    (step,) = order.steps
    assert isinstance(step, ReducePerp)
    # 14,110 / 1.35 = 10,452: of 12,000 of debt 1,548 are too much
    pays = paid_out(short(1700).perp, step.size_usd) / 10**30  # type: ignore[arg-type]
    assert pays == pytest.approx(1548 * 1.02, rel=0.01)
    assert "deleverage" in {r.strategy for r in found[SHORT].rejected}


def test_loan__where_its_own_sale_is_dear__the_cheaper_joint_plan_is_taken_and_the_sale_rejected_with_its_price() -> (
    None
):
    found = decided(seen("1650", short(1650), means([thin(1650)])))
    (order,) = found[SHORT].chosen
    own = next(r for r in found[SHORT].rejected if r.strategy == "deleverage")
    assert own.code == "together"
    assert own.cost_usd is not None
    assert own.cost_usd > order.cost_usd


def told(found: Decision) -> dict[str, str]:
    return {r.strategy: r.code for r in found.rejected}


def test_loan__where_its_own_sale_is_cheap__sells_and_says_what_the_hedge_would_have_cost() -> None:
    found = decided(seen("1700", short(1700), means(None)))
    assert [p.strategy for p in found[LOAN].chosen] == ["deleverage"]
    assert told(found[LOAN])[HEDGE_PROFIT] == "together"
    assert SHORT not in found


@pytest.mark.parametrize(
    ("price", "hedge", "have", "code"),
    [
        # the owner grants his Executor nothing: nobody would repay with the profit
        ("1700", short(1700), means(allowed=0), "hedge_profit"),
        # too small a profit
        ("1700", short(1700, hedged.perp(1700, eth=2.0)), means(), "hedge_profit"),
    ],
)
def test_loan__where_the_hedge_cannot_pay__is_told_why(
    price: str, hedge: object, have: object, code: str
) -> None:
    found = decided(seen(price, hedge, have))  # type: ignore[arg-type]
    assert SHORT not in found
    assert code in told(found[LOAN])


def test_loan__below_emergency__waits_for_nobody() -> None:
    for asked in (relief(wait="profit is on its way"), relief()):
        found = decided(seen("1550", short(1550), means()), {LOAN: asked})
        assert "NOTHING CAN BE DONE" in found[LOAN].why
        assert SHORT not in found
        assert HEDGE_PROFIT not in told(found[LOAN])


def test_loan__whose_hedge_was_asked__waits_and_then_helps_itself() -> None:
    here = seen("1700", short(1700), means(None))
    waiting = decided(here, {LOAN: relief(wait="a part of it was ordered closed")})[LOAN]
    assert waiting.chosen == ()
    assert "ordered closed" in waiting.why
    alone = decided(here, {LOAN: relief(tried="asked already")})[LOAN]
    assert [p.strategy for p in alone.chosen] == ["deleverage"]


def test_loan__whose_short_loses_or_has_an_order__is_helped_alone() -> None:
    losing = decided(seen("1700", short(1700, hedged.perp(1700, eth=8.0, entry=1600.0)), means()))
    assert HEDGE_PROFIT not in {p.strategy for d in losing.values() for p in d.chosen}
    busy = replace(hedged.perp(1700, eth=8.0), orders=(hedged.order(),))
    assert SHORT not in decided(seen("1700", short(1700, busy), means()))


def planned(relieves: Relieves | None, price: str = "1700") -> Plan | Refusal:
    here = seen(price, short(float(price)), means())
    found = take(short(float(price)), PERP, here, GMX, 500 * 10**30)
    assert not isinstance(found, Refusal), found
    position = here.position(SHORT)
    assert position is not None
    case = Case(position=position, venue=GMX, policy=PERP, snapshot=here, seq=1, relieves=relieves)
    return compile_plan(found, case)


def of(price: str) -> Relieves:
    here = seen(price, short(float(price)), means()).position(LOAN)
    assert here is not None
    return Relieves(position=here, policy=OWN)


def test_guard__an_order_on_a_short_above_its_trigger__passes_for_a_loan_in_need_only() -> None:
    assert isinstance(planned(of("1700")), Plan)
    own = planned(None)
    assert isinstance(own, Refusal)
    assert own.code == "not_crossed"
    calm = planned(of("1900"), "1900")
    assert isinstance(calm, Refusal)
    assert (calm.code, "the loan's health" in calm.why) == ("not_crossed", True)
    other = planned(of("1600"))
    assert isinstance(other, Refusal)
    assert other.code == "wrong_position"


def test_guard__what_is_planned_for_a_loan__must_leave_the_short_as_safe() -> None:
    plan = planned(of("1700"))
    assert isinstance(plan, Plan)
    here = seen("1700", short(1700), means())
    position = here.position(SHORT)
    assert position is not None
    case = Case(position=position, venue=GMX, policy=PERP, snapshot=here, seq=1, relieves=of("1700"))
    assert check(plan, case) is None
    high = replace(plan, bounds=replace(plan.bounds, health_after_min_wad=10**20))
    no = check(high, case)
    assert no is not None
    assert no.code == "not_better"


def test_take__more_than_the_short_has_won__is_refused() -> None:
    here = seen("1700", short(1700), means())
    found = take(short(1700), PERP, here, GMX, 2_400 * 10**30)
    assert isinstance(found, Refusal)
    assert found.code == "profit_short"
    assert build.position_id() == LOAN
