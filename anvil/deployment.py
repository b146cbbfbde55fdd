"""What stands where after a deploy: one frozen record with a JSON round trip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from anvil.client import Chain


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedToken:
    """One asset of the market: its token, its feed, and the pool's two tokens for it."""

    symbol: str
    address: str
    decimals: int
    feed: str
    a_token: str
    debt_token: str

    @property
    def unit(self) -> int:
        """Smallest units in one whole token."""
        return int(10**self.decimals)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedPool:
    """One Uniswap v3 pool: the two symbols, its fee in hundredths of a basis point, its address."""

    symbols: tuple[str, str]
    fee: int
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedUniswap:
    """The swap venue."""

    factory: str
    router: str
    quoter: str
    position_manager: str
    pools: tuple[DeployedPool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which unlocked account plays whom."""

    deployer: str
    """Owns tokens and market: mints, pauses, sets caps."""
    lender: str
    """Supplied the cash that borrowers take."""
    treasury: str
    """Receives the protocol's fee of a liquidation, as aTokens."""
    liquidator: str
    keeper: str
    actors: tuple[str, ...]
    """Free accounts, for borrowers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A whole market on one chain."""

    chain_id: int
    provider: str
    pool: str
    configurator: str
    oracle: str
    data_provider: str
    acl: str
    multicall: str
    uniswap: DeployedUniswap
    tokens: tuple[DeployedToken, ...]
    roles: Roles
    errors: tuple[tuple[str, str], ...]
    """(selector in hex, signature) of the protocols' custom errors."""

    def token(self, symbol: str) -> DeployedToken:
        """The asset of that symbol. Raises KeyError."""
        for token in self.tokens:
            if token.symbol == symbol:
                return token
        raise KeyError(f"{symbol} is not in this market: {', '.join(self.symbols)}")

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols in the order of the reserves."""
        return tuple(t.symbol for t in self.tokens)

    def symbol_of(self, address: str) -> str:
        """The symbol of a token address in any case. Raises KeyError."""
        for token in self.tokens:
            if token.address.lower() == address.lower():
                return token.symbol
        raise KeyError(address)

    def chain(self, url: str) -> Chain:
        """A client that can name this deployment's errors."""
        return Chain(url, errors=dict(self.errors))

    def to_json(self) -> str:
        """Stable JSON text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Deployment:
        """Inverse of ``to_json``."""
        data = json.loads(text)
        uniswap, roles = data["uniswap"], data["roles"]
        data["tokens"] = tuple(DeployedToken(**t) for t in data["tokens"])
        data["errors"] = tuple((selector, signature) for selector, signature in data["errors"])
        data["uniswap"] = DeployedUniswap(**{**uniswap, "pools": tuple(map(_pool, uniswap["pools"]))})
        data["roles"] = Roles(**{**roles, "actors": tuple(roles["actors"])})
        return cls(**data)


def _pool(data: Mapping[str, Any]) -> DeployedPool:
    first, second = data["symbols"]
    return DeployedPool(symbols=(first, second), fee=data["fee"], address=data["address"])
