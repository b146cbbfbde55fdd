"""Capacity never falls when something is allowed, and the limit that is named is the one that binds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from keeper.capacity import Scene, Stress, case_of, reach, stressed
from keeper.capacity.reach import binding_keys, relaxed
from keeper.capacity.records import Case, Unit
from keeper.model import Allowance, Amount, Side
from keeper.units import BPS, GWEI, WAD
from tests import build
from tests.build import DAI, USDC, WETH, units
from tests.fakes import LendingDouble
from tests.mandates import ROUTER, asset, borrower, lender, mandate, means, route

pytestmark = pytest.mark.property
VENUE = LendingDouble(gas_limit=900_000)
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
"""A failing case is small enough as it is."""
ROUNDING_WAD = WAD // 10**8
"""A few units more sold or repaid may round against us."""
ALL = ("repay", "add_collateral", "deleverage")


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A borrower under a fall, with a little of everything."""
    eth = draw(st.integers(1, 40))
    position = borrower(draw(st.integers(1_300, 3_200).map(lambda n: f"{n / 1000:.3f}")), eth=str(eth))
    if draw(st.booleans()):
        position = build.position(
            position.collateral, [*position.debt, build.debt(DAI, str(draw(st.integers(1, 3_000))))]
        )
    fall = draw(st.sampled_from([800_000, 650_000, 500_000]))
    cap = draw(st.sampled_from([5_000, 30_000, 10**7]))
    policy = build.policy(
        target="1.40",
        strategies=draw(
            st.sampled_from([ALL, ("repay",), ("deleverage",), ("add_collateral", "deleverage")])
        ),
        caps=build.limits(action=draw(st.sampled_from([2_000, 20_000, 10**7])), day=cap),
    )
    some = st.one_of(st.just(2**100), st.integers(1, 400).map(lambda n: n * WAD // 10))
    listed = (
        asset(WETH, Side.COLLATERAL, granted=draw(some), sell_cap=draw(some)),
        asset(USDC, Side.DEBT),
        asset(DAI, Side.DEBT),
    )
    found = mandate(
        assets=listed, routers=(ROUTER,), bot_share_bps=draw(st.sampled_from([BPS, 2_500])),
        terms=replace(mandate().terms, trigger_wad=130 * WAD // 100),
    )  # fmt: skip
    router = draw(st.sampled_from(["", ROUTER]))
    curve = _at(
        route(impact_ppm=draw(st.sampled_from([0, 3_000, 40_000])), most="60000", router=router), fall
    )
    loans = (lender(cash=str(draw(st.sampled_from([100, 5_000, 10**6])))),)
    wallet = means(found, (curve,), loans)
    balances = {
        USDC: draw(st.sampled_from([0, 700, 20_000])),
        WETH: draw(st.sampled_from([0, 1, 8])),
        DAI: 500,
    }
    wallet = replace(
        wallet,
        balances=tuple(Amount(token=t, units=units(t, str(n))) for t, n in balances.items()),
        allowances=tuple(
            Allowance(token=t, spender=build.POOL, units=draw(st.sampled_from([0, 300, 10**6])) * 10**t.decimals)
            for t in balances
        ),
        native_wei=draw(st.sampled_from([0, 1, 2, 40, 40])) * WAD,
        reserves=(replace(build.reserve(WETH), cash_units=draw(some)), build.reserve(USDC),
                  build.reserve(DAI)),
    )  # fmt: skip
    stress = Stress(name="fall", factors_ppm={"WETH": fall}, debt_factors_ppm={})
    return case_of(
        Scene(
            position=stressed(position, stress),
            policy=policy,
            means=wallet,
            venue=VENUE,
            storm_wei=1_000 * GWEI,
            gas_wei_max=draw(st.sampled_from([None, WAD, WAD, WAD // 2])),
            spent_today_usd=draw(st.sampled_from([0.0, 0.0, cap / 2])),
        )
    )


def _at(curve, fall_ppm):  # type: ignore[no-untyped-def]
    """The curve with collateral worth less."""
    return replace(curve, points=tuple((b, s * 1_000_000 // fall_ppm) for b, s in curve.points))


@settings(max_examples=120, deadline=None, phases=QUICK)
@given(cases(), st.data())
def test_reach__when_any_limit_is_wider__then_never_less(case: Case, data: st.DataObject) -> None:
    if not case.limits:
        return
    key = data.draw(st.sampled_from(sorted(case.limits)))
    more = data.draw(st.integers(1, 10**22))
    wider = replace(
        case, limits={**case.limits, key: replace(case.limits[key], left=case.limits[key].left + more)}
    )
    assert reach(wider).reached_wad >= reach(case).reached_wad - ROUNDING_WAD
    # beyond the target nothing is looked for: the first set of ways that reaches it is taken
    goal = case.policy.target_wad
    assert min(goal, relaxed(case, frozenset([key]))) >= min(goal, relaxed(case, frozenset())) - ROUNDING_WAD


@settings(max_examples=120, deadline=None, phases=QUICK)
@given(cases())
def test_binding__when_named__then_relaxing_it_raises_what_is_reached(case: Case) -> None:
    found = reach(case)
    if not found.short:
        assert found.binding == ()
        assert found.reached_wad >= found.needs_wad or not found.needs_wad
        return
    keys = binding_keys(case, relaxed(case, frozenset()))
    assert found.why
    if not keys:
        # nothing that could be granted helps: what is barred is named instead, or the position itself
        everything = relaxed(case, frozenset(case.limits))
        assert everything <= max(found.reached_wad, found.before_wad)
        return
    assert {case.limits[k].code for k in keys} == set(found.binding)
    assert relaxed(case, frozenset(keys)) > found.reached_wad
    doubled = {
        k: replace(case.limits[k], left=2**150) for k in keys if case.limits[k].unit is not Unit.BOUGHT
    }
    if len(doubled) == len(keys) and "depth" not in found.binding:
        assert reach(replace(case, limits={**case.limits, **doubled})).reached_wad > found.reached_wad


@settings(max_examples=60, deadline=None, phases=QUICK)
@given(cases())
def test_reach__whatever_is_there__lies_between_nothing_and_the_target(case: Case) -> None:
    found = reach(case)
    assert found.before_wad == (case.position.health_wad or 0)
    if found.needs_wad:
        assert found.needs_wad == case.policy.target_wad
        assert min(found.before_wad, found.needs_wad) <= found.reached_wad <= found.needs_wad
