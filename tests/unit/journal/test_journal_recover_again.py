"""Recovery that is done again beside the ticks, where a disk took no note of it at the start."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keeper.clock import ManualClock
from keeper.journal.recover import recover
from keeper.journal.write import Journal
from keeper.model import Attempt, IntentState, Outcome
from keeper.transaction.fields import fields_of
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, WALLET, attempt, plan, position_id

pytestmark = pytest.mark.unit
S = IntentState


def signed(made: Attempt) -> Attempt:
    """With bytes that the chain double takes."""
    told = asyncio.run(FakeSigner().sign(fields_of(made, plan().call, CHAIN_ID)))
    return replace(made, raw=told.raw, hash=told.hash)


@pytest.mark.parametrize("asked", ["eth_getTransactionReceipt", "eth_sendRawTransaction"])
def test_recover__when_a_block_is_tended_while_it_asks__then_what_that_concluded_stands(
    tmp_path: Path, asked: str
) -> None:
    laid, late = plan(), plan(position=position_id("late"))

    class Tended(ChainDouble):
        async def request(self, method: str, params: Sequence[object], **how: Any) -> object:
            self.tend(method)
            return await super().request(method, params, **how)

        async def broadcast(self, raw: bytes, **how: Any) -> Any:
            self.tend("eth_sendRawTransaction")
            return await super().broadcast(raw, **how)

        def tend(self, method: str) -> None:
            found = journal.intent(laid.key)
            if method == asked and found is not None and found.state is S.SIGNED:
                journal.record_outcome(mined, "0xb1")
                journal.set_state(late.key, S.ABANDONED, "refused", 100)

    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as journal:
        journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        journal.open_intent(laid)
        sent = signed(attempt(laid.key))
        journal.add_attempt(sent, WALLET)
        journal.open_intent(late)
        mined = Outcome(
            key=laid.key, state=S.INCLUDED, block_number=103, tx_hash=sent.hash, gas_used=1,
            gas_price_wei=1, health_after_wad=None, promised_min_wad=None, surprise="",
        )  # fmt: skip
        asyncio.run(recover(journal, Tended(), ManualClock(), CHAIN_ID, WALLET))
        assert [i.state for i in journal.intents()] == [S.INCLUDED, S.ABANDONED]
