"""Liquidators at work on a vessel: each account by the rule of the venue that it stands on (``liquidation``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from keeper.replay import liquidation
from keeper.replay.fleet import Lot
from keeper.replay.liquidation import Halves
from keeper.replay.market import Market
from keeper.replay.vessel import EMPTY_USD, Vessel

ROUNDS_MAX = 40
UNNAMED = replace(liquidation.AAVE_V3_3, left_usd=0.0)
"""Of accounts of which nobody says where they stand: Aave v3.3's without MIN_LEFTOVER_BASE, by which all that was
measured on events was measured (with it 0.03 % more or less is lost, by the few accounts that it touches)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seized:
    """One liquidation in USD: debt repaid, collateral taken, and ``bad`` debt that nobody pays any more."""

    repaid: float
    taken: float
    pair: tuple[str, str]
    """The collateral taken, the debt repaid."""
    bad: float = 0.0
    bearer: str = ""
    """Who bears what is bad."""

    @property
    def lost(self) -> float:
        """What the owner lost."""
        return self.taken - self.repaid


def liquidate(vessel: Vessel, market: Market) -> tuple[Seized, ...]:
    """Liquidators at the feed's present prices until health is 1 or nothing is left to take."""
    return RULES.get(vessel.account.venue, _halved(UNNAMED))(vessel, market)


def known(kind: str) -> bool:
    """Whether accounts on that kind of venue are liquidated by its own rule."""
    return not kind or kind in RULES


def bonus_of(lot: Lot, market: Market) -> float:
    """Liquidators' bonus on a collateral: its file's own, else the market's."""
    return market.bonus_of(lot.asset) if lot.bonus is None else lot.bonus


def factor_of(lot: Lot, market: Market) -> float:
    """What Compound credits of a collateral: its file's own liquidationFactor, else what the bonus is one over."""
    return 1.0 / (1.0 + bonus_of(lot, market)) if lot.factor is None else lot.factor


Way = Callable[[Vessel, Market], tuple[Seized, ...]]


def _halved(rule: Halves) -> Way:
    """The largest collateral for the largest debt, call after call."""

    def liquidated(vessel: Vessel, market: Market) -> tuple[Seized, ...]:
        done: list[Seized] = []
        for _ in range(ROUNDS_MAX):
            health = vessel.health()
            if health >= 1.0:
                break
            i, j = vessel.largest_collateral(), vessel.largest_debt()
            if i is None or j is None:
                break
            bonus = bonus_of(vessel.collateral[i], market)
            side = liquidation.Side(
                health=health, have=vessel.held_usd(i), owed=vessel.owed_usd(j), all_owed=vessel.debt_usd()
            )
            taken = liquidation.halves(side, bonus, rule)
            vessel.take(i, taken.taken)
            vessel.repay(j, taken.repaid)
            pair = (vessel.collateral[i].asset, vessel.debt[j].asset)
            done.append(Seized(repaid=taken.repaid, taken=taken.taken, pair=pair))
        return tuple(done)

    return liquidated


def _whole(vessel: Vessel, market: Market) -> tuple[Seized, ...]:
    """Morpho Blue: all at once. An account of several collaterals is several markets, one after the other."""
    done: list[Seized] = []
    while vessel.health() < 1.0:
        i, j = vessel.largest_collateral(), vessel.largest_debt()
        if i is None or j is None:
            break
        lot = vessel.collateral[i]
        taken = liquidation.morpho(vessel.held_usd(i), vessel.owed_usd(j), lot.threshold)
        vessel.take(i, taken.taken)
        last = vessel.largest_collateral() is None
        bad = taken.bad if last else 0.0
        vessel.repay(j, taken.repaid + bad)
        done.append(
            Seized(
                repaid=taken.repaid,
                taken=taken.taken,
                pair=(lot.asset, vessel.debt[j].asset),
                bad=bad,
                bearer="the market's lenders" if bad else "",
            )
        )
        if not taken.taken:
            break
    return tuple(done)


def _absorbed(vessel: Vessel, market: Market) -> tuple[Seized, ...]:
    """Compound v3: the whole account; each collateral counts for 1 / (1 + its bonus), the rest is credited."""
    j = vessel.largest_debt()
    if j is None:
        return ()
    have = [vessel.held_usd(i) for i in range(len(vessel.collateral))]
    factors = [factor_of(x, market) for x in vessel.collateral]
    # one base asset is owed; a file that names several means that each is paid
    found = liquidation.absorb(have, factors, vessel.debt_usd())
    for i, taken in enumerate(found.taken):
        vessel.take(i, taken)
    for n in range(len(vessel.debt)):
        vessel.repay(n, vessel.owed_usd(n))
    vessel.credit(j, found.credited)
    i = max(range(len(have)), key=have.__getitem__)
    # what is credited comes back: the owner loses the rest
    paid = found.cleared - found.bad
    seized = Seized(
        repaid=paid,
        taken=sum(found.taken) - found.credited,
        pair=(vessel.collateral[i].asset, vessel.debt[j].asset),
        bad=found.bad,
        bearer="the protocol's reserves" if found.bad else "",
    )
    return (seized,)


def _auctioned(vessel: Vessel, market: Market) -> tuple[Seized, ...]:
    """Maker: one collateral and one debt, all of it auctioned at the market's price."""
    i, j = vessel.largest_collateral(), vessel.largest_debt()
    if i is None or j is None:
        return ()
    ahead = vessel.ahead(vessel.collateral[i].asset)
    rule = liquidation.MAKER
    if (penalty := vessel.account.penalty) is not None:
        rule = replace(rule, chop=1.0 + penalty)
    found = liquidation.auctioned(vessel.held_usd(i) * ahead, vessel.owed_usd(j), rule)
    vessel.take(i, found.taken / ahead)
    vessel.repay(j, found.repaid + found.bad)
    pair = (vessel.collateral[i].asset, vessel.debt[j].asset)
    bearer = "the system (vow)" if found.bad else ""
    return (Seized(repaid=found.repaid, taken=found.taken, pair=pair, bad=found.bad, bearer=bearer),)


RULES: Mapping[str, Way] = {
    "aave_v3": _halved(liquidation.AAVE_V3_3),
    "aave_v3_0": _halved(liquidation.AAVE_V3_0),
    "spark": _halved(liquidation.AAVE_V3_0),
    "aave_v2": _halved(liquidation.AAVE_V2),
    "morpho_blue": _whole,
    "compound_v3": _absorbed,
    "maker": _auctioned,
}
"""By kind of venue, as configurations and book files name it."""
CHAINED = "aave_v3"
"""The only rule that the chain beside the paper has; accounts of no named venue are taken for its."""
SAID: Mapping[str, str] = {
    "aave_v2": "half of a debt a call",
    "morpho_blue": "all at once, for the incentive of its LLTV",
    "compound_v3": "absorbed whole, each collateral counted for its liquidation_factor, else 1 / (1 + --bonus)",
    "maker": "auctioned whole for its penalty (13 % unless stated), a tenth below market; its oracle is --feed osm",
}
"""What is said of rules that are not Aave v3's."""
WORDS: Mapping[str, str] = {
    "compound_v3": "liquidation_factor",
    "maker": "penalty",
    "morpho_blue": "threshold",
}
"""Which of a book's words its rule goes by; of all others the bonus."""
LEAST_BAD_USD = EMPTY_USD
"""Less is rounding, and no bad debt."""
