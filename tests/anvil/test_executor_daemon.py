"""The daemon brings a borrower with an empty wallet back to target through the owner's Executor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import pytest

from anvil.abi import encode_call
from anvil.client import transaction
from anvil.compile import compile_morpho
from anvil.deploy_executor import TERMS, ChainVenues
from anvil.shock import set_base_fee
from anvil.stage import Stage
from keeper.model import Deleverage
from keeper.units import GWEI
from tests.anvil_daemon import MINED, Night, night
from tests.executor_daemon import WAD, Owned, loop_unwound_at_once, owned, refused, sources, terms

pytestmark = pytest.mark.anvil


def pool_at(there: Owned, symbol: str, percent: int, fee: int = 500) -> None:
    """Traders bring the pool to where the oracle will be in a moment."""
    start = there.on.scenario.prices_usd8(-1)[symbol] / 10**8
    there.executor.trade_to(symbol, "USDC", fee, start * percent / 100)


def with_morpho(on: Stage) -> ChainVenues:
    """Aave and Uniswap, and a real Morpho Blue that has nothing to lend yet."""
    morpho = on.chain.deploy(compile_morpho(quiet=True)["Morpho"], on.chain.accounts[0])
    return ChainVenues(
        aave_v3_pool=on.market.pool, uniswap_v3_factory=on.market.uniswap.factory, morpho_blue=morpho
    )


def test_deleverage__wallet_empty_after_a_crash__daemon_reaches_target_in_one_transaction(
    tmp_path: Path,
) -> None:
    with owned(tmp_path) as there:
        on, executor = there.on, there.executor
        executor.configure(terms(executor))
        executor.grant("WETH", 8 * WAD)
        pool_at(there, "WETH", 70)
        there.arm()
        with night(on) as told:
            before = on.actors.holdings(told.account(there.label))
            nonce = told.nonce
            told.falls(WETH=0.7, wstETH=0.7)
            assert WAD < told.health(there.label) < 1.02 * WAD
            told.block()
            told.block()
            assert told.rescues(there.label) == 1, told.guard.tail()
            assert told.nonce == nonce + 1
            # below emergency the sale is sized for the worst price allowed; a better one leaves more
            assert 1.25 * WAD <= told.health(there.label) <= 1.30 * WAD
            after = on.actors.holdings(told.account(there.label))
            assert after[0]["WETH"] < before[0]["WETH"]
            assert after[1]["USDC"] < before[1]["USDC"]
            assert executor.leftovers() == {}
            assert executor.seq() == 1
            assert on.actors.balance("USDC", executor.owner) == 0


def test_deleverage__loop_in_emode_at_ninety_per_cent__daemon_unwinds_to_target_at_once(
    tmp_path: Path,
) -> None:
    with owned(tmp_path, pair=2) as there:
        executor = there.executor
        loop = {"trigger": 103, "target": 104, "max": 114, "emergency": 101}
        executor.configure(
            terms(executor, hysteresis=5 * WAD // 1000, **{k: v * WAD // 100 for k, v in loop.items()}),
            collateral="wstETH",
            debt="WETH",
        )
        executor.grant("wstETH", 25 * WAD)
        there.arm()
        loop_unwound_at_once(there)


@contextmanager
def lent_to(folder: Path, lenders: str = "aave morpho") -> Iterator[Owned]:
    """WBTC against DAI, whose only way goes over two pools: the money between comes from whoever lends it."""
    with owned(folder, pair=1, via=("USDC",), lenders=with_morpho) as there:
        on, executor = there.on, there.executor
        executor.configure(terms(executor), collateral="WBTC", debt="DAI")
        executor.by_owner("setRouter(address,bool)", on.market.uniswap.router, True)
        executor.grant("WBTC", 10**8)
        dai, deployer = on.market.token("DAI").address, on.market.roles.deployer
        if "morpho" in lenders:
            on.chain.send(deployer, dai, "mint(address,uint256)", executor.venues.morpho_blue, 10**24)
        if "aave" not in lenders:
            off = ("setReserveFlashLoaning(address,bool)", dai, False)
            on.chain.send(deployer, on.market.configurator, *off)
        pool_at(there, "WBTC", 81, 3_000)
        there.arm()
        yield there


@pytest.mark.parametrize("lends, source", [("aave", "AAVE_V3"), ("morpho", "MORPHO_BLUE")])
def test_deleverage__no_pool_of_the_pair__daemon_takes_the_loan_there_is(
    tmp_path: Path, lends: str, source: str
) -> None:
    with lent_to(tmp_path, lends) as there, night(there.on) as told:
        told.falls(WBTC=0.81, WETH=0.81, wstETH=0.81)
        told.block()
        told.block()
        assert told.rescues(there.label) == 1, told.guard.tail()
        assert told.health(there.label) >= 1.25 * WAD
        assert sources(told, there.label) == [source]
        assert there.executor.leftovers() == {}


def drained(told: Night, there: Owned, leaves: tuple[str, str, tuple[object, ...]]) -> str:
    """The lender's money leaves in the block for which the keeper's sale was sent, before it; the journal's why.

    The sale does nothing, and nothing is harmed by it.
    """
    on, executor, (sender, to, call) = there.on, there.executor, leaves
    held, seq, many = on.actors.holdings(executor.owner), executor.seq(), len(told.entries("outcome"))
    assert told.intents(there.label)[-1].state not in MINED
    first = transaction(sender, to, encode_call(*call), gas=1_000_000)  # type: ignore[arg-type]
    on.chain.rpc("eth_sendTransaction", {**first, "maxFeePerGas": hex(10_000 * GWEI)})
    told.block()
    entry = told.entries("outcome", there.label)[many]
    assert entry.data["state"] == "REVERTED", entry
    after = on.actors.holdings(executor.owner)
    assert executor.seq() == seq
    assert (after[0]["WBTC"], executor.leftovers()) == (held[0]["WBTC"], {})
    return entry.why


def test_deleverage__lenders_drained_before_it_in_its_block__daemon_takes_the_next_source_each_time(
    tmp_path: Path,
) -> None:
    with lent_to(tmp_path) as there:
        on, chain, dai = there.on, there.on.chain, there.on.market.token("DAI").address
        morpho, whale = there.executor.venues.morpho_blue, there.executor.stranger
        lent = int(chain.call(dai, "balanceOf(address)(uint256)", morpho))
        cash = int(chain.call(on.market.pool, "getVirtualUnderlyingBalance(address)(uint128)", dai))
        on.actors.supply(whale, "USDC", 2 * cash // 10**12)
        chain.rpc("anvil_impersonateAccount", morpho)
        chain.rpc("anvil_setBalance", morpho, hex(100 * WAD))
        with night(on) as told:
            # gas worth counting: a step more costs more than the fee of a loan
            set_base_fee(chain, 10 * GWEI)
            told.falls(WBTC=0.81, WETH=0.81, wstETH=0.81)
            gone = ("transfer(address,uint256)", whale, lent)
            why = drained(told, there, (morpho, dai, gone))
            assert "no_source: morpho_blue has 0.00 DAI of the " in why, why
            # planned anew in that block already, with Aave's loan; all that Aave has is borrowed before its turn
            borrowed = ("borrow(address,uint256,uint256,uint16,address)", dai, cash, 2, 0, whale)
            why = drained(told, there, (whale, on.market.pool, borrowed))
            assert "no_source: aave_v3 has 0.00 DAI of the " in why, why
            told.block()
            assert told.rescues(there.label) == 1, told.guard.tail()
            planned = [i.plan.steps[0] for i in told.intents(there.label)]
            assert [s.source.name for s in planned if isinstance(s, Deleverage)] == [
                "MORPHO_BLUE",
                "AAVE_V3",
                "STEPWISE",
            ]
            assert told.health(there.label) >= 1.25 * WAD
            assert there.executor.leftovers() == {}


def test_deleverage__what_the_owner_did_not_allow__is_refused_by_name_and_moves_nothing(
    tmp_path: Path,
) -> None:
    with owned(tmp_path) as there:
        on, executor, label = there.on, there.executor, there.label
        executor.configure(terms(executor))
        pool_at(there, "WETH", 80)
        there.arm()
        a_weth = on.market.token("WETH").a_token

        def by_owner(to: str, signature: str, *arguments: object) -> None:
            on.chain.submit(executor.owner, to, encode_call(signature, *arguments))

        def by_executor(signature: str, *arguments: object) -> None:
            by_owner(executor.executor, signature, *arguments)

        with night(on) as told:
            before, nonce = on.actors.holdings(told.account(label)), told.nonce
            found = {}
            told.falls(WETH=0.8, wstETH=0.8)
            found["never granted"] = refused(told, label)
            by_owner(a_weth, "approve(address,uint256)", executor.executor, WAD // 100)
            told.block()
            found["too little"] = refused(told, label)
            by_owner(a_weth, "approve(address,uint256)", executor.executor, 0)
            told.block()
            found["revoked"] = refused(told, label)
            by_owner(a_weth, "approve(address,uint256)", executor.executor, 8 * WAD)
            by_executor("pause()")
            told.block()
            found["paused"] = refused(told, label)
            by_executor("unpause()")
            by_executor("setBot(address,uint16,uint40)", executor.bot, 10_000, 1)
            told.block()
            found["expired"] = refused(told, label)
            by_executor("setBot(address,uint16,uint40)", executor.bot, 10_000, 2**40 - 1)
            by_executor("removePosition(bytes32)", executor.position)
            told.block()
            found["not known"] = refused(told, label)
            assert found == {
                "never granted": "no_grant",
                "too little": "grant_too_small",
                "revoked": "no_grant",
                "paused": "paused",
                "expired": "grant_expired",
                "not known": "unknown_position",
            }
            assert (told.nonce, executor.seq()) == (nonce, 0)
            assert on.actors.holdings(told.account(label))[0]["WETH"] >= before[0]["WETH"]
            assert set(found.values()) <= {str(e.data["code"]) for e in told.entries("alarm", label)}
            # the same night, allowed again: what was refused was refused for these reasons only
            by_executor(f"setPosition(bytes32,{TERMS})", executor.position, astuple(terms(executor)))
            told.block()
            told.block()
            told.block()
            assert told.rescues(label) == 1, told.guard.tail()
            assert told.health(label) >= 1.25 * WAD
