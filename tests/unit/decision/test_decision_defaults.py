"""Suggested thresholds: what suits ETH against a stablecoin, and what suits a loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.decision.defaults import suggest
from keeper.model import Policy
from keeper.phrases import health_text
from keeper.units import WAD, wad_from
from tests import build, perps
from tests.build import USDC, WBTC, WETH, collateral, debt, position

pytestmark = pytest.mark.unit

ETH = position([collateral(WETH, "10")], [debt(USDC, "12000")])
LOOP = replace(
    position([collateral(WBTC, "1", price="2300", threshold="0.95")], [debt(WETH, "1.06")]),
    mode="ETH correlated",
    emode=True,
)
TABLE = Path(__file__).resolve().parents[3] / "docs" / "decisions" / "triggers.md"


def four(policy: Policy) -> str:
    """The thresholds as the decision record prints them."""
    levels = (policy.emergency_wad, policy.trigger_wad, policy.warn_wad, policy.target_wad)
    return " / ".join(health_text(x) for x in levels)


def test_suggest__when_eth_against_usdc__then_a_trigger_near_1_25() -> None:
    policy, why = suggest(ETH, build.outlook(ETH), {}, {})
    assert wad_from("1.2") < policy.trigger_wad < wad_from("1.3")
    assert f"{four(policy)}." in TABLE.read_text(encoding="utf-8")
    assert "12.0 % in one oracle update" in why
    assert "CAUTION" not in why


def test_suggest__when_an_e_mode_loop_at_1_03__then_thresholds_below_its_health() -> None:
    policy, why = suggest(LOOP, build.outlook(LOOP), {}, {})
    assert LOOP.health_wad is not None
    assert WAD < policy.emergency_wad < policy.trigger_wad < policy.warn_wad < LOOP.health_wad
    assert f"{four(policy)}." in TABLE.read_text(encoding="utf-8")
    assert "ETH correlated" in why


def test_suggest__when_collateral_and_debt_are_one_feed__then_the_floors() -> None:
    same = position([collateral(WETH, "10", threshold="0.9")], [debt(WETH, "8")])
    policy, _ = suggest(same, build.outlook(same), {}, {})
    assert policy.emergency_wad < wad_from("1.006")
    assert policy.trigger_wad < wad_from("1.01")


def test_suggest__when_a_feed_steps_further__then_every_threshold_is_higher() -> None:
    calm, _ = suggest(ETH, build.outlook(ETH), {"WETH": 0.05, "USDC": 0.0}, {"WETH": 0.5, "USDC": 0.0})
    wild, _ = suggest(ETH, build.outlook(ETH), {"WETH": 0.2, "USDC": 0.0}, {"WETH": 1.2, "USDC": 0.0})
    assert calm.emergency_wad == wad_from("1.0527")
    assert wild.emergency_wad == wad_from("1.25")
    assert calm.trigger_wad < wild.trigger_wad
    assert calm.target_wad < wild.target_wad


def test_suggest__when_a_number_is_no_number__then_it_counts_as_the_worst() -> None:
    policy, _ = suggest(ETH, build.outlook(ETH), {"WETH": float("nan")}, {"WETH": float("nan")})
    assert policy.emergency_wad == wad_from("2")


def test_suggest__when_already_below_trigger__then_the_why_warns_of_an_immediate_action() -> None:
    near = position([collateral(WETH, "10")], [debt(USDC, "14000")])
    assert "CAUTION: health is 1.1857 now" in suggest(near, build.outlook(near), {}, {})[1]


@pytest.mark.parametrize("long", [True, False])
def test_suggest__for_a_perpetual__its_mode_is_no_e_mode_and_its_ways_are_its_own(long: bool) -> None:
    at = perps.position(perps.perp(2_000, long, 10_000))
    policy, why = suggest(at, perps.world(perps.perp(2_000, long, 10_000))[1], {}, {})
    assert policy.strategies == ("add_margin", "reduce_perp")
    assert "move together" not in why
    # what the index can do in one update, not a twentieth of it
    assert policy.emergency_wad > 107 * WAD // 100
