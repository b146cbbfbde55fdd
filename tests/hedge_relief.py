"""A loan in need with an Executor, and its short as GMX v2 would hold it: what the joint plan is decided on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from keeper.decision import Memory, Options, decide
from keeper.decision.legs import Relief
from keeper.model import Acting, Decision, Means, Perp, Position, PositionId, Route, Side, Snapshot
from keeper.venues.gmx_v2 import GmxV2, read
from keeper.venues.gmx_v2.book import Slot
from strategies.hedge_profit import take
from strategies.registry import SHIPPED
from tests import build, mandates
from tests.build import ALICE, CHAIN_ID, USDC, WALLET, WETH
from tests.fakes import LendingDouble
from tests.hedged import INDEX, loan, perp

LENDING = LendingDouble()
SLOT = Slot(
    name="gmx",
    chain_id=CHAIN_ID,
    subaccounts="0x" + "a1" * 20,
    reader="0x" + "a2" * 20,
    store="0x" + "a3" * 20,
    router="0x" + "a4" * 20,
    vault="0x" + "b1" * 20,
    emitter="0x" + "b2" * 20,
    market="0x" + "b3" * 20,
    index=INDEX,
    long_token=WETH,
    short_token=USDC,
    collateral=USDC,
    long=False,
    feeds=(),
    subaccount=WALLET,
    spread_bps=0,
)
GMX = GmxV2(SLOT)
SHORT = GMX.position_id(ALICE)
OWN = build.policy(target="1.35", strategies=("deleverage", "repay_from_reserve"), cooldown_blocks=3)
PERP = build.policy(
    warn="1.08",
    trigger="1.05",
    target="1.07",
    emergency="1.02",
    hysteresis="0.005",
    strategies=("reduce_perp",),
)
ACTING = Acting(subaccount=WALLET, allowed=True, actions_left=10, until_s=2**40)


def short(price: float, found: Perp | None = None) -> Position:
    """Eight ether sold at 2,000, at that price; or these numbers."""
    numbers = replace(
        found or perp(price, eth=8.0), acting=ACTING, increase_gas=100_000, decrease_gas=100_000
    )
    return read.of(SHORT, numbers, (SLOT.feed(INDEX), SLOT.feed(USDC)), (100, ()))


def means(routes: Sequence[Route] | None = (), *, wallet: int = 0, allowed: int = 20_000) -> Means:
    """The owner's Executor, whose owner grants ``allowed`` dollars and holds ``wallet``; ways of a sale."""
    debt = mandates.asset(
        USDC,
        Side.DEBT,
        fund_cap=2**100,
        wallet=wallet * 10**6,
        allowed=allowed * 10**6,
        funds=min(wallet, allowed) * 10**6,
        reserve=0,
    )
    found = mandates.mandate(assets=(mandates.asset(WETH, Side.COLLATERAL), debt))
    return mandates.means(found, routes, [mandates.lender()])


def seen(price: str, hedge: Position | None, have: Means, at: int = 100) -> Snapshot:
    """Both legs at one block."""
    found = replace(loan(price), block_number=at)
    rows = [found, *([hedge] if hedge is not None else [])]
    return build.snapshot(rows, wallet=have, at=build.block(at, base_fee_gwei=1))


def decided(
    snapshot: Snapshot, reliefs: Mapping[PositionId, Relief] | None = None
) -> dict[PositionId, Decision]:
    """What is wished for both, by position."""
    policies = {p.id: PERP if p.perp is not None else OWN for p in snapshot.positions}
    given = {build.position_id(): relief()} if reliefs is None else reliefs
    options = Options(venues={LENDING.id: LENDING, GMX.id: GMX}, strategies=SHIPPED, reliefs=given)
    outlooks = [build.outlook(p) for p in snapshot.positions]
    return {d.id: d for d in decide(snapshot, outlooks, policies, Memory(), options)[0]}


def relief(wait: str = "", tried: str = "") -> Relief:
    """The short may be asked."""
    return Relief(short=SHORT, policy=PERP, take=take, wait=wait, tried=tried)
