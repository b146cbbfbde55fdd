"""A price feed as its protocol reads it: Chainlink's interface, its bounds, and what it promised of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.model import Call
from keeper.seams import LogFilter
from keeper.sockets import Named
from keeper.words import Words


def selector(signature: str) -> bytes:
    """The four bytes that name a function."""
    return keccak(text=signature)[:4]


LATEST_ROUND = selector("latestRoundData()")
LATEST_ANSWER = selector("latestAnswer()")
DECIMALS = selector("decimals()")
DESCRIPTION = selector("description()")
AGGREGATOR = selector("aggregator()")
MIN_ANSWER = selector("minAnswer()")
MAX_ANSWER = selector("maxAnswer()")
TYPE_AND_VERSION = selector("typeAndVersion()")
DUAL = "DUALAGGREGATOR"
"""The aggregator of Chainlink's SVR feeds; their proxies describe themselves as the plain ones do ("ETH / USD")."""
ANSWER_UPDATED = "0x" + keccak(text="AnswerUpdated(int256,uint256,uint256)").hex()
"""AggregatorInterface.AnswerUpdated, of the aggregator behind the proxy; answer and round are indexed."""
HEARTBEAT_S = 86_400
DEVIATION_BPS = 100
"""Where nothing is known of a feed: a day, one per cent. Chainlink's slowest common figures, so that silence is not
called stale too early, and the next answer is not expected too late by more than a per cent."""
HEARTBEATS = {
    (1, "ETH / USD"): (3_600, 50),
    (1, "BTC / USD"): (3_600, 50),
    (1, "LINK / USD"): (3_600, 100),
    (1, "USDC / USD"): (82_800, 25),
    (1, "USDT / USD"): (86_400, 25),
    (1, "DAI / USD"): (3_600, 25),
    (8453, "ETH / USD"): (1_200, 15),
    (10, "ETH / USD"): (1_200, 15),
    (42161, "ETH / USD"): (86_400, 5),
}
"""(chain, description) -> (heartbeat in seconds, deviation threshold in bps); Chainlink's feed pages, 2026-11-21."""
_WORDS = 5
SIGN = 1 << 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One feed of one venue: what never changes while it is used."""

    id: str
    """The venue's identity of the price (``Reserve.feed``)."""
    symbol: str
    address: str
    """What the venue asks: a proxy, an adapter, or an aggregator."""
    expected_decimals: int
    """What the venue counts in."""
    source: str
    """Whose answer moves it: the aggregator behind; feeds of one source move together."""
    decimals: int | None = None
    """What it says; None when it does not say."""
    description: str = ""
    heartbeat_s: int = HEARTBEAT_S
    deviation_bps: int = DEVIATION_BPS
    assumed: bool = True
    """Heartbeat and deviation are the defaults, not this feed's own."""
    low: int | None = None
    """minAnswer of the aggregator: at it the feed is stuck, whatever the market does."""
    high: int | None = None
    svr: bool = False
    """Its update and the liquidation that it allows come in one bundle: nothing can be done after the cross."""
    bases: tuple[Feed, ...] = ()
    """What it computes its price from, where it names them; each in its own units."""

    @property
    def updates(self) -> LogFilter:
        """The logs that each new answer leaves."""
        return LogFilter(target=self.source, topics=(ANSWER_UPDATED,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one feed said at one block; ``why`` says why it said nothing."""

    feed: Feed
    units: int = 0
    updated_s: int = 0
    """0 where it tells no time."""
    round: int = 0
    timed: bool = False
    """It told a round, which has a time as soon as it is complete."""
    why: str = ""

    @property
    def price(self) -> float:
        """In dollars (or whatever it quotes in); 0 where it said nothing usable."""
        return max(0, self.units) / 10.0**self.feed.expected_decimals


def calls(feeds: Sequence[Feed]) -> tuple[Call, ...]:
    """Two calls a feed: adapters that compute a price know ``latestAnswer`` only."""
    return tuple(Call(target=f.address, data=d) for f in feeds for d in (LATEST_ROUND, LATEST_ANSWER))


def answers(feeds: Sequence[Feed], words: Words) -> tuple[Answer, ...]:
    """What ``calls`` answered."""
    return tuple(_answer(feed, words, 2 * i) for i, feed in enumerate(feeds))


def _answer(feed: Feed, words: Words, at: int) -> Answer:
    """One feed's. A computed price has no time and no round: each other answer counts as an update."""
    if words.ok[at] and words.count[at] >= _WORDS:
        number, units, _, updated_s, _ = words.uints(at)[:_WORDS]
        return Answer(feed=feed, units=signed(units), updated_s=updated_s, round=number, timed=True)
    if words.ok[at + 1] and words.count[at + 1]:
        units = words.uint(at + 1)
        return Answer(feed=feed, units=signed(units), round=units)
    return Answer(feed=feed, why="neither latestRoundData nor latestAnswer answers")


def signed(word: int) -> int:
    """A word as an int256."""
    return word - (word & SIGN) * 2


def probes(named: Sequence[Named]) -> tuple[Call, ...]:
    """What is asked once of each feed."""
    return tuple(
        Call(target=n.address, data=data) for n in named for data in (DECIMALS, DESCRIPTION, AGGREGATOR)
    )


def bound_probes(feeds: Sequence[Feed]) -> tuple[Call, ...]:
    """What is asked once of the aggregators behind: ``BOUND_PROBES`` calls each."""
    asked = (MIN_ANSWER, MAX_ANSWER, TYPE_AND_VERSION)
    return tuple(Call(target=f.source, data=data) for f in feeds for data in asked)


BOUND_PROBES = 3


def probed(chain_id: int, named: Sequence[Named], words: Words) -> tuple[Feed, ...]:
    """Feeds from the answers of ``probes``; what did not answer stays at its default, and is marked assumed."""
    found = []
    for i, n in enumerate(named):
        decimals = _number(words, 3 * i)
        said = _text(words.raw(3 * i + 1)) if words.ok[3 * i + 1] else ""
        source = _number(words, 3 * i + 2)
        name = said.upper().replace("SVR", "").replace("  ", " ").strip(" -()")
        known = HEARTBEATS.get((chain_id, name))
        heartbeat_s, deviation_bps = known or (HEARTBEAT_S, DEVIATION_BPS)
        found.append(
            Feed(
                id=n.id,
                symbol=n.symbol,
                address=n.address,
                expected_decimals=n.expected_decimals,
                source=to_checksum_address(source.to_bytes(32)[-20:]) if source else n.address,
                decimals=decimals,
                description=said,
                heartbeat_s=heartbeat_s,
                deviation_bps=deviation_bps,
                assumed=known is None,
                svr="SVR" in said.upper(),
            )
        )
    return tuple(found)


def bounds(feed: Feed, words: Words, at: int) -> tuple[int | None, int | None]:
    """(minAnswer, maxAnswer) of one aggregator; None where it has none, or none that could ever bind."""
    low, high = (signed(words.uint(i)) if words.ok[i] and words.count[i] else None for i in (at, at + 1))
    # newer aggregators keep the functions and answer the ends of their type
    return (low if low is not None and low > 1 else None), (
        high if high is not None and high < 2**95 - 1 else None
    )


def dual(words: Words, at: int) -> bool:
    """Whether one aggregator says that its updates are sold; one that does not say its type is plain."""
    return bool(words.ok[at]) and DUAL in _text(words.raw(at)).upper()


def _number(words: Words, i: int) -> int | None:
    return words.uint(i) if words.ok[i] and words.count[i] else None


def _text(raw: bytes) -> str:
    """An ABI string; unprintable characters are dropped."""
    if len(raw) < 64:
        return ""
    body = raw[64 : 64 + min(int.from_bytes(raw[32:64]), 64)]
    return "".join(c for c in body.decode("utf-8", "replace") if c.isprintable() and c != "\ufffd")
