"""Why the chain reverted a plan: the call made again at the end of its block, then before it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from keeper.errors import Rejected, Transient
from keeper.transaction.simulate import why_reverted
from tests.plans import WALLET, plan

pytestmark = pytest.mark.unit
PAUSED = Rejected(3, "execution reverted", "0x01020304")
ERRORS = {bytes.fromhex("01020304"): "CollateralPaused()"}


class Blocks:
    """A node that answers a call by the block it is asked at; no entry is success."""

    def __init__(self, answers: dict[int, Exception]) -> None:
        self.answers, self.asked = answers, list[int]()

    async def request(self, method: str, params: list[Any], **_: object) -> str:
        """``eth_call`` and nothing else."""
        assert method == "eth_call"
        number = int(params[1], 16)
        self.asked.append(number)
        if number in self.answers:
            raise self.answers[number]
        return "0x"


@pytest.mark.parametrize(
    "answers, words",
    [
        ({100: PAUSED}, "CollateralPaused() at the end of its block"),
        ({99: PAUSED}, "CollateralPaused() before its block"),
        ({}, "undone after it"),
        ({100: Transient("timeout")}, "no node can say why"),
        ({100: Rejected(-32601, "no such method")}, "no node can say why"),
    ],
)
def test_why_reverted__by_block__is_told_in_words(answers: dict[int, Exception], words: str) -> None:
    found = asyncio.run(why_reverted(Blocks(answers), WALLET, ERRORS, plan(), 100))  # type: ignore[arg-type]
    assert words in found


def test_why_reverted__at_the_end_of_the_block__asks_no_further() -> None:
    node = Blocks({100: PAUSED})
    asyncio.run(why_reverted(node, WALLET, ERRORS, plan(), 100))  # type: ignore[arg-type]
    assert node.asked == [100]
