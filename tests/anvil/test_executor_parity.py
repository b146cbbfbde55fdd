"""The rules in Python and the contract on chain, over generated states: the same yes, or the same no."""

from __future__ import annotations

from collections import Counter

import pytest

from anvil.compile import Artifact
from anvil.forge import find_forge
from anvil.tools import ToolMissing
from tests.chaos.leak_parity import PROTOCOL, REFUSALS, cases

pytestmark = pytest.mark.anvil
STATES = 600


def test_guard__over_generated_states__accepts_and_refuses_as_the_contract_does(
    market_code: dict[str, Artifact],
) -> None:
    try:
        find_forge()
    except ToolMissing as missing:
        pytest.skip(str(missing))
    said: Counter[str] = Counter()
    plans = 0
    for case in cases(0, STATES):
        # to the last value that the refusal names; a panic of the contract is like no answer of the guard's
        assert case.same, case
        said[case.said] += 1
        plans += case.plan.worst
    print(f"executor rules: {STATES} states, {plans} plans to the end, {dict(said)}")
    assert plans >= STATES // 5
    assert said["accepted"] >= STATES // 20
    assert said[PROTOCOL], "what the protocol itself refuses has a name here too"
    assert len(REFUSALS & set(said)) >= 20
