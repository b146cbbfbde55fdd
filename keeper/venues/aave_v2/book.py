"""Addresses and signatures: a market's static facts, found from its LendingPoolAddressesProvider alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eth_utils.address import to_checksum_address

from keeper.errors import ConfigError, Transient
from keeper.model import Call, Token
from keeper.venues.aave_v2.math import LINE
from keeper.venues.aave_v3.book import SYMBOL, Listing, Read, checksum, selector, text, word
from keeper.venues.aave_v3.math import Line
from keeper.words import Words

KIND = "aave_v2"
RESERVE_DATA_WORDS = 12
"""Words of DataTypes.ReserveData."""
CONFIG, SUPPLY_INDEX, BORROW_INDEX, SUPPLY_RATE, BORROW_RATE = range(5)
UPDATED, A_TOKEN, STABLE_TOKEN, DEBT_TOKEN, ID = 6, 7, 8, 9, 11
"""Which of them."""
DOLLAR = "0x10F7Fc1F91Ba351f9C629c5947AD69bD03C05b96"
"""As what an oracle that counts in ether knows the dollar (UiPoolDataProvider.MOCK_USD_ADDRESS)."""
WAD_DECIMALS = 18

GET_POOL = selector("getLendingPool()")
GET_PRICE_ORACLE = selector("getPriceOracle()")
REVISION = selector("LENDINGPOOL_REVISION()")
GET_RESERVES_LIST = selector("getReservesList()")
GET_RESERVE_DATA = selector("getReserveData(address)")
GET_USER_CONFIGURATION = selector("getUserConfiguration(address)")
GET_USER_ACCOUNT_DATA = selector("getUserAccountData(address)")
PAUSED = selector("paused()")
GET_ASSET_PRICE = selector("getAssetPrice(address)")
BASE_CURRENCY = selector("BASE_CURRENCY()")
BASE_CURRENCY_UNIT = selector("BASE_CURRENCY_UNIT()")
SCALED_BALANCE_OF = selector("scaledBalanceOf(address)")
BALANCE_OF = selector("balanceOf(address)")
TOTAL_SUPPLY = selector("totalSupply()")
DEPOSIT = selector("deposit(address,uint256,address,uint16)")
REPAY = selector("repay(address,uint256,uint256,address)")


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
    """Of the dollars in which positions are told."""
    dollar: str
    """What the oracle is asked for the dollar in its own currency; empty where that is the dollar."""
    revision: int
    listings: tuple[Listing, ...]

    @property
    def id(self) -> str:
        """``aave_v2:{chain}:{provider}``."""
        return f"{KIND}:{self.chain_id}:{self.provider}"

    @property
    def line(self) -> Line:
        """The only arithmetic that there is."""
        return LINE


async def market(name: str, provider: str, chain_id: int, read: Read) -> Market:
    """Ask the chain for everything static about the market of ``provider``.

    Raises ConfigError naming the address that is not what it should be, and Transient when nobody answered.
    """
    field = f"venues.{name}.provider {provider}"
    words = await read((Call(target=provider, data=GET_POOL), Call(target=provider, data=GET_PRICE_ORACLE)))
    pool = checksum(_uint(words, 0, f"{field}: getLendingPool()"))
    oracle = checksum(_uint(words, 1, f"{field}: getPriceOracle()"))
    words = await read(
        (
            Call(target=pool, data=REVISION),
            Call(target=pool, data=GET_RESERVES_LIST),
            Call(target=oracle, data=BASE_CURRENCY),
            Call(target=oracle, data=BASE_CURRENCY_UNIT),
            Call(target=oracle, data=GET_ASSET_PRICE + word(DOLLAR)),
        )
    )
    revision = _uint(words, 0, f"{field}: LENDINGPOOL_REVISION() of pool {pool}")
    _uint(words, 1, f"{field}: getReservesList() of pool {pool}")
    decimals, dollar = _dollars(words, f"{field}: oracle {oracle}")
    blank = Market(
        name=name,
        chain_id=chain_id,
        provider=to_checksum_address(provider),
        pool=pool,
        oracle=oracle,
        base_decimals=decimals,
        dollar=dollar,
        revision=revision,
        listings=(),
    )
    return replace(blank, listings=await _listings(blank, [checksum(w) for w in words.uints(1)[2:]], read))


def _dollars(words: Words, what: str) -> tuple[int, str]:
    """(decimals of positions, what the oracle knows the dollar as). An oracle that names no currency counts in ether,
    as the first ones do; one that names the zero address in dollars.
    """
    if words.ok[2] and words.count[2] and words.ok[3] and words.count[3] and not words.uint(2):
        unit = words.uint(3)
        decimals = len(str(unit)) - 1
        if unit != 10**decimals:
            raise ConfigError((f"{what}: a base currency unit of {unit} is no power of ten",))
        return decimals, ""
    if not (words.ok[4] and words.count[4] and words.uint(4)):
        raise ConfigError((f"{what} does not count in dollars, and has no price of the dollar ({DOLLAR})",))
    return WAD_DECIMALS, DOLLAR


async def _listings(market: Market, tokens: Sequence[str], read: Read) -> tuple[Listing, ...]:
    """Every reserve's id, token, aToken and debt tokens."""
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
        data = words.uints(i)
        decimals = data[CONFIG] >> 48 & 0xFF
        symbol = text(words.raw(n + i)) if words.ok[n + i] else ""
        token = Token(
            chain_id=market.chain_id, address=address, symbol=symbol or address[:10], decimals=decimals
        )
        found.append(
            Listing(
                id=data[ID],
                token=token,
                unit=10**decimals,
                a_token=checksum(data[A_TOKEN]),
                debt_token=checksum(data[DEBT_TOKEN]),
                stable_token=checksum(data[STABLE_TOKEN]),
                feed=f"{KIND}:{market.chain_id}:{market.oracle}:{address}",
            )
        )
    return tuple(found)


def _uint(words: Words, i: int, what: str) -> int:
    """Word 0 of answer ``i``; ConfigError when the call failed, nobody lives at the address, or it answered zero."""
    if not words.ok[i]:
        raise ConfigError((f"{what} reverted: this is not an Aave v2 market",))
    if not words.count[i]:
        raise ConfigError((f"{what} answered nothing: no contract at that address",))
    if not words.uint(i):
        raise ConfigError((f"{what} answered zero",))
    return words.uint(i)
