"""A rehearsed payload that changes what a market is known by is judged by the market as it would then be known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from eth_abi.abi import decode, encode

from keeper.daemon.trial import Read, Trial
from keeper.errors import ConfigError
from keeper.governance.timelocks import Queued, Timelock
from keeper.model import Block, Call, PositionId, Unreadable
from keeper.seams import Reading, Seen, Venue
from keeper.units import WAD
from keeper.words import Words
from tests import build
from tests.build import USDC, WETH, collateral, debt

pytestmark = pytest.mark.unit

LEAD, RATIO = b"lead", b"ratio"


class Vault:
    """Knows its ratio from when it was loaded, as Maker does; one of another ratio is stale and unreadable."""

    kind, id = "vault", "vault:1:x"
    tokens = ()
    spender = build.ALICE

    def __init__(self, ratio: int) -> None:
        self.ratio = ratio

    def position_id(self, account: str) -> PositionId:
        return build.position_id(account)

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        return (Call(target=build.ALICE, data=RATIO),)

    def decode(
        self, block: Block, accounts: Sequence[str], words: Words, seen: Seen, shadows: Mapping[str, object]
    ) -> Reading:
        ratio = words.uint(0)
        stale = "" if ratio == self.ratio else f"ratio {self.ratio} became {ratio}"
        threshold = f"{ratio / 100:.2f}"
        position = build.position([collateral(WETH, "10", threshold=threshold)], [debt(USDC, "8000")])
        lost = Unreadable(id=position.id, why=stale, since_block=1)
        return Reading(
            positions=() if stale else (position,),
            unreadable=(lost,) if stale else (),
            reserves=(),
            prices={},
            seen=Seen(stale=stale),
            again=False,
        )


class Node:
    """The ratio is 80 %, and 60 % once the payload was run before."""

    async def request(self, method: str, params: Any, **_: Any) -> object:
        rows = decode(["(address,bool,bytes)[]"], bytes.fromhex(params[0]["data"][10:]))[0]
        ratio = 60 if any(data == LEAD for _, _, data in rows) else 80
        found = [(True, ratio.to_bytes(32)) for _ in rows]
        return "0x" + encode(["(bool,bytes)[]"], [found]).hex()


class Film:
    def seen(self, venue_id: str) -> Seen:
        return Seen()


async def loaded(venue_id: str, read: Read) -> Venue:
    words = await read((Call(target=build.ALICE, data=RATIO),))
    return cast(Venue, Vault(words.uint(0)))


async def refused(venue_id: str, read: Read) -> Venue:
    raise ConfigError(("a release that nobody knows",))


QUEUED = Queued(
    timelock=Timelock(kind="aave_payloads", address=build.ALICE),
    key="1",
    until_s=2**40,
    eta_s=0,
    actions=(),
    run=Call(target=build.ALICE, data=LEAD),
)


def tried(load: object) -> tuple[dict[PositionId, Any], str]:
    trial = Trial(
        cast(Any, Node()), build.ALICE, cast(Any, Film()), {Vault.id: (build.ALICE,)}, cast(Any, load)
    )
    venues = cast(Mapping[str, Venue], {Vault.id: Vault(80)})
    return asyncio.run(trial.run(QUEUED, build.block(), venues))


def test_trial__when_a_payload_cuts_a_vaults_ratio__then_its_health_is_counted_by_the_market_as_it_will_be() -> (
    None
):
    found, why = tried(loaded)
    (effect,) = found.values()
    assert (effect.before_wad, effect.after_wad, why) == (2 * WAD, 15 * WAD // 10, "")


def test_trial__when_the_changed_market_cannot_be_loaded__then_it_is_unknown_and_no_verdict() -> None:
    found, why = tried(refused)
    assert found == {}
    assert "a release that nobody knows" in why
