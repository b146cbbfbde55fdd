"""What the control socket is asked: arm, disarm, status; each change is journaled with who and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeper.clock import SystemClock
from keeper.config import Settings
from keeper.daemon.facts import Guarded
from keeper.daemon.hedge_arming import hedge_lines
from keeper.daemon.hedges import ARMED as HEDGE_ARMED
from keeper.daemon.joint import adl_rows, joint_rows, pair_rows
from keeper.daemon.loop import ChainLoop
from keeper.daemon.planned import plan_rows
from keeper.daemon.protecting import Wish, health_wanted, protect
from keeper.daemon.stops import PAUSE, PAUSE_S_MAX, Stop
from keeper.daemon.tick import Tick
from keeper.daemon.watched import Blind, Heard, Watched, endpoint_rows, stopped, why_not_known
from keeper.drilled import missing
from keeper.journal.write import Journal
from keeper.model import Level, Outlook, Policy, Position, PositionId, Refusal
from keeper.notify.alarm import Alarms
from keeper.phrases import health_text
from keeper.risk.thresholds import price_at_health
from keeper.seams import Clock
from keeper.units import WAD

__all__ = ["ACK", "PROTECT_S_MAX", "Blind", "Controls", "Watched", "thresholds", "why_not_known"]

PROTECT_S_MAX = 3_600.0
"""A wish for more health lasts at most an hour: prices move on, and what was meant is no longer what is done."""
ACK = "acknowledged"
"""Control key: the wall time up to which every alarm is known to somebody."""


class Controls:
    """Answers requests for all chains of one daemon."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        chains: Sequence[Heard],
        clock: Clock | None = None,
        own: Alarms | None = None,
    ) -> None:
        """``own``: the daemon's own alarms, of no chain."""
        self._own = own
        self._clock = clock or SystemClock()
        self._settings = settings
        self._journal = journal
        self._chains = tuple(chains)

    async def answer(self, request: dict[str, object]) -> dict[str, object]:
        """One request. ``ok`` false always comes with a why."""
        known = {
            "status": self._status,
            "arm": self._arm,
            "disarm": self._disarm,
            "pause": self._pause,
            "resume": self._resume,
            "ack": self._ack,
            "protect": self._protect,
        }
        asked = known.get(str(request.get("do")))
        if asked is None:
            return {"ok": False, "why": f"unknown request {request.get('do')!r}: {', '.join(known)}"}
        return asked(request)

    def _status(self, _: dict[str, object]) -> dict[str, object]:
        chains = [self._chain(watched) for watched in self._chains]
        drills = {"never_drilled": missing(self._settings)}
        joint = {"joint": joint_rows(self._settings, self._chains)}
        own = {"alarms": [] if self._own is None else _alarms(self._own)}
        return {
            "ok": True,
            "schema": 1,
            "mode": self._settings.mode,
            "chains": chains,
            **own,
            **drills,
            **joint,
        }

    def _chain(self, watched: Heard) -> dict[str, object]:
        loop, blind = watched.loop, watched.blind
        head = {
            "chain": watched.chain.name,
            "blind": None if blind is None else {"since_s": round(blind.since_s, 3), "why": blind.why},
            "alarms": _alarms(watched.alarms),
            "endpoints_each": endpoint_rows(watched),
            "plans": plan_rows(self._journal, watched.chain.chain_id),
        }
        if loop is None:
            names = {v.name for v in self._settings.venues if v.chain == watched.chain.name}
            labels = [p.label for p in self._settings.positions if p.venue in names]
            nothing = {"block": None, "idle": True, "armed": False, "broken": None}
            return {**head, **nothing, "positions": [_never_seen(label) for label in labels]}
        return {
            **head,
            "block": loop.last.block.number if loop.last else None,
            "block_s": loop.last.block.timestamp_s if loop.last else None,
            "idle": loop.idle,
            "armed": loop.armed,
            "broken": loop.broken or None,
            "paused": pause.why if (pause := loop.stops.pause) is not None else None,
            "endpoints": list(loop.parts.live_endpoints()),
            "positions": _all_standing(loop, blind),
            "pairs": pair_rows(watched),
            "adl": adl_rows(watched),
        }

    def _arm(self, request: dict[str, object]) -> dict[str, object]:
        if self._settings.mode != "live":
            return {"ok": False, "why": 'dry-run needs no arming; arming is for mode = "live"'}
        refused = self._cannot_arm()
        if refused:
            return {"ok": False, "why": refused}
        loops = [w.loop for w in self._chains if w.loop is not None]
        lines = [line for loop in loops for line in thresholds(loop)]
        due = [line for loop in loops if loop.last for line in _due(loop, loop.last)]
        lines += due or ["nothing would be done now"]
        ids = {g.label: str(g.id) for loop in loops for g in loop.parts.guarded}
        lines += hedge_lines(self._settings, self._journal, ids)
        if request.get("hedge") is True:
            return self._arm_hedge(request, lines)
        if due and request.get("accept_immediate") is not True:
            why = "an action would or might follow at once: pass --accept-immediate to arm all the same"
            return {"ok": False, "lines": lines, "why": why}
        self._set("armed", self._settings.digest, request)
        return {"ok": True, "lines": [*lines, "armed for this configuration, across restarts"]}

    def _arm_hedge(self, request: dict[str, object], lines: list[str]) -> dict[str, object]:
        """Besides rescues, and never instead of them."""
        if not self._settings.hedge_keys:
            return {"ok": False, "why": "no [pairs.hedge] names a keystore: there is no hedge to arm"}
        self._set(HEDGE_ARMED, self._settings.digest, request)
        told = "hedges are armed for this configuration, beside rescues alone; `keeper disarm` ends both"
        return {"ok": True, "lines": [*lines, told]}

    def _cannot_arm(self) -> str:
        """Why nobody can tell what arming would do; empty when it can be told."""
        blind = [f"{w.chain.name}: {w.blind.why}" for w in self._chains if w.blind is not None]
        if blind:
            return f"a chain cannot be seen, so what would follow is not known: {'; '.join(blind)}"
        unseen = [w.chain.name for w in self._chains if w.loop is None or w.loop.last is None]
        if unseen:
            return f"no block has been seen yet on {', '.join(unseen)}: try again"
        digest = self._settings.digest
        if any(w.loop.parts.armed_digest != digest or w.loop.permit.closing for w in self._chains if w.loop):
            return "another configuration is being taken over: try again in a moment"
        broken = [w.loop.broken for w in self._chains if w.loop is not None and w.loop.broken]
        if broken:
            return f"an invariant failed, restart after looking: {'; '.join(broken)}"
        return ""

    def _disarm(self, request: dict[str, object]) -> dict[str, object]:
        self._set("armed", None, request)
        if self._settings.hedge_keys:
            self._set(HEDGE_ARMED, None, request)
        return {"ok": True, "lines": ["disarmed: watching, deciding and alarming go on; nothing is sent"]}

    def _pause(self, request: dict[str, object]) -> dict[str, object]:
        """For ``for_s`` seconds, everything or the position of ``label``; it ends by itself."""
        for_s = request.get("for_s")
        if isinstance(for_s, bool) or not isinstance(for_s, int | float) or not 0 < for_s <= PAUSE_S_MAX:
            return {"ok": False, "why": f"for_s: {for_s!r} is not within 0 to {PAUSE_S_MAX:.0f} seconds"}
        key, what, why = self._paused_key(request)
        if why:
            return {"ok": False, "why": why}
        self._set(key, repr(self._clock.now_s() + for_s), request)
        told = f"{what} paused for {for_s / 60:.0f} minutes: watching, deciding and alarming go on"
        return {"ok": True, "lines": [f"{told}; a transaction under way is still tended"]}

    def _resume(self, request: dict[str, object]) -> dict[str, object]:
        key, what, why = self._paused_key(request)
        if why:
            return {"ok": False, "why": why}
        self._set(key, None, request)
        return {"ok": True, "lines": [f"{what}: no longer paused"]}

    def _ack(self, request: dict[str, object]) -> dict[str, object]:
        """Everything alarmed until now is known to somebody: it is not repeated or told louder."""
        self._set(ACK, repr(self._clock.now_s()), request)
        told = "acknowledged: alarms that stand are not repeated; a new one, or a new cause, is told at once"
        return {"ok": True, "lines": [told]}

    def _protect(self, request: dict[str, object]) -> dict[str, object]:
        """One position to a health, within the time; journaled whether it could be asked for or not."""
        label, to_wad, for_s = (
            request.get("label"),
            health_wanted(request.get("to")),
            request.get("for_s", 600),
        )
        if isinstance(to_wad, str):
            return {"ok": False, "why": to_wad}
        if isinstance(for_s, bool) or not isinstance(for_s, int | float) or not 0 < for_s <= PROTECT_S_MAX:
            return {"ok": False, "why": f"for_s: {for_s!r} is not within 0 to {PROTECT_S_MAX:.0f} seconds"}
        places = [(w, g) for w in self._chains if w.loop is not None for g in w.loop.parts.guarded]
        found = next(((w, g) for w, g in places if g.label == label), None)
        if found is None:
            known = ", ".join(g.label for _, g in places)
            return {"ok": False, "why": f"label: {label!r} is no guarded position ({known})"}
        watched, guarded = found
        if watched.blind is not None or watched.loop is None:
            return {"ok": False, "why": f"{watched.chain.name} cannot be seen: nothing can be planned"}
        told = protect(watched.loop, Wish(guarded=guarded, to_wad=to_wad, for_s=float(for_s)))
        refused = isinstance(told, Refusal)
        self._set(f"protect:{guarded.id}", None if refused else str(to_wad), request)
        if isinstance(told, Refusal):
            return {"ok": False, "why": f"{guarded.label}: {told.why}"}
        return {"ok": True, "lines": list(told)}

    def _paused_key(self, request: Mapping[str, object]) -> tuple[str, str, str]:
        """(control key, what it is about, why it cannot be told)."""
        label = request.get("label")
        if label is None:
            return PAUSE, "everything", ""
        guarded = [g for w in self._chains if w.loop is not None for g in w.loop.parts.guarded]
        found = next((g for g in guarded if g.label == label), None)
        if found is None:
            known = ", ".join(g.label for g in guarded)
            return "", "", f"label: {label!r} is no guarded position ({known})"
        return f"{PAUSE}:{found.id}", found.label, ""

    def _set(self, key: str, value: str | None, request: Mapping[str, object]) -> None:
        actor, why = str(request.get("actor") or "unknown"), str(request.get("why") or "")
        self._journal.set_control(key, value, actor, why)


def _due(loop: ChainLoop, tick: Tick) -> list[str]:
    """What arming would set going now, or might as soon as an obstacle is gone."""
    labels = {g.id: g.label for g in loop.parts.guarded}
    lines = [f"would act now: {plan.why}" for plan in tick.plans]
    lines += [
        f"would act now if it could: {labels.get(d.id, d.id)}: {d.why}"
        for d in tick.decisions
        if d.level in (Level.ACT, Level.URGENT) and d.rejected and not d.chosen
    ]
    lines += [f"would act now if it could: {labels.get(id, id)}: {r.why}" for id, r in tick.refusals]
    unknown = [o.id for o in tick.outlooks if o.level is Level.UNKNOWN]
    lines += [f"cannot be judged now: {labels.get(id, id)}: {_why_unknown(tick, id, None)}" for id in unknown]
    return lines


def _alarms(alarms: Alarms) -> list[dict[str, object]]:
    """What stands."""
    return [
        {"severity": a.severity.value, "code": a.code, "subject": a.subject, "why": a.why}
        for a in alarms.standing
    ]


def _all_standing(loop: ChainLoop, blind: Blind | None) -> list[dict[str, object]]:
    """Every guarded position; each is looked up, for a search each among a thousand would hold up the loop."""
    tick = loop.last
    positions = tick.snapshot.by_id() if tick else {}
    outlooks = {o.id: o for o in tick.outlooks} if tick else {}
    unread = {u.id: u.why for u in tick.snapshot.unreadable} if tick else {}
    stops = stopped(loop)
    made = []
    for guarded in loop.parts.guarded:
        outlook = outlooks.get(guarded.id)
        why = why_not_known(tick, blind, unread.get(guarded.id, ""), outlook)
        now = (positions.get(guarded.id), outlook, why)
        made.append({**_standing(loop, guarded, now), "stopped": stop_row(stops.get(guarded.id))})
    return made


def _standing(
    loop: ChainLoop, guarded: Guarded, now: tuple[Position | None, Outlook | None, str]
) -> dict[str, object]:
    """A guarded position as the last tick judged it; what is not known now is shown as last known, so old."""
    position, outlook, why = now
    id = guarded.id
    current = position is not None and outlook is not None and not why
    known = None
    # searched for among all, so only for those whose past is shown
    if not current and (memory := loop.remembered(id)).last_health_wad is not None:
        known = {
            "level": memory.known_level.value,
            "health_wad": str(memory.last_health_wad),
            "block": memory.last_health_block,
        }
    health_wad = position.health_wad if position is not None and current else None
    return {
        "id": str(id),
        "label": guarded.label,
        "level": outlook.level.value if outlook is not None and current else Level.UNKNOWN.value,
        "health_wad": None if health_wad is None else str(health_wad),
        "distance": outlook.distance[0].distance if outlook and current and outlook.distance else None,
        "unreadable": why or None,
        "last_known": known,
    }


def stop_row(stop: Stop | None) -> dict[str, object] | None:
    """What stops a position, for whoever shows it."""
    return None if stop is None else {"code": stop.code, "scope": stop.scope.value, "why": stop.why}


def _why_unknown(tick: Tick | None, id: PositionId, blind: Blind | None) -> str:
    """Why the position is not known at this moment; empty when it is."""
    unread = next((u.why for u in tick.snapshot.unreadable if u.id == id), "") if tick else ""
    outlook = next((o for o in tick.outlooks if o.id == id), None) if tick else None
    return why_not_known(tick, blind, unread, outlook)


def _never_seen(label: str) -> dict[str, object]:
    """A configured position of a chain that has not answered since the start."""
    why = "the chain has not answered yet"
    nothing = {"id": None, "health_wad": None, "last_known": None, "stopped": None}
    return {**nothing, "label": label, "level": Level.UNKNOWN.value, "unreadable": why}


def thresholds(loop: ChainLoop) -> list[str]:
    """For each guarded position: its health, and the prices at which each line of its policy lies."""
    tick = loop.last
    if tick is None:
        return []
    lines = []
    for guarded in loop.parts.guarded:
        position = tick.snapshot.position(guarded.id)
        if position is None:
            lines.append(f"{guarded.label}: UNKNOWN, it could not be read")
            continue
        lines.append(f"{guarded.label}: health {health_text(position.health_wad)}")
        lines += _prices(tick, position, guarded.policy)
    return lines


def _prices(tick: Tick, position: Position, policy: Policy) -> list[str]:
    symbols = {h.feed: h.amount.token.symbol for h in (*position.collateral, *position.debt)}
    levels = (
        ("warn", policy.warn_wad),
        ("trigger", policy.trigger_wad),
        ("emergency", policy.emergency_wad),
        ("liquidation", WAD),
    )
    lines = []
    for feed in position.row.feeds:
        now = tick.snapshot.prices[feed]
        at = {
            name: price_at_health(position.row, tick.snapshot.prices, feed, wad / WAD) for name, wad in levels
        }
        text = ", ".join(f"{name} {'-' if p is None else f'{p:,.4f}'}" for name, p in at.items())
        lines.append(f"  {symbols.get(feed, feed)} now {now:,.4f}: {text}")
    return lines
