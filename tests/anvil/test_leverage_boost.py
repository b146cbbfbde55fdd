"""``keeper leverage --prepare``: what the sheet promises is what the real market does when its owner signs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anvil.abi import encode_call
from anvil.actors import Actors
from anvil.client import Chain, Reverted
from anvil.deployment import Deployment
from anvil.node import Anvil
from anvil.shock import set_prices
from keeper.executor.safe import MULTI_SEND_CALL_ONLY
from tests.command import typed
from tests.safe_owner import ZERO, SafeChain, deploy_safe, safe_artifact

pytestmark = pytest.mark.anvil
EXEC = "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)(bool)"
TARGET = 1.8
NEAR = 2e-5
"""Of the promise: a few blocks of interest, and roundings of the pool."""
Prepare = Callable[..., tuple[int, str, dict[str, Any]]]


@pytest.fixture
def prepare(chain: Chain, upstream: Anvil, deployment: Deployment, tmp_path: Path) -> Prepare:
    """Exit code, what was said on stderr, and the sheet; feeds are fresh."""
    set_prices(chain, deployment, {t.symbol: _price(chain, t.feed) for t in deployment.tokens})

    def run(account: str, *options: str) -> tuple[int, str, dict[str, Any]]:
        (tmp_path / "keeper.toml").write_text(_config(upstream, deployment, account))
        sheet = tmp_path / "sheet.json"
        sheet.unlink(missing_ok=True)
        target = () if "--target" in options else ("--target", str(TARGET))
        done = typed(tmp_path, "leverage", *target, "--prepare", "sheet.json", *options)
        body = json.loads(sheet.read_text()) if sheet.exists() else {}
        assert (done.returncode == 0) == bool(body), done.stdout + done.stderr
        return done.returncode, done.stdout + done.stderr, body

    return run


def _price(chain: Chain, feed: str) -> int:
    return int(chain.call(feed, "latestAnswer()(int256)"))


def _config(node: Anvil, market: Deployment, account: str) -> str:
    return f"""\
schema = 1
state_dir = "state"
[[chains]]
name = "local"
chain_id = {market.chain_id}
multicall = "{market.multicall}"
native_token = "{market.token("WETH").address}"
uniswap_quoter = "{market.uniswap.quoter}"
uniswap_router = "{market.uniswap.router}"
[[chains.endpoints]]
name = "anvil"
url = "{node.url}"
rate_per_s = 1000
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "local"
provider = "{market.provider}"
[[positions]]
label = "vault"
venue = "aave"
account = "{account}"
"""


def geared(actors: Actors, account: str) -> None:
    """Ten ether against 9,000 dollars: leverage 1.43, health 2.77."""
    actors.supply(account, "WETH", 10 * 10**18)
    actors.borrow(account, "USDC", 9_000 * 10**6)


def stands(actors: Actors, account: str) -> tuple[float, float]:
    """(leverage, health) by the pool's own word."""
    data = actors.account(account)
    return data.collateral_base / (data.collateral_base - data.debt_base), data.health_wad / 1e18


def nothing_left(chain: Chain, market: Deployment, account: str, debt: int, sheet: dict[str, Any]) -> None:
    """No allowance, no borrowed token in the wallet; of what was bought no more than what the sheet calls surplus."""
    usdc, weth = market.token("USDC").address, market.token("WETH").address
    asks = "allowance(address,address)(uint256)"
    for token, spender in ((usdc, market.uniswap.router), (weth, market.pool)):
        assert chain.call(token, asks, account, spender) == 0
    assert chain.call(usdc, "balanceOf(address)(uint256)", account) == debt
    surplus = chain.call(weth, "balanceOf(address)(uint256)", account)
    assert surplus == int(sheet["promise"]["surplus_units"])


def test_sheet__when_an_owner_with_a_key_sends_it__then_leverage_and_health_are_as_promised(
    chain: Chain, actors: Actors, deployment: Deployment, prepare: Prepare
) -> None:
    me = deployment.roles.actors[0]
    geared(actors, me)
    held = chain.call(deployment.token("USDC").address, "balanceOf(address)(uint256)", me)
    before = stands(actors, me)
    _, said, sheet = prepare(me)
    promise = sheet["promise"]
    assert (promise["leverage_before"], promise["health_before"]) == pytest.approx(before, rel=NEAR)
    assert promise["leverage_after"] == pytest.approx(TARGET, rel=1e-4)
    assert "borrowed at the variable rate" in said
    assert f"health {promise['health_between']:.4f} once it is borrowed" in said
    assert [t["signs"].split("(")[0] for t in sheet["transactions"]] == [
        # the pool was allowed everything before: that is taken back first
        *("borrow", "approve", "exactInputSingle", "approve", "approve", "supply")
    ]
    for call in sheet["transactions"]:
        chain.send(me, call["to"], bytes.fromhex(call["data"][2:]))
        if call["signs"].startswith("borrow("):
            assert stands(actors, me)[1] == pytest.approx(promise["health_between"], rel=NEAR)
    assert stands(actors, me) == pytest.approx((promise["leverage_after"], promise["health_after"]), rel=NEAR)
    assert int(promise["surplus_units"]) > 0
    nothing_left(chain, deployment, me, held, sheet)
    # and again there is nothing to do
    code, said, _ = prepare(me)
    assert (code, "inside_band" in said or "at_target" in said) == (1, True)


def test_sheet__when_a_safe_signs_its_batch__then_the_hash_is_the_safes_and_nothing_is_left_over(
    chain: Chain, actors: Actors, deployment: Deployment, prepare: Prepare
) -> None:
    signer = deployment.roles.actors[4]
    safe = deploy_safe(chain, signer)
    version = chain.call(safe, "VERSION()(string)")
    multi_send = MULTI_SEND_CALL_ONLY[version.partition("+")[0]]
    made = chain.deploy(safe_artifact("libraries", "MultiSendCallOnly"))
    chain.rpc("anvil_setCode", multi_send, chain.rpc("eth_getCode", made, "latest"))
    geared(Actors(SafeChain(chain, safe, signer), deployment), safe)
    weth = deployment.token("WETH").address
    held = chain.call(weth, "balanceOf(address)(uint256)", safe)
    chain.send(
        signer, safe, EXEC, weth, 0, encode_call("transfer(address,uint256)", signer, held), *_plain(signer)
    )
    _, said, sheet = prepare(safe, "--safe", "--slippage", "0")
    assert "rehearsed whole" in said
    seen, promise = sheet["signersSee"], sheet["promise"]
    hashed = chain.call(
        safe,
        "getTransactionHash(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,uint256)(bytes32)",
        *(seen["to"], 0, bytes.fromhex(seen["multiSendPayload"][2:]), 1, 0, 0, 0, ZERO, ZERO, seen["nonce"]),
    )
    assert seen["safeTxHash"] == "0x" + bytes(hashed).hex()
    assert promise["surplus_units"] == "0"
    assert sheet["meta"]["description"].count("; ") >= 4

    def executed() -> None:
        body = bytes.fromhex(seen["multiSendPayload"][2:])
        chain.send(signer, safe, EXEC, seen["to"], 0, body, 1, *_plain(signer)[1:])

    before, mark = stands(actors, safe), chain.snapshot()
    chain.rpc("evm_setNextBlockTimestamp", promise["expires_s"] + 1)
    chain.rpc("evm_mine")
    with pytest.raises(Reverted):
        executed()
    assert stands(actors, safe) == pytest.approx(before, rel=1e-5), "late: undone whole"
    chain.revert(mark)
    executed()
    assert stands(actors, safe) == pytest.approx(
        (promise["leverage_after"], promise["health_after"]), rel=NEAR
    )
    assert promise["leverage_after"] == pytest.approx(TARGET, rel=1e-4)
    nothing_left(chain, deployment, safe, 9_000 * 10**6, sheet)


def _plain(signer: str) -> tuple[object, ...]:
    """Operation, gas fields, and the caller's own word as signature."""
    return (0, 0, 0, 0, ZERO, ZERO, bytes(12) + bytes.fromhex(signer[2:]) + bytes(32) + b"\x01")


def test_sheet__when_pool_or_oracle_say_otherwise__then_refused_by_name_and_nothing_is_written(
    chain: Chain, actors: Actors, deployment: Deployment, prepare: Prepare
) -> None:
    me, admin = deployment.roles.actors[1], deployment.roles.deployer
    geared(actors, me)
    usdc, weth = deployment.token("USDC").address, deployment.token("WETH").address
    for token, signature, value, back, code in (
        (usdc, "setReserveFreeze(address,bool)", True, False, "frozen): USDC"),
        (usdc, "setReserveBorrowing(address,bool)", False, True, "not_borrowable)"),
        (usdc, "setBorrowCap(address,uint256)", 9_100, 0, "borrow_cap)"),
        (weth, "setSupplyCap(address,uint256)", 1, 0, "supply_cap)"),
    ):
        chain.send(admin, deployment.configurator, signature, token, value)
        assert f"refused ({code}" in prepare(me)[1]
        chain.send(admin, deployment.configurator, signature, token, back)
    # a feed three per cent above the pool, then three below
    for price, code in ((3_090, "oracle_apart"), (2_910, "impact")):
        set_prices(chain, deployment, {"WETH": price * 10**8})
        assert f"refused ({code})" in prepare(me)[1]
    set_prices(chain, deployment, {"WETH": 3_000 * 10**8})
    assert "refused (health_too_low)" in prepare(me, "--margin", "2")[1]
    # more than the collateral of now lends is no one step: the pool's own word
    assert "refused (health_between)" in prepare(me, "--target", "2.0")[1]
    said = prepare(me, "--target", "2.4", "--margin", "0.02", "--safe")[1]
    assert "refused (pool_refuses)" in said
    assert "HealthFactorLowerThanLiquidationThreshold" in said
    # last: a reserve that was frozen lends nothing against it any more
    chain.send(admin, deployment.configurator, "setReserveFreeze(address,bool)", weth, True)
    assert "refused (frozen): WETH" in prepare(me)[1]
