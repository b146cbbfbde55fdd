"""Each way in which a price can be wrong has its name; an answer in order has none."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from eth_utils.address import to_checksum_address

from keeper.model import Token
from keeper.oracle import caps, faults, feeds, market, osm, sequencer
from keeper.oracle.caps import Cap
from keeper.oracle.feeds import Answer, Feed, Named
from keeper.oracle.market import Pool
from keeper.seams import Severity
from keeper.words import Words

pytestmark = pytest.mark.unit

NOW_S = 1_800_000_000
ETH = Feed(
    id="aave_v3:1:o:eth",
    symbol="WETH",
    address="0x" + "aa" * 20,
    expected_decimals=8,
    source="0x" + "bb" * 20,
    decimals=8,
    heartbeat_s=3_600,
    deviation_bps=50,
    assumed=False,
)
GOOD = Answer(feed=ETH, units=3_000 * 10**8, updated_s=NOW_S - 60, round=7)


def words(*answers: tuple[int, ...] | None) -> Words:
    """A batch's words; None is a call that reverted."""
    n = len(answers)
    body, offsets, at = b"", b"", 32 * n
    for answer in answers:
        data = b"".join(w.to_bytes(32) for w in answer or ())
        result = (int(answer is not None)).to_bytes(32) + (64).to_bytes(32) + len(data).to_bytes(32) + data
        offsets += at.to_bytes(32)
        at += len(result)
        body += result
    return Words([(32).to_bytes(32) + n.to_bytes(32) + offsets + body], [n])


def codes(now: Answer, before: Answer | None = None) -> list[str]:
    return [f.code for f in faults.of_answer(now, before, NOW_S)]


def test_answer__in_order__has_no_fault() -> None:
    assert codes(GOOD, replace(GOOD, round=6, units=2_990 * 10**8)) == []


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (replace(GOOD, why="neither answers"), "feed_unread"),
        (replace(GOOD, units=0), "feed_not_positive"),
        (replace(GOOD, units=-5), "feed_not_positive"),
        (replace(GOOD, updated_s=NOW_S - 5_401), "feed_stale"),
        (replace(GOOD, updated_s=NOW_S + 61), "feed_from_future"),
        (replace(GOOD, feed=replace(ETH, decimals=18)), "feed_decimals"),
        (replace(GOOD, feed=replace(ETH, low=3_000 * 10**8)), "feed_at_bound"),
        (replace(GOOD, feed=replace(ETH, high=3_000 * 10**8)), "feed_at_bound"),
    ],
)
def test_answer__one_thing_wrong__is_named(now: Answer, code: str) -> None:
    assert code in codes(now)
    assert code in faults.CODES


def test_answer__luna_at_its_minimum__is_critical_before_any_health_moves() -> None:
    luna = replace(ETH, symbol="LUNA", low=10_700_000)
    found = faults.of_answer(replace(GOOD, feed=luna, units=10_700_000), None, NOW_S)
    assert [(f.code, f.severity) for f in found] == [("feed_at_bound", Severity.CRITICAL)]
    assert not faults.of_answer(replace(GOOD, feed=luna, units=10_800_000), None, NOW_S)


def test_answer__late_by_less_than_half_a_heartbeat__is_not_stale() -> None:
    assert codes(replace(GOOD, updated_s=NOW_S - 5_400)) == []


def test_answer__of_a_round_without_a_time__then_it_is_stale_and_not_fresh_for_ever() -> None:
    begun, computed = feeds.answers(
        [ETH, ETH], words((7, 3_000 * 10**8, NOW_S, 0, 7), None, None, (3_000 * 10**8,))
    )
    assert codes(begun) == ["feed_stale"]
    assert "feed_stale" not in codes(computed)


def test_jump__ten_per_cent_in_one_update__is_said_once_per_round() -> None:
    before = replace(GOOD, round=6, units=3_400 * 10**8)
    assert codes(GOOD, before) == ["feed_jump"]
    assert codes(GOOD, replace(before, round=7)) == []


def test_apart__oracle_and_market__beyond_twice_the_threshold_is_said() -> None:
    assert not faults.apart(GOOD, 3_050.0)
    assert [f.code for f in faults.apart(GOOD, 2_900.0)] == ["oracle_apart"]
    assert not faults.apart(GOOD, None)
    assert not faults.apart(GOOD, 0.0)


def test_moved_alone__oracle_falls_and_market_does_not__is_named() -> None:
    before = replace(GOOD, round=6, units=3_090 * 10**8)
    assert [f.code for f in faults.moved_alone(before, GOOD, 3_089.0, 3_087.0)] == ["oracle_moved_alone"]
    assert not faults.moved_alone(before, GOOD, 3_089.0, 3_001.0)
    assert not faults.moved_alone(before, GOOD, None, 3_087.0)


def test_cap__march_2026__binds_by_what_the_oracle_read_low() -> None:
    cap = Cap(feed=ETH, ratio=1_228 * 10**15, ratio_max=1_193 * 10**15)
    (fault,) = caps.faults(cap)
    assert fault.code == "capo_capped"
    assert "2.85 %" in fault.why
    assert [f.code for f in caps.faults(replace(cap, ratio_max=1_230 * 10**15))] == ["capo_headroom"]
    assert not caps.faults(replace(cap, ratio_max=1_260 * 10**15))


def test_caps__from_words__grow_with_time_and_failures_are_left_out() -> None:
    asked = words((1_228 * 10**15,), (12 * 10**17,), (NOW_S - 100,), (10**14,), None, (1,), (1,), (1,))
    (cap,) = caps.caps([ETH, ETH], asked, NOW_S)
    assert cap.ratio_max == 12 * 10**17 + 100 * 10**14


def test_answers__from_words__are_signed_computed_ones_have_no_time_and_failures_are_told() -> None:
    rounds = (7, 2**256 - 5, 1, NOW_S, 7)
    asked = words(rounds, (9,), None, (3_000 * 10**8,), None, None, (7, 1), None)
    found = feeds.answers([ETH, ETH, ETH, ETH], asked)
    assert (found[0].units, found[0].round) == (-5, 7)
    assert (found[1].price, found[1].updated_s) == (3_000.0, 0)
    assert codes(found[1]) == ["feed_unlooked"]
    assert codes(replace(found[1], feed=replace(ETH, bases=(ETH,)))) == []
    assert faults.moved_bps(found[1], replace(found[1], units=2_700 * 10**8, round=2_700 * 10**8)) < -900
    assert all(a.why and not a.price for a in found[2:])


def test_probed__heartbeat_by_chain_and_description__else_assumed() -> None:
    def text(said: str) -> tuple[int, ...]:
        return 32, len(said), int.from_bytes(said.encode().ljust(32, b"\0"))

    named = [Named(id=str(i), symbol="X", address="0x" + "aa" * 20, expected_decimals=8) for i in range(3)]
    found = feeds.probed(
        1,
        named,
        words(
            (8,), text("ETH / USD"), (11,), (18,), text("BTC / USD SVR"), None, None, text("X / USD"), None
        ),
    )
    assert [(f.heartbeat_s, f.assumed, f.svr) for f in found] == [
        (3_600, False, False),
        (3_600, False, True),
        (86_400, True, False),
    ]
    assert [f.decimals for f in found] == [8, 18, None]
    assert found[0].source == to_checksum_address((11).to_bytes(20))


def test_bounds__ends_of_the_type__never_bind() -> None:
    assert feeds.bounds(ETH, words((1,), (2**95 - 1,)), 0) == (None, None)
    assert feeds.bounds(ETH, words((10_700_000,), (10**12,)), 0) == (10_700_000, 10**12)
    assert feeds.bounds(ETH, words(None, None), 0) == (None, None)


@pytest.mark.parametrize(
    ("answer", "code"),
    [((1, 0, NOW_S - 10_000, 1, 1), ""), ((1, 1, NOW_S - 10, 1, 1), "sequencer_down"),
     ((1, 0, NOW_S - 3_599, 1, 1), "sequencer_grace"), ((1, 2, NOW_S, 1, 1), "sequencer_unread"),
     ((1, 0, 0, 1, 1), "sequencer_unread"), (None, "sequencer_unread")],
)  # fmt: skip
def test_sequencer__each_answer__has_its_name(answer: tuple[int, ...] | None, code: str) -> None:
    found = sequencer.faults("base", sequencer.state(words(answer)), NOW_S)
    assert [f.code for f in found] == ([code] if code else [])


def test_stalled__ninety_minutes_without_a_block__warns_of_immediate_liquidations() -> None:
    assert [f.code for f in sequencer.stalled("arbitrum", 5_400, 0.25)] == ["sequencer_grace"]
    assert not sequencer.stalled("arbitrum", 250, 0.25)


def token(n: int, symbol: str, decimals: int) -> Token:
    return Token(
        chain_id=1, address=str(to_checksum_address(n.to_bytes(20))), symbol=symbol, decimals=decimals
    )


@pytest.mark.parametrize("first", [True, False])
def test_market__a_pool_at_3000__is_read_in_either_order_of_tokens(first: bool) -> None:
    weth, usdc = token(1 if first else 3, "WETH", 18), token(2, "USDC", 6)
    pool = Pool(address="0x" + "cc" * 20, base=weth, quote=usdc)
    raw = 3_000 * 10**6 / 10**18
    tick = math.floor(math.log(raw if first else 1 / raw) / math.log(1.0001))
    then, slot = 10**9, tick & (2**256 - 1)
    after = (then + tick * market.WINDOW_S) & (2**256 - 1)
    observed = (64, 160, 2, then, after, 2, 0, 0)
    (seen,) = market.seen([pool], words(observed, (1, slot, 0, 0, 0, 0, 1), (10**18,)))
    assert seen.price == pytest.approx(3_000, rel=2e-4)
    for bad in (
        words(None, (1, slot, 0, 0, 0, 0, 1), (1,)),
        words(observed, None, (1,)),
        words(observed, (1, slot, 0, 0, 0, 0, 1), (0,)),
        words((64, 160, 3, then, after, 2, 0, 0), (1, slot, 0, 0, 0, 0, 1), (1,)),
        words((64, 160, 2, 0, 2**55 - 1, 2, 0, 0), (1, slot, 0, 0, 0, 0, 1), (1,)),
        words(observed, (1, slot + 400 & (2**256 - 1), 0, 0, 0, 0, 1), (1,)),
    ):
        (seen,) = market.seen([pool], bad)
        assert seen.price is None
        assert seen.why


def test_delayed__from_storage__tells_the_next_price_and_when() -> None:
    times = (NOW_S - 1_800) << 176 | 3_600 << 160 | 0xABC
    valid = 1 << 128
    state = osm.delayed(0, times, valid | 3_000 * 10**18, valid | 2_100 * 10**18)
    assert (state.lowest, state.due_s) == (2_100 * 10**18, NOW_S + 1_800)
    (fault,) = osm.faults("ETH-A", state, NOW_S)
    assert fault.code == "osm_ahead"
    assert "-30.0 %" in fault.why
    assert "1800 s" in fault.why
    assert not osm.faults("ETH-A", replace(state, next=2_950 * 10**18), NOW_S)
    void = osm.delayed(1, times, valid | 1, 5)
    assert void.lowest is None
    assert [f.code for f in osm.faults("ETH-A", void, NOW_S)] == ["osm_stopped"]
