"""What revoke prints takes everything back: the daemon refuses by name, and a second revoke has nothing to say.

The same night tells that a token which the owner lists while the daemon runs is known without a restart.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.chain.head import latest
from keeper.cli import owner_grant
from keeper.cli.owner_grant import Wanted
from keeper.config import load
from keeper.daemon import desks
from keeper.daemon.chores import Chores
from keeper.daemon.wiring import Site, opened
from keeper.errors import ConfigError
from keeper.executor.judge import ready
from keeper.executor.safe import MULTI_SEND_CALL_ONLY, Safe, seen
from keeper.granting import grant, take_back
from keeper.model import Refusal, Side
from tests.executor_daemon import WAD, Owned, owned, terms
from tests.safe_owner import HASH, ZERO, deploy_safe

pytestmark = pytest.mark.anvil


def revoked(there: Owned) -> Wanted:
    """As ``keeper revoke --executor LABEL``."""
    return asyncio.run(owner_grant.revoked(load(there.on.config), there.label))


def said(there: Owned) -> Refusal | None:
    """What a sale would be refused with, as the daemon reads the Executor now, at a health below every trigger."""

    async def look() -> Refusal | None:
        settings = load(there.on.config)
        async with opened(settings, settings.chains[0]) as site:
            guarded = next(g for g in site.guarded if g.label == there.label)
            mandate = (await site.view()).snapshot.means.mandate(guarded.id)
            assert mandate is not None
            return ready(replace(mandate, block_number=mandate.block_number + 100), WAD)

    return asyncio.run(look())


class _Loop:
    """As much of a loop as a chore looks at."""

    def __init__(self, last: object, venues: object) -> None:
        self.last, self.venues = last, venues


class _Tick:
    def __init__(self, snapshot: object, block: object) -> None:
        self.snapshot, self.block = snapshot, block


class _Unspent:
    """A journal in which nothing was moved."""

    def spent_usd_each_since(self, since_s: float) -> dict[object, int]:
        return {}


class _Silent:
    """An alarm that remembers."""

    def __init__(self) -> None:
        self.raised: list[str] = []

    def raise_alarm(self, severity: object, code: str, subject: str, why: str) -> None:
        self.raised.append(code)

    def clear(self, code: str, subject: str) -> None:
        self.raised = [c for c in self.raised if c != code]


def test_revoke__signed_as_printed__leaves_nothing_and_the_daemon_refuses_by_name(tmp_path: Path) -> None:
    with owned(tmp_path) as there:
        on, executor = there.on, there.executor
        executor.configure(terms(executor))
        _own_approvals(there)
        _listing_while_running(there)
        executor.grant("WETH", 8 * WAD)
        executor.by_owner("setRouter(address,bool)", on.market.uniswap.router, True)
        on.chain.send(
            executor.owner,
            executor.token("USDC"),
            "approve(address,uint256)",
            executor.executor,
            10**9,
        )
        on.actors.mint("USDC", executor.executor, 7 * 10**6)
        # others that the configuration does not know, named by the Executor's own events
        other, quoter = executor.stranger, on.market.uniswap.quoter
        executor.by_owner("setBot(address,uint16,uint40)", other, 2_500, 2**40 - 1)
        executor.by_owner("setRouter(address,bool)", quoter, True)
        assert said(there) is None

        found = revoked(there)
        assert len(found.signings) == 7
        assert [s.signs for s in found.signings if other in s.signs] == [f"setBot({other}, 0, 0)"]
        assert [s.signs for s in found.signings if quoter in s.signs] == [f"setRouter({quoter}, false)"]
        told = "\n".join(f"{s.signs}: {s.meaning}" for s in found.signings)
        assert "now 8" in told
        assert "now 1000" in told
        body = _as_a_safe(there, found)
        assert len(list(body["transactions"])) == 7  # type: ignore[call-overload]
        codes = []
        for signing in found.signings:
            on.chain.send(executor.owner, signing.call.target, signing.call.data)
            refusal = said(there)
            codes.append(refusal.code if refusal is not None else "")
        # the grants first: what stops the bot by name comes with its removal and stays
        assert codes == ["", "", *["grant_expired"] * 5]
        again = revoked(there)
        assert again.signings == ()
        assert any("rescue(" in line and "7 USDC" in line for line in again.remains)
        assert executor.order(1, 1).seq == 0


def _as_a_safe(there: Owned, found: Wanted) -> dict[str, object]:
    """The file that a Safe's owners would import, were the owner this Safe."""
    chain = there.on.chain
    address = deploy_safe(chain, there.on.market.roles.actors[-1])

    async def ask(who: str) -> Safe:
        settings = load(there.on.config)
        async with opened(settings, settings.chains[0]) as site:
            return await owner_grant.safe_of(site, who)

    with pytest.raises(ConfigError, match="it is no Safe"):
        asyncio.run(ask(there.executor.owner))
    safe = asyncio.run(ask(address))
    assert safe.multi_send == MULTI_SEND_CALL_ONLY["1.5.0"]
    body = owner_grant.safe_file(replace(found, owner=address, safe=safe))
    sees = seen(safe, [s.call for s in found.signings])
    told = chain.call(address, HASH, sees.to, 0, sees.data, 1, 0, 0, 0, ZERO, ZERO, safe.nonce)
    assert dict(body["signersSee"])["safeTxHash"] == "0x" + bytes(told).hex()  # type: ignore[call-overload]
    return body


def _own_approvals(there: Owned) -> None:
    """The keeper's own wallet: one approval given, taken back, and nothing left to take."""
    settings = load(there.on.config)
    asyncio.run(grant(settings, {"USDC": "5"}, True))
    (row,) = asyncio.run(take_back(settings, True))
    assert (row["units"], row["now allowed"]) == ("0", "5")
    assert asyncio.run(take_back(settings, True)) == ()


async def _doubted(there: Owned, site: Site, chores: Chores, alarms: _Silent) -> None:
    """Other code there: said once it stays in use, said twice nothing is sold through it, until it is gone."""
    chain, at = there.on.chain, there.executor.executor
    code = chain.rpc("eth_getCode", at, "latest")

    async def look(standing: str) -> int:
        chain.rpc("anvil_setCode", at, standing)
        chain.rpc("evm_mine")
        block = await latest(site.endpoints)
        loop = _Loop(_Tick((await site.view(block)).snapshot, block), dict(site.venues))
        await chores.do("executors", loop, None)  # type: ignore[arg-type]
        return len(desks.listed(site.camera.supplement))

    assert [await look("0x00"), await look("0x00")] == [3, 0]
    assert "executor_changed" in alarms.raised
    assert await look(code) == 3
    assert "executor_changed" not in alarms.raised


def _listing_while_running(there: Owned) -> None:
    """WBTC is listed after the desk was made; the chore finds it."""

    async def run() -> None:
        settings = load(there.on.config)
        async with opened(settings, settings.chains[0]) as site:
            before = desks.listed(site.camera.supplement)
            there.executor.by_owner(
                "setAsset(bytes32,address,uint8,uint112,uint112)",
                there.executor.position,
                there.executor.token("WBTC"),
                0,
                10**8,
                0,
            )
            block = await latest(site.endpoints)
            snapshot = (await site.view(block)).snapshot
            alarms = _Silent()
            chores = Chores(settings, site, _Unspent(), alarms)  # type: ignore[arg-type]
            loop = _Loop(_Tick(snapshot, block), dict(site.venues))
            await chores.do("executors", loop, None)  # type: ignore[arg-type]
            after = desks.listed(site.camera.supplement)
            assert {(t, s) for _, t, s in after - before} == {
                (there.executor.token("WBTC"), int(Side.COLLATERAL))
            }
            # and the next photograph reads it
            again = (await site.view(block)).snapshot
            mandate = again.means.mandates[0]
            assert {a.token.symbol for a in mandate.assets} == {"WETH", "USDC", "WBTC"}
            # nothing is granted yet, and a fall is said by day
            assert set(alarms.raised) == {"capacity"}
            await _doubted(there, site, chores, alarms)

    asyncio.run(run())
