"""How soon, and how dear: what a fee may cost is told by the time left and the loss at stake."""

from __future__ import annotations

import math

import pytest

from keeper.transaction.fees_urgency import (
    PRESSING_BLOCKS,
    SIGMAS,
    Urgency,
    blocks_left,
    cap_wei,
    money_cap_usd,
)
from keeper.units import WAD

pytestmark = pytest.mark.unit
HEALTH_1_05 = math.log(1.05)


@pytest.mark.parametrize(
    "blocks, emergency, pressing",
    [
        (PRESSING_BLOCKS, False, True),
        (PRESSING_BLOCKS + 0.001, False, False),
        (math.inf, False, False),
        (math.inf, True, True),
        (0.0, False, True),
    ],
)
def test_urgency__when_few_blocks_are_left_or_it_is_an_emergency__then_pressing(
    blocks: float, emergency: bool, pressing: bool
) -> None:
    assert Urgency(blocks_left=blocks, emergency=emergency).pressing is pressing


def test_pressing_blocks__when_read__then_ten_and_two_sigmas() -> None:
    assert (PRESSING_BLOCKS, SIGMAS) == (10.0, 2.0)


@pytest.mark.parametrize("log_health", [0.0, -0.1, math.nan])
def test_blocks_left__when_at_or_below_one_or_unknown__then_none(log_health: float) -> None:
    assert blocks_left(log_health, 0.001, [(1, 0.2)]) == 0.0


def test_blocks_left__when_only_prices_diffuse__then_the_square_of_the_distance_in_two_sigmas() -> None:
    # 0.08 is four times two sigmas of 0.01: sixteen blocks
    assert blocks_left(0.08, 0.01, []) == pytest.approx(16.0)
    assert blocks_left(0.08, 0.02, []) == pytest.approx(4.0)


def test_blocks_left__when_nothing_moves__then_for_ever() -> None:
    assert blocks_left(0.05, 0.0, []) == math.inf
    assert blocks_left(0.05, 0.0, [(1, 0.05), (2, 0.05)]) == math.inf
    # a rise is no reason for haste: it may be our own rescue
    assert blocks_left(0.05, 0.0, [(1, 0.04)]) == math.inf


def test_blocks_left__when_it_falls_steadily__then_the_trend_over_all_the_past_given() -> None:
    # 0.01 a block for four blocks, 0.1 left, and a diffusion that reaches (0.1 / (2 x 0.01))^2 = 25 blocks
    past = [(1, 0.11), (2, 0.12), (3, 0.13), (4, 0.14)]
    assert blocks_left(0.1, 0.0, past) == pytest.approx(10.0)
    # the oldest decides the trend, not the newest
    assert blocks_left(1.0, 0.0, [(1, 1.0), (10, 1.1)]) == pytest.approx(100.0)


def test_blocks_left__when_it_just_fell_hard__then_the_observed_sigma_counts() -> None:
    # one fall of 0.1 within four blocks: sigma 0.05, (0.1 / 0.1)^2 = 1 block; the trend alone would say four
    past = [(1, 0.2), (4, 0.2)]
    assert blocks_left(0.1, 0.001, past) == pytest.approx(1.0)
    # the ordinary sigma where it is the greater one
    assert blocks_left(0.1, 0.1, past) == pytest.approx(0.25)


def test_blocks_left__when_the_past_is_unknown_or_of_this_block__then_it_says_nothing() -> None:
    told = blocks_left(0.08, 0.01, [(0, 9.0), (1, math.inf), (2, math.nan)])
    assert told == blocks_left(0.08, 0.01, [])


def test_blocks_left__when_sigma_is_tiny__then_no_overflow() -> None:
    assert blocks_left(HEALTH_1_05, 1e-300, []) == math.inf


@pytest.mark.parametrize(
    "gas_usd, loss_usd, loss_pct, emergency, most",
    [
        (50.0, None, 20, False, 50.0),
        (50.0, None, 20, True, 50.0),
        (50.0, 1_000.0, 4, False, 40.0),
        (50.0, 1_000.0, 20, False, 50.0),
        (50.0, 30.0, 20, False, 6.0),
        (50.0, 30.0, 20, True, 30.0),
        (50.0, 1_000.0, 1, True, 50.0),
        (50.0, 0.0, 100, True, 0.0),
    ],
)
def test_money_cap__when_a_loss_is_at_stake__then_its_share_and_never_above_the_policys_dollars(
    gas_usd: float, loss_usd: float | None, loss_pct: int, emergency: bool, most: float
) -> None:
    assert money_cap_usd(gas_usd, loss_usd, loss_pct, emergency=emergency) == pytest.approx(most)


def test_cap_wei__when_dollars_become_wei__then_down_to_cents_and_down_to_wei() -> None:
    # 2,000 dollars an ether, eight decimals
    assert cap_wei(50.0, 2_000 * 10**8, 8) == WAD * 25 // 1_000
    assert cap_wei(50.019, 2_000 * 10**8, 8) == cap_wei(50.01, 2_000 * 10**8, 8)
    assert cap_wei(0.009, 2_000 * 10**8, 8) == 0
    assert cap_wei(1.0, 3 * 10**8, 8) == WAD // 3
