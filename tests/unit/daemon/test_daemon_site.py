"""A chain opened where its configuration has served before: what is wrong with a part costs that part alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
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
from keeper.daemon.wiring import Site, site
from keeper.errors import ConfigError
from keeper.executor import perp_bounded, verify
from keeper.seams import Venue
from keeper.venues.gmx_v2 import GmxV2
from tests import build
from tests.build import ALICE, WALLET
from tests.hedge_relief import SLOT
from tests.unit.executor.test_executor_seats import COMET, comet

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

    async def request(self, method: str, params: Any, **_: object) -> object:
        assert method == "eth_getCode"
        address, at = params
        return "0x01" if at == "latest" else "0x" + self.codes.get(address, b"").hex()


class Lens:
    """A camera that loads what a test lays out."""

    venues: Mapping[str, Venue]

    def __init__(self, *_: object) -> None:
        self.supplement: object = None

    async def load(self, settings: VenueSettings, block: object) -> Venue:
        return self.venues[settings.name]

    def reader(self, block: object) -> None:
        return None


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
