"""The shipped crash on real bytecode: nobody guards, so everybody must fall; and the way down is steady."""

from __future__ import annotations

import pytest

from anvil import scenario as story
from anvil.actors import Actors
from anvil.client import Chain
from anvil.deployment import Deployment
from anvil.liquidator import Liquidation, Liquidator
from anvil.node import Anvil, AnvilSettings

pytestmark = pytest.mark.anvil


def test_crash__unguarded__liquidates_every_pair_alike_and_each_loses_its_bonus(
    actors: Actors, deployment: Deployment
) -> None:
    crash = story.load_scenario("crash")
    pairs = story.open_pairs(actors, crash)
    for pair, role in zip(pairs, crash.borrower, strict=True):
        start = actors.account(pair.guarded)
        assert start.health_wad / 1e18 == pytest.approx(float(role.health), rel=1e-5)
        assert actors.account(pair.twin).health_wad == pytest.approx(start.health_wad, rel=1e-5)
    liquidator = Liquidator(actors)
    users = [account for pair in pairs for account in (pair.guarded, pair.twin)]
    done: list[Liquidation] = []
    for index in range(len(crash.step)):
        actors.chain.confirm(story.submit_step(actors.chain, deployment, crash, index))
        done += liquidator.act(users)
    assert {d.user for d in done} == set(users)
    assert all(d.loss_usd8 > 0 for d in done)
    for pair in pairs:
        lost = [sum(d.loss_usd8 for d in done if d.user == a) for a in (pair.guarded, pair.twin)]
        assert lost[0] == pytest.approx(lost[1], rel=0.01)
    prices = {s: actors.price_usd8(s) for s in deployment.symbols}
    assert prices == crash.prices_usd8(len(crash.step) - 1)


def test_step__on_a_node_that_mines_by_hand__lands_in_one_block_with_its_fee(
    market_code: dict[str, object], deployment: Deployment, upstream: Anvil
) -> None:
    crash = story.load_scenario("crash")
    with Anvil(AnvilSettings(fork_url=upstream.url, mining=False)) as node:
        chain = deployment.chain(node.url)
        hashes = story.submit_step(chain, deployment, crash, 10)
        block = chain.mine()
        receipts = chain.confirm(hashes)
        assert {int(r["blockNumber"], 16) for r in receipts} == {block.number}
        assert block.base_fee_wei == crash.base_fee_wei(10) == 20 * 10**9
        assert Actors(chain, deployment).price_usd8("WETH") == crash.prices_usd8(10)["WETH"]
        chain.close()


def test_keeper_wallet__funded__holds_what_the_story_says(
    actors: Actors, chain: Chain, deployment: Deployment
) -> None:
    crash = story.load_scenario("crash")
    wallet = "0x" + "7e" * 20
    story.fund(actors, crash, wallet)
    assert chain.balance_wei(wallet) == crash.keeper.native * 10**18
    for symbol, amount in crash.keeper.tokens.items():
        assert actors.balance(symbol, wallet) == amount * deployment.token(symbol).unit
