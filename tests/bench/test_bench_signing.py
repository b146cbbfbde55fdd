"""How long a signature takes: prepared, against eth_account; and what stands before and after it, apart."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from coincurve import PrivateKey

from keeper.clock import SystemClock
from keeper.journal.write import Journal
from keeper.seams import TxFields
from keeper.signer.eip1559 import sign
from keeper.signer.policy import SigningPolicy
from keeper.units import GWEI
from keeper.venues.aave_v3.signing import aave_v3_calls
from tests.bench.figures import record
from tests.keystores import CANARY, address_of
from tests.plans import ACCOUNT, CHAIN_ID, POOL, USDC, WALLET, attempt, plan, repay_call
from tests.property.test_signer_bytes import by_library

pytestmark = pytest.mark.bench
ROUNDS = 300
TIMES_MIN = 7.0


def test_sign__when_prepared__then_seven_times_faster_than_eth_account(tmp_path: Path) -> None:
    tx = TxFields(
        chain_id=CHAIN_ID,
        nonce=7,
        to=POOL,
        data=repay_call().data,
        value_wei=0,
        gas_limit=300_000,
        max_fee_wei=27 * GWEI,
        tip_wei=GWEI,
    )
    key = PrivateKey(CANARY)
    policy = SigningPolicy(
        chain_id=CHAIN_ID,
        address=address_of(),
        calls=aave_v3_calls(POOL, {USDC.address: 10**9}, [ACCOUNT]),
        fee_wei_max=10**18,
    )
    assert policy.refuses(tx) is None
    ours_us = _median_us(lambda: sign(tx, key))
    theirs_us = _median_us(lambda: by_library(tx, CANARY))
    times = theirs_us / ours_us
    holds = times >= TIMES_MIN
    record(
        "sign_vs_eth_account",
        round(times, 2),
        unit="x",
        bound=">= 7",
        holds=holds,
        evidence="own_double",
        n=ROUNDS,
    )
    record("sign_us", round(ours_us, 1), unit="us", n=ROUNDS)
    record("sign_policy_us", round(_median_us(lambda: policy.refuses(tx)), 1), unit="us", n=ROUNDS)
    record("sign_journal_ms", round(_commit_ms(tmp_path), 2), unit="ms", n=50)
    assert holds, f"{theirs_us:.0f} us against {ours_us:.0f} us"


def _median_us(run: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        start_s = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start_s)
    return statistics.median(taken) * 1e6


def _commit_ms(folder: Path) -> float:
    """The durable commit of the signed bytes, without which they do not leave the machine."""
    taken = []
    with Journal.open(folder / "journal.sqlite", SystemClock()) as journal:
        journal.adopt_nonce(CHAIN_ID, WALLET, 0, "bench")
        journal.open_intent(plan())
        for n in range(50):
            start_s = time.perf_counter()
            journal.add_attempt(attempt(plan().key, n=n), WALLET)
            taken.append(time.perf_counter() - start_s)
    return statistics.median(taken) * 1e3
