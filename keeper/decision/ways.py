"""What could be done for positions in need, as the optimiser's numbers: one way for each asset, pair and route.

Amounts are dollars at the venue's prices; whatever is chosen is sized anew by its strategy, in exact integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from keeper.decision import stress
from keeper.decision.acting import Needy, Pick
from keeper.decision.problem import Form, Part, Problem, Way
from keeper.executor import rules
from keeper.model import (
    Amount,
    Errand,
    Holding,
    Mandate,
    MandateAsset,
    Means,
    Repay,
    Route,
    Side,
    Supply,
    Token,
)
from keeper.sizing import units_up
from keeper.units import UINT256_MAX, WAD

AIM = 1 + 2e-6
"""Sized a little above target, as strategies do for interest and rounding."""
WORSE = 1.005
"""A sale is sized at a price so much worse than quoted (strategies/order.py)."""
SALE_GAS = 900_000
"""Where no strategy has priced a sale yet."""
GAS_SAFETY = 2
"""Base fees that gas is reserved at."""
WALLET = {"repay": Side.DEBT, "add_collateral": Side.COLLATERAL}
RESERVE = {"repay_from_reserve": Side.DEBT, "supply_from_reserve": Side.COLLATERAL}
SALE = "deleverage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """One way, and how its strategy is asked for exactly that."""

    way: Way
    strategy: str
    holding: Holding
    """What is paid in, or sold."""
    route: Route | None = None

    @property
    def via_executor(self) -> bool:
        """Whether the Executor's own trigger and cooldown count."""
        return self.strategy in RESERVE or self.route is not None

    def narrowed(self, means: Means, usd: float | None, base_decimals: int) -> Means:
        """Means that leave the strategy nothing but this way, and at most so many dollars of it."""
        token = self.holding.amount.token
        base = None if usd is None else int(usd * 10**base_decimals)
        most = None if base is None else units_up(base, self.holding.price_base, token.decimals)
        if self.via_executor:
            wanted = (token, RESERVE.get(self.strategy, Side.COLLATERAL))
            funds = self.route is None
            mandates = tuple(_limited(m, wanted, most, funds=funds) for m in means.mandates)
            return replace(means, mandates=mandates, routes=() if self.route is None else (self.route,))
        kept = (a for a in means.balances if a.token == token)
        cut = (a if most is None else replace(a, units=min(a.units, most)) for a in kept)
        return replace(means, balances=tuple(cut))


def problem_of(
    needs: Sequence[Needy], picks: Sequence[Pick], means: Means
) -> tuple[Problem, tuple[Lot, ...]]:
    """The positions' rescue as one problem, and its ways with how to do them."""
    lots = tuple(lot for i, n in enumerate(needs) for lot in _lots(n, i, picks[i], means))
    forms = tuple(_form(n) for n in needs)
    have = {name: have for i, n in enumerate(needs) for name, have in _resources(n, i, means).items()}
    used = {name for lot in lots for name in (*lot.way.uses, *lot.way.takes)}
    resources = {name: have.get(name, 0.0) for name in sorted(used)}
    return Problem(forms=forms, ways=tuple(lot.way for lot in lots), resources=resources), lots


def _form(need: Needy) -> Form:
    position, policy = need.position, need.policy
    return Form(
        weighted=tuple(
            sum(_counted(need, h)[s] * _usd(need, h) for h in position.collateral) for s in range(3)
        ),
        debt=tuple(sum(_factors(need, h)[s] * _usd(need, h) for h in position.debt) for s in range(3)),
        floor=(policy.target_wad / WAD * AIM, *(_floor(need),) * 2),
        ceiling=policy.max_health_wad / WAD,
    )


def _floor(need: Needy) -> float:
    return need.policy.emergency_wad / WAD if need.policy.stress_pct > 0 else 0.0


def _factors(need: Needy, holding: Holding) -> tuple[float, float, float]:
    """The holding's price in the base case, after the fall and after the rise, as shares of now."""
    moves = (*stress.factors_ppm(need.policy), stress.PPM, stress.PPM)[:3]
    base, fall, rise = (stress.moved_ppm(holding, need.position, f) / stress.PPM for f in moves)
    return base, fall, rise


def _counted(need: Needy, holding: Holding) -> tuple[float, float, float]:
    """Weighted dollars that a dollar of the holding is, by scenario."""
    weight = holding.threshold_wad / WAD
    base, fall, rise = _factors(need, holding)
    return weight * base, weight * fall, weight * rise


def _usd(need: Needy, holding: Holding, units: int | None = None) -> float:
    scale = 10.0 ** (need.position.base_decimals + holding.amount.token.decimals)
    return float(holding.amount.units if units is None else units) * holding.price_base / scale


def _lots(need: Needy, at: int, pick: Pick, means: Means) -> Iterator[Lot]:
    mandate = means.mandate(need.id)
    for name in need.policy.strategies:
        if name in WALLET or (name in RESERVE and mandate is not None):
            side = WALLET.get(name) or RESERVE.get(name) or Side.COLLATERAL
            held = need.position.debt if side is Side.DEBT else need.position.collateral
            yield from (_paid_in(need, at, name, h) for h in held if h.threshold_wad and h.price_base)
        elif name == SALE and mandate is not None and not _spent(need, mandate):
            yield from _sales(need, at, pick, means)


def _spent(need: Needy, mandate: Mandate) -> bool:
    """Whether the shots of a one-shot sale are used up."""
    return 0 < need.policy.deleverage_times <= mandate.terms.seq


def _paid_in(need: Needy, at: int, name: str, held: Holding) -> Lot:
    token, own = held.amount.token, name in RESERVE
    none = (0.0, 0.0, 0.0)
    repays = (WALLET.get(name) or RESERVE.get(name)) is Side.DEBT
    part = Part(
        usd_max=min(_usd(need, held) if repays else 1e15, float(need.policy.caps.per_action_usd)),
        cost=need.policy.idle_rate * need.policy.horizon_days / 365,
        weighted=none if repays else _counted(need, held),
        debt=(-_factors(need, held)[0], -_factors(need, held)[1], -_factors(need, held)[2])
        if repays
        else none,
    )
    uses = {f"day:{at}": 1.0}
    if own:
        uses[f"reserve:{at}:{token.address}"] = 1.0
    else:
        uses |= {f"wallet:{token.address}": 1.0, f"grant:{need.venue.spender}:{token.address}": 1.0}
    if not repays:
        uses[f"room:{need.venue.id}:{token.address}"] = 1.0
    amount = Amount(token=token, units=1)
    errand = Errand(executor="", key="", seq=0, deadline_s=0) if own else None
    step = Repay(amount=amount, through=errand) if repays else Supply(amount=amount, through=errand)
    usd, native = _gas(need, need.venue.gas(step))
    way = Way(
        name=f"{name} {token.symbol}",
        position=at,
        parts=(part,),
        fixed_usd=usd,
        uses=uses,
        takes={"gas": native},
    )
    return Lot(way=way, strategy=name, holding=held)


def _sales(need: Needy, at: int, pick: Pick, means: Means) -> Iterator[Lot]:
    """Every quoted route from collateral to debt, with the cheapest loan where one is needed."""
    mandate = means.mandate(need.id)
    assert mandate is not None  # asked before
    priced = next((p.gas_usd for p in pick.whole if p.strategy == SALE), None)
    usd, native = _gas(need, SALE_GAS)
    for i, route in enumerate(means.routes):
        ends = _ends(need, route)
        listed = mandate.asset(route.sell, Side.COLLATERAL)
        if route.executor != mandate.executor or ends is None or listed is None:
            continue
        sold, debt = ends
        fees = [
            x.fee_ppm for x in means.lenders if (x.executor, x.token) == (route.executor, route.buy.address)
        ]
        fee = min(fees, default=0) / 1e6 if route.router else 0.0
        parts = tuple(_parts(need, route, (sold, debt), fee))
        if parts:
            way = Way(
                name=f"{SALE} {route.sell.symbol} for {route.buy.symbol} by route {i + 1}",
                position=at,
                parts=parts,
                fixed_usd=usd if priced is None else priced,
                uses={
                    f"day:{at}": WORSE,
                    f"sell:{at}:{route.sell.address}": WORSE,
                    f"cash:{need.venue.id}:{route.sell.address}": WORSE,
                },
                takes={"gas": native},
                instead_of=f"sale:{at}",
            )
            yield Lot(way=way, strategy=SALE, holding=sold, route=route)


def _ends(need: Needy, route: Route) -> tuple[Holding, Holding] | None:
    sold = next(
        (h for h in need.position.collateral if h.amount.token == route.sell and h.threshold_wad), None
    )
    debt = next((h for h in need.position.debt if h.amount.token == route.buy), None)
    if sold is None or debt is None or not (sold.price_base and debt.price_base):
        return None
    return sold, debt


def _parts(need: Needy, route: Route, ends: tuple[Holding, Holding], fee: float) -> Iterator[Part]:
    """The quoted curve in stretches; each at least as dear as the one before it."""
    sold, debt = ends
    dearest = 0.0
    for (bought, given), (more, dearer) in pairwise(((0, 0), *route.points)):
        usd = _usd(need, sold, dearer - given)
        back = _usd(need, debt, more - bought) / (1 + fee)
        if usd <= 0:
            return
        dearest = max(dearest, 1 - back / usd)
        counted, factors = _counted(need, sold), _factors(need, debt)
        yield Part(
            usd_max=usd,
            cost=dearest,
            weighted=(-counted[0] * WORSE, -counted[1] * WORSE, -counted[2] * WORSE),
            debt=tuple((dearest - 1) * f for f in factors),
        )


def _gas(need: Needy, gas: int) -> tuple[float, float]:
    """(dollars at this block, native tokens to keep for it)."""
    means, fee = need.snapshot.means, need.snapshot.block.base_fee_wei
    price = (means.native_price_base or 0) / 10.0**means.native_price_decimals
    native = gas * (GAS_SAFETY * fee + means.tip_wei) / WAD
    return gas * (fee + means.tip_wei) / WAD * price, native


def _resources(need: Needy, at: int, means: Means) -> Mapping[str, float]:
    """What there is of everything that a way of this position may use."""
    spent = need.options.spent_today_usd.get(need.id, 0.0)
    found = {"gas": means.native_wei / WAD, f"day:{at}": max(0.0, need.policy.caps.per_day_usd - spent)}
    mandate = means.mandate(need.id)
    for held in (*need.position.collateral, *need.position.debt):
        token = held.amount.token
        reserve = means.reserve(need.venue.id, token)
        room = None if reserve is None else reserve.supply_room_units
        cash = 0 if reserve is None else reserve.cash_units
        units = {
            f"wallet:{token.address}": means.balance(token),
            f"grant:{need.venue.spender}:{token.address}": means.allowance(token, need.venue.spender),
            f"room:{need.venue.id}:{token.address}": 10**36 if room is None else room,
            f"cash:{need.venue.id}:{token.address}": cash,
        }
        if mandate is not None:
            units[f"sell:{at}:{token.address}"] = _sellable(mandate, token)
            side = Side.DEBT if held in need.position.debt else Side.COLLATERAL
            units[f"reserve:{at}:{token.address}"] = _payable(mandate, token, side)
        found |= {name: _usd(need, held, have) for name, have in units.items()}
    return found


def _sellable(mandate: Mandate, token: Token) -> int:
    listed = mandate.asset(token, Side.COLLATERAL)
    if listed is None:
        return 0
    return min(listed.granted, listed.held, rules.sell_room(mandate, listed, mandate.timestamp_s))


def _payable(mandate: Mandate, token: Token, side: Side) -> int:
    listed = mandate.asset(token, side)
    if listed is None:
        return 0
    return min(listed.funds, rules.fund_room(mandate, listed, mandate.timestamp_s))


def _limited(mandate: Mandate, wanted: tuple[Token, Side], most: int | None, *, funds: bool) -> Mandate:
    """The mandate with no more of one asset than so much, and with no other asset to pay in."""
    token, side = wanted
    top = UINT256_MAX if most is None else most
    assets = list[MandateAsset]()
    for a in mandate.assets:
        here = (a.token, a.side) == (token, side)
        if funds:
            assets.append(replace(a, funds=min(a.funds, top) if here else 0))
        else:
            assets.append(replace(a, granted=min(a.granted, top)) if here else a)
    return replace(mandate, assets=tuple(assets))
