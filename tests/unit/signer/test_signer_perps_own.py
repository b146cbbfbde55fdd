"""The owner's own key on GMX's ExchangeRouter: each argument of an order has a rule, the account is the key's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode

from keeper.allowed import Venued
from keeper.executor import perp
from keeper.executor.perp import DECREASE, INCREASE, PARAMS, STOP_LOSS, PerpOrderCall
from keeper.seams import TxFields
from keeper.signer.calls import calls_of
from keeper.signer.hedges import AllowedHedge
from keeper.signer.perps import AllowedPerp
from keeper.signer.policy import SigningPolicy, spend_of
from keeper.signer.policy_file import _perp_in, _perp_out

pytestmark = pytest.mark.unit

ROUTER, VAULT, MARKET, USDC, INDEX = ("0x" + f"{n:02x}" * 20 for n in (0x11, 0x22, 0x33, 0x44, 0x55))
OWNER, THIEF, OTHER = ("0x" + f"{n:02x}" * 20 for n in (0x66, 0x77, 0x88))
ZERO = "0x" + "00" * 20
PRICE = 2_000 * 10**12
FEE = 10**16
VENUE = Venued(
    spender=ROUTER,
    units_max={USDC: 5_000 * 10**6},
    accounts=(OWNER, OTHER),
    terms=(ROUTER, VAULT, MARKET, USDC, 1, INDEX, OWNER),
    prices={INDEX: PRICE},
    fee_wei_max=10**17,
)
POLICY = SigningPolicy(
    chain_id=1, address=OWNER, calls=calls_of("gmx_v2", VENUE), fee_wei_max=10**18, gas_limit_max=5_000_000
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
    own=True,
)
REDUCE = replace(TOP_UP, kind=DECREASE, size_usd=10**33, units=0, worst_price=PRICE * 97 // 100)


def refuses(data: bytes, value_wei: int = FEE, policy: SigningPolicy = POLICY) -> str | None:
    tx = TxFields(
        chain_id=1,
        nonce=0,
        to=ROUTER,
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
def test_orders__of_the_key_s_own_account__signed_and_read_back(order: PerpOrderCall) -> None:
    data = perp.calldata(order)
    assert refuses(data) is None
    assert perp.order_from(data) == order
    assert perp.fee_wei(data) == FEE
    assert spend_of(data) == ((USDC, 10**8) if order.units else ("", 0))
    assert refuses(perp.cancel("0x" + "ab" * 32), 0) is None


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (replace(TOP_UP, account=THIEF), "not guarded"),
        (replace(TOP_UP, account=OTHER), "not guarded"),
        (replace(TOP_UP, own=False), "an order by a subaccount, where the account itself orders"),
        (replace(TOP_UP, market=THIEF), "market"),
        (replace(TOP_UP, collateral=THIEF), "collateral"),
        (replace(TOP_UP, vault=THIEF), "vault"),
        (replace(TOP_UP, long=False), "short side"),
        (replace(TOP_UP, size_usd=10**30), "never size"),
        (replace(TOP_UP, units=5_000 * 10**6 + 1), "not within"),
        (replace(TOP_UP, units=0), "not within"),
        (replace(TOP_UP, kind=3), "order type 3"),
        (replace(REDUCE, units=5), "sends nothing"),
        (replace(REDUCE, size_usd=0), "sends nothing"),
        (replace(REDUCE, worst_price=PRICE // 4 - 1), "may not be closed"),
        (replace(REDUCE, fee_wei=10**17 + 1), "a fee of"),
        (replace(REDUCE, fee_wei=0), "a fee of"),
    ],
)
def test_orders__one_argument_wrong__not_signed(order: PerpOrderCall, words: str) -> None:
    assert words in (refuses(perp.calldata(order), order.fee_wei) or "")


def test_value__other_than_the_fee__not_signed() -> None:
    assert "value" in (refuses(perp.calldata(TOP_UP), FEE + 1) or "")
    # margin in the chain's own token is sent as its token: it never adds to the value
    assert "value" in (refuses(perp.calldata(TOP_UP), FEE + TOP_UP.units) or "")


ADDRESSES: tuple[Any, ...] = (OWNER, OWNER, ZERO, ZERO, MARKET, USDC, [])
NUMBERS = (10**33, 0, 0, PRICE * 97 // 100, FEE, 0, 0, 0)
REST: tuple[Any, ...] = (DECREASE, 0, True, False, False, b"\0" * 32, [])


def raw(
    addresses: tuple[Any, ...] = ADDRESSES,
    numbers: tuple[int, ...] = NUMBERS,
    rest: tuple[Any, ...] = REST,
    calls: Callable[[bytes, bytes], list[bytes]] = lambda fee, order: [fee, order],
) -> bytes:
    """A multicall of the router with anything at all in it."""
    fee = perp.SEND_WNT + encode(["address", "uint256"], [VAULT, FEE])
    order = perp.CREATE_OWN + encode([PARAMS], [(addresses, numbers, *rest)])
    return perp.MULTICALL + encode(["bytes[]"], [calls(fee, order)])


def sent_wnt(to: str) -> bytes:
    return perp.SEND_WNT + encode(["address", "uint256"], [to, FEE])


def sent_tokens(to: str) -> bytes:
    return perp.SEND_TOKENS + encode(["address", "address", "uint256"], [USDC, to, 10**8])


def put(values: tuple[Any, ...], at: int, value: object) -> tuple[Any, ...]:
    return (*values[:at], value, *values[at + 1 :])


def test_raw__as_the_keeper_writes_it__is_the_keeper_s() -> None:
    assert raw() == perp.calldata(REDUCE)


@pytest.mark.parametrize(
    ("named", "data"),
    [
        ("receiver", raw(put(ADDRESSES, 0, THIEF))),
        ("cancellationReceiver", raw(put(ADDRESSES, 1, THIEF))),
        ("no cancellationReceiver", raw(put(ADDRESSES, 1, ZERO))),
        ("callbackContract", raw(put(ADDRESSES, 2, THIEF))),
        ("uiFeeReceiver", raw(put(ADDRESSES, 3, THIEF))),
        ("swapPath", raw(put(ADDRESSES, 6, [MARKET]))),
        ("margin taken out", raw(numbers=put(NUMBERS, 1, 10**6))),
        ("executionFee beside what is sent", raw(numbers=put(NUMBERS, 4, FEE - 1))),
        ("callbackGasLimit", raw(numbers=put(NUMBERS, 5, 1))),
        ("minOutputAmount", raw(numbers=put(NUMBERS, 6, 1))),
        ("validFromTime", raw(numbers=put(NUMBERS, 7, 2**40))),
        ("decreasePositionSwapType", raw(rest=put(REST, 1, 1))),
        ("shouldUnwrapNativeToken", raw(rest=put(REST, 3, True))),
        ("autoCancel", raw(rest=put(REST, 4, True))),
        ("referralCode", raw(rest=put(REST, 5, b"\1" * 32))),
        ("dataList", raw(rest=put(REST, 6, [b"\1" * 32]))),
        ("the fee sent elsewhere", raw(calls=lambda _, order: [sent_wnt(THIEF), order])),
        ("margin sent elsewhere", raw(calls=lambda fee, order: [fee, sent_tokens(THIEF), order])),
        ("margin with a decrease", raw(calls=lambda fee, order: [fee, sent_tokens(VAULT), order])),
        ("a fourth call", raw(calls=lambda fee, order: [fee, sent_tokens(VAULT), order, order])),
        ("an order alone", raw(calls=lambda _, order: [order])),
        ("sendTokens in the order's place", raw(calls=lambda fee, _: [fee, sent_tokens(THIEF)])),
        ("a tail", raw() + b"\0" * 32),
    ],
)
def test_bytes__of_anything_that_the_keeper_never_says__not_signed(named: str, data: bytes) -> None:
    # whatever it is worth
    assert all(refuses(data, wei) for wei in (0, FEE - 1, FEE)), named


def test_policy__whose_account_is_not_the_key_s__signs_no_order() -> None:
    other = replace(POLICY, address=OTHER)
    assert "is not the key's own account" in (refuses(perp.calldata(REDUCE), policy=other) or "")


def test_policy__of_a_subaccount__signs_no_order_of_its_own_account() -> None:
    through = replace(VENUE, terms=VENUE.terms[:6])
    policy = replace(POLICY, calls=calls_of("gmx_v2", through))
    why = refuses(perp.calldata(REDUCE), policy=policy) or ""
    assert "an order by the account itself, where a subaccount orders" in why


def test_hedge__by_its_key_s_own_account__not_signed() -> None:
    rule = AllowedHedge(
        target=ROUTER,
        vault=VAULT,
        market=MARKET,
        collateral=USDC,
        account=OWNER,
        size_usd_max=10**34,
        units_max=10**10,
        leverage_max=5,
        collateral_price=10**24,
        fee_wei_max=10**17,
        price_least=1,
        price_most=PRICE * 4,
    )
    short = replace(REDUCE, long=False, own=False, worst_price=PRICE)
    assert rule.refuses(perp.calldata(short)) is None
    assert "own account" in (rule.refuses(perp.calldata(replace(short, own=True))) or "")


def test_policy__through_its_file__is_the_same_and_an_older_file_is_a_subaccount_s() -> None:
    allowed = next(c for c in POLICY.calls if isinstance(c, AllowedPerp))
    assert allowed.own
    assert allowed.accounts == {OWNER}
    body = _perp_out(allowed)
    assert _perp_in(body) == allowed
    with pytest.raises(ValueError, match="own is not"):
        _perp_in({**body, "own": "yes"})
    assert _perp_in({k: v for k, v in body.items() if k != "own"}) == replace(allowed, own=False)
