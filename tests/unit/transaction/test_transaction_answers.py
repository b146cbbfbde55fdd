"""The words of six clients, and that a silence or an unknown word is never "failed"."""

from __future__ import annotations

import pytest

from keeper.errors import Rejected, Transient
from keeper.transaction.answers import Verdict, best, verdict

pytestmark = pytest.mark.unit
V = Verdict
HASH = "0x" + "ab" * 32

WORDS = [
    ("geth", "already known", V.KNOWN),
    ("geth", "nonce too low: next nonce 5, tx nonce 4", V.NONCE_LOW),
    ("geth", "nonce too high", V.NONCE_HIGH),
    ("geth", "replacement transaction underpriced", V.UNDERPRICED),
    ("geth", "transaction underpriced: tip needed 1000000, tip permitted 1", V.FEE_LOW),
    ("geth", "max fee per gas less than block base fee: address 0x1, maxFeePerGas: 1, baseFee: 7", V.FEE_LOW),
    ("geth", "insufficient funds for gas * price + value: balance 0, tx cost 5, overshot 5", V.FUNDS),
    ("geth", "txpool is full", V.POOL_FULL),
    ("geth", "account limit exceeded", V.POOL_FULL),
    ("geth", "in-flight transaction limit reached for delegated accounts", V.POOL_FULL),
    ("geth", "gapped-nonce tx from delegated accounts", V.NONCE_HIGH),
    ("geth", "future transaction tries to replace pending", V.NONCE_HIGH),
    ("geth", "address already reserved", V.POOL_FULL),
    ("geth", "intrinsic gas too low: gas 20999, minimum needed 21000", V.REFUSED),
    ("geth", "exceeds block gas limit", V.REFUSED),
    ("geth", "transaction gas limit too high (cap: 16777216, tx: 20000000)", V.REFUSED),
    ("geth", "tx fee (2.00 ether) exceeds the configured cap (1.00 ether)", V.REFUSED),
    ("geth", "invalid chain id for signer: have 1 want 5", V.REFUSED),
    ("geth", "invalid sender", V.REFUSED),
    ("geth", "oversized data: transaction size 1, limit 0", V.REFUSED),
    ("geth", "max priority fee per gas higher than max fee per gas", V.REFUSED),
    ("geth", "transaction type not supported", V.REFUSED),
    ("reth", "already known", V.KNOWN),
    ("reth", "nonce too low", V.NONCE_LOW),
    ("reth", "replacement transaction underpriced", V.UNDERPRICED),
    ("reth", "max fee per gas less than block base fee", V.FEE_LOW),
    ("reth", "insufficient funds for gas * price + value: have 1 want 2", V.FUNDS),
    ("nethermind", "AlreadyKnown", V.KNOWN),
    ("nethermind", "OldNonce, Current nonce: 5, nonce of rejected tx: 4", V.NONCE_LOW),
    ("nethermind", "OwnNonceAlreadyUsed", V.NONCE_LOW),
    ("nethermind", "ReplacementNotAllowed, existing hash: 0x1", V.UNDERPRICED),
    ("nethermind", "FeeTooLow, MaxFeePerGas too low", V.FEE_LOW),
    ("nethermind", "FeeTooLowToCompete", V.FEE_LOW),
    ("nethermind", "InsufficientFunds, Account balance: 0", V.FUNDS),
    ("nethermind", "NonceGap, Future nonce. Expected nonce: 5", V.NONCE_HIGH),
    ("nethermind", "GasLimitExceeded", V.REFUSED),
    ("erigon", "existing tx with same hash", V.KNOWN),
    ("erigon", "could not replace existing tx", V.UNDERPRICED),
    ("erigon", "fee cap less than block base fee", V.FEE_LOW),
    ("erigon", "underpriced", V.FEE_LOW),
    ("besu", "Known transaction", V.KNOWN),
    ("besu", "Nonce too low", V.NONCE_LOW),
    ("besu", "Transaction nonce is too distant from current sender nonce", V.NONCE_HIGH),
    ("besu", "Transaction replacement underpriced", V.UNDERPRICED),
    ("besu", "Upfront cost exceeds account balance", V.FUNDS),
    ("besu", "Gas price below configured minimum gas price", V.FEE_LOW),
    ("besu", "Intrinsic gas exceeds gas limit", V.REFUSED),
    ("anvil", "transaction already imported", V.KNOWN),
    ("anvil", "nonce too low", V.NONCE_LOW),
    ("anvil", "Insufficient funds for gas * price + value", V.FUNDS),
    ("anyone", "request timed out upstream", V.UNKNOWN),
    ("anyone", "", V.UNKNOWN),
]


@pytest.mark.parametrize("client, words, expected", WORDS)
def test_verdict__when_a_client_says_so__then_it_means_that(
    client: str, words: str, expected: Verdict
) -> None:
    assert verdict(Rejected(-32000, words), HASH) is expected


def test_verdict__when_nobody_answers__then_unknown() -> None:
    assert verdict(Transient("timed out"), HASH) is V.UNKNOWN


def test_verdict__when_hash_is_ours__then_accepted_and_another_tells_nothing() -> None:
    assert verdict(HASH.upper().replace("0X", "0x"), HASH) is V.ACCEPTED
    assert verdict("0x" + "00" * 32, HASH) is V.UNKNOWN


def test_best__when_endpoints_differ__then_the_most_telling_one() -> None:
    assert best((), HASH) is V.UNKNOWN
    assert best((Transient("x"), Rejected(1, "already known")), HASH) is V.KNOWN
    assert best((Rejected(1, "underpriced"), HASH, Transient("x")), HASH) is V.ACCEPTED
    assert best((Rejected(1, "insufficient funds"), Rejected(1, "nonce too low")), HASH) is V.NONCE_LOW
