"""Which positions of a block must be judged anew, and which keep the outlook they have: certificates in ticks.

A position far above its levels cannot get near them without a price, an index or its own balance moving. While its
certificate holds (``keeper.risk.watch``), the protocol's own health says the same and its row agrees with that, only
health and margin are brought up to date. Whatever changed in itself (balance, mode, threshold, policy) is judged.
Prices times indices are what is watched, so interest is a move like any other. Pure but for what it remembers.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keeper.model import (
    WHOLE_BPS_AVERAGE,
    BookRow,
    Holding,
    Level,
    Outlook,
    Policy,
    Position,
    PositionId,
    Shock,
)
from keeper.risk import watch
from keeper.risk.book import Shelf, build, with_prices
from keeper.risk.book import replace as replaced
from keeper.risk.rows import conservative
from keeper.units import UINT256_MAX, WAD, wad_float

PAYS_ABOVE = 250
"""Positions from which it pays: judging one takes 34 us of CPU, keeping one 15 (1,000 positions of two assets under
11 shocks, 2 cores, Python 3.11: 35 ms a tick against 16), so here 4 ms of a tick are saved; below, less than a
commit."""
AGE_BLOCKS_MAX = 25
"""An outlook is never older: nothing acts on its distances and shocks while it is SAFE, but people read them."""
CHANGED_MAX = 64
"""Rows exchanged one by one; where more have changed everything is judged and certified anew."""
_SPARE = 1e-6
"""Certificates end this much above the level: what stored balances times indices lose to rounding."""
_GAP_REL, _GAP_ABS = 5e-7, 5e-9
"""Half of what the risk core allows between a row and the protocol's health: nearer to it the core is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """``due`` are to be judged; ``kept`` need not be, with their outlooks brought up to date."""

    due: tuple[Position, ...]
    kept: Mapping[PositionId, Outlook]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Certified:
    """Everything that holds for one list of positions; ``keys`` by position in order."""

    ids: tuple[PositionId, ...]
    keys: list[Hashable]
    shelf: Shelf
    state: watch.Watch


class Watching:
    """What one chain's ticks remember between blocks; ``expected`` positions, for which it makes ready."""

    def __init__(self, pays_above: int = PAYS_ABOVE, expected: int = 0) -> None:
        self._pays_above = pays_above
        if expected >= pays_above:
            # compiled, or loaded, before the first tick and not in it
            state = watch.start(1, 0)
            watch.observe(build([BookRow(feeds=(), a=(), b=())], {}).book, 1.0, state)
            watch.drop(state, 0)
        self._certified: _Certified | None = None
        self._outlooks: dict[PositionId, Outlook] = {}
        self._shocks: tuple[Shock, ...] = ()
        self._block = 0

    def split(
        self,
        positions: Sequence[Position],
        prices: Mapping[str, float],
        shocks: Sequence[Shock],
        policies: Mapping[PositionId, Policy],
    ) -> Split:
        """Due and kept of one block. Few positions, other positions or other shocks: all are due."""
        self._block += 1
        if len(positions) < self._pays_above:
            self._certified, self._outlooks = None, {}
            return Split(due=tuple(positions), kept={})
        if tuple(shocks) != self._shocks:
            self._certified, self._shocks = None, tuple(shocks)
        opened = self._opened(positions, policies)
        due: list[Position] = []
        kept: dict[PositionId, Outlook] = {}
        for u, position in enumerate(positions):
            turn = (u + self._block) % AGE_BLOCKS_MAX == 0
            outlook = None if opened[u] or turn else self._fresh(position, prices, policies)
            if outlook is None:
                # what is asked and does not answer must not come back with an older answer
                self._outlooks.pop(position.id, None)
                due.append(position)
            else:
                kept[position.id] = outlook
        return Split(due=tuple(due), kept=kept)

    def keep(self, outlooks: Sequence[Outlook]) -> None:
        """Remember what was judged, for the next blocks."""
        if self._certified is not None:
            self._outlooks.update((o.id, o) for o in outlooks)

    def _fresh(
        self, position: Position, prices: Mapping[str, float], policies: Mapping[PositionId, Policy]
    ) -> Outlook | None:
        """The kept outlook with the health and margin of now; None where the core must be asked."""
        before, policy = self._outlooks.get(position.id), policies.get(position.id)
        health_wad = position.health_wad
        if before is None or before.level is not Level.SAFE or before.why or policy is None:
            return None
        if health_wad is None or health_wad < _level_wad(policy):
            return None
        row = conservative(position)
        assets, needed = _sides(row, prices)
        if not (math.isfinite(assets) and math.isfinite(needed)):
            return None
        if needed == 0.0 or health_wad == UINT256_MAX:
            same = needed == 0.0 and health_wad == UINT256_MAX
            return replace(before, margin_usd=assets - needed) if same and before.health is None else None
        chain = health_wad / WAD
        gap = _GAP_REL * chain + _GAP_ABS
        most = assets if row is position.row else _sides(position.row, prices)[0]
        # both ends coincide but for a floored average, of which the row only bounds what the chain says
        if not (assets / needed <= chain + gap and most / needed >= chain - gap):
            return None
        health = assets / needed if row is position.row else wad_float(health_wad)
        return replace(before, health=health, margin_usd=assets - needed)

    def _opened(self, positions: Sequence[Position], policies: Mapping[PositionId, Policy]) -> list[bool]:
        """Whose certificate does not hold: changed, moved enough, or below the level."""
        ids = tuple(p.id for p in positions)
        keys = [_key(p, policies.get(p.id)) for p in positions]
        prices = _axes(positions)
        old = self._certified
        alike = old is not None and old.ids == ids and prices.keys() <= set(old.shelf.feeds)
        changed = [u for u, k in enumerate(keys) if old is None or not alike or k != old.keys[u]]
        if old is None or not alike or len(changed) > CHANGED_MAX:
            rows = [_scaled(p, policies.get(p.id)) for p in positions]
            shelf = build(rows, prices)
            old = _Certified(ids=ids, keys=keys, shelf=shelf, state=watch.start(len(ids), len(shelf.feeds)))
            changed = list(range(len(ids)))
        else:
            shelf = old.shelf
            for u in changed:
                shelf = replaced(shelf, u, _scaled(positions[u], policies.get(ids[u])))
                watch.drop(old.state, u)
            old = replace(old, keys=keys, shelf=with_prices(shelf, prices))
        watch.observe(old.shelf.book, 1.0, old.state)
        self._certified = old
        below = old.state.place[:, watch.BELOW] != 0
        below[old.state.queue[: old.state.tally[2]]] = True
        below[np.array(changed, np.int64)] = True
        return [bool(x) for x in below.tolist()]


def _level_wad(policy: Policy) -> int:
    """Below it hysteresis may hold a level up: nothing is kept there."""
    return policy.warn_wad + policy.hysteresis_wad


def _sides(row: BookRow, prices: Mapping[str, float]) -> tuple[float, float]:
    assets, needed = row.a0, row.b0
    for feed, a, b in zip(row.feeds, row.a, row.b, strict=True):
        price = prices.get(feed, math.nan)
        assets += a * price
        needed += b * price
    return assets, needed


def _key(position: Position, policy: Policy | None) -> Hashable:
    """What a certificate stands on besides prices and indices."""
    return (
        position.mode,
        position.row.flags,
        tuple((h.feed, h.stored, h.threshold_wad) for h in position.collateral),
        tuple((h.feed, h.stored) for h in position.debt),
        None if policy is None else _level_wad(policy),
    )


def _axis(position: Position, holding: Holding, side: str) -> str:
    """The price of a stored unit: a market's feed times the index of its side."""
    return f"{position.id.venue}:{position.id.key}:{holding.feed}:{side}"


def _axes(positions: Sequence[Position]) -> dict[str, float]:
    """Price x index of every axis, the index as the largest holding tells it (rounding is least there)."""
    largest: dict[tuple[str, str, str, str], tuple[int, float]] = {}
    for position in positions:
        id = position.id
        for side, holdings in (("own", position.collateral), ("owe", position.debt)):
            for h in holdings:
                name = (id.venue, id.key, h.feed, side)
                if h.stored > largest.get(name, (0, 0.0))[0]:
                    largest[name] = (h.stored, h.price_base * (h.amount.units / h.stored))
    return {":".join(name): value for name, (_, value) in largest.items()}


def _scaled(position: Position, policy: Policy | None) -> BookRow:
    """Assets, and requirement times the level, in stored units; a row that cannot be certified holds NaN."""
    flags = position.row.flags
    if policy is None or flags not in ((), (WHOLE_BPS_AVERAGE,)) or position.row.a0 or position.row.b0:
        return BookRow(feeds=(), a=(), b=(), a0=math.nan)
    level = _level_wad(policy) / WAD * (1.0 + _SPARE)
    # a floored average threshold takes less than a basis point of each counted collateral (``risk.rows``)
    floored = 1e-4 if flags else 0.0
    feeds: list[str] = []
    a: list[float] = []
    b: list[float] = []
    for side, holdings in (("own", position.collateral), ("owe", position.debt)):
        for h in holdings:
            tokens = h.stored / 10.0**h.amount.token.decimals
            feeds.append(_axis(position, h, side))
            counted = h.threshold_wad / WAD - floored if h.threshold_wad else 0.0
            a.append(tokens * counted if side == "own" else 0.0)
            b.append(0.0 if side == "own" else tokens * level)
    return BookRow(feeds=tuple(feeds), a=tuple(a), b=tuple(b))
