"""A plan's haste and its gas in money, as the loop gives them to whoever pays the fees."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.daemon import urgency as urgencies
from keeper.daemon.urgency import Healths, hastened, urgency_of
from keeper.model import Plan, PlanKey, Policy, Position, Refusal, Snapshot
from keeper.plan import Case
from keeper.units import WAD
from tests import build
from tests.build import USDC, WETH, collateral, debt
from tests.fakes import LendingDouble
from tests.loop_double import Loop, loop, vault
from tests.plans import plan as any_plan

pytestmark = pytest.mark.unit
BLOCK_S = 12.0


def held(price: str, *, owed: str = "10000", bonus_bps: int = 10_500) -> Position:
    """10 WETH at ``price`` against USDC; liquidators get ``bonus_bps``."""
    supplied = replace(collateral(WETH, "10", price=price), bonus_bps=bonus_bps)
    return build.position([supplied], [debt(USDC, owed)])


def seen(position: Position, number: int = 100, *, base_gwei: int = 10) -> Snapshot:
    prices = {h.feed: h.price_base / 1e8 for h in (*position.collateral, *position.debt)}
    at = build.block(number, base_fee_gwei=base_gwei)
    return replace(build.snapshot([position], at=at), prices=prices)


def case(position: Position, number: int = 100, *, base_gwei: int = 10, policy: Policy | None = None) -> Case:
    return Case(
        position=position,
        venue=LendingDouble(),
        policy=policy or build.policy(),
        snapshot=seen(position, number, base_gwei=base_gwei),
        seq=1,
    )


def fallen(*prices: str) -> tuple[Healths, Case]:
    """Healths of one block a price, and the case at the last of them."""
    past = Healths()
    for number, price in enumerate(prices, 101):
        past.see(seen(held(price), number))
    return past, case(held(prices[-1]), 100 + len(prices))


def planned(fee_wei_max: int = 10**18) -> Plan:
    found = any_plan()
    return replace(
        found,
        key=PlanKey(position=build.position_id(), seq=1),
        bounds=replace(found.bounds, fee_wei_max=fee_wei_max, gas_limit=300_000),
    )


def paid(made: Plan | Refusal) -> Plan:
    assert isinstance(made, Plan)
    return made


def test_urgency__while_nothing_moves__then_far_away_and_nearer_with_less_margin() -> None:
    lots, little = (urgency_of(case(held(p)), BLOCK_S, Healths()).blocks_left for p in ("1450", "1210"))
    # 80 % a year is 0.05 % a block: a margin of 20 % lies hundreds of sigmas away
    assert lots > 10_000
    assert 10 < little < lots
    assert urgency_of(case(held("1205")), BLOCK_S, Healths()).blocks_left < 10


def test_urgency__while_health_falls__then_by_the_pace_of_the_last_blocks() -> None:
    past, now = fallen("1600", "1550", "1500", "1450", "1400")
    # log 1.162 = 0.150 at 0.033 a block
    assert urgency_of(now, BLOCK_S, past).blocks_left == pytest.approx(4.5, abs=0.1)
    assert urgency_of(now, BLOCK_S, past).pressing
    rising, now = fallen("1400", "1450")
    assert urgency_of(now, BLOCK_S, rising).blocks_left > 10


def test_healths__when_a_reorganisation_takes_blocks_back__then_they_are_forgotten() -> None:
    past, _ = fallen("1600", "1550", "1500")
    past.see(seen(held("1590"), 102))
    assert [ago for ago, _ in past.of(build.position_id(), 103)] == [1, 2]


def test_healths__when_blocks_were_skipped_or_unread__then_the_pace_is_still_a_block() -> None:
    past = Healths()
    past.see(seen(held("1600"), 100))
    past.see(replace(seen(held("1600"), 105), positions=()))
    assert [ago for ago, _ in past.of(build.position_id(), 110)] == [10]


def test_hastened__above_emergency__then_gas_is_at_most_its_share_of_the_loss() -> None:
    made = paid(hastened(planned(), case(held("1400", owed="1000")), BLOCK_S, Healths()))
    # 20 % of 50 dollars at 2,000 dollars a token
    assert made.bounds.fee_wei_max == 10 * WAD // 2000
    roomy = paid(hastened(planned(), case(held("1400")), BLOCK_S, Healths()))
    assert roomy.bounds.fee_wei_max == 50 * WAD // 2000


def test_hastened__when_this_blocks_gas_exceeds_the_share__then_refused_in_money_and_not_in_an_emergency() -> (
    None
):
    refused = hastened(planned(), case(held("1400", owed="1000"), base_gwei=20), BLOCK_S, Healths())
    assert isinstance(refused, Refusal)
    assert refused.code == "gas_cap"
    assert "$10.00, of $50.00" in refused.why
    below = case(held("130", owed="1000"), base_gwei=20)
    assert paid(hastened(planned(), below, BLOCK_S, Healths())).bounds.fee_wei_max == 50 * WAD // 2000


def test_hastened__when_the_loss_is_unknown__then_only_the_policys_dollars_limit_it() -> None:
    made = hastened(planned(), case(held("1400", owed="1000", bonus_bps=0), base_gwei=60), BLOCK_S, Healths())
    assert paid(made).bounds.fee_wei_max == 50 * WAD // 2000


def test_hastened__when_health_falls_fast_above_emergency__then_urgent_and_said() -> None:
    past, now = fallen("1600", "1550", "1500", "1450", "1400")
    made = paid(hastened(planned(), now, BLOCK_S, past))
    assert made.urgent
    assert "PRESSING: health 1 within 4." in made.why
    calm = paid(hastened(planned(), now, BLOCK_S, Healths()))
    assert not calm.urgent
    assert "PRESSING" not in calm.why


def test_hastened__when_the_risk_core_breaks__then_the_plan_stands_and_is_urgent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*_: object) -> float:
        raise IndexError("an index out of range")

    monkeypatch.setattr(urgencies, "linear_beta", breaks)
    assert paid(hastened(planned(), case(held("1400")), BLOCK_S, Healths())).urgent


def crash(under: Loop, *prices: str) -> Plan:
    """Blocks at these prices; the plan of the last."""
    for price in prices:
        tick = asyncio.run(under.running.tick(under.lay(vault(price))))
    (made,) = tick.plans
    return made


def fresh(home: Path) -> Loop:
    home.mkdir()
    return loop(home)


def test_loop__when_a_position_falls_through_its_trigger_fast__then_its_plan_is_urgent(
    tmp_path: Path,
) -> None:
    assert crash(fresh(tmp_path / "a"), "2000", "1800", "1600", "1440").urgent
    assert not crash(fresh(tmp_path / "b"), "1441", "1440.5", "1440").urgent
