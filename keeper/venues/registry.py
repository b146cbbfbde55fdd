"""Which protocols ship, and which of their markets are known by address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from keeper.config import VenueSettings
from keeper.errors import ConfigError
from keeper.seams import LogFilter, Venue
from keeper.venues import aave_v3, compound_v3, gmx_v2, maker, morpho_blue
from keeper.venues.aave_v3 import deployments
from keeper.venues.aave_v3.book import Read
from keeper.venues.gmx_v2 import deployments as gmx_deployments
from keeper.venues.gmx_v2 import events as gmx_events
from keeper.venues.morpho_blue import events
from keeper.venues.morpho_blue.deployments import contracts


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """From an account to its markets in contracts that hold many, by the logs it left."""

    contracts: Callable[[int], tuple[VenueSettings, ...]]
    """(chain_id) -> contracts, named as a market of theirs is, without the market."""
    logs: Callable[[str, str], LogFilter]
    """(contract, account) -> the logs to look for."""
    markets: Callable[[Sequence[Mapping[str, object]]], tuple[str, ...]]
    """(logs) -> ids of markets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One protocol: its name in the configuration, how a market of it is loaded, which ones are known."""

    name: str
    load: Callable[[VenueSettings, int, Read], Awaitable[Venue]]
    """(settings, chain_id, read) -> Venue."""
    known: Callable[[int], tuple[VenueSettings, ...]]
    """(chain_id) -> markets."""
    vaults: bool = False
    """Accounts are vaults: whose they are, and whose Executor acts on them, is asked of the protocol."""
    executor: str = ""
    """The contract of ours through which its owners may have positions rescued; empty where none ships."""
    search: Search | None = None
    """Where one contract holds many markets: how those of an account are found."""


KINDS: tuple[Kind, ...] = (
    Kind(
        name=aave_v3.KIND,
        load=lambda s, chain_id, read: aave_v3.load(s.name, s.provider, chain_id, read),
        known=deployments.known,
        executor="AaveV3Executor",
    ),
    Kind(
        name=compound_v3.KIND,
        load=compound_v3.load,
        known=compound_v3.known,
        executor="CompoundV3Executor",
    ),
    Kind(
        name=gmx_v2.KIND,
        load=gmx_v2.load,
        known=lambda chain_id: (),
        search=Search(
            contracts=gmx_deployments.contracts, logs=gmx_deployments.openings, markets=gmx_events.slots
        ),
    ),
    # its accounts are vaults, not owners: looking an owner up in every collateral type finds nothing
    Kind(
        name=maker.KIND,
        load=maker.load,
        known=lambda chain_id: (),
        vaults=True,
        executor="MakerExecutor",
    ),
    Kind(
        name=morpho_blue.KIND,
        load=morpho_blue.load,
        known=lambda chain_id: (),
        executor="MorphoBlueExecutor",
        search=Search(contracts=contracts, logs=events.borrowings, markets=events.markets),
    ),
)
"""Every protocol that ships. To add one: a folder beside this file, and a line here."""


async def load(settings: VenueSettings, chain_id: int, read: Read) -> Venue:
    """The market that ``settings`` name, its static facts read through ``read``.

    Raises ConfigError (unknown kind, no contract, unknown release) or Transient (nobody answered).
    """
    for kind in KINDS:
        if kind.name == settings.kind:
            return await kind.load(settings, chain_id, read)
    names = ", ".join(kind.name for kind in KINDS)
    raise ConfigError((f"venues.{settings.name}.kind {settings.kind!r} is not one of: {names}",))


def searches(chain_id: int, account: str) -> tuple[tuple[VenueSettings, LogFilter], ...]:
    """Contracts of that chain that hold many markets, each with the logs that lead to the account's."""
    return tuple(
        (contract, kind.search.logs(contract.provider, account))
        for kind in KINDS
        if kind.search is not None
        for contract in kind.search.contracts(chain_id)
    )


def markets_in(name: str, logs: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Ids of the markets that the logs of a search lead to."""
    return tuple(
        id for kind in KINDS if kind.name == name and kind.search for id in kind.search.markets(logs)
    )


def holds_vaults(name: str) -> bool:
    """Whether the accounts of a kind are vaults and no owners."""
    return any(kind.vaults for kind in KINDS if kind.name == name)


def executor_of(name: str) -> str:
    """The Executor that ships for a kind; empty where none does."""
    return next((kind.executor for kind in KINDS if kind.name == name), "")


def known(chain_id: int) -> tuple[VenueSettings, ...]:
    """Every market of every kind known on that chain."""
    return tuple(market for kind in KINDS for market in kind.known(chain_id))
