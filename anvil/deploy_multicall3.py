"""The real Multicall3 at the address it has on every chain, from the creation code that viem carries."""

from __future__ import annotations

import re

from anvil.client import Chain
from anvil.tools import HERE, ToolMissing

MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
_CONSTANTS = HERE / "node_modules" / "viem" / "constants" / "contracts.ts"


def deploy_multicall3(chain: Chain) -> str:
    """Put Multicall3 where it belongs, unless it is there (a fork of a public chain); its address."""
    if not chain.has_code(MULTICALL3):
        receipt = chain.send(chain.accounts[0], None, bytes.fromhex(_creation_code()))
        code = chain.rpc("eth_getCode", receipt["contractAddress"], "latest")
        chain.rpc("anvil_setCode", MULTICALL3, code)
    return MULTICALL3


def _creation_code() -> str:
    if not _CONSTANTS.is_file():
        raise ToolMissing("the npm package viem is not installed: run `make setup`")
    found = re.search(r"multicall3Bytecode\s*=\s*'0x([0-9a-f]+)'", _CONSTANTS.read_text(encoding="utf-8"))
    if found is None:
        raise ToolMissing(f"{_CONSTANTS} holds no multicall3Bytecode: is it the pinned version of viem?")
    return found.group(1)
