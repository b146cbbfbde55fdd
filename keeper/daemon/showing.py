"""The daemon's state as figures: for Prometheus, for the daily summary, for who asks whether it lives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import keeper
from keeper.config import Settings
from keeper.daemon.facts import Guarded
from keeper.daemon.joint import joint_figures
from keeper.daemon.loop import ChainLoop
from keeper.daemon.tick import Tick
from keeper.daemon.watched import Watched, stopped
from keeper.model import Level
from keeper.notify.courier import Courier
from keeper.notify.metrics import ChainFigures, Counts, Figures, PositionFigures, TargetFigures
from keeper.units import WAD
from keeper.watchdog import TICKS_S, fresh_limit_s


def figures(
    settings: Settings, chains: Sequence[Watched], judged_age_s: Mapping[str, float], courier: Courier
) -> Figures:
    """One reading; a position that is not known at this moment has no health."""
    return Figures(
        version=keeper.__version__,
        mode=settings.mode,
        chains=tuple(_chain(settings, w, judged_age_s[w.chain.name]) for w in chains),
        targets=tuple(
            TargetFigures(
                name=r.target.name,
                down=r.down,
                waiting=len(r.outbox),
                delivered=r.delivered,
                failed=r.failed,
            )
            for r in courier.routes
        ),
        joint=joint_figures(settings, chains),
    )


def readiness(chains: Sequence[Watched], judged_age_s: Mapping[str, float]) -> dict[str, object]:
    """``ok`` when every chain's last judged block is as fresh as the watchdog demands and none is BLIND."""
    rows: dict[str, object] = {}
    fresh = True
    for watched in chains:
        age_s, limit_s = judged_age_s[watched.chain.name], limit_s_of(watched)
        loop = watched.loop
        seen = loop is not None and loop.last is not None
        rows[watched.chain.name] = {
            "ok": seen and age_s <= limit_s and watched.blind is None,
            "judged_age_s": round(age_s, 1),
            "limit_s": limit_s,
            "blind": None if watched.blind is None else watched.blind.why,
        }
        fresh = fresh and seen and age_s <= limit_s and watched.blind is None
    return {"ok": fresh, "chains": rows}


def limit_s_of(watched: Watched) -> float:
    """Age of the last judged block above which a chain is not watched well."""
    return fresh_limit_s(watched.chain.block_time_s) + TICKS_S


def judged(tick: Tick) -> bool:
    """Whether the tick read its block (an unread one is a tick too, of UNKNOWN positions)."""
    return "read" in tick.took_ms


def observe(counts: Counts, chain: str, tick: Tick) -> None:
    """Count one tick."""
    for phase, ms in tick.took_ms.items():
        counts.took(chain, phase, ms / 1e3)
    counts.plans[chain] += len(tick.plans)
    for outcome in tick.outcomes:
        counts.outcomes[chain, outcome.state.value] += 1


def summary(shown: Figures, alarms: Mapping[tuple[str, str], int], hours: float) -> str:
    """A day in a few lines, for people."""
    lines = []
    for chain in shown.chains:
        state = "BLIND" if chain.blind else "stopped acting" if chain.broken else "watching"
        armed = "" if shown.mode != "live" else ", armed" if chain.armed else ", NOT ARMED"
        armed = ", PAUSED" if chain.paused else armed
        lines.append(f"{chain.name}: {state}{armed}, block {chain.block or 'none seen'}")
        levels = [(level, sum(p.level == level for p in chain.positions)) for level in _LEVELS]
        lines.append("  positions: " + ", ".join(f"{n} {level}" for level, n in levels if n))
        halted = Counter(p.stopped for p in chain.positions if p.stopped)
        if halted:
            lines.append("  STOPPED: " + ", ".join(f"{n} {code}" for code, n in sorted(halted.items())))
        known = [p for p in chain.positions if p.health is not None]
        if known:
            worst = min(known, key=lambda p: p.health or 0.0)
            lines.append(f"  lowest health {worst.health:.4f} ({worst.label})")
    told = ", ".join(f"{n} {severity} {code}" for (severity, code), n in sorted(alarms.items()) if n > 0)
    lines.append(f"alarms in {hours:.0f} h: {told or 'none'}")
    if shown.unacknowledged:
        lines.append(f"{shown.unacknowledged} critical alarms stand unacknowledged (keeper ack)")
    return "\n".join(lines)


_LEVELS = tuple(level.value for level in reversed(Level))


def _chain(settings: Settings, watched: Watched, age_s: float) -> ChainFigures:
    loop = watched.loop
    if loop is None:
        names = {v.name for v in settings.venues if v.chain == watched.chain.name}
        lost = tuple(
            PositionFigures(
                label=p.label, venue=p.venue, level=Level.UNKNOWN.value, health=None, distance=None
            )
            for p in settings.positions
            if p.venue in names
        )
        return ChainFigures(
            name=watched.chain.name,
            block=None,
            judged_age_s=age_s,
            blind=watched.blind is not None,
            armed=False,
            broken=False,
            endpoints=None,
            native_ether=None,
            open_intents=0,
            positions=lost,
            endpoint_errors=_errors(watched),
        )
    means = loop.last.snapshot.means if loop.last else None
    return ChainFigures(
        name=watched.chain.name,
        block=loop.last.block.number if loop.last else None,
        judged_age_s=age_s,
        blind=watched.blind is not None,
        armed=loop.armed,
        broken=bool(loop.broken),
        endpoints=loop.parts.live_endpoints(),
        native_ether=means.native_wei / WAD if means is not None and means.wallet else None,
        open_intents=len(loop.parts.journal.open_intents(watched.chain.chain_id)),
        positions=_positions(loop, blind=watched.blind is not None),
        paused=loop.stops.pause is not None,
        endpoint_errors=_errors(watched),
    )


def _positions(loop: ChainLoop, *, blind: bool) -> tuple[PositionFigures, ...]:
    """Every guarded position in one pass over the tick: a thousand of them must not hold up the loop."""
    tick, stops = loop.last, {id: stop.code for id, stop in stopped(loop).items()}
    known = tick is not None and not blind
    outlooks = {o.id: o for o in tick.outlooks} if tick is not None and known else {}
    healths = {p.id: p.health_wad for p in tick.snapshot.positions} if tick is not None and known else {}
    found = []
    for guarded in loop.parts.guarded:
        outlook, health_wad = outlooks.get(guarded.id), healths.get(guarded.id)
        stop = stops.get(guarded.id, "")
        if outlook is None or outlook.level is Level.UNKNOWN or guarded.id not in healths:
            found.append(_unknown(guarded, stop))
            continue
        found.append(
            PositionFigures(
                label=guarded.label,
                venue=guarded.venue_id,
                level=outlook.level.value,
                health=None if health_wad is None else health_wad / WAD,
                distance=min((abs(d.distance) for d in outlook.distance), default=None),
                stopped=stop,
            )
        )
    return tuple(found)


def _errors(watched: Watched) -> tuple[tuple[tuple[str, str], int], ...]:
    """Also of a chain that has no loop yet: it is then that its endpoints fail."""
    return tuple(((s.name, kind), n) for s in watched.endpoint_status() for kind, n in s.faults)


def _unknown(guarded: Guarded, stop: str) -> PositionFigures:
    return PositionFigures(
        label=guarded.label,
        venue=guarded.venue_id,
        level=Level.UNKNOWN.value,
        health=None,
        distance=None,
        stopped=stop,
    )
