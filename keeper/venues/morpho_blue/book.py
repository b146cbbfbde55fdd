"""Addresses and signatures: one market's static facts, found from the Morpho contract and the market's id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.config import VenueSettings
from keeper.errors import ConfigError
from keeper.model import Call, Token
from keeper.units import WAD
from keeper.venues.aave_v3.book import ZERO_ADDRESS, checksum, selector, text, word
from keeper.venues.morpho_blue import math
from keeper.venues.morpho_blue.rules import PreTerms
from keeper.words import Words

KIND = "morpho_blue"
Read = Callable[[Sequence[Call]], Awaitable[Words]]
"""One multicall at one block: words in call order. Raises Transient."""

PARAMS = "(address,address,address,address,uint256)"
"""MarketParams: loan token, collateral token, oracle, interest rate model, LLTV."""
PARAMS_WORDS = 5
MARKET_WORDS = 6
POSITION_WORDS = 3
"""Supply shares, borrow shares, collateral."""
ID_TO_PARAMS = selector("idToMarketParams(bytes32)")
MARKET = selector("market(bytes32)")
POSITION = selector("position(bytes32,address)")
IS_AUTHORIZED = selector("isAuthorized(address,address)")
NONCE = selector("nonce(address)")
SET_AUTHORIZATION_WITH_SIG = selector(
    "setAuthorizationWithSig((address,address,bool,uint256,uint256),(uint8,bytes32,bytes32))"
)
SET_AUTHORIZATION = selector("setAuthorization(address,bool)")
ACCRUE = selector(f"accrueInterest({PARAMS})")
SUPPLY_COLLATERAL = selector(f"supplyCollateral({PARAMS},uint256,address,bytes)")
REPAY = selector(f"repay({PARAMS},uint256,uint256,address,bytes)")
PRICE = selector("price()")
MORPHO = selector("MORPHO()")
RATE_AT_TARGET = selector("rateAtTarget(bytes32)")
BORROW_RATE_VIEW = selector(f"borrowRateView({PARAMS},(uint128,uint128,uint128,uint128,uint128,uint128))")
ID = selector("ID()")
PRE_PARAMS = selector("preLiquidationParams()")
PRE_WORDS = 6
"""preLLTV, close factor at it and at LLTV, incentive factor at it and at LLTV, oracle."""
DECIMALS = selector("decimals()")
LATEST_ROUND = selector("latestRoundData()")
ROUND_WORDS = 5
ASSET_PRICE = selector("getAssetPrice(address)")
SOURCE_OF = selector("getSourceOfAsset(address)")
BASE_UNIT = selector("BASE_CURRENCY_UNIT()")
BASE_CURRENCY = selector("BASE_CURRENCY()")
BALANCE_OF = selector("balanceOf(address)")
SYMBOL = selector("symbol()")
DECIMALS_MAX = 36
"""Of a token: beyond it the oracle's scale 36 + loan - collateral decimals is nothing sensible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreLiquidation:
    """A PreLiquidation contract: its line counts for whoever authorised it on Morpho."""

    address: str
    terms: PreTerms
    oracle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dollars:
    """Where the loan token's price in dollars comes from: a Chainlink-like feed, or an Aave oracle."""

    call: Call
    word: int
    """Which word of the answer is the price."""
    unit: int
    """What one dollar is in it."""
    place: str
    aged: bool = False
    """It tells a round, and with it when it was answered; an Aave oracle tells the price alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One market's static facts; all are immutable on chain."""

    name: str
    """The name it has in the configuration."""
    chain_id: int
    morpho: str
    key: str
    """The market's id, 0x-hex in lower case."""
    loan: Token
    collateral: Token
    oracle: str
    irm: str
    """ZERO_ADDRESS where the market bears no interest."""
    lltv_wad: int
    pre: tuple[PreLiquidation, ...] = ()
    dollars: Dollars | None = None

    @property
    def id(self) -> str:
        """``morpho_blue:{chain}:{market id}``."""
        return f"{KIND}:{self.chain_id}:{self.key}"

    @property
    def params(self) -> bytes:
        """MarketParams as five ABI words."""
        return b"".join(
            word(w)
            for w in (self.loan.address, self.collateral.address, self.oracle, self.irm, self.lltv_wad)
        )

    @property
    def loan_feed(self) -> str:
        """Identity of the loan token's price."""
        place = self.dollars.place if self.dollars is not None else self.key
        return f"{KIND}:{self.chain_id}:{place}:{self.loan.address}"

    def feed(self, oracle: str) -> str:
        """Identity of the collateral's price by one oracle."""
        return f"{KIND}:{self.chain_id}:{oracle}:{self.collateral.address}"


async def market(settings: VenueSettings, chain_id: int, read: Read) -> Market:
    """Ask the chain for everything static about a market.

    Raises ConfigError naming what is not what it should be, and Transient when nobody answered.
    """
    if settings.market is None:
        raise ConfigError((f"venues.{settings.name}.market: is required by kind {KIND!r}",))
    key, morpho = settings.market.lower(), to_checksum_address(settings.provider)
    params = await _params(settings, key, chain_id, read)
    loan, collateral = checksum(params[0]), checksum(params[1])
    oracle, irm, lltv_wad = checksum(params[2]), checksum(params[3]), params[4]
    field = f"venues.{settings.name}.market {key}"
    if not params[2]:
        raise ConfigError((f"{field}: its oracle is the zero address: it can never be priced",))
    tokens = await _tokens(field, chain_id, (loan, collateral), read)
    blank = Market(
        name=settings.name,
        chain_id=chain_id,
        morpho=morpho,
        key=key,
        loan=tokens[0],
        collateral=tokens[1],
        oracle=oracle,
        irm=irm,
        lltv_wad=lltv_wad,
    )
    await _priced(field, oracle, read)
    await _curve(field, blank, read)
    pre = [await _pre(settings, blank, address, read) for address in settings.pre_liquidations]
    dollars = None if settings.usd_feed is None else await _dollars(settings, blank, read)
    return replace(blank, pre=tuple(pre), dollars=dollars)


async def _params(settings: VenueSettings, key: str, chain_id: int, read: Read) -> tuple[int, ...]:
    """The market's five parameters, which must hash to its id."""
    words = await read((Call(target=settings.provider, data=ID_TO_PARAMS + bytes.fromhex(key[2:])),))
    at = f"venues.{settings.name}.provider {settings.provider}"
    if words.ok[0] and not words.count[0]:
        raise ConfigError((f"{at}: no contract at {settings.provider} on chain {chain_id}",))
    if not words.ok[0] or words.count[0] != PARAMS_WORDS:
        raise ConfigError((f"{at}: idToMarketParams() failed: this is not Morpho Blue",))
    params = words.uints(0)
    if not any(params):
        raise ConfigError(
            (f"venues.{settings.name}.market {key}: {settings.provider} has no market of this id",)
        )
    if "0x" + keccak(words.raw(0)[: 32 * PARAMS_WORDS]).hex() != key:
        raise ConfigError(
            (f"{at}: the parameters it gives do not hash to the id {key}: this is not Morpho Blue",)
        )
    return params


async def _tokens(field: str, chain_id: int, addresses: Sequence[str], read: Read) -> list[Token]:
    calls = tuple(Call(target=a, data=d) for a in addresses for d in (DECIMALS, SYMBOL))
    words = await read(calls)
    found, problems = [], []
    for i, address in enumerate(addresses):
        decimals = _uint(words, 2 * i)
        if decimals is None or decimals > DECIMALS_MAX:
            problems.append(f"{field}: token {address} does not say its decimals ({decimals})")
            continue
        symbol = (text(words.raw(2 * i + 1)) if words.ok[2 * i + 1] else "") or address[:10]
        found.append(Token(chain_id=chain_id, address=address, symbol=symbol, decimals=decimals))
    if problems:
        raise ConfigError(tuple(problems))
    return found


async def _priced(field: str, oracle: str, read: Read) -> None:
    """An oracle that reverts may recover; one without code never will."""
    words = await read((Call(target=oracle, data=PRICE),))
    if words.ok[0] and not words.count[0]:
        raise ConfigError(
            (f"{field}: its oracle {oracle} has no code or no price(): it can never be priced",)
        )


async def _curve(field: str, market: Market, read: Read) -> None:
    """Whether the interest rate model is the adaptive curve, whose arithmetic is known.

    At the curve's target utilisation its rate is the rate at target, whatever time has passed.
    """
    if market.irm == ZERO_ADDRESS:
        return
    at_target = (10 * WAD, 0, 9 * WAD, 0, 1, 0)
    key = bytes.fromhex(market.key[2:])
    words = await read(
        (
            Call(target=market.irm, data=MORPHO),
            Call(target=market.irm, data=RATE_AT_TARGET + key),
            Call(
                target=market.irm, data=BORROW_RATE_VIEW + market.params + encode(["uint128"] * 6, at_target)
            ),
        )
    )
    owner, rate, shown = (_uint(words, i) for i in range(3))
    same = owner is not None and checksum(owner) == market.morpho
    if not same or rate is None or shown != (rate or math.INITIAL_RATE_AT_TARGET):
        why = "is not the adaptive curve of this Morpho: its interest could not be accrued exactly"
        raise ConfigError((f"{field}: interest rate model {market.irm} {why}",))


async def _pre(settings: VenueSettings, market: Market, address: str, read: Read) -> PreLiquidation:
    """One PreLiquidation contract, which must belong to this market."""
    field = f"venues.{settings.name}.pre_liquidations {address}"
    words = await read(tuple(Call(target=address, data=d) for d in (MORPHO, ID, PRE_PARAMS)))
    if words.ok[0] and not words.count[0]:
        raise ConfigError((f"{field}: no contract there",))
    if not (words.ok.all() and (words.count >= (1, 1, PRE_WORDS)).all()):
        raise ConfigError((f"{field}: is no PreLiquidation contract",))
    if checksum(words.uint(0)) != market.morpho or words.raw(1)[:32].hex() != market.key[2:]:
        raise ConfigError((f"{field}: belongs to another market",))
    line, close_1, close_2, give_1, give_2, oracle = words.uints(2)[:PRE_WORDS]
    if not 0 < line < market.lltv_wad:
        raise ConfigError((f"{field}: preLLTV {line} is not between 0 and the market's LLTV",))
    place = checksum(oracle)
    await _priced(field, place, read)
    terms = PreTerms(line_wad=line, close_wad=(close_1, close_2), incentive_wad=(give_1, give_2))
    return PreLiquidation(address=to_checksum_address(address), terms=terms, oracle=place)


async def lines(market: Market, who: Sequence[str], read: Read) -> tuple[str, ...]:
    """Those of the addresses that say they are PreLiquidation contracts of this market. Raises Transient."""
    if not who:
        return ()
    words = await read(tuple(Call(target=a, data=d) for a in who for d in (MORPHO, ID, PRE_PARAMS)))
    found = []
    for i, address in enumerate(who):
        at = slice(3 * i, 3 * i + 3)
        if not (words.ok[at].all() and (words.count[at] >= (1, 1, PRE_WORDS)).all()):
            continue
        if checksum(words.uint(3 * i)) == market.morpho and words.raw(3 * i + 1)[:32].hex() == market.key[2:]:
            found.append(to_checksum_address(address))
    return tuple(found)


async def _dollars(settings: VenueSettings, market: Market, read: Read) -> Dollars:
    """A feed of the loan token in dollars, or an Aave oracle that lists it; told apart by what they answer."""
    place = settings.usd_feed or ""
    field = f"venues.{settings.name}.usd_feed {place}"
    asked = Call(target=place, data=ASSET_PRICE + word(market.loan.address))
    calls = (Call(target=place, data=DECIMALS), Call(target=place, data=LATEST_ROUND), asked)
    words = await read((*calls, Call(target=place, data=BASE_UNIT), Call(target=place, data=BASE_CURRENCY)))
    decimals = _uint(words, 0)
    if decimals is not None and words.ok[1] and words.count[1] >= ROUND_WORDS:
        if decimals > DECIMALS_MAX:
            raise ConfigError((f"{field}: says it has {decimals} decimals",))
        return Dollars(call=calls[1], word=1, unit=10**decimals, place=place, aged=True)
    price, unit, base = (_uint(words, i) for i in (2, 3, 4))
    if price and unit and base == 0:
        return Dollars(call=asked, word=0, unit=unit, place=place)
    symbol = market.loan.symbol
    raise ConfigError((f"{field}: is neither a price feed nor an Aave oracle in USD that lists {symbol}",))


def _uint(words: Words, i: int) -> int | None:
    """Word 0 of answer ``i``, None where the call failed or nobody answered."""
    return words.uint(i) if words.ok[i] and words.count[i] else None
