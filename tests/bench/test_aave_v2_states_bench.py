"""204 random accounts on the real Aave v2 market, held against the pool's own word: the figure."""

from __future__ import annotations

import pytest

from anvil.client import Chain
from anvil.compile import compile_aave
from anvil.deploy import deploy
from anvil.node import Anvil, AnvilSettings
from tests.aave_v2_market import deploy_aave_v2
from tests.aave_v2_states import CLASSES, run
from tests.bench.figures import record

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

SEED = 20_261_123
EACH = 34
N = EACH * len(CLASSES)


def test_states_exact__204_random_accounts_of_six_classes__equal_the_pool_to_the_wei() -> None:
    with Anvil(AnvilSettings()) as node:
        chain = Chain(node.url)
        try:
            tally = run(chain, deploy_aave_v2(chain, deploy(chain, compile_aave())), EACH, SEED)
        finally:
            chain.close()
    wrong = len(tally.wrong)
    for what, value, bound in (("exact", N - wrong, f"= {N}"), ("wrong", wrong, "= 0")):
        record(
            f"states_{what}_aave_v2",
            value,
            unit="states",
            bound=bound,
            holds=not wrong,
            evidence="real_bytecode",
            n=N,
            seed=SEED,
        )
    assert not wrong, f"{wrong} of {N} differ, e.g. {tally.wrong[0]}"
    assert tally.underwater >= N // 10
    assert tally.fixed == 3 * EACH * 3
