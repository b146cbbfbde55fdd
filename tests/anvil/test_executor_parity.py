"""The rules in Python and the contract on chain, over generated states: the same yes, or the same no."""

from __future__ import annotations

from collections import Counter

import pytest

from anvil.compile import Artifact
from anvil.forge import find_forge
from anvil.tools import ToolMissing
from tests.chaos.leak_parity import PROTOCOL, REFUSALS, cases

pytestmark = pytest.mark.anvil
STATES = 1_000


def test_rules__over_a_thousand_generated_states__accept_and_refuse_as_the_contract_does(
    market_code: dict[str, Artifact],
) -> None:
    try:
        find_forge()
    except ToolMissing as missing:
        pytest.skip(str(missing))
    said: Counter[str] = Counter()
    for case in cases(0, STATES):
        # to the last value that the refusal names
        assert case.same, (case.ours, case.theirs)
        said[case.said] += 1
    print(f"executor rules: {STATES} states, {dict(said)}")
    assert said["accepted"] >= STATES // 20
    assert said[PROTOCOL] <= STATES // 50, "a refusal of the protocol's own is compared with nothing"
    assert len(REFUSALS & set(said)) >= 20
