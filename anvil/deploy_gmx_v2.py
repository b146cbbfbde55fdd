"""GMX v2 of our own making: doubles with its ABI, keys and log shapes, one market, and the part of its keepers.

No package carries the protocol, so nothing of it is here; formulas stand in keeper/venues/gmx_v2 (curves, rules).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from anvil.client import Chain
from anvil.compile import own_artifact
from anvil.deploy_multicall3 import deploy_multicall3

USD = 10**30
ONE = 10**30
CODE_SIZE_MAX = 100_000
"""The double of the order handler is in one piece."""
SPARE_FEE_WEI = 2 * 10**16
ZERO = "0x" + "00" * 20
ADDRESSES = "(address,address,address,address,address,address,address[])"
NUMBERS = "(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256)"
PARAMS = f"({ADDRESSES},{NUMBERS},uint8,uint8,bool,bool,bool,bytes32,bytes32[])"
PRICES = "((uint256,uint256),(uint256,uint256),(uint256,uint256))"
INCREASE, DECREASE, STOP_LOSS = 2, 4, 6
EVER = 2**256 - 1

GLOBALS = {
    "MIN_COLLATERAL_USD": USD,
    "MIN_POSITION_SIZE_USD": USD,
    "REQUEST_EXPIRATION_TIME": 300,
    "ESTIMATED_GAS_FEE_BASE_AMOUNT_V2_1": 600_000,
    "ESTIMATED_GAS_FEE_PER_ORACLE_PRICE": 250_000,
    "ESTIMATED_GAS_FEE_MULTIPLIER_FACTOR": ONE,
    "INCREASE_ORDER_GAS_LIMIT": 3_000_000,
    "DECREASE_ORDER_GAS_LIMIT": 3_000_000,
}
OF_MARKET = {
    "MIN_COLLATERAL_FACTOR": ONE // 100,
    "MIN_COLLATERAL_FACTOR_FOR_LIQUIDATION": ONE // 200,
    "MAX_POSITION_IMPACT_FACTOR_FOR_LIQUIDATIONS": 0,
    "LIQUIDATION_FEE_FACTOR": ONE // 500,
    "FUNDING_FACTOR": 2 * 10**22,
    "FUNDING_EXPONENT_FACTOR": ONE,
    "MAX_FUNDING_FACTOR_PER_SECOND": 28_538_812_785 * 10**12,
}
OF_SIDE = {
    "POSITION_IMPACT_FACTOR": (9 * 10**18, 15 * 10**18),
    "POSITION_IMPACT_EXPONENT_FACTOR": (2 * ONE, 2 * ONE),
    "MAX_POSITION_IMPACT_FACTOR": (4 * 10**27, 5 * 10**27),
    "POSITION_FEE_FACTOR": (4 * 10**26, 6 * 10**26),
    "OPTIMAL_USAGE_FACTOR": (75 * 10**28, 75 * 10**28),
    "BASE_BORROWING_FACTOR": (14_269_406_392 * 10**12, 14_269_406_392 * 10**12),
    "ABOVE_OPTIMAL_USAGE_BORROWING_FACTOR": (31_709_791_983 * 10**12, 31_709_791_983 * 10**12),
    "OPEN_INTEREST_RESERVE_FACTOR": (9 * 10**29, 9 * 10**29),
    "BORROWING_FACTOR": (0, 0),
    "BORROWING_EXPONENT_FACTOR": (ONE, ONE),
}
"""(true, false): long and short, or positive and negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gmx:
    """What stands where."""

    chain_id: int
    multicall: str
    store: str
    reader: str
    emitter: str
    router: str
    vault: str
    handler: str
    exchange: str
    subaccounts: str
    wnt: str
    usdc: str
    market: str
    wnt_feed: str
    usdc_feed: str


def name(text: str) -> bytes:
    """The key of a name."""
    return keccak(encode(["string"], [text]))


def key(*parts: object) -> bytes:
    """The key of a name with its arguments; texts that are no address are names."""
    values = [name(p) if isinstance(p, str) and not p.startswith("0x") else p for p in parts]
    kinds = [
        "bool" if isinstance(v, bool) else "bytes32" if isinstance(v, bytes) else "address" for v in values
    ]
    return keccak(encode(kinds, values))


def deploy_gmx_v2(chain: Chain, places: Mapping[str, str] | None = None, usdc: str | None = None) -> Gmx:
    """The whole system with one market: index and long token WETH, short token USDC; ETH at 2,000 dollars.

    ``places``: contract -> address at which it is to stand, where a test needs the protocol's own addresses.
    ``usdc``: dollars that are there already and that the deployer may mint.
    """
    deployer = chain.accounts[0]

    def made(what: str, *arguments: object) -> str:
        address = chain.deploy(own_artifact(what), *arguments)
        place = (places or {}).get(what)
        if place is None:
            return address
        # what it is constructed with stands in its code
        chain.rpc("anvil_setCode", place, chain.rpc("eth_getCode", address, "latest"))
        return place

    store, emitter, router = (made(f"Gmx{n}Double") for n in ("DataStore", "EventEmitter", "Router"))
    vault, wnt, reader = (made(f"Gmx{n}Double") for n in ("OrderVault", "Wnt", "OrderReader"))
    usdc = usdc or made("TokenDouble", "USDC", 6)
    handler = made("GmxOrderHandlerDouble", store, reader, emitter, vault, wnt)
    routers = [made(f"Gmx{n}RouterDouble", store, router, handler) for n in ("Exchange", "Subaccount")]
    for each in routers:
        chain.send(deployer, router, "addPlugin(address)", each)
    at = Gmx(
        chain_id=int(chain.rpc("eth_chainId"), 16),
        multicall=deploy_multicall3(chain),
        store=store,
        reader=reader,
        emitter=emitter,
        router=router,
        vault=vault,
        handler=handler,
        exchange=routers[0],
        subaccounts=routers[1],
        wnt=wnt,
        usdc=usdc,
        market=str(to_checksum_address("0x" + keccak(text="a market of our own")[-20:].hex())),
        wnt_feed=made("PriceFeed", 8, 2_000 * 10**8, "ETH / USD"),
        usdc_feed=made("PriceFeed", 8, 10**8, "USDC / USD"),
    )
    _configure(chain, at)
    return at


def _configure(chain: Chain, at: Gmx) -> None:
    put_address(chain, at, name("DOUBLE_ORDER_HANDLER"), at.handler)
    chain.send(chain.accounts[0], at.store, "addAddress(bytes32,address)", name("MARKET_LIST"), at.market)
    add_market(chain, at, at.market, (at.wnt, at.wnt, at.usdc))
    uints: dict[bytes, int] = {name(n): v for n, v in GLOBALS.items()}
    uints |= {key(n, at.market): v for n, v in OF_MARKET.items()}
    for n, (yes, no) in OF_SIDE.items():
        uints |= {key(n, at.market, True): yes, key(n, at.market, False): no}
    for long in (True, False):
        uints[key("MAX_PNL_FACTOR", "MAX_PNL_FACTOR_FOR_TRADERS", at.market, long)] = 9 * 10**29
        uints[key("MAX_PNL_FACTOR", "MAX_PNL_FACTOR_FOR_ADL", at.market, long)] = 85 * 10**28
        # others hold positions too: twenty millions a side
        uints[key("OPEN_INTEREST", at.market, at.usdc, long)] = 20_000_000 * USD
        uints[key("OPEN_INTEREST_IN_TOKENS", at.market, at.usdc, long)] = 10_000 * 10**18
        uints[key("CUMULATIVE_BORROWING_FACTOR_UPDATED_AT", at.market, long)] = chain.block().timestamp_s
    uints[key("FUNDING_UPDATED_AT", at.market)] = chain.block().timestamp_s
    uints[key("POOL_AMOUNT", at.market, at.wnt)] = 50_000 * 10**18
    uints[key("POOL_AMOUNT", at.market, at.usdc)] = 100_000_000 * 10**6
    for token, feed, decimals in ((at.wnt, at.wnt_feed, 18), (at.usdc, at.usdc_feed, 6)):
        put_address(chain, at, key("PRICE_FEED", token), feed)
        # USD of one smallest unit, 30 decimals, is answer x multiplier / 1e30
        uints[key("PRICE_FEED_MULTIPLIER", token)] = 10 ** (60 - 8 - decimals)
        uints[key("PRICE_FEED_HEARTBEAT_DURATION", token)] = 86_400
    put(chain, at, uints)
    chain.send(chain.accounts[0], at.usdc, "mint(address,uint256)", at.handler, 100_000_000 * 10**6)


def add_market(chain: Chain, at: Gmx, market: str, tokens: Sequence[str]) -> None:
    """The market token's index, long and short token."""
    fields = ("MARKET_TOKEN", "INDEX_TOKEN", "LONG_TOKEN", "SHORT_TOKEN")
    of = bytes.fromhex(market[2:]).rjust(32, b"\0")
    for field, value in zip(fields, (market, *tokens), strict=True):
        put_address(chain, at, keccak(encode(["bytes32", "bytes32"], [of, name(field)])), value)


def put(chain: Chain, at: Gmx, uints: Mapping[bytes, int]) -> None:
    """Numbers of the store, in one transaction."""
    chain.send(
        chain.accounts[0], at.store, "setUints(bytes32[],uint256[])", list(uints), list(uints.values())
    )


def put_address(chain: Chain, at: Gmx, at_key: bytes, value: str) -> None:
    """One address of the store."""
    chain.send(chain.accounts[0], at.store, "setAddress(bytes32,address)", at_key, value)


def quoted(chain: Chain, at: Gmx) -> tuple[tuple[int, int], ...]:
    """Prices of index, long and short token by the feeds, as the fake keeper signs them."""
    eth = int(chain.call(at.wnt_feed, "latestAnswer()(int256)")) * 10**4
    usdc = int(chain.call(at.usdc_feed, "latestAnswer()(int256)")) * 10**16
    return (eth, eth), (eth, eth), (usdc, usdc)


def market_moves(chain: Chain, at: Gmx, eth_usd8: int) -> None:
    """The feed says that ETH costs so much."""
    chain.send(chain.accounts[0], at.wnt_feed, "set(int256)", eth_usd8)


def position_key(account: str, market: str, collateral: str, long: bool) -> bytes:
    """Under which the store keeps a position."""
    return key(account, market, collateral, long)


def orders_of(chain: Chain, at: Gmx, account: str) -> list[bytes]:
    """Keys of the account's orders."""
    asked = (key("ACCOUNT_ORDER_LIST", account), 0, 100)
    return list(chain.call(at.store, "getBytes32ValuesAt(bytes32,uint256,uint256)(bytes32[])", *asked))


def size_of(chain: Chain, at: Gmx, position: bytes) -> tuple[int, int, int]:
    """(size in USD, size in tokens, collateral) as stored; zeros where there is none."""
    if not chain.call(at.store, "containsBytes32(bytes32,bytes32)(bool)", name("POSITION_LIST"), position):
        return 0, 0, 0
    fields = ("SIZE_IN_USD", "SIZE_IN_TOKENS", "COLLATERAL_AMOUNT")
    keys = [keccak(encode(["bytes32", "bytes32"], [position, name(f)])) for f in fields]
    size, tokens, units = (int(chain.call(at.store, "getUint(bytes32)(uint256)", k)) for k in keys)
    return size, tokens, units


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An order as its owner makes it."""

    kind: int
    size_usd30: int
    units: int
    long: bool
    acceptable: int
    trigger: int = 0
    auto_cancel: bool = False


def order(chain: Chain, at: Gmx, owner: str, asked: Asked, collateral: str | None = None) -> bytes:
    """The owner's own order by the exchange router; its key."""
    from anvil.abi import encode_call

    token = collateral or at.usdc
    addresses: tuple[object, ...] = (owner, owner, ZERO, ZERO, at.market, token, [])
    increases = asked.kind == INCREASE
    numbers = (
        asked.size_usd30,
        0 if increases else asked.units,
        asked.trigger,
        asked.acceptable,
        SPARE_FEE_WEI,
        0,
        0,
        0,
    )
    flags = (asked.long, False, asked.auto_cancel)
    params: tuple[object, ...] = (addresses, numbers, asked.kind, 0, *flags, b"\0" * 32, [])
    calls = [encode_call("sendWnt(address,uint256)", at.vault, SPARE_FEE_WEI)]
    if increases and asked.units:
        chain.send(owner, token, "approve(address,uint256)", at.router, asked.units)
        calls.append(encode_call("sendTokens(address,address,uint256)", token, at.vault, asked.units))
    calls.append(encode_call(f"createOrder({PARAMS})", params))
    chain.send(owner, at.exchange, "multicall(bytes[])", calls, value_wei=SPARE_FEE_WEI)
    return orders_of(chain, at, owner)[-1]


def execute(chain: Chain, at: Gmx, order_key: bytes) -> dict[str, Any]:
    """The fake keeper's turn, at the feeds' prices."""
    prices = quoted(chain, at)
    return chain.send(chain.accounts[1], at.handler, f"executeOrder(bytes32,{PRICES})", order_key, prices)


def liquidate(
    chain: Chain, at: Gmx, account: str, long: bool, collateral: str | None = None
) -> dict[str, Any]:
    """The fake liquidation keeper's turn. Raises Reverted while the position stands."""
    return chain.send(
        chain.accounts[1],
        at.handler,
        f"executeLiquidation(address,address,address,bool,{PRICES})",
        account,
        at.market,
        collateral or at.usdc,
        long,
        quoted(chain, at),
    )


def open_position(chain: Chain, at: Gmx, owner: str, long: bool, size_usd: int, margin_usd: int) -> bytes:
    """A position of ``owner`` in dollars, backed by USDC, executed at the feed's price; its key."""
    units = margin_usd * 10**6
    chain.send(chain.accounts[0], at.usdc, "mint(address,uint256)", owner, units)
    acceptable = EVER if long else 0
    asked = Asked(kind=INCREASE, size_usd30=size_usd * USD, units=units, long=long, acceptable=acceptable)
    execute(chain, at, order(chain, at, owner, asked))
    return position_key(owner, at.market, at.usdc, long)


def allow(chain: Chain, at: Gmx, owner: str, subaccount: str, actions: int, until_s: int) -> None:
    """The owner lets ``subaccount`` order for him so often, so long."""
    action = name("SUBACCOUNT_ORDER_ACTION")
    chain.send(owner, at.subaccounts, "addSubaccount(address)", subaccount)
    signature = "setMaxAllowedSubaccountActionCount(address,bytes32,uint256)"
    chain.send(owner, at.subaccounts, signature, subaccount, action, actions)
    chain.send(
        owner, at.subaccounts, "setSubaccountExpiresAt(address,bytes32,uint256)", subaccount, action, until_s
    )
