"""Nights that were, under one real daemon on the real Aave v3 market: nobody guarded is lost; an alarm was first.

LUNA's feed at its minimum, the capped ratio of March 2026, the dollar at 0.87, a chain that stood still, the market
without cash and at 50 % of April 2026; and, a danger without a date that is not counted among them, a threshold that
a vote cuts. In each a position of the same shape that nobody guards is lost: the danger was there. The sixth of the
named ones, Maker's Black Thursday, is played elsewhere, on a double; the two figures of them all say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from eth_abi.abi import encode

from anvil.actors import Actors, Borrower
from anvil.compile import Artifact
from tests.incident_stage import CONFIGURE, DAY_S, GRACE_S, SWAP, USD, Night, night
from tests.incident_tally import became

pytestmark = pytest.mark.anvil


def luna(on: Night) -> None:
    """May 2022: the market is at a cent, the feed stays at its minimum."""
    on.price("DAI", 0.01)
    on.block()
    on.told("feed_at_bound", "DAI")
    on.blocks()


def capo(on: Night) -> None:
    """10 March 2026: a ratio's cap is set below the ratio; the oracle falls by 2.85 %, the market does not."""
    now_s = on.chain.block().timestamp_s
    on.submit(on.feeds["wstETH"], "setSnapshot(uint256,uint256)", 12 * 10**17 * 9_715 // 10_000, now_s)
    on.block()
    on.told("capo_capped", "wstETH")
    on.blocks()


def vote(on: Night) -> None:
    """A cut of a liquidation threshold waits behind a timelock, and lands; the alarm came before anything changed."""
    # queued before the daemon ran: said at its start
    replace(on, since_id=0).told("pending_governance_change", about=on.accounts["vote"])
    before = [(c, s) for c, s in on.at.alarms() if c in ("pending_governance_change", "threshold_cut")]
    assert before, on.at.alarms()
    assert "threshold_cut" not in {c for c, _ in before}
    assert any(on.accounts["vote"] in subject for _, subject in before)
    on.chain.rpc("evm_setNextBlockTimestamp", on.lands_s + 60)
    on.submit(on.timelock, "executePayload(uint40)", 0)
    on.block()
    on.told("threshold_cut", about=on.accounts["vote"])
    on.blocks()


def depeg(on: Night) -> None:
    """11 March 2023: the dollar that is collateral goes to 0.87, in a pool first, then step by step in its feed.

    The position's own alarm comes while its feed still says a dollar. How long before is the script's:
    one block before the feed's first update, and two updates before the first twin can be taken.
    """
    me, router = on.chain.accounts[0], on.market.uniswap.router
    usdc, dai = on.market.token("USDC"), on.market.token("DAI")
    units = 700_000 * usdc.unit
    on.price("DAI", 1.0)
    on.submit(usdc.address, "mint(address,uint256)", me, units)
    on.submit(usdc.address, "approve(address,uint256)", router, units)
    on.block()
    on.submit(
        router, SWAP.removesuffix("(uint256)"), (usdc.address, dai.address, 500, me, 2**40, units, 0, 0)
    )
    on.block()
    on.later(400)
    on.blocks(2)
    said = on.told("predicted", about=on.accounts["depeg"])
    # while every feed still says a dollar, and before a dollar was spent or could be taken
    assert "USDC 1 -> " in said.why, said.why
    assert on.chain.call(on.market.oracle, "getAssetPrice(address)(uint256)", usdc.address) == USD
    assert not on.rescued("depeg")
    assert not on.lost(on.twins["depeg"])
    for price in (0.99, 0.975, 0.96, 0.945, 0.92, 0.895, 0.87):
        on.price("USDC", price)
        on.blocks(3)
        if price == 0.975:
            assert not on.lost(on.twins["depeg"]), "the first that it takes falls two updates after the alarm"
            assert on.rescued("depeg"), "the keeper has acted by then"


def stall(on: Night) -> None:
    """15 December 2023: no block for ninety minutes, and in the first one after it the price is another.

    The uptime feed says so as well (our double of it), and Aave's real sentinel holds liquidators back for an hour
    after: the hour in which the keeper must have acted.
    """
    twin = on.twins["plain"]
    on.price("USDC", 1.0)
    on.blocks(2)
    on.submit(on.uptime, "set(int256)", 1)
    on.block()
    on.told("sequencer_down")
    on.price("WETH", 2_450)
    on.submit(on.uptime, "set(int256)", 0)
    on.later(5_400)
    on.block()
    runs_s = on.chain.block().timestamp_s
    on.told("sequencer_grace", f"in {GRACE_S} s, below health 0.95 at once")
    assert on.held_back(twin)
    before = len(on.rescued("plain"))
    on.blocks()
    assert len(on.rescued("plain")) > before
    assert on.chain.block().timestamp_s < runs_s + GRACE_S
    assert on.held_back(twin), "what was done was not done in the grace"
    on.later(GRACE_S)
    on.block()


def kelp(on: Night) -> None:
    """18 April 2026: no collateral can leave, its loan-to-value is 0, and debt costs 50 % a year."""
    whale = on.market.roles.actors[20]
    pool, config = on.market.pool, on.market.configurator
    on.price("WETH", 3_000)
    wbtc, usdc = on.market.token("WBTC"), on.market.token("USDC")
    on.submit(config, CONFIGURE, wbtc.address, 0, 7_800, 10_500)
    for token, rates in ((wbtc, (8_000, 0, 10, 10)), (usdc, (9_200, 0, 550, 4_450))):
        data = encode(("uint16", "uint32", "uint32", "uint32"), rates)
        on.submit(config, "setReserveInterestRateData(address,bytes)", token.address, data)
    on.block()
    on.chain.rpc("evm_setAutomine", True)
    actors = Actors(on.chain, on.market)
    cash = {
        t.symbol: on.chain.call(pool, "getVirtualUnderlyingBalance(address)(uint128)", t.address)
        for t in (wbtc, usdc)
    }
    actors.open(Borrower(account=whale, collateral={"WETH": 100_000 * 10**18}, debt=cash))
    on.chain.rpc("evm_setAutomine", False)
    on.price("WBTC", 87_400)
    on.blocks(2)
    for code in ("no_cash", "ltv_zero", "rate_clock"):
        on.told(code, about=on.accounts["kelp"])
    for _ in range(4):
        on.later(15 * DAY_S // 2)
        on.blocks(3)


INCIDENTS: tuple[tuple[Callable[[Night], None], str], ...] = (
    (luna, "luna"),
    (capo, "loop"),
    (vote, "vote"),
    (depeg, "depeg"),
    (stall, "plain"),
    (kelp, "kelp"),
)


@pytest.fixture
def stage(market_code: dict[str, Artifact], tmp_path: Path) -> Iterator[Night]:
    with night(market_code, tmp_path) as built:
        yield built


def test_incidents_on_aave__one_after_the_other__no_guarded_position_is_lost_and_each_twin_is(
    stage: Night,
) -> None:
    assert not stage.at.intents()
    for incident, name in INCIDENTS:
        before = len(stage.rescued(name))
        incident(stage.begun())
        kept = not stage.lost(stage.accounts[name])
        assert stage.lost(stage.twins[name]), f"{name}: the danger took nobody, this shows nothing"
        assert len(stage.rescued(name)) > before, f"{name}: nothing was done: {stage.at.alarms()}"
        became(incident.__name__, kept=kept, evidence="real_bytecode")
        assert kept, name
    assert not [name for name, account in stage.accounts.items() if stage.lost(account)]
