"""The chain in our hands: a fork of the user's endpoint, his position on it, and what both are worth."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from anvil.client import Chain
from anvil.transport import ChainTransport
from keeper.chain.batch import Batch
from keeper.config import ChainSettings, VenueSettings
from keeper.errors import ConfigError
from keeper.model import Block, Call, Position, Snapshot, Token
from keeper.seams import Seen, Venue
from keeper.snapshot import GatherRequest, gather
from keeper.venues import registry
from keeper.words import Words

OWNER_WEI = 10**22
"""Native money that whoever is impersonated gets for gas; it is not counted as anybody's wealth."""


class Market:
    """One venue on the fork, read with the keeper's own eyes."""

    def __init__(self, chain: Chain, where: ChainSettings, settings: VenueSettings, account: str) -> None:
        self.chain, self.account = chain, account
        self._multicall, self._native = where.multicall, where.native_token
        self._seen: Mapping[str, Seen] = {}
        block = chain.block()
        self.venue: Venue = asyncio.run(registry.load(settings, block.chain_id, self._reader(block)))

    def snapshot(self) -> Snapshot:
        """The account at the newest block."""
        block = self.chain.block()
        request = GatherRequest(
            chain_id=block.chain_id,
            block=block,
            venues=((self.venue, (self.account,)),),
            multicall=self._multicall,
            read=self._reader(block),
            native_token=self._native,
            seen=self._seen,
        )
        snapshot, self._seen = asyncio.run(gather(request))
        return snapshot

    def position(self) -> Position:
        """The account's position. Raises ConfigError with the reason when it cannot be read."""
        return self.seen()[0]

    def seen(self) -> tuple[Position, Snapshot]:
        """The position, and the snapshot that it stands in. Raises ConfigError."""
        snapshot = self.snapshot()
        found = snapshot.position(self.venue.position_id(self.account))
        if found is None:
            why = "; ".join(u.why for u in snapshot.unreadable) or "the market does not know it"
            raise ConfigError((f"{self.account}: no position could be read on {self.venue.id}: {why}",))
        return found, snapshot

    def _reader(self, block: Block) -> Callable[[Sequence[Call]], Awaitable[Words]]:
        transport = ChainTransport(self.chain)

        async def read(calls: Sequence[Call]) -> Words:
            return await Batch(calls).read(transport, self._multicall, block.hash, timeout_s=120.0)

        return read


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """Whose money counts besides the position: accounts, and the tokens that a rescue may touch."""

    wallet: str
    """The keeper's: its native money counts, gas is paid from it."""
    accounts: tuple[str, ...]
    tokens: tuple[Token, ...]

    def usd(self, chain: Chain, snapshot: Snapshot) -> float:
        """What lies in them at the snapshot's prices; a token without a price counts nothing."""
        prices = {r.token: r.price_base / 10**r.base_decimals for r in snapshot.means.reserves}
        total = sum(
            prices.get(token, 0.0) * balance(chain, token, account) / 10**token.decimals
            for token in self.tokens
            for account in self.accounts
        )
        return float(total + native_usd(snapshot) * chain.balance_wei(self.wallet) / 1e18)


def balance(chain: Chain, token: Token, account: str) -> int:
    """Units of a token in an account's wallet."""
    return int(chain.call(token.address, "balanceOf(address)(uint256)", account))


def native_usd(snapshot: Snapshot) -> float:
    """Dollars of one native token; 0 where no feed of the venue tells."""
    means = snapshot.means
    return float((means.native_price_base or 0) / 10**means.native_price_decimals)


def equity_usd(position: Position) -> float:
    """What is left to the owner when all is paid, at the oracle's prices."""
    owned = sum(h.value_base for h in position.collateral)
    return float((owned - sum(h.value_base for h in position.debt)) / 10**position.base_decimals)


def impersonated(chain: Chain, account: str) -> None:
    """Let ``account`` pay for gas; the node sends for whoever is named, contract or not."""
    if chain.balance_wei(account) < OWNER_WEI:
        chain.rpc("anvil_setBalance", account, hex(OWNER_WEI))
