"""One batch a tick: what it asks, whom a failure takes with it, and what the digest tells apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from keeper.errors import Transient, Unread
from keeper.model import Call
from keeper.seams import Reading
from keeper.venues.aave_v3 import AaveV3
from keeper.words import Words
from tests.aave_market import ALICE, BOB, FakeUser, address, market
from tests.aave_snapshot import WALLET, gathered, request

pytestmark = pytest.mark.unit


def test_gather__second_tick__is_one_round_trip() -> None:
    chain = market()
    venue = chain.venue()
    _, seen = gathered(request(chain, venue, ALICE, BOB, wallet=WALLET))
    chain.batches = 0
    snapshot, _ = gathered(request(chain, venue, ALICE, BOB, wallet=WALLET, seen=seen))
    assert chain.batches == 1
    assert len(snapshot.positions) == 2


def test_gather__first_tick__reads_once_more_for_debts_and_no_further() -> None:
    chain = market()
    venue = chain.venue()
    chain.batches = 0
    snapshot, _ = gathered(request(chain, venue, ALICE))
    assert chain.batches == 2
    assert snapshot.unreadable == ()


def test_gather__wallet__has_balances_allowances_and_native_of_the_same_block() -> None:
    chain = market(wallet={"WETH": 5, "USDC": 7, "native": 11})
    venue = chain.venue()
    snapshot, _ = gathered(request(chain, venue, ALICE, wallet=WALLET, nonce=3, tip_wei=2))
    means, (weth, usdc, _) = snapshot.means, venue.tokens
    assert (means.native_wei, means.nonce, means.tip_wei, means.wallet) == (11, 3, 2, WALLET)
    assert (means.balance(weth), means.balance(usdc)) == (5, 7)
    assert means.allowance(usdc, venue.spender) == 7


def test_gather__dry_run_deltas__are_taken_off_and_never_go_below_zero() -> None:
    chain = market(wallet={"WETH": 5, "USDC": 7, "native": 11})
    venue = chain.venue()
    weth, usdc, _ = venue.tokens
    asked = request(
        chain,
        venue,
        ALICE,
        wallet=WALLET,
        wallet_deltas={weth.address: -3, usdc.address: -9},
        allowance_deltas={(usdc.address, venue.spender): -2},
    )
    means = gathered(asked)[0].means
    assert (means.balance(weth), means.balance(usdc), means.allowance(usdc, venue.spender)) == (2, 0, 5)


def test_gather__no_wallet__has_no_means_of_its_own() -> None:
    chain = market(wallet={"WETH": 5, "native": 11})
    means = gathered(request(chain, chain.venue(), ALICE))[0].means
    assert (means.wallet, means.native_wei, means.balances) == ("", 0, ())


def test_gather__native_token_listed__prices_gas_by_its_feed() -> None:
    chain = market()
    venue = chain.venue()
    means = gathered(request(chain, venue, ALICE, native_token=address(0x10, 0)))[0].means
    assert (means.native_price_base, means.native_price_decimals) == (3_000 * 10**8, 8)
    chain.set(0, price=-1)
    assert (
        gathered(request(chain, venue, ALICE, native_token=address(0x10, 0)))[0].means.native_price_base
        is None
    )


def test_gather__still_unreadable__keeps_the_block_since_which_it_is() -> None:
    chain = market()
    venue = chain.venue()
    chain.set(1, price=-1)
    id = venue.position_id(ALICE)
    (fresh,) = gathered(request(chain, venue, ALICE))[0].unreadable
    (old,) = gathered(request(chain, venue, ALICE, since={id: 42}))[0].unreadable
    assert (fresh.since_block, old.since_block) == (100, 42)


class Failing(AaveV3):
    """A venue whose decoding fails as a whole."""

    def decode(self, *_: object) -> Reading:  # type: ignore[override]
        raise Unread("the market makes no sense")


def test_gather__a_venue_that_fails__loses_its_own_accounts_only() -> None:
    chain, other = market(), market()
    good, bad = chain.venue(), Failing(replace(other.venue().market, provider=address(0x40, 1)))
    asked = request(chain, good, ALICE, venues=((bad, (ALICE, BOB)), (good, (ALICE,))))
    snapshot, _ = gathered(asked)
    assert [p.id for p in snapshot.positions] == [good.position_id(ALICE)]
    assert [u.id for u in snapshot.unreadable] == [bad.position_id(ALICE), bad.position_id(BOB)]
    assert "the market makes no sense" in snapshot.unreadable[0].why


def test_gather__nobody_answers__raises_transient() -> None:
    chain = market()
    venue = chain.venue()

    async def silent(calls: Sequence[Call]) -> Words:
        raise Transient("no endpoint answered")

    with pytest.raises(Transient):
        gathered(request(chain, venue, ALICE, read=silent))


def test_gather__second_round_fails__is_unknown_and_remembers_what_to_ask() -> None:
    chain = market()
    venue = chain.venue()
    rounds = 0

    async def once(calls: Sequence[Call]) -> Words:
        nonlocal rounds
        rounds += 1
        if rounds > 1:
            raise Transient("gone")
        return await chain.read(calls)

    snapshot, seen = gathered(request(chain, venue, ALICE, read=once))
    assert [u.id.account for u in snapshot.unreadable] == [ALICE]
    assert seen[venue.id].assets[ALICE] == frozenset({1, 2})


def test_digest__same_chain__repeats_and_any_change_shows() -> None:
    chain = market()
    venue = chain.venue()

    def digest() -> str:
        return gathered(request(chain, venue, ALICE, wallet=WALLET))[0].digest

    first = digest()
    assert digest() == first
    chain.wallet = {"native": 1}
    second = digest()
    chain.users[ALICE] = FakeUser(collateral={0: 10 * 10**18 + 1}, debt={1: 10_000 * 10**6})
    assert len({first, second, digest()}) == 3
