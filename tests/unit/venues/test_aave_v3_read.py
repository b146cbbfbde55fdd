"""Words -> positions: exactness, isolation of what fails, and nothing trusted that the pool contradicts."""

from __future__ import annotations

import pytest

from keeper.model import WHOLE_BPS_AVERAGE, Level, Position, Unreadable
from keeper.risk.outlook import assess
from keeper.seams import Reading, Seen, Shadow
from keeper.units import UINT256_MAX, WAD
from keeper.venues.aave_v3 import AaveV3, book
from tests import build
from tests.aave_market import (
    ALICE,
    BOB,
    ORACLE,
    POOL,
    FakeMarket,
    FakeMode,
    FakeReserve,
    FakeUser,
    address,
    market,
)

pytestmark = pytest.mark.unit


def read(
    chain: FakeMarket, *accounts: str, venue: AaveV3 | None = None, shadow: Shadow | None = None
) -> Reading:
    """As the daemon reads: a second round when the first asks for it, never a third."""
    venue, seen = venue or chain.venue(), Seen()
    shadows = {shadow.id: shadow} if shadow else {}
    for _ in range(2):
        words = chain.words(venue.calls(accounts, seen))
        reading = venue.decode(chain.block(), accounts, words, seen, shadows)
        if not reading.again:
            return reading
        seen = reading.seen
    raise AssertionError("a third round would be needed")


def position(chain: FakeMarket, account: str = ALICE, *, shadow: Shadow | None = None) -> Position:
    reading = read(chain, account, shadow=shadow)
    assert not reading.unreadable, reading.unreadable
    return reading.positions[0]


def lost(chain: FakeMarket, *accounts: str, venue: AaveV3 | None = None) -> tuple[Unreadable, ...]:
    return read(chain, *(accounts or (ALICE,)), venue=venue).unreadable


def test_health__one_collateral_one_debt__follows_from_the_rounded_values_by_hand() -> None:
    found = position(market())
    (weth,), (usdc,) = found.collateral, found.debt
    assert (
        found.health_wad
        == ((weth.value_base * 8_300 * WAD + usdc.value_base // 2) // usdc.value_base) // 10_000
    )
    assert weth.value_base == weth.amount.units * 3_000 * 10**8 // 10**18
    assert usdc.value_base == usdc.amount.units * 100
    assert weth.threshold_wad == 83 * 10**16
    assert usdc.threshold_wad == WAD


def test_row__at_todays_prices__is_the_pools_health() -> None:
    chain = market(users={ALICE: FakeUser(collateral={0: 10**18, 2: 10**7}, debt={1: 10**9, 0: 10**16})})
    reading = read(chain, ALICE)
    found = reading.positions[0]
    assets = sum(a * reading.prices[f] for a, f in zip(found.row.a, found.row.feeds, strict=True))
    required = sum(b * reading.prices[f] for b, f in zip(found.row.b, found.row.feeds, strict=True))
    assert found.health_wad is not None
    assert assets / required == pytest.approx(found.health_wad / WAD, rel=1e-12)
    assert found.row.feeds[0] == f"aave_v3:1:{ORACLE}:{address(0x10, 0)}"


def test_row__dust_debt__does_not_read_healthier_than_the_pool() -> None:
    chain = market(users={ALICE: FakeUser(collateral={0: 10**10}, debt={0: 1})})
    reading = read(chain, ALICE)
    found = reading.positions[0]
    ratio = sum(a * reading.prices[f] for a, f in zip(found.row.a, found.row.feeds, strict=True)) / sum(
        b * reading.prices[f] for b, f in zip(found.row.b, found.row.feeds, strict=True)
    )
    assert found.health_wad is not None
    assert ratio <= found.health_wad / WAD * (1 + 1e-12)


def test_position__nothing_held__has_no_debt_and_no_holdings() -> None:
    found = position(market(), BOB)
    assert (found.collateral, found.debt, found.health_wad) == ((), (), UINT256_MAX)


def test_position__collateral_without_debt__has_the_protocols_infinite_health() -> None:
    found = position(market(users={ALICE: FakeUser(collateral={0: 10**18})}))
    assert found.health_wad == UINT256_MAX


def test_position__collateral_switched_off__is_shown_but_counts_for_nothing() -> None:
    user = FakeUser(collateral={0: 10**18, 2: 10**8}, debt={1: 10**9}, off=frozenset({2}))
    found = position(market(users={ALICE: user}))
    weth, wbtc = found.collateral
    assert wbtc.threshold_wad == 0
    assert wbtc.value_base > 0
    assert wbtc.feed not in found.row.feeds
    assert weth.threshold_wad > 0


def test_position__e_mode__takes_the_categorys_threshold_only_for_its_assets() -> None:
    mode = FakeMode(
        label="ETH correlated", ltv=9_300, threshold=9_500, bonus=10_100, collateral=frozenset({0})
    )
    user = FakeUser(collateral={0: 10**18, 2: 10**7}, debt={1: 10**9}, mode=3)
    found = position(market(users={ALICE: user}, modes={3: mode}))
    assert [h.threshold_wad for h in found.collateral] == [95 * 10**16, 78 * 10**16]
    assert [h.bonus_bps for h in found.collateral] == [10_100, 10_500]
    assert found.mode == "ETH correlated"


def test_position__pool_says_another_health__is_unreadable_and_says_both() -> None:
    (gone,) = lost(market(lies={ALICE: 1}))
    assert "differs from the pool's" in gone.why
    assert gone.since_block == 100


def test_broken_feed__two_accounts__loses_exactly_its_holder() -> None:
    chain = market()
    chain.users[BOB] = FakeUser(collateral={2: 10**8}, debt={1: 10**9})
    chain.set(2, price=-1)
    reading = read(chain, ALICE, BOB)
    assert [p.id.account for p in reading.positions] == [ALICE]
    (gone,) = reading.unreadable
    assert gone.id.account == BOB
    assert "WBTC" in gone.why
    assert "price" in gone.why
    assert [r.token.symbol for r in reading.reserves] == ["WETH", "USDC"]
    assert len(reading.prices) == 2


def test_broken_feed__of_switched_off_collateral__does_not_blind_us_to_the_position() -> None:
    user = FakeUser(collateral={0: 10**18, 2: 10**8}, debt={1: 10**9}, off=frozenset({2}))
    chain = market(users={ALICE: user})
    chain.set(2, price=-1)
    found = position(chain)
    assert [h.amount.token.symbol for h in found.collateral] == ["WETH"]


def test_price__zero__is_unreadable_never_worthless() -> None:
    chain = market()
    chain.set(1, price=0)
    (gone,) = lost(chain)
    assert gone.why == "reserve USDC: the oracle's price is 0"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (book.GET_RESERVE_DATA, "reserve WETH: getReserveData failed"),
        (book.GET_USER_CONFIGURATION, "getUserConfiguration or getUserEMode failed"),
        (book.GET_USER_EMODE, "getUserConfiguration or getUserEMode failed"),
        (book.GET_USER_ACCOUNT_DATA, "the pool's own getUserAccountData failed"),
    ],
)
def test_failed_call__of_the_pool__makes_the_position_unreadable(name: bytes, says: str) -> None:
    chain = market()
    venue = chain.venue()
    chain.broken = {(POOL, name, "")}
    (gone,) = lost(chain, venue=venue)
    assert gone.why == says


def test_failed_balance__of_a_held_asset__is_never_taken_for_zero() -> None:
    chain = market()
    chain.broken = {(address(0x30, 1), book.SCALED_BALANCE_OF, "")}
    (gone,) = lost(chain)
    assert gone.why == "reserve USDC: the balance could not be read"


def test_failed_totals__of_a_reserve__cost_the_reserve_record_not_the_position() -> None:
    chain = market()
    chain.broken = {(address(0x20, 0), book.SCALED_TOTAL_SUPPLY, "")}
    reading = read(chain, ALICE)
    assert len(reading.positions) == 1
    assert [r.token.symbol for r in reading.reserves] == ["USDC", "WBTC"]


def test_upgraded_pool__between_two_blocks__loses_every_account_and_asks_for_a_reload() -> None:
    chain = market()
    venue = chain.venue()
    chain.revision = 12
    reading = read(chain, ALICE, BOB, venue=venue)
    assert len(reading.unreadable) == 2
    assert "POOL_REVISION 10 to 12" in reading.seen.stale


def test_swapped_oracle__between_two_blocks__loses_every_account() -> None:
    chain = market()
    venue = chain.venue()
    chain.oracle = book.checksum(0xBAD)
    reading = read(chain, ALICE, venue=venue)
    assert reading.positions == ()
    assert "oracle changed" in reading.seen.stale


def test_new_reserve__listed_after_loading__loses_only_its_holder_and_asks_for_a_reload() -> None:
    chain = market()
    venue = chain.venue()
    chain.reserves.append(FakeReserve(symbol="NEW", price=10**8))
    chain.users[BOB] = FakeUser(collateral={3: 10**18})
    reading = read(chain, ALICE, BOB, venue=venue)
    assert [p.id.account for p in reading.positions] == [ALICE]
    assert "was not listed when the market was loaded" in reading.unreadable[0].why
    assert reading.seen.stale == "the market lists 4 reserves, 3 were loaded"


def test_seen__after_one_reading__asks_only_what_is_held() -> None:
    chain = market()
    venue = chain.venue()
    seen = read(chain, ALICE, venue=venue).seen
    assert seen.assets == {ALICE: frozenset({1, 2})}
    asked = [c for c in venue.calls([ALICE], seen) if c.data[:4] == book.SCALED_BALANCE_OF]
    assert [c.target for c in asked] == [address(0x20, 0), address(0x30, 1)]


def test_seen__a_new_debt_since__asks_again_and_is_unknown_until_then() -> None:
    chain = market()
    venue = chain.venue()
    seen = read(chain, ALICE, venue=venue).seen
    chain.users[ALICE] = FakeUser(collateral={0: 10**18}, debt={1: 10**9, 2: 10**6})
    first = venue.decode(chain.block(), [ALICE], chain.words(venue.calls([ALICE], seen)), seen, {})
    assert first.again
    assert first.positions == ()
    second_seen = first.seen
    second = venue.decode(
        chain.block(), [ALICE], chain.words(venue.calls([ALICE], second_seen)), second_seen, {}
    )
    assert not second.again
    assert len(second.positions[0].debt) == 2


def test_shadow__one_debt_paid_down__replaces_every_stored_integer_and_skips_the_pools_check() -> None:
    chain = market()
    id = chain.venue().position_id(ALICE)
    real = position(chain)
    weth, usdc = address(0x10, 0), address(0x10, 1)
    shadow = Shadow(id=id, collateral={weth: 10 * 10**18}, debt={usdc: 5_000 * 10**6})
    found = position(chain, shadow=shadow)
    assert found.debt[0].stored == 5_000 * 10**6
    assert found.health_wad is not None
    assert real.health_wad is not None
    assert found.health_wad == pytest.approx(2 * real.health_wad, rel=1e-9)


def test_shadow__debt_cleared__is_gone_though_the_chain_still_has_it() -> None:
    chain = market()
    shadow = Shadow(id=chain.venue().position_id(ALICE), collateral={address(0x10, 0): 10**18}, debt={})
    found = position(chain, shadow=shadow)
    assert (found.debt, found.health_wad) == ((), UINT256_MAX)


def test_shadow__collateral_liquidated_on_the_chain__still_counts_in_the_shadow() -> None:
    chain = market(users={ALICE: FakeUser(debt={1: 10**9})})
    shadow = Shadow(
        id=chain.venue().position_id(ALICE),
        collateral={address(0x10, 0): 10**18},
        debt={address(0x10, 1): 10**9},
    )
    found = position(chain, shadow=shadow)
    assert found.collateral[0].threshold_wad == 83 * 10**16


def test_shadow__switched_off_on_the_chain__stays_off() -> None:
    user = FakeUser(collateral={0: 10**18, 2: 10**8}, debt={1: 10**9}, off=frozenset({2}))
    chain = market(users={ALICE: user})
    held = {address(0x10, 0): 10**18, address(0x10, 2): 10**8}
    shadow = Shadow(id=chain.venue().position_id(ALICE), collateral=held, debt={address(0x10, 1): 10**9})
    assert [h.threshold_wad for h in position(chain, shadow=shadow).collateral] == [83 * 10**16, 0]


def test_supply_room__cap_near__leaves_what_fits_after_a_minute_of_interest() -> None:
    chain = market()
    supplied = 10**24 * 21 // 20
    chain.set(0, supply_cap=1_100_000)
    room = read(chain, ALICE).reserves[0].supply_room_units
    assert room is not None
    assert 0 < room < 1_100_000 * 10**18 - supplied
    chain.set(0, supply_cap=1_000_000)
    assert read(chain, ALICE).reserves[0].supply_room_units == 0
    chain.set(0, supply_cap=0)
    assert read(chain, ALICE).reserves[0].supply_room_units is None


def test_reserve__flags_and_rates__are_those_of_the_pool() -> None:
    chain = market()
    chain.set(2, frozen=True, paused=True)
    weth, _, wbtc = read(chain, ALICE).reserves
    assert (weth.active, weth.frozen, weth.paused) == (True, False, False)
    assert (wbtc.frozen, wbtc.paused) == (True, True)
    assert weth.cash_units == 10**24
    assert weth.supply_index_ray == chain.reserves[0].supply_index


def test_health__of_the_3_0_line__cuts_the_average_threshold_and_flags_the_row() -> None:
    user = FakeUser(collateral={0: 10**18, 2: 3 * 10**6}, debt={1: 10**9})
    found = position(market(users={ALICE: user}, revision=1))
    c, d = sum(h.value_base for h in found.collateral), sum(h.value_base for h in found.debt)
    weighted = sum(h.value_base * h.threshold_wad // 10**14 for h in found.collateral)
    cut = (c * (weighted // c) + 5_000) // 10_000
    assert found.health_wad == (cut * WAD + d // 2) // d
    assert found.health_wad < weighted * WAD // d // 10_000
    assert found.row.flags == (WHOLE_BPS_AVERAGE,)
    # the risk room knows the flag: such a position is judged, not UNKNOWN
    prices = {h.feed: h.price_base / 10**found.base_decimals for h in (*found.collateral, *found.debt)}
    (outlook,) = assess([found], [], prices, [], {found.id: build.policy()})
    assert outlook.level is not Level.UNKNOWN, outlook.why


def test_position__e_mode_of_the_3_0_line__is_named_by_the_reserves_configuration() -> None:
    mode = FakeMode(
        label="ETH correlated", ltv=9_300, threshold=9_500, bonus=10_100, collateral=frozenset({0})
    )
    user = FakeUser(collateral={0: 10**18, 2: 10**7}, debt={1: 10**9}, mode=3)
    chain = market(users={ALICE: user}, modes={3: mode}, revision=1)
    chain.set(0, category=3)
    found = position(chain)
    assert [h.threshold_wad for h in found.collateral] == [95 * 10**16, 78 * 10**16]
    assert found.mode == "ETH correlated"


@pytest.mark.parametrize("revision", [1, 5])
def test_position__bare_threshold_in_an_e_mode_up_to_3_2__counts_neither_there_nor_here(
    revision: int,
) -> None:
    mode = FakeMode(
        label="ETH correlated", ltv=9_300, threshold=9_500, bonus=10_100, collateral=frozenset({0})
    )
    user = FakeUser(collateral={0: 10**18, 2: 10**7}, debt={1: 10**9}, mode=3)
    chain = market(users={ALICE: user}, modes={3: mode}, revision=revision)
    chain.set(0, category=3, threshold=0, ltv=0)
    found = position(chain)
    # no row may read healthier than its chain
    assert [h.threshold_wad for h in found.collateral] == [0, 78 * 10**16]
    assert found.collateral[0].feed not in found.row.feeds


def test_position__e_mode_of_3_2__is_a_bitmap_and_lends_nothing_on_what_has_no_ltv() -> None:
    mode = FakeMode(
        label="ETH correlated", ltv=9_300, threshold=9_500, bonus=10_100, collateral=frozenset({0, 2})
    )
    user = FakeUser(collateral={0: 10**18, 2: 10**7}, debt={1: 10**9}, mode=3)
    chain = market(users={ALICE: user}, modes={3: mode}, revision=5)
    chain.set(2, ltv=0)
    found = position(chain)
    assert [h.threshold_wad for h in found.collateral] == [95 * 10**16] * 2
    assert [h.ltv_zero for h in found.collateral] == [False, True]
    assert found.mode == "ETH correlated"
    assert found.row.flags == (WHOLE_BPS_AVERAGE,)
