"""Addresses and signatures: a market's static facts, found from its PoolAddressesProvider alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.errors import ConfigError, Transient
from keeper.model import Call, Token
from keeper.venues.aave_v3.math import Line, line_of
from keeper.words import Words

Read = Callable[[Sequence[Call]], Awaitable[Words]]
"""One multicall at one block: words in call order. Raises Transient."""

ZERO_ADDRESS = "0x" + "0" * 40
RESERVE_DATA_WORDS = 15
"""Words of ``getReserveData`` in every v3 release (ReserveDataLegacy)."""


def selector(signature: str) -> bytes:
    """The four bytes that name a function, e.g. ``getPool()``."""
    return keccak(text=signature)[:4]


def word(value: int | str) -> bytes:
    """One ABI word of an unsigned integer or an address."""
    number = int(value, 16) if isinstance(value, str) else value
    return number.to_bytes(32)


GET_POOL = selector("getPool()")
GET_PRICE_ORACLE = selector("getPriceOracle()")
POOL_REVISION = selector("POOL_REVISION()")
GET_RESERVES_LIST = selector("getReservesList()")
GET_RESERVE_DATA = selector("getReserveData(address)")
GET_VIRTUAL_BALANCE = selector("getVirtualUnderlyingBalance(address)")
GET_USER_CONFIGURATION = selector("getUserConfiguration(address)")
GET_USER_EMODE = selector("getUserEMode(address)")
GET_USER_ACCOUNT_DATA = selector("getUserAccountData(address)")
GET_EMODE_DATA = selector("getEModeCategoryData(uint8)")
GET_EMODE_CONFIG = selector("getEModeCategoryCollateralConfig(uint8)")
GET_EMODE_BITMAP = selector("getEModeCategoryCollateralBitmap(uint8)")
GET_EMODE_LTVZERO = selector("getEModeCategoryLtvzeroBitmap(uint8)")
GET_EMODE_LABEL = selector("getEModeCategoryLabel(uint8)")
GET_ASSET_PRICE = selector("getAssetPrice(address)")
BASE_CURRENCY = selector("BASE_CURRENCY()")
BASE_CURRENCY_UNIT = selector("BASE_CURRENCY_UNIT()")
SCALED_BALANCE_OF = selector("scaledBalanceOf(address)")
SCALED_TOTAL_SUPPLY = selector("scaledTotalSupply()")
TOTAL_SUPPLY = selector("totalSupply()")
BALANCE_OF = selector("balanceOf(address)")
SYMBOL = selector("symbol()")
SUPPLY = selector("supply(address,uint256,address,uint16)")
REPAY = selector("repay(address,uint256,uint256,address)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What never changes of a reserve while it is listed."""

    id: int
    """Its place in the pool's bitmaps."""
    token: Token
    unit: int
    """10 ** decimals as the pool's configuration has it."""
    a_token: str
    debt_token: str
    stable_token: str = ""
    """Its token of stable-rate debt; empty on lines that have none."""
    feed: str
    """Identity of this market's price of it: ``aave_v3:{chain}:{oracle}:{token}``."""


class Pooled(Protocol):
    """What arithmetic and steps ask of a market, whichever release of the protocol it is."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def pool(self) -> str: ...
    @property
    def base_decimals(self) -> int: ...
    @property
    def line(self) -> Line: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A market's static facts; the reader says when the chain no longer agrees."""

    name: str
    """The name it has in the configuration."""
    chain_id: int
    provider: str
    pool: str
    oracle: str
    base_decimals: int
    revision: int
    line: Line
    listings: tuple[Listing, ...]

    @property
    def id(self) -> str:
        """``aave_v3:{chain}:{provider}``."""
        return f"aave_v3:{self.chain_id}:{self.provider}"


async def market(name: str, provider: str, chain_id: int, read: Read) -> Market:
    """Ask the chain for everything static about the market of ``provider``.

    Raises ConfigError naming the address that is not what it should be, and Transient when nobody answered.
    """
    field = f"venues.{name}.provider {provider}"
    words = await read((Call(target=provider, data=GET_POOL), Call(target=provider, data=GET_PRICE_ORACLE)))
    pool = _address(words, 0, f"{field}: getPool()", f"no contract at {provider} on chain {chain_id}")
    oracle = _address(
        words, 1, f"{field}: getPriceOracle()", f"no contract at {provider} on chain {chain_id}"
    )
    words = await read(
        (
            Call(target=pool, data=POOL_REVISION),
            Call(target=pool, data=GET_RESERVES_LIST),
            Call(target=oracle, data=BASE_CURRENCY),
            Call(target=oracle, data=BASE_CURRENCY_UNIT),
        )
    )
    revision = _uint(words, 0, f"{field}: POOL_REVISION() of pool {pool}")
    try:
        line = line_of(revision)
    except ConfigError as error:
        raise ConfigError(tuple(f"{field}: pool {pool}: {p}" for p in error.problems)) from error
    decimals = _base_decimals(words, f"{field}: oracle {oracle}")
    _uint(words, 1, f"{field}: getReservesList() of pool {pool}")
    tokens = [checksum(w) for w in words.uints(1)[2:]]
    blank = Market(
        name=name,
        chain_id=chain_id,
        provider=to_checksum_address(provider),
        pool=pool,
        oracle=oracle,
        base_decimals=decimals,
        revision=revision,
        line=line,
        listings=(),
    )
    return replace(blank, listings=await _listings(blank, tokens, read))


async def _listings(market: Market, tokens: Sequence[str], read: Read) -> tuple[Listing, ...]:
    """Every reserve's id, token, aToken and debt token."""
    n = len(tokens)
    words = await read(
        (
            *(Call(target=market.pool, data=GET_RESERVE_DATA + word(t)) for t in tokens),
            *(Call(target=t, data=SYMBOL) for t in tokens),
        )
    )
    found = []
    for i, address in enumerate(tokens):
        if not words.ok[i] or words.count[i] < RESERVE_DATA_WORDS:
            raise Transient(f"venue {market.name}: getReserveData({address}) could not be read")
        decimals = words.uint(i, 0) >> 48 & 0xFF
        token = Token(
            chain_id=market.chain_id,
            address=address,
            symbol=_symbol(words, n + i) or address[:10],
            decimals=decimals,
        )
        found.append(
            Listing(
                id=words.uint(i, 7),
                token=token,
                unit=10**decimals,
                a_token=checksum(words.uint(i, 8)),
                debt_token=checksum(words.uint(i, 10)),
                stable_token=_stable(market, words.uint(i, 9)),
                feed=f"aave_v3:{market.chain_id}:{market.oracle}:{address}",
            )
        )
    return tuple(found)


def _stable(market: Market, value: int) -> str:
    return "" if market.line.modes_are_liquid or not value else checksum(value)


@lru_cache(maxsize=4096)
def checksum(value: int) -> str:
    """The EIP-55 address in the low 20 bytes of a word."""
    return to_checksum_address((value & (2**160 - 1)).to_bytes(20))


def text(raw: bytes) -> str:
    """A string answer, whether returned as ABI string or as bytes32; unprintable characters are dropped."""
    if len(raw) == 32:
        body = raw.rstrip(b"\0")
    elif len(raw) >= 64:
        body = raw[64 : 64 + int.from_bytes(raw[32:64])]
    else:
        return ""
    return "".join(c for c in body.decode("utf-8", "replace") if c.isprintable() and c != "\ufffd")[:32]


def _symbol(words: Words, i: int) -> str:
    return text(words.raw(i)) if words.ok[i] else ""


def _uint(words: Words, i: int, what: str) -> int:
    """Word 0 of answer ``i``; ConfigError when the call failed or nobody lives at the address."""
    if not words.ok[i]:
        raise ConfigError((f"{what} reverted: this is not an Aave v3 market",))
    if not words.count[i]:
        raise ConfigError((f"{what} answered nothing: no contract at that address",))
    return words.uint(i)


def _address(words: Words, i: int, what: str, nobody: str) -> str:
    """An address answer; ``nobody`` is said when the target has no code."""
    if words.ok[i] and not words.count[i]:
        raise ConfigError((f"{what}: {nobody}",))
    value = _uint(words, i, what)
    if not value:
        raise ConfigError((f"{what} answered the zero address",))
    return checksum(value)


def _base_decimals(words: Words, what: str) -> int:
    """Decimals of the base currency, which must be USD (the zero address, by AaveOracle's convention)."""
    base, unit = _uint(words, 2, f"{what}: BASE_CURRENCY()"), _uint(words, 3, f"{what}: BASE_CURRENCY_UNIT()")
    decimals = len(str(unit)) - 1
    if base or unit != 10**decimals:
        raise ConfigError((f"{what}: base currency {checksum(base)} with unit {unit} is not USD",))
    return decimals
