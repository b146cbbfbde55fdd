"""What a queued change does to a guarded position: its health after, and what is shut. Pure, exact, never better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from keeper.governance.calldata import Change, Kind
from keeper.model import WHOLE_BPS_AVERAGE, Holding, Means, Position, Reserve
from keeper.phrases import health_text
from keeper.units import BPS, UINT256_MAX, WAD

BPS_WAD = WAD // BPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one queued payload does to one position."""

    before_wad: int
    after_wad: int | None
    """None: unreadable once it has landed."""
    notes: tuple[str, ...] = ()
    """What else it changes of what the position holds."""

    @property
    def matters(self) -> bool:
        """Whether anybody need hear of it."""
        return self.after_wad is None or self.after_wad < self.before_wad or bool(self.notes)

    def text(self) -> str:
        """``health 1.31 becomes 1.22; USDC is frozen``."""
        after = (
            "cannot be read any more" if self.after_wad is None else f"becomes {health_text(self.after_wad)}"
        )
        health = f"health {health_text(self.before_wad)} {after}"
        if self.after_wad is not None and self.after_wad >= self.before_wad:
            health = f"health stays {health_text(self.before_wad)}"
        return "; ".join((health, *self.notes))


def computed(position: Position, changes: Sequence[Change], modes: frozenset[int]) -> Effect | str:
    """The effect by the changes' own numbers at today's prices, or why they do not tell it.

    ``modes``: e-mode categories that guarded accounts use. Where an e-mode may override what changes, the lower of
    the two thresholds counts. Only Aave's health is computed so; of another venue it says why not.
    """
    health = position.health_wad
    if health is None or not changes:
        return "it has no health to compare"
    mine = [c for c in changes if _touches(c, position, modes)]
    for c in mine:
        if c.kind in (Kind.PRICE, Kind.ACTIVE):
            return f"{c.call} changes what the calldata alone does not tell"
        if c.kind is Kind.MEMBER and position.mode:
            return f"{c.call} moves an asset in or out of an e-mode"
    collateral = tuple(_changed(h, position, mine) for h in position.collateral)
    after = health if health == UINT256_MAX else min(health, _health(position, collateral))
    return Effect(before_wad=health, after_wad=after, notes=tuple(_notes(position, mine)))


def _touches(change: Change, position: Position, modes: frozenset[int]) -> bool:
    if change.kind is Kind.TERMS:
        return False
    if change.category and change.category not in modes:
        return False
    if change.category and not position.mode:
        return False
    held = {h.amount.token.address for h in (*position.collateral, *position.debt)}
    return not change.asset or change.asset in held


def _changed(held: Holding, position: Position, changes: Sequence[Change]) -> int:
    """Threshold in bps after the changes."""
    bps = held.threshold_wad // BPS_WAD
    for c in changes:
        if c.kind is Kind.THRESHOLD and c.asset == held.amount.token.address and bps:
            bps = min(bps, c.values[1]) if position.mode else c.values[1]
        if c.kind is Kind.MODE and bps:
            bps = min(bps, c.values[1])
    return bps


def _health(position: Position, thresholds_bps: Sequence[int]) -> int:
    """GenericLogic.calculateUserAccountData of the position's line over its own rounded values."""
    owed = sum(h.value_base for h in position.debt)
    if not owed:
        return UINT256_MAX
    pairs = [(h.value_base, t) for h, t in zip(position.collateral, thresholds_bps, strict=True) if t]
    counted, weighted = sum(v for v, _ in pairs), sum(v * t for v, t in pairs)
    if WHOLE_BPS_AVERAGE in position.row.flags:
        average = weighted // counted if counted else 0
        return ((counted * average + BPS // 2) // BPS * WAD + owed // 2) // owed
    return (weighted * WAD + owed // 2) // owed // BPS


def _notes(position: Position, changes: Sequence[Change]) -> Iterator[str]:
    symbols = {h.amount.token.address: h.amount.token.symbol for h in (*position.collateral, *position.debt)}
    for c in changes:
        shut = c.kind in (Kind.FROZEN, Kind.PAUSED, Kind.LTV_ZERO) and any(c.values[:1])
        if shut or c.kind is Kind.CAP:
            yield c.text(symbols)


def rehearsed(before: Position | None, after: Position | None, means: tuple[Means, Means]) -> Effect | str:
    """The effect as the venue's own reader saw it: two looks at one block and time, without and with the payload."""
    if before is None or before.health_wad is None:
        return "it could not be read"
    if after is None or after.health_wad is None:
        return Effect(before_wad=before.health_wad, after_wad=None)
    notes = tuple(_seen(before, after, means))
    return Effect(before_wad=before.health_wad, after_wad=after.health_wad, notes=notes)


def _seen(before: Position, after: Position, means: tuple[Means, Means]) -> Iterator[str]:
    held = {h.feed: h for h in after.collateral}
    for h in before.collateral:
        now = held.get(h.feed)
        if now is None:
            continue
        name = h.amount.token.symbol
        if now.threshold_wad != h.threshold_wad:
            yield f"{name} liquidation threshold {h.threshold_wad / WAD:.2%} -> {now.threshold_wad / WAD:.2%}"
        if now.ltv_zero and not h.ltv_zero:
            yield f"{name} loan-to-value becomes 0"
        if now.price_base != h.price_base:
            yield f"{name} price {h.price_base} -> {now.price_base}"
    feeds = {h.feed: h.amount.token.symbol for h in (*before.collateral, *before.debt)}
    old, new = (_reserves(m) for m in means)
    for feed, name in feeds.items():
        if feed in old and feed in new:
            yield from _shut(name, old[feed], new[feed])


def _reserves(means: Means) -> Mapping[str, Reserve]:
    return {r.feed: r for r in means.reserves}


def _shut(name: str, old: Reserve, new: Reserve) -> Iterator[str]:
    for what, was, now in (
        ("is paused: it can be neither repaid nor supplied", old.paused, new.paused),
        ("is frozen: it cannot be supplied", old.frozen, new.frozen),
        ("is switched off", not old.active, not new.active),
    ):
        if now and not was:
            yield f"{name} {what}"
    room = new.supply_room_units
    if room is not None and (old.supply_room_units is None or room < old.supply_room_units):
        yield f"{name} may be supplied up to {room} units more"


def worse(first: Effect, second: Effect) -> Effect:
    """Of two answers to one question the lower health; what ``first`` noted, else what ``second`` did."""
    afters = (first.after_wad, second.after_wad)
    low = None if None in afters else min(a for a in afters if a is not None)
    return Effect(before_wad=first.before_wad, after_wad=low, notes=first.notes or second.notes)
