"""keeper.toml: what a chain and its endpoints say about sending."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keeper.config import parse
from tests.unit.config.test_config_parse import GOOD, problems

pytestmark = pytest.mark.unit

RELAY = """[[chains.endpoints]]
name = "relay"
url = "https://relay.example/token"
private = true
"""


def with_endpoint(table: str) -> str:
    return GOOD.replace("[[venues]]", f"{table}[[venues]]", 1)


def test_parse__when_an_endpoint_is_private__then_it_stands_apart_from_those_that_are_read() -> None:
    (chain,) = parse(with_endpoint(RELAY), Path("/k.toml")).chains
    assert "relay" not in [e.name for e in chain.endpoints]
    assert [(e.name, e.send_method) for e in chain.private] == [("relay", "eth_sendRawTransaction")]
    assert (chain.private_blocks, chain.mempool, chain.storm_gwei) == (2, True, 1000.0)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (RELAY + 'ws_url = "wss://relay.example"\n', "only sent to"),
        (RELAY.replace("private = true", 'send_method = "eth_sendPrivateTransaction"'), "needs private"),
        (RELAY + 'send_method = "eth_call"\n', "send_method"),
    ],
)
def test_parse__when_a_private_endpoint_is_half_one__then_refused(table: str, said: str) -> None:
    assert any(said in p for p in problems(with_endpoint(table))), problems(with_endpoint(table))


def test_parse__when_every_endpoint_is_private__then_refused() -> None:
    text = re.sub(r'(?m)^(url = "https://.*)$', r"\1\nprivate = true", GOOD)
    assert any("nothing is read from those" in p for p in problems(text)), problems(text)


@pytest.mark.parametrize(("chain_id", "mempool", "storm"), [(42161, False, 10.0), (1, True, 1000.0)])
def test_parse__when_a_chain_has_no_mempool__then_that_is_known(
    chain_id: int, mempool: bool, storm: float
) -> None:
    (chain,) = parse(GOOD.replace("chain_id = 1", f"chain_id = {chain_id}", 1), Path("/k.toml")).chains
    assert (chain.mempool, chain.storm_gwei) == (mempool, storm)
