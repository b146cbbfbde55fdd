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
