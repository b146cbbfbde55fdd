"""Perpetual positions under each keeper: nobody, a threshold, and ours through the same rooms as the daemon's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from keeper.decision.case import Options
from keeper.decision.decide import decide
from keeper.decision.memory import Memory
from keeper.decision.standing import Beside, moves, standing
from keeper.model import Block, Means, Policy, ReducePerp, Snapshot
from keeper.replay import beside, paper, paper_perp
from keeper.replay.market import Market
from keeper.replay.ours import BLOCK_S, EVERY_HEALTH, TIP_WEI, WALLET
from keeper.replay.perps import PerpVessel
from keeper.replay.policies import Act
from keeper.replay.run import ACTS_MAX, LIQUIDATION, Event, Trip
from keeper.risk.outlook import assess
from keeper.seams import Strategy
from keeper.triggers import crossed
from keeper.units import BPS, GWEI, wad_float
from strategies.perp import SLIP_BPS

FOR_LOANS = ("deleverage", "repay", "add_collateral", "repay_from_reserve", "supply_from_reserve")
NAMES = ("nobody", "threshold", "ours")
"""Keepers that know perpetual positions; the others leave them alone."""


class Guards(Protocol):
    """One way of guarding a perpetual position."""

    @property
    def line(self) -> float:
        """Health below which it is asked; 0 never."""
        ...

    def plan(self, vessel: PerpVessel, market: Market) -> Reduction | Act:
        """What it orders at what the present moment shows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """An order fixed when it was decided: ``share`` of the size, not filled at a worse price than ``worst`` (dollars
    of the index, the least for a long, the most for a short)."""

    share: float
    worst: float

    def land(self, vessel: PerpVessel, market: Market) -> Act:
        """Filled at this moment's price, or cancelled by the venue's keeper, its gas paid."""
        price, gas = float(vessel.price[vessel.at]), market.gas_usd(vessel.paths, vessel.at)
        if (price < self.worst) if vessel.size > 0.0 else (price > self.worst):
            return Act(why="the price is worse where it lands than the order takes", gas=gas)
        sold = self.share * vessel.notional_usd
        cost = vessel.cut(self.share, vessel.account.close_fee)
        return Act(sold=sold, cost=cost, gas=gas, pair=(vessel.account.index, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Nobody:
    """The venue's liquidators alone."""

    line: float = 0.0

    def plan(self, vessel: PerpVessel, market: Market) -> Reduction | Act:
        """Never asked."""
        return Act(why="nobody acts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Below ``line`` it closes what brings health to ``target``:
    s = (n + (T - 1) w - E) / (n - m + (T - 1) (w - k) - f N + c - g), n the need and w the weight of health, of which
    m and k are fixed, E equity, N notional, f the fee, c what the venue no longer counts as gone by closing, g profit
    that leaves with what is closed. Where health is equity over need, w is n and k is m.
    """

    line: float
    target: float

    def plan(self, vessel: PerpVessel, market: Market) -> Reduction | Act:
        """One reduction, its worst price as far away as ours."""
        now, account = (vessel.at, vessel.at + 1), vessel.account
        equity, need, weight = (float(f(*now)[0]) for f in (vessel.equity, vessel.need, vessel.weight))
        fixed = account.floor_usd if need <= account.floor_usd else account.minimum_usd
        held = 0.0 if account.by_price and vessel.size < 0.0 else fixed
        over = self.target - 1.0
        spared = abs(vessel.size) * account.entry * account.closing
        leaves = vessel.size * vessel.won_usd() if account.pays_out else 0.0
        room = (
            need - fixed + over * (weight - held) - account.close_fee * vessel.notional_usd + spared - leaves
        )
        if room <= 0.0:
            return Act(why="closing costs more than it frees")
        slip = SLIP_BPS / BPS if vessel.size > 0.0 else -SLIP_BPS / BPS
        return _reduction(
            (need + over * weight - equity) / room, float(vessel.price[vessel.at]) * (1.0 - slip)
        )


class Ours:
    """The rooms, with whatever strategies the policy names; ``reduce_perp`` where none of them knows perpetuals."""

    def __init__(
        self, policy: Policy, strategies: tuple[Strategy, ...], venue: paper_perp.PaperPerps
    ) -> None:
        self.policy, self.strategies, self.venue = policy, strategies, venue
        self.memory = Memory()

    @property
    def line(self) -> float:
        """The policy's trigger; above every health where it follows prices."""
        return EVERY_HEALTH if moves(self.policy) else wad_float(self.policy.trigger_wad)

    def plan(self, vessel: PerpVessel, market: Market) -> Reduction | Act:
        """Snapshot -> outlook -> decision -> the chosen reduction."""
        snapshot = _photograph(vessel, market, self.venue)
        (position,) = snapshot.positions
        around = Beside(omen=snapshot.means.omen)
        kept = self.memory.of(paper.ID)
        stands = standing(self.policy, kept, position, snapshot.block.timestamp_s, around)
        policies = {paper.ID: stands}
        outlooks = assess(snapshot.positions, (), snapshot.prices, (), policies)
        options = Options(venues={self.venue.id: self.venue}, strategies=self.strategies)
        said, self.memory = decide(snapshot, outlooks, policies, self.memory, options)
        steps = [s for d in said for p in d.chosen for s in p.steps]
        if not steps:
            calm = moves(self.policy) and not crossed(position.health_wad or 0, stands)
            return Act(why="; ".join(d.why for d in said) or "nothing is said of it", calm=calm)
        perp = position.perp
        assert perp is not None
        found = next((s for s in steps if isinstance(s, ReducePerp)), None)
        if found is None:
            return Act(why=f"a {type(steps[0]).__name__} needs a wallet, which a replay has not")
        return _reduction(found.size_usd / max(perp.size_usd, 1), found.worst_price / paper_perp.UNIT)


def _reduction(share: float, worst: float) -> Reduction:
    return Reduction(share=min(max(share, 0.0), 1.0), worst=worst)


def _photograph(vessel: PerpVessel, market: Market, venue: paper_perp.PaperPerps) -> Snapshot:
    paths = vessel.paths
    number = 1 + int(vessel.at * paths.step_s / BLOCK_S)
    gwei = market.gwei(paths, vessel.at)
    block = Block(
        chain_id=paper.CHAIN_ID,
        number=number,
        hash=f"0x{number:064x}",
        parent_hash=f"0x{number - 1:064x}",
        timestamp_s=int(paths.times_s[paths.bar[vessel.at]]),
        base_fee_wei=int(gwei * GWEI),
    )
    name, price = vessel.account.index, float(vessel.price[vessel.at])
    native = market.gas_usd(paths, vessel.at) / (market.gas_units * gwei * 1e-9)
    means = Means(
        wallet=WALLET,
        native_wei=10**20,
        nonce=0,
        balances=(),
        allowances=(),
        reserves=(paper_perp.reserve_of(venue, name, price),),
        tip_wei=TIP_WEI,
        native_price_base=round(native * 10**8),
        omen=beside.omen_at(paths, vessel.at),
    )
    position = paper_perp.position_of(vessel, venue, number)
    return Snapshot(
        block=block,
        positions=(position,),
        unreadable=(),
        means=means,
        prices={name: price},
        digest=f"paper {number}",
    )


def for_perps(policy: Policy) -> tuple[str, ...]:
    """The policy's strategies that know perpetuals; ``reduce_perp`` where it names none."""
    found = tuple(s for s in policy.strategies if s not in FOR_LOANS)
    return found or ("reduce_perp",)


def trip(vessel: PerpVessel, keeper: tuple[str, Guards], market: Market) -> Trip:
    """One position under one keeper from the first moment to the last."""
    name, guard = keeper
    log, moments = Trip(vessel.name, name, vessel.health()), len(vessel.price)
    while vessel.size and vessel.at < moments - 1 and len(log.events) < ACTS_MAX:
        seen = vessel.below(max(guard.line, LIQUIDATION))
        if seen >= moments:
            break
        log.lowest = min(log.lowest, vessel.sail(seen))
        if vessel.health() < LIQUIDATION:
            _sunk(vessel, log)
            break
        found, before = guard.plan(vessel, market), vessel.health()
        if isinstance(found, Act):
            _noted(log, vessel, before, found)
            log.lowest = min(log.lowest, vessel.sail(seen + 1))
            continue
        lands = min(seen + market.delay(vessel.paths, seen), moments - 1)
        sinks = vessel.below(LIQUIDATION)
        log.lowest = min(log.lowest, vessel.sail(min(sinks, lands)))
        if sinks <= lands:
            _sunk(vessel, log)
            break
        before = vessel.health()
        _noted(log, vessel, before, found.land(vessel, market))
    log.lowest = min(log.lowest, vessel.sail(moments - 1))
    log.end, log.equity_usd = vessel.health(), vessel.worth_usd()
    log.way = vessel.way
    return log


def _sunk(vessel: PerpVessel, log: Trip) -> None:
    before, usd = vessel.health(), vessel.notional_usd
    lost = vessel.liquidate()
    log.lost_usd += lost
    log.events.append(_event(vessel, "liquidated", before, (usd, lost)))


def _noted(log: Trip, vessel: PerpVessel, before: float, done: Act) -> None:
    if done.calm:
        return
    log.cost_usd += done.cost
    log.gas_usd += done.gas
    if done.why and not done.gas and log.events and log.events[-1].why == done.why:
        return
    what = "failed" if done.why else "act"
    log.events.append(_event(vessel, what, before, (done.sold, done.cost + done.gas), done.why))


def _event(vessel: PerpVessel, what: str, before: float, told: tuple[float, float], why: str = "") -> Event:
    """``told``: dollars closed, and what that cost."""
    usd, cost = told
    return Event(
        time_s=float(vessel.paths.times_s[vessel.paths.bar[vessel.at]]),
        what=what,
        health_before=before,
        health_after=vessel.health(),
        usd=usd,
        cost_usd=cost,
        why=why,
        pair=(vessel.account.index, ""),
    )


def notes(vessels: Sequence[PerpVessel], *, counted: bool) -> list[str]:
    """What is said of the perpetual positions of a run; ``vessels`` as nobody left them."""
    if not vessels:
        return []
    paid = sum(v.funding_usd for v in vessels)
    rated = [v for v in vessels if v.account.carry_year is not None]
    told = "no funding is counted (--funding)"
    if counted:
        told = f"funding paid by them with nobody acting {paid:,.0f} USD"
        told += ", and no borrowing fee beside it" if rated else ""
    elif rated:
        told = f"funding and borrowing at the rates of now, {paid:,.0f} USD with nobody acting"
        told += f", of {len(rated)} of them: no rates were read of the others" * (len(rated) < len(vessels))
    kept = "margin is not added in a replay, a part is closed for a fee"
    return [
        f"{len(vessels)} perpetual positions: {told}; {kept}",
        "health of perpetual positions is "
        + (
            "their venue's: how far the price may move" if vessels[0].account.by_price else "equity over need"
        ),
        *(f"{v.name}: {v.account.note}" for v in vessels if v.account.note),
    ]
