"""Warmed once, the way of a first intent from its check to its broadcast compiles no statement."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.daemon.building import DAY_S
from keeper.journal import direct
from keeper.journal.warming import warm
from keeper.journal.write import Journal
from keeper.model import Attempt
from keeper.transaction.send import Live
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, WALLET, plan, snapshot

pytestmark = pytest.mark.unit


def test_warm__when_a_first_plan_is_sent__then_every_statement_is_compiled_already(tmp_path: Path) -> None:
    direct.ready.cache_clear()
    assert warm(ManualClock(1.0)) > 15
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as journal:
        journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        before = direct.ready.cache_info().misses
        journal.followed_intents(CHAIN_ID)
        journal.last_seqs()
        journal.spent_usd_each_since(-DAY_S)
        made = asyncio.run(Live(journal, ChainDouble(), FakeSigner()).act(plan(), snapshot()))
        assert isinstance(made, Attempt)
        assert direct.ready.cache_info().misses == before
