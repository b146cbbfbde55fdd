"""Strategies by name: those that ship, a third party's, and clear words for what is neither."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from keeper.config import schema
from keeper.errors import ConfigError
from strategies.registry import SHIPPED, resolve

pytestmark = pytest.mark.unit


class Third:
    """A third party's strategy."""

    name = "third_party_rescue:Third"

    def propose(self) -> None:
        """Never asked here."""


class Misnamed(Third):
    """Its name is not how a policy finds it."""

    name = "rescue"


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that a user installed."""
    module = ModuleType("third_party_rescue")
    module.__dict__.update({"Third": Third, "Misnamed": Misnamed, "Empty": object})
    monkeypatch.setitem(sys.modules, "third_party_rescue", module)


def test_shipped__when_compared_with_the_configuration__then_the_same_names() -> None:
    assert tuple(s.name for s in SHIPPED) == schema.STRATEGIES


def test_resolve__when_names_ship__then_in_their_order_and_once() -> None:
    assert [s.name for s in resolve(["add_collateral", "repay", "repay"])] == ["add_collateral", "repay"]


@pytest.mark.usefixtures("third_party")
def test_resolve__when_a_third_party_s_is_named__then_it_is_made() -> None:
    assert [s.name for s in resolve(["repay", "third_party_rescue:Third"])] == [
        "repay",
        "third_party_rescue:Third",
    ]


@pytest.mark.usefixtures("third_party")
def test_resolve__when_names_are_wrong__then_every_problem_at_once() -> None:
    names = ["rescue", "no_such_module:A", "third_party_rescue:No", "third_party_rescue:Empty"]
    with pytest.raises(ConfigError) as caught:
        resolve([*names, "third_party_rescue:Misnamed"])
    told = caught.value.problems
    assert len(told) == 5
    assert "'rescue': not known; shipped: repay, add_collateral" in told[0]
    assert "cannot be imported" in told[1]
    assert "no class 'No'" in told[2]
    assert "no method propose" in told[3]
    assert "must be 'third_party_rescue:Misnamed'" in told[4]
