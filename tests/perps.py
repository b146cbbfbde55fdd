"""GMX positions as records, without a chain: 20,000 dollars at an entry of 2,000, at any price of the index."""

from __future__ import annotations

from dataclasses import replace

from keeper.decision import Options
from keeper.model import (
    Acting,
    Allowance,
    Amount,
    Block,
    Caps,
    Level,
    Means,
    Outlook,
    Perp,
    PerpOrder,
    Policy,
    Position,
    Reserve,
    Snapshot,
    Token,
)
from keeper.units import WAD
from keeper.venues.gmx_v2 import GmxV2, read
from keeper.venues.gmx_v2.book import Slot
from strategies.add_margin import AddMargin as AddMarginWay
from strategies.reduce_perp import ReducePerp as ReduceWay
from strategies.stop_on_venue import StopOnVenue

USD = 10**30
WETH = Token(chain_id=1, address="0x" + "11" * 20, symbol="WETH", decimals=18)
USDC = Token(chain_id=1, address="0x" + "22" * 20, symbol="USDC", decimals=6)
WALLET, OWNER = "0x" + "33" * 20, "0x" + "44" * 20
BLOCK = Block(
    chain_id=1,
    number=100,
    hash="0x" + "01" * 32,
    parent_hash="0x" + "02" * 32,
    timestamp_s=1_750_000_000,
    base_fee_wei=10**9,
)
ACTING = Acting(subaccount=WALLET, allowed=True, actions_left=9, until_s=BLOCK.timestamp_s + 10**6)
GRANTED = Amount(token=USDC, units=5_000 * 10**6)


def slot(long: bool = True) -> Slot:
    at = {n: "0x" + f"{i:02x}" * 20 for i, n in enumerate(("subaccounts", "reader", "store", "router"), 0xA1)}
    return Slot(
        name="gmx",
        chain_id=1,
        **at,
        vault="0x" + "b1" * 20,
        emitter="0x" + "b2" * 20,
        market="0x" + "b3" * 20,
        index=WETH,
        long_token=WETH,
        short_token=USDC,
        collateral=USDC,
        long=long,
        feeds=(),
        subaccount=WALLET,
        spread_bps=0,
    )


def perp(price: int, long: bool = True, margin: int = 2_000) -> Perp:
    """20,000 dollars at an entry of 2,000, at that price of the index."""
    size, tokens = 20_000 * USD, 10 * 10**18
    worth = tokens * price * 10**12
    won = worth - size if long else size - worth
    fee = size * 6 // 10_000
    return Perp(
        long=long,
        size_usd=size,
        tokens=tokens,
        margin=margin * 10**6,
        index=WETH,
        collateral=USDC,
        index_price=price * 10**12,
        index_mid=price * 10**12,
        collateral_price=10**24,
        collateral_mid=10**24,
        stable=True,
        pnl_usd=won,
        won_usd=won,
        impact_usd=0,
        impact_least_usd=0,
        closing_usd=0,
        fee_factor=6 * 10**26,
        owed=0,
        remaining_usd=margin * USD + won - fee,
        minimum_factor=5 * 10**27,
        minimum_factor_after=10**28,
        minimum_usd=USD,
        size_least_usd=USD,
        orders=(),
        order_expires_s=300,
        increase_gas=4_350_000,
        decrease_gas=4_350_000,
        disabled=False,
        acting=ACTING,
    )


def order(age_s: int, resting: bool = False, frozen: bool = False) -> PerpOrder:
    return PerpOrder(
        key="0x" + "cd" * 32,
        kind=6 if resting else 2,
        size_usd=20_000 * USD,
        margin=0,
        trigger_price=0,
        age_s=age_s,
        resting=resting,
        frozen=frozen,
    )


def position(p: Perp) -> Position:
    s = slot(p.long)
    return read.of(read.position_id(s, OWNER), p, (s.feed(WETH), s.feed(USDC)), (BLOCK.number, ()))


def means(s: Slot, usdc: int = GRANTED.units) -> Means:
    have = Amount(token=USDC, units=usdc)
    return Means(
        wallet=WALLET,
        native_wei=10**18,
        nonce=0,
        balances=(have,),
        allowances=(Allowance(token=USDC, spender=s.router, units=usdc),),
        reserves=(),
        tip_wei=10**8,
        native_price_base=2_000 * USD,
        native_price_decimals=30,
    )


POLICY = Policy(
    name="perp",
    warn_wad=108 * WAD // 100,
    trigger_wad=105 * WAD // 100,
    target_wad=107 * WAD // 100,
    emergency_wad=102 * WAD // 100,
    max_health_wad=115 * WAD // 100,
    hysteresis_wad=WAD // 200,
    cooldown_blocks=2,
    act="always",
    strategies=("add_margin", "reduce_perp"),
    caps=Caps(per_action_usd=50_000, per_day_usd=200_000, gas_usd_max=100, gas_usd_emergency=500),
    idle_rate=0.05,
    horizon_days=7,
    stress_pct=0,
)


def world(p: Perp, policy: Policy = POLICY) -> tuple[Snapshot, Outlook, Options]:
    venue, at = GmxV2(slot(p.long)), position(p)
    reserve = Reserve(
        venue=venue.id,
        token=USDC,
        feed="usdc",
        price_base=USD,
        base_decimals=30,
        active=True,
        frozen=False,
        paused=False,
        supply_room_units=None,
        cash_units=0,
        supply_rate_ray=0,
        borrow_rate_ray=0,
    )
    shot = Snapshot(
        block=BLOCK,
        positions=(at,),
        unreadable=(),
        means=replace(means(venue.slot), reserves=(reserve,)),
        prices={},
        digest="",
    )
    outlook = Outlook(
        id=at.id,
        health=1.0,
        margin_usd=0.0,
        leverage=None,
        health_under=(),
        distance=(),
        nearest_shock=None,
        level=Level.SAFE,
    )
    ways = (AddMarginWay(), ReduceWay(), StopOnVenue())
    return shot, outlook, Options(venues={venue.id: venue}, strategies=ways)
