"""What two endpoints say of a price: a sale for which it gave reason waits, and a trailing stop's best stays."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import cast

import pytest
from eth_abi.abi import encode

from keeper import exits
from keeper.chain.endpoints import Endpoints
from keeper.daemon.agreement import AgreedFacts, Agreement, _Asked, by_price, reason_of, with_agreed
from keeper.daemon.facts import Guarded
from keeper.daemon.outgoing import Outgoing
from keeper.daemon.rehearsal import Promise, Stage
from keeper.decision.memory import PositionMemory
from keeper.decision.standing import standing
from keeper.errors import Rejected, Transient
from keeper.model import (
    Amount,
    Attempt,
    Block,
    Call,
    Outcome,
    PlaceStop,
    Plan,
    ReducePerp,
    Refusal,
    Snapshot,
)
from keeper.seams import Reading, Seen, Venue
from keeper.units import WAD
from keeper.venues.gmx_v2 import GmxV2
from keeper.words import Words
from tests import perps, plans
from tests.perps import BLOCK, POLICY, USD, WETH, perp, position, slot

pytestmark = pytest.mark.unit

TRAILING = replace(POLICY, trail_pct=(("WETH", 50_000),), strategies=(exits.TRAIL, "reduce_perp"))
PART = ReducePerp(amount=Amount(token=WETH, units=10**18), size_usd=2_000 * USD, worst_price=1, fee_wei=1)
STOP = PlaceStop(amount=PART.amount, size_usd=1, trigger_price=2, worst_price=1, fee_wei=1)


class Market:
    """A venue whose whole reading is one word: the price of its index, at which everybody holds the same."""

    id = "gmx"

    def __init__(self, long: bool) -> None:
        self.long = long

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        return (Call(target="0x" + "11" * 20, data=b"\1\2\3\4"),)

    def decode(
        self, block: Block, accounts: Sequence[str], words: Words, seen: Seen, shadows: object
    ) -> Reading:
        at = position(perp(words.uint(0), self.long))
        nothing: Mapping[str, float] = {}
        return Reading(positions=(at,), unreadable=(), reserves=(), prices=nothing, seen=Seen(), again=False)


@dataclass
class Two:
    """Two endpoints, each with its own price, or silent."""

    prices: tuple[int | None, ...]
    asked: int = 0
    chain: object = field(
        default_factory=lambda: SimpleNamespace(
            multicall="0x" + "ca" * 20, endpoints=(1, 2), private_blocks=0, block_time_s=12.0
        )
    )
    hedge_s: float = 0.1

    async def words(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float, wait_s: float
    ) -> dict[str, object]:
        self.asked += 1
        return {
            name: Transient("silent")
            if price is None
            else "0x" + encode(["(bool,bytes)[]"], [[(True, word(price)), (True, word(1))]]).hex()
            for name, price in zip("abc"[:count], self.prices, strict=False)
        }

    async def request_each(self, *args: object, **kwargs: object) -> tuple[object, ...]:
        return ("0x", "0x")


def word(number: int) -> bytes:
    return number.to_bytes(32)


def agreement(two: Two, long: bool = True) -> Agreement:
    return Agreement(cast(Endpoints, two), stage(long))


def stage(long: bool = True) -> Stage:
    market = cast(Venue, Market(long))
    return Stage(venue_of=lambda _: market, seen=lambda _: Seen())


@pytest.mark.asyncio
@pytest.mark.parametrize("long", [True, False])
@pytest.mark.parametrize("reason", [1, -1, 0])
@pytest.mark.parametrize("moved", [-2, 2])
async def test_broken__another_endpoint_is_far__by_the_direction_that_gave_reason(
    long: bool, reason: int, moved: int
) -> None:
    ours = position(perp(2_000, long))
    two = Two((2_000, 2_000 * (100 + moved) // 100))
    # a long is helped by a rise: a sale for which a fall gave reason has none where the other one says higher
    better = moved > 0 if long else moved < 0
    falls = reason == 0 or (better if reason > 0 else not better)
    said = await agreement(two, long).broken(ours, BLOCK, reason)
    assert bool(said) is falls
    assert two.asked == 1
    assert await agreement(Two((2_000, 2_000 + 10)), long).broken(ours, BLOCK, reason) == ""


@pytest.mark.asyncio
async def test_broken__one_endpoint_is_silent__nothing_is_told_unless_the_other_one_contradicts() -> None:
    ours = position(perp(2_000))
    with pytest.raises(Transient, match="1 of 2"):
        await agreement(Two((2_000, None))).broken(ours, BLOCK, 1)
    assert "at 2200 by another" in await agreement(Two((None, 2_200))).broken(ours, BLOCK, 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("prices", [(1_800, 1_850, 1_801), (1_850, 1_800, 1_799), (1_800, None, 1_802)])
async def test_broken__one_of_three_is_stale_or_silent__the_other_two_suffice(
    prices: tuple[int | None, ...],
) -> None:
    ours, three = position(perp(1_800)), Two(prices)
    three.chain = SimpleNamespace(multicall="0x" + "ca" * 20, endpoints=(1, 2, 3))
    assert await agreement(three).broken(ours, BLOCK, 1) == ""
    assert three.asked == 2, "the third is asked only where the first two do not bear it out"
    three.prices = (1_800, 1_850, 1_851)
    assert "at 1850 by another" in await agreement(three).broken(ours, BLOCK, 1)


class Halves:
    """Endpoints of which each question may be answered by others: name -> its word, by what was asked."""

    hedge_s = 0.1
    chain = SimpleNamespace(multicall="0x" + "ca" * 20, endpoints=(1, 2))

    def __init__(self, told: Mapping[str, Mapping[str, object]]) -> None:
        self.told = told

    async def words(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float, wait_s: float
    ) -> dict[str, object]:
        return dict(self.told[cast(dict[str, str], params[0])["data"]])


@pytest.mark.asyncio
async def test_readings__of_two_questions__then_none_is_made_of_two_endpoints_words() -> None:
    gone = Transient("a: down")
    halves = Halves({"0x01": {"a": "a1", "b": "b1"}, "0x02": {"b": "b2", "c": "c2", "a": gone}})
    asked = _Asked(cast(Endpoints, halves), 2)
    first = [await asked.answer(at, {"to": "0x", "data": "0x01"}, 1.0) for at in (0, 1)]
    assert first == ["a1", "b1"]
    assert await asked.answer(1, {"to": "0x", "data": "0x02"}, 1.0) == "b2"
    with pytest.raises(Transient, match="a: down"):
        await asked.answer(0, {"to": "0x", "data": "0x02"}, 1.0)
    with pytest.raises(Transient, match="no further endpoint"):
        await asked.answer(2, {"to": "0x", "data": "0x01"}, 1.0)


@pytest.mark.asyncio
async def test_readings__when_an_endpoint_was_not_asked_a_second_question__then_it_has_no_word() -> None:
    halves = Halves({"0x01": {"a": "a1", "c": "c1"}, "0x02": {"a": "a2", "b": "b2"}})
    asked = _Asked(cast(Endpoints, halves), 2)
    assert await asked.answer(1, {"to": "0x", "data": "0x01"}, 1.0) == "c1"
    with pytest.raises(Transient, match="c: was not asked"):
        await asked.answer(1, {"to": "0x", "data": "0x02"}, 1.0)


def reduction(strategy: str = "reduce_perp") -> Plan:
    made = plans.plan(position=position(perp(2_000)).id, at=BLOCK)
    return replace(made, steps=(PART,), strategy=strategy)


def test_reason__by_strategy() -> None:
    names = ("reduce_perp", "close_perp", "trailing_stop", "take_profit", "floor")
    assert [reason_of(reduction(n)) for n in names] == [1, 1, 1, -1, 0]
    assert by_price(reduction("hedge"))
    assert by_price(replace(reduction("stop_on_venue"), steps=(STOP,))), (
        "a price made it up, and it closes at once"
    )
    assert by_price(replace(plans.plan(), strategy="close_position"))
    # a rescue by the keeper's own money, and a sale that the Executor itself judges on chain
    assert not by_price(plans.plan())
    assert not by_price(replace(plans.plan(), strategy="deleverage"))


class Kind:
    """Rehearsals that find nothing."""

    def __init__(self) -> None:
        self.stage = stage()

    async def of(self, plan: Plan, call: object) -> Promise:
        return Promise(broken="")


class Acting:
    """A sender that simulates."""

    def __init__(self, transport: Outgoing) -> None:
        self._transport = transport

    async def act(self, plan: Plan, snapshot: Snapshot) -> Attempt | Refusal:
        told = await self._transport.request("eth_call", [{"to": "0x", "data": "0x"}, "latest"])
        return cast(Attempt, told)


@pytest.mark.asyncio
async def test_outgoing__a_reduction_at_a_price_that_one_endpoint_made_up__is_not_sent() -> None:
    plan = replace(reduction(), call=Call(target="0x" + "00" * 20, data=b""))
    shot = replace(perps.world(perp(1_900))[0], positions=(position(perp(1_900)),))
    for prices, sent in (((1_900, 1_905), True), ((1_900, 2_000), False)):
        outgoing = Outgoing(cast(Endpoints, Two(prices)), cast(object, None), Kind(), cast(object, ()))  # type: ignore[arg-type]
        acting = outgoing.sender(Acting(outgoing))  # type: ignore[arg-type]
        if sent:
            assert await acting.act(plan, shot) == "0x"
            continue
        with pytest.raises(Rejected, match="WETH at 1900 as read, at 2000 by another endpoint"):
            await acting.act(plan, shot)


@dataclass
class Street:
    """Facts at a price."""

    price: int = 2_000

    async def take(self, block: Block, venues: object) -> tuple[Snapshot, tuple[Outcome, ...]]:
        at = position(perp(self.price))
        return replace(perps.world(perp(self.price))[0], positions=(at,)), ()

    def acted(self, plan: Plan) -> None:
        raise AssertionError("nothing acts here")


@dataclass
class Trail:
    """A trailing stop's marks over blocks, as decision keeps them."""

    facts: AgreedFacts
    street: Street
    two: Two
    kept: PositionMemory

    def block(self, read: int, elsewhere: int | None) -> int:
        """Dollars of the mark after a block that was read at one price, and said at another elsewhere."""
        self.street.price, self.two.prices = read, (read, elsewhere)
        (at,) = asyncio.run(self._taken()).positions
        marks = standing(TRAILING, self.kept, at, 0).trail_marks
        self.kept = replace(self.kept, marks=marks)
        return marks[0][2] // WAD if marks else 0

    async def _taken(self) -> Snapshot:
        """As the next block sees it: what is asked beside the one block is known in the other."""
        first, _ = await self.facts.take(BLOCK, {})
        for _ in range(20):
            await asyncio.sleep(0)
        again, _ = await self.facts.take(BLOCK, {})
        flagged = [exits.ALONE in p.row.flags for p in first.positions]
        assert flagged == [True] or again.positions == first.positions
        for _ in range(20):
            await asyncio.sleep(0)
        return again


def guarded() -> tuple[Guarded, ...]:
    id = position(perp(2_000)).id
    return (Guarded(label="long", policy=TRAILING, venue_id=GmxV2(slot()).id, id=id),)


def trail() -> Trail:
    two, street = Two((2_000, 2_000)), Street()
    facts = with_agreed(street, cast(Endpoints, two), stage(), guarded())
    assert isinstance(facts, AgreedFacts)
    return Trail(facts=facts, street=street, two=two, kept=PositionMemory(id=position(perp(2_000)).id))


def test_marks__a_price_that_one_endpoint_alone_reports_far_off__moves_none() -> None:
    on = trail()
    assert on.block(2_000, None) == 0, "not even the first"
    assert on.block(2_000, 2_001) == 2_000
    assert on.block(3_000, 2_001) == 2_000
    assert on.block(3_000, None) == 2_000
    assert [on.block(2_000 + n, 2_000) for n in (10, 19, 29, 39)] == [2_010, 2_019, 2_019, 2_019], (
        "nor drop by drop"
    )
    assert on.block(2_100, 2_095) == 2_100
    asked = on.two.asked
    assert on.block(1_500, None) == 2_100
    assert on.two.asked == asked, "a fall moves no mark, and asks nobody"


def test_with_agreed__nobody_trails_or_one_endpoint__the_same_facts() -> None:
    street, two = Street(), Two((1,))
    plain = tuple(replace(g, policy=POLICY) for g in guarded())
    assert with_agreed(street, cast(Endpoints, two), stage(), plain) is street
    two.chain = SimpleNamespace(endpoints=(1,))
    assert with_agreed(street, cast(Endpoints, two), stage(), guarded()) is street
