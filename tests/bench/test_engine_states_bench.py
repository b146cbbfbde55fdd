"""200 random accounts on each of two real perp engines, margins and verdicts held against their own: the figures."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.bench.figures import record
from tests.engines import perp_v2_crowd, synthetix_crowd
from tests.engines.synthetix_crowd import Tally

pytestmark = pytest.mark.bench

N = 200
SEED = 20_261_121


@pytest.mark.parametrize(
    ("name", "run"), [("synthetix_v3", synthetix_crowd.run), ("perp_v2", perp_v2_crowd.run)]
)
def test_states_exact__200_random_accounts__margins_to_the_digit_and_verdicts_on_both_sides(
    name: str, run: Callable[[int, int], Tally]
) -> None:
    tally = run(N, SEED)
    wrong, n = len(tally.wrong), tally.states
    for what, value, bound in (("exact", n - wrong, f"= {N}"), ("wrong", wrong, "= 0")):
        record(
            f"states_{what}_{name}",
            value,
            unit="states",
            bound=bound,
            holds=not wrong and n == N,
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
    assert tally.edges >= N // 4
    assert tally.liquidatable >= N // 10
