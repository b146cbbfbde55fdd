"""``keeper verify`` over the releases of Aave: the 3.0 line, and revision 11 over 3.6's arithmetic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.deploy_aave_v3_0 import deploy_aave_v3_0
from anvil.deployment import Deployment
from anvil.node import Anvil
from keeper.cli import invoke
from keeper.venues.aave_v3.book import POOL_REVISION

pytestmark = pytest.mark.anvil

DAY_S = 86_400
IMPLEMENTATION = hex(
    int.from_bytes(bytes.fromhex("360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"))
)
"""EIP-1967: where a proxy keeps the address of its code."""


@pytest.fixture
def old(chain: Chain, deployment: Deployment) -> Deployment:
    """The 3.0 market; undone with the chain."""
    return deploy_aave_v3_0(chain, deployment)


def proved(
    node: Anvil, market: Deployment, accounts: list[str], capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    named = [a for account in accounts for a in ("--account", account)]
    code = invoke(["verify", "--rpc", node.url, "--provider", market.provider, *named, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == (0 if document["equal"] else 1)
    return document


def people(chain: Chain, market: Deployment) -> list[str]:
    """Plain, mixed, in an e-mode, and with a part switched off; forty days ago."""
    actors, accounts = Actors(chain, market), market.roles.actors[:4]
    unit = {s: market.token(s).unit for s in market.symbols}
    for borrower in (
        Borrower(
            account=accounts[0],
            collateral={"WETH": 3 * unit["WETH"]},
            debt={"USDC": 4_000 * unit["USDC"] + 1},
        ),
        Borrower(
            account=accounts[1],
            collateral={
                "WETH": unit["WETH"] + 7,
                "wstETH": 8 * unit["wstETH"] // 3,
                "DAI": 777 * unit["DAI"] + 5,
            },
            debt={"USDC": 5_999 * unit["USDC"] + 3, "WETH": unit["WETH"] // 7},
        ),
        Borrower(
            account=accounts[2],
            collateral={"wstETH": 5 * unit["wstETH"]},
            debt={"WETH": 5 * unit["WETH"]},
            emode=2,
        ),
        Borrower(
            account=accounts[3],
            collateral={"WETH": 2 * unit["WETH"], "DAI": 900 * unit["DAI"] + 1},
            debt={"USDC": 1_000 * unit["USDC"]},
            disabled=("DAI",),
        ),
    ):
        actors.open(borrower)
    chain.mine(chain.block().timestamp_s + 40 * DAY_S)
    return list(accounts)


def test_verify__on_the_3_0_line__all_is_equal_and_the_threshold_is_the_pools_whole_bps(
    upstream: Anvil, chain: Chain, old: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts = people(chain, old)
    document = proved(upstream, old, accounts, capsys)
    assert document["equal"], document
    assert [len(p["facts"]) for p in document["positions"]] == [4] * len(accounts)
    signature = "getUserAccountData(address)(uint256,uint256,uint256,uint256,uint256,uint256)"
    for position in document["positions"]:
        told = {f["what"].split(",")[0]: int(f["venue"]) for f in position["facts"]}
        pool = chain.call(old.pool, signature, position["account"])
        assert (told["collateral"], told["debt"], told["threshold"], told["health"]) == (
            *pool[:2],
            pool[3],
            pool[5],
        )


def shim(code: str, revision: int) -> str:
    """Code that says another revision, and in everything else is the code at ``code`` (of the proxy that runs it)."""
    head = bytes.fromhex("5f3560e01c63") + POOL_REVISION + bytes.fromhex("1460")
    run = bytes.fromhex("57365f5f375f5f365f73") + bytes.fromhex(code[2:]) + bytes.fromhex("5af43d5f5f3e60")
    ok = len(head) + 1 + len(run) + 1 + 4
    tail = bytes.fromhex("573d5ffd") + bytes.fromhex("5b3d5ff3")
    say = bytes.fromhex("5b60") + bytes([revision]) + bytes.fromhex("5f5260205ff3")
    body = head + bytes([ok + 4]) + run + bytes([ok]) + tail + say
    return f"0x{body.hex()}"


@pytest.fixture
def newer(chain: Chain, deployment: Deployment) -> Iterator[Deployment]:
    """The market as 3.7 presents itself: revision 11 over the arithmetic that its changelog leaves as it was."""
    code = chain.rpc("eth_getStorageAt", deployment.pool, IMPLEMENTATION, "latest")
    other = "0x00000000000000000000000000000000000005A1"
    chain.rpc("anvil_setCode", other, shim("0x" + code[-40:], 11))
    chain.rpc("anvil_setStorageAt", deployment.pool, IMPLEMENTATION, "0x" + other[2:].rjust(64, "0"))
    chain.mine()
    yield deployment
    chain.rpc("anvil_setStorageAt", deployment.pool, IMPLEMENTATION, code)


def test_verify__on_revision_11__all_is_equal__and_on_one_that_is_not_known_nothing_is_read(
    upstream: Anvil, chain: Chain, newer: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chain.call(newer.pool, "POOL_REVISION()(uint256)") == 11
    document = proved(upstream, newer, people(chain, newer), capsys)
    assert document["equal"], document
    code = chain.rpc("eth_getStorageAt", newer.pool, IMPLEMENTATION, "latest")
    chain.rpc("anvil_setCode", "0x" + code[-40:], "0x60635f5260205ff3")
    chain.mine()
    assert (
        invoke(
            ["verify", "--rpc", upstream.url, "--provider", newer.provider, "--account", newer.roles.keeper]
        )
        == 78
    )
    assert "unknown POOL_REVISION 99" in capsys.readouterr().err
