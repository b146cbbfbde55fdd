"""From what is there tonight to ways and limits: the wallet, the owner's Executor, pools, lenders, gas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from keeper.capacity.records import Case, Kind, Limit, Unit, Way
from keeper.executor import judge, quotes, rules
from keeper.executor.rules import fund_room, sell_room
from keeper.model import (
    Amount,
    Deleverage,
    Errand,
    Holding,
    Lender,
    Mandate,
    MandateAsset,
    Means,
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
from keeper.phrases import amount_text, usd_text
from keeper.seams import Venue
from keeper.units import BPS, WAD

PPM = 1_000_000
REPAY, SUPPLY, SELL = "repay", "add_collateral", "deleverage"
RESERVE_REPAY, RESERVE_SUPPLY = "repay_from_reserve", "supply_from_reserve"
"""Strategies by which each way is taken; a policy that does not name one has no such way."""
WHO = "capacity"
FAR_BLOCK = 2**63
HALVINGS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A position at stressed prices, and all that may be used for it."""

    position: Position
    """At the stressed prices, as ``stressed`` gives it."""
    policy: Policy
    means: Means
    """Wallet, mandates and reserves as they are; its routes are the curves at the stressed prices."""
    venue: Venue
    storm_wei: int
    """What a unit of gas costs in a crash."""
    gas_wei_max: int | None
    """Most that the gas of one action may cost; None where nothing prices gas."""
    spent_today_usd: float
    """What the cap of the day has let through already; a stress may come after a first rescue."""


def case_of(scene: Scene) -> Case:
    """Every way that tonight's means and permissions open, with its limits."""
    limits: dict[str, Limit] = dict(_money(scene))
    ways: list[Way] = []
    barred: list[Refusal] = []
    for made in (*_own(scene), *_errands(scene), *_sales(scene)):
        if isinstance(made, Refusal):
            barred.append(made)
            continue
        way, found = made
        ways.append(way)
        limits |= found
    mandate = scene.means.mandate(scene.position.id)
    terms = mandate.terms if mandate is not None else None
    return Case(
        position=scene.position,
        policy=scene.policy,
        ways=tuple(ways),
        limits=limits,
        sale_goal_wad=max(scene.policy.target_wad, terms.target_wad if terms is not None else 0),
        slippage_bps=terms.slippage_bps if terms is not None else 0,
        barred=tuple(barred),
    )


_Made = tuple[Way, dict[str, Limit]]


def _money(scene: Scene) -> Iterator[tuple[str, Limit]]:
    """What every action shares: gas and dollars."""
    caps, means, unit = scene.policy.caps, scene.means, 10**scene.position.base_decimals
    price = f"at {scene.storm_wei / 10**9:,.0f} gwei"
    yield (
        "gas_tank",
        Limit(
            code="gas_tank",
            text=f"the wallet holds {means.native_wei / WAD:.4f} native for gas {price}",
            left=means.native_wei,
            unit=Unit.WEI,
        ),
    )
    if scene.gas_wei_max is not None:
        text = f"one action's gas may cost {scene.gas_wei_max / WAD:.4f} native by the policy's caps, {price}"
        yield (
            "gas_cap",
            Limit(code="gas_cap", text=text, left=scene.gas_wei_max, unit=Unit.WEI, each=True),
        )
    yield (
        "per_action",
        Limit(
            code="cap_per_action",
            text=f"an action may move {usd_text(caps.per_action_usd)}",
            left=caps.per_action_usd * unit,
            unit=Unit.BASE,
            each=True,
        ),
    )
    left = max(0, int(caps.per_day_usd - scene.spent_today_usd))
    yield (
        "per_day",
        Limit(
            code="cap_per_day",
            text=f"what is left of the day's cap is {usd_text(left)}",
            left=left * unit,
            unit=Unit.BASE,
        ),
    )


def _own(scene: Scene) -> Iterator[_Made | Refusal]:
    """From the keeper's own wallet."""
    means, spender = scene.means, scene.venue.spender
    for held, kind in _sides(scene, REPAY, SUPPLY):
        token = held.amount.token
        balance, allowed = means.balance(token), means.allowance(token, spender)
        if not means.wallet:
            yield _no("wallet", "no wallet is named: set wallet.address")
            continue
        limits = {
            f"wallet:{token.address}": _tokens("wallet", "the wallet holds {}", token, balance),
            f"allowance:{token.address}": _tokens("allowance", "the venue may pull {}", token, allowed),
        }
        yield _paying(scene, held, kind, limits, None)


def _errands(scene: Scene) -> Iterator[_Made | Refusal]:
    """From the Executor's reserve and the owner's wallet, through the Executor."""
    mandate = scene.means.mandate(scene.position.id)
    for held, kind in _sides(scene, RESERVE_REPAY, RESERVE_SUPPLY):
        side = Side.DEBT if kind is Kind.REPAY else Side.COLLATERAL
        stopped = _stopped(mandate, scene.position)
        if mandate is None or stopped is not None:
            yield stopped or _no("no_executor", "no Executor, or it could not be read")
            continue
        token = held.amount.token
        listed = judge.asset(mandate, token, side)
        if isinstance(listed, Refusal):
            yield listed
            continue
        room = fund_room(mandate, listed, mandate.timestamp_s)
        limits = {
            f"funds:{side}:{token.address}": _tokens(
                "reserve", "the Executor's reserve and what the owner grants of the token are {}", token,
                listed.funds,
            ),
            f"fund_cap:{side}:{token.address}": _tokens(
                "fund_cap", "the Executor's cap of this epoch leaves {} to be paid in", token, room
            ),
        }  # fmt: skip
        yield _paying(scene, held, kind, limits, mandate)


def _paying(
    scene: Scene, held: Holding, kind: Kind, limits: dict[str, Limit], mandate: Mandate | None
) -> _Made | Refusal:
    """A repayment or a top-up, if the venue would take it at all."""
    token = held.amount.token
    some = Amount(token=token, units=max(1, held.amount.units // 1_000))
    errand = _errand(mandate) if mandate is not None else None
    made = Repay if kind is Kind.REPAY else Supply
    step: Step = made(amount=some, through=errand)
    if (no := scene.venue.can(step, scene.position, scene.means)) is not None:
        return no
    if not held.price_base:
        return _no("no_price", f"{token.symbol} has no price")
    reserve = scene.means.reserve(scene.venue.id, token)
    if kind is Kind.SUPPLY and reserve is not None and reserve.supply_room_units is not None:
        limits[f"room:{token.address}"] = _tokens(
            "supply_cap", "the venue's supply cap leaves {}", token, reserve.supply_room_units
        )
    verb = "repay" if kind is Kind.REPAY else "add"
    way = Way(
        name=f"{verb} {token.symbol}{' through the Executor' if mandate is not None else ''}",
        kind=kind,
        held=held,
        draws=(*limits, *_shared(scene)),
        gas_wei=scene.venue.gas(step) * scene.storm_wei,
    )
    return way, limits


def _sales(scene: Scene) -> Iterator[_Made | Refusal]:
    """Collateral into debt through the owner's Executor."""
    if SELL not in scene.policy.strategies:
        return
    mandate = scene.means.mandate(scene.position.id)
    stopped = _stopped(mandate, scene.position)
    if mandate is None or stopped is not None:
        yield stopped or _no("no_executor", "no Executor of the owner is configured, or it could not be read")
        return
    for held in scene.position.collateral:
        for debt in scene.position.debt:
            if held.threshold_wad and held.price_base and debt.price_base:
                yield _sale(scene, mandate, held, debt)


def _sale(scene: Scene, mandate: Mandate, held: Holding, debt: Holding) -> _Made | Refusal:
    token, bought = held.amount.token, debt.amount.token
    listed = judge.asset(mandate, token, Side.COLLATERAL)
    other = judge.asset(mandate, bought, Side.DEBT)
    if isinstance(listed, Refusal):
        return listed
    if isinstance(other, Refusal):
        return other
    found = _way_out(scene, mandate, (held, debt), (listed, other))
    if isinstance(found, Refusal):
        return found
    route, lender, deepest = found
    reserve = scene.means.reserve(scene.venue.id, token)
    room, name = sell_room(mandate, listed, mandate.timestamp_s), token.address
    slip = mandate.terms.slippage_bps
    limits = {
        f"grant:{name}": _tokens("grant", "the owner lets the Executor take {}", token, listed.granted),
        f"epoch:{name}": _tokens("epoch_cap", "the Executor's cap of this epoch leaves {}", token, room),
        f"cash:{name}": _tokens(
            "cash", "the venue can pay out {}", token, reserve.cash_units if reserve is not None else 0
        ),
        f"depth:{name}:{bought.address}": _tokens(
            "depth", f"the pools take {{}} for {bought.symbol} at most {slip} bps below the oracle", token,
            deepest,
        ),
    }  # fmt: skip
    if lender is not None:
        limits[f"flash:{bought.address}"] = replace(
            _tokens("flash_source", f"{lender.source.name.lower()} can lend {{}}", bought, lender.cash_units),
            unit=Unit.BOUGHT,
        )
    way = Way(
        name=f"sell {token.symbol} for {bought.symbol}",
        kind=Kind.SELL,
        held=held,
        draws=(*limits, *_shared(scene)),
        gas_wei=scene.venue.gas(_dummy(mandate, held, debt, route, lender)) * scene.storm_wei,
        debt=debt,
        route=route,
        fee_ppm=lender.fee_ppm if lender is not None else 0,
    )
    return way, limits


def _way_out(
    scene: Scene, mandate: Mandate, ends: tuple[Holding, Holding], listed: tuple[MandateAsset, MandateAsset]
) -> tuple[Route, Lender | None, int] | Refusal:
    """The route that brings most within the owner's slippage, with the cheapest loan that it may use."""
    held, debt = ends
    token, bought = held.amount.token, debt.amount.token
    routes = [
        r
        for r in scene.means.routes
        if (r.executor, r.sell, r.buy) == (mandate.executor, token, bought)
        and (not r.router or r.router in mandate.routers)
    ]
    if not routes:
        return _no("no_quote", f"no pool swaps {token.symbol} for {bought.symbol} at the stressed price")
    units, prices = (listed[0].unit, listed[1].unit), (held.price_base, debt.price_base)
    found = list[tuple[int, int, Route, Lender | None]]()
    for route in routes:
        lender = _lender(scene.means, route, mandate)
        if route.router and lender is None:
            continue
        sold = _deepest(route, mandate, units, prices)
        found.append((quotes.bought_down(route, sold), -sold, route, lender))
    if not found:
        return _no("no_source", f"nobody lends {bought.symbol} within the owner's flash fee")
    most = max(found, key=lambda f: (f[0], f[1]))
    if most[0] <= 0:
        slip = mandate.terms.slippage_bps
        return _no("slippage", f"every pool asks more than {slip} bps below the oracle for {token.symbol}")
    return most[2], most[3], -most[1]


def _deepest(route: Route, mandate: Mandate, units: tuple[int, int], prices: tuple[int, int]) -> int:
    """Most collateral of which the average price stays within the owner's slippage; the curve is convex."""
    low, high = 0, route.points[-1][1]
    if high <= rules.most_sold(mandate.terms, units, prices, quotes.bought_down(route, high)):
        return high
    for _ in range(HALVINGS):
        middle = (low + high + 1) // 2
        fits = middle <= rules.most_sold(mandate.terms, units, prices, quotes.bought_down(route, middle))
        low, high = (middle, high) if fits else (low, middle - 1)
        if low >= high:
            break
    return low


def _lender(means: Means, route: Route, mandate: Mandate) -> Lender | None:
    """The cheapest that lends for a route by router; a direct pool pays first and needs none."""
    if not route.router:
        return None
    able = [
        x
        for x in means.lenders
        if (x.executor, x.token) == (route.executor, route.buy.address)
        and x.pool not in route.pools
        and x.cash_units
        and x.fee_ppm * BPS <= mandate.terms.flash_fee_bps * PPM
    ]
    return min(able, key=lambda x: (x.fee_ppm, -x.cash_units), default=None)


def _stopped(mandate: Mandate | None, position: Position) -> Refusal | None:
    """Why the Executor would take nothing at that health; a cooldown passes."""
    if mandate is None:
        return None
    at = rules.Moment(
        block_number=FAR_BLOCK, timestamp_s=mandate.timestamp_s, health_wad=position.health_wad or 0
    )
    fault = rules.admits(mandate, mandate.terms.seq, mandate.timestamp_s, at)
    return None if fault is None else judge.told(fault)


def _sides(scene: Scene, repay: str, supply: str) -> Iterator[tuple[Holding, Kind]]:
    named = scene.policy.strategies
    if repay in named:
        yield from ((h, Kind.REPAY) for h in scene.position.debt)
    if supply in named:
        yield from ((h, Kind.SUPPLY) for h in scene.position.collateral if h.threshold_wad)


def _errand(mandate: Mandate) -> Errand:
    """Through the Executor, to be asked for its gas."""
    return Errand(
        executor=mandate.executor,
        key=mandate.key,
        seq=mandate.terms.seq,
        deadline_s=mandate.timestamp_s,
    )


def _dummy(mandate: Mandate, held: Holding, debt: Holding, route: Route, lender: Lender | None) -> Deleverage:
    """A sale of that kind, to be asked for its gas."""
    return Deleverage(
        executor=mandate.executor,
        key=mandate.key,
        seq=mandate.terms.seq,
        deadline_s=mandate.timestamp_s,
        sell_max=held.amount,
        sold=held.amount.units,
        repay=debt.amount,
        source=lender.source if lender is not None else Source.UNISWAP_V3_SWAP,
        router=route.router,
        fees=route.fees,
        via=route.via,
    )


def _shared(scene: Scene) -> tuple[str, ...]:
    gas = ("gas_tank",) if scene.gas_wei_max is None else ("gas_tank", "gas_cap")
    return (*gas, "per_action", "per_day")


def _tokens(code: str, text: str, token: Token, units: int) -> Limit:
    units = max(0, units)
    return Limit(code=code, text=text.format(_shown(token, units)), left=units)


def _shown(token: Token, units: int) -> str:
    return f"all {token.symbol}" if units >= 2**96 else amount_text(Amount(token=token, units=units))


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=WHO, code=code, why=why)
