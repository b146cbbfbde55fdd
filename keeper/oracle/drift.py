"""What changes under a position while no price moves: thresholds cut, cash gone, interest that runs. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keeper import kinds
from keeper.model import Holding, Means, Position, PositionId, Snapshot
from keeper.oracle.faults import Fault
from keeper.phrases import health_text
from keeper.seams import Severity
from keeper.units import RAY, UINT256_MAX, WAD

CLOCK_DAYS = 30.0
"""Interest alone that liquidates sooner than this is said; health 1.02 at 50 % a year leaves fourteen days."""
URGENT_DAYS = 7.0
CODES = (
    "threshold_cut",
    "mode_changed",
    "ltv_zero",
    "reserve_paused",
    "reserve_frozen",
    "supply_capped",
    "no_cash",
    "rate_clock",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Was:
    """What a position was when it was read last."""

    thresholds: Mapping[str, int]
    """Feed -> liquidation threshold, wad."""
    mode: str


def was(position: Position, before: Was | None = None) -> Was:
    """What is to be remembered of a position; what it does not hold now keeps its threshold of ``before``."""
    old = before.thresholds if before is not None else {}
    return Was(
        thresholds={**old, **{h.feed: h.threshold_wad for h in position.collateral}}, mode=_named(position)
    )


def faults(now: Snapshot, before: Snapshot | None) -> tuple[Fault, ...]:
    """Everything of that kind in a snapshot; ``before``: an earlier one."""
    return since(now, {p.id: was(p) for p in before.positions} if before is not None else {})


def since(now: Snapshot, old: Mapping[PositionId, Was]) -> tuple[Fault, ...]:
    """The same; ``old``: each position as when it could be read last, whatever was between."""
    return tuple(f for p in now.positions for f in _of(p, old.get(p.id), now))


def _of(position: Position, before: Was | None, now: Snapshot) -> Iterator[Fault]:
    if position.health_wad is None or position.health_wad == UINT256_MAX or not position.debt:
        return
    if before is not None:
        yield from _cut(position, before)
        yield from _mode(position, before)
    yield from _worthless(position, now.prices)
    yield from _shut(position, now.means)
    yield from _locked(position, now.means)
    yield from _clock(position, now.means)


def _cut(position: Position, before: Was) -> Iterator[Fault]:
    """Liquidation thresholds lower than when looked at last: governance, or a regime left."""
    old = before.thresholds
    cut = [h for h in position.collateral if h.threshold_wad < old.get(h.feed, 0)]
    if not cut:
        return
    names = ", ".join(
        f"{h.amount.token.symbol} {old[h.feed] / WAD:.2%} -> {h.threshold_wad / WAD:.2%}" for h in cut
    )
    why = f"liquidation threshold cut: {names}; health {health_text(position.health_wad)}; it stays so"
    yield Fault(severity=Severity.CRITICAL, code="threshold_cut", subject=str(position.id), why=why)


def _named(position: Position) -> str:
    return (position.mode or "unnamed") if position.emode else "none"


def _mode(position: Position, before: Was) -> Iterator[Fault]:
    """Another e-mode than when looked at last, or the same one renamed: its thresholds are others. What other venues
    write as a mode (a vault and its price, a perpetual's market) changes with every order and says nothing.
    """
    old, new = before.mode, _named(position)
    if old != new:
        why = f"e-mode {old} -> {new}; health {health_text(position.health_wad)}"
        yield Fault(severity=Severity.WARNING, code="mode_changed", subject=str(position.id), why=why)


def _worthless(position: Position, prices: Mapping[str, float]) -> Iterator[Fault]:
    """Collateral at an oracle's price of 0: venues that do not refuse such an answer let it be liquidated at once."""
    if position.health_wad:
        return
    for h in position.collateral:
        # without dollars (Morpho's usd_feed) price_base is 0 too; a price that the oracle told is there all the same
        if h.threshold_wad and h.amount.units and not h.price_base and not prices.get(h.feed):
            why = f"{h.amount.token.symbol}: its oracle answers 0; nothing of it counts, and it can be liquidated"
            yield Fault(severity=Severity.CRITICAL, code="feed_not_positive", subject=h.feed, why=why)


def _shut(position: Position, means: Means) -> Iterator[Fault]:
    """What a market no longer lets anybody do with what is held or owed: ways of a rescue that are gone."""
    own = {h.feed: h.amount.token.symbol for h in position.collateral if h.threshold_wad}
    every = own | {h.feed: h.amount.token.symbol for h in position.debt}
    mine = [r for r in means.reserves if r.feed in every]
    for code, severity, names, so in (
        (
            "ltv_zero",
            Severity.WARNING,
            [h.amount.token.symbol for h in position.collateral if h.ltv_zero],
            "has a loan-to-value of 0: while it is collateral nothing else may leave before it; repaying works",
        ),
        (
            "reserve_paused",
            Severity.CRITICAL,
            [every[r.feed] for r in mine if r.paused],
            "is paused: it can be neither repaid nor supplied until it is not",
        ),
        (
            "reserve_frozen",
            Severity.WARNING,
            [every[r.feed] for r in mine if r.frozen],
            "is frozen: nothing more of it can be supplied or borrowed; repaying works",
        ),
        (
            "supply_capped",
            Severity.WARNING,
            [own[r.feed] for r in mine if r.feed in own and r.supply_room_units == 0],
            "is supplied up to its cap: no more of it can be added as collateral",
        ),
    ):
        if names:
            why = f"{', '.join(dict.fromkeys(names))} {so}"
            yield Fault(severity=severity, code=code, subject=str(position.id), why=why)


def _locked(position: Position, means: Means) -> Iterator[Fault]:
    """Collateral that cannot leave: no plan may rely on selling it."""
    locked = [h for h in position.collateral if h.threshold_wad and _short(h, position, means)]
    if locked:
        names = ", ".join(h.amount.token.symbol for h in locked)
        why = f"{names} cannot be withdrawn in full now: repaying and topping up from the wallet is what is left"
        yield Fault(severity=Severity.WARNING, code="no_cash", subject=str(position.id), why=why)


def _short(held: Holding, position: Position, means: Means) -> bool:
    reserve = _reserve(held, position, means)
    kind = kinds.kind(position.id.venue)
    # 0 of both means that the venue does not tell: vaults lend nothing out
    lends = kind is None or not (kind.vaults or kind.perpetual)
    return reserve is not None and lends and reserve[0] < held.amount.units


def _clock(position: Position, means: Means) -> Iterator[Fault]:
    """ln(health) over the net rate: how long interest alone takes to liquidate."""
    owed = sum(h.value_base for h in position.debt)
    counted = sum(h.value_base for h in position.collateral if h.threshold_wad)
    health = (position.health_wad or 0) / WAD
    if not owed or not counted or health <= 1.0:
        return
    pays = sum(h.value_base / owed * _rate(h, position, means, 2) for h in position.debt)
    earns = sum(
        h.value_base / counted * _rate(h, position, means, 1) for h in position.collateral if h.threshold_wad
    )
    if pays <= earns:
        return
    days = 365.0 * math.log(health) / (pays - earns)
    # a rate that many pay is worth a word only where it leaves days
    if days < URGENT_DAYS or (days < CLOCK_DAYS and pays > 0.2):
        severity = Severity.CRITICAL if days < URGENT_DAYS else Severity.WARNING
        why = f"interest of {pays:.0%} a year alone liquidates it in {days:.1f} days"
        yield Fault(severity=severity, code="rate_clock", subject=str(position.id), why=why)


def _rate(held: Holding, position: Position, means: Means, which: int) -> float:
    reserve = _reserve(held, position, means)
    return reserve[which] / RAY if reserve is not None else 0.0


def _reserve(held: Holding, position: Position, means: Means) -> tuple[int, int, int] | None:
    """(cash, supply rate, borrow rate) of what is held, where it was read."""
    # by the address: a debt at a stable rate is told under a symbol of its own
    token = held.amount.token.address
    found = next((r for r in means.reserves if r.feed == held.feed and r.token.address == token), None)
    return None if found is None else (found.cash_units, found.supply_rate_ray, found.borrow_rate_ray)
