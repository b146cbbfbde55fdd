"""A dry-run's own positions: fills applied, the owner's acts followed, a liquidation not."""

from __future__ import annotations

import pytest

from keeper.daemon import shadow as shadows
from keeper.daemon.shadow import ShadowBook
from keeper.model import Repay, Supply
from keeper.seams import Shadow
from tests import build
from tests.build import DAI, USDC, WETH, amount, collateral, debt, units

pytestmark = pytest.mark.unit

REAL = build.position([collateral(WETH, "10")], [debt(USDC, "10000")], at=100)
ID = REAL.id


def filled(book: ShadowBook, owed: str, supplied: str = "10") -> ShadowBook:
    """The book after a repayment that leaves ``owed``."""
    after = Shadow(
        id=ID,
        collateral={WETH.address: units(WETH, supplied)},
        debt={USDC.address: units(USDC, owed)},
    )
    steps = (Repay(amount=amount(USDC, "4000")), Supply(amount=amount(WETH, "1")))
    return shadows.filled(book, REAL, after, steps)


def test_filled__when_steps_were_paid__then_the_wallet_is_poorer_by_each_and_the_shadow_stands() -> None:
    once = filled(ShadowBook(), "6000", "11")
    assert once.wallet == {USDC.address: -units(USDC, "4000"), WETH.address: -units(WETH, "1")}
    assert once.shadows[ID].debt == {USDC.address: units(USDC, "6000")}
    twice = filled(once, "2000", "12")
    assert twice.wallet == {USDC.address: -units(USDC, "8000"), WETH.address: -units(WETH, "2")}
    assert twice.positions[ID].chain_debt == {USDC.address: units(USDC, "10000")}


def test_moved__when_only_prices_or_interest_change__then_no() -> None:
    book = filled(ShadowBook(), "6000")
    assert not shadows.moved(book.positions[ID], REAL)
    dearer = build.repriced(REAL, {"WETH": "1500"})
    assert not shadows.moved(book.positions[ID], dearer)
    acted = build.position([collateral(WETH, "9")], [debt(USDC, "10000")])
    assert shadows.moved(book.positions[ID], acted)


def test_follow__when_the_owner_acts__then_the_same_difference_is_applied_to_the_shadow() -> None:
    book = filled(ShadowBook(), "6000")
    acted = build.position([collateral(WETH, "9")], [debt(USDC, "10500"), debt(DAI, "100")], at=101)
    after = shadows.follow(book, acted, liquidated=False)
    assert after.shadows[ID] == Shadow(
        id=ID,
        collateral={WETH.address: units(WETH, "9")},
        debt={USDC.address: units(USDC, "6500"), DAI.address: units(DAI, "100")},
    )
    assert not shadows.moved(after.positions[ID], acted)
    assert after.positions[ID].liquidated_block is None


def test_follow__when_the_owner_repays_more_than_the_shadow_owes__then_nothing_is_owed_never_less() -> None:
    book = filled(ShadowBook(), "6000")
    closed = build.position([collateral(WETH, "10")], [], at=101)
    after = shadows.follow(book, closed, liquidated=False)
    assert after.shadows[ID].debt == {}


def test_follow__when_it_was_liquidated__then_the_shadow_stands_on_its_own_and_remembers_when() -> None:
    book = filled(ShadowBook(), "6000")
    seized = build.position([collateral(WETH, "4")], [debt(USDC, "5000")], at=107)
    after = shadows.follow(book, seized, liquidated=True)
    assert after.shadows == book.shadows
    assert after.positions[ID].liquidated_block == 107
    assert not shadows.moved(after.positions[ID], seized)
    # what the owner does with the rest is followed again, from there
    more = build.position([collateral(WETH, "5")], [debt(USDC, "5000")], at=110)
    later = shadows.follow(after, more, liquidated=False)
    assert later.shadows[ID].collateral == {WETH.address: units(WETH, "11")}
    assert later.positions[ID].liquidated_block == 107
