"""What check says of Executors and of the key that asks them: money in the wrong place is named by day."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from keeper.daemon.executors import can_sell, findings
from keeper.daemon.facts import Guarded
from keeper.executor.seat import Seat
from keeper.model import Mandate, Means, Side
from keeper.units import WAD
from tests import build
from tests.build import ALICE, USDC, WETH, amount
from tests.fakes import LendingDouble
from tests.mandates import EXECUTOR, ROUTER, asset, borrower, mandate, means, terms

pytestmark = pytest.mark.unit
CALM = 2**40


def owner(funds: int = 0) -> Mandate:
    """Alice's Executor, for years; so much USDC may be paid in."""
    listed = (asset(WETH, Side.COLLATERAL), asset(USDC, Side.DEBT, funds=funds, fund_cap=2**100))
    return mandate(assets=listed, terms=terms(expiry_s=CALM), bot_expiry_s=CALM)


def codes(
    wallet: Means,
    strategies: tuple[str, ...],
    *,
    named: bool = True,
    quoter: bool = True,
    native_wei: int = WAD,
    above: bool = False,
    endpoints: int = 2,
    times: int = 0,
    ladder: bool = False,
    lag: tuple[int, int] | None = None,
    lead_bps: int = 50,
) -> list[str]:
    """The codes of every finding about the usual borrower."""
    guarded = Guarded(
        label="vault",
        policy=replace(
            build.policy(strategies=strategies),
            close_above_trigger=above,
            deleverage_times=times,
            ladder=ladder,
            lead_bps=lead_bps,
        ),
        venue_id=build.VENUE,
        id=build.position_id(),
    )
    chain = SimpleNamespace(
        uniswap_quoter="0x" if quoter else None, endpoints=(1,) * endpoints, storm_gwei=1_000.0
    )
    venue: Any = LendingDouble() if lag is None else Late(lag)
    site: Any = SimpleNamespace(chain=chain, guarded=(guarded,), venues={build.VENUE: venue})
    position = SimpleNamespace(account=ALICE, executor=EXECUTOR if named else None)
    settings: Any = SimpleNamespace(positions=(position,))
    wallet = replace(wallet, native_wei=native_wei)
    found = findings(site, settings, build.snapshot([borrower()], wallet=wallet))
    return [f"{f.code} ahead" if "acts ahead of the next price" in f.why else f.code for f in found]


class Late(LendingDouble):
    """A protocol whose price counts an hour after it is known."""

    def __init__(self, lag: tuple[int, int]) -> None:
        super().__init__()
        self._lag = lag

    def seat(self, account: str) -> Seat:
        """Where its Executor sits."""
        return Seat(key="0x" + "11" * 32, lag=self._lag)


def test_check__when_sales_are_sized_for_a_worse_price_than_the_executor_lets_be_paid__then_named() -> None:
    assert owner().terms.slippage_bps == 100
    assert codes(means(owner()), ("deleverage",), lead_bps=99) == []
    assert codes(means(owner()), ("deleverage",), lead_bps=210) == ["executor_terms"]
    wide = replace(owner(), terms=replace(owner().terms, slippage_bps=300))
    assert codes(means(wide), ("deleverage",), lead_bps=210) == []
    assert "executor_terms" not in codes(means(owner()), ("repay",), lead_bps=210)


def test_check__when_sales_are_sized_for_no_worse_price__then_it_is_noted_of_deleverage_alone() -> None:
    assert codes(means(owner()), ("deleverage",), lead_bps=0) == ["lead_unset"]
    assert codes(means(owner()), ("deleverage",), lead_bps=1) == []
    assert codes(means(owner()), ("close_position",), lead_bps=0) == []
    assert "lead_unset" not in codes(means(owner()), ("repay",), lead_bps=0)


def test_check__when_the_key_holds_tokens_beside_an_executor__then_hot_key() -> None:
    found = replace(means(owner()), balances=(amount(USDC, "5000"),))
    assert codes(found, ("deleverage",)) == ["hot_key"]
    assert codes(means(owner()), ("deleverage",)) == []


def test_check__when_the_tank_holds_more_than_two_crashes_need__then_the_rest_is_a_thief_s() -> None:
    # three sales of 1.3 million gas at 1,000 gwei, twice
    most_wei = 2 * 3 * 1_300_000 * 1_000 * 10**9
    assert codes(means(owner()), ("deleverage",), native_wei=most_wei) == []
    assert codes(means(owner()), ("deleverage",), native_wei=most_wei + 1) == ["hot_key_gas"]
    assert codes(build.means(), ("repay",), named=False, native_wei=10**22) == []


def test_check__when_there_is_no_executor__then_the_wallet_may_hold_what_it_rescues_with() -> None:
    rich = build.means([amount(USDC, "5000")])
    assert codes(rich, ("repay",), named=False) == []
    assert codes(rich, ("repay_from_reserve",), named=False) == ["no_executor"]


def test_check__when_the_reserve_is_empty__then_named_and_selling_is_not_asked_about() -> None:
    assert codes(means(owner()), ("repay_from_reserve",), quoter=False) == ["empty_reserve"]
    assert codes(means(owner(5)), ("repay_from_reserve",), quoter=False) == []
    assert codes(means(owner(5)), ("close_position",), quoter=False) == ["no_quoter"]


@pytest.mark.parametrize(("strategies", "times", "found"), [
    (("deleverage", "repay_from_reserve"), 1, ["one_shot_pay_ins"]),
    (("deleverage", "repay_from_reserve"), 0, []),
    (("deleverage",), 1, []),
    (("close_position", "repay_from_reserve"), 1, []),
])  # fmt: skip
def test_check__when_pay_ins_use_up_the_shots_of_a_sale__then_named(
    strategies: tuple[str, ...], times: int, found: list[str]
) -> None:
    assert codes(means(owner(5)), strategies, times=times) == found


def test_check__when_a_configured_router_is_not_allowed__then_named_where_something_is_sold() -> None:
    refused = means(replace(owner(5), routers_refused=(ROUTER,)))
    assert codes(refused, ("deleverage",)) == ["router_not_allowed"]
    assert codes(refused, ("repay_from_reserve",)) == []


@pytest.mark.parametrize(("funds", "strategies", "ready"), [
    (5, ("repay_from_reserve",), True), (0, ("repay_from_reserve",), False), (0, ("deleverage",), True),
    (5, ("repay",), False),
])  # fmt: skip
def test_can_sell__when_reserve_or_grant_is_there__then_the_wallet_need_not_suffice(
    funds: int, strategies: tuple[str, ...], ready: bool
) -> None:
    guarded = Guarded(
        label="vault",
        policy=build.policy(strategies=strategies),
        venue_id=build.VENUE,
        id=build.position_id(),
    )
    assert can_sell(means(owner(funds)), guarded) is ready


def test_check__when_the_target_lies_below_the_borrow_factor__then_no_sale_could_end_there() -> None:
    def found(factor_wad: int | None) -> list[str]:
        there = means(owner())
        reserves = tuple(replace(r, borrow_factor_wad=factor_wad) for r in there.reserves)
        return codes(replace(there, reserves=reserves), ("deleverage",))

    # collateral counts 0.83 towards liquidation, the target is 1.45
    assert found(None) == found(80 * WAD // 100) == []
    assert found(55 * WAD // 100) == ["executor_terms"]


def test_check__when_an_exit_may_be_made_above_trigger__then_the_executor_s_trigger_must_reach_there() -> (
    None
):
    high = terms(trigger_wad=5 * WAD, target_wad=6 * WAD, max_wad=7 * WAD, expiry_s=CALM)
    wide = means(replace(owner(5), terms=high))
    exits = ("trailing_stop",)
    assert codes(means(owner(5)), exits, above=True) == ["executor_terms"]
    assert codes(wide, exits, above=True) == []
    assert codes(wide, (*exits, "deleverage"), above=True) == ["executor_terms"] * 2, "a rescue has a target"
    assert codes(wide, exits) == ["executor_terms"] * 2


def test_check__when_a_ladder_s_rungs_lie_below_the_executor_s_target__then_named_and_why() -> None:
    # trigger 1.25 and hysteresis 0.02; the Executor of the fixture has the target 1.40
    rung = replace(owner(), terms=terms(target_wad=127 * WAD // 100 + 2, expiry_s=CALM))
    assert codes(means(owner()), ("deleverage",), ladder=True) == ["executor_terms"]
    assert codes(means(rung), ("deleverage",), ladder=True) == []
    assert codes(means(owner()), ("deleverage",), ladder=False) == []
    assert codes(means(owner()), ("close_position",), ladder=True) == [], "it leaves no debt"
    assert codes(means(owner()), ("deleverage",), ladder=True, lag=(1, 1)) == ["executor_terms"]
    assert codes(means(owner()), ("deleverage",), ladder=True, lag=(9, 10)) == ["executor_terms ahead"]


@pytest.mark.parametrize("strategy", ["reduce_perp", "close_perp", "stop_on_venue"])
def test_check__when_one_endpoint_is_configured__then_what_closes_a_perpetual_is_named(strategy: str) -> None:
    assert codes(build.means(), ("add_margin", strategy), named=False, endpoints=1) == ["quorum"]
    assert codes(build.means(), ("add_margin", strategy), named=False) == []
    assert codes(build.means(), ("add_margin",), named=False, endpoints=1) == []


def test_check__when_one_endpoint_is_configured__then_a_sale_by_price_is_named_with_and_without_an_executor() -> (
    None
):
    assert "quorum" in codes(means(owner()), ("close_position",), endpoints=1)
    assert codes(build.means(), ("floor",), named=False, endpoints=1) == ["quorum", "no_executor"]


def test_check__when_one_endpoint_is_configured__then_what_the_executor_checks_itself_is_not_named() -> None:
    assert codes(means(owner()), ("deleverage",), endpoints=1) == []
    assert codes(build.means(), ("deleverage",), named=False, endpoints=1) == ["no_executor"]
