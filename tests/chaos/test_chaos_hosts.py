"""One key on two hosts in small: noticed, nothing doubled one action at a time; and where that promise ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from keeper.chain.endpoints import Endpoints
from keeper.chain.head import latest
from keeper.clock import SystemClock
from keeper.journal import recover
from keeper.journal.write import Journal
from keeper.model import Attempt, Plan
from keeper.transaction import nonce
from keeper.transaction.send import Live
from tests.chaos import two_hosts
from tests.chaos.ground import Ground, ground, plan_of, settings_of, signer, snapshot_at
from tests.chaos.two_hosts import races
from tests.keystores import address_of
from tests.plans import CHAIN_ID, position_id

pytestmark = [pytest.mark.anvil, pytest.mark.usefixtures("anvil_binary")]


def test_two_hosts__when_started_on_one_key__then_a_foreign_nonce_stops_one_and_nothing_is_doubled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # within how many seconds is the campaign's figure; here the machine may be busy
    monkeypatch.setattr(two_hosts, "PAUSED_S_MAX", 90.0)
    with ground(seed=6, history=True) as on:
        found = races(on, 3)
    assert found.failure == ""
    assert found.counts["races"] == 3
    assert found.counts["doubles"] == 0
    assert found.counts["noticed"] == 3
    assert found.counts["actions"] >= 3


def test_two_hosts__when_a_foreign_nonce_is_not_looked_for__then_the_races_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def trusting(known: int | None, latest: int, address: str) -> int:
        return max(known or 0, latest)

    monkeypatch.setattr(nonce, "agreed", trusting)
    monkeypatch.setattr(Journal, "taken_nonce", lambda *_: None)
    # a host that starts after the other's first block would find it while it recovers
    monkeypatch.setattr(recover, "_reconcile", lambda *_: [])
    monkeypatch.setattr(two_hosts, "PAUSED_S_MAX", 2.0)
    with ground(seed=6, history=True) as on:
        assert races(on, 1).counts["noticed"] == 0


def test_two_hosts__when_two_actions_cross_before_either_is_mined__then_one_may_be_done_twice() -> None:
    """Where the promise ends: two nonces for one action. Only a number kept on the chain could refuse the second."""
    with ground(seed=7) as on:
        ours, theirs = asyncio.run(_crossed(on))
        on.chain.rpc("anvil_dropAllTransactions")
        on.chain.rpc("eth_sendRawTransaction", "0x" + ours[0].raw.hex())
        on.chain.rpc("evm_mine")
        on.chain.rpc("eth_sendRawTransaction", "0x" + theirs[1].raw.hex())
        on.chain.rpc("evm_mine")
        assert (on.times(1), on.times(2)) == (2, 0)
        # and no more than twice: both nonces are used
        for raw in (ours[1].raw, theirs[0].raw):
            with pytest.raises(Exception, match="nonce too low"):
                on.chain.rpc("eth_sendRawTransaction", "0x" + raw.hex())


async def _crossed(on: Ground) -> tuple[list[Attempt], list[Attempt]]:
    """One host does 1 and 2, the other 2 and 1, of two positions, from the same block."""
    clock, address, made = SystemClock(), address_of(), []
    endpoints = await Endpoints.open(settings_of(on.node.url), clock, lambda event: None)
    try:
        block = await latest(endpoints)
        for host, order in (("a", (1, 2)), ("b", (2, 1))):
            with Journal.open(on.folder / f"{host}.sqlite", clock) as journal:
                journal.adopt_nonce(CHAIN_ID, address, 0, "accepted when this host was set up")
                live = Live(journal, endpoints, signer())
                taken = await snapshot_at(endpoints, block)
                made.append(
                    [await live.act(_of(action, plan_of(1, block, action)), taken) for action in order]
                )
    finally:
        await endpoints.close()
    assert all(isinstance(a, Attempt) for pair in made for a in pair)
    return made[0], made[1]  # type: ignore[return-value]


def _of(action: int, made: Plan) -> Plan:
    """The plan as one of a position of its own."""
    return replace(made, key=replace(made.key, position=position_id(f"vault {action}")))
