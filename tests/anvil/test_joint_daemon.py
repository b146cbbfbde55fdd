"""A loan on the real Aave v3.6, its hedge on GMX's double, one real daemon: the hedge goes, the loan is replanned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from anvil.client import Chain
from anvil.deploy_gmx_v2 import CODE_SIZE_MAX, size_of
from anvil.node import Anvil, AnvilSettings
from anvil.tools import ToolMissing, find_anvil
from keeper.daemon.pairs import KIND
from keeper.notify.control import ask
from tests.bench.figures import record
from tests.joint_stage import Joint, joint, joint_home
from tests.perp_stage import DEAD
from tests.venue_stage import armed, running

GENESIS_S = 1_750_000_000


@pytest.fixture
def node() -> Iterator[Anvil]:
    try:
        find_anvil()
    except ToolMissing as missing:
        pytest.skip(str(missing))
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S, code_size_max=CODE_SIZE_MAX)) as node:
        yield node


@pytest.fixture
def chain(node: Anvil) -> Iterator[Chain]:
    client = Chain(node.url)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def at(node: Anvil, chain: Chain) -> Joint:
    return joint(node, chain)


@pytest.mark.anvil
def test_hedge__taken_away_in_a_crash__the_loan_is_planned_anew_in_that_block(
    tmp_path: Path, node: Anvil, chain: Chain, at: Joint
) -> None:
    home = joint_home(tmp_path, node, at)
    armed(home, {"USDC": "50000"})
    with running(home) as block:
        for price in (1_900, 1_800, 1_700):
            at.moved(price)
            status = block()
        whole = asyncio.run(ask(home.settings.control_path, {"do": "status"}))
        calm = home.rescues(at.owner)
        # 1.176: below the loan's own trigger, above that of a covered loan
        low = at.health()
        at.wicked(3_000)
        gone = block()
        gone_at = chain.block().number
        block()
        after = at.health()
    assert calm == []
    assert 1.15 < low < 1.20
    assert size_of(chain, at.gmx, at.short) == DEAD
    assert home.rescues(at.owner) == ["repay"]
    assert after >= 1.34
    (planned,) = [i.plan for i in home.intents()]
    assert planned.block.number == gone_at
    rows = [e for e in home.entries(KIND) if e.block_number == gone_at]
    assert [r.data["replanned"] for r in rows] == ["repay"]
    assert "the short is gone" in rows[0].why
    assert ("hedge_lost", str(planned.key.position)) in home.alarms()
    # one view of both legs, before and after
    (joined,) = whole["joint"]
    assert {x["label"] for x in joined["legs"]} == {"loan", "hedge"}
    assert joined["worth_usd"] == pytest.approx(17_000 - 12_000 + 4_000 + 1_500, rel=0.01)
    (pair,) = status["pairs"]
    assert pair["covered"] is True
    assert gone["pairs"][0]["covered"] is False
    assert status["adl"][0]["winning"] is True
    replanned = sum(r.data["replanned"] is not None for r in rows)
    record(
        "joint_replans",
        replanned,
        unit="loans",
        bound="= 1",
        holds=replanned == 1,
        evidence="own_double",
        n=1,
    )
