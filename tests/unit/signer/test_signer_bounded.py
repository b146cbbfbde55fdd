"""What the signer signs for an owner's GmxV2Executor: three calls, guarded positions, nothing unbounded."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from keeper.allowed import Venued
from keeper.executor import perp, perp_bounded
from keeper.executor.perp_bounded import BoundedOrder
from keeper.seams import TxFields
from keeper.signer.bounded import AllowedBounded
from keeper.signer.calls import calls_of
from keeper.signer.policy import SigningPolicy, spend_of
from keeper.units import UINT256_MAX

pytestmark = pytest.mark.unit

EXECUTOR, VAULT, MARKET, USDC, INDEX, OWNER, THIEF, WALLET = (
    "0x" + f"{n:02x}" * 20 for n in range(0x11, 0x19)
)
PRICE, FEE, FEE_MAX, MARGIN_MAX = 2_000 * 10**12, 10**16, 10**17, 5_000 * 10**6
ORDER = "0x" + "ab" * 32


def venue(long: bool = True) -> Venued:
    return Venued(
        spender=EXECUTOR,
        units_max={USDC: MARGIN_MAX},
        accounts=(OWNER,),
        terms=(EXECUTOR, VAULT, MARKET, USDC, int(long), INDEX, 1),
        prices={INDEX: PRICE},
        fee_wei_max=FEE_MAX,
    )


def key(account: str = OWNER, long: bool = True) -> str:
    return perp_bounded.position_key(account, MARKET, USDC, long)


def policy(venued: Venued) -> SigningPolicy:
    return SigningPolicy(
        chain_id=1,
        address=WALLET,
        calls=calls_of("gmx_v2", venued),
        fee_wei_max=10**18,
        gas_limit_max=5_000_000,
    )


LONG, SHORT = policy(venue()), policy(venue(long=False))
ADD = BoundedOrder(
    position=key(), seq=7, adds=True, amount=10**8, worst_price=0, fee_wei=FEE, deadline_s=1_700_000_300
)
REDUCE = replace(ADD, adds=False, amount=10**33, worst_price=PRICE * 97 // 100)
SELL, BUY = replace(REDUCE, worst_price=PRICE // 4), replace(REDUCE, position=key(long=False))


def refuses(data: bytes | BoundedOrder, by: SigningPolicy = LONG, to: str = EXECUTOR) -> str | None:
    data = data if isinstance(data, bytes) else perp_bounded.calldata(data)
    tx = TxFields(
        chain_id=1,
        nonce=0,
        to=to,
        data=data,
        value_wei=perp.fee_wei(data),
        gas_limit=3_000_000,
        max_fee_wei=10**9,
        tip_wei=1,
    )
    return by.refuses(tx)


@pytest.mark.parametrize(
    ("order", "by"),
    [
        (ADD, LONG),
        (replace(ADD, amount=1, fee_wei=1), LONG),
        (replace(ADD, amount=MARGIN_MAX, fee_wei=FEE_MAX), LONG),
        (REDUCE, LONG),
        (replace(REDUCE, amount=1), LONG),
        (SELL, LONG),
        (replace(ADD, position=key(long=False)), SHORT),
        (BUY, SHORT),
        (replace(BUY, worst_price=1), SHORT),
        (replace(BUY, worst_price=PRICE * 4), SHORT),
    ],
)
def test_order__up_to_its_bounds__is_signed(order: BoundedOrder, by: SigningPolicy) -> None:
    assert refuses(order, by) is None


@pytest.mark.parametrize(
    ("order", "by", "words"),
    [
        (replace(ADD, position=key(THIEF)), LONG, "addMargin: position 0x.* is not guarded"),
        (replace(REDUCE, position=key(THIEF)), LONG, "reduce: position 0x.* is not guarded"),
        (replace(ADD, position=key(long=False)), LONG, "is not guarded"),
        (replace(ADD, fee_wei=0), LONG, "addMargin: a fee of 0 wei is not within 1.."),
        (replace(ADD, fee_wei=FEE_MAX + 1), LONG, "addMargin: a fee of 100000000000000001 wei is not within"),
        (replace(REDUCE, fee_wei=FEE_MAX + 1), LONG, "reduce: a fee of"),
        (replace(ADD, amount=0), LONG, "addMargin: margin of 0 is not within 1..5000000000"),
        (replace(ADD, amount=MARGIN_MAX + 1), LONG, "margin of 5000000001 is not within"),
        (replace(REDUCE, amount=0), LONG, "reduce: a decrease closes size"),
        (replace(SELL, worst_price=PRICE // 4 - 1), LONG, "a long may not be closed at .*, below"),
        (replace(SELL, worst_price=0), LONG, "a long may not be closed at 0, below"),
        (replace(BUY, worst_price=PRICE * 4 + 1), SHORT, "a short may not be closed at .*, above"),
        (replace(BUY, worst_price=0), SHORT, "a short may not be closed at 0, above"),
    ],
)
def test_order__one_step_outside__is_not_signed_and_told_by_name(
    order: BoundedOrder, by: SigningPolicy, words: str
) -> None:
    assert re.search(words, refuses(order, by) or "")


@pytest.mark.parametrize("order", [ADD, REDUCE])
def test_bytes__of_an_order_with_any_one_changed__are_refused_or_an_order_within_its_bounds(
    order: BoundedOrder,
) -> None:
    data = perp_bounded.calldata(order)
    for i in range(len(data)):
        changed = data[:i] + bytes([data[i] ^ 0x80]) + data[i + 1 :]
        if refuses(changed) is None:
            read = perp_bounded.order_from(changed)
            assert isinstance(read, BoundedOrder)
            # number and deadline are the contract's to judge; where, how much and at what price is ours
            assert read.position == key()
            assert 0 < read.fee_wei <= FEE_MAX
            assert not read.adds or 0 < read.amount <= MARGIN_MAX
            assert read.adds or read.worst_price >= PRICE // 4
    for tail in (b"\0", b"\0" * 32):
        assert (refuses(data + tail) or "").endswith("calldata is not canonical")
    assert refuses(data[:-1]) is not None
    assert "target" in (refuses(data, to=THIEF) or "")


def test_take_back__of_a_guarded_position_alone__is_signed() -> None:
    assert refuses(perp_bounded.take_back(key(), ORDER)) is None
    assert refuses(perp_bounded.take_back(key(THIEF), ORDER)) == (
        f"takeBack: position {key(THIEF)} is not guarded"
    )
    assert refuses(perp_bounded.take_back(key(), ORDER) + b"\0") == (
        "takeBack: not exactly a position and an order"
    )


def test_value__other_than_the_fee_that_is_said__is_not_sent_along() -> None:
    data = perp_bounded.calldata(ADD)
    tx = TxFields(
        chain_id=1,
        nonce=0,
        to=EXECUTOR,
        data=data,
        value_wei=FEE + 1,
        gas_limit=3_000_000,
        max_fee_wei=10**9,
        tip_wei=1,
    )
    assert LONG.refuses(tx) == f"value {FEE + 1} wei, only {FEE} is allowed"
    back = replace(tx, data=perp_bounded.take_back(key(), ORDER), value_wei=1)
    assert LONG.refuses(back) == "value 1 wei, only 0 is allowed"


def test_calls__through_an_executor__are_its_three_for_every_guarded_account_of_that_side() -> None:
    calls = calls_of("gmx_v2", replace(venue(), accounts=(OWNER, WALLET)))
    rules = {c.does: c for c in calls if isinstance(c, AllowedBounded)}
    assert list(rules) == ["takeBack", "addMargin", "reduce"]
    assert {r.selector for r in rules.values()} == {
        perp_bounded.ADD,
        perp_bounded.REDUCE,
        perp_bounded.TAKE_BACK,
    }
    for rule in rules.values():
        assert (rule.target, rule.collateral, rule.long) == (EXECUTOR, USDC, True)
        assert rule.positions == {key(), key(WALLET)}
        assert (rule.units_max, rule.fee_wei_max) == (MARGIN_MAX, FEE_MAX)
        assert (rule.price_least, rule.price_most) == (PRICE // 4, PRICE * 4)
    unpriced = calls_of("gmx_v2", replace(venue(), units_max={USDC: None}))
    assert {c.units_max for c in unpriced if isinstance(c, AllowedBounded)} == {UINT256_MAX - 1}


def test_calls__of_an_index_that_is_worth_next_to_nothing__are_all_three() -> None:
    assert len(calls_of("gmx_v2", replace(venue(), prices={INDEX: 1}))) == 3


@pytest.mark.parametrize("prices", [{}, {INDEX: 0}, {INDEX: -1}])
def test_calls__while_the_index_has_no_price__are_taking_back_alone(prices: dict[str, int]) -> None:
    blind = policy(replace(venue(), prices=prices))
    assert [c.does for c in blind.calls if isinstance(c, AllowedBounded)] == ["takeBack"]
    assert refuses(perp_bounded.take_back(key(), ORDER), blind) is None
    assert "selector" in (refuses(ADD, blind) or "")
    assert "selector" in (refuses(REDUCE, blind) or "")


def test_spend__of_margin__is_the_owners_token_of_that_position_and_of_all_else_nothing() -> None:
    other = replace(venue(), accounts=(THIEF,), terms=(EXECUTOR, VAULT, MARKET, WALLET, 1, INDEX, 1))
    rules = (*calls_of("gmx_v2", other), *LONG.calls)
    assert spend_of(perp_bounded.calldata(ADD), rules) == (USDC, 10**8)
    # of a position that no rule knows nobody can say the token; its policy refuses it before that is asked
    assert spend_of(perp_bounded.calldata(ADD), calls_of("gmx_v2", other)) == ("", 10**8)
    assert "is not guarded" in (refuses(ADD, policy(other)) or "")
    assert spend_of(perp_bounded.calldata(REDUCE), rules) == ("", 0)
    assert spend_of(perp_bounded.ADD + b"\0", rules) == ("", 0)
    assert spend_of(perp_bounded.take_back(key(), ORDER), rules) == ("", 0)
