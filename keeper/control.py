"""What the control socket is asked: arm, disarm, status; each change is journaled with who and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeper.chainloop import ChainLoop
from keeper.config import Settings
from keeper.journal.write import Journal
from keeper.model import Policy, Position
from keeper.phrases import health_text
from keeper.risk.thresholds import price_at_health
from keeper.tick import Tick
from keeper.units import WAD


class Controls:
    """Answers requests for all chains of one daemon."""

    def __init__(self, settings: Settings, journal: Journal, loops: Sequence[ChainLoop]) -> None:
        self._settings = settings
        self._journal = journal
        self._loops = tuple(loops)

    async def answer(self, request: dict[str, object]) -> dict[str, object]:
        """One request. ``ok`` false always comes with a why."""
        asked = {"status": self._status, "arm": self._arm, "disarm": self._disarm}.get(str(request.get("do")))
        if asked is None:
            return {"ok": False, "why": f"unknown request {request.get('do')!r}: status, arm or disarm"}
        return asked(request)

    def _status(self, _: dict[str, object]) -> dict[str, object]:
        return {
            "ok": True,
            "schema": 1,
            "mode": self._settings.mode,
            "chains": [
                {
                    "chain": loop.parts.chain.name,
                    "block": loop.last.block.number if loop.last else None,
                    "idle": loop.idle,
                    "armed": loop.armed,
                    "broken": loop.broken or None,
                    "positions": _standing(loop),
                }
                for loop in self._loops
            ],
        }

    def _arm(self, request: dict[str, object]) -> dict[str, object]:
        if self._settings.mode != "live":
            return {"ok": False, "why": 'dry-run needs no arming; arming is for mode = "live"'}
        unseen = [loop.parts.chain.name for loop in self._loops if loop.last is None]
        if unseen:
            return {"ok": False, "why": f"no block has been seen yet on {', '.join(unseen)}: try again"}
        broken = [loop.broken for loop in self._loops if loop.broken]
        if broken:
            return {"ok": False, "why": f"an invariant failed, restart after looking: {'; '.join(broken)}"}
        lines = [line for loop in self._loops for line in thresholds(loop)]
        acts = [plan.why for loop in self._loops if loop.last for plan in loop.last.plans]
        lines += [f"would act now: {why}" for why in acts] or ["nothing would be done now"]
        if acts and request.get("accept_immediate") is not True:
            why = "an action would follow at once: pass --accept-immediate to arm all the same"
            return {"ok": False, "lines": lines, "why": why}
        self._set("armed", self._settings.digest, request)
        return {"ok": True, "lines": [*lines, "armed for this configuration, across restarts"]}

    def _disarm(self, request: dict[str, object]) -> dict[str, object]:
        self._set("armed", None, request)
        return {"ok": True, "lines": ["disarmed: watching, deciding and alarming go on; nothing is sent"]}

    def _set(self, key: str, value: str | None, request: Mapping[str, object]) -> None:
        actor, why = str(request.get("actor") or "unknown"), str(request.get("why") or "")
        self._journal.set_control(key, value, actor, why)


def _standing(loop: ChainLoop) -> list[dict[str, object]]:
    """Level and health of each guarded position as the last tick judged them."""
    if loop.last is None:
        return []
    healths = {p.id: p.health_wad for p in loop.last.snapshot.positions}
    labels = {g.id: g.label for g in loop.parts.guarded}
    return [
        {
            "id": str(o.id),
            "label": labels.get(o.id, ""),
            "level": o.level.value,
            "health_wad": None if healths.get(o.id) is None else str(healths[o.id]),
        }
        for o in loop.last.outlooks
    ]


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
