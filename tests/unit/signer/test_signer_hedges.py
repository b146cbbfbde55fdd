"""What a hedge's key may sign: a short of one owner's slot, opened up to its caps or made smaller, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.executor import perp
from keeper.executor.perp import DECREASE, INCREASE, STOP_LOSS, PerpOrderCall
from keeper.seams import TxFields
from keeper.signer.hedges import AllowedHedge
from keeper.signer.policy import SigningPolicy

pytestmark = pytest.mark.unit

ROUTER, VAULT, MARKET, USDC, OWNER, THIEF, KEY = ("0x" + f"{n:02x}" * 20 for n in range(0x11, 0x18))
USD, PRICE, FEE = 10**30, 2_000 * 10**12, 10**16
RULE = AllowedHedge(
    target=ROUTER,
    vault=VAULT,
    market=MARKET,
    collateral=USDC,
    account=OWNER,
    size_usd_max=2_000 * USD,
    units_max=1_000 * 10**6,
    leverage_max=3,
    collateral_price=10**24,
    fee_wei_max=10**17,
    price_least=PRICE // 4,
    price_most=PRICE * 4,
)
POLICY = SigningPolicy(chain_id=1, address=KEY, calls=(RULE,), fee_wei_max=10**18, gas_limit_max=5_000_000)
OPENS = PerpOrderCall(
    account=OWNER,
    market=MARKET,
    collateral=USDC,
    long=False,
    vault=VAULT,
    kind=INCREASE,
    size_usd=1_500 * USD,
    units=500 * 10**6,
    trigger_price=0,
    worst_price=PRICE * 99 // 100,
    fee_wei=FEE,
)
CLOSES = replace(OPENS, kind=DECREASE, units=0, worst_price=PRICE * 101 // 100)


def refuses(order: PerpOrderCall | bytes, to: str = ROUTER) -> str | None:
    data = order if isinstance(order, bytes) else perp.calldata(order)
    return POLICY.refuses(
        TxFields(
            chain_id=1,
            nonce=0,
            to=to,
            data=data,
            value_wei=perp.fee_wei(data),
            gas_limit=3_000_000,
            max_fee_wei=10**10,
            tip_wei=0,
        )
    )


def test_hedge__opens_within_its_caps_or_closes__is_signed() -> None:
    assert refuses(OPENS) is None
    assert refuses(replace(OPENS, size_usd=RULE.size_usd_max, units=700 * 10**6)) is None
    assert refuses(replace(OPENS, units=1, size_usd=1)) is None
    assert refuses(replace(OPENS, worst_price=PRICE // 4, fee_wei=10**17)) is None
    assert refuses(CLOSES) is None
    assert refuses(replace(CLOSES, size_usd=1, worst_price=PRICE * 4, fee_wei=1)) is None
    assert refuses(replace(CLOSES, worst_price=1)) is None


WRONG = [
    (replace(OPENS, size_usd=RULE.size_usd_max + 1, units=900 * 10**6), "a size of"),
    (replace(OPENS, size_usd=0), "a size of 0"),
    (replace(OPENS, units=RULE.units_max + 1), "margin of"),
    (replace(OPENS, units=0), "margin of 0"),
    (replace(OPENS, fee_wei=0), "a fee of 0"),
    (replace(OPENS, size_usd=1_500 * USD + 1), "3 times the margin"),
    (replace(OPENS, worst_price=PRICE // 4 - 1), "may not be opened at"),
    (replace(OPENS, long=True), "a long"),
    (replace(OPENS, account=THIEF), "account"),
    (replace(OPENS, vault=THIEF), "order vault"),
    (replace(OPENS, market=THIEF), "market"),
    (replace(OPENS, collateral=THIEF), "collateral"),
    (replace(OPENS, fee_wei=10**17 + 1), "a fee of"),
    (replace(OPENS, kind=STOP_LOSS), "order type 6"),
    (replace(CLOSES, kind=5), "order type 5"),
    (replace(CLOSES, units=1), "a decrease closes size"),
    (replace(CLOSES, size_usd=0), "a decrease closes size"),
    (replace(CLOSES, worst_price=PRICE * 4 + 1), "may not be bought back"),
    (replace(CLOSES, worst_price=0), "may not be bought back"),
    (perp.calldata(OPENS) + b"\0" * 32, "not what the keeper writes"),
    (perp.cancel("0x" + "11" * 32), "selector"),
]


@pytest.mark.parametrize(("order", "words"), WRONG)
def test_hedge__asked_for_anything_else__signs_nothing(order: PerpOrderCall | bytes, words: str) -> None:
    why = refuses(order)
    assert why is not None
    assert words in why


def test_hedge__to_another_contract__signs_nothing() -> None:
    assert "target" in (refuses(OPENS, to=THIEF) or "")
