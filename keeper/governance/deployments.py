"""Known timelocks by chain, from the data file beside this module (its head names sources and dates)."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from keeper.governance.timelocks import Timelock


def known(chain_id: int) -> tuple[Timelock, ...]:
    """Timelocks known on that chain."""
    return tuple(timelock for chain, timelock in _timelocks() if chain == chain_id)


@cache
def _timelocks() -> tuple[tuple[int, Timelock], ...]:
    data = tomllib.loads(files(__package__).joinpath("timelocks.toml").read_text(encoding="utf-8"))
    return tuple(
        (
            int(entry["chain_id"]),
            Timelock(
                kind=str(entry["kind"]),
                address=str(entry["address"]),
                governs=tuple(str(g) for g in entry["governs"]),
                source=str(entry["source"]),
            ),
        )
        for entry in data["timelock"]
    )
