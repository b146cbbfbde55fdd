"""One endpoint shows a health from before the fall, at the very block that the others show: it is said, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address

from keeper.clock import ManualClock
from keeper.daemon import chores
from keeper.daemon.camera import Camera
from keeper.daemon.facts import Guarded
from keeper.daemon.second_look import CODE, READ_S, SecondLook
from keeper.daemon.shadow import ShadowBook
from keeper.daemon.slow import LANES
from keeper.errors import Rejected
from keeper.model import Block, Call
from keeper.notify.alarm import REPEAT_CRITICAL_S, Alarms
from keeper.seams import Priority, Severity, Venue
from tests import build
from tests.aave_market import ALICE, BOB, FakeUser, market
from tests.plans import position_id
from tests.unit.chain.bodies import SILENT, Bench, FakeBody
from tests.virtual_time import run as in_virtual_time

pytestmark = pytest.mark.unit
POLICY = build.policy()
FALLEN, BEFORE = 2_000 * 10**8, 3_000 * 10**8
"""What WETH costs, and what it cost an hour ago."""


class Node(FakeBody):
    """An endpoint over a market of its own: a liar's is that of an earlier hour, at every block."""

    def __init__(self, weth: int = FALLEN) -> None:
        self.chain = market()
        self.chain.set(0, price=weth)
        self.chain.users[BOB] = FakeUser(collateral={0: 5 * 10**18}, debt={1: 5_000 * 10**6})
        self.refuses: object = None
        super().__init__(self._told)

    def _told(self, method: str, params: Sequence[Any]) -> object:
        if method != "eth_call":
            return "0x64"
        if self.refuses is not None:
            return self.refuses
        (calls,) = decode(["(address,bool,bytes)[]"], bytes.fromhex(str(params[0]["data"])[10:]))
        answers = [self.chain.answer(Call(target=to_checksum_address(t), data=d)) for t, _, d in calls]
        return "0x" + encode(["(bool,bytes)[]"], [[(a is not None, a or b"") for a in answers]]).hex()


class House:
    """Some endpoints, two guarded positions of one market, and what a person hears."""

    def __init__(self, venue: Venue, *nodes: Node) -> None:
        self.nodes, self.venue = nodes, venue
        self.bench = Bench(*nodes)
        self.clock = ManualClock(1_000.0)
        self.alarms = Alarms(lambda _: None, self.clock, 1)
        self.guarded = tuple(
            Guarded(label=name, policy=POLICY, venue_id=self.venue.id, id=self.venue.position_id(account))
            for name, account in (("alice", ALICE), ("bob", BOB))
        )
        self.block: Block = market().block(100)

    async def __aenter__(self) -> House:
        await self.bench.__aenter__()
        self.camera = Camera(self.bench.chain, self.bench.endpoints, None)
        # as ticks do before: what each account holds is known
        await self.camera.photograph(
            {self.venue.id: self.venue}, {self.venue.id: (ALICE, BOB)}, self.block, ShadowBook(), {}
        )
        for node in self.nodes:
            node.asked.clear()
        self.second = self.made()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.bench.__aexit__(*exc)

    def made(self) -> SecondLook:
        return SecondLook(self.bench.endpoints, self.camera, self.guarded, self.alarms)

    async def look(self) -> dict[str, str]:
        """What stands after one more look, by label."""
        self.block = replace(self.block, number=self.block.number + 5)
        await self.second.look(self.block, {self.venue.id: self.venue})
        labels = {str(g.id): g.label for g in self.guarded}
        return {labels.get(s.subject, s.subject): s.why for s in self.alarms.standing if s.code == CODE}


def run(work: Callable[[House], Coroutine[Any, Any, None]], *nodes: Node) -> None:
    venue = cast(Venue, market().venue())

    async def watched() -> None:
        async with House(venue, *nodes) as house:
            await work(house)

    in_virtual_time(watched())


@pytest.mark.parametrize("liar", [0, 1])
def test_look__when_one_shows_the_health_of_an_earlier_hour__then_critical_with_both_names_and_healths(
    liar: int,
) -> None:
    nodes = [Node(), Node()]
    nodes[liar].chain.set(0, price=BEFORE)

    async def work(house: House) -> None:
        told = await house.look()
        assert set(told) == {"alice", "bob"}
        why, names = told["alice"], "ab"
        assert f"alice at block {house.block.number} has health" in why
        low, high = why.index(f" by {names[1 - liar]}"), why.index(f" by {names[liar]}")
        assert low < high, "the lower one comes first"
        assert "out of the configuration" in why
        assert all(s.severity is Severity.CRITICAL for s in house.alarms.standing)

    run(work, *nodes)


def test_look__when_all_show_the_same__then_nothing_is_said_and_each_was_asked_once() -> None:
    async def work(house: House) -> None:
        for n in (1, 2):
            assert await house.look() == {}
            assert [node.times("eth_call") for node in house.nodes] == [n] * 3

    run(work, Node(), Node(), Node())


def test_look__when_they_agree_again__then_it_is_over_and_not_before() -> None:
    liar = Node(BEFORE)

    async def work(house: House) -> None:
        assert set(await house.look()) == {"alice", "bob"}
        liar.refuses = Rejected(-32000, "header not found")
        assert set(await house.look()) == {"alice", "bob"}, "who has no word takes nothing back"
        liar.refuses = None
        liar.chain.set(0, price=FALLEN)
        assert await house.look() == {}

    run(work, Node(), liar)


def test_look__when_it_stands__then_it_is_said_again_by_age_also_where_nobody_can_be_compared() -> None:
    liar, said = Node(BEFORE), []

    async def work(house: House) -> None:
        house.alarms._record = lambda entry: said.append(entry.subject)
        await house.look()
        assert len(said) == 2
        house.clock.advance(REPEAT_CRITICAL_S / 2)
        await house.look()
        assert len(said) == 2, "other figures of the same are not told again"
        liar.refuses = SILENT
        house.clock.advance(REPEAT_CRITICAL_S / 2)
        await house.look()
        assert len(said) == 4

    run(work, Node(), liar)


@pytest.mark.parametrize("refuses", [SILENT, Rejected(-32000, "header not found"), "0x", "0x12"])
def test_look__when_an_endpoint_lacks_the_block_or_answers_nothing__then_no_word_and_no_alarm(
    refuses: object,
) -> None:
    other = Node(BEFORE)

    async def work(house: House) -> None:
        other.refuses = refuses
        start_s = asyncio.get_running_loop().time()
        assert await house.look() == {}
        assert asyncio.get_running_loop().time() - start_s <= READ_S + 1

    run(work, Node(), other)


def test_look__when_only_one_is_configured__then_it_is_not_asked_and_what_stood_is_over() -> None:
    async def work(house: House) -> None:
        house.alarms.raise_alarm(Severity.CRITICAL, CODE, str(house.guarded[0].id), "as it was")
        house.second = house.made()
        assert await house.look() == {}
        assert house.nodes[0].times("eth_call") == 0

    run(work, Node())


def test_look__when_a_position_is_guarded_no_more__then_its_alarm_does_not_stand_for_ever() -> None:
    async def work(house: House) -> None:
        house.alarms.raise_alarm(Severity.CRITICAL, CODE, str(position_id("gone")), "as it was")
        house.second = house.made()
        assert await house.look() == {}

    run(work, Node(), Node())


def test_look__when_one_hides_a_debt_or_shows_another_asset__then_that_is_a_contradiction_too() -> None:
    liar = Node()
    users = liar.chain.users
    users[BOB] = replace(users[BOB], debt={})

    async def work(house: House) -> None:
        assert set(await house.look()) == {"bob"}
        users[BOB] = replace(users[BOB], debt={0: 10**16})
        assert set(await house.look()) == {"bob"}
        assert liar.times("eth_call") == 3, "asked once more for what the others did not show"

    run(work, Node(), liar)


def test_look__when_everybody_is_contradicted__then_some_are_named_and_the_same_ones_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keeper.daemon.second_look.TOLD_MAX", 1)

    async def work(house: House) -> None:
        for _ in range(2):
            assert set(await house.look()) == {"alice"}

    run(work, Node(), Node(BEFORE))


@pytest.mark.asyncio
async def test_job__when_it_is_due__then_the_loops_last_block_is_looked_at() -> None:
    seen: list[object] = []

    async def look(*args: object) -> None:
        seen.append(args)

    here = cast(Any, object.__new__(chores.Chores))
    here._second = SimpleNamespace(look=look)
    last = SimpleNamespace(block="newest")
    await here.do("second_look", SimpleNamespace(last=None, venues={}), None)
    await here.do("second_look", SimpleNamespace(last=last, venues={"v": 1}), None)
    assert seen == [("newest", {"v": 1})]


def test_look__when_it_asks__then_behind_everybody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(house: House) -> None:
        found: list[Priority] = []
        for endpoint in house.bench.endpoints.each:
            acquire = endpoint.lane.acquire

            async def noted(priority: Priority, weight: int = 1, acquire: Any = acquire) -> None:
                found.append(priority)
                await acquire(priority, weight)

            monkeypatch.setattr(endpoint.lane, "acquire", noted)
        await house.look()
        assert set(found) == {Priority.PAGE}

    run(work, Node(), Node())


def test_job__when_the_daemon_runs__then_it_is_due_every_minute_in_a_lane_of_its_own() -> None:
    assert chores.EVERY_S["second_look"] == 60.0
    assert ("second_look",) in LANES
