"""A past liquidation by its transaction: whose market the event is of, where two protocols write the same event."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from anvil.abi import encode_call
from anvil.drill import past
from keeper.errors import ConfigError, Rejected

pytestmark = pytest.mark.unit
POOL = "0x7d2768dE32b0b80b7a3454c06BdAc94A69DDc7A9"
PROVIDER = "0xB53C1a33016B2DC2fF3653530bfF1848a515c8c5"


class Endpoint:
    """Answers the getters that it is given, and rejects the rest as a contract without them does."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = {"0x" + encode_call(name).hex(): answer for name, answer in answers.items()}

    async def call(self, method: str, params: Sequence[object], *, timeout_s: float) -> object:
        assert method == "eth_call"
        asked = params[0]
        assert isinstance(asked, dict)
        assert asked["to"] == POOL
        if asked["data"] not in self._answers:
            raise Rejected(3, "execution reverted")
        return self._answers[asked["data"]]


def provider(answers: Mapping[str, str]) -> str:
    return asyncio.run(past._provider(Endpoint(answers), POOL))


WORD = "0x" + PROVIDER[2:].lower().rjust(64, "0")


def test_provider__of_a_pool_of_v3__then_its_own() -> None:
    assert provider({"ADDRESSES_PROVIDER()": WORD}) == PROVIDER


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"getAddressesProvider()": WORD}, f"is of {POOL}, a pool of Aave v2, which is not drilled"),
        ({"ADDRESSES_PROVIDER()": "0x", "getAddressesProvider()": WORD}, "a pool of Aave v2"),
        ({}, f"is of {POOL}, which answers as no pool of Aave v3"),
    ],
)
def test_provider__of_another_pool_with_the_same_event__then_refused_by_its_address(
    answers: Mapping[str, str], says: str
) -> None:
    with pytest.raises(ConfigError, match="--liquidation") as caught:
        provider(answers)
    assert says in str(caught.value)
