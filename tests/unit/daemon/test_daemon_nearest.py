"""Who stood nearest is read apart: a guess of the whole block's few, which costs it nothing and never replaces it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from keeper.daemon import camera, nearest, triage
from keeper.daemon.facts import Guarded, Lens
from keeper.daemon.foresight import Foresight
from keeper.daemon.nearest import Ranks
from keeper.daemon.shadow import ShadowBook
from keeper.errors import Transient
from keeper.model import Policy, PositionId, Snapshot
from keeper.seams import Priority
from keeper.units import UINT256_MAX, WAD
from tests import build
from tests.aave_market import ALICE, BOB, FakeUser
from tests.unit.test_camera import NONCE, TIP, Node, Place, block, run

pytestmark = pytest.mark.unit
IDS = tuple(build.position_id(build.to_checksum_address(f"0x{k:040x}")) for k in range(1, 41))


def seen(healths: dict[PositionId, int | None]) -> Snapshot:
    """Positions with those healths."""
    one = build.position([build.collateral(build.WETH, "10")], [build.debt(build.USDC, "8000")])
    return build.snapshot([replace(one, id=id, health_wad=wad) for id, wad in healths.items()])


def test_ranks__when_somebody_comes_near__then_the_nearest_are_read_apart_in_the_order_of_the_venue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nearest, "PAYS_ABOVE", len(IDS))
    monkeypatch.setattr(nearest, "NEAREST", 4)
    ranks = Ranks(dict.fromkeys(IDS, WAD), dict.fromkeys(IDS, build.VENUE))
    assert ranks.nearest is None
    far = dict.fromkeys(IDS, 5 * WAD)
    ranks.see(seen({**far, IDS[7]: 2 * WAD, IDS[3]: 3 * WAD, IDS[9]: None, IDS[1]: UINT256_MAX}))
    first = ranks.nearest
    assert first is not None
    assert {IDS[7].account, IDS[3].account} <= set(first.accounts[build.VENUE])
    order = [id.account for id in IDS]
    assert list(first.accounts[build.VENUE]) == sorted(first.accounts[build.VENUE], key=order.index)
    assert first.lines[build.VENUE].tolist() == [WAD] * 4
    # a change among the farther half asks nothing new; one of the nearer half does
    ranks.see(seen({**far, IDS[7]: 2 * WAD, IDS[3]: 3 * WAD, IDS[30]: 4 * WAD}))
    assert ranks.nearest is first
    ranks.see(seen({**far, IDS[7]: 2 * WAD, IDS[30]: WAD}))
    assert ranks.nearest is not None
    assert IDS[30].account in ranks.nearest.accounts[build.VENUE]


def test_ranks__when_everybody_is_in_one_request_anyway__then_nobody_is_read_apart() -> None:
    ranks = Ranks(dict.fromkeys(IDS, WAD), dict.fromkeys(IDS, build.VENUE))
    ranks.see(seen(dict.fromkeys(IDS, 2 * WAD)))
    assert ranks.nearest is None


def test_foresight__when_any_argument_differs__then_the_room_is_asked_anew() -> None:
    asked: list[tuple[object, ...]] = []

    def room(*args: object) -> int:
        asked.append(args)
        return len(asked)

    foresight = Foresight()
    assert foresight.ahead("decision", room, (1, 2), "memory") == 1
    assert foresight.now("decision", room, (1, 2), "memory") == 1
    assert foresight.now("decision", room, (1, 3), "memory") == 2
    assert foresight.now("decision", room, (1, 2), "another") == 3
    assert foresight.now("plan", room, (1, 2), "memory") == 4
    assert foresight.now("decision", lambda *_: 9, (1, 2), "memory") == 9
    foresight.forget()
    assert foresight.now("decision", room, (1, 2), "memory") == 5


class Parted(Node):
    """Answers the small reading as told."""

    small_fails = False
    small_hangs = False

    async def request(
        self,
        method: str,
        params: Sequence[Any],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        small = method == "eth_call" and ALICE[2:].lower() not in params[0]["data"]
        if small and self.small_fails:
            self.asked.append((method, params))
            raise Transient("not this one")
        if small and self.small_hangs:
            self.asked.append((method, params))
            await asyncio.Event().wait()
        for _ in range(0 if small or method != "eth_call" else 20):
            # a large answer takes longer
            await asyncio.sleep(0)
        return await super().request(method, params, priority=priority, timeout_s=timeout_s, weight=weight)


def guarded(place: Place, policy: Policy) -> tuple[Guarded, ...]:
    """ALICE, who is well, and BOB, who is not."""
    ids = [place.venue.position_id(a) for a in (ALICE, BOB)]
    return tuple(Guarded(label=id.account, policy=policy, venue_id=place.venue.id, id=id) for id in ids)


@pytest.mark.parametrize("how", ["well", "fails", "hangs", "broken"])
def test_few__however_the_small_reading_goes__then_they_are_those_of_the_whole_block(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(nearest, "PAYS_ABOVE", 1)
    monkeypatch.setattr(nearest, "NEAREST", 1)
    monkeypatch.setattr(camera, "AMPLE_PER_S", 0.0)

    async def work(place: Place) -> None:
        chain = place.node.chain
        chain.users = {
            ALICE: FakeUser(collateral={0: 10 * 10**18}, debt={1: 10**9}),
            BOB: FakeUser(collateral={0: 10**18}, debt={1: 2_200 * 10**6}),
        }
        node = place.camera._transport = Parted(chain)
        lens, venues = Lens(place.camera, guarded(place, build.policy())), {place.venue.id: place.venue}
        for number in (1, 2):
            await lens.look(block(number), venues, ShadowBook())
        node.small_fails, node.small_hangs = how == "fails", how == "hangs"
        node.asked.clear()
        thought: list[Snapshot] = []

        def think(shown: Snapshot) -> None:
            thought.append(shown)
            if how == "broken":
                raise ZeroDivisionError

        few = await lens.few(block(3), venues, lambda _: frozenset(), think)
        assert few is not None
        assert [p.id.account for p in few.positions] == [BOB]
        # one small question and one large one at the same block; the rest as ever
        reads = [params for name, params in node.asked if name == "eth_call"]
        assert sorted(ALICE[2:].lower() in p[0]["data"] for p in reads) == [False, True]
        assert {p[1]["blockHash"] for p in reads} == {block(3).hash}
        assert (node.count(NONCE), node.count(TIP), node.under_way) == (1, 1, 0)
        assert bool(thought) == (how in ("well", "broken"))
        if how == "well":
            assert few is thought[0]
        plain = Lens(place.camera, lens.guarded)
        assert few == await plain.few(block(3), venues, lambda _: frozenset())

    assert run(work) == []


@pytest.mark.parametrize("why", ["few requests a second", "more than one request", "no screen"])
def test_few__when_a_small_reading_would_cost_more_than_it_gives__then_it_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(nearest, "PAYS_ABOVE", 1)
    monkeypatch.setattr(nearest, "NEAREST", 1)
    monkeypatch.setattr(camera, "AMPLE_PER_S", 1e9 if why == "few requests a second" else 0.0)
    if why == "more than one request":
        monkeypatch.setattr(camera, "SMALL_CALLS", 3)

    async def work(place: Place) -> None:
        chain = place.node.chain
        chain.users = {
            ALICE: FakeUser(collateral={0: 10 * 10**18}, debt={1: 10**9}),
            BOB: FakeUser(collateral={0: 10**18}, debt={1: 2_200 * 10**6}),
        }
        lens, venues = Lens(place.camera, guarded(place, build.policy())), {place.venue.id: place.venue}
        for number in (1, 2):
            await lens.look(block(number), venues, ShadowBook())
        place.node.asked.clear()
        if why == "no screen":
            blind = Blind(place.venue)
            assert await lens.few(block(3), {place.venue.id: blind}, lambda _: frozenset()) is None  # type: ignore[dict-item]
        else:
            few = await lens.few(block(3), venues, lambda _: frozenset())
            assert few is not None
            assert [p.id.account for p in few.positions] == [BOB]
        assert place.node.count("eth_call") == 1

    assert run(work) == []


class Blind:
    """A venue that can do everything but screen."""

    def __init__(self, venue: object) -> None:
        self._venue = venue

    def __getattr__(self, name: str) -> object:
        if name in ("below", "words_of"):
            raise AttributeError(name)
        return getattr(self._venue, name)


def test_ranks__when_more_always_come_first_than_are_few__then_nobody_is_read_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nearest, "PAYS_ABOVE", len(IDS))
    for many, apart in ((nearest.FEW_MAX, True), (nearest.FEW_MAX + 1, False)):
        lines = {id: triage.EVERY_HEALTH if k < many else WAD for k, id in enumerate(IDS)}
        ranks = Ranks(lines, dict.fromkeys(IDS, build.VENUE))
        ranks.see(seen(dict.fromkeys(IDS, 2 * WAD)))
        assert (ranks.nearest is not None) == apart


def test_few__when_the_nonce_is_not_told__then_the_block_is_unread_and_nothing_is_left_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nearest, "PAYS_ABOVE", 1)
    monkeypatch.setattr(nearest, "NEAREST", 1)
    monkeypatch.setattr(camera, "AMPLE_PER_S", 0.0)

    async def work(place: Place) -> None:
        lens, venues = Lens(place.camera, guarded(place, build.policy())), {place.venue.id: place.venue}
        for number in (1, 2):
            await lens.look(block(number), venues, ShadowBook())
        place.node.fails = {NONCE}
        with pytest.raises(Transient, match=NONCE):
            await lens.few(block(3), venues, lambda _: frozenset())
        assert place.node.under_way == 0

    assert run(work) == []
