"""Addresses, keys and signatures. A slot of GMX v2 is a market, a collateral and a side: one position an account."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.config import VenueSettings
from keeper.errors import ConfigError
from keeper.executor.perp import ACTION
from keeper.executor.perp_bounded import VENUE
from keeper.model import Call, Token
from keeper.venues.aave_v3.book import checksum, selector, text
from keeper.words import Words

KIND = "gmx_v2"
ZERO = "0x" + "0" * 40
SLOT = re.compile(r"(0x[0-9a-fA-F]{40}):(0x[0-9a-fA-F]{40}):(long|short)")
"""How a configuration names a slot: market, collateral token, side."""
Read = Callable[[Sequence[Call]], Awaitable[Words]]
"""One multicall at one block: words in call order. Raises Transient."""

DATA_STORE = selector("dataStore()")
ROUTER = selector("router()")
ORDER_VAULT = selector("orderVault()")
EVENT_EMITTER = selector("eventEmitter()")
ORDER_HANDLER = selector("orderHandler()")
GET_UINT = selector("getUint(bytes32)")
GET_INT = selector("getInt(bytes32)")
GET_BOOL = selector("getBool(bytes32)")
GET_ADDRESS = selector("getAddress(bytes32)")
CONTAINS_ADDRESS = selector("containsAddress(bytes32,address)")
GET_MARKET = selector("getMarket(address,address)")
GET_POSITION = selector("getPosition(address,bytes32)")
GET_ORDERS = selector("getAccountOrders(address,address,uint256,uint256)")
GET_INFO = selector(
    "getPositionInfo(address,address,bytes32,((uint256,uint256),(uint256,uint256),(uint256,uint256)),uint256,address,bool)"
)
LATEST = selector("latestRoundData()")
DECIMALS = selector("decimals()")
SYMBOL = selector("symbol()")
_PRICE_EXPONENT = 60
"""Of a multiplier: dollars have 30 decimals, and so has the multiplier itself."""


def name(words: str) -> bytes:
    """The store's key of a name."""
    return keccak(encode(["string"], [words]))


def key(*parts: str | bool | bytes) -> bytes:
    """The store's key of a name with arguments; a text that is no address is a name, too."""
    values = [name(p) if isinstance(p, str) and not p.startswith("0x") else p for p in parts]
    kinds = [
        "bool" if isinstance(v, bool) else "bytes32" if isinstance(v, bytes) else "address" for v in values
    ]
    return keccak(encode(kinds, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What prices a token on chain: a Chainlink feed as the store names it."""

    address: str
    multiplier: int
    """Dollars of one smallest unit (30 decimals) are answer x multiplier / 1e30."""
    heartbeat_s: int
    decimals: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One market, collateral and side; what may change is read in every batch."""

    name: str
    chain_id: int
    subaccounts: str
    """The configured provider, which every rescue calls: the SubaccountRouter, or the ExchangeRouter if ``own``."""
    reader: str
    store: str
    router: str
    """Pulls tokens for the routers: whom the keeper's wallet approves."""
    vault: str
    emitter: str
    market: str
    index: Token
    long_token: Token
    short_token: Token
    collateral: Token
    long: bool
    feeds: tuple[tuple[str, Feed], ...]
    """Token -> feed, of index, long and short token."""
    subaccount: str
    """In whose name the keeper orders; the zero address where none is configured."""
    spread_bps: int
    """The feeds' answers are widened by so much: signed prices run ahead of them."""
    executor: str = ""
    """The owner's GmxV2Executor, where that is the subaccount: the target of every rescue then; else empty."""
    own: bool = False
    """The provider is the ExchangeRouter, which takes whoever calls for the account: only its own key rescues, and
    ``subaccount`` is the account itself."""

    @property
    def target(self) -> str:
        """What the keeper's wallet calls."""
        return self.executor or self.subaccounts

    @property
    def side(self) -> str:
        """``long`` or ``short``."""
        return "long" if self.long else "short"

    @property
    def key(self) -> str:
        """``market/collateral/side``, the last part of a position's identity."""
        return f"{self.market}/{self.collateral.address}/{self.side}"

    @property
    def id(self) -> str:
        """``gmx_v2:{chain}:{market}/{collateral}/{side}``."""
        return f"{KIND}:{self.chain_id}:{self.key}"

    @property
    def stable(self) -> bool:
        """The margin is the market's short token: dollars."""
        return self.collateral == self.short_token

    def feed(self, token: Token) -> str:
        """Identity of a token's price as this venue uses it."""
        return f"{KIND}:{self.chain_id}:{self.store}:{token.address}"

    def position(self, account: str) -> bytes:
        """The store's key of the account's position."""
        return key(account, self.market, self.collateral.address, self.long)

    def grant(self, field: str, account: str) -> bytes:
        """The store's key of what the account allows the subaccount."""
        return key(field, account, self.subaccount, bytes.fromhex(ACTION[2:]))


def ask(target: str, function: bytes, *words: bytes) -> Call:
    """A view with whole-word arguments."""
    return Call(target=target, data=function + b"".join(words))


def word(value: str | int) -> bytes:
    """One ABI word."""
    return (int(value, 16) if isinstance(value, str) else value).to_bytes(32)


async def slot(settings: VenueSettings, chain_id: int, read: Read) -> Slot:
    """Ask the chain for everything static about a slot.

    Raises ConfigError naming what is not what it should be, and Transient when nobody answered.
    """
    field = f"venues.{settings.name}"
    found = SLOT.fullmatch(settings.market or "")
    if found is None:
        raise ConfigError((f"{field}.market: write MARKET:COLLATERAL:long, or :short, with two addresses",))
    if settings.reader is None:
        raise ConfigError((f"{field}.reader: is required: the address of GMX's Reader on this chain",))
    market, collateral = (str(to_checksum_address(a)) for a in found.groups()[:2])
    provider = settings.provider
    *at, himself = await _contracts(field, settings, read)
    tokens = await _tokens(
        field, chain_id, await _market(field, settings.reader, (at[0], market), read), read
    )
    index, long_token, short_token = tokens
    if long_token == short_token:
        why = f"is backed by {long_token.symbol} alone: how GMX halves its pool and interest is not counted here"
        raise ConfigError((f"{field}.market: {market} {why}",))
    own = next((t for t in (long_token, short_token) if t.address == collateral), None)
    if own is None:
        raise ConfigError(
            (
                f"{field}.market: collateral {collateral} is neither {long_token.symbol} {long_token.address} nor "
                f"{short_token.symbol} {short_token.address}: this market takes no other",
            )
        )
    return Slot(
        name=settings.name,
        chain_id=chain_id,
        subaccounts=provider,
        reader=settings.reader,
        store=at[0],
        router=at[1],
        vault=at[2],
        emitter=at[3],
        market=market,
        index=index,
        long_token=long_token,
        short_token=short_token,
        collateral=own,
        long=found.group(3) == "long",
        feeds=await _feeds(field, at[0], tokens, read),
        subaccount=settings.subaccount or ZERO,
        spread_bps=settings.spread_bps,
        executor="" if himself else await _executor(field, settings, (at[0], at[2]), read),
        own=himself,
    )


async def _executor(field: str, settings: VenueSettings, at: tuple[str, str], read: Read) -> str:
    """The subaccount where it is a contract of ours on this very GMX; empty where it is a wallet. Its code is proven
    elsewhere."""
    if settings.subaccount is None:
        return ""
    words = await read([ask(settings.subaccount, VENUE)])
    if not words.ok[0] or words.count[0] < 3:
        return ""
    told, wanted = tuple(checksum(words.uint(0, i)) for i in range(3)), (settings.provider, *at)
    if told != tuple(str(to_checksum_address(a)) for a in wanted):
        why = f"it orders on {', '.join(told)}, not on {', '.join(wanted)}: GMX has moved; deploy another"
        raise ConfigError((f"{field}.subaccount {settings.subaccount}: {why}",))
    return settings.subaccount


async def _contracts(field: str, settings: VenueSettings, read: Read) -> tuple[str, str, str, str, bool]:
    """(store, router, vault of orders, event emitter) as the configured router names them; whether it is the
    ExchangeRouter, which names its handler in the vault's stead."""
    provider, where = settings.provider, f"{field}.provider {settings.provider}"
    names = {
        "dataStore": DATA_STORE,
        "router": ROUTER,
        "eventEmitter": EVENT_EMITTER,
        "orderVault": ORDER_VAULT,
    }
    words = await read([ask(provider, f) for f in (*names.values(), ORDER_HANDLER)])
    if words.ok[0] and not words.count[0]:
        raise ConfigError((f"{where}: no contract there",))
    told = [words.uint(i) if words.ok[i] and words.count[i] else 0 for i in range(len(names) + 1)]
    handler, own = told.pop(), False
    if not told[3] and handler:
        asked = await read([ask(checksum(handler), ORDER_VAULT)])
        told[3] = asked.uint(0) if asked.ok[0] and asked.count[0] else 0
        own = bool(told[3])
    missing = [n for n, address in zip(names, told, strict=True) if not address]
    if missing:
        why = f"no SubaccountRouter or ExchangeRouter, it does not say {', '.join(missing)}"
        raise ConfigError((f"{where}: {why}",))
    store, router, emitter, vault = (checksum(n) for n in told)
    return store, router, vault, emitter, own


async def _market(field: str, reader: str, at: tuple[str, str], read: Read) -> tuple[str, str, str]:
    """Addresses of index, long and short token."""
    words = await read([ask(reader, GET_MARKET, word(at[0]), word(at[1]))])
    if not words.ok[0] or words.count[0] < 4:
        raise ConfigError((f"{field}.reader {reader}: no Reader of GMX v2 is there",))
    if not words.uint(0, 0):
        raise ConfigError((f"{field}.market {at[1]}: GMX knows no such market",))
    index, long_token, short_token = (checksum(words.uint(0, i)) for i in (1, 2, 3))
    return index, long_token, short_token


async def _tokens(
    field: str, chain_id: int, addresses: tuple[str, str, str], read: Read
) -> tuple[Token, Token, Token]:
    words = await read([ask(a, f) for a in addresses for f in (SYMBOL, DECIMALS)])
    found = []
    for i, address in enumerate(addresses):
        if not words.ok[2 * i + 1] or not words.count[2 * i + 1] or words.uint(2 * i + 1) > 30:
            raise ConfigError((f"{field}.market: token {address} does not say its decimals",))
        symbol = (text(words.raw(2 * i)) if words.ok[2 * i] else "") or address[:10]
        found.append(Token(chain_id=chain_id, address=address, symbol=symbol, decimals=words.uint(2 * i + 1)))
    return found[0], found[1], found[2]


async def _feeds(field: str, store: str, tokens: Sequence[Token], read: Read) -> tuple[tuple[str, Feed], ...]:
    """The Chainlink feed of every token, as the store names it."""
    asked = {t.address: t for t in tokens}
    words = await read(
        [
            ask(store, function, key(what, address))
            for address in asked
            for what, function in (
                ("PRICE_FEED", GET_ADDRESS),
                ("PRICE_FEED_MULTIPLIER", GET_UINT),
                ("PRICE_FEED_HEARTBEAT_DURATION", GET_UINT),
            )
        ]
    )
    told = [tuple(words.uint(3 * i + k) for k in range(3)) for i in range(len(asked))]
    missing = [
        t.symbol
        for t, (feed, multiplier, _) in zip(asked.values(), told, strict=True)
        if not feed or not multiplier
    ]
    if missing:
        raise ConfigError((f"{field}.market: GMX names no on-chain price feed of {', '.join(missing)}",))
    counted = await read([ask(checksum(feed), DECIMALS) for feed, _, _ in told])
    found = []
    for i, (token, (at, multiplier, heartbeat_s)) in enumerate(zip(asked.values(), told, strict=True)):
        decimals = counted.uint(i) if counted.ok[i] and counted.count[i] else -1
        feed = Feed(
            address=checksum(at), multiplier=multiplier, heartbeat_s=heartbeat_s or 86_400, decimals=decimals
        )
        if why := _misread(token, feed):
            raise ConfigError((f"{field}.market: price feed {feed.address} of {token.symbol} {why}",))
        found.append((token.address, feed))
    return tuple(found)


def _misread(token: Token, feed: Feed) -> str:
    """Why the store's multiplier is not for a feed of these decimals: every price would be a power of ten off."""
    if feed.decimals < 0:
        return "does not say its decimals"
    exponent = _PRICE_EXPONENT - feed.decimals - token.decimals
    if exponent >= 0 and feed.multiplier == 10**exponent:
        return ""
    return (
        f"has {feed.decimals} decimals, and GMX multiplies its answer by {feed.multiplier}: not 1e{exponent}"
    )
