"""Hundreds of transactions of impersonated accounts in one block, in the order given."""

from __future__ import annotations

from collections.abc import Sequence

from anvil.client import MAX_FEE_WEI, Chain, transaction

TX_GAS = 1_000_000
BLOCK_GAS = 10**9


def mined_together(chain: Chain, target: str, sends: Sequence[tuple[str, bytes]]) -> None:
    """(sender, calldata) to one contract, each sender's in order; Raises Reverted for the first that failed."""
    senders = list(dict.fromkeys(s for s, _ in sends))
    used = chain.batch(("eth_getTransactionCount", (s, "latest")) for s in senders)
    nonces = {s: int(n, 16) for s, n in zip(senders, used, strict=True)}
    chain.batch(("anvil_setBalance", (s, hex(10**4 * TX_GAS * MAX_FEE_WEI))) for s in senders)
    requests = []
    for sender, data in sends:
        fields = transaction(sender, target, data, gas=TX_GAS)
        requests.append(("eth_sendTransaction", ({**fields, "nonce": hex(nonces[sender])},)))
        nonces[sender] += 1
    gas_limit = chain.rpc("eth_getBlockByNumber", "latest", False)["gasLimit"]
    chain.rpc("anvil_autoImpersonateAccount", True)
    chain.rpc("evm_setAutomine", False)
    chain.rpc("evm_setBlockGasLimit", hex(BLOCK_GAS))
    try:
        hashes = chain.batch(requests)
        chain.mine()
    finally:
        chain.rpc("evm_setBlockGasLimit", gas_limit)
        chain.rpc("evm_setAutomine", True)
        chain.rpc("anvil_autoImpersonateAccount", False)
    receipts = chain.batch(("eth_getTransactionReceipt", (h,)) for h in hashes)
    failed = [h for h, r in zip(hashes, receipts, strict=True) if r is None or r["status"] != "0x1"]
    chain.confirm(failed[:1], timeout_s=0.0)
