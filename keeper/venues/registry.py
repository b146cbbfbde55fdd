"""From a line of the registry to the protocol's folder, which is loaded when it is asked for: most users have one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType

from keeper import kinds
from keeper.allowed import AllowedCall, Venued
from keeper.config import VenueSettings
from keeper.errors import ConfigError
from keeper.kinds import KINDS, Kind
from keeper.model import Call
from keeper.seams import LogFilter, Venue
from keeper.venues.search import Search
from keeper.words import Words

__all__ = [
    "KINDS",
    "Kind",
    "executor_of",
    "holds_vaults",
    "known",
    "load",
    "markets_in",
    "part",
    "searches",
    "signed",
]
Read = Callable[[Sequence[Call]], Awaitable[Words]]
"""One multicall at one block: words in call order. Raises Transient."""


def part(name: str, file: str = "") -> ModuleType | None:
    """A kind's folder, or one file of it; None where no such kind ships or it has no such file.

    A folder has ``async load(settings, chain_id, read) -> Venue``; it may have ``known(chain_id)``, its markets by
    address, and ``SEARCH``, a Search.
    """
    if kinds.kind(name) is None:
        return None
    where = f"keeper.venues.{name}{'.' * bool(file)}{file}"
    try:
        return import_module(where)
    except ModuleNotFoundError as error:
        if error.name != where:
            raise
        return None


async def load(settings: VenueSettings, chain_id: int, read: Read) -> Venue:
    """The market that ``settings`` name, its static facts read through ``read``.

    Raises ConfigError (unknown kind, no contract, unknown release) or Transient (nobody answered).
    """
    folder = part(settings.kind)
    if folder is None:
        names = ", ".join(kind.name for kind in KINDS)
        raise ConfigError((f"venues.{settings.name}.kind {settings.kind!r} is not one of: {names}",))
    venue: Venue = await folder.load(settings, chain_id, read)
    return venue


def searches(chain_id: int, account: str) -> tuple[tuple[VenueSettings, LogFilter], ...]:
    """Contracts of that chain that hold many markets, each with the logs that lead to the account's."""
    return tuple(
        (contract, search.logs(contract.provider, account))
        for kind in KINDS
        if (search := _search(kind.name)) is not None
        for contract in search.contracts(chain_id)
    )


def markets_in(name: str, logs: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Ids of the markets that the logs of a search lead to."""
    search = _search(name)
    return () if search is None else search.markets(logs)


def holds_vaults(name: str) -> bool:
    """Whether the accounts of a kind are vaults and no owners."""
    kind = kinds.kind(name)
    return kind is not None and kind.vaults


def executor_of(name: str) -> str:
    """The Executor that ships for a kind; empty where none does."""
    kind = kinds.kind(name)
    return "" if kind is None else kind.executor


def known(chain_id: int) -> tuple[VenueSettings, ...]:
    """Every market of every kind known on that chain, in which an owner can be looked up by his address."""
    found: list[VenueSettings] = []
    for kind in KINDS:
        # of vaults, looking an owner up in every collateral type would find nothing
        markets = None if kind.vaults else getattr(part(kind.name), "known", None)
        found += markets(chain_id) if markets is not None else ()
    return tuple(found)


def signed(name: str, venue: Venued) -> tuple[AllowedCall, ...]:
    """What the kind's folder says that rescues by wallet need; nothing where it has no ``signing.py``."""
    rules = part(name, "signing")
    return () if rules is None else tuple(rules.calls(venue))


def _search(name: str) -> Search | None:
    found = getattr(part(name), "SEARCH", None)
    return found if isinstance(found, Search) else None
