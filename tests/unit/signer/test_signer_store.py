"""The signer's memory: what it signs once it never signs otherwise, whatever is claimed."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from coincurve import PrivateKey

from keeper.clock import ManualClock
from keeper.errors import Broken, ConfigError
from keeper.seams import Signed, TxFields
from keeper.signer import eip1559
from keeper.signer.guarded import GuardedSigner
from keeper.signer.key import Key
from keeper.signer.policy import SigningPolicy
from keeper.signer.policy_file import load, to_text
from keeper.signer.store import DAY_S, Asked, DayCaps, Store
from keeper.units import GWEI
from keeper.venues.aave_v3.signing import aave_v3_calls
from tests.keystores import CANARY, address_of
from tests.plans import ACCOUNT, CHAIN_ID, POOL, USDC, repay_call

pytestmark = pytest.mark.unit
FEE = 300_000 * 30 * GWEI
CAPS = DayCaps(fee_wei=4 * FEE, units={USDC.address.lower(): 10_000_000})
POLICY = SigningPolicy(
    chain_id=CHAIN_ID,
    address=address_of(),
    calls=aave_v3_calls(POOL, {USDC.address: 5_000_000}, [ACCOUNT]),
    fee_wei_max=2 * FEE,
)


class Signing:
    """A guarded signer over a store."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock(1_000_000.0)
        self.store = Store.create(path)
        self.store.adopt(CHAIN_ID, 7, "test", 0.0)
        self.signer = GuardedSigner(Key(CANARY), POLICY, CAPS, self.store, self.clock)

    def sign(self, tx: TxFields) -> Signed:
        """Ask."""
        return asyncio.run(self.signer.sign(tx))

    def refused(self, tx: TxFields) -> str:
        """Why not."""
        with pytest.raises(Broken) as caught:
            self.sign(tx)
        return str(caught.value)


@pytest.fixture
def signing(tmp_path: Path) -> Iterator[Signing]:
    made = Signing(tmp_path / "signer.sqlite")
    yield made
    made.store.close()


def tx(
    nonce: int = 7, *, intent: str = "a#1", units: int = 1_000_000, gwei: int = 20, tip: int = 1
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


def cancel(nonce: int = 7, *, intent: str = "a#1", gwei: int = 30, tip: int = 2) -> TxFields:
    """A self-send."""
    made = tx(nonce, intent=intent, gwei=gwei, tip=tip)
    return replace(made, to=address_of(), data=b"", gas_limit=60_000)


def test_s1__when_the_nonce_is_not_the_next_one__then_refused(signing: Signing) -> None:
    assert "S1: nonce 8" in signing.refused(tx(8))
    assert "S1: nonce 6" in signing.refused(tx(6))
    signing.sign(tx(7))
    assert "S1: nonce 9" in signing.refused(tx(9, intent="b#1"))
    signing.sign(tx(8, intent="b#1"))


def test_s2__when_asked_the_same_again__then_the_same_bytes_come_back(signing: Signing) -> None:
    first = signing.sign(tx())
    signing.sign(tx(gwei=25, tip=2))
    assert signing.sign(tx()) == first


def test_s3__when_the_fee_rises_by_an_eighth__then_signed_even_with_refreshed_calldata(
    signing: Signing,
) -> None:
    signing.sign(tx(gwei=16, tip=8))
    low = replace(tx(gwei=18, tip=9), max_fee_wei=18 * GWEI - 1)
    assert "S3: max_fee" in signing.refused(low)
    assert "S3: tip" in signing.refused(replace(tx(gwei=18, tip=9), tip_wei=9 * GWEI - 1))
    signing.sign(tx(gwei=18, tip=9, units=2_000_000))
    assert "S3: nonce 7 is for a#1" in signing.refused(tx(gwei=30, tip=20, intent="b#1"))


def test_s4__when_it_was_cancelled__then_only_the_self_send_is_raised(signing: Signing) -> None:
    signing.sign(tx())
    signing.sign(cancel(gwei=24, tip=2))
    assert "S4" in signing.refused(tx(gwei=30, tip=9))
    signing.sign(cancel(gwei=28, tip=3))


def test_s5__when_the_intent_has_a_nonce__then_never_another_one(signing: Signing) -> None:
    signing.sign(tx())
    assert "S5: a#1 was signed for nonce 7" in signing.refused(tx(8))
    assert "S5" in signing.refused(cancel(8))


def test_s6__when_outside_policy_or_the_days_caps__then_refused(signing: Signing) -> None:
    assert "not within 1..5000000" in signing.refused(tx(units=5_000_001))
    assert "names no intent" in signing.refused(tx(intent=""))
    signing.sign(tx(7, units=5_000_000))
    signing.sign(tx(7, units=4_000_000, gwei=23, tip=2))
    signing.sign(tx(8, units=5_000_000, intent="b#1"))
    assert "would reach 10000001" in signing.refused(tx(9, units=1, intent="c#1"))
    signing.clock.advance(DAY_S + 1)
    signing.sign(tx(9, units=1, intent="c#1"))


def test_s6__when_the_days_fees_are_used_up__then_a_nonce_can_still_be_freed(signing: Signing) -> None:
    for n in range(4):
        signing.sign(tx(7 + n, gwei=29, units=1, intent=f"{n}#1"))
    assert "day's fees" in signing.refused(tx(11, gwei=29, units=1, intent="5#1"))
    signing.sign(cancel(10, gwei=35, tip=2, intent="3#1"))


def test_s6__when_the_days_sum_is_the_cap_itself__then_signed_and_not_a_wei_or_a_unit_more(
    tmp_path: Path,
) -> None:
    made, gwei = Signing(tmp_path / "exact.sqlite"), 20
    fee, gas = 300_000 * gwei * GWEI, 60_000 * 30 * GWEI
    caps = replace(CAPS, fee_wei=fee, units={USDC.address.lower(): 3_000_000})

    def bound(fee_wei: int) -> None:
        kept = replace(caps, fee_wei=fee_wei)
        made.signer = GuardedSigner(Key(CANARY), POLICY, kept, made.store, made.clock)

    bound(fee - 1)
    assert f"S6: the day's fees would reach {fee} wei, the cap is {fee - 1}" in made.refused(tx(7, gwei=gwei))
    bound(fee)
    made.sign(tx(7, gwei=gwei))
    # what frees the next nonce may take as much again, and no more
    bound((fee + gas) // 2 - 1)
    assert "S6: the day's fees" in made.refused(cancel(8, intent="b#1"))
    bound((fee + gas) // 2)
    made.sign(cancel(8, intent="b#1"))
    bound(10 * fee)
    assert "S6: the day's" in made.refused(tx(9, intent="c#1", units=2_000_001))
    made.sign(tx(9, intent="c#1", units=2_000_000))
    assert "S6: the day's" in made.refused(tx(10, intent="d#1", units=1))
    made.store.close()


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_create__when_whatever_the_umask__then_nobody_else_reads_or_writes_it(
    tmp_path: Path, umask: int
) -> None:
    path, before = tmp_path / "private.sqlite", os.umask(umask)
    try:
        Store.create(path).close()
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_s7__when_the_store_is_missing_damaged_or_unadopted__then_nothing_is_signed(tmp_path: Path) -> None:
    path = tmp_path / "signer.sqlite"
    with pytest.raises(ConfigError, match="missing"):
        Store.open(path)
    made = Store.create(path)
    signer = GuardedSigner(Key(CANARY), POLICY, CAPS, made, ManualClock())
    with pytest.raises(Broken, match="S7"):
        asyncio.run(signer.sign(tx()))
    made.close()
    with pytest.raises(ConfigError, match="cannot be created"):
        Store.create(path)
    whole = path.read_bytes()
    for size in (0, 10, 100, 4096, 5000, len(whole) - 4096, len(whole) - 512):
        path.write_bytes(whole[:size])
        with pytest.raises((Broken, ConfigError)):
            Store.open(path).adopt(CHAIN_ID, 7, "test", 0.0)


def test_open__when_its_pages_are_not_what_was_written__then_damaged_and_nothing_keeps_the_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "signer.sqlite"
    Store.create(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    for _ in range(2):
        with pytest.raises(Broken, match="is damaged"):
            Store.open(path)
    path.write_bytes(whole)
    Store.open(path).close()


@pytest.mark.parametrize("content", [b"", bytes(17), bytes(18), bytes(100), bytes(65_536)])
def test_open__when_its_header_names_no_page_size__then_broken_and_no_traceback(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "signer.sqlite"
    path.write_bytes(content)
    with pytest.raises(Broken, match=f"signer store {path} "):
        Store.open(path)
    assert path.read_bytes() == content


def test_open__when_it_is_somebody_elses_database__then_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "signer.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (id INTEGER)")
    other.commit()
    other.close()
    with pytest.raises(ConfigError, match="no such table: meta"):
        Store.open(path)
    other = sqlite3.connect(path)
    assert [row[0] for row in other.execute("SELECT name FROM sqlite_master")] == ["theirs"]
    other.close()


def test_adopt__when_it_would_go_back__then_refused(signing: Signing) -> None:
    signing.sign(tx())
    with pytest.raises(Broken, match="second time"):
        signing.store.adopt(CHAIN_ID, 7, "oops", 0.0)
    signing.store.adopt(CHAIN_ID, 12, "moved", 0.0)
    signing.sign(tx(12, intent="b#1"))


def test_store__when_a_second_signer_opens_it__then_it_is_refused(signing: Signing) -> None:
    with pytest.raises(ConfigError, match="locked"):
        Store.open(signing.store.path)


def test_store__when_ten_ask_at_once_for_one_nonce__then_one_is_signed(tmp_path: Path) -> None:
    path = tmp_path / "signer.sqlite"
    Signing(path).store.close()
    won: list[str] = []

    def race(name: str) -> None:
        try:
            store = Store.open(path)
        except ConfigError:
            return
        try:
            asyncio.run(GuardedSigner(Key(CANARY), POLICY, CAPS, store, ManualClock()).sign(tx(intent=name)))
            won.append(name)
        except Broken:
            pass
        finally:
            store.close()

    threads = [threading.Thread(target=race, args=(f"{i}#1",)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT count(*) FROM signed").fetchone() == (1,)
    raw.close()


def test_stored__when_the_daemon_never_got_it__then_told_again(signing: Signing) -> None:
    first, second = signing.sign(tx()), signing.sign(cancel(gwei=24, tip=2))
    kept = asyncio.run(signing.signer.stored("a#1"))
    assert [(k.nonce, k.gas_limit, k.cancel, k.signed) for k in kept] == [
        (7, 300_000, False, first),
        (7, 60_000, True, second),
    ]
    assert asyncio.run(signing.signer.stored("b#1")) == ()


def test_stored__when_it_sent_ether_along__then_its_gas_limit_is_the_signed_one(tmp_path: Path) -> None:
    # an order of a perpetual carries the fee of its execution
    store = Store.create(tmp_path / "signer.sqlite")
    store.adopt(CHAIN_ID, 7, "test", 0.0)
    wanted = replace(tx(), value_wei=7 * 10**15)
    signed = eip1559.sign(wanted, PrivateKey(CANARY))
    payload = eip1559.unsigned_payload(wanted)
    asked = Asked(tx=wanted, intent="a#1", payload=payload, cancel=False, token="", units=0)
    store.sign(asked, CAPS, 1.0, lambda: signed)
    (kept,) = store.stored(CHAIN_ID, "a#1")
    assert (kept.gas_limit, kept.max_fee_wei) == (wanted.gas_limit, wanted.max_fee_wei)
    store.close()


def test_policy_file__when_written_and_read__then_the_same(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(to_text(POLICY, CAPS))
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load(path)
    path.chmod(0o600)
    policy, caps = load(path)
    assert (policy.chain_id, policy.address, policy.fee_wei_max, caps) == (
        POLICY.chain_id,
        POLICY.address,
        POLICY.fee_wei_max,
        CAPS,
    )
    assert set(policy.calls) == set(POLICY.calls)
    for text in ("", "[]", "{}", '{"chain_id": 1}', to_text(POLICY, CAPS).replace("fee_wei_max", "fee_max")):
        path.write_text(text)
        with pytest.raises(ConfigError, match="policy"):
            load(path)
