"""Addresses and signatures: a Comet market's static facts, found from its proxy's address alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from keeper.errors import ConfigError, Transient
from keeper.model import Call, Token
from keeper.venues.aave_v3.book import checksum, selector, text, word
from keeper.venues.compound_v3.math import PRICE_DECIMALS
from keeper.words import Words

KIND = "compound_v3"
Read = Callable[[Sequence[Call]], Awaitable[Words]]
"""One multicall at one block: words in call order. Raises Transient."""

BASE_TOKEN = selector("baseToken()")
BASE_FEED = selector("baseTokenPriceFeed()")
BASE_SCALE = selector("baseScale()")
NUM_ASSETS = selector("numAssets()")
ASSET_INFO = selector("getAssetInfo(uint8)")
ASSET_INFO_WORDS = 8
"""offset, asset, priceFeed, scale, borrow, liquidate and liquidation factor, supplyCap."""
GET_PRICE = selector("getPrice(address)")
TOTALS_BASIC = selector("totalsBasic()")
TOTALS_BASIC_WORDS = 8
"""Supply and borrow index, two tracking indices, supplied and borrowed principal, last accrual, pause flags."""
TOTALS_COLLATERAL = selector("totalsCollateral(address)")
USER_BASIC = selector("userBasic(address)")
USER_BASIC_WORDS = 5
"""Signed principal, two of rewards, assetsIn, and what newer releases keep of assetsIn beyond 16 bits."""
USER_COLLATERAL = selector("userCollateral(address,address)")
BORROW_BALANCE_OF = selector("borrowBalanceOf(address)")
IS_LIQUIDATABLE = selector("isLiquidatable(address)")
IS_ALLOWED = selector("isAllowed(address,address)")
CURVES = tuple(
    selector(f"{side}{name}()")
    for side in ("supply", "borrow")
    for name in (
        "PerSecondInterestRateBase",
        "PerSecondInterestRateSlopeLow",
        "PerSecondInterestRateSlopeHigh",
        "Kink",
    )
)
"""In the order of ``math.Curve``, the lenders' side first."""
SUPPLY_TO = selector("supplyTo(address,address,uint256)")
ALLOW = selector("allow(address,bool)")
USER_NONCE = selector("userNonce(address)")
ALLOW_BY_SIG = selector("allowBySig(address,address,bool,uint256,uint256,uint8,bytes32,bytes32)")
BALANCE_OF = selector("balanceOf(address)")
DECIMALS = selector("decimals()")
SYMBOL = selector("symbol()")
DESCRIPTION = selector("description()")
ASSETS_MAX = 24
"""MAX_ASSETS of the releases with an extended asset list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What never changes of an asset while the market lists it."""

    token: Token
    scale: int
    """10 ** decimals as the market has it."""
    oracle: str
    """Address of its price feed."""
    feed: str
    """Identity of this market's price of it: ``compound_v3:{chain}:{oracle}:{token}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A market's static facts; factors, caps and rates are read with every batch."""

    name: str
    """The name it has in the configuration."""
    chain_id: int
    comet: str
    base: Listing
    assets: tuple[Listing, ...]
    """Collateral, in the market's own numbering."""

    @property
    def id(self) -> str:
        """``compound_v3:{chain}:{comet}``."""
        return f"{KIND}:{self.chain_id}:{self.comet}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One listed asset as the market names it."""

    token: str
    oracle: str
    scale: int


async def market(name: str, comet: str, chain_id: int, read: Read) -> Market:
    """Ask the chain for everything static about the market at ``comet``.

    Raises ConfigError naming the address that is not what it should be, and Transient when nobody answered.
    """
    field = f"venues.{name}.provider {comet}"
    words = await read(
        tuple(Call(target=comet, data=s) for s in (BASE_TOKEN, BASE_FEED, BASE_SCALE, NUM_ASSETS))
    )
    if words.ok[0] and not words.count[0]:
        raise ConfigError((f"{field}: baseToken(): no contract at {comet} on chain {chain_id}",))
    if not (words.ok.all() and (words.count >= 1).all()):
        raise ConfigError((f"{field}: baseToken() and its like reverted: this is not a Compound v3 market",))
    n = words.uint(3)
    if not 0 < n <= ASSETS_MAX:
        raise ConfigError((f"{field}: numAssets() answered {n}: this is not a Compound v3 market",))
    base = _Found(token=checksum(words.uint(0)), oracle=checksum(words.uint(1)), scale=words.uint(2))
    infos = await read(tuple(Call(target=comet, data=ASSET_INFO + word(i)) for i in range(n)))
    listed = [base]
    for i in range(n):
        if not infos.ok[i] or infos.count[i] < ASSET_INFO_WORDS:
            raise Transient(f"venue {name}: getAssetInfo({i}) could not be read")
        _, token, oracle, scale, *_ = infos.uints(i)
        listed.append(_Found(token=checksum(token), oracle=checksum(oracle), scale=scale))
    listings = await _listings(field, chain_id, tuple(listed), read)
    return Market(
        name=name,
        chain_id=chain_id,
        comet=to_checksum_address(comet),
        base=listings[0],
        assets=listings[1:],
    )


async def _listings(field: str, chain_id: int, found: tuple[_Found, ...], read: Read) -> tuple[Listing, ...]:
    """Every asset with its token and feed looked at, the base first. Raises ConfigError with every problem."""
    words = await read(
        tuple(
            Call(target=target, data=data)
            for f in found
            for target, data in (
                (f.token, SYMBOL),
                (f.token, DECIMALS),
                (f.oracle, DECIMALS),
                (f.oracle, DESCRIPTION),
            )
        )
    )
    problems: list[str] = []
    listings = []
    for i, f in enumerate(found):
        symbol = (text(words.raw(4 * i)) if words.ok[4 * i] else "") or f.token[:10]
        decimals = _decimals(words, 4 * i + 1)
        problems += _wrong(f, symbol, decimals, _decimals(words, 4 * i + 2))
        token = Token(chain_id=chain_id, address=f.token, symbol=symbol, decimals=decimals or 0)
        identity = f"{KIND}:{chain_id}:{f.oracle}:{f.token}"
        listings.append(Listing(token=token, scale=f.scale, oracle=f.oracle, feed=identity))
    said = text(words.raw(3)) if words.ok[3] else ""
    # values are caps in dollars too: a market that counts in ether would spend three thousand times as much
    if not in_dollars(said, listings[0].token.symbol):
        problems.append(
            f"the base feed {found[0].oracle} ({said or 'no description'}) of {listings[0].token.symbol} does not "
            "quote in USD: markets that count in another currency are not guarded"
        )
    if problems:
        raise ConfigError(tuple(f"{field}: {p}" for p in problems))
    return tuple(listings)


def in_dollars(description: str, symbol: str) -> bool:
    """Whether a base feed quotes in dollars: by what its description quotes in, else (it has none) by the token."""
    _, slash, quote = description.upper().rpartition("/")
    return "USD" in (quote if slash else f"{description} {symbol}".upper())


def _wrong(found: _Found, symbol: str, decimals: int | None, feed_decimals: int | None) -> list[str]:
    """What is wrong with one asset's token or feed."""
    if not int(found.oracle, 16):
        return [f"the price feed of {symbol} is the zero address"]
    problems = []
    if feed_decimals is None:
        problems.append(f"the price feed {found.oracle} of {symbol} did not say its decimals")
    elif feed_decimals != PRICE_DECIMALS:
        problems.append(
            f"the price feed {found.oracle} of {symbol} has {feed_decimals} decimals, the market counts in "
            f"{PRICE_DECIMALS}"
        )
    if decimals is None or 10**decimals != found.scale:
        problems.append(
            f"{symbol} {found.token} has {decimals} decimals, the market's scale is {found.scale}"
        )
    return problems


def _decimals(words: Words, i: int) -> int | None:
    """A small number, None where the call failed or answered nonsense."""
    if not words.ok[i] or not words.count[i]:
        return None
    value = words.uint(i)
    return value if value <= 77 else None
