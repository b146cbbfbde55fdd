"""An emptied lender is named, after a reverted transaction and before a signature; the Executor's own words stand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import cast

import pytest

from keeper.chain.endpoints import Endpoints
from keeper.chain.relay import Relays
from keeper.daemon import lent
from keeper.daemon.outgoing import Outgoing
from keeper.daemon.rehearsal import Rehearsals
from keeper.errors import Rejected, Transient
from keeper.executor.desk import Desk
from keeper.executor.quotes import Window
from keeper.journal.read import Queries
from keeper.model import Plan, Source
from tests import mandates, plans
from tests.build import USDC, amount

pytestmark = pytest.mark.unit
MORPHO = "0x" + "b1" * 20


@dataclass
class Node:
    """What a lender still has, or why no node says."""

    units: int | Exception
    asked: list[Sequence[object]] = field(default_factory=list)
    chain: object = field(default_factory=lambda: SimpleNamespace(private_blocks=0))

    async def request(
        self, method: str, params: Sequence[object], *, priority: object, timeout_s: float
    ) -> object:
        self.asked.append(params)
        if isinstance(self.units, Exception):
            raise self.units
        return f"0x{self.units:064x}"

    async def request_elsewhere(self, method: str, params: Sequence[object], **_: object) -> object:
        raise Transient("silent")


def borrowing(source: Source = Source.MORPHO_BLUE) -> Plan:
    """A sale that begins with a loan of 100 USDC."""
    step = replace(mandates.sale(), source=source, repay=amount(USDC, "100"))
    return replace(plans.plan(), steps=(step,))


def window(source: Source = Source.MORPHO_BLUE, token: str = USDC.address) -> Window:
    """Where it is borrowed."""
    return Window(executor=mandates.EXECUTOR, source=source, token=token, pool=MORPHO)


def asked(node: Node, plan: Plan, *known: Window) -> str:
    return asyncio.run(lent.short(cast(Endpoints, node), plan, known))


def test_short__less_than_is_borrowed__is_named_with_what_is_left() -> None:
    node = Node(99_999_999)
    assert asked(node, borrowing(), window()) == (
        "no_source: morpho_blue has 99.999999 USDC of the 100.00 USDC to be borrowed"
    )
    ((call, at),) = node.asked
    assert (cast(dict[str, str], call)["to"], at) == (USDC.address, "latest")


def test_short__enough_or_nobody_lends_or_no_node_says__nothing_is_said() -> None:
    assert asked(Node(100_000_000), borrowing(), window()) == ""
    for silent in (Transient("gone"), Rejected(3, "reverted")):
        assert asked(Node(silent), borrowing(), window()) == ""
    node = Node(0)
    others = (window(Source.AAVE_V3), window(token="0x" + "99" * 20))
    assert asked(node, borrowing(), *others) == ""
    assert asked(node, borrowing(Source.UNISWAP_V3_SWAP), window()) == ""
    assert asked(node, plans.plan(), window()) == ""
    assert node.asked == [], "a plan without a loan costs no request"


def test_short__aave__asks_what_the_pool_may_lend_not_what_its_token_holds() -> None:
    node = Node(0)
    told = asked(node, borrowing(Source.AAVE_V3), window(Source.AAVE_V3))
    assert told.startswith("no_source: aave_v3 has 0.00 USDC of ")
    assert cast(dict[str, str], node.asked[0][0])["to"] == MORPHO


@pytest.mark.parametrize(
    "why, named",
    [("transfer reverted at the end of its block", True), ("Executor: SlippageExceeded (slippage)", False)],
)
def test_why_lost__words_that_name_nothing__the_lender_is_added_as_it_stood_in_that_block(
    why: str, named: bool
) -> None:
    node, desk = Node(0), Desk(windows=(window(),))
    told = asyncio.run(lent.why_lost(cast(Endpoints, node), desk, why, (borrowing(), 77)))
    assert told.startswith(why)
    assert ("no_source: morpho_blue" in told) is named
    assert [at for _, at in node.asked] == (["0x4d"] if named else [])
    assert asyncio.run(lent.why_lost(cast(Endpoints, node), None, why, (borrowing(), 77))) == why


def test_look__the_lender_is_empty_before_the_signature__simulation_refuses_by_its_name() -> None:
    class NoStage:
        stage = SimpleNamespace(venue_of=lambda _: SimpleNamespace(spender="0x" + "9e" * 20))

    async def said() -> object:
        raise Rejected(3, "execution reverted: transfer reverted")

    node = Node(0)
    out = Outgoing(
        cast(Endpoints, node), cast(Queries, None), cast(Rehearsals, NoStage()), cast(Relays, None)
    )
    out.windows = lambda: (window(),)
    with pytest.raises(Rejected, match=r"no_source: morpho_blue has 0\.00 USDC .*reverted"):
        asyncio.run(out._explained(borrowing(), {}, said()))
