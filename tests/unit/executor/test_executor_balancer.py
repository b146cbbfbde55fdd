"""A Balancer vault as a source: what a loan costs is asked, and what cannot be told is left out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from eth_abi.abi import encode

from keeper.executor import load, quotes
from keeper.executor.load import Place, Wanted
from keeper.executor.quotes import Window
from keeper.model import Call, Source
from keeper.words import Words
from tests import build
from tests.build import ALICE, POOL, USDC, WALLET, WETH
from tests.mandates import EXECUTOR

pytestmark = pytest.mark.unit
VAULT, COLLECTOR = "0x" + "ba" * 20, "0x" + "fc" * 20
WINDOW = Window(executor=EXECUTOR, source=Source.BALANCER, token=USDC.address, pool=VAULT, fees=COLLECTOR)
WANTED = Wanted(label="mine", id=build.position_id(), executor=EXECUTOR, market=POOL, tokens=(WETH, USDC))
PLACE = Place(bot=WALLET, multicall="0x" + "77" * 20, quoter=None, router=None, via=())


def words(*answers: Sequence[int] | None) -> Words:
    """A batch's answers; None is a call that failed."""
    rows = [(a is not None, b"".join(v.to_bytes(32) for v in a or ())) for a in answers]
    return Words([encode(["(bool,bytes)[]"], [rows])], [len(rows)])


def test_lender__when_the_vault_asks_a_fee__then_it_is_rounded_against_us() -> None:
    found = quotes.lender(WINDOW, words([10**12], [10**12 + 1], [0, 0, 0]))
    assert found is not None
    assert (found.source, found.cash_units, found.fee_ppm) == (Source.BALANCER, 10**12, 2)
    assert [c.target for c in quotes.lender_calls(WINDOW)] == [USDC.address, COLLECTOR, VAULT]


@pytest.mark.parametrize(
    "told", [([10**12], [0], [1, 0, 0]), ([10**12], None, [0, 0, 0]), ([10**12], [0], None)]
)
def test_lender__when_the_vault_is_paused_or_silent__then_none(told: Sequence[Sequence[int] | None]) -> None:
    assert quotes.lender(WINDOW, words(*told)) is None


class Chain:
    """An Executor that knows a vault; the vault may or may not tell who collects its fees."""

    def __init__(self, collector: int | None) -> None:
        self.collector = collector

    async def read(self, calls: Sequence[Call]) -> Words:
        return words(*(self._one(c) for c in calls))

    def _one(self, call: Call) -> Sequence[int] | None:
        if call.data == load.OWNER:
            return [int(ALICE, 16)]
        if call.data == load.VENUES:
            return [0, 0, 0, 1, int(VAULT, 16)]
        if call.data == load.FEES_COLLECTOR:
            return None if self.collector is None else [self.collector]
        return [1, *[0] * 6]


@pytest.mark.asyncio
@pytest.mark.parametrize("collector, there", [(int(COLLECTOR, 16), True), (0, False), (None, False)])
async def test_load__when_the_vault_tells_its_collector__then_it_may_lend(
    collector: int | None, there: bool
) -> None:
    desk, _ = await load.load((WANTED,), PLACE, Chain(collector).read)
    assert any(w.source is Source.BALANCER for w in desk.windows) is there
