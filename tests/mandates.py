"""Builders of what an Executor allows and a market offers, in the words of ``tests.build``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eth_utils.address import to_checksum_address

from keeper.executor import abi
from keeper.model import (
    Amount,
    Deleverage,
    Lender,
    Mandate,
    MandateAsset,
    Means,
    Position,
    Route,
    Side,
    Source,
    Spent,
    Terms,
    Token,
)
from keeper.units import BPS, WAD
from tests import build
from tests.build import USDC, WETH, units

EXECUTOR = to_checksum_address("0x" + "ee" * 20)
ROUTER = to_checksum_address("0x" + "0f" * 20)
DIRECT = to_checksum_address("0x" + "9a" * 20)
BETWEEN = to_checksum_address("0x" + "9b" * 20)
KEY = "0x" + build.POOL[2:].lower().rjust(64, "0")
NOW_S = build.block().timestamp_s


def terms(**changes: Any) -> Terms:
    """What suits ``build.policy``."""
    plain = Terms(
        trigger_wad=125 * WAD // 100,
        target_wad=140 * WAD // 100,
        max_wad=160 * WAD // 100,
        emergency_wad=108 * WAD // 100,
        hysteresis_wad=2 * WAD // 100,
        cooldown_blocks=5,
        epoch_s=86_400,
        expiry_s=NOW_S + 10**6,
        slippage_bps=100,
        flash_fee_bps=10,
        seq=3,
        last_block=90,
    )
    return replace(plain, **changes)


def asset(token: Token, side: Side, **changes: Any) -> MandateAsset:
    """Listed, with room for everything and a grant of all."""
    plain = MandateAsset(
        token=token,
        side=side,
        receipt=to_checksum_address("0x" + f"{int(side) + 1}0" * 20),
        unit=10**token.decimals,
        sell_cap=2**100 if side is Side.COLLATERAL else 0,
        fund_cap=0,
        spent=Spent(),
        bot_spent=Spent(),
        granted=2**100,
        held=2**100,
    )
    # what can be paid in is kept by the Executor, where a test says nothing else
    return replace(plain, **{"reserve": changes.get("funds", 0), **changes})


def mandate(**changes: Any) -> Mandate:
    """WETH may be sold for USDC."""
    plain = Mandate(
        id=build.position_id(),
        executor=EXECUTOR,
        owner=build.ALICE,
        key=KEY,
        bot=build.WALLET,
        bot_share_bps=BPS,
        bot_expiry_s=NOW_S + 10**6,
        paused=False,
        terms=terms(),
        assets=(asset(WETH, Side.COLLATERAL), asset(USDC, Side.DEBT)),
        routers=(),
        routers_refused=(),
        block_number=100,
        timestamp_s=NOW_S,
    )
    return replace(plain, **changes)


def route(
    *, sell: Token = WETH, buy: Token = USDC, impact_ppm: int = 2_000, router: str = "", most: str = "50000"
) -> Route:
    """Sold at the table's prices, dearer by 500 ppm and by ``impact_ppm`` of the way to ``most``."""
    prices = [build.base(build.PRICES[t.symbol]) for t in (sell, buy)]
    top = units(buy, most)
    points = []
    for i in range(1, 9):
        bought = top * i // 8
        fair = bought * prices[1] * 10**sell.decimals // (prices[0] * 10**buy.decimals)
        points.append((bought, fair + fair * (500 + impact_ppm * i // 8) // 10**6 + 1))
    return Route(
        executor=EXECUTOR,
        sell=sell,
        buy=buy,
        fees=(500,) if not router else (500, 500),
        via=() if not router else (build.DAI.address,),
        pools=(DIRECT,) if not router else (DIRECT, BETWEEN),
        router=router,
        points=tuple(points),
    )


def lender(
    source: Source = Source.AAVE_V3, *, fee_ppm: int = 500, cash: str = "1000000", **more: Any
) -> Lender:
    """A loan of USDC."""
    pool = to_checksum_address("0x" + "1e" * 20)
    return Lender(
        executor=EXECUTOR,
        source=source,
        token=USDC.address,
        fee_ppm=fee_ppm,
        cash_units=units(USDC, cash),
        **{"pool": pool, **more},
    )


def means(
    found: Mandate | None = None, routes: Sequence[Route] | None = None, lenders: Sequence[Lender] = ()
) -> Means:
    """An empty wallet, and an Executor."""
    return replace(
        build.means(),
        mandates=(found or mandate(),),
        routes=tuple([route()] if routes is None else routes),
        lenders=tuple(lenders),
    )


def borrower(health: str = "1.10", *, eth: str = "10") -> Position:
    """ETH against USDC at about that health."""
    debt = str((units(WETH, eth) * 2000 * 83 // 100 * 10**4 // int(float(health) * 10**4)) // 10**12 / 10**6)
    return build.position([build.collateral(WETH, eth)], [build.debt(USDC, debt)])


def sale(**changes: Any) -> Deleverage:
    """Five ETH at the most for 9,500 USDC, through the direct pool."""
    plain = Deleverage(
        executor=EXECUTOR,
        key=KEY,
        seq=3,
        deadline_s=NOW_S + 180,
        sell_max=Amount(token=WETH, units=5 * WAD),
        sold=4 * WAD,
        repay=Amount(token=USDC, units=9_500 * 10**6),
        source=Source.UNISWAP_V3_SWAP,
        fees=(500,),
    )
    return replace(plain, **changes)


def order(**changes: Any) -> abi.Order:
    """The order of ``sale``."""
    return replace(abi.order_of(sale()), **changes)
