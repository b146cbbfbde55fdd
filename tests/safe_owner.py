"""An owner who is a Safe: the real contracts, one signer, every call of the owner's through ``execTransaction``."""

from __future__ import annotations

from typing import Any

import orjson

from anvil.abi import encode_call
from anvil.client import SEND_GAS, Chain
from anvil.compile import Artifact
from anvil.tools import HERE

ZERO = "0x" + "00" * 20
_ARTIFACTS = (
    HERE / "node_modules" / "@safe-global" / "safe-smart-account" / "build" / "artifacts" / "contracts"
)
_SETUP = "setup(address[],uint256,address,bytes,address,address,uint256,address)"
_EXEC = "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)(bool)"
HASH = (
    "getTransactionHash(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,uint256)(bytes32)"
)
_CREATE = "createProxyWithNonce(address,bytes,uint256)(address)"


def safe_artifact(path: str, name: str) -> Artifact:
    """Compiled code from the npm package."""
    record = orjson.loads((_ARTIFACTS / f"{path}/{name}.sol" / f"{name}.json").read_bytes())
    return Artifact(name=name, source=name, abi=tuple(record["abi"]), bytecode=record["bytecode"], links=())


def deploy_safe(chain: Chain, signer: str) -> str:
    """A Safe of one signer behind a proxy, as the Safe's own factory makes it."""
    singleton = chain.deploy(safe_artifact(".", "Safe"))
    factory = chain.deploy(safe_artifact("proxies", "SafeProxyFactory"))
    setup = encode_call(_SETUP, [signer], 1, ZERO, b"", ZERO, ZERO, 0, ZERO)
    address = chain.call(factory, _CREATE, singleton, setup, 7)
    chain.send(signer, factory, _CREATE, singleton, setup, 7)
    return str(address)


class SafeChain(Chain):
    """A client whose ``send`` from the Safe's address is a Safe transaction of the signer's."""

    def __init__(self, plain: Chain, safe: str, signer: str) -> None:
        super().__init__(plain.url, errors=plain.errors)
        self.safe, self.signer = safe, signer

    def send(
        self,
        sender: str,
        to: str | None,
        signature: str | bytes,
        *arguments: object,
        value_wei: int = 0,
        gas: int = SEND_GAS,
    ) -> dict[str, Any]:
        """As ``Chain.send``; a failure inside the Safe reverts the whole."""
        if sender.lower() != self.safe.lower():
            return super().send(sender, to, signature, *arguments, value_wei=value_wei, gas=gas)
        data = signature if isinstance(signature, bytes) else encode_call(signature, *arguments)
        # a signature of the caller's own: r is the signer, v is 1
        approved = bytes(12) + bytes.fromhex(self.signer[2:]) + bytes(32) + b"\x01"
        return super().send(
            self.signer, self.safe, _EXEC, to, value_wei, data, 0, 0, 0, 0, ZERO, ZERO, approved, gas=gas
        )
