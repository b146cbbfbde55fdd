"""check asks each node about itself: one that says it is syncing is found, a ready one is not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from anvil.node import Anvil
from keeper.config import ChainSettings, EndpointSettings
from keeper.inspection import nodes

pytestmark = pytest.mark.anvil
PLACES = {"startingBlock": "0x0", "currentBlock": "0x10", "highestBlock": "0x20"}


class Node(BaseHTTPRequestHandler):
    """Says what a node in the middle of its synchronisation says."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result = {"eth_syncing": PLACES, "web3_clientVersion": "Geth/v1"}[asked["method"]]
        body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def behind() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Node)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.asyncio
async def test_nodes__when_one_is_syncing__then_it_alone_is_found(behind: str) -> None:
    with Anvil() as ready:
        endpoint = EndpointSettings(name="ready", url=ready.url, ws_url=None, rate_per_s=10, concurrency=2)
        chain = ChainSettings(
            name="local",
            chain_id=31337,
            block_time_s=12.0,
            multicall="0x",
            native_token=None,
            endpoints=(
                endpoint,
                replace(endpoint, name="behind", url=behind),
                replace(endpoint, name="dead", url="http://127.0.0.1:1"),
            ),
        )
        (found,) = await nodes(chain)
    assert (found.code, found.subject) == ("endpoint_syncing", "local/behind")
    assert "Geth/v1 is syncing: at block 16 of 32" in found.why
