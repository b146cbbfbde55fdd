"""Until when an order may be good: by the clock of a signer that has one, with room for a wrong one."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Unsigned
from keeper.executor import abi, perp_bounded
from keeper.executor.perp_bounded import BoundedOrder
from keeper.model import Side
from keeper.seams import TxFields
from keeper.signer import deadlines
from keeper.signer.deadlines import AHEAD_S
from keeper.signer.guarded import GuardedSigner
from keeper.signer.key import Key
from keeper.signer.store import DayCaps, Store
from keeper.units import WAD
from strategies.order import DEADLINE_S
from tests.build import USDC
from tests.keystores import CANARY, address_of
from tests.mandates import NOW_S, sale
from tests.unit.signer.test_signer_orders import POLICY, paid_in, tx

pytestmark = pytest.mark.unit
BOUNDED = BoundedOrder(
    position="0x" + "01" * 32, seq=1, adds=True, amount=5, worst_price=0, fee_wei=1, deadline_s=0
)


def until(deadline_s: int) -> list[bytes]:
    """Every kind of order that has a deadline, with that one."""
    return [
        abi.deleverage(sale(deadline_s=deadline_s)).data,
        *(paid_in(side, deadline_s=deadline_s) for side in Side),
        perp_bounded.calldata(replace(BOUNDED, deadline_s=deadline_s)),
        perp_bounded.calldata(replace(BOUNDED, adds=False, worst_price=1, deadline_s=deadline_s)),
    ]


def test_deadline__when_within_an_hour_of_the_clock__then_signed_and_later_refused() -> None:
    for data in until(NOW_S + AHEAD_S):
        assert deadlines.refuses(data, float(NOW_S)) is None
    for ahead_s in (AHEAD_S + 1, 2**63 - NOW_S):
        for data in until(NOW_S + ahead_s):
            assert deadlines.refuses(data, float(NOW_S)) == (
                f"deadline {NOW_S + ahead_s} is {ahead_s} s ahead of the signer's clock, 3600 at most: "
                "is that clock right?"
            )


def test_deadline__when_the_clock_is_wrong_by_minutes__then_a_rescue_is_signed() -> None:
    longest_s = max(DEADLINE_S, perp_bounded.DEADLINE_S)
    for wrong_s in (-50 * 60, 50 * 60, 10 * 365 * 86_400):
        for data in until(NOW_S + longest_s):
            assert deadlines.refuses(data, float(NOW_S + wrong_s)) is None


def test_deadline__of_what_has_none_or_does_not_decode__is_not_asked() -> None:
    names = (abi.DELEVERAGE, abi.ADD_COLLATERAL, perp_bounded.ADD, bytes.fromhex("617ba037"), b"")
    for data in (*(n + b"\xff" * 3 for n in names), b""):
        assert deadlines.refuses(data, 0.0) is None


def test_policy__without_a_clock__asks_no_deadline_and_with_one_asks_all_else_first() -> None:
    late = tx(abi.deleverage(sale(deadline_s=2**63)).data)
    assert POLICY.refuses(late) is None
    assert "is that clock right?" in (POLICY.refuses(late, float(NOW_S)) or "")
    assert "selector" in (POLICY.refuses(replace(late, data=b"\1\2\3\4"), 0.0) or "")
    assert POLICY.refuses(tx(abi.deleverage(sale()).data), float(NOW_S)) is None


def test_signer__when_an_order_is_good_for_ever__then_refuses_it_and_goes_on(tmp_path: Path) -> None:
    with contextlib.closing(Store.create(tmp_path / "signer.sqlite")) as store:
        store.adopt(POLICY.chain_id, 0, "test", 0.0)
        policy = replace(POLICY, address=address_of())
        caps = DayCaps(fee_wei=WAD, units={USDC.address.lower(): 10**12})
        signer = GuardedSigner(Key(CANARY), policy, caps, store, ManualClock(float(NOW_S)))

        def ask(deadline_s: int) -> TxFields:
            data = abi.deleverage(sale(deadline_s=deadline_s)).data
            return replace(tx(data), intent="a#1")

        with pytest.raises(Unsigned, match="ahead of the signer's clock"):
            asyncio.run(signer.sign(ask(2**63)))
        assert asyncio.run(signer.sign(ask(NOW_S + DEADLINE_S))).raw
