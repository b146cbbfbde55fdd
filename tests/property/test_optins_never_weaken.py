"""Whatever an owner opts into: below the trigger that he wrote no less is done than without it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.model import Means, Policy, Position
from keeper.triggers import useful_shortfall_wad
from keeper.units import WAD
from keeper.venues.gmx_v2 import GmxV2
from tests import build, perps
from tests.build import DAI, USDC, WBTC, WETH, amount, collateral, debt, position
from tests.fakes import LendingDouble
from tests.optins import OMEN, RULES, done, off_peg, plain_of, seen, sellable

pytestmark = pytest.mark.property
VENUE = LendingDouble()
WALLET_WAYS = ("repay", "add_collateral")


@st.composite
def loans(draw: st.DrawFn) -> Position:
    """Up to three collaterals against one or two debts, just above liquidation up to just above trigger."""
    held = [collateral(WETH, str(draw(st.integers(6, 14))))]
    if draw(st.booleans()):
        held.append(collateral(WBTC, f"0.{draw(st.sampled_from([1, 3, 10, 40])):02d}"))
    if draw(st.booleans()):
        held.append(collateral(DAI, str(draw(st.sampled_from([100, 1_000, 8_000])))))
    weighted = sum(h.value_base * h.threshold_wad for h in held) // WAD / 1e8
    owed = weighted * 1_000 / draw(st.integers(1_002, 1_255))
    part = draw(st.sampled_from([1.0, 1.0, 0.7, 0.1]))
    debts = [debt(USDC, f"{owed * part:.2f}")]
    if part < 1.0:
        debts.append(debt(DAI if draw(st.booleans()) else WETH, f"{owed * (1 - part):.2f}"))
    if debts[-1].amount.token == WETH:
        debts[-1] = debt(WETH, f"{owed * (1 - part) / 2000:.6f}")
    return position(held, debts)


@st.composite
def opted(draw: st.DrawFn) -> Policy:
    """A policy with any of the opt-ins on."""
    names = draw(st.sampled_from([(), (), WALLET_WAYS]))
    caps = build.limits(
        action=draw(st.sampled_from([10**7, 10**7, 7_000, 5_000, 1_500])),
        day=10**7,
        gas=draw(st.sampled_from([500, 20])),
    )
    policy = replace(
        build.policy(target="1.40", strategies=("deleverage", *names, *RULES), caps=caps),
        max_health_wad=draw(st.sampled_from([16, 20, 40])) * WAD // 10,
        act=draw(st.sampled_from(["always", "break_even"])),
        ladder=draw(st.sampled_from([False, False, True])),
        stretch=draw(st.sampled_from([False, False, True])),
        stress_pct=draw(st.sampled_from([0.0, 10.0])),
        reduce_above_trigger=draw(st.booleans()),
    )
    on: dict[str, object] = {
        "exposure_max_usd": tuple(
            ("asset", name, draw(st.sampled_from([1, 500, 15_000])))
            for name in draw(st.lists(st.sampled_from(["WETH", "WBTC", "DAI"]), min_size=1, unique=True))
        ),
        "depeg_ppm": 20_000,
        "floor_usd": draw(st.sampled_from([1, 2_000, 10_000])),
        "warning_target_wad": draw(st.sampled_from([1, 20, 60])) * WAD // 100,
        "storm_times_max": 3.0,
        "lead_bps": 200,
    }
    chosen = draw(st.lists(st.sampled_from(sorted(on)), min_size=1, unique=True))
    policy = replace(policy, **{name: on[name] for name in chosen})
    if "floor_usd" in chosen:
        policy = replace(policy, floor_times_wad=draw(st.sampled_from([11, 20, 80])) * WAD // 10)
    if "warning_target_wad" in chosen:
        policy = replace(policy, warning_trigger_wad=draw(st.sampled_from([0, 10])) * WAD // 100)
    if draw(st.booleans()):
        policy = replace(policy, leverage_max_wad=3 * WAD, leverage_target_wad=25 * WAD // 10)
    return policy


@st.composite
def possible(draw: st.DrawFn, found: Position) -> Means:
    """What may be sold and what is in the wallet: much, little, nothing."""
    share = st.sampled_from([1.0, 1.0, 1.0, 0.3])
    granted = {h.amount.token.symbol: int(h.amount.units * draw(share)) for h in found.collateral}
    means = sellable(found, granted=granted, impact_ppm=draw(st.sampled_from([0, 2_000, 8_000])))
    wallet = build.means(
        [
            amount(USDC, str(draw(st.sampled_from([0, 0, 300, 20_000])))),
            amount(WETH, draw(st.sampled_from(["0.01", "1"]))),
        ]
    )
    quoted = off_peg(draw(st.sampled_from(["USDC", "DAI"])), "0.95") if draw(st.booleans()) else ()
    return replace(
        means,
        balances=wallet.balances,
        allowances=wallet.allowances,
        quoted=quoted,
        omen=OMEN if draw(st.booleans()) else None,
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_optins__when_below_the_trigger_that_was_written__then_what_is_done_reaches_no_less(
    data: st.DataObject,
) -> None:
    found, policy = data.draw(loans()), data.draw(opted())
    shown = seen(found, data.draw(possible(found)))
    plain = plain_of(policy)
    without, with_them = done(plain, shown, VENUE), done(policy, shown, VENUE)
    if (found.health_wad or 0) >= plain.trigger_wad:
        assert without.best is None
        return
    least = without.reached_wad - useful_shortfall_wad(with_them.stands)
    told = (without.best, with_them.said)
    assert with_them.reached_wad >= least, told
    # and a rescue that is one stays one, to the wei
    assert with_them.reached_wad >= min(without.reached_wad, plain.target_wad) or plain.ladder, told


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.booleans(),
    st.integers(1_811, 1_900),
    st.integers(2_000, 2_003),
    st.sampled_from([0, 300, 5_000]),
    st.sampled_from([1, 5_000, 16_000, 17_500]),
    st.sampled_from([0, 1, 1_000]),
    st.booleans(),
)
def test_optins__of_a_perpetual_below_trigger__then_no_less_and_no_part_that_keeps_it_waiting(
    long: bool, price: int, margin: int, wallet: int, limit: int, base: int, above: bool
) -> None:
    price = price if long else 4_000 - price
    policy = replace(
        perps.POLICY,
        strategies=(*perps.POLICY.strategies, "exposure_limits", "floor"),
        exposure_max_usd=(("asset", "WETH", limit),),
        floor_usd=base,
        floor_times_wad=8 * WAD if base else 0,
        reduce_above_trigger=above,
    )
    shown, outlook, _ = perps.world(perps.perp(price, long, margin), policy)
    have = perps.means(perps.slot(long), wallet * 10**6)
    shown, venue = replace(shown, means=replace(have, reserves=shown.means.reserves)), GmxV2(perps.slot(long))
    (found,) = shown.positions
    without, with_them = done(plain_of(policy), shown, venue, outlook), done(policy, shown, venue, outlook)
    if (found.health_wad or 0) >= perps.POLICY.trigger_wad:
        return
    slack = useful_shortfall_wad(policy)
    assert with_them.reached_wad >= without.reached_wad - slack, (without.best, with_them.said)
    assert with_them.reached_wad >= min(without.reached_wad, policy.target_wad)
