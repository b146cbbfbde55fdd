"""A listed token that takes a fee on its way, or calls its receiver back: named, and nothing moves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from anvil.compile import own_artifact
from tests.anvil_daemon import Night, night
from tests.executor_daemon import WAD, Owned, owned, terms

pytestmark = pytest.mark.anvil


class Toxic:
    """The debt's token, whose code goes bad and well again."""

    def __init__(self, there: Owned, symbol: str) -> None:
        self.chain = there.on.chain
        self.token = there.on.market.token(symbol).address
        self.plain = str(self.chain.rpc("eth_getCode", self.token, "latest"))
        self.fee = self._made(100, "0x" + "00" * 20)
        self.hook = self._made(0, there.executor.executor)

    def _made(self, fee_bps: int, called: str) -> str:
        original = "0x" + "0b" * 20
        self.chain.rpc("anvil_setCode", original, self.plain)
        made = self.chain.deploy(own_artifact("ToxicTokenDouble"), original, fee_bps, called)
        return str(self.chain.rpc("eth_getCode", made, "latest"))

    def turns(self, code: str) -> None:
        """From now on the token behaves so."""
        self.chain.rpc("anvil_setCode", self.token, code)


def not_sent(told: Night) -> str:
    """Why the newest plan was not sent."""
    lines = [json.loads(line) for line in told.guard.tail().splitlines() if '"not sent"' in line]
    return str(lines[-1]["why"])


def test_token__with_a_fee_or_a_callback__daemon_names_it_and_nothing_moves(tmp_path: Path) -> None:
    with owned(tmp_path) as there:
        on, executor, label = there.on, there.executor, there.label
        executor.configure(terms(executor))
        executor.grant("WETH", 8 * WAD)
        start = on.scenario.prices_usd8(-1)["WETH"] / 10**8
        executor.trade_to("WETH", "USDC", 500, start * 0.8)
        toxic = Toxic(there, "USDC")
        there.arm()
        with night(on) as told:
            before, nonce = on.actors.holdings(told.account(label)), told.nonce
            toxic.turns(toxic.fee)
            told.falls(WETH=0.8, wstETH=0.8)
            told.block()
            fee = not_sent(told)
            toxic.turns(toxic.hook)
            told.block()
            told.block()
            hook = not_sent(told)
            assert re.fullmatch(r"a transfer of USDC moves \d+ of \d+ units: it takes a fee .*", fee), fee
            assert "a transfer of USDC calls its receiver back, and is refused: CallbackCaller" in hook
            assert (told.nonce, executor.seq()) == (nonce, 0)
            assert on.actors.holdings(told.account(label))[0]["WETH"] >= before[0]["WETH"]
            assert "not_sent" in {e.data["code"] for e in told.entries("alarm", label)}
            # well again in the same night: what was refused was refused for this only
            toxic.turns(toxic.plain)
            told.block()
            told.block()
            told.block()
            assert told.rescues(label) == 1, told.guard.tail()
