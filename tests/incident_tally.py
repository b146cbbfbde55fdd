"""What became of the six nights that have a name, wherever each was played, as the two figures of them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import read, record

NAMED: Mapping[str, str] = {
    "black_thursday": "own_double",
    "luna": "real_bytecode",
    "capo": "real_bytecode",
    "kelp": "real_bytecode",
    "depeg": "real_bytecode",
    "stall": "real_bytecode",
}
"""Each and what it is played on: Maker's delayed price on our own double, the others on the real Aave market."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Of the named ones: which were played, and how many were survived."""

    played: tuple[str, ...]
    survived: int

    @property
    def evidence(self) -> str:
        """``real_bytecode`` only where every one is; else each kind with its number and the weaker ones by name."""
        real = [n for n in self.played if NAMED[n] == "real_bytecode"]
        double = [n for n in self.played if NAMED[n] == "own_double"]
        told = [f"real_bytecode ({len(real)})"] if real else []
        return ", ".join(told + ([f"own_double ({', '.join(double)})"] if double else []))


def counted(figures: Iterable[Mapping[str, object]]) -> Tally:
    """From figures as they are kept, each with its own commit; one on other evidence than its own is not counted."""
    found = {
        name: f["holds"] is True
        for f in figures
        if (name := str(f["name"]).removeprefix("incident_survived_")) in NAMED
        and f["name"] == f"incident_survived_{name}"
        and f["evidence"] == NAMED[name]
    }
    played = tuple(n for n in NAMED if n in found)
    return Tally(played=played, survived=sum(found.values()))


def became(name: str, *, kept: bool, evidence: str) -> None:
    """One night as a figure of its own, and all of the named ones that are kept."""
    proof: dict[str, Any] = {"unit": "incidents", "seed": 0}
    own = f"incident_survived_{name}"
    record(own, int(kept), bound="= 1", holds=kept, n=1, evidence=evidence, **proof)
    if NAMED.get(name) != evidence:
        return
    tally = counted(read())
    n, all_n = len(tally.played), len(NAMED)
    proof |= {"n": n, "evidence": tally.evidence}
    record("incidents", n, bound=f"= {all_n}", holds=n == all_n, **proof)
    held = tally.survived == n == all_n
    record("incidents_survived", tally.survived, bound=f"= {all_n}", holds=held, **proof)
