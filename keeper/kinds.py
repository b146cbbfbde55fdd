"""The venue registry: a line for each protocol that ships. Data, so that settings are judged without loading any."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One protocol: its name in the configuration, its folder's in ``keeper/venues``, and what is asked of it."""

    name: str
    keys: tuple[str, ...] = ()
    """What its ``[[venues]]`` table needs beside ``provider``."""
    extras: tuple[str, ...] = ()
    """What it may have besides."""
    perpetual: bool = False
    """Its positions are perpetual; else loans."""
    governed: bool = False
    """A vote may change its parameters behind a timelock."""
    vaults: bool = False
    """Accounts are vaults: whose they are, and whose Executor acts on them, is asked of the protocol."""
    executor: str = ""
    """The contract of ours through which its owners may have positions rescued; empty where none ships."""


KINDS: tuple[Kind, ...] = (
    Kind(name="aave_v2", governed=True),
    Kind(name="aave_v3", governed=True, executor="AaveV3Executor"),
    Kind(name="compound_v3", governed=True, executor="CompoundV3Executor"),
    Kind(name="gmx_v2", keys=("market",), extras=("reader", "subaccount", "spread_bps"), perpetual=True),
    Kind(
        name="maker",
        keys=("market",),
        extras=("proxy", "vaults"),
        governed=True,
        vaults=True,
        executor="MakerExecutor",
    ),
    Kind(
        name="morpho_blue",
        keys=("market",),
        extras=("usd_feed", "pre_liquidations"),
        executor="MorphoBlueExecutor",
    ),
)
"""Every protocol that ships. To add one: a folder ``keeper/venues/NAME``, and a line here."""


def kind(name: str) -> Kind | None:
    """The line of that name; None where none ships."""
    return next((k for k in KINDS if k.name == name), None)
