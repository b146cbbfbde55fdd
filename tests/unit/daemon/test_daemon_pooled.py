"""Every sender knows whether its chain has a mempool: without one, gas money buys room for data."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keeper.clock import ManualClock
from keeper.config import ChainSettings
from keeper.daemon import hedges, senders
from keeper.daemon.senders import sending
from keeper.granting import _Counter
from keeper.journal.write import Journal
from keeper.notify.alarm import Alarms
from keeper.transaction.nobody import silent
from tests import plans
from tests.chain_double import ChainDouble, FakeSigner
from tests.unit.chain.bodies import chain_of
from tests.unit.daemon.test_daemon_hedges_dropped import written

pytestmark = [pytest.mark.unit, pytest.mark.parametrize("mempool", [True, False])]


class Told(ChainDouble):
    """A chain whose settings are known, as endpoints know theirs."""

    def __init__(self, chain: ChainSettings) -> None:
        super().__init__()
        self.chain = chain


def site(mempool: bool) -> Any:
    """A site of one chain, with nobody on it."""
    view = SimpleNamespace(snapshot=plans.snapshot())

    async def seen() -> object:
        return view

    camera = SimpleNamespace(seen=view.snapshot, supplement=None)
    chain = replace(chain_of(1), mempool=mempool, chain_id=plans.CHAIN_ID)
    return SimpleNamespace(
        chain=chain, endpoints=Told(chain), camera=camera, guarded=(), venues={}, view=seen
    )


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as opened:
        opened.adopt_nonce(plans.CHAIN_ID, plans.WALLET, 0, "test")
        yield opened


def test_sending__of_a_chain(journal: Journal, monkeypatch: pytest.MonkeyPatch, mempool: bool) -> None:
    async def signer(*_: object) -> FakeSigner:
        return FakeSigner()

    monkeypatch.setattr(senders, "live_signer", signer)
    alarms = Alarms(journal.record, ManualClock(1.0), plans.CHAIN_ID, lambda _: None)
    settings = cast(Any, SimpleNamespace(mode="live"))
    live = asyncio.run(sending(settings, site(mempool), journal, alarms)).live
    assert live is not None
    assert live.pooled is mempool


def test_hedge__of_a_chain(journal: Journal, monkeypatch: pytest.MonkeyPatch, mempool: bool) -> None:
    shot = plans.snapshot()

    class Facts:
        def __init__(self, *_: object) -> None:
            pass

        async def take(self, *_: object) -> tuple[Any, tuple[()]]:
            return shot, ()

    async def signer(*_: object) -> FakeSigner:
        return FakeSigner()

    for name, double in (("HedgeFacts", Facts), ("_signer", signer), ("hedge_policy", lambda *_: object())):
        monkeypatch.setattr(hedges, name, double)
    monkeypatch.setattr(hedges, "with_orders", lambda facts, *_: facts)
    alarms = Alarms(journal.record, ManualClock(1.0), plans.CHAIN_ID, lambda _: None)
    room = hedges.Hedges(written("one"), journal, alarms, ManualClock(1.0), silent)
    policy = SimpleNamespace(caps=SimpleNamespace(gas_usd_emergency=1))
    hedge = SimpleNamespace(
        journal=journal, venue=SimpleNamespace(id="gmx"), policy=policy, id=plans.position_id()
    )
    tick = SimpleNamespace(block=shot.block, snapshot=shot)
    loop = SimpleNamespace(parts=SimpleNamespace(chain=site(mempool).chain), last=tick)
    key = SimpleNamespace(short="one")
    kept = asyncio.run(room._signing(*cast(Any, (key, hedge, loop, ChainDouble()))))
    live = kept.hedger._live
    assert live is not None
    assert live.pooled is mempool


def test_approvals__of_a_chain(journal: Journal, mempool: bool) -> None:
    counter = _Counter(site(mempool), journal, FakeSigner(), silent)
    assert counter._live.pooled is mempool
