"""A night among adversaries: whatever stands before the rescue in its block, nothing is lost and it is planned anew.

One daemon and one chain for all episodes; every transaction of an adversary pays more than the keeper's, so that
it comes first in the block for which the keeper's was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from anvil.abi import encode_call
from anvil.client import transaction
from keeper.units import GWEI, UINT256_MAX
from tests.anvil_daemon import Night, night
from tests.executor_daemon import WAD, Owned, owned, refused, terms
from tests.executor_stage import EXACT_INPUT_SINGLE

pytestmark = pytest.mark.anvil
FIRST, LAST = 2_000 * GWEI, 0
"""What an adversary pays to stand before the keeper; and that he stands behind it, at little over the base fee."""
TRIGGER, TARGET = 120 * WAD // 100, 125 * WAD // 100
SEIZE = "liquidationCall(address,address,address,uint256,bool)"
THIN_BPS = 9_990
RICH = 10**12


@dataclass(kw_only=True)
class Siege:
    """The night, and everybody who is not on the owner's side."""

    there: Owned
    told: Night
    share: float = 0.8
    """Of the start price: where the feed stands."""

    def falls(self, share: float) -> None:
        """Feed and pool at that share in one block; the daemon has judged it and sent what it wants."""
        self.share = share
        self.told.submit_prices(WETH=share, wstETH=share)
        self.trade(share)
        self.block()

    def block(self) -> None:
        """One block, at a base fee that does not run away from the fees above."""
        self.there.on.chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        self.told.block()

    def rest(self) -> None:
        """What reverted is no longer counted, and the cooldown is over."""
        for _ in range(8):
            self.block()

    def trade(self, share: float, fee_wei: int = FIRST) -> None:
        """Somebody trades the pool to that share of the start price."""
        on, stage = self.there.on, self.there.executor
        weth, usdc = on.market.token("WETH"), on.market.token("USDC")
        usd = on.scenario.prices_usd8(-1)["WETH"] / 10**8 * share
        first = int(weth.address, 16) < int(usdc.address, 16)
        ratio = usd * usdc.unit / weth.unit
        limit = int((ratio if first else 1 / ratio) ** 0.5 * 2**96)
        pool = next(p.address for p in on.market.uniswap.pools if set(p.symbols) == {"WETH", "USDC"})
        now = on.chain.call(pool, "slot0()(uint160,int24,uint16,uint16,uint16,uint8,bool)")[0]
        down = (now > limit) == first
        # behind the keeper the pool stands lower than it does now: buying back is what is left to do
        sell, buy = (weth, usdc) if down and fee_wei else (usdc, weth)
        swap = (sell.address, buy.address, 500, stage.stranger, 2**40, RICH * sell.unit, 0, limit)
        self.send(stage.stranger, on.market.uniswap.router, encode_call(EXACT_INPUT_SINGLE, swap), fee_wei)

    def send(self, sender: str, to: str, data: bytes, fee_wei: int = FIRST) -> None:
        """Into the next block, before the keeper's or behind it."""
        fields = transaction(sender, to, data, gas=3_000_000)
        fee_wei = fee_wei or GWEI + 1
        self.there.on.chain.rpc(
            "eth_sendTransaction",
            {**fields, "maxFeePerGas": hex(fee_wei), "maxPriorityFeePerGas": hex(min(fee_wei - GWEI, GWEI))},
        )

    def missed(self) -> str:
        """The keeper's transaction is mined and did nothing: why, in the journal's words."""
        label, stage = self.there.label, self.there.executor
        before = self.there.on.actors.holdings(stage.owner)
        seq, many = stage.seq(), len(self.told.entries("outcome", label))
        self.block()
        after = self.there.on.actors.holdings(stage.owner)
        assert stage.seq() == seq
        assert stage.leftovers() == {}
        assert after[0]["WETH"] >= before[0]["WETH"] or self.told.health(label) < WAD
        entries = self.told.entries("outcome", label)
        assert len(entries) > many, self.told.entries("decision", label)[-1].data["rejected"]
        entry = entries[many]
        assert entry.data["state"] == "REVERTED", entry
        return entry.why

    def saved(self) -> bool:
        """Planned anew, and at target."""
        before = self.told.rescues(self.there.label)
        self.block()
        assert self.told.rescues(self.there.label) == before + 1, self.told.guard.tail()
        return TARGET <= self.told.health(self.there.label) <= 140 * WAD // 100


@contextmanager
def siege(folder: Path) -> Iterator[Siege]:
    """The owner's grant is given, the strangers are rich, the pool stands where the first fall will lead."""
    with owned(folder) as there:
        on, stage = there.on, there.executor
        stage.configure(terms(stage))
        stage.grant("WETH", 9 * WAD)
        router, manager = on.market.uniswap.router, on.market.uniswap.position_manager
        for symbol in ("WETH", "USDC"):
            token = on.market.token(symbol)
            for who, spender in ((stage.stranger, router), (on.chain.accounts[0], manager)):
                on.actors.mint(symbol, who, 10**6 * RICH * token.unit)
                on.chain.send(who, token.address, "approve(address,uint256)", spender, UINT256_MAX)
        on.actors.mint("USDC", stage.owner, 10**6 * 10**6)
        on.actors.approve(stage.owner, "USDC")
        liquidator = on.market.roles.liquidator
        on.actors.mint("USDC", liquidator, 10**6 * 10**6)
        on.actors.approve(liquidator, "USDC")
        there.arm()
        with night(on) as told:
            yield Siege(there=there, told=told)


def test_rescue__adversaries_before_it_in_its_block__loses_nothing_and_is_planned_anew(
    tmp_path: Path,
) -> None:
    with siege(tmp_path) as at:
        reasons = {"sandwich": _sandwich(at), "pushed": _pushed(at), "thin": _thin(at)}
        reasons |= {"owner": _owner(at), "liquidator": _liquidator(at)}
        assert "undone after it" in reasons["sandwich"]
        assert "SellLimit (sell_limit)" in reasons["pushed"]
        assert "SellLimit (sell_limit)" in reasons["thin"]
        assert "NotTriggered (not_triggered)" in reasons["owner"]
        assert "MaxHealthExceeded (above_max)" in reasons["liquidator"]
        print(reasons)


def _sandwich(at: Siege) -> str:
    """Pushed down before the sale, bought back after it."""
    at.falls(0.80)
    at.trade(0.77)
    at.trade(0.80, LAST)
    why = at.missed()
    assert at.saved()
    at.rest()
    return why


def _pushed(at: Siege) -> str:
    """Pushed down and left there: at that price nothing is sold, and that is said; then it is bought back."""
    at.falls(0.76)
    at.trade(0.70)
    why = at.missed()
    assert refused(at.told, at.there.label) == "slippage"
    at.trade(0.76)
    at.block()
    assert at.saved()
    at.rest()
    return why


def _thin(at: Siege) -> str:
    """Who kept the pool deep leaves, and comes back."""
    on = at.there.on
    manager, keeper_of_pool = on.market.uniswap.position_manager, on.chain.accounts[0]
    words = ",".join(("uint96", "address", "address", "address", "uint24", "int24", "int24", "uint128"))
    shape = f"positions(uint256)({words},uint256,uint256,uint128,uint128)"
    liquidity = on.chain.call(manager, shape, 1)[7]
    at.falls(0.72)
    leave = "decreaseLiquidity((uint256,uint128,uint256,uint256,uint256))"
    nearly_all = (1, liquidity * THIN_BPS // 10_000, 0, 0, 2**40)
    at.send(keeper_of_pool, manager, encode_call(leave, nearly_all))
    why = at.missed()
    assert refused(at.told, at.there.label) == "slippage"
    again = "increaseLiquidity((uint256,uint256,uint256,uint256,uint256,uint256))"
    deep = (1, 10**15 * 10**6, 10**15 * 10**6, 0, 0, 2**40)
    at.send(keeper_of_pool, manager, encode_call(again, deep))
    at.block()
    assert at.saved()
    at.rest()
    return why


def _owner(at: Siege) -> str:
    """He repays in the same block: nothing is left to do."""
    stage, market = at.there.executor, at.there.on.market
    at.falls(0.685)
    repay = (
        "repay(address,uint256,uint256,address)",
        market.token("USDC").address,
        2_500 * 10**6,
        2,
        stage.owner,
    )
    at.send(stage.owner, market.pool, encode_call(*repay))
    why = at.missed()
    assert at.told.health(at.there.label) >= TRIGGER
    rescues = at.told.rescues(at.there.label)
    at.rest()
    assert at.told.rescues(at.there.label) == rescues
    return why


def _liquidator(at: Siege) -> str:
    """A fall through everything at once, and a liquidator who pays more: what is left is brought to target."""
    stage, market = at.there.executor, at.there.on.market
    at.falls(0.41)
    assert at.told.health(at.there.label) < WAD
    token = market.token
    call = (SEIZE, token("WETH").address, token("USDC").address, stage.owner, 2_000 * 10**6, False)
    at.send(market.roles.liquidator, market.pool, encode_call(*call))
    why = at.missed()
    assert at.saved()
    return why
