"""Builders of the records that tests speak in: decimal text in, exact integers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from eth_utils.address import to_checksum_address

from keeper.model import (
    Allowance,
    Amount,
    Block,
    BookRow,
    Caps,
    Holding,
    Level,
    Means,
    Outlook,
    Policy,
    Position,
    PositionId,
    Reserve,
    Snapshot,
    Token,
    Unreadable,
)
from keeper.sizing import debt_base_up, health_down, value_base_down, value_base_up, weighted_base_wad
from keeper.units import GWEI, RAY, WAD, wad_from

CHAIN_ID = 31337
WALLET = to_checksum_address("0x" + "a1" * 20)
POOL = to_checksum_address("0x" + "b2" * 20)
ALICE = to_checksum_address("0x" + "c3" * 20)
BOB = to_checksum_address("0x" + "c4" * 20)
KIND = "double"
VENUE = f"{KIND}:{CHAIN_ID}:{POOL}"
BASE_DECIMALS = 8


def token(symbol: str, decimals: int, byte: str) -> Token:
    """A token whose address repeats ``byte``."""
    return Token(
        chain_id=CHAIN_ID, address=to_checksum_address("0x" + byte * 20), symbol=symbol, decimals=decimals
    )


WETH = token("WETH", 18, "e1")
WBTC = token("WBTC", 8, "e2")
USDC = token("USDC", 6, "d1")
DAI = token("DAI", 18, "d2")
TOKENS = (WETH, WBTC, USDC, DAI)
PRICES = {"WETH": "2000", "WBTC": "60000", "USDC": "1", "DAI": "1"}
THRESHOLDS = {"WETH": "0.83", "WBTC": "0.78", "USDC": "0.78", "DAI": "0.77"}


def units(of: Token, value: str) -> int:
    """``units(USDC, "1.5") == 1_500_000``; digits beyond the token's decimals are refused."""
    scaled = Decimal(value) * 10**of.decimals
    assert scaled == int(scaled), f"{value} {of.symbol} has too many decimals"
    return int(scaled)


def amount(of: Token, value: str) -> Amount:
    """A decimal amount of a token."""
    return Amount(token=of, units=units(of, value))


def base(usd: str) -> int:
    """Dollars as base-currency units."""
    return int(Decimal(usd) * 10**BASE_DECIMALS)


def position_id(account: str = ALICE) -> PositionId:
    """The one position of ``account`` on the double's market."""
    return PositionId(venue=KIND, chain_id=CHAIN_ID, account=account, key=POOL)


def block(number: int = 100, *, base_fee_gwei: int = 10) -> Block:
    """Header ``number``, twelve seconds after its parent."""
    return Block(
        chain_id=CHAIN_ID,
        number=number,
        hash=f"0x{number:064x}",
        parent_hash=f"0x{number - 1:064x}",
        timestamp_s=1_700_000_000 + 12 * number,
        base_fee_wei=base_fee_gwei * GWEI,
    )


def collateral(of: Token, value: str, *, price: str | None = None, threshold: str | None = None) -> Holding:
    """Supplied tokens; price and liquidation threshold default to the table of the test market."""
    price_base = base(price or PRICES[of.symbol])
    have = units(of, value)
    return Holding(
        amount=Amount(token=of, units=have),
        stored=have,
        price_base=price_base,
        value_base=value_base_down(have, price_base, of.decimals),
        threshold_wad=wad_from(threshold or THRESHOLDS[of.symbol]),
        feed=of.symbol,
    )


def debt(of: Token, value: str, *, price: str | None = None) -> Holding:
    """Borrowed tokens."""
    price_base = base(price or PRICES[of.symbol])
    owed = units(of, value)
    return Holding(
        amount=Amount(token=of, units=owed),
        stored=owed,
        price_base=price_base,
        value_base=value_base_up(owed, price_base, of.decimals),
        threshold_wad=WAD,
        feed=of.symbol,
    )


def position(
    supplied: Sequence[Holding] = (), borrowed: Sequence[Holding] = (), *, account: str = ALICE, at: int = 100
) -> Position:
    """A position with its exact health: sum of value x threshold over debt, rounded down."""
    bare = Position(
        id=position_id(account),
        owner=account,
        block_number=at,
        health_wad=None,
        collateral=tuple(supplied),
        debt=tuple(borrowed),
        base_decimals=BASE_DECIMALS,
        row=row(supplied, borrowed),
    )
    return replace(bare, health_wad=health_down(weighted_base_wad(bare), debt_base_up(bare)))


def row(supplied: Sequence[Holding], borrowed: Sequence[Holding]) -> BookRow:
    """The affine forms of holdings."""
    feeds = tuple(dict.fromkeys(h.feed for h in (*supplied, *borrowed)))
    whole = {id(h): h.amount.units / 10**h.amount.token.decimals for h in (*supplied, *borrowed)}
    return BookRow(
        feeds=feeds,
        a=tuple(sum(whole[id(h)] * h.threshold_wad / WAD for h in supplied if h.feed == f) for f in feeds),
        b=tuple(sum(whole[id(h)] for h in borrowed if h.feed == f) for f in feeds),
    )


def repriced(found: Position, prices: dict[str, str]) -> Position:
    """The same holdings at other prices (symbol -> dollars)."""

    def again(h: Holding, *, up: bool) -> Holding:
        price_base = base(prices[h.amount.token.symbol]) if h.amount.token.symbol in prices else h.price_base
        value = value_base_up if up else value_base_down
        worth = value(h.amount.units, price_base, h.amount.token.decimals)
        return replace(h, price_base=price_base, value_base=worth)

    return position(
        [again(h, up=False) for h in found.collateral],
        [again(h, up=True) for h in found.debt],
        account=found.id.account,
        at=found.block_number,
    )


def reserve(
    of: Token, *, room: str | None = None, borrow_rate: str = "0.05", paused: bool = False
) -> Reserve:
    """A reserve of the test market at its table price."""
    return Reserve(
        venue=VENUE,
        token=of,
        feed=of.symbol,
        price_base=base(PRICES[of.symbol]),
        base_decimals=BASE_DECIMALS,
        active=True,
        frozen=False,
        paused=paused,
        supply_room_units=None if room is None else units(of, room),
        cash_units=units(of, "1000000"),
        supply_rate_ray=RAY // 50,
        borrow_rate_ray=int(Decimal(borrow_rate) * RAY),
    )


def means(
    balances: Sequence[Amount] = (),
    *,
    allowances: Sequence[Amount] | None = None,
    reserves: Sequence[Reserve] | None = None,
    native: str = "10",
    native_price: str | None = "2000",
) -> Means:
    """The keeper's wallet; everything held is granted to the pool unless ``allowances`` says otherwise."""
    granted = balances if allowances is None else allowances
    return Means(
        wallet=WALLET,
        native_wei=int(Decimal(native) * WAD),
        nonce=0,
        balances=tuple(balances),
        allowances=tuple(Allowance(token=a.token, spender=POOL, units=a.units) for a in granted),
        reserves=tuple(reserves) if reserves is not None else tuple(reserve(t) for t in TOKENS),
        tip_wei=GWEI,
        native_price_base=None if native_price is None else base(native_price),
    )


def snapshot(
    positions: Sequence[Position] = (),
    *,
    wallet: Means | None = None,
    at: Block | None = None,
    unreadable: Sequence[Unreadable] = (),
) -> Snapshot:
    """One chain at one block."""
    header = at or block()
    return Snapshot(
        block=header,
        positions=tuple(positions),
        unreadable=tuple(unreadable),
        means=wallet or means(),
        prices={symbol: float(price) for symbol, price in PRICES.items()},
        digest=f"digest of {header.number}",
    )


def unreadable(account: str = ALICE, why: str = "the oracle reverted") -> Unreadable:
    """A position that could not be read."""
    return Unreadable(id=position_id(account), why=why, since_block=100)


def policy(
    *,
    warn: str = "1.35",
    trigger: str = "1.25",
    target: str = "1.45",
    emergency: str = "1.08",
    max_health: str = "1.60",
    hysteresis: str = "0.02",
    cooldown_blocks: int = 5,
    act: str = "always",
    strategies: tuple[str, ...] = ("repay", "add_collateral"),
    caps: Caps | None = None,
) -> Policy:
    """A policy that suits ETH against a stablecoin."""
    return Policy(
        name="default",
        warn_wad=wad_from(warn),
        trigger_wad=wad_from(trigger),
        target_wad=wad_from(target),
        emergency_wad=wad_from(emergency),
        max_health_wad=wad_from(max_health),
        hysteresis_wad=wad_from(hysteresis),
        cooldown_blocks=cooldown_blocks,
        act=act,
        strategies=strategies,
        caps=caps or limits(),
        idle_rate=0.05,
        horizon_days=7.0,
    )


def limits(*, action: int = 50_000, day: int = 100_000, gas: int = 50, gas_emergency: int = 500) -> Caps:
    """Caps in whole dollars."""
    return Caps(per_action_usd=action, per_day_usd=day, gas_usd_max=gas, gas_usd_emergency=gas_emergency)


def _loss_usd(of: Position) -> float:
    """5 % on half of the debt, as Aave takes above health 0.95."""
    return 0.025 * float(sum(h.value_base for h in of.debt)) / 10.0**of.base_decimals


def outlook(of: Position | Unreadable, level: Level | None = None) -> Outlook:
    """What the risk core would say of a position, its level left to the policy (SAFE) unless given."""
    read = isinstance(of, Position)
    health = of.health_wad / WAD if isinstance(of, Position) and of.health_wad is not None else None
    return Outlook(
        id=of.id,
        health=health if isinstance(of, Position) and of.debt else None,
        margin_usd=0.0,
        leverage=None,
        health_under=(),
        distance=(),
        nearest_shock=None,
        level=level or (Level.SAFE if read else Level.UNKNOWN),
        loss_usd=_loss_usd(of) if isinstance(of, Position) else None,
    )
