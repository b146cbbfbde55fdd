"""What the feeds will say next: the predicted health is the worst subset's, and never better than today's."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.model import Block, BookRow, Level, Means, Outlook, Position, PositionId, Snapshot
from keeper.oracle.ahead import Next, faults, health_down, next_answer, raised
from keeper.oracle.feeds import Answer, Feed
from keeper.triggers import SEVERITY
from keeper.units import UINT256_MAX, WAD
from tests import build

pytestmark = pytest.mark.property

FEEDS = ("eth", "btc", "usdc")
SOURCES = ("one", "two")
positive = st.floats(0.01, 1e4)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Position, dict[str, float], list[Next]]:
    a = tuple(draw(st.one_of(st.just(0.0), positive)) for _ in FEEDS)
    b = tuple(draw(st.one_of(st.just(0.0), positive)) for _ in FEEDS)
    prices = {f: draw(positive) for f in FEEDS}
    b0 = draw(st.floats(0.1, 100.0))
    row = BookRow(feeds=FEEDS, a=a, b=b, b0=b0)
    assets = sum(x * prices[f] for f, x in zip(FEEDS, a, strict=True))
    needed = b0 + sum(x * prices[f] for f, x in zip(FEEDS, b, strict=True))
    id = PositionId(venue="aave_v3", chain_id=1, account="0x" + "11" * 20, key="market")
    position = Position(
        id=id,
        owner=id.account,
        block_number=1,
        health_wad=int(assets / needed * WAD),
        collateral=(),
        debt=(),
        base_decimals=8,
        row=row,
    )
    coming = [
        Next(feed=f, source=draw(st.sampled_from(SOURCES)), move=draw(st.floats(0.2, 3.0)), why="")
        for f in FEEDS
        if draw(st.booleans())
    ]
    return position, prices, coming


def moved(position: Position, prices: dict[str, float], coming: list[Next], sources: set[str]) -> float:
    there = {
        f: p * next((n.move for n in coming if n.feed == f and n.source in sources), 1.0)
        for f, p in prices.items()
    }
    row = position.row
    assets = sum(x * there[f] for f, x in zip(row.feeds, row.a, strict=True))
    return assets / (row.b0 + sum(x * there[f] for f, x in zip(row.feeds, row.b, strict=True)))


@given(worlds())
@settings(max_examples=300, deadline=None)
def test_health__any_answers__is_the_worst_subsets_and_never_above_todays(
    world: tuple[Position, dict[str, float], list[Next]],
) -> None:
    position, prices, coming = world
    worst = health_down(position, prices, coming)
    assert worst is not None
    assert position.health_wad is not None
    assert worst <= position.health_wad
    subsets = chain.from_iterable(combinations(SOURCES, n) for n in range(len(SOURCES) + 1))
    least = min(moved(position, prices, coming, set(s)) for s in subsets)
    assert worst / WAD == pytest.approx(least, rel=1e-9, abs=1e-15)


@given(worlds(), st.sampled_from(list(Level)))
@settings(max_examples=200, deadline=None)
def test_level__any_answers__is_never_lowered(
    world: tuple[Position, dict[str, float], list[Next]], level: Level
) -> None:
    position, prices, coming = world
    outlook = Outlook(
        id=position.id,
        health=1.0,
        margin_usd=0.0,
        leverage=None,
        health_under=(),
        distance=(),
        nearest_shock=None,
        level=level,
    )
    shot = snapshot(position, prices)
    (after,) = raised([outlook], shot, {position.id: build.policy()}, coming)
    if level is Level.UNKNOWN:
        assert after == outlook
    else:
        assert SEVERITY[after.level] >= SEVERITY[level]
    (same,) = raised([outlook], shot, {position.id: build.policy()}, [])
    assert same == outlook


def snapshot(position: Position, prices: dict[str, float]) -> Snapshot:
    block = Block(chain_id=1, number=1, hash="0x", parent_hash="0x", timestamp_s=1, base_fee_wei=1)
    means = Means(
        wallet="",
        native_wei=0,
        nonce=0,
        balances=(),
        allowances=(),
        reserves=(),
        tip_wei=0,
        native_price_base=None,
    )
    return Snapshot(block=block, positions=(position,), unreadable=(), means=means, prices=prices, digest="")


def one_eth(price: float = 2_000.0, debt: float = 1_000.0) -> tuple[Position, dict[str, float]]:
    id = PositionId(venue="aave_v3", chain_id=1, account="0x" + "11" * 20, key="market")
    position = Position(
        id=id,
        owner=id.account,
        block_number=1,
        health_wad=int(0.8 * price / debt * WAD),
        collateral=(),
        debt=(),
        base_decimals=8,
        row=BookRow(feeds=("eth",), a=(0.8,), b=(0.0,), b0=debt),
    )
    return position, {"eth": price}


def test_health__without_debt_or_without_a_price__stays_as_it_is() -> None:
    position, prices = one_eth()
    down = [Next(feed="eth", source="s", move=0.5, why="")]
    from dataclasses import replace

    assert health_down(replace(position, health_wad=UINT256_MAX), prices, down) == UINT256_MAX
    assert health_down(replace(position, health_wad=None), prices, down) is None
    assert health_down(position, {}, down) == position.health_wad


def test_faults__a_fall_beyond_the_trigger__is_said_and_svr_more_loudly() -> None:
    position, prices = one_eth()
    policies = {position.id: build.policy()}
    down = [Next(feed="eth", source="s", move=0.6, why="ETH 2000 -> 1200 (SVR)")]
    codes = [f.code for f in faults(snapshot(position, prices), policies, down, frozenset({"eth"}))]
    assert codes == ["predicted", "svr_margin"]
    assert [f.code for f in faults(snapshot(position, prices), policies, down, frozenset())] == ["predicted"]
    assert not faults(snapshot(position, prices), policies, [], frozenset())


@given(
    st.floats(100, 10_000), st.floats(0.5, 1.5), st.integers(1, 100_000), st.booleans(), st.integers(1, 500)
)
@settings(max_examples=200, deadline=None)
def test_next_answer__any_market__is_told_exactly_when_something_is_due(
    price: float, share: float, age_s: int, svr: bool, deviation_bps: int
) -> None:
    feed = Feed(
        id="eth",
        symbol="ETH",
        address="0x",
        expected_decimals=8,
        source="s",
        heartbeat_s=3_600,
        deviation_bps=deviation_bps,
        svr=svr,
    )
    answer = Answer(feed=feed, units=int(price * 1e8), updated_s=1_000_000, round=1)
    market = answer.price * share
    told = next_answer(answer, market, 1_000_000 + age_s)
    due = abs(market / answer.price - 1) * 10_000 >= deviation_bps or age_s >= 0.97 * 3_600 or svr
    assert (told is not None) == (due and market != answer.price)
    if told is not None:
        assert told.move == pytest.approx(market / answer.price)
    for nothing in (None, 0.0, -1.0):
        assert next_answer(answer, nothing, 1_000_000 + age_s) is None


def test_next_answer__when_a_lid_is_below_the_market__then_the_feed_is_expected_to_stop_there() -> None:
    feed = Feed(id="usdc", symbol="USDC", address="0x", expected_decimals=8, source="s", deviation_bps=25)
    now = Answer(feed=feed, units=101 * 10**6, updated_s=1, timed=True)
    free, below = next_answer(now, 1.10, 2), next_answer(now, 1.10, 2, 1.04)
    assert free is not None
    assert below is not None
    assert (free.move, below.move) == (pytest.approx(1.10 / 1.01), pytest.approx(1.04 / 1.01))
    assert next_answer(replace(now, units=104 * 10**6), 1.10, 2, 1.04) is None
    fallen = next_answer(now, 0.90, 2, 1.04)
    assert fallen is not None
    assert fallen.move == pytest.approx(0.90 / 1.01)


def test_faults__when_nothing_that_prices_it_is_due__then_rounding_is_no_prediction() -> None:
    position = build.position([build.collateral(build.WETH, "1")], [build.debt(build.USDC, "1500")])
    # the float core may lie a hair below the protocol's own integer
    seen = build.snapshot([position])
    prices = {**seen.prices, "WETH": seen.prices["WETH"] * (1.0 - 1e-9)}
    near = replace(seen, prices=prices)
    policy = build.policy()
    assert (position.health_wad or 0) < policy.trigger_wad
    other = Next(feed="elsewhere", source="market", move=0.9, why="0.9 of it")
    mine = Next(feed="WETH", source="market", move=0.9, why="0.9 of it")
    assert faults(near, {position.id: policy}, [other], frozenset()) == ()
    assert [f.code for f in faults(near, {position.id: policy}, [mine], frozenset())] == ["predicted"]
