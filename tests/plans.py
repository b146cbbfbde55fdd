"""Builders of plans, snapshots and attempts for tests of the rooms that spend."""

from __future__ import annotations

from dataclasses import replace

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.model import (
    Amount,
    Attempt,
    Block,
    BookRow,
    Bounds,
    Call,
    Fee,
    Means,
    Plan,
    PlanKey,
    Position,
    PositionId,
    Repay,
    Reserve,
    Snapshot,
    Token,
)
from keeper.units import GWEI, RAY, WAD

CHAIN_ID = 31337
WALLET = to_checksum_address("0x" + "a1" * 20)
POOL = to_checksum_address("0x" + "b2" * 20)
ACCOUNT = to_checksum_address("0x" + "c3" * 20)
USDC = Token(chain_id=CHAIN_ID, address=to_checksum_address("0x" + "d4" * 20), symbol="USDC", decimals=6)
VENUE = f"aave_v3:{CHAIN_ID}:0xprovider"


def position_id(name: str = "main") -> PositionId:
    """Position ``name`` of the guarded account."""
    return PositionId(venue="aave_v3", chain_id=CHAIN_ID, account=ACCOUNT, key=name)


def block_hash(number: int, fork: int = 0) -> str:
    """A hash that depends on number and branch only."""
    return "0x" + keccak(text=f"{number}/{fork}").hex()


def block(number: int = 100, *, base_fee_wei: int = 10 * GWEI, fork: int = 0) -> Block:
    """Header ``number`` of branch ``fork``."""
    return Block(
        chain_id=CHAIN_ID,
        number=number,
        hash=block_hash(number, fork),
        parent_hash=block_hash(number - 1, fork),
        timestamp_s=1_700_000_000 + 12 * number,
        base_fee_wei=base_fee_wei,
    )


def repay_call(units: int = 1_000_000) -> Call:
    """``Pool.repay(USDC, units, 2, ACCOUNT)``."""
    selector = keccak(text="repay(address,uint256,uint256,address)")[:4]
    types = ["address", "uint256", "uint256", "address"]
    return Call(target=POOL, data=selector + encode(types, [USDC.address, units, 2, ACCOUNT]))


def plan(
    seq: int = 1, *, at: Block | None = None, position: PositionId | None = None, urgent: bool = False
) -> Plan:
    """A repayment of 1 USDC that may burn 0.05 native tokens and has ten blocks."""
    at = at or block()
    return Plan(
        key=PlanKey(position=position or position_id(), seq=seq),
        strategy="repay",
        steps=(Repay(amount=Amount(token=USDC, units=1_000_000)),),
        call=repay_call(),
        bounds=Bounds(
            health_after_min_wad=WAD * 12 // 10,
            health_after_max_wad=WAD * 2,
            cost_usd_max=50,
            fee_wei_max=50 * 10**15,
            gas_limit=300_000,
            deadline_block=at.number + 10,
        ),
        block=at,
        urgent=urgent,
        health_before_wad=WAD * 105 // 100,
        why="health 1.05 is below trigger 1.10",
    )


def reserve() -> Reserve:
    """USDC at one dollar."""
    return Reserve(
        venue=VENUE,
        token=USDC,
        feed="usdc",
        price_base=10**8,
        base_decimals=8,
        active=True,
        frozen=False,
        paused=False,
        supply_room_units=None,
        cash_units=10**12,
        supply_rate_ray=RAY // 50,
        borrow_rate_ray=RAY // 25,
    )


def snapshot(
    at: Block | None = None,
    *,
    nonce: int = 0,
    health_wad: int | None = WAD * 105 // 100,
    native_wei: int = 10**18,
    wallet: str = WALLET,
) -> Snapshot:
    """One position at ``health_wad``, the wallet at ``nonce`` with ``native_wei``."""
    at = at or block()
    guarded = Position(
        id=position_id(),
        owner=ACCOUNT,
        block_number=at.number,
        health_wad=health_wad,
        collateral=(),
        debt=(),
        base_decimals=8,
        row=BookRow(feeds=("eth",), a=(1.5,), b=(0.0,), b0=1000.0, flags=("x",)),
    )
    means = Means(
        wallet=wallet,
        native_wei=native_wei,
        nonce=nonce,
        balances=(Amount(token=USDC, units=10**9),),
        allowances=(),
        reserves=(reserve(),),
        tip_wei=GWEI,
        native_price_base=3000 * 10**8,
    )
    return Snapshot(
        block=at, positions=(guarded,), unreadable=(), means=means, prices={"eth": 3000.0}, digest="d"
    )


def attempt(key: PlanKey, *, nonce: int = 0, n: int = 0, sent_block: int = 100) -> Attempt:
    """Bytes that no chain knows, distinct by (key, nonce, n)."""
    raw = f"{key}/{nonce}/{n}".encode()
    fee = Fee(gas_limit=300_000, max_fee_wei=(20 + 5 * n) * GWEI, tip_wei=(1 + n) * GWEI)
    return Attempt(
        key=key, nonce=nonce, n=n, raw=raw, hash="0x" + keccak(raw).hex(), fee=fee, sent_block=sent_block
    )


def cancelling(found: Attempt) -> Attempt:
    """The same attempt as a self-send."""
    return replace(found, cancel=True)
