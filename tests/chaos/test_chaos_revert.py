"""A node that reverts straight after a receipt still mines the next transaction of that sender."""

from __future__ import annotations

import pytest

from anvil.client import Chain
from anvil.node import Anvil, AnvilSettings

ROUNDS = 600


@pytest.mark.chaos
def test_revert__straight_after_a_receipt__then_the_next_of_that_sender_is_mined(anvil_binary: None) -> None:
    with Anvil(AnvilSettings(timestamp_s=1_750_000_000)) as node:
        chain = Chain(node.url)
        sender, receiver = chain.accounts[1:3]
        for _ in range(ROUNDS):
            before = chain.snapshot()
            for _ in range(6):
                chain.send(sender, receiver, b"")
            chain.revert(before)
            chain.receipt(chain.submit(sender, receiver, b""), timeout_s=5.0)
