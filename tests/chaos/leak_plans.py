"""A generated order or payment as a plan, and what the daemon's whole guard says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eth_utils.address import to_checksum_address

from keeper.executor import abi
from keeper.executor.abi import ALL, ZERO, Order, PayIn
from keeper.executor.rules import Deal, Purse
from keeper.model import (
    Amount,
    Block,
    Bounds,
    Call,
    Caps,
    Deleverage,
    Errand,
    Holding,
    Lender,
    Mandate,
    Means,
    Plan,
    PlanKey,
    Policy,
    Position,
    Refusal,
    Repay,
    Route,
    Side,
    Source,
    Step,
    Supply,
    Token,
)
from keeper.plan import Case, check
from keeper.units import UINT256_MAX, WAD
from tests import build
from tests.fakes import LendingDouble

NO_CAP = 10**100
"""The policy stands in nobody's way: what is compared is what the Executor holds to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the guard said of the plan; ``sayable``: there is a plan that asks exactly this."""

    sayable: bool = False
    worst: bool = False
    """The worst end that the plan foresees is the end that it had."""
    code: str | None = None


class Rehearsed(LendingDouble):
    """A venue of which it is known how the step would end."""

    def __init__(self, after_wad: int, *, refuses: bool) -> None:
        super().__init__()
        self._after_wad = after_wad
        self._refuses = refuses

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        return replace(position, health_wad=self._after_wad)

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        return Refusal(who="venue", code="rehearsed", why="") if self._refuses else None


def guards(mandate: Mandate, wanted: Order | PayIn, health_wad: int, found: Deal | Purse) -> Seen:
    """The guard's word on a plan of ``wanted``, where there can be one."""
    if isinstance(wanted, PayIn):
        assert isinstance(found, Purse)
        return _payment(mandate, wanted, health_wad, found)
    assert isinstance(found, Deal)
    return _sale(mandate, wanted, health_wad, found)


def _sale(mandate: Mandate, order: Order, health_wad: int, deal: Deal) -> Seen:
    order = _checksummed(order)
    step = _step(mandate, order, deal)
    # nothing to sell is no step: its bytes could not even be made
    if step is None or order.sell_max == 0 or abi.order_of(step) != order or not _kept(order, deal):
        return Seen()
    loan = _loan(mandate, step, order, deal)
    if deal.fee and loan is None:
        return Seen()
    sell, buy = step.sell_max.token, step.repay.token
    position = _position(
        mandate,
        health_wad,
        ((sell, order.sell_max, deal.price_collateral), (buy, deal.owed, deal.price_debt)),
    )
    means = replace(
        _means(mandate),
        lenders=() if loan is None else (loan,),
        routes=(_pool(mandate, step),) if deal.swap_there and order.router == ZERO else (),
    )
    venue = Rehearsed(deal.health_after_wad, refuses=deal.halt is not None)
    code = _asked(step, abi.deleverage(step), position, venue, means)
    exact = deal.sold == order.sell_max and deal.bought == _needed(order, deal)
    missing = not deal.lender_there or (order.router == ZERO and not deal.swap_there)
    return Seen(sayable=True, worst=missing or (exact and not order.sells), code=code)


def _payment(mandate: Mandate, wanted: PayIn, health_wad: int, purse: Purse) -> Seen:
    if wanted.amount.units == 0:
        return Seen()
    errand = Errand(executor=wanted.executor, key=wanted.key, seq=wanted.seq, deadline_s=wanted.deadline_s)
    kind = Repay if wanted.side is Side.DEBT else Supply
    step = kind(amount=wanted.amount, through=errand)
    held = (wanted.amount.token, purse.owed if wanted.side is Side.DEBT else WAD, 10**8)
    other = (build.DAI, 1, 10**8)
    sides = (other, held) if wanted.side is Side.DEBT else (held, other)
    venue = Rehearsed(purse.health_after_wad, refuses=purse.halt is not None)
    position = _position(mandate, health_wad, sides)
    code = _asked(step, abi.pay_in(wanted), position, venue, _means(mandate))
    return Seen(sayable=True, worst=True, code=code)


def _needed(order: Order, deal: Deal) -> int:
    return (deal.owed if order.repay == ALL else order.repay) + deal.fee


def _kept(order: Order, deal: Deal) -> bool:
    """The market gave what the plan counts on; where it does not, no guard can know."""
    if order.source == Source.STEPWISE:
        return len(deal.steps) == 1 and deal.steps[0][1] > 0
    if order.router == ZERO:
        return deal.sold <= order.sell_max and (not deal.swap_there or deal.bought == _needed(order, deal))
    return deal.bought >= _needed(order, deal)


def _step(mandate: Mandate, order: Order, deal: Deal) -> Deleverage | None:
    """The step that asks this; None where no step does."""
    if len(order.data) > 1 or int(order.source) not in set(Source):
        return None
    tokens = {a.token.address: a.token for a in mandate.assets}
    sell, buy = (
        tokens.get(x) or Token(chain_id=1, address=x, symbol="DAI", decimals=18)
        for x in (order.collateral, order.debt)
    )
    stepwise = order.source == Source.STEPWISE
    repaid = min(deal.steps[0][1], deal.owed) if stepwise and deal.steps else order.repay
    return Deleverage(
        executor=mandate.executor,
        key="0x" + order.position.hex(),
        seq=order.seq,
        deadline_s=order.deadline_s,
        sell_max=Amount(token=sell, units=order.sell_max),
        sold=deal.sold,
        repay=Amount(token=buy, units=deal.owed if order.repay == ALL else repaid),
        whole=order.repay == ALL,
        source=Source(order.source),
        source_token=order.source_token,
        source_fee=order.source_fee,
        fee_units=deal.fee,
        router="" if order.router == ZERO else order.router,
        fees=(order.swap_fee,),
        sells=order.sells,
        calldata=order.data[0] if order.data else b"",
    )


def _loan(mandate: Mandate, step: Deleverage, order: Order, deal: Deal) -> Lender | None:
    """The lender, as it would have been read; None where there is none, or no price of its is known."""
    amount = step.repay.units
    if not deal.lender_there or step.source in (Source.STEPWISE, Source.UNISWAP_V3_SWAP) or amount == 0:
        return None
    fee_ppm = deal.fee * 1_000_000 // amount
    if -(-amount * fee_ppm // 1_000_000) != deal.fee:
        return None
    return Lender(
        executor=mandate.executor,
        source=step.source,
        token=step.repay.token.address,
        fee_ppm=fee_ppm,
        cash_units=amount,
        pool=ZERO,
        other_token=order.source_token,
        pool_fee=order.source_fee,
    )


def _pool(mandate: Mandate, step: Deleverage) -> Route:
    return Route(
        executor=mandate.executor,
        sell=step.sell_max.token,
        buy=step.repay.token,
        fees=step.fees,
        via=(),
        pools=(ZERO,),
        router="",
        points=((1, 1),),
    )


_Held = tuple[Token, int, int]
"""Token, units, price."""


def _position(mandate: Mandate, health_wad: int, sides: tuple[_Held, _Held]) -> Position:
    collateral, debt = (
        (
            Holding(
                amount=Amount(token=t, units=u),
                stored=u,
                price_base=p,
                value_base=0,
                threshold_wad=WAD,
                feed="",
            ),
        )
        for t, u, p in sides
    )
    return Position(
        id=mandate.id,
        owner=mandate.owner,
        block_number=mandate.block_number,
        health_wad=health_wad,
        collateral=collateral,
        debt=debt,
        base_decimals=8,
        row=build.row((), ()),
    )


def _means(mandate: Mandate) -> Means:
    return replace(build.means(native_price=None), mandates=(mandate,))


def _asked(step: Step, call: Call, position: Position, venue: Rehearsed, means: Means) -> str | None:
    block = replace(build.block(), number=position.block_number)
    snapshot = build.snapshot([position], wallet=means, at=block)
    plan = Plan(
        key=PlanKey(position=position.id, seq=1),
        strategy="generated",
        steps=(step,),
        call=call,
        bounds=_bounds(position, venue, block),
        block=block,
        urgent=False,
        health_before_wad=position.health_wad,
        why="",
    )
    case = Case(position=position, venue=venue, policy=_policy(), snapshot=snapshot, seq=1)
    no = check(plan, case)
    return None if no is None else no.code


def _bounds(position: Position, venue: Rehearsed, block: Block) -> Bounds:
    return Bounds(
        health_after_min_wad=(position.health_wad or 0) + 1,
        health_after_max_wad=UINT256_MAX,
        cost_usd_max=0,
        fee_wei_max=WAD,
        gas_limit=venue.gas_limit,
        deadline_block=block.number + 1,
    )


def _policy() -> Policy:
    caps = Caps(per_action_usd=NO_CAP, per_day_usd=NO_CAP, gas_usd_max=NO_CAP, gas_usd_emergency=NO_CAP)
    open_policy = build.policy(caps=caps)
    return replace(
        open_policy,
        trigger_wad=UINT256_MAX + 1,
        emergency_wad=UINT256_MAX,
        target_wad=1,
        max_health_wad=UINT256_MAX,
        hysteresis_wad=0,
    )


def _checksummed(order: Order) -> Order:
    return replace(
        order,
        collateral=to_checksum_address(order.collateral),
        debt=to_checksum_address(order.debt),
        source_token=to_checksum_address(order.source_token),
        router=to_checksum_address(order.router),
    )
