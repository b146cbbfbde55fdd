"""A night with an aggregator on loopback: its honest offer is taken, its lie refused and the pools sold to.

One daemon and one chain for both. The aggregator's contract takes and pays what its calldata says, so that only
the calldata tells the honest from the liar.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from anvil.abi import encode_call
from anvil.compile import compile_unit
from anvil.units import Unit
from keeper.model import Deleverage, Source, Step
from tests.anvil_daemon import MINED, Night, night
from tests.executor_daemon import WAD, Owned, changed, owned, terms

pytestmark = pytest.mark.anvil
ROOT = Path(__file__).parents[2]
DESK = Unit(name="desk", base_dir=ROOT, contracts=(("contracts/mocks/HostileRouter.sol", "HostileRouter"),))
SWAP = "swap(address,uint256,address,uint256)"
RICH_USDC = 10**12
DEALER = "0x" + "7f" * 20
"""Who is paid what the contract takes."""
GAIN_PCT, LIE_PCT = 101, 95
"""What the honest one pays of the oracle's worth, and what the liar really pays; the owner's bound is 99."""


class Desk:
    """Answers as 0x does; what it writes into its calldata is another matter."""

    def __init__(self, router: str) -> None:
        self.router, self.price_usd8 = router, 0
        self.lies = False

    def answer(self, query: dict[str, str]) -> dict[str, Any]:
        """The quote, for six decimals against eighteen."""
        sold = int(query["sellAmount"])
        worth = sold * self.price_usd8 // 10**20
        promised = worth * GAIN_PCT // 100
        paid = worth * LIE_PCT // 100 if self.lies else promised
        data = encode_call(SWAP, query["sellToken"], sold, query["buyToken"], paid)
        return {
            "liquidityAvailable": True,
            "sellToken": query["sellToken"].lower(),
            "buyToken": query["buyToken"].lower(),
            "sellAmount": str(sold),
            "buyAmount": str(promised),
            "minBuyAmount": str(promised * 999 // 1_000),
            "allowanceTarget": self.router.lower(),
            "transaction": {"to": self.router.lower(), "data": "0x" + data.hex(), "value": "0"},
        }


@contextmanager
def listening(desk: Desk) -> Iterator[str]:
    """Its URL."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(desk.answer(dict(parse_qsl(urlsplit(self.path).query)))).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def falls(there: Owned, told: Night, desk: Desk, share: float) -> None:
    """Feed, pool and aggregator at that share of the start in the same block."""
    start_usd8 = there.on.scenario.prices_usd8(-1)["WETH"]
    desk.price_usd8 = int(start_usd8 * share)
    there.on.chain.rpc("evm_setAutomine", True)
    there.executor.trade_to("WETH", "USDC", 500, start_usd8 / 10**8 * share)
    there.on.chain.rpc("evm_setAutomine", False)
    told.falls(WETH=share, wstETH=share)


def rescued(told: Night, label: str, times: int) -> Step:
    """Blocks until the position was rescued that often; the step that did it last."""
    for _ in range(8):
        if told.rescues(label) >= times:
            break
        told.block()
    assert told.rescues(label) == times, told.guard.tail()
    return [i.plan.steps[0] for i in told.intents(label) if i.state in MINED][-1]


def test_aggregator__honest_it_is_taken__and_lying_it_is_refused_and_the_pools_rescue(tmp_path: Path) -> None:
    with owned(tmp_path) as there:
        on, executor, label = there.on, there.executor, there.label
        router = on.chain.deploy(compile_unit(DESK, quiet=True)["HostileRouter"], DEALER)
        on.actors.mint("USDC", router, RICH_USDC)
        desk = Desk(router)
        executor.configure(terms(executor))
        executor.by_owner("setRouter(address,bool)", router, True)
        executor.grant("WETH", 8 * WAD)
        with listening(desk) as url:
            offers = f"[chains.aggregator]\nname = '0x'\nrouter = '{router}'\nurl = '{url}'\n"
            changed(on.config, {"[[venues]]": f"{offers}[[venues]]"})
            there.arm()
            with night(on) as told:
                falls(there, told, desk, 0.8)
                step = rescued(told, label, 1)
                assert isinstance(step, Deleverage)
                assert (step.router, step.source) == (router, Source.AAVE_V3), told.guard.tail()
                assert 1.25 * WAD <= told.health(label) <= 1.30 * WAD
                assert executor.leftovers() == {}
                taken, left = on.actors.balance("WETH", DEALER), on.actors.balance("USDC", router)
                assert taken == step.sold
                assert left < RICH_USDC

                desk.lies, nonce = True, told.nonce
                falls(there, told, desk, 0.7)
                step = rescued(told, label, 2)
                assert isinstance(step, Deleverage)
                assert step.source is Source.UNISWAP_V3_SWAP
                assert told.health(label) >= 1.25 * WAD
                assert told.nonce == nonce + 1, "the lie itself was never sent"
                assert on.actors.balance("WETH", DEALER) == taken, "the liar took something"
                assert on.actors.balance("USDC", router) == left
                refused = [e for e in told.entries("refusal", label) if "SlippageExceeded" in e.why]
                assert len(refused) == 1, "one block was lost to the liar, and no more"
                assert any("not_carried_out" in e.why for e in told.entries("alarm"))
                assert executor.leftovers() == {}
