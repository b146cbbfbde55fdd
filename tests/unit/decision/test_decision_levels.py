"""The table of trigger terms, state for state: each comparison at the threshold itself and one wad beside
it."""

from __future__ import annotations

import pytest

from keeper import triggers
from keeper.decision import PositionMemory, level_after
from keeper.decision.levels import level_of
from keeper.model import Level
from keeper.units import UINT256_MAX, wad_from
from tests import build
from tests.build import USDC, WETH, collateral, debt, position, position_id

pytestmark = pytest.mark.unit

POLICY = build.policy()
WARN, TRIGGER, EMERGENCY = wad_from("1.35"), wad_from("1.25"), wad_from("1.08")
HYSTERESIS = wad_from("0.02")


def known(level: Level, shown: Level | None = None) -> PositionMemory:
    """A position last known at ``level``."""
    return PositionMemory(id=position_id(), level=shown or level, known_level=level)


@pytest.mark.parametrize(
    ("health", "level"),
    [
        (WARN, Level.SAFE),
        (WARN - 1, Level.WATCH),
        (TRIGGER, Level.WATCH),
        (TRIGGER - 1, Level.ACT),
        (EMERGENCY, Level.ACT),
        (EMERGENCY - 1, Level.URGENT),
        (0, Level.URGENT),
        (UINT256_MAX, Level.SAFE),
    ],
)
def test_level__when_health_is_at_or_below_a_threshold__then_strictly_below_counts(
    health: int, level: Level
) -> None:
    assert triggers.raw_level(health, POLICY) is level
    assert triggers.crossed(health, POLICY) is (level in (Level.ACT, Level.URGENT))
    assert triggers.emergency(health, POLICY) is (level is Level.URGENT)


@pytest.mark.parametrize(
    ("before", "left"), [(Level.URGENT, EMERGENCY), (Level.ACT, TRIGGER), (Level.WATCH, WARN)]
)
def test_level__when_it_improves__then_only_from_threshold_plus_hysteresis(before: Level, left: int) -> None:
    better = {Level.URGENT: Level.ACT, Level.ACT: Level.WATCH, Level.WATCH: Level.SAFE}[before]
    edge = left + HYSTERESIS
    assert level_after(known(before), triggers.raw_level(edge - 1, POLICY), edge - 1, POLICY) is before
    assert level_after(known(before), triggers.raw_level(edge, POLICY), edge, POLICY) is better


def test_level__when_health_jumps_from_urgent_to_safe__then_at_once_through_all_steps() -> None:
    far = wad_from("2")
    assert level_after(known(Level.URGENT), triggers.raw_level(far, POLICY), far, POLICY) is Level.SAFE


def test_level__when_it_worsens__then_at_once() -> None:
    low = EMERGENCY - 1
    assert level_after(known(Level.SAFE), triggers.raw_level(low, POLICY), low, POLICY) is Level.URGENT


def test_level__when_unknown__then_at_once_both_ways_and_hysteresis_goes_on_from_the_last_known() -> None:
    assert level_after(known(Level.ACT), Level.UNKNOWN, None, POLICY) is Level.UNKNOWN
    lost = known(Level.ACT, Level.UNKNOWN)
    band = TRIGGER + 1
    assert level_after(lost, triggers.raw_level(band, POLICY), band, POLICY) is Level.ACT
    assert level_after(lost, Level.SAFE, wad_from("2"), POLICY) is Level.SAFE


def test_level__when_debt_is_gone__then_safe_at_once() -> None:
    assert level_after(known(Level.URGENT), Level.SAFE, UINT256_MAX, POLICY) is Level.SAFE


def test_level__when_the_core_warns_earlier_than_the_protocol__then_watch_and_no_more() -> None:
    safe = position([collateral(WETH, "10")], [debt(USDC, "10000")])
    assert level_of(safe, build.outlook(safe), POLICY) is Level.SAFE
    assert level_of(safe, build.outlook(safe, Level.URGENT), POLICY) is Level.WATCH
    assert level_of(safe, build.outlook(safe, Level.UNKNOWN), POLICY) is Level.UNKNOWN
    assert level_of(safe, None, POLICY) is Level.SAFE


def test_cooldown__when_below_emergency__then_one_block_and_never_none() -> None:
    assert triggers.cooldown_blocks(EMERGENCY, POLICY) == 5
    assert triggers.cooldown_blocks(EMERGENCY - 1, POLICY) == 1
    assert triggers.cooldown_blocks(EMERGENCY - 1, build.policy(cooldown_blocks=0)) == 1


def test_gas_cap__when_below_emergency__then_the_hard_ceiling() -> None:
    assert triggers.gas_cap_usd(EMERGENCY, POLICY) == 50
    assert triggers.gas_cap_usd(EMERGENCY - 1, POLICY) == 500


def test_spend_cap__when_part_of_the_day_is_spent__then_the_rest_in_whole_dollars_down() -> None:
    assert triggers.spend_cap_usd(POLICY, 0.0) == 50_000
    assert triggers.spend_cap_usd(POLICY, 99_000.01) == 999
    assert triggers.spend_cap_usd(POLICY, 200_000.0) == 0


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (TRIGGER - 1, wad_from("1.45"), None),
        (TRIGGER - 1, wad_from("1.60"), None),
        (TRIGGER - 1, wad_from("1.60") + 1, "above_max"),
        (TRIGGER - 1, UINT256_MAX, None),
        (TRIGGER - 1, TRIGGER - 1, "not_better"),
        (TRIGGER - 1, TRIGGER - 2, "not_better"),
        (TRIGGER - 1, TRIGGER - 1 + HYSTERESIS, None),
        (TRIGGER - 1, TRIGGER - 2 + HYSTERESIS, "partial_too_small"),
        (EMERGENCY - 1, EMERGENCY - 1 + EMERGENCY // 1000 + 1, None),
        (EMERGENCY - 1, EMERGENCY - 1 + EMERGENCY // 1000 - 1, "partial_too_small"),
    ],
)
def test_result__when_compared_with_the_table__then_kept_or_the_rule_it_breaks(
    before: int, after: int, code: str | None
) -> None:
    no = triggers.kept(before, after, POLICY)
    assert (no.code if no is not None else None) == code
