"""Each answer that a feed gave while it was watched, by its aggregator's logs: blocks, rounds, habits. Pure.

A look at a block sees one answer; the logs between two looks show all of them, so that a fall that came and went is
seen, and a fall in five steps is not taken for one. From them, and from the rounds that a feed keeps, follows what an
unknown feed does: how long it is silent at the most, and from which move on it speaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from keeper.model import Call
from keeper.oracle.feeds import ANSWER_UPDATED, Answer, Feed, signed
from keeper.oracle.steps import GET_ROUND, PHASE
from keeper.words import Words

KEPT = 64
"""Answers remembered of each source."""
SEEDED = 25
"""Rounds read when a feed is first seen: a day of an hourly one."""
BACK_BLOCKS = 1_000
"""After a silence of ours no more blocks than this are searched: the answer itself is read anyway."""
SPOKEN_MIN = 8
"""Answers before their heartbeat from which a deviation threshold is learned."""
SILENT_MIN = 3
"""Silences of one length from which a heartbeat is learned."""
NEAR = 0.03
BEFORE = 0.9
"""An answer after less than this share of the longest silence came for its move, not for the heartbeat."""
DECILE = 10
HEARTBEAT_S_MIN = 60
SPAN_S = 6 * 3_600
"""Of a shorter time nothing is learned: in a storm three pauses of a minute are no heartbeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One answer of one aggregator."""

    source: str
    units: int
    round: int
    """The aggregator's own, without its proxy's phase."""
    at_s: int
    block: int | None = None
    """None where its round was read instead of its log."""


def query(feeds: Iterable[Feed], first: int, last: int) -> dict[str, object]:
    """``eth_getLogs`` for every answer of these feeds' aggregators in blocks ``first..last``."""
    sources = sorted({f.source for f in feeds})
    span = {"fromBlock": hex(max(first, last - BACK_BLOCKS)), "toBlock": hex(last)}
    return {"address": sources, "topics": [ANSWER_UPDATED], **span}


def parsed(logs: Sequence[Mapping[str, object]]) -> tuple[Update, ...]:
    """Those logs, oldest first. Raises ValueError, KeyError or IndexError for what is none."""
    found = []
    for log in logs:
        topics = log["topics"]
        if not isinstance(topics, list) or log.get("removed"):
            continue
        found.append(
            Update(
                source=str(log["address"]).lower(),
                units=signed(int(topics[1], 16)),
                round=int(topics[2], 16),
                at_s=int(str(log["data"])[:66], 16),
                block=int(str(log["blockNumber"]), 16),
            )
        )
    return tuple(found)


def seed_calls(answer: Answer) -> tuple[Call, ...]:
    """The rounds that a feed still keeps of its last day, oldest first; none of a price that is computed."""
    own = answer.round & (2**PHASE - 1)
    if answer.why or not answer.updated_s or not own:
        return ()
    ids = range(answer.round - min(own, SEEDED) + 1, answer.round + 1)
    return tuple(Call(target=answer.feed.address, data=GET_ROUND + n.to_bytes(32)) for n in ids)


def seeded(feed: Feed, words: Words) -> tuple[Update, ...]:
    """What ``seed_calls`` answered; a round that is not kept is left out."""
    found = []
    for i in range(len(words)):
        if words.ok[i] and words.count[i] >= 5 and words.uint(i, 3):
            number, units, _, at_s, _ = words.uints(i)[:5]
            round = number & (2**PHASE - 1)
            found.append(Update(source=feed.source.lower(), units=signed(units), round=round, at_s=at_s))
    return tuple(found)


class Rounds:
    """The last answers of each source, in order of their rounds."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Update, ...]] = {}

    def add(self, updates: Iterable[Update]) -> dict[str, tuple[Update, ...]]:
        """Take them in; by source those that are new, with the one before them in front where it is known."""
        fresh: dict[str, tuple[Update, ...]] = {}
        for u in updates:
            known = self._kept.get(u.source, ())
            if known and u.round <= known[-1].round:
                # a log of a round that was read already tells its block
                if u.block is not None and u.round == known[-1].round:
                    self._kept[u.source] = (*known[:-1], u)
                continue
            fresh[u.source] = (*(fresh.get(u.source) or known[-1:]), u)
            self._kept[u.source] = (*known, u)[-KEPT:]
        return fresh

    def of(self, feed: Feed) -> tuple[Update, ...]:
        """Oldest first."""
        return self._kept.get(feed.source.lower(), ())


def largest(steps: Sequence[Update]) -> tuple[float, Update] | None:
    """The largest single move, bps, of answers in order, and the answer that made it."""
    moves = [((b.units / a.units - 1.0) * 10_000, b) for a, b in pairwise(steps) if a.units > 0]
    return max(moves, key=lambda m: abs(m[0]), default=None)


def learned(feed: Feed, known: Sequence[Update]) -> Feed:
    """A feed of which nothing was known, with the habits that its answers show; never slower than assumed."""
    gaps = [
        (b.at_s - a.at_s, abs(b.units / a.units - 1.0) * 10_000) for a, b in pairwise(known) if a.units > 0
    ]
    longest = max((s for s, _ in gaps), default=0)
    span_s = known[-1].at_s - known[0].at_s if known else 0
    if not feed.assumed or longest < HEARTBEAT_S_MIN or span_s < SPAN_S:
        return feed
    silent = sum(s >= longest * (1.0 - NEAR) for s, _ in gaps)
    spoken = sorted(move for s, move in gaps if s < BEFORE * longest and move > 0.0)
    found = feed
    if silent >= SILENT_MIN and longest < feed.heartbeat_s:
        found = replace(found, heartbeat_s=longest)
    if silent >= SILENT_MIN and len(spoken) >= SPOKEN_MIN:
        # of a threshold's answers each moved at least so far; the lowest tenth may be a node that spoke too early
        threshold = max(1, int(spoken[len(spoken) // DECILE]))
        found = replace(found, deviation_bps=min(found.deviation_bps, threshold))
    return found
