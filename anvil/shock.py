"""What can go wrong with a market: prices, gas, pauses, caps, broken feeds.

Each function sends from the deployer and, by default, waits until it is mined; with ``wait=False`` it only
hands the transactions in and returns their hashes, for a node whose blocks are made by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from anvil.abi import encode_call
from anvil.client import Chain
from anvil.deployment import Deployment


def set_prices(
    chain: Chain, market: Deployment, prices_usd8: Mapping[str, int], *, wait: bool = True
) -> tuple[str, ...]:
    """New answers of feeds, exact 8-decimal integers by symbol."""
    return _send(
        chain,
        market,
        ((market.token(s).feed, encode_call("set(int256)", price)) for s, price in prices_usd8.items()),
        wait,
    )


def set_price_at(
    chain: Chain, market: Deployment, symbol: str, price_usd8: int, updated_at_s: int
) -> tuple[str, ...]:
    """An answer that claims another time: a stale feed. Waits until it is mined."""
    data = encode_call("setAt(int256,uint256)", price_usd8, updated_at_s)
    return _send(chain, market, [(market.token(symbol).feed, data)], True)


def set_feed_broken(
    chain: Chain, market: Deployment, symbol: str, broken: bool = True, *, wait: bool = True
) -> tuple[str, ...]:
    """Every read of the feed reverts, and with it every read of an account that holds the asset."""
    return _send(chain, market, [(market.token(symbol).feed, encode_call("setBroken(bool)", broken))], wait)


def set_base_fee(chain: Chain, base_fee_wei: int) -> None:
    """Base fee of the next block; later ones follow EIP-1559 from there."""
    chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))


def set_paused(
    chain: Chain, market: Deployment, symbol: str, paused: bool = True, *, wait: bool = True
) -> tuple[str, ...]:
    """Pause a reserve: not even a repay passes. Unpausing takes no grace period here."""
    data = encode_call("setReservePause(address,bool)", market.token(symbol).address, paused)
    return _send(chain, market, [(market.configurator, data)], wait)


def set_frozen(
    chain: Chain, market: Deployment, symbol: str, frozen: bool = True, *, wait: bool = True
) -> tuple[str, ...]:
    """Freeze a reserve: no new supply or borrow, repay passes."""
    data = encode_call("setReserveFreeze(address,bool)", market.token(symbol).address, frozen)
    return _send(chain, market, [(market.configurator, data)], wait)


def set_ltv_zero(chain: Chain, market: Deployment, symbol: str) -> tuple[str, ...]:
    """Collateral that still counts but lends nothing, its threshold and bonus unchanged. Waits until it is mined."""
    token = market.token(symbol).address
    data = chain.call(market.pool, "getConfiguration(address)(uint256)", token)
    signature = "configureReserveAsCollateral(address,uint256,uint256,uint256)"
    call = encode_call(signature, token, 0, data >> 16 & 0xFFFF, data >> 32 & 0xFFFF)
    return _send(chain, market, [(market.configurator, call)], True)


def set_supply_cap(
    chain: Chain, market: Deployment, symbol: str, cap_tokens: int, *, wait: bool = True
) -> tuple[str, ...]:
    """Supply cap in whole tokens; 0 is no cap."""
    data = encode_call("setSupplyCap(address,uint256)", market.token(symbol).address, cap_tokens)
    return _send(chain, market, [(market.configurator, data)], wait)


def _send(
    chain: Chain, market: Deployment, calls: Iterable[tuple[str, bytes]], wait: bool
) -> tuple[str, ...]:
    hashes = tuple(chain.submit(market.roles.deployer, to, data) for to, data in calls)
    if wait:
        chain.confirm(hashes)
    return hashes
