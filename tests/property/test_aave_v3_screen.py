"""Who is low, told from the words: never fewer than decoding finds, and the few decoded alone are as among all."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest

from keeper.model import Position, PositionId, Snapshot, Unreadable
from keeper.seams import Shadow
from keeper.snapshot import expose
from keeper.units import WAD
from keeper.venues.aave_v3 import book
from tests.aave_market import POOL, FakeMarket, FakeMode, FakeUser, market
from tests.aave_snapshot import WALLET, gathered, request

pytestmark = pytest.mark.property
PEOPLE = 7
ACCOUNTS = tuple(book.checksum(0xACC0 + k) for k in range(PEOPLE))
EVERY = 2**64 - 1

SEEDS = 24
SCALED = (0, 1, 10**6, 10**9, 10**15, 10**18, 7 * 10**19)
BREAKS = ("data", "config", "mode", "balance", "price")
"""What of one account, or of one reserve, reverts."""


def anybody(rng: random.Random) -> FakeUser:
    """Any account: dust, no debt, collateral that is off, an e-mode."""
    return FakeUser(
        collateral={i: rng.choice(SCALED) for i in range(3) if rng.random() < 0.6},
        debt={i: rng.choice(SCALED) for i in range(3) if rng.random() < 0.4},
        off=frozenset({rng.randrange(3)} if rng.random() < 0.2 else ()),
        mode=int(rng.random() < 0.25),
    )


def a_line(rng: random.Random) -> int:
    """Any line, the ordinary ones most."""
    return rng.choice((0, 1, WAD, EVERY - 1, EVERY, rng.randrange(WAD // 2, 3 * WAD), rng.randrange(EVERY)))


def laid(users: list[FakeUser], breaks: dict[int, str], lies: dict[int, int]) -> FakeMarket:
    """A market in which those hold that, some calls revert, and the pool contradicts us about some."""
    chain = market(users=dict(zip(ACCOUNTS, users, strict=True)))
    chain.modes = {
        1: FakeMode(label="one", ltv=9_000, threshold=9_300, bonus=10_100, collateral=frozenset({0}))
    }
    for k, what in breaks.items():
        if what == "price":
            chain.set(k % 3, price=-1)
        elif what in ("data", "config"):
            name = book.GET_USER_ACCOUNT_DATA if what == "data" else book.GET_USER_CONFIGURATION
            chain.broken.add((POOL, name, ACCOUNTS[k]))
        elif what == "mode":
            chain.broken.add((POOL, book.GET_USER_EMODE, ACCOUNTS[k]))
        elif what == "balance":
            chain.broken.add(
                (chain.venue().market.listings[k % 3].a_token, book.SCALED_BALANCE_OF, ACCOUNTS[k])
            )
    chain.lies = {ACCOUNTS[k]: wei for k, wei in lies.items()}
    return chain


def found(snapshot: Snapshot) -> dict[PositionId, Position | Unreadable]:
    """Everybody by identity."""
    return {x.id: x for x in (*snapshot.positions, *snapshot.unreadable)}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_few__when_states_lines_and_failures_are_any__then_nobody_low_is_missed_and_each_is_as_among_all(
    seed: int,
) -> None:
    rng = random.Random(seed)
    users, lines = [anybody(rng) for _ in ACCOUNTS], [a_line(rng) for _ in ACCOUNTS]
    breaks = {rng.randrange(PEOPLE): rng.choice(BREAKS) for _ in range(rng.randrange(3))}
    lies = {rng.randrange(PEOPLE): -1} if rng.random() < 0.3 else {}
    near = rng.choice((None, -1, 0, 1))
    calm, shown = laid(users, {}, {}), laid(users, breaks, lies)
    venue = calm.venue()
    # a first look learns what each holds; the second is as every later block's
    _, seen = gathered(request(calm, venue, *ACCOUNTS, wallet=WALLET))
    asked = request(shown, venue, *ACCOUNTS, wallet=WALLET, seen=seen)
    whole, _ = gathered(asked)
    everybody = found(whole)
    ids = [venue.position_id(a) for a in ACCOUNTS]
    if near is not None:
        # on both sides of the very health
        for k, id in enumerate(ids):
            health = getattr(everybody[id], "health_wad", None)
            lines[k] = lines[k] if health is None else max(0, min(health + near, EVERY - 1))
    film = asyncio.run(expose(asked))
    low = film.low({venue.id: np.array(lines, np.uint64)})
    assert low is not None
    picked = low[venue.id]
    for k, id in enumerate(ids):
        one = everybody[id]
        if isinstance(one, Position):
            assert one.health_wad is not None
            assert (k in picked) == (one.health_wad < lines[k] or lines[k] == EVERY)
    few = asyncio.run(film.few(low))
    assert few is not None
    assert found(few) == {ids[k]: everybody[ids[k]] for k in picked}
    assert few.means == whole.means
    assert few.prices == whole.prices


def test_few__when_somebody_holds_what_was_not_asked__then_the_whole_photograph_is_for_it() -> None:
    before = laid([FakeUser(collateral={0: 10**18}, debt={1: 10**9})] * PEOPLE, {}, {})
    after = laid([FakeUser(collateral={0: 10**18}, debt={1: 10**9, 2: 10**6})] * PEOPLE, {}, {})
    venue = before.venue()
    _, seen = gathered(request(before, venue, *ACCOUNTS))
    film = asyncio.run(expose(request(after, venue, *ACCOUNTS, seen=seen)))
    assert asyncio.run(film.few({venue.id: (0,)})) is None


def test_low__when_a_shadow_stands_for_a_position__then_the_pool_cannot_tell() -> None:
    chain = laid([FakeUser(collateral={0: 10**18}, debt={1: 10**9})] * PEOPLE, {}, {})
    venue = chain.venue()
    shadow = Shadow(id=venue.position_id(ACCOUNTS[0]), collateral={}, debt={})
    film = asyncio.run(expose(request(chain, venue, *ACCOUNTS, shadows={shadow.id: shadow})))
    assert film.low({venue.id: np.full(PEOPLE, EVERY, np.uint64)}) is None
