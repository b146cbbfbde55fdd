"""A chain opened where its configuration has served before: what is wrong with a part costs that part alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from eth_utils.address import to_checksum_address as checked

from keeper.clock import ManualClock
from keeper.config import Settings, VenueSettings, parse
from keeper.daemon import absent, wiring
from keeper.daemon.absent import Absent
from keeper.daemon.chores import Chores
from keeper.daemon.wiring import Site, site
from keeper.errors import ConfigError
from keeper.executor import load, perp_bounded, verify
from keeper.executor.desk import Desk
from keeper.journal.write import Journal
from keeper.model import Call
from keeper.seams import Venue
from keeper.venues.gmx_v2 import GmxV2
from keeper.words import Words
from tests import build
from tests.build import ALICE, BOB, WALLET
from tests.hedge_relief import SLOT
from tests.unit.executor.test_executor_desk import words
from tests.unit.executor.test_executor_seats import COMET, comet, morpho

pytestmark = pytest.mark.unit
BLOCK = build.block()
ORDERS = verify.executor_address(ALICE, perp_bounded.NAME, SLOT.subaccounts)
TEXT = f"""schema = 1
[wallet]
address = "{WALLET}"
[policies.default]
strategies = ["repay"]
[policies.perp]
strategies = ["reduce_perp"]
[[chains]]
name = "local"
chain_id = {build.CHAIN_ID}
[[chains.endpoints]]
url = "http://127.0.0.1:1"
[[venues]]
name = "loan"
kind = "compound_v3"
chain = "local"
provider = "{checked(COMET)}"
"""
PERP = f"""[[venues]]
name = "perp"
kind = "gmx_v2"
chain = "local"
provider = "{checked(SLOT.reader)}"
market = "{checked(SLOT.market)}:{SLOT.collateral.address}:short"
subaccount = "{ORDERS}"
[[positions]]
label = "short"
venue = "perp"
account = "{ALICE}"
policy = "perp"
[[positions]]
label = "alone"
venue = "loan"
account = "{WALLET}"
"""


class Town:
    """The endpoints of a chain, by what stands where."""

    def __init__(self, *names: str) -> None:
        """``names``: of the Executors whose factories are there."""
        self.codes = {verify.factory_address(n): verify.artifact(verify.factory_of(n)).runtime for n in names}
        self.owners: dict[str, str] = {}
        """By Executor; who is not in it answers nothing."""

    async def request(self, method: str, params: Any, **_: object) -> object:
        assert method == "eth_getCode"
        address, at = params
        return "0x01" if at == "latest" else "0x" + self.codes.get(address, b"").hex()

    async def read(self, calls: Sequence[Call]) -> Words:
        """What each Executor says: all that it is asked about is listed, and there are no pools."""
        return words(*(self._one(c) for c in calls))

    def _one(self, call: Call) -> Sequence[int] | None:
        owner = self.owners.get(call.target)
        told = {load.OWNER: [int(owner or "0", 16)], load.VENUES: [0] * 5}
        return None if owner is None else told.get(call.data, [1] * 7)


class Lens:
    """A camera that loads what a test lays out."""

    venues: Mapping[str, Venue]

    def __init__(self, _: object, town: Town, wallet: object) -> None:
        self.town = town
        self.supplement: object = None

    async def load(self, settings: VenueSettings, block: object) -> Venue:
        return self.venues[settings.name]

    def reader(self, block: object) -> load.Read:
        return self.town.read


@pytest.fixture(autouse=True)
def camera(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = GmxV2(replace(SLOT, executor=ORDERS))
    monkeypatch.setattr(Lens, "venues", {"loan": comet(), "perp": slot}, raising=False)
    monkeypatch.setattr(wiring, "Camera", Lens)


def opened(settings: Settings, town: Town, *, served: bool = True) -> Site:
    return asyncio.run(site(settings, settings.chains[0], cast(Any, town), BLOCK, served=served))


class Bell:
    """Codes that stand."""

    def __init__(self) -> None:
        self.rung: dict[tuple[str, str], str] = {}

    def raise_alarm(self, severity: object, code: str, subject: str, why: str) -> None:
        self.rung[code, subject] = why

    def clear(self, code: str, subject: str) -> None:
        self.rung.pop((code, subject), None)


async def _looked(here: Site, bell: Bell) -> list[int]:
    """The chains that are made anew by a look for what is absent."""
    renewed = list[int]()
    loop = SimpleNamespace(venues=here.venues, last=SimpleNamespace(block=here.block))
    chain = cast(Any, SimpleNamespace(chain=here.chain, alarms=bell, loop=loop))
    looking = asyncio.create_task(absent.look_for(lambda: (chain,), renewed.append, ManualClock()))
    for _ in range(20):
        await asyncio.sleep(0)
    looking.cancel()
    return renewed


def test_site__when_a_venue_loads_and_its_executor_is_not_proven__then_it_is_not_there_until_it_is() -> None:
    settings, town, bell = parse(TEXT + PERP, Path("keeper.toml")), Town(perp_bounded.NAME), Bell()
    with pytest.raises(ConfigError, match="no contract there"):
        opened(settings, town, served=False)
    here = opened(settings, town)
    (gone,) = [v for v in here.venues.values() if isinstance(v, Absent)]
    assert (gone.settings.name, len(here.venues)) == ("perp", 2)
    assert asyncio.run(_looked(here, bell)) == []
    assert "no contract there" in bell.rung["market_changed", gone.id]
    town.codes[ORDERS] = b"\x60"
    assert asyncio.run(_looked(here, bell)) == []
    assert "1 bytes of code" in bell.rung["market_changed", gone.id]
    town.codes[ORDERS] = verify.artifact(perp_bounded.NAME).runtime
    assert set(asyncio.run(_looked(here, bell))) == {0}
    assert not any(isinstance(v, Absent) for v in opened(settings, town).venues.values())


NAME = "CompoundV3Executor"
HERS, HIS = verify.executor_address(ALICE, NAME), verify.executor_address(BOB, NAME)
SOLD = "".join(
    f'[[positions]]\nlabel = "{label}"\nvenue = "loan"\naccount = "{account}"\n{executor}'
    for label, account, executor in (
        ("hers", ALICE, f'executor = "{HERS}"\n'),
        ("his", BOB, f'executor = "{HIS}"\n'),
        ("bare", WALLET, ""),
    )
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "j.sqlite", ManualClock(1.0)) as made:
        yield made


class Street(Town):
    """Two Executors, each its owner's."""

    def __init__(self) -> None:
        super().__init__(NAME)
        for executor, owner in ((HERS, ALICE), (HIS, BOB)):
            self.codes[executor], self.owners[executor] = verify.artifact(NAME).runtime, owner

    def spoil(self, what: str, executor: str = HIS) -> None:
        """Its code is another's for this endpoint, or it answers nothing."""
        if what == "code":
            self.codes[executor] = b"\x60"
        else:
            del self.owners[executor]


class Day:
    """The slow jobs of a chain that was opened; in safe mode, in which nothing else is asked."""

    def __init__(self, town: Street, journal: Journal) -> None:
        settings = replace(parse(TEXT + SOLD, Path("keeper.toml")), safe_mode=True)
        self.here, self.bell = opened(settings, town), Bell()
        self.chores = Chores(settings, self.here, journal, cast(Any, self.bell))

    def look(self) -> list[str]:
        """Whose Executors are used after one more."""
        loop = SimpleNamespace(last=SimpleNamespace(block=BLOCK), venues=dict(self.here.venues))
        asyncio.run(self.chores.do("executors", cast(Any, loop), None))
        return self.used

    @property
    def used(self) -> list[str]:
        desk = self.here.camera.supplement
        return [p.executor for p in desk.posts] if isinstance(desk, Desk) else []

    @property
    def said(self) -> str:
        return self.bell.rung.get(("executor_changed", "local"), "")


@pytest.mark.parametrize("what", ["code", "answers"])
def test_site__when_one_executor_is_not_proven_after_a_restart__then_it_alone_is_not_used_until_it_is(
    journal: Journal, what: str
) -> None:
    town = Street()
    town.spoil(what)
    settings = parse(TEXT + SOLD, Path("keeper.toml"))
    with pytest.raises(ConfigError, match=rf"^positions\.his\.executor {HIS}: "):
        opened(settings, town, served=False)
    day = Day(town, journal)
    assert ([g.label for g in day.here.guarded], day.used) == (["hers", "his", "bare"], [HERS])
    assert day.said.startswith(f"positions.his.executor {HIS}: ")
    assert day.said.endswith("; nothing is sold through it")
    said = day.said
    assert (day.look(), day.said) == ([HERS], said)
    whole = Street()
    town.codes, town.owners = whole.codes, whole.owners
    assert (day.look(), day.said) == ([HERS, HIS], "")


@pytest.mark.parametrize("what", ["code", "answers"])
def test_executors__when_one_is_said_to_be_wrong_twice__then_it_alone_goes_and_comes_back_at_once(
    journal: Journal, what: str
) -> None:
    town = Street()
    day = Day(town, journal)
    assert (day.used, day.said) == ([HERS, HIS], "")
    town.spoil(what)
    assert day.look() == [HERS, HIS]
    assert "stays so until the next look" in day.said
    assert day.look() == [HERS]
    assert "nothing is sold through it" in day.said
    # another doubt, said once, takes nothing; when it is over what was out and is well comes back with it
    town.spoil(what, HERS)
    assert day.look() == [HERS]
    whole = Street()
    town.codes, town.owners = whole.codes, whole.owners
    town.spoil(what, HERS)
    assert day.look() == [HIS]
    town.codes, town.owners = Street().codes, Street().owners
    assert (day.look(), day.said) == ([HERS, HIS], "")


def test_site__when_a_sale_of_one_could_never_be_made_after_a_restart__then_the_others_are_sold_through(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpriced = morpho(priced=False)
    seats = {BOB: unpriced.seat(BOB)}
    venue = comet()
    plain = type(venue).seat
    monkeypatch.setattr(
        type(venue), "seat", lambda self, owner: seats.get(owner) or plain(self, owner), raising=True
    )
    day = Day(Street(), journal)
    assert day.used == day.look() == day.look() == [HERS]
    assert "usd_feed is not set" in day.said
