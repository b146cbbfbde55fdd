"""In which words a client refuses a transaction: five clients' code and message for one reason.

From the clients' sources (geth ``core/txpool/errors.go`` and ``core/error.go``, reth ``rpc/rpc-eth-types``,
nethermind ``AcceptTxResult``, erigon ``txpoolcfg``, besu ``RpcErrorType``), numbers where they print them.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.rpc.pool import Refused, Why

Words = dict[Why, tuple[int, str]]

GETH: Words = {
    Why.KNOWN: (-32000, "already known"),
    Why.OVERSIZED: (-32000, "oversized data: transaction size {have}, limit {want}"),
    Why.BLOCK_GAS: (-32000, "exceeds block gas limit"),
    Why.GAS_CAP: (-32000, "transaction gas limit too high (cap: {want}, tx: {have})"),
    Why.TIP_ABOVE_FEE: (-32000, "max priority fee per gas higher than max fee per gas"),
    Why.INTRINSIC: (-32000, "intrinsic gas too low: gas {have}, minimum needed {want}"),
    Why.TIP_LOW: (-32000, "transaction underpriced: gas tip cap {have}, minimum needed {want}"),
    Why.BASE_FEE: (-32000, "max fee per gas less than block base fee: maxFeePerGas: {have}, baseFee: {want}"),
    Why.NONCE_LOW: (-32000, "nonce too low: next nonce {want}, tx nonce {have}"),
    Why.FUNDS: (
        -32000,
        "insufficient funds for gas * price + value: balance {have}, tx cost {want}, overshot {over}",
    ),
    Why.FULL: (-32000, "transaction underpriced"),
    Why.FUTURE: (-32000, "future transaction tries to replace pending"),
    Why.REPLACEMENT: (-32000, "replacement transaction underpriced"),
}
RETH: Words = {
    **GETH,
    Why.GAS_CAP: (-32000, "transaction gas limit {have} is greater than the cap: gas limit too high"),
    Why.FUNDS: (-32003, "insufficient funds for gas * price + value: have {have} want {want}"),
    Why.INTRINSIC: (-32000, "intrinsic gas too low"),
    Why.TIP_LOW: (-32003, "transaction underpriced"),
    Why.FULL: (-32003, "txpool is full"),
    Why.REPLACEMENT: (-32003, "replacement transaction underpriced"),
}
NETHERMIND: Words = {
    Why.KNOWN: (-32010, "AlreadyKnown"),
    Why.OVERSIZED: (-32010, "Invalid, oversized data"),
    Why.BLOCK_GAS: (-32010, "GasLimitExceeded, Gas limit: {want}, gas limit of rejected tx: {have}"),
    Why.GAS_CAP: (-32010, "GasLimitExceeded, Gas limit: {want}, gas limit of rejected tx: {have}"),
    Why.TIP_ABOVE_FEE: (-32010, "Invalid, max priority fee per gas higher than max fee per gas"),
    Why.INTRINSIC: (-32010, "Invalid, intrinsic gas too low"),
    Why.TIP_LOW: (-32010, "FeeTooLow, EffectivePriorityFeePerGas too low {have} < {want}"),
    Why.BASE_FEE: (-32010, "FeeTooLow, MaxFeePerGas too low {have} < {want}"),
    Why.NONCE_LOW: (-32010, "OldNonce, Current nonce: {want}, nonce of rejected tx: {have}"),
    Why.FUNDS: (-32010, "InsufficientFunds, Account balance: {have}, cumulative cost: {want}"),
    Why.FULL: (-32010, "FeeTooLowToCompete"),
    Why.FUTURE: (-32010, "NonceGap, Future nonce. Expected nonce: {want}"),
    Why.REPLACEMENT: (-32010, "ReplacementNotAllowed"),
}
ERIGON: Words = {
    **GETH,
    Why.KNOWN: (-32000, "existing tx with same hash"),
    Why.OVERSIZED: (-32000, "oversized data"),
    Why.INTRINSIC: (-32000, "intrinsic gas too low"),
    Why.TIP_LOW: (-32000, "underpriced"),
    Why.BASE_FEE: (-32000, "fee too low"),
    Why.NONCE_LOW: (-32000, "nonce too low"),
    Why.FUNDS: (-32000, "insufficient funds"),
    Why.FULL: (-32000, "underpriced"),
    Why.REPLACEMENT: (-32000, "could not replace existing tx"),
}
BESU: Words = {
    Why.KNOWN: (-32000, "Known transaction"),
    Why.OVERSIZED: (-32000, "oversized data"),
    Why.BLOCK_GAS: (-32005, "Transaction gas limit exceeds block gas limit"),
    Why.GAS_CAP: (-32005, "Transaction gas limit exceeds block gas limit"),
    Why.TIP_ABOVE_FEE: (-32000, "Max priority fee per gas higher than max fee per gas"),
    Why.INTRINSIC: (-32003, "Intrinsic gas exceeds gas limit"),
    Why.TIP_LOW: (-32009, "Gas price below configured minimum gas price"),
    Why.BASE_FEE: (-32009, "Gas price below current base fee"),
    Why.NONCE_LOW: (-32001, "Nonce too low"),
    Why.FUNDS: (-32004, "Upfront cost exceeds account balance"),
    Why.FULL: (-32000, "Transaction pool is full"),
    Why.FUTURE: (-32000, "Transaction nonce is too distant from current sender nonce"),
    Why.REPLACEMENT: (-32000, "Replacement transaction underpriced"),
}
CLIENTS: dict[str, Words] = {
    "geth": GETH,
    "reth": RETH,
    "nethermind": NETHERMIND,
    "erigon": ERIGON,
    "besu": BESU,
}
NO_BLOCK = {
    "geth": (-32000, "header not found"),
    "reth": (-32001, "block not found: {0}"),
    "nethermind": (-32001, "{0} could not be found"),
    "erigon": (-32000, "block not found: {0}"),
    "besu": (-32000, "Block not found"),
}
"""How a client says that it does not know a block yet."""

Say = Callable[[Refused], tuple[int, str]]


def voice(client: str) -> Say:
    """(code, message) of a refusal in that client's words."""
    words = CLIENTS[client]

    def say(refused: Refused) -> tuple[int, str]:
        code, text = words[refused.why]
        over = refused.want - refused.have
        return code, text.format(have=refused.have, want=refused.want, over=over)

    return say
