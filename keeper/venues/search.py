"""How an account's markets are found in a contract that holds many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from keeper.config import VenueSettings
from keeper.seams import LogFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """From an account to its markets in contracts that hold many, by the logs it left."""

    contracts: Callable[[int], tuple[VenueSettings, ...]]
    """(chain_id) -> contracts, named as a market of theirs is, without the market."""
    logs: Callable[[str, str], LogFilter]
    """(contract, account) -> the logs to look for."""
    markets: Callable[[Sequence[Mapping[str, object]]], tuple[str, ...]]
    """(logs) -> ids of markets."""
