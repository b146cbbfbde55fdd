"""What else planning needs, in the same photograph: the same batch, a second question only in need, and no harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from keeper.errors import Transient
from keeper.model import Block, Call, Means, Snapshot
from keeper.words import Words
from tests.aave_market import ALICE, market
from tests.aave_snapshot import WALLET, gathered, request
from tests.mandates import lender, mandate

pytestmark = pytest.mark.unit


class Beside:
    """Asks one balance in the batch, and once more when it is ``needy``."""

    def __init__(self, target: str, *, needy: bool = True) -> None:
        self.target, self.needy = target, needy
        self.decoded: list[int] = []

    def calls(self) -> tuple[Call, ...]:
        data = bytes.fromhex("70a08231") + bytes.fromhex(WALLET[2:]).rjust(32, b"\0")
        return (Call(target=self.target, data=data),)

    def decode(self, block: Block, words: Words, means: Means) -> Means:
        self.decoded.append(len(words))
        return replace(means, mandates=(mandate(),))

    def wants(self, snapshot: Snapshot) -> tuple[Call, ...]:
        assert snapshot.means.mandates
        return self.calls() if self.needy else ()

    def answered(self, snapshot: Snapshot, words: Words) -> Means:
        return replace(snapshot.means, lenders=(lender(cash=str(len(words))),))


def test_gather__supplement_at_peace__costs_no_round_trip_and_changes_the_digest() -> None:
    chain = market(wallet={"WETH": 5, "native": 1})
    venue = chain.venue()
    beside = Beside(venue.tokens[0].address, needy=False)
    plain, seen = gathered(request(chain, venue, ALICE, wallet=WALLET))
    chain.batches = 0
    told, _ = gathered(request(chain, venue, ALICE, wallet=WALLET, seen=seen, supplement=beside))
    assert chain.batches == 1
    assert beside.decoded == [1]
    assert told.means.mandates == (mandate(),)
    assert told.means.native_wei == plain.means.native_wei
    assert told.digest != plain.digest


def test_gather__supplement_in_need__asks_once_more_at_the_same_block() -> None:
    chain = market()
    venue = chain.venue()
    _, seen = gathered(request(chain, venue, ALICE))
    chain.batches = 0
    told, _ = gathered(request(chain, venue, ALICE, seen=seen, supplement=Beside(venue.tokens[0].address)))
    assert chain.batches == 2
    assert [x.cash_units for x in told.means.lenders] == [10**6]


def test_gather__second_question_unanswered__keeps_the_photograph() -> None:
    chain = market()
    venue = chain.venue()
    beside = Beside(venue.tokens[0].address)

    async def read(calls: Sequence[Call]) -> Words:
        if tuple(calls) == beside.calls():
            raise Transient("nobody answers")
        return await chain.read(calls)

    told, _ = gathered(request(chain, venue, ALICE, supplement=beside, read=read))
    assert len(told.positions) == 1
    assert (told.means.mandates, told.means.lenders) == ((mandate(),), ())
