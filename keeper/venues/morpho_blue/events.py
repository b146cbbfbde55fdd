"""Events that the keeper looks for: liquidations, and whom an owner lets act on his positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.seams import LogFilter
from keeper.venues.morpho_blue.book import Market

LIQUIDATE = (
    "0x" + keccak(text="Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)").hex()
)
"""EventsLib.Liquidate; market id, caller and borrower are indexed."""
SET_AUTHORIZATION = "0x" + keccak(text="SetAuthorization(address,address,address,bool)").hex()
"""EventsLib.SetAuthorization; caller, owner and authorised are indexed."""
BORROW = "0x" + keccak(text="Borrow(bytes32,address,address,address,uint256,uint256)").hex()
"""EventsLib.Borrow; market id, owner and receiver are indexed (the caller is not)."""


def liquidations(market: Market, account: str) -> LogFilter:
    """Liquidations of ``account`` in this market."""
    return LogFilter(target=market.morpho, topics=(LIQUIDATE, market.key, None, _topic(account)))


def permissions(morpho: str, account: str) -> LogFilter:
    """Every time ``account`` allowed or forbade somebody to act on all its positions."""
    return LogFilter(target=morpho, topics=(SET_AUTHORIZATION, None, _topic(account)))


def borrowings(morpho: str, account: str) -> LogFilter:
    """Every loan that ``account`` ever took, in any market."""
    return LogFilter(target=morpho, topics=(BORROW, None, _topic(account)))


def permitted(logs: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Who may act now, by the last word on each, from the logs of ``permissions`` in their order."""
    now: dict[str, bool] = {}
    for log in logs:
        topics, data = log["topics"], str(log["data"])
        assert isinstance(topics, Sequence)
        now[str(to_checksum_address("0x" + str(topics[3])[-40:]))] = bool(int(data, 16))
    return tuple(sorted(who for who, may in now.items() if may))


def markets(logs: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Ids of the markets in the logs of ``borrowings``."""
    found: dict[str, None] = {}
    for log in logs:
        topics = log["topics"]
        assert isinstance(topics, Sequence)
        found[str(topics[1])] = None
    return tuple(found)


def _topic(account: str) -> str:
    return "0x" + account[2:].lower().rjust(64, "0")
