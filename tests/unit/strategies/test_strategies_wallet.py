"""Rescues from the keeper's wallet: what is proposed, what is refused, and in which words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.model import Means, Policy, Position, Proposal, Refusal, Repay, Supply
from keeper.seams import Strategy
from keeper.sizing import owed_up
from keeper.units import RAY, UINT256_MAX, wad_from
from strategies.add_collateral import AddCollateral
from strategies.repay import RepayFromWallet
from tests import build
from tests.build import DAI, USDC, WBTC, WETH, amount, collateral, debt, means, position, units
from tests.fakes import LendingDouble

pytestmark = pytest.mark.unit

REPAY = RepayFromWallet()
ADD = AddCollateral()
CROSSED = position([collateral(WETH, "10", price="1700")], [debt(USDC, "12000")])
"""Health 1.1758, trigger 1.25."""


def ask(
    strategy: Strategy,
    wallet: Means,
    *,
    of: Position = CROSSED,
    policy: Policy | None = None,
    venue: LendingDouble | None = None,
) -> Proposal | Refusal:
    """What the strategy says."""
    found = policy or build.policy()
    return strategy.propose(of, build.outlook(of), found, wallet, venue or LendingDouble(), build.block())


def proposed(answer: Proposal | Refusal) -> Proposal:
    """The answer, which must be a proposal."""
    assert isinstance(answer, Proposal), answer
    return answer


def refused(answer: Proposal | Refusal) -> Refusal:
    """The answer, which must be a refusal."""
    assert isinstance(answer, Refusal), answer
    return answer


@pytest.mark.parametrize(("strategy", "step"), [(REPAY, Repay), (ADD, Supply)])
def test_rescue__when_the_wallet_has_enough__then_target_is_reached_and_hardly_passed(
    strategy: Strategy, step: type[Repay] | type[Supply]
) -> None:
    got = proposed(ask(strategy, means([amount(USDC, "9000"), amount(WETH, "9")])))
    assert isinstance(got.steps[0], step)
    assert wad_from("1.45") <= got.health_after_wad < wad_from("1.4501")
    assert got.cost_usd == pytest.approx(got.gas_usd + got.idle_usd)
    assert got.gas_usd == pytest.approx(300_000 * 11e-9 * 2000)
    assert got.idle_usd == pytest.approx(got.spend_usd * 0.05 * 7 / 365)


def test_repay__when_it_tops_up_less_than_collateral__then_it_costs_less() -> None:
    wallet = means([amount(USDC, "9000"), amount(WETH, "9")])
    assert proposed(ask(REPAY, wallet)).cost_usd < proposed(ask(ADD, wallet)).cost_usd


def test_rescue__when_the_venue_reads_lower_than_value_times_threshold__then_the_size_grows() -> None:
    coarse = LendingDouble()
    coarse.read_cut_wad = wad_from("0.001")
    wallet = means([amount(USDC, "9000"), amount(WETH, "9")])
    shown = coarse.shown(CROSSED)
    for strategy in (REPAY, ADD):
        got = proposed(ask(strategy, wallet, of=shown, venue=coarse))
        assert got.health_after_wad >= wad_from("1.45")
        plain = proposed(ask(strategy, wallet))
        assert got.spend_usd > plain.spend_usd


@pytest.mark.parametrize("strategy", [REPAY, ADD])
def test_rescue__when_the_wallet_is_empty__then_empty_wallet(strategy: Strategy) -> None:
    got = refused(ask(strategy, means()))
    assert (got.who, got.code) == (strategy.name, "empty_wallet")


@pytest.mark.parametrize("strategy", [REPAY, ADD])
def test_rescue__when_nothing_is_granted__then_no_allowance(strategy: Strategy) -> None:
    wallet = means([amount(USDC, "9000"), amount(WETH, "9")], allowances=[])
    got = refused(ask(strategy, wallet))
    assert got.code == "no_allowance"
    assert "keeper grant" in got.why


@pytest.mark.parametrize("strategy", [REPAY, ADD])
def test_rescue__when_the_reserve_is_paused__then_venue_refuses_with_its_reason(strategy: Strategy) -> None:
    venue = LendingDouble()
    venue.refuses = {"USDC": "reserve_paused", "WETH": "reserve_paused"}
    wallet = means([amount(USDC, "9000"), amount(WETH, "9")])
    got = refused(ask(strategy, wallet, venue=venue))
    assert got.code == "venue_refuses"
    assert "reserve_paused" in got.why


@pytest.mark.parametrize("strategy", [REPAY, ADD])
def test_rescue__when_the_caps_leave_nothing__then_caps(strategy: Strategy) -> None:
    wallet = means([amount(USDC, "9000"), amount(WETH, "9")])
    got = refused(ask(strategy, wallet, policy=build.policy(caps=build.limits(action=0))))
    assert got.code == "caps"


@pytest.mark.parametrize("strategy", [REPAY, ADD])
def test_rescue__when_health_is_at_target__then_target_reached(strategy: Strategy) -> None:
    safe = position([collateral(WETH, "10")], [debt(USDC, "11000")])
    assert refused(ask(strategy, means([amount(USDC, "9000")]), of=safe)).code == "target_reached"


@pytest.mark.parametrize("strategy", [REPAY, ADD])
def test_rescue__when_nothing_is_owed__then_no_debt(strategy: Strategy) -> None:
    assert refused(ask(strategy, means(), of=position([collateral(WETH, "1")]))).code == "no_debt"


def test_add__when_no_collateral_counts__then_no_collateral() -> None:
    off = position([collateral(WETH, "10", threshold="0")], [debt(USDC, "100")])
    assert refused(ask(ADD, means([amount(WETH, "9")]), of=off)).code == "no_collateral"


def test_add__when_one_collateral_does_not_count__then_only_the_other_is_added_to() -> None:
    mixed = position(
        [collateral(WETH, "10", price="1700"), collateral(WBTC, "1", threshold="0")], [debt(USDC, "12000")]
    )
    got = proposed(ask(ADD, means([amount(WETH, "9"), amount(WBTC, "1")]), of=mixed))
    assert got.steps[0].amount.token == WETH


def test_add__when_the_supply_cap_leaves_less__then_a_partial_says_so_or_none() -> None:
    little = [build.reserve(t, room="1.5" if t == WETH else None) for t in build.TOKENS]
    got = proposed(ask(ADD, means([amount(WETH, "9")], reserves=little)))
    assert got.steps[0].amount.units == units(WETH, "1.5")
    assert "supply cap" in got.why
    none = [build.reserve(t, room="0") for t in build.TOKENS]
    assert refused(ask(ADD, means([amount(WETH, "9")], reserves=none))).code == "venue_refuses"


def test_partial__when_above_emergency_and_it_lifts_by_hysteresis__then_proposed_as_partial() -> None:
    got = proposed(ask(REPAY, means([amount(USDC, "300")])))
    assert got.steps[0].amount.units == units(USDC, "300")
    assert "PARTIAL" in got.why
    assert "more than the wallet allows" in got.why


def test_partial__when_above_emergency_and_it_lifts_by_less__then_insufficient_means_names_how_much() -> None:
    got = refused(ask(REPAY, means([amount(USDC, "190")])))
    assert got.code == "insufficient_means"
    assert "1.45 needs 2,269.03 USDC, 2,079.03 USDC more than the wallet allows" in got.why


def test_partial__when_below_emergency__then_a_tenth_of_a_per_cent_is_enough() -> None:
    deep = position([collateral(WETH, "10", price="1500")], [debt(USDC, "12000")])
    assert deep.health_wad is not None
    assert deep.health_wad < wad_from("1.08")
    assert proposed(ask(REPAY, means([amount(USDC, "13")]), of=deep)).health_after_wad > deep.health_wad
    assert refused(ask(REPAY, means([amount(USDC, "11")]), of=deep)).code == "insufficient_means"


def test_partial__when_the_cap_binds__then_no_more_than_the_cap_is_spent() -> None:
    got = proposed(
        ask(REPAY, means([amount(USDC, "9000")]), policy=build.policy(caps=build.limits(action=500)))
    )
    assert got.spend_usd <= 500
    assert got.steps[0].amount.units == units(USDC, "500")


def test_allowance__when_it_is_finite__then_it_bounds_the_size() -> None:
    wallet = means([amount(USDC, "9000")], allowances=[amount(USDC, "1000")])
    got = proposed(ask(REPAY, wallet))
    assert got.steps[0].amount.units == units(USDC, "1000")
    assert "allowance" in got.why


def test_repay__when_two_debts_and_both_tokens_held__then_the_one_that_reaches_target() -> None:
    two = position([collateral(WETH, "10", price="1700")], [debt(USDC, "10000"), debt(DAI, "2000")])
    got = proposed(ask(REPAY, means([amount(USDC, "300"), amount(DAI, "5000")]), of=two))
    assert got.steps[0].amount.token == DAI
    wallet = means([amount(USDC, "9000"), amount(DAI, "5000")])
    assert proposed(ask(REPAY, wallet, of=two)).steps[0].amount.token == USDC


def test_repay__when_a_rest_would_be_dust__then_the_whole_debt_with_an_hour_of_interest() -> None:
    small = position([collateral(WETH, "1", price="1600")], [debt(USDC, "1200")])
    got = proposed(ask(REPAY, means([amount(USDC, "5000")]), of=small))
    assert got.steps[0].amount.units == owed_up(units(USDC, "1200"), RAY // 20)
    assert got.health_after_wad == UINT256_MAX


def test_repay__when_a_rest_is_dust_but_the_wallet_cannot_close__then_the_plain_size() -> None:
    small = position([collateral(WETH, "1", price="1600")], [debt(USDC, "1200")])
    got = proposed(ask(REPAY, means([amount(USDC, "1000")]), of=small))
    assert wad_from("1.45") <= got.health_after_wad < wad_from("1.4501")


def test_repay__when_wallet_holds_exactly_the_debt__then_it_closes_it() -> None:
    small = position([collateral(WETH, "1", price="1600")], [debt(USDC, "1200")])
    got = proposed(ask(REPAY, means([amount(USDC, "1200")]), of=small))
    assert got.steps[0].amount.units == units(USDC, "1200")


def test_gas__when_no_feed_prices_the_native_token__then_zero_and_the_why_says_so() -> None:
    got = proposed(ask(REPAY, means([amount(USDC, "9000")], native_price=None)))
    assert got.gas_usd == 0
    assert "gas not priced" in got.why


def test_price__when_a_holding_has_none__then_it_is_not_sized() -> None:
    blind = replace(CROSSED, debt=(replace(CROSSED.debt[0], price_base=0),))
    assert refused(ask(REPAY, means([amount(USDC, "9000")]), of=blind)).code == "venue_refuses"
