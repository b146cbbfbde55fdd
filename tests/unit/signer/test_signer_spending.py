"""What counts for the day: everything that leaves the wallet or an Executor's reserve, and what is sold."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.allowed import AllowedCall, Venued
from keeper.clock import ManualClock
from keeper.daemon.senders import ACTIONS_PER_DAY
from keeper.errors import Broken
from keeper.executor import abi, vault
from keeper.model import Amount, Side, Token
from keeper.seams import TxFields
from keeper.signer.calls import KINDS as NESTED
from keeper.signer.calls import calls_of
from keeper.signer.guarded import GuardedSigner
from keeper.signer.key import Key
from keeper.signer.policy import SigningPolicy, spend_of
from keeper.signer.spending import SALES_PER_DAY, Spend, spent
from keeper.signer.store import DAY_S, DayCaps, Store
from keeper.units import UINT256_MAX, WAD
from keeper.venues import registry
from tests.build import USDC, WETH
from tests.keystores import CANARY, address_of
from tests.mandates import EXECUTOR, KEY, NOW_S, sale
from tests.unit.signer.test_signer_orders import ORDER, POLICY, paid_in, tx
from tests.unit.signer.test_signer_vaults import DAI, GEM, LOCK, VENUED, WIPE

pytestmark = pytest.mark.unit
SOLD = f"sale of {WETH.address.lower()} from {KEY.lower()} by {EXECUTOR.lower()}"
GUARDED = replace(POLICY, address=address_of(), calls=calls_of("maker", VENUED))
Ask = Callable[..., str]


def test_sales_per_day__are_as_many_as_the_dearest_fees_of_a_day() -> None:
    assert SALES_PER_DAY == ACTIONS_PER_DAY


@pytest.mark.parametrize("kind", sorted({k.name for k in registry.KINDS} - set(NESTED)))
def test_calls__of_every_kind_that_pay_out_of_the_wallet__are_counted_as_spent(kind: str) -> None:
    token, other = "0x" + "Da" * 20, "0x" + "Db" * 20
    terms = (other, token, other, other, 86 * 10**16) if kind == "morpho_blue" else ()
    venue = Venued(spender=other, units_max={token: 7}, accounts=("0x" + "Ea" * 20,), terms=terms)
    rules = [r for r in registry.signed(kind, venue) if isinstance(r, AllowedCall)]
    assert rules
    for rule in rules:
        # every word is one, and a wei is spent of whatever the token's word names
        data = rule.selector + b"".join((1).to_bytes(32) for _ in rule.arguments)
        assert spend_of(data, rules) == ("0x" + "00" * 19 + "01", 1), rule.name


@pytest.mark.parametrize("side, token, units", [(Side.DEBT, USDC, 5 * 10**9), (Side.COLLATERAL, WETH, WAD)])
def test_spend__of_a_pay_in__is_what_the_executor_pulls_of_the_owner_s(
    side: Side, token: Token, units: int
) -> None:
    address = token.address.lower()
    assert spend_of(paid_in(side)) == (address, units)
    assert spend_of(paid_in(side)[:-1]) == ("", 0)
    named = spent(tx(paid_in(side)), POLICY, {address: 9})
    assert named == Spend(what=address, units=units, most=9)
    assert spent(tx(paid_in(side)), POLICY, {}).most == UINT256_MAX, "the Executor's own caps bound it"


def test_spend__of_the_wallet__in_a_token_without_a_cap_is_nothing_at_all() -> None:
    lock = replace(tx(vault.calldata(LOCK)), to=LOCK.actions)
    assert spent(lock, GUARDED, {}) == Spend(what=GEM.lower(), units=50, most=0)


def test_spend__of_a_sale__is_a_sum_of_its_own_that_any_day_s_cap_fits_into() -> None:
    asked = tx(abi.deleverage(sale()).data)
    one = 6 * WAD
    assert spent(asked, POLICY, {}) == Spend(what=SOLD, units=5 * WAD, most=24 * one)
    weth = WETH.address.lower()
    assert spent(asked, POLICY, {weth: 24 * one + 1}).most == 24 * one + 1
    assert spent(asked, POLICY, {weth: 24 * one - 1}).most == 24 * one
    unpriced = replace(POLICY, orders=(replace(ORDER, collateral={weth: None}),))
    assert spent(asked, unpriced, {weth: 1}) == Spend(what=SOLD, units=5 * WAD, most=UINT256_MAX)


def test_spend__of_a_sale__is_by_the_rule_of_its_own_executor_and_position() -> None:
    weth = WETH.address.lower()
    others = (
        replace(ORDER, target="0x" + "12" * 20, collateral={weth: 10**30}),
        replace(ORDER, position="0x" + "13" * 32, collateral={weth: 10**30}),
    )
    policy = replace(POLICY, orders=(*others, replace(ORDER, target=EXECUTOR.upper().replace("X", "x"))))
    assert spent(tx(abi.deleverage(sale()).data), policy, {}).most == 24 * 6 * WAD


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """A signer over a store, asked for one transaction after another: why not, or nothing."""
    caps = DayCaps(
        fee_wei=WAD,
        units={
            USDC.address.lower(): 12 * 10**9,
            GEM.lower(): 100,
            DAI.lower(): 140,
            WETH.address.lower(): 3 * WAD,
        },
    )
    clock = ManualClock(float(NOW_S))
    with contextlib.closing(Store.create(tmp_path / "signer.sqlite")) as store:
        store.adopt(POLICY.chain_id, 0, "test", 0.0)
        policy: SigningPolicy = replace(
            GUARDED, orders=(replace(ORDER, collateral={WETH.address.lower(): WAD}),)
        )
        signer = GuardedSigner(Key(CANARY), policy, caps, store, clock)

        def asked(nonce: int, data: bytes, *, bump: int = 0, to: str = EXECUTOR, after_s: float = 0.0) -> str:
            clock.advance(after_s)
            fields: TxFields = replace(
                tx(data, to=to),
                nonce=nonce,
                intent=f"p{nonce}#1",
                max_fee_wei=10**9 + bump * 10**9,
                tip_wei=10 + 10 * bump,
            )
            try:
                asyncio.run(signer.sign(fields))
            except Broken as error:
                return str(error)
            return ""

        yield asked


def proxied(call: vault.VaultCall) -> dict[str, object]:
    """How the keeper's proxy is told."""
    return {"data": vault.calldata(call), "to": VENUED.spender}


@pytest.mark.parametrize("call, token", [(LOCK, GEM), (WIPE, DAI)])
def test_day__of_locks_and_wipes__is_counted_by_nonce_and_then_over(
    ask: Ask, call: vault.VaultCall, token: str
) -> None:
    assert ask(0, **proxied(call)) == ""
    assert ask(0, **proxied(call), bump=1) == "", "the same nonce again counts once"
    assert ask(0, **proxied(replace(call, units=call.units - 1)), bump=2) == ""
    assert ask(1, **proxied(call)) == ""
    most = 2 * call.units
    over = ask(2, **proxied(replace(call, units=1)))
    assert over == f"S6: the day's {token.lower()} would reach {most + 1}, cap {most}"
    assert ask(2, **proxied(call), after_s=DAY_S) == ""


def test_day__of_pay_ins__is_counted_by_nonce_and_then_over(ask: Ask) -> None:
    five = 5 * 10**9
    assert ask(0, paid_in()) == ""
    assert ask(0, paid_in(), bump=1) == ""
    assert ask(1, paid_in(seq=1)) == ""
    over = ask(2, paid_in(seq=2))
    assert over == f"S6: the day's {USDC.address.lower()} would reach {3 * five}, cap {12 * 10**9}"
    assert ask(2, paid_in(seq=2, amount=Amount(token=USDC, units=2 * 10**9))) == ""
    assert ask(3, paid_in(seq=3), after_s=DAY_S) == ""


def test_day__of_sales__holds_two_dozen_of_the_largest_whatever_the_wallet_spent(ask: Ask) -> None:
    one = abi.deleverage(sale(sell_max=Amount(token=WETH, units=WAD))).data
    small = abi.deleverage(sale(sell_max=Amount(token=WETH, units=1))).data
    for nonce in range(SALES_PER_DAY):
        assert ask(nonce, one) == ""
        assert ask(nonce, one, bump=1) == ""
    over = ask(24, small)
    assert over == f"S6: the day's {SOLD} would reach {24 * WAD + 1}, cap {24 * WAD}"
    assert ask(24, paid_in(Side.COLLATERAL)) == "", "a sum of its own"
    assert ask(25, small, after_s=DAY_S) == ""


def test_day__when_a_repayment_becomes_a_sale_under_its_nonce__then_each_counts_where_it_belongs(
    ask: Ask,
) -> None:
    one = abi.deleverage(sale(sell_max=Amount(token=WETH, units=WAD))).data
    assert ask(0, paid_in()) == ""
    assert ask(0, one, bump=1) == ""
    assert ask(1, paid_in(seq=1)) == ""
    assert "would reach" in ask(2, paid_in(seq=2)), "the first may still be mined"
