"""What init writes passes what check asks; the cheaper levels that it offers are a configuration as they stand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.cli import template
from keeper.config import parse
from keeper.daemon import bands
from keeper.decision.defaults import suggest, thrifty
from keeper.model import Policy, Position
from keeper.oracle.steps import needed, worst
from keeper.units import WAD
from tests import build
from tests.build import DAI, USDC, WETH, collateral, debt, position

pytestmark = pytest.mark.unit
LOAN = position([collateral(WETH, "10")], [debt(USDC, "9000")])
DOLLARS = replace(
    position([collateral(USDC, "1000", threshold="0.95")], [debt(DAI, "900")]),
    mode="Stablecoins",
    emode=True,
)


def asked(found: Position) -> float:
    """What check asks of emergency."""
    bound = worst(bands.exposures(found, {}))
    assert bound is not None
    return needed(bound)


@pytest.mark.parametrize("found", [LOAN, DOLLARS])
def test_suggest__when_check_asks_for_more__then_emergency_is_that_and_the_order_holds(
    found: Position,
) -> None:
    policy, why = suggest(found, build.outlook(found), {}, {}, asked(found))
    assert policy.emergency_wad / WAD >= asked(found)
    assert (
        policy.emergency_wad
        < policy.trigger_wad
        < policy.warn_wad
        <= policy.target_wad
        < policy.max_health_wad
    )
    plain, _ = suggest(found, build.outlook(found), {}, {})
    assert ("emergency is raised to 1.0225" in why) == (plain.emergency_wad / WAD < asked(found))


def test_suggest__when_dollars_in_e_mode_are_asked_without_check__then_below_what_it_asks() -> None:
    policy, _ = suggest(DOLLARS, build.outlook(DOLLARS), {}, {})
    assert policy.emergency_wad / WAD < asked(DOLLARS) == pytest.approx(1.0225, abs=1e-4)


def test_thrifty__when_offered__then_as_the_replays_ran_it_and_parses_as_it_stands() -> None:
    policy, why = suggest(LOAN, build.outlook(LOAN), {}, {})
    cheap = thrifty(LOAN, policy)
    assert cheap.target_wad / WAD == pytest.approx(1.267, abs=0.001)
    assert cheap.max_health_wad / WAD == pytest.approx(1.658, abs=0.003)
    guard = template.Guard(id=replace(LOAN.id, venue="aave_v3"), policy=policy, why=why, thrifty=cheap)
    text = template.from_guards("mainnet", 1, "https://endpoint.example", [guard])
    as_written = _parsed(text)
    assert (as_written.target_wad, as_written.stretch) == (policy.target_wad, False)
    # 80 % a year of ETH, 5 % of a dollar: half a day's move, for whoever comes to sell by an Executor
    assert as_written.lead_bps == policy.lead_bps == 210
    chosen = text.replace(f'target = "{policy.target_wad / WAD:.4f}"', "").splitlines()
    plain = ("target", "max_health", "hysteresis")
    kept = [line for line in chosen if not line.startswith(plain)]
    taken = "\n".join(line.removeprefix("# ") if _offered(line) else line for line in kept)
    found = _parsed(taken)
    levels = ("trigger_wad", "target_wad", "max_health_wad", "hysteresis_wad", "stretch", "lead_bps")
    assert [getattr(found, x) for x in levels] == [getattr(cheap, x) for x in levels]


def test_suggest__when_a_part_of_the_debt_is_the_collateral_itself__then_the_lead_is_of_the_pair_that_moves() -> (
    None
):
    mixed = position([collateral(WETH, "10")], [debt(WETH, "3"), debt(USDC, "3000")])
    whole, _ = suggest(mixed, build.outlook(mixed), {}, {})
    alone, _ = suggest(LOAN, build.outlook(LOAN), {}, {})
    assert whole.trigger_wad < alone.trigger_wad
    assert whole.lead_bps == alone.lead_bps
    # a rest of dollars is no pair that is sold into
    crumb = position([collateral(WETH, "10")], [debt(WETH, "6"), debt(USDC, "1")])
    assert suggest(crumb, build.outlook(crumb), {}, {})[0].lead_bps < 20


def _parsed(text: str) -> Policy:
    return next(p for p in parse(text, Path("/k/keeper.toml")).policies if p.name == "policy-1")


def _offered(line: str) -> bool:
    return line.startswith(("# target =", "# max_health =", "# hysteresis =", "# stretch = true"))
