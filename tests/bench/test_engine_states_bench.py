"""200 random accounts on each of two real perp engines, margins and verdicts held against their own: the figures.

What the evidence is: Synthetix v3's perps market is compiled here from its published sources, which is its bytecode
only as far as the compiler is theirs, and stands on our double of the core system, which no package carries. Perp v2
is its published bytecode. Of Synthetix funding, interest and margins are computed from storage; of Perp v2 what an
account owes for funding and the market's averages are the engine's own views, and margins, mark and verdict are
computed from those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.bench.figures import record
from tests.engines import perp_v2_crowd, synthetix_crowd
from tests.engines.synthetix_crowd import Tally

pytestmark = pytest.mark.bench

N = 200
SEED = 20_261_121


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine, of how many of its states a price must liquidate, and on what its figures stand."""

    name: str
    run: Callable[[int, int], Tally]
    edges: int
    note: str


ENGINES = (
    Engine(
        name="synthetix_v3",
        run=synthetix_crowd.run,
        edges=N,
        note="sources from npm compiled here, on our own double of the core system",
    ),
    # the mark is a median: where the verdict is the same at both ends of it, no index alone liquidates. The margin
    # at which the verdict changes is tried of every state
    Engine(
        name="perp_v2",
        run=perp_v2_crowd.run,
        edges=N // 4,
        note="funding owed and averages as the engine's views say, margins and verdict from those",
    ),
)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.name)
def test_states_exact__200_random_accounts__margins_to_the_digit_and_verdicts_on_both_sides(
    engine: Engine,
) -> None:
    name, tally = engine.name, engine.run(N, SEED)
    wrong, n = len(tally.wrong), tally.states
    sign = "=" if engine.edges == N else ">="
    for what, value, bound in (
        ("exact", n - wrong, f"= {N}"),
        ("wrong", wrong, "= 0"),
        ("edges", tally.edges, f"{sign} {engine.edges}"),
    ):
        enough = what != "edges" or tally.edges >= engine.edges
        record(
            f"states_{what}_{name}",
            value,
            unit="states",
            bound=f"{bound}; {engine.note}",
            holds=not wrong and n == N and enough,
            evidence="real_bytecode",
            n=n,
            seed=SEED,
        )
    print(
        f"{name}: {n} states, {tally.edges} price boundaries, {tally.liquidatable} liquidatable, "
        f"{tally.crossed} with two positions, {tally.in_debt} in debt, {wrong} wrong"
    )
    assert not tally.wrong, next(iter(tally.wrong.values()))
    assert n == N
    assert tally.edges >= engine.edges
    assert tally.liquidatable >= N // 10
