"""Between two looks: a stall behind quick blocks, a prediction that came true, and interest near its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.model import Position
from keeper.oracle import drift, sequencer
from keeper.oracle.ahead import Next, health_down
from keeper.oracle.room import Room, Site
from keeper.seams import Severity
from keeper.units import WAD
from keeper.words import Words
from tests import build
from tests.build import USDC, WETH, collateral, debt

pytestmark = pytest.mark.unit

NOTHING = Words((), ())


@pytest.mark.parametrize(
    ("elapsed_s", "blocks", "block_time_s", "stalled"),
    [
        (5_405, 20, 0.25, True),  # ninety minutes, then twenty quick blocks
        (2, 8, 0.25, False),
        (7_200, 27_000, 0.25, False),  # two hours without a look, at the chain's true pace
        (3_600, 297, 12.0, False),  # missed slots
        (24, 1, 12.0, False),
        (3_612, 2, 12.0, True),
    ],
)
def test_gap__blocks_that_come_after_a_stall__then_they_do_not_hide_it(
    elapsed_s: int, blocks: int, block_time_s: float, stalled: bool
) -> None:
    gap_s = sequencer.gap_s(elapsed_s, blocks, block_time_s)
    assert bool(sequencer.stalled("c", gap_s, block_time_s)) is stalled


def test_stall__when_it_is_over__then_it_stands_for_ten_minutes_and_not_for_one_look() -> None:
    room = Room(Site(chain="c", chain_id=1, block_time_s=12.0, named=(), tokens={}), (), (), {})

    def look(number: int, at_s: int) -> list[str]:
        at = build.block(number)
        at = type(at)(**{n: getattr(at, n) for n in at.__slots__} | {"timestamp_s": at_s})
        return [f.code for f in room.look(at, NOTHING, build.snapshot([], at=at), {}).faults]

    assert look(100, 1_000) == []
    assert look(102, 5_000) == ["sequencer_grace"]
    assert look(103, 5_012) == ["sequencer_grace"]
    assert look(153, 5_612) == []


def loan(price: str = "2000") -> Position:
    return build.position([collateral(WETH, "10", price=price)], [debt(USDC, "13000")])


def test_prediction__when_the_feed_has_answered_it__then_it_is_not_counted_a_second_time() -> None:
    coming = [Next(feed="WETH", source="s", move=0.95, why="", price=1_900.0)]
    prices = {"WETH": 2_000.0, "USDC": 1.0}
    before = health_down(loan(), prices, coming)
    answered = loan("1900")
    assert before == pytest.approx(answered.health_wad, rel=1e-9)
    assert health_down(answered, prices | {"WETH": 1_900.0}, coming) == answered.health_wad
    # half of the way: the other half is still to come
    half = loan("1950")
    assert health_down(half, prices | {"WETH": 1_950.0}, coming) == pytest.approx(before, rel=1e-9)


@pytest.mark.parametrize(
    ("borrowed", "rate", "said"),
    [("16550", "0.18", Severity.CRITICAL), ("16000", "0.18", None), ("16300", "0.25", Severity.WARNING)],
)
def test_clock__when_days_are_left__then_no_rate_is_too_small_to_be_said(
    borrowed: str, rate: str, said: Severity | None
) -> None:
    position = build.position([collateral(WETH, "10")], [debt(USDC, borrowed)])
    assert position.health_wad is not None
    assert position.health_wad > WAD
    wallet = build.means(reserves=[build.reserve(USDC, borrow_rate=rate)])
    found = drift.faults(build.snapshot([position], wallet=wallet), None)
    assert [f.severity for f in found if f.code == "rate_clock"] == ([] if said is None else [said])


def test_clock__when_a_debt_at_a_stable_rate_has_a_name_of_its_own__then_it_pays_interest_all_the_same() -> (
    None
):
    owed = debt(USDC, "16550")
    token = replace(owed.amount.token, symbol="USDC (stable rate)")
    fixed = replace(owed, amount=replace(owed.amount, token=token))
    wallet = build.means(reserves=[build.reserve(USDC, borrow_rate="0.18")])
    position = build.position([collateral(WETH, "10")], [fixed])
    found = drift.faults(build.snapshot([position], wallet=wallet), None)
    assert [f.severity for f in found if f.code == "rate_clock"] == [Severity.CRITICAL]
