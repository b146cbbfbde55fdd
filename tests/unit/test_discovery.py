"""A guarded account's other debts, looked for beyond the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from keeper.daemon import discovery as room
from keeper.daemon.discovery import Discovery
from keeper.daemon.facts import Guarded
from keeper.daemon.tick import Tick
from keeper.errors import ConfigError, Transient
from keeper.model import Block, Position, Unreadable
from keeper.seams import Severity
from keeper.venues import registry
from tests import build
from tests.build import USDC, WETH, collateral, debt
from tests.fakes import LendingDouble
from tests.loop_double import CHAIN, heard

pytestmark = [pytest.mark.unit]

OTHER = f"{build.KIND}:{build.CHAIN_ID}:elsewhere"
TICK = Tick(snapshot=build.snapshot(), outlooks=(), decisions=(), plans=(), refusals=())


class Elsewhere(LendingDouble):
    """Another market than the one configured."""

    @property
    def id(self) -> str:
        return OTHER


class Everywhere:
    """A camera that shows what the test lays out and remembers where it was pointed."""

    def __init__(self) -> None:
        self.positions: tuple[Position, ...] = ()
        self.unreadable: tuple[Unreadable, ...] = ()
        self.stale: dict[str, str] = {}
        self.pointed: list[Mapping[str, tuple[str, ...]]] = []
        self.venues: Mapping[str, object] = {}
        self.loads: list[object] = []
        self.fails: Exception | None = None

    async def photograph(
        self, venues: Mapping[str, object], accounts: Mapping[str, tuple[str, ...]], *rest: object
    ) -> object:
        if self.fails is not None:
            raise self.fails
        self.pointed.append(accounts)
        self.venues = venues
        return build.snapshot(self.positions, unreadable=self.unreadable)

    async def load(self, settings: Any, block: Block) -> object:
        self.loads.append(settings)
        if settings == "refused":
            raise ConfigError(("POOL_REVISION 99 is not known",))
        return Elsewhere()


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Everywhere:
    made = Everywhere()
    monkeypatch.setattr(room, "Camera", lambda *_: made)
    monkeypatch.setattr(registry, "known", lambda chain_id: ("refused", "usable"))
    return made


class Place:
    """What discovery reads of a site."""

    chain = CHAIN
    endpoints = None
    venues: Mapping[str, object] = {build.VENUE: LendingDouble()}
    guarded: Sequence[Guarded] = (
        Guarded(label="vault", policy=build.policy(), venue_id=build.VENUE, id=build.position_id()),
    )


def elsewhere(owed: str = "1000") -> Position:
    """The guarded account's position on the other market."""
    at_home = build.position([collateral(WETH, "1")], [debt(USDC, owed)] if owed else [])
    return replace(at_home, id=replace(at_home.id, key="elsewhere"))


HOME: dict[str, Any] = {build.VENUE: LendingDouble()}


@pytest.mark.asyncio
async def test_look__when_a_guarded_account_owes_elsewhere__then_warned_once_and_cleared_when_gone(
    camera: Everywhere,
) -> None:
    alarms = heard()
    discovery = Discovery(Place(), alarms)  # type: ignore[arg-type]
    guarded = build.position([collateral(WETH, "10")], [debt(USDC, "10000")])
    camera.positions = (guarded, elsewhere())
    await discovery.look(TICK, HOME)
    ((severity, code, subject, why),) = alarms.raised
    assert (severity, code, subject) == (Severity.WARNING, "unguarded", str(elsewhere().id))
    assert "health 1.66" in why
    assert "[[positions]]" in why
    assert camera.pointed == [{OTHER: (build.ALICE,), build.VENUE: (build.ALICE,)}]

    # what cannot be read is not gone
    camera.positions = (guarded,)
    camera.unreadable = (Unreadable(id=elsewhere().id, why="feed", since_block=1),)
    await discovery.look(TICK, HOME)
    assert alarms.cleared == []
    camera.unreadable = ()
    await discovery.look(TICK, HOME)
    assert alarms.cleared == [("unguarded", str(elsewhere().id))]


@pytest.mark.asyncio
async def test_look__when_there_is_only_collateral_elsewhere__then_nothing_is_threatened(
    camera: Everywhere,
) -> None:
    alarms = heard()
    camera.positions = (elsewhere(owed=""),)
    await Discovery(Place(), alarms).look(TICK, HOME)  # type: ignore[arg-type]
    assert alarms.raised == []


@pytest.mark.asyncio
async def test_look__when_no_block_was_seen__then_nothing_is_asked(camera: Everywhere) -> None:
    await Discovery(Place(), heard()).look(None, HOME)  # type: ignore[arg-type]
    assert (camera.loads, camera.pointed) == ([], [])


@pytest.mark.asyncio
async def test_look__when_a_known_market_cannot_be_used__then_the_others_are_still_looked_at(
    camera: Everywhere,
) -> None:
    discovery = Discovery(Place(), heard())  # type: ignore[arg-type]
    await discovery.look(TICK, HOME)
    await discovery.look(TICK, HOME)
    # loaded once, not every ten minutes
    assert camera.loads == ["refused", "usable"]
    assert set(camera.venues) == {OTHER, build.VENUE}


@pytest.mark.asyncio
async def test_look__when_a_known_market_changed__then_loaded_anew_next_time(camera: Everywhere) -> None:
    discovery = Discovery(Place(), heard())  # type: ignore[arg-type]
    camera.stale = {OTHER: "the pool was upgraded"}
    await discovery.look(TICK, HOME)
    camera.stale = {}
    await discovery.look(TICK, HOME)
    assert camera.loads == ["refused", "usable"] * 2


@pytest.mark.asyncio
async def test_look__when_a_configured_market_was_loaded_anew__then_the_new_one_is_used(
    camera: Everywhere,
) -> None:
    fresh: dict[str, Any] = {build.VENUE: LendingDouble()}
    await Discovery(Place(), heard()).look(TICK, fresh)  # type: ignore[arg-type]
    assert camera.venues[build.VENUE] is fresh[build.VENUE]


@pytest.mark.asyncio
async def test_look__when_the_chain_does_not_answer__then_what_stood_stands(camera: Everywhere) -> None:
    alarms = heard()
    discovery = Discovery(Place(), alarms)  # type: ignore[arg-type]
    camera.positions = (elsewhere(),)
    await discovery.look(TICK, HOME)
    camera.fails = Transient("nobody answers")
    with pytest.raises(Transient):
        await discovery.look(TICK, HOME)
    assert alarms.cleared == []
