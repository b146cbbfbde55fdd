"""Names of things: tokens, amounts of them, positions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An ERC-20 token; ``address`` is EIP-55."""

    chain_id: int
    address: str
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """An exact number of a token's smallest units. Two tokens never add."""

    token: Token
    units: int

    def __add__(self, other: Amount) -> Amount:
        self._same(other)
        return Amount(token=self.token, units=self.units + other.units)

    def __sub__(self, other: Amount) -> Amount:
        self._same(other)
        return Amount(token=self.token, units=self.units - other.units)

    def _same(self, other: Amount) -> None:
        if self.token != other.token:
            raise ValueError(f"amounts of {self.token.symbol} and {other.token.symbol} do not add")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PositionId:
    """Which position: protocol kind, chain, account, and the protocol's own key (market, vault, position)."""

    venue: str
    chain_id: int
    account: str
    key: str

    def __hash__(self) -> int:
        # the account's, which a string keeps: of 27 look-ups a position and tick each would hash four fields anew
        return hash(self.account)

    def __str__(self) -> str:
        return f"{self.venue}:{self.chain_id}:{self.account}:{self.key}"

    @classmethod
    def parse(cls, text: str) -> PositionId:
        """Inverse of ``str``. Raises ValueError."""
        venue, chain_id, account, key = text.split(":", 3)
        return cls(venue=venue, chain_id=int(chain_id), account=account, key=key)
