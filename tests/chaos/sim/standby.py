"""A thousand deaths of the first of two machines, each in one night of the real daemons; and mistakes planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from keeper.daemon.standby import WAITS, Standby
from keeper.model import Snapshot
from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.chaos.sim.pair import RESCUED_BLOCKS, Night, night
from tests.chaos.sim.quiet import hushed

DEATHS = 1_000
EVIDENCE = "own_double"
"""The daemons are the real code; chain, market, Executor and keys are doubles."""
Planted = Callable[[Any], Any]


def _without_number(see: Planted) -> Planted:
    """What the Executor counts is not looked at: the first machine's act does not begin the waiting anew."""

    def blind(self: Standby, snapshot: Snapshot) -> None:
        mandates = tuple(replace(m, terms=replace(m.terms, seq=0)) for m in snapshot.means.mandates)
        see(self, replace(snapshot, means=replace(snapshot.means, mandates=mandates)))  # type: ignore[call-arg]

    return blind  # type: ignore[return-value]


def _without_margin(begin: Planted) -> Planted:
    """Below the trigger is low enough."""

    def wide(self: Standby, settings: Any, policies: Any) -> None:
        begin(self, replace(settings, margin_wad=0), policies)  # type: ignore[call-arg]

    return wide  # type: ignore[return-value]


def _at_once(waits: Planted) -> Planted:
    """It leaves nothing to the first machine."""
    return lambda *_: ""


def _never(waits: Planted) -> Planted:
    """It leaves everything to the first machine, dead or alive."""
    return lambda *_: WAITS


BUGS: dict[str, tuple[str, Callable[[Planted], Planted]]] = {
    "number_ignored": ("see", _without_number),
    "margin_ignored": ("__init__", _without_margin),
    "does_not_wait": ("waits", _at_once),
    "never_steps_in": ("waits", _never),
}
"""Planted mistake -> which method of the standby it changes, and how."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The standby with a mistake, for a while."""
    method, change = BUGS[name]
    kept = getattr(Standby, method)
    setattr(Standby, method, change(kept))
    try:
        yield
    finally:
        setattr(Standby, method, kept)


def caught(name: str, seeds: range) -> Night | None:
    """The first night in which a planted mistake shows; None where none does."""
    with planted(name):
        return next((found for s in seeds if (found := night(s)[0]).violations), None)


def unit(seed: int) -> Verdict:
    """One night."""
    found = night(seed)[0]
    counts = {
        "deaths": found.deaths,
        "crossings": found.crossings,
        "acts": found.acts,
        "acts_second": found.acts_second,
        "missed": found.missed,
        "doubled": found.doubled,
        "came_back": int(found.returned),
        "reverted": sum(found.reverted.values()),
        f"slowest_{found.slowest_blocks}": 1,
    }
    return Verdict(
        counts=counts | {f"reverted_{why}": n for why, n in found.reverted.items()},
        failure="; ".join(found.violations),
    )


def record_deaths(counts: Counts, done: int, failures: list[str]) -> None:
    """standby_deaths, standby_missed, standby_doubled, standby_reverted, standby_rescue_blocks_max."""
    deaths, other = counts.get("deaths", 0), len(failures)
    record(
        "standby_deaths",
        deaths,
        unit="deaths of the first of two real daemons; own double of chain and Executor",
        bound=f">= {DEATHS}, no invariant violated",
        holds=deaths >= DEATHS and not other,
        evidence=EVIDENCE,
        n=done,
    )
    for name in ("missed", "doubled"):
        found = counts.get(name, 0)
        record(f"standby_{name}", found, bound="0", holds=found == 0, evidence=EVIDENCE, n=deaths)
    refused = {k.removeprefix("reverted_"): n for k, n in counts.items() if k.startswith("reverted_")}
    record(
        "standby_reverted",
        counts.get("reverted", 0),
        unit=f"duplicates that the Executor refused: {refused}",
        evidence=EVIDENCE,
        n=deaths,
    )
    slowest = max((int(k.removeprefix("slowest_")) for k in counts if k.startswith("slowest_")), default=0)
    record(
        "standby_rescue_blocks_max",
        slowest,
        unit="blocks",
        bound=f"<= {RESCUED_BLOCKS}",
        holds=slowest <= RESCUED_BLOCKS,
        evidence=EVIDENCE,
        n=deaths,
    )


STANDBY = Campaign(name="standby", units=DEATHS, run=unit, record=record_deaths, around=hushed, also=())
