"""What an owner is told to sign: the routers among it, in an order that ends with the grant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from eth_abi.abi import decode

from keeper.cli.owner_grant import named_routers
from keeper.executor.grants import SET_ROUTER, Wish, signings
from tests import build
from tests.build import USDC, WETH
from tests.mandates import EXECUTOR, ROUTER

pytestmark = pytest.mark.unit
OTHER = "0x" + "0e" * 20


def wish(**routers: str) -> Wish:
    """Eight WETH, with these routers."""
    return Wish(
        executor=EXECUTOR,
        key="0x" + "11" * 32,
        bot="0x" + "22" * 20,
        policy=build.policy(),
        now_s=1_700_000_000,
        collateral={WETH: 8 * 10**18},
        receipts={WETH: OTHER},
        debt=(USDC,),
        routers=routers,
    )


def test_signings__when_routers_are_not_allowed_yet__then_one_call_each_before_the_grant() -> None:
    plain, found = signings(wish()), signings(wish(**{ROUTER: "the router", OTHER: "the aggregator 0x"}))
    added = [s for s in found if s not in plain]
    assert [s.call.data[:4] for s in added] == [SET_ROUTER] * 2
    words = [decode(["address", "bool"], s.call.data[4:]) for s in added]
    assert words == [(ROUTER.lower(), True), (OTHER, True)]
    assert {s.call.target for s in added} == {EXECUTOR}
    assert "the aggregator 0x" in added[1].meaning
    assert found[-1] == plain[-1], "the grant itself is signed last"


def test_named_routers__of_a_configuration__are_those_of_pools_and_aggregator() -> None:
    offers = SimpleNamespace(name="0x", router=OTHER)
    both: Any = SimpleNamespace(uniswap_router=ROUTER, aggregator=offers)
    alone: Any = SimpleNamespace(uniswap_router=None, aggregator=offers)
    none: Any = SimpleNamespace(uniswap_router=None, aggregator=None)
    assert [list(named_routers(chain)) for chain in (both, alone, none)] == [[ROUTER, OTHER], [OTHER], []]
