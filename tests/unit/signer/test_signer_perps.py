"""What the signer signs of GMX's router: every argument has a rule, and what has none cannot be said."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken
from keeper.executor import perp
from keeper.executor.perp import DECREASE, INCREASE, STOP_LOSS, PerpOrderCall
from keeper.seams import TxFields
from keeper.signer.calls import Venued, calls_of
from keeper.signer.guarded import GuardedSigner
from keeper.signer.key import Key
from keeper.signer.perps import AllowedPerp
from keeper.signer.policy import SigningPolicy, spend_of
from keeper.signer.policy_file import _perp_in, _perp_out
from keeper.signer.store import DayCaps, Store
from tests.keystores import CANARY, address_of

pytestmark = pytest.mark.unit

ROUTER, VAULT, MARKET, USDC, INDEX = ("0x" + f"{n:02x}" * 20 for n in (0x11, 0x22, 0x33, 0x44, 0x55))
OWNER, THIEF, WALLET = ("0x" + f"{n:02x}" * 20 for n in (0x66, 0x77, 0x88))
PRICE = 2_000 * 10**12
FEE = 10**16

VENUE = Venued(
    spender=ROUTER,
    units_max={USDC: 5_000 * 10**6},
    accounts=(OWNER,),
    terms=(ROUTER, VAULT, MARKET, USDC, 1, INDEX),
    prices={INDEX: PRICE},
    fee_wei_max=10**17,
)
POLICY = SigningPolicy(
    chain_id=1, address=WALLET, calls=calls_of("gmx_v2", VENUE), fee_wei_max=10**18, gas_limit_max=5_000_000
)
TOP_UP = PerpOrderCall(
    account=OWNER,
    market=MARKET,
    collateral=USDC,
    long=True,
    vault=VAULT,
    kind=INCREASE,
    size_usd=0,
    units=10**8,
    trigger_price=0,
    worst_price=PRICE,
    fee_wei=FEE,
)
REDUCE = replace(TOP_UP, kind=DECREASE, size_usd=10**33, units=0, worst_price=PRICE * 97 // 100)


def refuses(
    data: bytes, value_wei: int = FEE, to: str = ROUTER, policy: SigningPolicy = POLICY
) -> str | None:
    tx = TxFields(
        chain_id=1,
        nonce=0,
        to=to,
        data=data,
        value_wei=value_wei,
        gas_limit=3_000_000,
        max_fee_wei=10**9,
        tip_wei=1,
    )
    return policy.refuses(tx)


@pytest.mark.parametrize(
    "order",
    [TOP_UP, REDUCE, replace(REDUCE, kind=STOP_LOSS, trigger_price=PRICE, worst_price=PRICE * 9 // 10)],
)
def test_orders__as_the_keeper_writes_them__signed(order: PerpOrderCall) -> None:
    assert refuses(perp.calldata(order)) is None
    read = perp.order_from(perp.calldata(order))
    assert isinstance(read, PerpOrderCall)
    assert read.fee_wei == FEE


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (replace(TOP_UP, account=THIEF), "not guarded"),
        (replace(TOP_UP, market=THIEF), "market"),
        (replace(TOP_UP, collateral=THIEF), "collateral"),
        (replace(TOP_UP, vault=THIEF), "vault"),
        (replace(TOP_UP, long=False), "short side"),
        (replace(TOP_UP, size_usd=10**30), "never size"),
        (replace(TOP_UP, units=6_000 * 10**6), "not within"),
        (replace(TOP_UP, units=0), "not within"),
        (replace(TOP_UP, kind=3), "order type 3"),
        (replace(REDUCE, units=5), "sends nothing"),
        (replace(REDUCE, size_usd=0), "sends nothing"),
        (replace(REDUCE, worst_price=PRICE // 5), "may not be closed"),
    ],
)
def test_orders__one_argument_wrong__not_signed(order: PerpOrderCall, words: str) -> None:
    assert words in (refuses(perp.calldata(order)) or "")


SHORT = replace(
    POLICY, calls=calls_of("gmx_v2", replace(VENUE, terms=(*VENUE.terms[:4], 0, *VENUE.terms[5:])))
)
BACK = replace(REDUCE, long=False, worst_price=PRICE * 103 // 100)


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        (POLICY, replace(REDUCE, worst_price=PRICE // 4)),
        (POLICY, replace(TOP_UP, units=5_000 * 10**6, fee_wei=10**17)),
        (SHORT, replace(BACK, worst_price=1)),
        (SHORT, replace(BACK, worst_price=PRICE * 4)),
    ],
)
def test_orders__at_their_very_bounds__signed(policy: SigningPolicy, order: PerpOrderCall) -> None:
    assert refuses(perp.calldata(order), order.fee_wei, policy=policy) is None


@pytest.mark.parametrize(
    ("policy", "order", "words"),
    [
        (POLICY, replace(REDUCE, worst_price=PRICE // 4 - 1), "a long may not be closed at"),
        (POLICY, replace(TOP_UP, units=5_000 * 10**6 + 1), "margin of 5000000001 is not within"),
        (POLICY, replace(TOP_UP, fee_wei=10**17 + 1), "a fee of 100000000000000001 wei"),
        (POLICY, replace(TOP_UP, fee_wei=0), "a fee of 0 wei"),
        (SHORT, replace(BACK, worst_price=PRICE * 4 + 1), "a short may not be closed at"),
        (SHORT, replace(BACK, worst_price=0), "a short may not be closed at 0"),
        (SHORT, replace(BACK, long=True), "the long side is not guarded"),
    ],
)
def test_orders__one_step_outside__not_signed(
    policy: SigningPolicy, order: PerpOrderCall, words: str
) -> None:
    assert words in (refuses(perp.calldata(order), order.fee_wei, policy=policy) or "")


def test_multicall__of_bytes_that_are_no_order__not_signed_and_spends_nothing() -> None:
    data = perp.MULTICALL + b"\0" * 64
    allowed = next(c for c in POLICY.calls if isinstance(c, AllowedPerp))
    assert allowed.refuses(data) == perp.order_from(data)
    assert refuses(data, 0) == perp.order_from(data)
    assert spend_of(data) == ("", 0)


def test_value__other_than_the_fee_it_says__not_signed() -> None:
    data = perp.calldata(TOP_UP)
    assert "value" in (refuses(data, FEE + 1) or "")
    assert "value" in (refuses(data, 0) or "")
    dear = replace(TOP_UP, fee_wei=10**18)
    assert "fee" in (refuses(perp.calldata(dear), 10**18) or "")
    assert "value" in (refuses(perp.cancel("0x" + "ab" * 32), 1) or "")


def test_bytes__receiver_callback_or_tail_changed__not_signed() -> None:
    data = perp.calldata(REDUCE)
    owner = bytes.fromhex(OWNER[2:])
    at = [i for i in range(len(data)) if data[i : i + 20] == owner]
    assert len(at) == 3  # account, receiver, receiver of cancellations
    for i in at:
        other = data[:i] + bytes.fromhex(THIEF[2:]) + data[i + 20 :]
        assert refuses(other) is not None
    for i in range(4, len(data)):
        changed = data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]
        order = perp.order_from(changed)
        # whatever still decodes differs only in what has a rule of its own
        assert isinstance(order, str) or perp.calldata(order) == changed
    assert refuses(data + b"\0" * 32) is not None


def test_cancel__exactly_one_key__signed_and_nothing_else() -> None:
    assert refuses(perp.cancel("0x" + "ab" * 32), 0) is None
    assert refuses(perp.cancel("0x" + "ab" * 32) + b"\0", 0) is not None
    assert refuses(perp.cancel("0x" + "ab" * 32), 0, to=THIEF) is not None


def test_spend__of_a_top_up__is_its_margin() -> None:
    assert spend_of(perp.calldata(TOP_UP)) == (USDC, 10**8)
    assert spend_of(perp.calldata(REDUCE)) == ("", 0)


def test_policy__through_its_file__is_the_same() -> None:
    allowed = next(c for c in POLICY.calls if isinstance(c, AllowedPerp))
    assert _perp_in(_perp_out(allowed)) == allowed


def test_calls__index_without_a_price__nothing_but_taking_back() -> None:
    calls = calls_of("gmx_v2", replace(VENUE, prices={}))
    assert [type(c).__name__ for c in calls] == ["AllowedCancel"]
    priced = calls_of("gmx_v2", replace(VENUE, prices={INDEX: 1}))
    assert [type(c).__name__ for c in priced] == ["AllowedPerp", "AllowedCancel"]


def test_day__fees_of_executions_sent_with_orders__count_beside_gas(tmp_path: Path) -> None:
    gas_wei = 3_000_000 * 10**9
    store = Store.create(tmp_path / "signer.sqlite")
    with contextlib.closing(store):
        store.adopt(1, 0, "test", 0.0)
        caps = DayCaps(fee_wei=3 * gas_wei + 2 * FEE, units={})
        signer = GuardedSigner(Key(CANARY), replace(POLICY, address=address_of()), caps, store, ManualClock())

        def ask(nonce: int) -> None:
            tx = TxFields(
                chain_id=1,
                nonce=nonce,
                to=ROUTER,
                data=perp.calldata(REDUCE),
                value_wei=FEE,
                gas_limit=3_000_000,
                max_fee_wei=10**9,
                tip_wei=1,
                intent=f"{nonce}#1",
            )
            asyncio.run(signer.sign(tx))

        ask(0)
        ask(1)
        # by gas alone a third one fits
        with pytest.raises(Broken, match=f"fees would reach {3 * (gas_wei + FEE)} wei"):
            ask(2)
