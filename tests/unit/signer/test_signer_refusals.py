"""What each refusal of the signer is by the time it is at the daemon: of one signature, or of the whole key."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken, Unsigned
from keeper.seams import TxFields
from keeper.signer.guarded import GuardedSigner
from keeper.signer.key import Key
from keeper.signer.policy import SigningPolicy
from keeper.signer.remote import RemoteSigner
from keeper.signer.service import serve
from keeper.signer.store import DAY_S, DayCaps, Store
from keeper.units import GWEI
from keeper.venues.aave_v3.signing import aave_v3_calls
from tests.keystores import CANARY, address_of
from tests.plans import ACCOUNT, CHAIN_ID, POOL, USDC, repay_call

pytestmark = pytest.mark.unit
FEE = 300_000 * 20 * GWEI
POLICY = SigningPolicy(
    chain_id=CHAIN_ID,
    address=address_of(),
    calls=aave_v3_calls(POOL, {USDC.address: 5_000_000}, [ACCOUNT]),
    fee_wei_max=4 * FEE,
)
CAPS = DayCaps(fee_wei=3 * FEE, units={USDC.address.lower(): 6_000_000})


def tx(
    nonce: int = 7, intent: str = "a#1", *, units: int = 1_000_000, gwei: int = 20, tip: int = 1
) -> TxFields:
    """A repayment."""
    return TxFields(
        chain_id=CHAIN_ID,
        nonce=nonce,
        to=POOL,
        data=repay_call(units).data,
        value_wei=0,
        gas_limit=300_000,
        max_fee_wei=gwei * GWEI,
        tip_wei=tip * GWEI,
        intent=intent,
    )


def cancel(nonce: int = 7, intent: str = "a#1", *, gwei: int = 30, tip: int = 2) -> TxFields:
    """A self-send."""
    return replace(tx(nonce, intent, gwei=gwei, tip=tip), to=address_of(), data=b"", gas_limit=60_000)


@dataclass
class Signing:
    """A signer at a socket, as the daemon sees it."""

    path: Path
    clock: ManualClock
    remote: RemoteSigner


@contextlib.asynccontextmanager
async def signing(folder: Path, *, adopted: bool = True) -> AsyncIterator[Signing]:
    """A signer that has adopted nonce 7, listening."""
    clock, path = ManualClock(1_000_000.0), folder / "signer.sqlite"
    store = Store.create(path)
    if adopted:
        store.adopt(CHAIN_ID, 7, "test", 0.0)
    server = await serve(folder / "s", GuardedSigner(Key(CANARY), POLICY, CAPS, store, clock))
    try:
        yield Signing(path, clock, await RemoteSigner.open(folder / "s", address_of()))
    finally:
        server.close()
        store.close()


ONE_SIGNATURE: dict[str, tuple[list[TxFields], TxFields, str]] = {
    "policy, fee": ([], tx(gwei=81), "signer refuses: fee"),
    "policy, argument": ([], tx(units=5_000_001), "signer refuses: .*not within 1..5000000"),
    "S3, max_fee": ([tx()], tx(gwei=22, tip=2), "S3: max_fee .* is below"),
    "S3, tip": ([tx()], tx(gwei=25), "S3: tip .* is below"),
    "S4": ([tx(), cancel()], tx(gwei=40, tip=3), "S4: a#1 is being cancelled"),
    "S5, another nonce": ([tx()], tx(8), "S5: a#1 was signed for nonce 7, never for 8"),
    "S5, a nonce to cancel": ([tx()], cancel(8), "S5: a#1 was signed for nonce 7, never for 8"),
    "S5, an older number": ([tx(intent="a#5")], tx(8, "a#4"), "S5: a was signed up to number 5"),
    "S6, the day's fees": ([tx(), tx(8, "b#1"), tx(9, "c#1")], tx(10, "d#1"), "S6: the day's fees"),
    "S6, a raised fee": ([tx(gwei=59)], tx(gwei=70, tip=2), "S6: the day's fees"),
    "S6, a token": ([tx(units=5_000_000)], tx(8, "b#1", units=1_000_001), "S6: the day's 0x"),
}
"""What was signed before, what is asked, the words."""

THE_KEY: dict[str, tuple[list[TxFields], TxFields, str]] = {
    "S1, ahead": ([tx()], tx(9, "b#1"), "S1: nonce 9 is not the next one, 8"),
    "S1, behind": ([], tx(6), "S1: nonce 6 is not the next one, 7"),
    "S3, another's nonce": ([tx()], tx(7, "b#1", gwei=40, tip=4), "S3: nonce 7 is for a#1, not for b#1"),
    # where both are true, the one that asks for a person is told
    "S1 and S5": ([tx(intent="a#5")], tx(9, "a#4"), "S1: nonce 9"),
    "S1 and S5, its own": ([tx()], tx(9), "S1: nonce 9"),
    "S3 and S5": ([tx(), tx(8, "b#1")], tx(8, gwei=40, tip=4), "S3: nonce 8 is for b#1"),
    "S1 and S6": ([tx(gwei=59)], tx(9, "b#1"), "S1: nonce 9"),
    "no intent": ([], tx(intent=""), "names no intent"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("rule", ONE_SIGNATURE)
async def test_remote__when_one_signature_is_refused__then_that_one_alone_and_the_next_is_signed(
    tmp_path: Path, rule: str
) -> None:
    before, asked, words = ONE_SIGNATURE[rule]
    async with signing(tmp_path) as on:
        for earlier in before:
            await on.remote.sign(earlier)
        with pytest.raises(Unsigned, match=words):
            await on.remote.sign(asked)
        # nothing was kept of it, and a day later another plan is signed
        on.clock.advance(DAY_S + 1)
        top = max((t.nonce for t in before), default=6)
        assert (await on.remote.sign(tx(top + 1, "z#1"))).raw


@pytest.mark.asyncio
@pytest.mark.parametrize("rule", THE_KEY)
async def test_remote__when_the_history_of_the_key_is_in_doubt__then_plainly_broken(
    tmp_path: Path, rule: str
) -> None:
    before, asked, words = THE_KEY[rule]
    async with signing(tmp_path) as on:
        for earlier in before:
            await on.remote.sign(earlier)
        await plainly_broken(on, asked, words)


@pytest.mark.asyncio
async def test_remote__when_no_nonce_was_adopted__then_plainly_broken(tmp_path: Path) -> None:
    async with signing(tmp_path, adopted=False) as on:
        await plainly_broken(on, tx(), "S7: no nonce was adopted")


@pytest.mark.asyncio
@pytest.mark.parametrize("how", [Path.unlink, lambda p: p.rename(p.with_name("old"))])
async def test_remote__when_the_store_is_gone__then_plainly_broken(
    tmp_path: Path, how: Callable[[Path], object]
) -> None:
    async with signing(tmp_path) as on:
        how(on.path)
        await plainly_broken(on, tx(), "was replaced or deleted under the signer")


async def plainly_broken(on: Signing, asked: TxFields, words: str) -> None:
    """Not one of those after which the daemon goes on."""
    with pytest.raises(Broken, match=words) as caught:
        await on.remote.sign(asked)
    assert type(caught.value) is Broken
