"""What holds for every policy and every history: order of thresholds, hysteresis, one action at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.decision import Memory, Options, decide
from keeper.decision.defaults import suggest
from keeper.model import Amount, Level, Means, Policy, Token
from keeper.triggers import SEVERITY, cooldown_blocks, raw_level
from keeper.units import WAD, wad_from
from strategies.registry import SHIPPED
from tests import build
from tests.build import TOKENS, USDC, WETH, amount, collateral, debt, means, position, position_id
from tests.fakes import LendingDouble

pytestmark = pytest.mark.property

MOVE = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.sampled_from(TOKENS),
    st.sampled_from(TOKENS),
    st.dictionaries(st.sampled_from([t.symbol for t in TOKENS]), MOVE),
    st.dictionaries(st.sampled_from([t.symbol for t in TOKENS]), MOVE),
    st.booleans(),
)
def test_suggest__when_any_position_and_any_moves__then_a_valid_policy(
    supplied: Token, borrowed: Token, steps: dict[str, float], vols: dict[str, float], emode: bool
) -> None:
    found = position([collateral(supplied, "3")], [debt(borrowed, "2")])
    found = replace(found, mode="stablecoins" if emode else "vault 1 of ETH-A", emode=emode)
    policy, why = suggest(found, build.outlook(found), steps, vols)
    assert policy.warn_wad > policy.trigger_wad > policy.emergency_wad > WAD
    assert policy.target_wad >= policy.trigger_wad + policy.hysteresis_wad
    assert policy.target_wad >= policy.warn_wad + policy.hysteresis_wad
    assert policy.max_health_wad >= policy.target_wad + wad_from("0.02")
    assert policy.hysteresis_wad > 0
    assert policy.caps.gas_usd_max <= policy.caps.gas_usd_emergency
    assert policy.caps.per_action_usd <= policy.caps.per_day_usd
    assert why


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1200, 2600), st.integers(0, 4)), min_size=1, max_size=20),
    st.integers(0, 12_000),
)
def test_decide__when_prices_wander__then_levels_cooldown_and_money_hold(
    path: list[tuple[int, int]], dollars: int
) -> None:
    venue, policy = LendingDouble(), build.policy()
    options = Options(venues={venue.id: venue}, strategies=SHIPPED)
    memory, acted, number = Memory(), None, 100
    wallet = means([amount(USDC, str(dollars)), amount(WETH, "1")])
    for price, wait in path:
        number += 1 + wait
        found = position([collateral(WETH, "10", price=str(price))], [debt(USDC, "12000")])
        before = memory.of(found.id).known_level
        snapshot = build.snapshot([found], wallet=wallet, at=build.block(number))
        decisions, memory = decide(snapshot, [build.outlook(found)], {found.id: policy}, memory, options)
        level, health = memory.of(found.id).level, found.health_wad or 0
        raw = raw_level(health, policy)
        assert SEVERITY[level] >= SEVERITY[raw]
        assert SEVERITY[level] <= max(SEVERITY[raw], SEVERITY[before])
        assert (level is not before or SEVERITY[level] >= SEVERITY[Level.ACT]) == bool(decisions)
        for proposal in (p for d in decisions for p in d.chosen):
            assert health < policy.trigger_wad
            assert acted is None or number - acted >= cooldown_blocks(health, policy)
            acted = number
            _affordable(proposal.steps[0].amount, wallet)
            assert health < proposal.health_after_wad <= policy.max_health_wad
            assert proposal.health_after_wad == venue.after(proposal.steps, found).health_wad
        assert memory.of(position_id()).last_action_block == acted


def _affordable(spent: Amount, wallet: Means) -> None:
    assert 0 < spent.units <= wallet.balance(spent.token)


@given(st.integers(10, 5000), st.integers(1300, 2000), st.sampled_from(["repay", "add_collateral"]))
def test_decide__when_the_wallet_is_rich__then_target_is_always_reached(
    owed: int, price: int, strategy: str
) -> None:
    venue = LendingDouble()
    policy: Policy = build.policy(strategies=(strategy,))
    found = position([collateral(WETH, "2", price=str(price))], [debt(USDC, str(owed))])
    rich = means([amount(USDC, "100000"), amount(WETH, "1000")])
    options = Options(venues={venue.id: venue}, strategies=SHIPPED)
    decisions, _ = decide(
        build.snapshot([found], wallet=rich), [build.outlook(found)], {found.id: policy}, Memory(), options
    )
    chosen = [p for d in decisions for p in d.chosen]
    assert bool(chosen) == ((found.health_wad or 0) < policy.trigger_wad)
    for proposal in chosen:
        assert proposal.health_after_wad >= policy.target_wad
