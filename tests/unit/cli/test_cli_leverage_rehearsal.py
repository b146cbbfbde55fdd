"""A sheet is called rehearsed only by a node that ran it: what no node ran is said to be unknown, never well."""

from __future__ import annotations

from typing import Any, cast

import pytest

from keeper.cli.leverage_rehearsal import _reverts
from keeper.errors import Rejected
from keeper.seams import Transport

pytestmark = pytest.mark.unit


class Node:
    """Answers one ``eth_call``, or refuses it."""

    def __init__(self, error: Rejected | None) -> None:
        self.error = error

    async def request(self, method: str, params: list[object]) -> object:
        if self.error is not None:
            raise self.error
        return "0x"


PLAIN: list[object] = [{}, "latest"]
OVERRIDDEN: list[object] = [{}, "latest", {}]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "params", "said"),
    [
        (None, OVERRIDDEN, ""),
        (Rejected(-32602, "too many arguments, want at most 2"), OVERRIDDEN, None),
        (Rejected(-32602, "too many arguments, want at most 2"), PLAIN, "too many arguments"),
        (Rejected(-32000, "out of gas"), OVERRIDDEN, "out of gas"),
        (Rejected(-32000, "gas required exceeds allowance (30000000)"), OVERRIDDEN, "gas required"),
        (Rejected(3, "execution reverted"), OVERRIDDEN, "reverted"),
    ],
    ids=str,
)
async def test_reverts__whatever_the_node_says__then_only_a_call_that_ran_is_well(
    error: Rejected | None, params: list[object], said: str | None
) -> None:
    found = await _reverts(cast(Transport, cast(Any, Node(error))), params)
    if not said:
        assert found == said
    else:
        assert found is not None
        assert said in found
