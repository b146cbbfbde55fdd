"""How long liquidations are held back after a sequencer stood is each market's own, read on chain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keeper.daemon.oracles import SENTINEL, WAIT, graces
from keeper.model import Call
from keeper.oracle import sequencer
from keeper.oracle.room import Room, Site
from keeper.oracle.sequencer import Grace, Sequencer
from keeper.venues.aave_v3 import AaveV3
from keeper.venues.aave_v3.sources import NO_SENTINEL_FROM
from keeper.words import Words
from tests.aave_market import encode_answers
from tests.aave_market import words as word

pytestmark = pytest.mark.unit
FEED = "0x" + "77" * 20


def market(n: int, revision: int = 10) -> AaveV3:
    facts = SimpleNamespace(id=f"aave_v3:{n}", provider=f"0x{n:040x}", revision=revision)
    return AaveV3(cast(Any, facts))


async def node(calls: Sequence[Call]) -> Words:
    """1 waits half an hour, 2 has no sentinel, 3 reverts, 4's sentinel reverts; 5 must not be asked."""
    answers: list[bytes | None] = []
    for call in calls:
        n = int(call.target, 16)
        assert n != 5
        if call.data == SENTINEL:
            answers.append(None if n == 3 else word(0 if n == 2 else 100 + n))
        else:
            assert call.data == WAIT
            answers.append(word(1_800) if n == 101 else None)
    return encode_answers(answers)


def test_graces__each_market__then_its_sentinels_own_word_counts_and_what_cannot_be_read_is_unknown() -> None:
    venues = {v.id: v for v in (*(market(n) for n in (1, 2, 3, 4)), market(5, NO_SENTINEL_FROM))}
    found = asyncio.run(graces(cast(Any, venues), cast(Any, node)))
    assert [g.wait_s for g in found] == [1_800, 0, None, None, 0]


def test_grace__when_the_sequencer_runs_again__then_each_market_is_told_by_its_own() -> None:
    told = (Grace(market="a", wait_s=1_800), Grace(market="b", wait_s=0), Grace(market="c", wait_s=None))
    (fault,) = sequencer.faults("base", Sequencer(up=True, since_s=1_000), 1_600, told)
    assert "a: in 1200 s, below health 0.95 at once" in fault.why
    assert "b: it has no grace" in fault.why
    assert "c: its grace could not be read" in fault.why
    (later,) = sequencer.faults("base", Sequencer(up=True, since_s=1_000), 3_000, told)
    assert "a: its grace has passed" in later.why
    # a market that waits two hours is told of for two hours
    long = (Grace(market="a", wait_s=7_200),)
    assert sequencer.faults("base", Sequencer(up=True, since_s=1_000), 6_000, long)
    assert not sequencer.faults("base", Sequencer(up=True, since_s=1_000), 6_000, told)


@pytest.mark.parametrize(("chain_id", "uptime", "asked"), [(1, None, 0), (1, FEED, 1), (8453, FEED, 1)])
def test_room__when_a_chain_has_an_uptime_feed__then_the_one_that_is_named_is_asked(
    chain_id: int, uptime: str | None, asked: int
) -> None:
    site = Site(chain="c", chain_id=chain_id, block_time_s=2.0, named=(), tokens={}, uptime=uptime)
    assert [c.target for c in Room(site, (), (), {}).calls()] == [FEED] * asked
