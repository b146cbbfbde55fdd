"""Limits, floors, a stable off its peg and a warning through the pure rooms: less is held, and each move is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.config import parse
from keeper.decision import Memory, Options, decide
from keeper.decision.standing import standing_all
from keeper.errors import ConfigError
from keeper.model import Decision, Deleverage, Means, Omen, Plan, Policy, Position, Quoted, Refusal, Side
from keeper.plan import Case, compile_plan
from keeper.units import WAD
from strategies.registry import SHIPPED
from tests import build, mandates
from tests.build import DAI, USDC, WETH, collateral, debt, position
from tests.fakes import LendingDouble
from tests.scenario.test_scenario_exits_by_price import HIGH, WIDE, restarted
from tests.unit.config.test_config_parse import GOOD

pytestmark = pytest.mark.scenario
VENUE = LendingDouble()
NAMES = ("deleverage", "exposure_limits", "depeg_playbook", "floor")
PLAIN = replace(
    build.policy(target="1.40", strategies=NAMES, caps=WIDE),
    max_health_wad=4 * WAD,
    reduce_above_trigger=True,
)
LIMIT = replace(PLAIN, exposure_max_usd=(("asset", "WETH", 18_000),))
DEPEG = replace(PLAIN, depeg_ppm=20_000)
FLOOR = replace(PLAIN, floor_usd=6_000, floor_times_wad=3 * WAD)
TERMS = replace(HIGH, target_wad=11 * WAD // 10, trigger_wad=4 * WAD)
LOAN = position([collateral(WETH, "10")], [debt(USDC, "8000")])


def seen(price: str, *sources: str, feed: str = "USDC", age_s: int = 12) -> tuple[Quoted, ...]:
    """What each source says of a feed."""
    at_s, wad = build.block().timestamp_s - age_s, int(float(price) * WAD)
    return tuple(Quoted(feed=feed, price_wad=wad, source=s, at_s=at_s) for s in sources)


def allowed(found: Position, usd_per_weth: int = 2_000) -> Means:
    """Any collateral may be sold for any debt, at the oracle's price less half a per mille."""
    assets = [mandates.asset(h.amount.token, Side.COLLATERAL) for h in found.collateral]
    assets += [mandates.asset(h.amount.token, Side.DEBT) for h in found.debt]
    routes = []
    for sold in found.collateral:
        for bought in found.debt:
            worth = sold.price_base * 10**bought.amount.token.decimals
            each = bought.price_base * 10**sold.amount.token.decimals
            points = tuple(
                (n, n * each * 10_005 // (worth * 10_000) + 1) for n in _sizes(bought.amount.units)
            )
            plain = mandates.route(impact_ppm=500, most="30000")
            routes.append(replace(plain, sell=sold.amount.token, buy=bought.amount.token, points=points))
    block = build.block()
    mine = replace(
        mandates.mandate(terms=TERMS, assets=tuple(assets)),
        block_number=block.number,
        timestamp_s=block.timestamp_s,
    )
    return mandates.means(mine, tuple(routes))


def _sizes(units: int) -> Sequence[int]:
    return [units * 11 * i // 80 for i in range(1, 9)]


def asked(
    policy: Policy, found: Position, quoted: tuple[Quoted, ...] = (), omen: Omen | None = None
) -> tuple[Policy, Decision | None, Plan | None]:
    """The policy as it stands, what is said, and the plan that the guard lets pass."""
    means = replace(allowed(found), quoted=quoted, omen=omen)
    snapshot = build.snapshot([found], wallet=means, at=build.block())
    policies = standing_all({found.id: policy}, Memory().rows(), snapshot, (found.id,))
    options = Options(venues={VENUE.id: VENUE}, strategies=SHIPPED)
    said, _ = decide(snapshot, [build.outlook(found)], policies, Memory(), options)
    stands = policies[found.id]
    chosen = [p for d in said for p in d.chosen]
    if not chosen:
        return stands, said[0] if said else None, None
    plan = compile_plan(chosen[0], Case(position=found, venue=VENUE, policy=stands, snapshot=snapshot, seq=1))
    assert isinstance(plan, Plan), plan
    return stands, said[0], plan


def step_of(plan: Plan | None) -> Deleverage:
    """The one sale of a plan."""
    assert plan is not None
    (step,) = plan.steps
    assert isinstance(step, Deleverage)
    return step


def test_exposure__when_an_asset_is_above_its_limit__then_sold_down_to_it_and_the_difference_told() -> None:
    stands, said, plan = asked(LIMIT, LOAN)
    step = step_of(plan)
    left = 20_000 - step.sell_max.units * 2_000 / WAD
    assert left == pytest.approx(18_000, rel=0.01)
    assert plan is not None
    assert plan.strategy == "exposure_limits"
    assert said is not None
    assert "trigger 1.25 -> 2.075" in said.why
    assert "asset WETH $20,000.00 > limit $18,000.00" in said.why
    assert stands.emergency_wad == LIMIT.emergency_wad


@pytest.mark.parametrize("limit", [("asset", "WETH", 19_500), ("issuer", "Lido", 1), ("venue", "aave_v3", 1)])
def test_exposure__when_within_the_band_or_of_others__then_nothing(limit: tuple[str, str, int]) -> None:
    _, _, plan = asked(replace(LIMIT, exposure_max_usd=(limit,)), LOAN)
    assert plan is None


def test_exposure__when_it_cannot_be_reduced_or_not_above_trigger__then_told_and_nothing_sold() -> None:
    bare = replace(LOAN, debt=())
    stands, _, plan = asked(LIMIT, replace(bare, health_wad=2**256 - 1))
    assert plan is None
    assert [r.targets for r in stands.reduces] == [()]
    stands, _, plan = asked(replace(LIMIT, reduce_above_trigger=False), LOAN)
    assert plan is None
    assert stands.trigger_wad == LIMIT.trigger_wad
    assert len(stands.reduces) == 1


def test_depeg__when_two_sources_see_it_fall__then_debt_in_it_is_bought_back_first() -> None:
    both = position([collateral(WETH, "10"), collateral(DAI, "100")], [debt(USDC, "8000")])
    _, said, plan = asked(DEPEG, both, seen("0.95", "pool", "exchanges"))
    step = step_of(plan)
    assert (step.sell_max.token, step.repay.token) == (WETH, USDC)
    assert said is not None
    assert "debt is cheaper to repay: USDC at 0.95 by 2 sources" in said.why


def test_depeg__when_it_is_held__then_sold_while_it_counts_as_a_dollar() -> None:
    held = position([collateral(USDC, "20000"), collateral(WETH, "1")], [debt(DAI, "8000")])
    _, said, plan = asked(DEPEG, held, seen("0.97", "pool", "exchanges"))
    step = step_of(plan)
    assert (step.sell_max.token, step.repay.token, step.whole) == (USDC, DAI, True)
    assert said is not None
    assert "sold while it counts as a dollar" in said.why


@pytest.mark.parametrize(
    "quoted",
    [
        seen("0.95", "pool"),
        seen("0.95", "pool", "pool"),
        seen("0.95", "pool") + seen("0.999", "exchanges"),
        seen("0.95", "pool") + seen("0.95", "exchanges", age_s=600),
        seen("0.985", "pool", "exchanges"),
        seen("0.95", "pool", "exchanges", feed="DAI"),
    ],
)
def test_depeg__when_one_source_is_alone_old_or_sees_the_peg__then_nothing(
    quoted: tuple[Quoted, ...],
) -> None:
    _, _, plan = asked(DEPEG, LOAN, quoted)
    assert plan is None


def test_depeg__when_the_oracle_has_left_the_peg_as_well__then_the_ordinary_rules_hold() -> None:
    fallen = position([collateral(WETH, "10")], [debt(USDC, "8000", price="0.95")])
    _, _, plan = asked(DEPEG, fallen, seen("0.95", "pool", "exchanges"))
    assert plan is None


def test_floor__when_more_is_at_risk_than_the_cushion_allows__then_sold_back_to_it() -> None:
    # 12,000 of equity, 6,000 above the floor: 18,000 may be at risk, and 20,000 are
    _, said, plan = asked(FLOOR, LOAN)
    step = step_of(plan)
    assert 20_000 - step.sell_max.units * 2_000 / WAD == pytest.approx(18_000, rel=0.01)
    assert said is not None
    assert "$20,000.00 at risk > 3 x ($12,000.00 - floor $6,000.00)" in said.why


def test_floor__when_the_cushion_is_gone__then_out_of_debt() -> None:
    _, _, plan = asked(replace(FLOOR, floor_usd=12_000), LOAN)
    assert step_of(plan).whole


def test_floor__when_it_follows_gains__then_the_highest_equity_outlives_a_restart() -> None:
    follows = replace(FLOOR, floor_usd=1_000, floor_times_wad=5 * WAD, floor_ratchet_ppm=800_000)
    memory, kept = Memory(), list[int]()
    for i, price in enumerate(("2000", "2600", "2400")):
        found = position([collateral(WETH, "10", price=price)], [debt(USDC, "8000")])
        snapshot = build.snapshot([found], at=build.block(100 + i))
        policies = standing_all({found.id: follows}, memory.rows(), snapshot, (found.id,))
        options = Options(venues={VENUE.id: VENUE}, strategies=SHIPPED)
        _, memory = decide(snapshot, [build.outlook(found)], policies, memory, options)
        memory = restarted(memory)
        kept.append(policies[found.id].peak_usd_wad // WAD)
    assert kept == [12_000, 18_000, 18_000]
    # at 2400: 5 x (16,000 - 14,400) = 8,000 may be at risk
    assert [r.by for r in policies[found.id].reduces] == ["floor"]


WARNED = replace(build.policy(target="1.40"), warning_target_wad=WAD // 5, warning_trigger_wad=WAD // 10)


def test_warning__when_it_stands__then_trigger_and_target_rise_and_say_so() -> None:
    at_s = build.block().timestamp_s
    omen = Omen(stands=True, score=1.83, line=1.5, at_s=at_s - 3_600, source="ETH/USDT")
    stands, _, _ = asked(WARNED, LOAN, omen=omen)
    assert stands.moved == (
        "trigger 1.25 -> 1.35, target 1.40 -> 1.60 while an early warning stands (1.83, line 1.5)",
    )
    assert stands.max_health_wad - stands.target_wad == WARNED.max_health_wad - WARNED.target_wad
    for other in (
        replace(omen, stands=False),
        replace(omen, at_s=at_s - 37 * 3_600),
        replace(omen, at_s=at_s + 700),
    ):
        calm, _, _ = asked(WARNED, LOAN, omen=other)
        assert (calm.trigger_wad, calm.target_wad) == (WARNED.trigger_wad, WARNED.target_wad)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('strategies = ["exposure_limits"]', "needs exposure_max_usd"),
        ('exposure_max_usd = { "WETH" = 5 }', "asset, venue, issuer and a name"),
        ('exposure_max_usd = { "issuer:Nobody" = 5 }', "not known"),
        ('exposure_max_usd = { "venue:aave" = 5 }', "no kind of venue"),
        ('depeg_pct = "2"', 'name "depeg_playbook"'),
        ('strategies = ["depeg_playbook"]\ndepeg_pct = "0.2"', "at least 0.5"),
        ('strategies = ["floor"]\nfloor_usd = 5', "needs floor_times"),
        ('strategies = ["floor"]\nfloor_times = "1"\nfloor_usd = 5', "greater than 1"),
        ('floor_ratchet_pct = "50"', "needs floor_usd"),
        ("reduce_above_trigger = true", "does nothing by itself"),
        ('warning_target = "2"', "at most 1"),
    ],
)
def test_configuration__when_wrong__then_told(given: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(f"{GOOD}{given}\n", Path("/etc/keeper/keeper.toml"))
    assert words in str(raised.value)


def test_configuration__when_right__then_exact() -> None:
    given = (
        'strategies = ["floor", "depeg_playbook", "exposure_limits"]\nfloor_usd = 5\nfloor_times = "2.5"\n'
    )
    given += 'floor_ratchet_pct = "62.5"\ndepeg_pct = "1.25"\nexposure_max_usd = { "issuer:circle" = 7 }\n'
    (found,) = parse(f"{GOOD}{given}", Path("/etc/keeper/keeper.toml")).policies
    assert (found.floor_times_wad, found.floor_ratchet_ppm, found.depeg_ppm) == (
        25 * WAD // 10,
        625_000,
        12_500,
    )
    assert found.exposure_max_usd == (("issuer", "circle", 7),)
    assert not isinstance(found, Refusal)
