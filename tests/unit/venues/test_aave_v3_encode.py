"""Steps: what is sent, what is refused and why, and what is expected of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import decode

from keeper.errors import Unread
from keeper.model import (
    Amount,
    Block,
    Bounds,
    Call,
    Intent,
    IntentState,
    Means,
    Plan,
    PlanKey,
    Position,
    Refusal,
    Repay,
    Snapshot,
    Step,
    Supply,
    Token,
)
from keeper.seams import Progress, Shadow
from keeper.units import UINT256_MAX
from keeper.venues.aave_v3 import AaveV3
from tests.aave_market import ALICE, BOB, POOL, FakeMarket, FakeUser, address, market
from tests.aave_snapshot import snapshot_of

pytestmark = pytest.mark.unit


def token(venue: AaveV3, symbol: str) -> Token:
    return next(t for t in venue.tokens if t.symbol == symbol)


def supply(venue: AaveV3, symbol: str, units: int) -> Supply:
    return Supply(amount=Amount(token=token(venue, symbol), units=units))


def repay(venue: AaveV3, symbol: str, units: int) -> Repay:
    return Repay(amount=Amount(token=token(venue, symbol), units=units))


def seen(chain: FakeMarket, account: str = ALICE) -> tuple[AaveV3, Snapshot, Position]:
    venue = chain.venue()
    snapshot = snapshot_of(chain, venue, account)
    found = snapshot.position(venue.position_id(account))
    assert found is not None
    return venue, snapshot, found


def code(chain: FakeMarket, step_of: object, symbol: str, units: int) -> str | None:
    venue, snapshot, found = seen(chain)
    step: Step = step_of(venue, symbol, units)  # type: ignore[operator]
    answer = venue.can(step, found, snapshot.means)
    assert answer is None or isinstance(answer, Refusal)
    return answer.code if answer else None


def test_encode__supply__is_the_pools_supply_on_behalf_of_the_owner() -> None:
    venue, _, found = seen(market())
    call = venue.encode(supply(venue, "WETH", 123), found)
    assert call.target == POOL
    assert call.data[:4].hex() == "617ba037"
    arguments = decode(["address", "uint256", "address", "uint16"], call.data[4:])
    assert arguments == (address(0x10, 0).lower(), 123, ALICE.lower(), 0)


def test_encode__repay__is_the_pools_repay_at_the_variable_rate() -> None:
    venue, _, found = seen(market())
    call = venue.encode(repay(venue, "USDC", 456), found)
    arguments = decode(["address", "uint256", "uint256", "address"], call.data[4:])
    assert arguments == (address(0x10, 1).lower(), 456, 2, ALICE.lower())


@pytest.mark.parametrize("units", [0, -1, UINT256_MAX])
def test_encode__amount_not_exact__is_refused(units: int) -> None:
    venue, _, found = seen(market())
    with pytest.raises(ValueError, match="no exact amount"):
        venue.encode(repay(venue, "USDC", units), found)


def test_can__ordinary_steps__are_allowed() -> None:
    assert code(market(), supply, "WETH", 10**18) is None
    assert code(market(), repay, "USDC", 10**6) is None


@pytest.mark.parametrize(
    ("flags", "of_supply", "of_repay"),
    [
        ({"active": False}, "reserve_inactive", "reserve_inactive"),
        ({"paused": True}, "reserve_paused", "reserve_paused"),
        ({"frozen": True}, "reserve_frozen", None),
    ],
)
def test_can__reserve_flags__stop_what_the_pool_would_revert(
    flags: dict[str, bool], of_supply: str, of_repay: str | None
) -> None:
    chain = market()
    for id in (0, 1):
        chain.set(id, **flags)
    assert code(chain, supply, "WETH", 10**18) == of_supply
    assert code(chain, repay, "USDC", 10**6) == of_repay


def test_can__supply_above_the_cap__is_refused_and_below_it_is_not() -> None:
    chain = market()
    chain.set(0, supply_cap=1_060_000)
    _, snapshot, _ = seen(chain)
    room = snapshot.means.reserves[0].supply_room_units
    assert room
    assert code(chain, supply, "WETH", room) is None
    assert code(chain, supply, "WETH", room + 1) == "supply_cap"


def test_can__asset_that_is_not_collateral_of_the_account__is_refused() -> None:
    assert code(market(), supply, "WBTC", 10**8) == "not_collateral"
    off = FakeUser(collateral={0: 10**18, 2: 10**8}, debt={1: 10**9}, off=frozenset({2}))
    assert code(market(users={ALICE: off}), supply, "WBTC", 10**8) == "not_collateral"
    bare = market()
    bare.set(0, threshold=0)
    assert code(bare, supply, "WETH", 10**18) == "not_collateral"


def test_can__no_debt_dust_or_nothing__are_told_apart() -> None:
    assert code(market(), repay, "WBTC", 10**8) == "no_debt"
    assert code(market(), repay, "USDC", 1) == "too_small"
    assert code(market(), supply, "WETH", 0) == "no_amount"


def test_can__reserve_that_was_not_read__is_refused() -> None:
    chain = market()
    venue, snapshot, found = seen(chain)
    means = replace(snapshot.means, reserves=())
    refused = venue.can(repay(venue, "USDC", 10**6), found, means)
    assert refused is not None
    assert refused.code == "reserve_unread"


def test_after__repay_of_all__clears_the_debt() -> None:
    venue, _, found = seen(market())
    after = venue.after([repay(venue, "USDC", found.debt[0].amount.units)], found)
    assert (after.debt, after.health_wad) == ((), UINT256_MAX)
    assert after.row.b == (0.0,)


def test_after__no_step__is_the_same_position() -> None:
    venue, _, found = seen(market())
    assert venue.after([], found) == found


def test_after__supply_and_repay__raise_health_and_keep_the_row_in_step() -> None:
    venue, snapshot, found = seen(market())
    after = venue.after([supply(venue, "WETH", 10**18), repay(venue, "USDC", 10**9)], found)
    assert after.health_wad is not None
    assert found.health_wad is not None
    assert after.health_wad > found.health_wad
    ratio = sum(a * snapshot.prices[f] for a, f in zip(after.row.a, after.row.feeds, strict=True)) / sum(
        b * snapshot.prices[f] for b, f in zip(after.row.b, after.row.feeds, strict=True)
    )
    assert ratio == pytest.approx(after.health_wad / 10**18, rel=1e-9)


def test_after__supply_of_what_is_not_held__promises_nothing() -> None:
    venue, _, found = seen(market())
    after = venue.after([supply(venue, "WBTC", 10**10)], found)
    assert after.health_wad is not None
    assert found.health_wad is not None
    assert after.health_wad <= found.health_wad


def test_fill__account_that_is_not_in_the_snapshot__is_unread() -> None:
    venue, snapshot, _ = seen(market())
    shadow = Shadow(id=venue.position_id(BOB), collateral={}, debt={})
    with pytest.raises(Unread, match="not in the snapshot"):
        venue.fill([], snapshot.block, snapshot, shadow)


def test_fill__more_than_is_owed__takes_only_the_debt() -> None:
    venue, snapshot, found = seen(market())
    usdc = address(0x10, 1)
    shadow = Shadow(id=found.id, collateral={address(0x10, 0): 10**19}, debt={usdc: found.debt[0].stored})
    filled = venue.fill([repay(venue, "USDC", 10**15)], snapshot.block, snapshot, shadow)
    assert filled.debt == {usdc: 0}


def intent(venue: AaveV3, state: IntentState, block: Block) -> Intent:
    key = PlanKey(position=venue.position_id(ALICE), seq=1)
    bounds = Bounds(
        health_after_min_wad=1,
        health_after_max_wad=2,
        cost_usd_max=1,
        fee_wei_max=1,
        gas_limit=1,
        deadline_block=1,
    )
    plan = Plan(
        key=key,
        strategy="repay",
        steps=(),
        call=Call(target=POOL, data=b""),
        bounds=bounds,
        block=block,
        urgent=False,
        health_before_wad=None,
        why="",
    )
    return Intent(key=key, plan=plan, state=state)


def test_effect__included_and_read_again__is_done() -> None:
    venue, snapshot, _ = seen(market())
    planned = replace(snapshot.block, number=snapshot.block.number - 1)
    assert venue.effect(intent(venue, IntentState.INCLUDED, planned), snapshot).progress is Progress.DONE


@pytest.mark.parametrize("state", [IntentState.SENT, IntentState.PLANNED])
def test_effect__not_included__is_pending(state: IntentState) -> None:
    venue, snapshot, _ = seen(market())
    planned = replace(snapshot.block, number=snapshot.block.number - 1)
    assert venue.effect(intent(venue, state, planned), snapshot).progress is Progress.PENDING


def test_effect__old_snapshot_or_unreadable_position__is_pending() -> None:
    venue, snapshot, _ = seen(market())
    included = intent(venue, IntentState.INCLUDED, snapshot.block)
    assert venue.effect(included, snapshot).progress is Progress.PENDING
    blind = replace(snapshot, positions=(), block=replace(snapshot.block, number=snapshot.block.number + 1))
    assert venue.effect(included, blind).progress is Progress.PENDING


def test_effect__reverted__has_failed() -> None:
    venue, snapshot, _ = seen(market())
    assert (
        venue.effect(intent(venue, IntentState.REVERTED, snapshot.block), snapshot).progress
        is Progress.FAILED
    )


def test_gas__of_each_step__is_above_what_was_measured() -> None:
    venue = market().venue()
    assert venue.gas(supply(venue, "WETH", 1)) >= 208_000
    assert venue.gas(repay(venue, "USDC", 1)) >= 147_000


def test_means__of_a_market__hold_its_reserves_by_venue_id() -> None:
    venue, snapshot, _ = seen(market())
    assert isinstance(snapshot.means, Means)
    assert {r.venue for r in snapshot.means.reserves} == {venue.id}
