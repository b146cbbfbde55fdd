"""Adapters looked through: what is behind a computed price, and what of it is the adapter's as well."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address

from keeper.model import Call
from keeper.oracle import caps, feeds, room
from keeper.oracle.feeds import Feed, selector
from keeper.oracle.room import Room, Site
from keeper.sockets import Named
from keeper.words import Words
from tests import build
from tests.aave_market import encode_answers

pytestmark = pytest.mark.unit

NOW_S = 1_800_000_000
USD = 10**8


def address(byte: str) -> str:
    return str(to_checksum_address("0x" + byte * 20))


ETH, AGGREGATOR, LST, COIN, BOTH, CAPPED, PEG = (
    address(byte) for byte in ("e1", "a9", "15", "c0", "b0", "ca", "9e")
)
Answers = Mapping[str, Mapping[str, bytes]]


def word(*numbers: int) -> bytes:
    return b"".join((n % 2**256).to_bytes(32) for n in numbers)


def at(where: str) -> bytes:
    return word(int(where, 16))


def text(said: str) -> bytes:
    return encode(["string"], [said])


def proxy(
    description: str, price: int, *, aggregator: str, age_s: int = 60, decimals: int = 8
) -> dict[str, bytes]:
    """A Chainlink proxy as mainnet's answer: an SVR one describes itself as a plain one does."""
    return {
        "decimals()": word(decimals),
        "description()": text(description),
        "aggregator()": at(aggregator),
        "latestRoundData()": word(2**64 + 5, price, 0, NOW_S - age_s, 5),
        "latestAnswer()": word(price),
    }


def adapter(description: str, price: int, **named: str) -> dict[str, bytes]:
    """A price that is computed: no round, no time, its feeds by name."""
    said = {"decimals()": word(8), "description()": text(description), "latestAnswer()": word(price)}
    return said | {f"{name}()": at(where) for name, where in named.items()}


def chain(kind: str = "DualAggregator 1.0.0", *, age_s: int = 60, price: int = 3_000 * USD) -> Answers:
    """ETH / USD by its proxy, and a staked token's capped ratio on it."""
    typed = {"typeAndVersion()": text(kind)} if kind else {}
    bounds = {"minAnswer()": word(10 * USD), "maxAnswer()": word(10**13)}
    ratio = {"getSnapshotRatio()": word(10**18)}
    return {
        ETH: proxy("ETH / USD", price, aggregator=AGGREGATOR, age_s=age_s),
        AGGREGATOR: typed | bounds,
        LST: adapter("Capped wstETH / ETH / USD", price * 124 // 100, BASE_TO_USD_AGGREGATOR=ETH) | ratio,
    }


class World:
    """What contracts answer; every other call reverts."""

    def __init__(self, answers: Answers) -> None:
        self._known = {
            (a, selector(name)): said for a, some in answers.items() for name, said in some.items()
        }

    async def read(self, calls: Sequence[Call]) -> Words:
        return encode_answers([self._known.get((c.target, c.data[:4])) for c in calls])

    def room(self, **named: str) -> Room:
        listed = tuple(Named(id=n, symbol=n, address=a, expected_decimals=8) for n, a in named.items())
        site = Site(chain="c", chain_id=1, block_time_s=12.0, named=listed, tokens={})
        return asyncio.run(room.load(site, self.read))

    def found(self, **named: str) -> list[tuple[str, str, str]]:
        """(code, subject, why) of one look."""
        here = self.room(**named)
        block = replace(build.block(100), timestamp_s=NOW_S)
        looked = here.look(block, asyncio.run(self.read(here.calls())), build.snapshot([], at=block), {})
        return [(f.code, f.subject, f.why) for f in looked.faults]


def one(answers: Answers, where: str) -> Feed:
    (feed,) = World(answers).room(it=where).feeds
    return feed


@pytest.mark.parametrize(
    ("kind", "sold"),
    [("DualAggregator 1.0.0", True), ("AccessControlledOCR2Aggregator 1.0.0", False), ("", False)],
)
def test_svr__when_the_aggregator_behind_says_so__then_the_feed_is_sold_whatever_it_is_called(
    kind: str, sold: bool
) -> None:
    assert one(chain(kind), ETH).svr is sold
    assert one(chain(kind), LST).svr is sold


def test_svr__when_only_the_description_says_so__then_that_counts_as_before() -> None:
    answers = dict(chain(""))
    answers[ETH] = proxy("ETH / USD SVR", 3_000 * USD, aggregator=AGGREGATOR)
    assert one(answers, ETH).svr
    assert one(answers, LST).svr


def test_adapter__when_it_names_its_base__then_it_speaks_when_the_base_does() -> None:
    for description, symbol in (("Capped wstETH / ETH / USD", LST), ("stETH / ETH / USD", BOTH)):
        answers = dict(chain())
        # a ratio that a staked token tells itself is no feed
        answers[BOTH] = adapter(description, 3_000 * USD, ASSET_TO_PEG=PEG, PEG_TO_BASE=ETH)
        answers[PEG] = {"decimals()": word(18)}
        feed = one(answers, symbol)
        assert (feed.source, feed.heartbeat_s, feed.deviation_bps, feed.assumed) == (
            AGGREGATOR,
            3_600,
            50,
            False,
        )
        assert [b.address for b in feed.bases] == [ETH]


def test_adapter__of_an_adapter__then_the_feed_at_the_end_is_its_base() -> None:
    answers = dict(chain())
    answers[CAPPED] = adapter("PT Capped wstETH", 2_900 * USD, ASSET_TO_USD_AGGREGATOR=LST)
    feed = one(answers, CAPPED)
    assert (feed.source, feed.svr, [b.address for b in feed.bases]) == (AGGREGATOR, True, [ETH])


def test_adapters__that_name_each_other_in_a_circle__then_the_room_is_made_all_the_same() -> None:
    answers = {
        LST: adapter("a", USD, BASE_TO_USD_AGGREGATOR=COIN),
        COIN: adapter("b", USD, BASE_TO_USD_AGGREGATOR=LST),
    }
    assert one(answers, LST).symbol == "it"


def test_caps__of_all_feeds__then_only_ratios_are_asked_for_theirs() -> None:
    here = World(chain()).room(eth=ETH, lst=LST)
    assert [f.id for f in here.capped] == ["lst"]
    assert caps.QUESTIONS[1] in {c.data for c in here.calls() if c.target == LST}
    assert feeds.LATEST_ROUND in {c.data for c in here.calls() if c.target == ETH}


def test_lid__when_an_adapter_tells_it__then_it_is_read_at_each_look_and_said_once_it_is_reached() -> None:
    dollar = address("d0")
    lid = {"getPriceCap()": word(104 * 10**6), "isCapped()": word(0)}
    answers = dict(chain())
    answers[dollar] = proxy("USDC / USD", USD, aggregator=dollar)
    answers[COIN] = adapter("Capped USDC / USD", USD, ASSET_TO_USD_AGGREGATOR=dollar) | lid
    here = World(answers).room(usdc=COIN, eth=ETH, lst=LST)
    assert ([f.id for f in here.lidded], [f.id for f in here.capped]) == (["usdc"], ["lst"])
    assert World(answers).found(usdc=COIN) == []
    answers[COIN] = adapter("Capped USDC / USD", 104 * 10**6, ASSET_TO_USD_AGGREGATOR=dollar)
    answers[COIN] |= lid | {"isCapped()": word(1)}
    ((code, subject, why),) = World(answers).found(usdc=COIN)
    assert (code, subject) == ("price_capped", "usdc")
    assert "more than 1.04" in why


def test_lid__when_it_is_not_told_or_no_longer_read__then_none_is_known() -> None:
    feed = World(chain()).room(eth=ETH).feeds[0]
    asked = encode_answers([None, word(1), word(0), word(1), word(-1), word(1), word(10**8), None])
    (lid,) = caps.lids([feed] * 4, asked)
    assert (lid.price, lid.binds) == (1.0, None)
    assert not caps.lid_faults(lid)


def test_base__when_it_is_days_old__then_it_is_stale_behind_an_adapter_that_still_answers() -> None:
    assert World(chain()).found(lst=LST) == []
    ((code, subject, why),) = World(chain(age_s=3 * 86_400)).found(lst=LST)
    assert (code, subject) == ("feed_stale", ETH)
    assert why.startswith("ETH / USD (behind lst): is 259200 s old, its heartbeat is 3600 s")


def test_base__when_it_stands_at_its_minimum__then_that_is_judged_in_its_own_units() -> None:
    # the adapter says 12.4 dollars, which is above the minimum of ten at which its base is stuck
    assert [(c, s) for c, s, _ in World(chain(price=10 * USD)).found(lst=LST)] == [("feed_at_bound", ETH)]
    stuck = World(chain(price=10 * USD)).found(eth=ETH, lst=LST)
    assert [(c, s) for c, s, _ in stuck] == [("feed_at_bound", "eth")], "what is listed itself is said once"


def test_base__of_a_capped_stablecoin_and_of_a_product__then_each_is_asked() -> None:
    answers = dict(chain())
    dollar, ratio = address("d0"), address("51")
    answers[dollar] = proxy("USDC / USD", USD, aggregator=dollar, age_s=4 * 86_400)
    answers[ratio] = proxy("STETH / ETH", 10**18, aggregator=ratio, age_s=5 * 86_400, decimals=18)
    answers[COIN] = adapter("Capped USDC / USD", USD, ASSET_TO_USD_AGGREGATOR=dollar)
    answers[BOTH] = adapter("stETH / ETH / USD", 3_000 * USD, ASSET_TO_PEG=ratio, PEG_TO_BASE=ETH)
    found = World(answers).found(usdc=COIN, steth=BOTH)
    assert {(c, s) for c, s, _ in found} == {("feed_stale", dollar), ("feed_stale", ratio)}


def test_base__that_no_longer_answers__then_its_price_is_unread() -> None:
    world = World(chain())
    here = world.room(lst=LST)
    block = replace(build.block(100), timestamp_s=NOW_S)
    gone = World({k: v for k, v in chain().items() if k != ETH})
    looked = here.look(block, asyncio.run(gone.read(here.calls())), build.snapshot([], at=block), {})
    assert ("feed_unread", ETH) in {(f.code, f.subject) for f in looked.faults}


def test_adapter__that_names_no_feed__then_it_is_said_not_to_be_looked_at() -> None:
    answers = {LST: adapter("GHO / USD", USD)}
    assert [(c, s) for c, s, _ in World(answers).found(gho=LST)] == [("feed_unlooked", "gho")]
    # a base that answers nothing is none
    answers[COIN] = adapter("Capped X / USD", USD, ASSET_TO_USD_AGGREGATOR=PEG)
    assert [(c, s) for c, s, _ in World(answers).found(x=COIN)] == [("feed_unlooked", "x")]
