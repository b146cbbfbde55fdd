"""What the status page shows, as plain rows, made between ticks of what the last tick found anyway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import keeper
from keeper.chain.endpoint import EndpointStatus
from keeper.config import Settings
from keeper.daemon.facts import Guarded
from keeper.daemon.joint import pair_rows
from keeper.daemon.loop import ChainLoop
from keeper.daemon.showing import limit_s_of
from keeper.daemon.tick import Tick
from keeper.daemon.watched import Blind, Heard, endpoint_rows, stopped, why_not_known
from keeper.decision import PositionMemory
from keeper.model import Holding, Level, Outlook, Policy, Position, PositionId
from keeper.notify.alarm import Alarms, Standing, Told
from keeper.notify.courier import Courier
from keeper.risk.rows import conservative
from keeper.seams import Clock, Severity
from keeper.units import UINT256_MAX, WAD

SLICE = 25
"""Positions described at once; between two slices the loop is free for what is urgent."""
Row = dict[str, object]


class Shown(Heard, Protocol):
    """A chain's daemon as far as the page shows it."""

    def endpoint_status(self) -> tuple[EndpointStatus, ...]:
        """Each endpoint as it stands."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What the announcer knows beside the chains."""

    now_s: float
    """Wall time."""
    monotonic_s: float
    judged_age_s: Mapping[str, float]
    unacknowledged: tuple[Told, ...]
    alarms: Alarms
    """The daemon's own, of no chain."""
    courier: Courier


def moment(
    clock: Clock, ages: Mapping[str, float], loud: tuple[Told, ...], own: tuple[Alarms, Courier]
) -> Moment:
    """Now, for ``state``."""
    return Moment(
        now_s=clock.now_s(),
        monotonic_s=clock.monotonic_s(),
        judged_age_s=ages,
        unacknowledged=loud,
        alarms=own[0],
        courier=own[1],
    )


def state(settings: Settings, chains: Sequence[Shown], at: Moment) -> Row:
    """Everything but the positions: small, and told every second or two."""
    return {
        "version": keeper.__version__,
        "mode": settings.mode,
        "at_s": at.now_s,
        "chains": [_chain(settings, w, at) for w in chains],
        "alarms": [
            row
            for chain, alarms in [("", at.alarms), *((w.chain.name, w.alarms) for w in chains)]
            for row in _alarms(chain, alarms, at)
        ],
        "targets": [
            {"name": r.target.name, "down": r.down, "waiting": len(r.outbox)} for r in at.courier.routes
        ],
    }


def _chain(settings: Settings, watched: Shown, at: Moment) -> Row:
    loop, blind, name = watched.loop, watched.blind, watched.chain.name
    tick = loop.last if loop is not None else None
    means = tick.snapshot.means if tick is not None else None
    pause = loop.stops.pause if loop is not None else None
    return {
        "name": name,
        "chain_id": watched.chain.chain_id,
        "block": tick.block.number if tick is not None else None,
        "block_s": tick.block.timestamp_s if tick is not None else None,
        "judged_age_s": round(at.judged_age_s[name], 1),
        "limit_s": limit_s_of(watched),
        "blind": None if blind is None else {"since_s": blind.since_s, "why": blind.why},
        "started": loop is not None,
        "armed": loop is not None and loop.armed,
        "broken": (loop.broken if loop is not None else "") or None,
        "paused": None if pause is None else pause.why,
        "stopped": _stopped(watched),
        "pairs": pair_rows(watched),
        "busy": loop is not None and not loop.idle,
        "endpoints": endpoint_rows(watched),
        "gas_tank": means.native_wei / WAD if means is not None and means.wallet else None,
        "took_ms": round(sum(tick.took_ms.values()), 1) if tick is not None else None,
        "guarded": len(loop.parts.guarded) if loop is not None else len(_labels(settings, name)),
    }


def _stopped(watched: Shown) -> list[Row]:
    """Positions that are kept from being acted for, each with its stop; told every second, for a pause waits for
    no block.
    """
    loop = watched.loop
    stops = stopped(loop) if loop is not None else {}
    if loop is None or not stops:
        return []
    labels = {g.id: g.label for g in loop.parts.guarded}
    return [
        {"id": str(id), "label": labels.get(id, str(id)), "code": stop.code, "why": stop.why}
        for id, stop in stops.items()
    ]


def _alarms(chain: str, alarms: Alarms, at: Moment) -> Iterator[Row]:
    loud = {t.key for t in at.unacknowledged}
    for standing in alarms.standing:
        yield {
            "chain": chain,
            "severity": standing.severity.value,
            "code": standing.code,
            "subject": standing.subject,
            "why": standing.why,
            "since_s": at.now_s - (at.monotonic_s - standing.since_s),
            "acknowledged": _acknowledged(standing, alarms, loud),
        }


def _acknowledged(standing: Standing, alarms: Alarms, loud: set[tuple[int, str, str]]) -> bool | None:
    """None: of a kind that nobody has to acknowledge."""
    if standing.severity is not Severity.CRITICAL:
        return None
    return (alarms.chain_id, standing.code, standing.subject) not in loud


def positions(settings: Settings, watched: Shown) -> Iterator[list[Row]]:
    """Every guarded position of one chain, a slice at a time; all of them from one tick.

    What is not known at this moment has no health, whatever was known before.
    """
    loop = watched.loop
    if loop is None:
        yield [_never_seen(label) for label in _labels(settings, watched.chain.name)]
        return
    seen = _Seen.of(loop, watched.blind)
    guarded = loop.parts.guarded
    for first in range(0, len(guarded), SLICE):
        yield [_position(g, seen) for g in guarded[first : first + SLICE]]


def feeds(tick: Tick | None) -> dict[str, tuple[str, float]]:
    """Feed -> (symbol, dollars) of everything that a guarded position holds or owes; rows refer to their places."""
    if tick is None:
        return {}
    prices = tick.snapshot.prices
    symbols = {
        h.feed: h.amount.token.symbol for p in tick.snapshot.positions for h in (*p.collateral, *p.debt)
    }
    return {feed: (symbols[feed], prices[feed]) for feed in sorted(symbols) if feed in prices}


def shocks(tick: Tick | None) -> list[str]:
    """The names of the shocks that the tick judged each position under, in the order of its rows."""
    under = (o.health_under for o in tick.outlooks if o.health_under) if tick is not None else iter(())
    return [name for name, _ in next(under, ())]


def policies(loop: ChainLoop | None) -> dict[str, Row]:
    """Name -> the lines of each policy in use."""
    if loop is None:
        return {}
    return {
        p.name: {
            "warn": p.warn_wad / WAD,
            "trigger": p.trigger_wad / WAD,
            "target": p.target_wad / WAD,
            "emergency": p.emergency_wad / WAD,
        }
        for p in _policies(loop)
    }


def _policies(loop: ChainLoop) -> Iterator[Policy]:
    seen: set[str] = set()
    for guarded in loop.parts.guarded:
        if guarded.policy.name not in seen:
            seen.add(guarded.policy.name)
            yield guarded.policy


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One tick, indexed: a search for each among a thousand would hold up the loop."""

    tick: Tick | None
    blind: Blind | None
    positions: Mapping[PositionId, Position]
    outlooks: Mapping[PositionId, Outlook]
    unread: Mapping[PositionId, str]
    memory: Mapping[PositionId, PositionMemory]
    places: Mapping[str, int]
    """Feed -> its place among ``feeds``."""

    @classmethod
    def of(cls, loop: ChainLoop, blind: Blind | None) -> _Seen:
        tick = loop.last
        return cls(
            tick=tick,
            blind=blind,
            positions=tick.snapshot.by_id() if tick else {},
            outlooks={o.id: o for o in tick.outlooks} if tick else {},
            unread={u.id: u.why for u in tick.snapshot.unreadable} if tick else {},
            memory=loop.remembered_all(),
            places={feed: k for k, feed in enumerate(feeds(tick))},
        )


def _position(guarded: Guarded, seen: _Seen) -> Row:
    id = guarded.id
    position, outlook = seen.positions.get(id), seen.outlooks.get(id)
    why = why_not_known(seen.tick, seen.blind, seen.unread.get(id, ""), outlook)
    row: Row = {"id": str(id), "label": guarded.label, "venue": id.venue, "policy": guarded.policy.name}
    if why or position is None or outlook is None:
        return {**row, "level": Level.UNKNOWN.value, "why": why, "known": _known(seen.memory.get(id))}
    nearest = outlook.distance[0] if outlook.distance else None
    bound = conservative(position)
    return {
        **row,
        "level": outlook.level.value,
        "why": outlook.why,
        "health": _health(position, outlook),
        "distance": None if nearest is None else nearest.distance,
        "at_price": None if nearest is None else nearest.price,
        "of_feed": None if nearest is None else seen.places.get(nearest.feed),
        "own": _holdings(position.collateral, position.base_decimals),
        "owe": _holdings(position.debt, position.base_decimals),
        # a perpetual's "debt" is the margin that it must keep, not a loan
        "debt_usd": None if position.perp is not None else _debt_usd(position),
        "under": [h for _, h in outlook.health_under],
        "row": (bound.a0, bound.b0, [seen.places.get(f, -1) for f in bound.feeds], bound.a, bound.b),
    }


def _health(position: Position, outlook: Outlook) -> float | None:
    """The protocol's own health; the risk core's where a venue has none; None where nothing is owed."""
    wad = position.health_wad
    if wad is None:
        return outlook.health
    return None if wad == UINT256_MAX else wad / WAD


def _holdings(holdings: Sequence[Holding], base_decimals: int) -> list[tuple[str, float, float]]:
    """(symbol, tokens, dollars) of each; its symbol is a stranger's text."""
    one = 10.0**base_decimals
    return [
        (h.amount.token.symbol, h.amount.units / 10.0**h.amount.token.decimals, h.value_base / one)
        for h in holdings
    ]


def _debt_usd(position: Position) -> float:
    """All that is owed, in dollars of now."""
    return float(sum(h.value_base for h in position.debt)) / 10.0**position.base_decimals


def _known(memory: PositionMemory | None) -> Row | None:
    if memory is None or memory.last_health_wad is None:
        return None
    wad = memory.last_health_wad
    return {
        "level": memory.known_level.value,
        "health": None if wad == UINT256_MAX else wad / WAD,
        "block": memory.last_health_block,
    }


def _labels(settings: Settings, chain: str) -> list[str]:
    names = {v.name for v in settings.venues if v.chain == chain}
    return [p.label for p in settings.positions if p.venue in names]


def _never_seen(label: str) -> Row:
    why = "the chain has not answered yet"
    nothing = {"venue": "", "policy": "", "known": None}
    return {"id": f"label:{label}", "label": label, "level": Level.UNKNOWN.value, "why": why, **nothing}
