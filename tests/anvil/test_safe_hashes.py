"""What we say the signers of a Safe will see is what the real Safe hashes, and the batch does what its text says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anvil.abi import encode_call
from anvil.client import Chain
from anvil.deployment import Deployment
from keeper.executor.safe import CALL, DELEGATECALL, Safe, seen
from keeper.model import Call
from tests.safe_owner import HASH, ZERO, deploy_safe, safe_artifact

pytestmark = pytest.mark.anvil
EXEC = "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)(bool)"


def test_seen__of_one_call_and_of_a_batch__is_what_the_safe_hashes_and_does(
    chain: Chain, deployment: Deployment
) -> None:
    signer = deployment.roles.actors[4]
    address = deploy_safe(chain, signer)
    usdc, weth = deployment.token("USDC").address, deployment.token("WETH").address
    spenders = (deployment.pool, deployment.uniswap.router)
    calls = [
        Call(target=token, data=encode_call("approve(address,uint256)", spender, 1_000 + i))
        for i, (token, spender) in enumerate(zip((usdc, weth), spenders, strict=True))
    ]
    plain = Safe(
        chain_id=deployment.chain_id,
        address=address,
        version=chain.call(address, "VERSION()(string)"),
        nonce=chain.call(address, "nonce()(uint256)"),
        multi_send=chain.deploy(safe_artifact("libraries", "MultiSendCallOnly")),
    )
    domain = chain.call(address, "domainSeparator()(bytes32)")
    for safe, some, operation in (
        (plain, calls[:1], CALL),
        (plain, calls, DELEGATECALL),
        (replace(plain, nonce=plain.nonce + 9), calls, DELEGATECALL),
    ):
        found = seen(safe, some)
        told = chain.call(address, HASH, found.to, 0, found.data, operation, 0, 0, 0, ZERO, ZERO, safe.nonce)
        assert found.operation == operation
        assert found.safe_tx_hash == "0x" + bytes(told).hex()
        assert found.domain_hash == "0x" + bytes(domain).hex()
    batch = seen(plain, calls)
    approved = bytes(12) + bytes.fromhex(signer[2:]) + bytes(32) + b"\x01"
    chain.send(signer, address, EXEC, batch.to, 0, batch.data, 1, 0, 0, 0, ZERO, ZERO, approved)
    for i, (token, spender) in enumerate(zip((usdc, weth), spenders, strict=True)):
        assert chain.call(token, "allowance(address,address)(uint256)", address, spender) == 1_000 + i
