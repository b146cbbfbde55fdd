"""The shape of keeper.toml as pydantic models: keys, types, ranges, defaults."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from eth_utils.address import is_hex_address, to_checksum_address
from eth_utils.hexadecimal import is_hex
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from keeper import kinds

MULTICALL = "0xcA11bde05977b3631167028862bE2a173976CA11"
"""Multicall3, at the same address on most EVM chains (mds1/multicall3)."""
VENUE_KEYS = {kind.name: kind.keys for kind in kinds.KINDS}
"""Venue kinds that ship, each with the keys that it needs beside ``provider``."""
VENUE_EXTRAS = {kind.name: kind.extras for kind in kinds.KINDS}
"""Keys that a kind may have besides."""
KINDS = tuple(VENUE_KEYS)
ILK_NAME = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)+")
"""A Maker collateral type by its name; contracts know it by the same letters as 32 bytes."""
GMX_SLOT = re.compile(r"0x[0-9a-fA-F]{40}:0x[0-9a-fA-F]{40}:(long|short)")
"""A market of GMX, the token of the margin and the side: an account has one position there."""
STRATEGIES = (
    "repay",
    "add_collateral",
    "deleverage",
    "repay_from_reserve",
    "supply_from_reserve",
    "close_position",
    "add_margin",
    "reduce_perp",
    "close_perp",
    "stop_on_venue",
    "trailing_stop",
    "take_profit",
    "exposure_limits",
    "depeg_playbook",
    "floor",
)
"""Strategies that ship; a test keeps this equal to the strategy registry."""
PERPS = frozenset(kind.name for kind in kinds.KINDS if kind.perpetual)
"""Kinds whose positions are perpetual."""
PERP_STRATEGIES = ("add_margin", "reduce_perp", "close_perp", "stop_on_venue")
"""What can be done for those."""
WALLET_STRATEGIES = ("repay", "add_collateral", "add_margin")
"""What the keeper's own wallet pays."""
STRATEGIES_DEFAULT = ("repay", "add_collateral")
"""What a policy names by itself: these need the wallet only; a sale needs an Executor."""
BLOCK_TIME_S = {1: 12.0, 10: 2.0, 56: 0.75, 100: 5.0, 137: 2.0, 8453: 2.0, 42161: 0.25}
BLOCK_TIME_S_UNKNOWN = 12.0
WITHOUT_MEMPOOL = frozenset({42161, 42170, 421614})
"""Arbitrum One, Nova and Sepolia: the sequencer takes transactions as they come; no fee outbids another."""
STORM_GWEI = {10: 10, 8453: 10, 42161: 10, 42170: 10, 59144: 10, 534352: 10}
STORM_GWEI_DEFAULT = 1_000
"""What a unit of gas may cost in a crash: Ethereum reached 1,000 gwei on 2020-03-12 and more in later mints; rollups
stayed two orders below."""
HEALTH_MAX = 100
"""A larger threshold is a percentage by mistake, and would act at once."""
LEVERAGE_LEAST = Decimal("1.05")
"""Nearer to 1 the health that stands for it leaves every scale."""
WRAPPED_NATIVE = {
    1: "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2",
    10: "0x4200000000000000000000000000000000000006",
    56: "0xbb4CdB9CBd36B01bD1cBaEBF2De08d9173bc095c",
    100: "0xe91D153E0b41518A2Ce8Dd3D7944Fa863463a97d",
    137: "0x0d500B1d8E8eF31E21C99d1Db9A6444d3ADf1270",
    8453: "0x4200000000000000000000000000000000000006",
    42161: "0x82aF49447D8a07e3bd95BD0d56f35241523fBab1",
    43114: "0xB31f66AA3C1e785363F0875A1B74E27b85FD66c7",
    59144: "0xe5D7C2a44FfDDf6b295A15c148167daaAf5Cf34f",
    534352: "0x5300000000000000000000000000000000000004",
}
"""WETH9 or its like by chain id; npm @aave-dao/aave-address-book 4.68.1, ASSETS, read 2026-11-21."""

QUOTER = dict.fromkeys((1, 10, 137, 42161), "0x61fFE014bA17989E743c5F6cB21bF9697530B21e")
QUOTER |= {8453: "0x3d4e44Eb1374240CE5F1B871ab261CD16335B76a"}
"""QuoterV2 by chain id; Uniswap's deployment pages for v3."""
ROUTER = dict.fromkeys((1, 10, 137, 42161), "0xE592427A0AEce92De3Edee1F18E0157C05861564")
"""SwapRouter by chain id (the one with a deadline in its parameters); the same pages."""


def _decimal(value: object) -> Decimal:
    """A finite decimal number from TOML text, float or integer."""
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise ValueError('must be a number, best in quotes: "1.25"')
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError('is not a plain decimal number such as "1.25"') from None
    if not number.is_finite():
        raise ValueError("is not a finite number")
    return number


def _address(value: str) -> str:
    if not value.startswith("0x") or not is_hex_address(value):
        raise ValueError("is not an address: write 0x and 40 hex digits")
    right = to_checksum_address(value)
    if right != value:
        raise ValueError(f"is not a valid EIP-55 checksum address; did you mean {right}?")
    return value


def _above_one(value: Decimal) -> Decimal:
    if value <= 1:
        raise ValueError("must be above 1: at a health factor of 1 the position can be liquidated")
    return value


def _no_percentage(value: Decimal) -> Decimal:
    if value > HEALTH_MAX:
        raise ValueError(f"must be at most {HEALTH_MAX}: it is a health factor such as 1.25, not per cent")
    return value


def _at_most(most: int, why: str) -> Callable[[Decimal], Decimal]:
    def check(value: Decimal) -> Decimal:
        if value > most:
            raise ValueError(f"must be at most {most}{why}")
        return value

    return check


def _leverage(value: Decimal) -> Decimal:
    if not LEVERAGE_LEAST <= value <= HEALTH_MAX or -int(value.as_tuple().exponent) > 18:
        raise ValueError(f"must be from {LEVERAGE_LEAST} to {HEALTH_MAX}: assets over equity, such as 2")
    return value


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError("must be above 0")
    return value


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise ValueError("must not be negative")
    return value


def _shock(value: Decimal) -> Decimal:
    if value <= -100 or value == 0:
        raise ValueError("must be a move in per cent above -100, not 0: -30 is a fall of 30 %")
    return value


def _signer(value: str) -> str:
    if value != "in-process" and not (value.startswith("unix:/") and len(value) > len("unix:/")):
        raise ValueError('must be "in-process", or "unix:" and the absolute path of the signer\'s socket')
    return value


def _bytes32(value: str) -> str:
    if GMX_SLOT.fullmatch(value):
        market, token, side = value.split(":")
        return f"{_address(market)}:{_address(token)}:{side}"
    if ILK_NAME.fullmatch(value):
        return "0x" + value.encode("ascii").ljust(32, b"\0").hex()
    if not value.startswith("0x") or not is_hex(value) or len(value) != 66:
        raise ValueError('is not a market id: write 0x and 64 hex digits, or a name such as "ETH-A"')
    if not int(value, 16):
        raise ValueError("is the zero id; no market has it")
    return value.lower()


def _wad_digits(value: Decimal) -> Decimal:
    if -int(value.as_tuple().exponent) > 18:
        raise ValueError("has more than 18 decimals; shorten it")
    return value


def _path(value: str) -> str:
    if "\0" in value or "://" in value:
        raise ValueError("is no path: it holds a null byte, or is a URL")
    return value


def _name(value: str) -> str:
    # it is told in alarms and logs, and what stands in a URL must not be
    if not value.strip() or value != value.strip() or not value.isprintable() or "://" in value:
        raise ValueError("must be a printable name without spaces around it, and no URL")
    return value


AGGREGATOR_URL = {"0x": "https://api.0x.org", "1inch": "https://api.1inch.dev"}
"""The public interfaces, by the name of their dialect."""

Dec = Annotated[Decimal, BeforeValidator(_decimal)]
Address = Annotated[str, AfterValidator(_address)]
Bytes32 = Annotated[str, AfterValidator(_bytes32)]
Health = Annotated[Dec, AfterValidator(_above_one), AfterValidator(_no_percentage)]
Positive = Annotated[Dec, AfterValidator(_positive)]
NotNegative = Annotated[Dec, AfterValidator(_not_negative)]
Name = Annotated[str, AfterValidator(_name), Field(max_length=64)]
Usd = Annotated[int, Field(gt=0)]
Leverage = Annotated[Dec, AfterValidator(_leverage)]
Trail = Annotated[Positive, AfterValidator(_at_most(90, " per cent"))]
Exact = Annotated[Dec, AfterValidator(_wad_digits)]
"""What becomes an integer of 18 decimals by itself, with no rule of its policy to look at it."""
Added = Annotated[NotNegative, AfterValidator(_at_most(1, " of health"))]


class Table(BaseModel):
    """Base of every table: no unknown key, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Endpoint(Table):
    """``[[chains.endpoints]]``; exactly one of ``url`` and ``url_file``."""

    name: Name | None = None
    url: str | None = None
    url_file: str | None = None
    ws_url: str | None = None
    ws_url_file: str | None = None
    rate_per_s: Annotated[Positive, AfterValidator(_at_most(1_000_000, " requests a second"))] = Decimal(10)
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 8
    private: bool = False
    send_method: Literal["eth_sendRawTransaction", "eth_sendPrivateTransaction"] = "eth_sendRawTransaction"


class Offers(Table):
    """``[chains.aggregator]``; ``url`` or ``url_file`` where it is not the public one."""

    name: Literal["0x", "1inch"]
    router: Address
    url: str | None = None
    url_file: str | None = None
    key_file: Annotated[str, AfterValidator(_path)] | None = None


class Timelock(Table):
    """``[[chains.timelocks]]``: behind which changes of a market wait."""

    kind: Literal["aave_payloads", "compound", "maker_pause"]
    address: Address


class Ticker(Table):
    """``[[chains.tickers]]``: an exchange whose public ticker tells the market's price."""

    name: str
    market: str | None = None
    quote: Literal["USD", "USDC", "USDT"] = "USD"
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] | None = None


class Chain(Table):
    """``[[chains]]``."""

    name: Name
    chain_id: Annotated[int, Field(gt=0, lt=2**63)]
    # a block time beyond an hour would let a dead chain pass for a quiet one
    block_time_s: Annotated[Positive, AfterValidator(_at_most(3_600, " seconds"))] | None = None
    multicall: Address = MULTICALL
    native_token: Address | None = None
    mempool: bool | None = None
    # a plan is worth nothing after ten blocks: a private life of more would be its whole life
    private_blocks: Annotated[int, Field(ge=1, le=8)] = 2
    storm_gwei: Annotated[Positive, AfterValidator(_at_most(1_000_000, " gwei"))] | None = None
    uniswap_quoter: Address | None = None
    uniswap_router: Address | None = None
    swap_via: Annotated[list[Address], Field(max_length=4)] | None = None
    uptime_feed: Address | None = None
    aggregator: Offers | None = None
    timelocks: Annotated[list[Timelock], Field(max_length=16)] | None = None
    tickers: Annotated[list[Ticker], Field(max_length=8)] = []
    endpoints: Annotated[list[Endpoint], Field(min_length=1)]


class Venue(Table):
    """``[[venues]]``."""

    name: Name
    kind: str
    chain: str
    provider: Address
    market: Bytes32 | None = None
    usd_feed: Address | None = None
    pre_liquidations: Annotated[list[Address], Field(max_length=8)] = []
    proxy: Address | None = None
    vaults: Annotated[list[Annotated[int, Field(gt=0)]], Field(max_length=256)] = []
    reader: Address | None = None
    subaccount: Address | None = None
    spread_bps: Annotated[int, Field(ge=0, le=1_000)] = 0


class Position(Table):
    """``[[positions]]``."""

    label: Name | None = None
    venue: str
    account: Address
    policy: str = "default"
    executor: Address | None = None
    accept_thin_emergency: bool = False


class CapsTable(Table):
    """``[policies.NAME.caps]``, whole dollars."""

    per_action_usd: Usd = 10_000
    per_day_usd: Usd = 25_000
    gas_usd_max: Usd = 50
    gas_usd_emergency: Usd = 500
    gas_loss_pct: Annotated[int, Field(ge=1, le=100)] = 20


class PolicyTable(Table):
    """``[policies.NAME]``, health factors on the liquidation threshold."""

    warn: Health = Decimal("1.50")
    trigger: Health = Decimal("1.25")
    target: Health = Decimal("1.40")
    emergency: Health = Decimal("1.10")
    max_health: Health | None = None
    hysteresis: Positive = Decimal("0.02")
    cooldown_blocks: Annotated[int, Field(ge=0, le=100_000)] = 5
    act: Literal["always", "break_even"] = "always"
    strategies: Annotated[list[str], Field(min_length=1)] = list(STRATEGIES_DEFAULT)
    idle_rate: Annotated[NotNegative, AfterValidator(_at_most(10, ": 0.05 is 5 % a year"))] = Decimal("0.05")
    horizon_days: Annotated[Positive, AfterValidator(_at_most(3_650, " days"))] = Decimal(7)
    # the largest single oracle step assumed of a price of which nothing is known (docs/decisions/triggers.md)
    stress_pct: Annotated[NotNegative, AfterValidator(_at_most(90, " per cent"))] = Decimal(10)
    ladder: bool = False
    close_at: Health | None = None
    close_prices: Annotated[dict[Name, Positive], Field(max_length=32)] = {}
    close_to: Literal["collateral", "debt"] = "collateral"
    deleverage_times: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    stretch: bool = False
    lead_pct: Annotated[NotNegative, AfterValidator(_at_most(10, " per cent"))] = Decimal(0)
    trail_pct: Annotated[dict[Name, Trail], Field(max_length=32)] = {}
    take_profit: Annotated[dict[Name, Positive], Field(max_length=32)] = {}
    close_above_trigger: bool = False
    leverage_target: Leverage | None = None
    leverage_max: Leverage | None = None
    leverage_cost_pct: Annotated[Positive, AfterValidator(_at_most(10, " per cent"))] = Decimal("0.5")
    leverage_boost: bool = False
    storm_times_max: Annotated[Dec, Field(ge=1, le=3)] = Decimal(1)
    warning_target: Added = Decimal(0)
    warning_trigger: Added = Decimal(0)
    exposure_max_usd: Annotated[dict[str, Usd], Field(max_length=32)] = {}
    depeg_pct: Annotated[Positive, AfterValidator(_at_most(50, " per cent"))] | None = None
    floor_usd: Usd | None = None
    floor_times: Annotated[Dec, Field(gt=1, le=20)] | None = None
    floor_ratchet_pct: Annotated[Positive, AfterValidator(_at_most(99, " per cent"))] | None = None
    reduce_above_trigger: bool = False
    caps: CapsTable = CapsTable()


class Wallet(Table):
    """``[wallet]``; secrets are named by file or by systemd credential, never written here."""

    address: Address | None = None
    keystore: str | None = None
    password_file: str | None = None
    signer: Annotated[str, AfterValidator(_signer)] = "in-process"


class Shocks(Table):
    """``[shocks]``: moves in per cent, negative for a fall."""

    ladder_pct: Annotated[
        list[Annotated[Dec, AfterValidator(_shock)]], Field(min_length=1, max_length=64)
    ] = [Decimal(p) for p in (-5, -10, -20, -30, -40, -50)]


class Standby(Table):
    """``[standby]``."""

    blocks: Annotated[int, Field(ge=1, le=100)] = 3
    margin: Annotated[Exact, Field(ge=0, le=Decimal("0.2"))] = Decimal("0.01")


class File(Table):
    """The top of keeper.toml. Parts are validated one by one, so that one bad part hides no other."""

    version: Literal[1] = Field(alias="schema")
    mode: Literal["dry-run", "live"] = "dry-run"
    state_dir: Annotated[str, AfterValidator(_path)] = "~/.local/state/keeper"
    wallet: object = Field(default_factory=dict)
    chains: object = Field(default_factory=list)
    venues: object = Field(default_factory=list)
    positions: object = Field(default_factory=list)
    policies: object = Field(default_factory=dict)
    shocks: object = Field(default_factory=dict)
    alarms: object = Field(default_factory=dict)
    metrics: object = Field(default_factory=dict)
    page: object = Field(default_factory=dict)
    telegram: object = Field(default_factory=dict)
    standby: object = None
    canary: object = None
    pairs: object = Field(default_factory=list)
