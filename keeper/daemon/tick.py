"""One block, start to finish: gather -> assess -> decide -> build, and every why of it into the journal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from keeper.model import (
    PERP_STEPS,
    Block,
    CancelOrder,
    Decision,
    Deleverage,
    Entry,
    Level,
    Outcome,
    Outlook,
    Plan,
    PositionId,
    Proposal,
    Refusal,
    Snapshot,
    Step,
)
from keeper.phrases import health_text
from keeper.seams import Alarm, Severity
from keeper.units import UINT256_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What one tick found and wishes."""

    snapshot: Snapshot
    outlooks: tuple[Outlook, ...]
    decisions: tuple[Decision, ...]
    plans: tuple[Plan, ...]
    refusals: tuple[tuple[PositionId, Refusal], ...]
    outcomes: tuple[Outcome, ...] = ()
    levels_before: Mapping[PositionId, Level] = field(default_factory=dict)
    took_ms: Mapping[str, float] = field(default_factory=dict)
    few: bool = False
    """Only those in need, before the rest of the block was looked at."""

    @property
    def judged(self) -> frozenset[PositionId]:
        """The positions that it is about."""
        return frozenset(o.id for o in self.outlooks)

    @property
    def block(self) -> Block:
        """The block that it is about."""
        return self.snapshot.block


def joined(first: Tick, rest: Tick) -> Tick:
    """One block's tick of those judged first and of all others; pure.

    ``rest`` has the whole snapshot, everybody's outlook, and decisions of the others alone.
    """
    decisions = sorted((*first.decisions, *rest.decisions), key=_place)
    return replace(
        rest,
        decisions=tuple(decisions),
        plans=(*first.plans, *rest.plans),
        refusals=(*first.refusals, *rest.refusals),
        outcomes=(*first.outcomes, *rest.outcomes),
    )


def _place(decision: Decision) -> tuple[int, PositionId]:
    """Lowest health first, the unread last: as they would have been decided together."""
    health_wad = decision.health_wad
    return (UINT256_MAX + 1 if health_wad is None else health_wad), decision.id


def entries(tick: Tick, told: Collection[PositionId] = ()) -> tuple[Entry, ...]:
    """The journal's rows of one tick, in the order in which it happened, but for those ``told`` already; pure."""
    return (_tick_row(tick), *wishes(tick, told))


def wishes(tick: Tick, told: Collection[PositionId] = ()) -> tuple[Entry, ...]:
    """Of those rows the ones about single positions: levels, decisions, refusals."""
    news = [o for o in tick.outlooks if o.id not in told]
    changed = [o for o in news if tick.levels_before.get(o.id) not in (None, o.level)]
    # in a crash a thousand levels change at once: one index, not a thousand searches
    healths = {p.id: p.health_wad for p in tick.snapshot.positions} if changed else {}
    rows = [
        _row(
            tick,
            "level",
            str(o.id),
            _level_why(o, tick.levels_before[o.id], healths.get(o.id)),
            {"level": o.level.value},
        )
        for o in changed
    ]
    rows += [
        _row(tick, "decision", str(d.id), d.why, _decision_data(d))
        for d in tick.decisions
        if d.id not in told
    ]
    refused = [(id, r) for id, r in tick.refusals if id not in told]
    rows += [_row(tick, "refusal", str(id), r.why, {"who": r.who, "code": r.code}) for id, r in refused]
    return tuple(rows)


def worth_keeping(tick: Tick) -> bool:
    """True when the whole snapshot is stored: a level changed, or something is wished or was done."""
    changed = any(tick.levels_before.get(o.id) not in (None, o.level) for o in tick.outlooks)
    return changed or bool(tick.decisions or tick.plans or tick.outcomes)


def summary(tick: Tick) -> dict[str, object]:
    """The canonical log line's fields."""
    healths = [p.health_wad for p in tick.snapshot.positions if p.health_wad is not None]
    levels = [o.level for o in tick.outlooks]
    worst = max(levels, key=list(Level).index, default=Level.SAFE)
    return {
        "chain": tick.block.chain_id,
        "block": tick.block.number,
        "positions": len(tick.outlooks),
        "unknown": sum(x is Level.UNKNOWN for x in levels),
        "worst": worst.value,
        "lowest_health": health_text(min(healths, default=None)),
        "plans": len(tick.plans),
        "outcomes": len(tick.outcomes),
        "base_fee_gwei": round(tick.block.base_fee_wei / 1e9, 3),
        **{f"{name}_ms": round(ms, 1) for name, ms in tick.took_ms.items()},
    }


def _row(tick: Tick, kind: str, subject: str, why: str, data: Mapping[str, object]) -> Entry:
    return Entry(
        kind=kind,
        chain_id=tick.block.chain_id,
        block_number=tick.block.number,
        subject=subject,
        why=why,
        data=data,
    )


def _tick_row(tick: Tick) -> Entry:
    line = summary(tick)
    why = (
        f"{line['positions']} positions, worst {line['worst']}, lowest health {line['lowest_health']}"
        f"{', ' + str(line['unknown']) + ' unknown' if line['unknown'] else ''}"
    )
    return _row(tick, "tick", "", why, {"digest": tick.snapshot.digest, "block_hash": tick.block.hash})


def _level_why(outlook: Outlook, before: Level, health_wad: int | None) -> str:
    tail = f": {outlook.why}" if outlook.why else ""
    return f"{before.value} -> {outlook.level.value} at health {health_text(health_wad)}{tail}"


def _decision_data(d: Decision) -> dict[str, object]:
    return {
        "level": d.level.value,
        "health_wad": None if d.health_wad is None else str(d.health_wad),
        "chosen": [_proposal_data(p) for p in d.chosen],
        "rejected": [
            {"strategy": r.strategy, "code": r.code, "why": r.why, "cost_usd": r.cost_usd} for r in d.rejected
        ],
        **({"stake": {"chance": d.stake.chance, "loss_usd": d.stake.loss_usd}} if d.stake else {}),
    }


def _proposal_data(p: Proposal) -> dict[str, object]:
    return {
        "strategy": p.strategy,
        "steps": [
            {
                "do": type(s).__name__,
                "token": s.amount.token.symbol,
                "units": str(s.amount.units),
                **_sale(s),
            }
            for s in p.steps
        ],
        "health_after_wad": str(p.health_after_wad),
        "gas_usd": p.gas_usd,
        "idle_usd": p.idle_usd,
        "cost_usd": p.cost_usd,
        "spend_usd": p.spend_usd,
        **({"swap_usd": p.swap_usd, "flash_usd": p.flash_usd} if p.swap_usd else {}),
    }


def _sale(step: Step) -> dict[str, object]:
    """What a sale repays, and with whose money it begins; who pays in where the wallet does not."""
    if isinstance(step, PERP_STEPS):
        return {"fee_wei": str(step.fee_wei)} if not isinstance(step, CancelOrder) else {"order": step.order}
    if not isinstance(step, Deleverage):
        return {"executor_seq": step.through.seq} if step.through is not None else {}
    repaid = {"repays": step.repay.token.symbol, "repaid_units": str(step.repay.units)}
    return {**repaid, "source": step.source.name.lower(), "executor_seq": step.seq}


def say_quorum(lost: str, chain: str, alarms: Alarm) -> None:
    """One endpoint left of several: rescues go on, what needs the word of two waits, and it is told."""
    if lost:
        alarms.raise_alarm(Severity.CRITICAL, "quorum_lost", chain, lost)
    else:
        alarms.clear("quorum_lost", chain)


def raise_for(
    tick: Tick, alarms: Alarm, standing: Mapping[PositionId, frozenset[str]], *, old: str = ""
) -> dict[PositionId, frozenset[str]]:
    """Raise what a person must hear of this tick, and clear what is over.

    ``standing``: codes of the refusals raised by earlier ticks and not cleared; the new ones are returned.
    ``old``: why the tick shows what is long past, "" where it does not. Such a one may alarm, and ends no alarm.
    """
    alarms = _Endless(alarms) if old else alarms
    why_unread = {u.id: u.why for u in tick.snapshot.unreadable}
    for outlook in tick.outlooks:
        _raise_level(outlook, why_unread.get(outlook.id, outlook.why), alarms)
    refused = _refused(tick)
    for id, found in refused.items():
        for code, (severity, why) in found.items():
            alarms.raise_alarm(severity, code, str(id), why)
    for outcome in tick.outcomes:
        if outcome.surprise:
            alarms.raise_alarm(Severity.CRITICAL, "surprise", str(outcome.key), outcome.surprise)
    unjudged = _unjudged(tick)
    after: dict[PositionId, frozenset[str]] = {}
    for id in {**standing, **refused}:
        before, now = standing.get(id, frozenset()), frozenset(refused.get(id, {}))
        kept = before if old or id in unjudged else frozenset()
        for code in sorted(before - now - kept):
            alarms.clear(code, str(id))
        after[id] = now | kept
    return {id: codes for id, codes in after.items() if codes}


class _Endless:
    """Alarms that can be raised, and not cleared."""

    def __init__(self, alarms: Alarm) -> None:
        self.raise_alarm = alarms.raise_alarm

    def clear(self, code: str, subject: str) -> None:
        """It stands."""


def _refused(tick: Tick) -> dict[PositionId, dict[str, tuple[Severity, str]]]:
    """By position and code: why there is no rescue (CRITICAL), or only by other means (WARNING)."""
    found: dict[PositionId, dict[str, tuple[Severity, str]]] = {}
    for decision in tick.decisions:
        if decision.level not in (Level.ACT, Level.URGENT):
            continue
        severity = Severity.WARNING if decision.chosen else Severity.CRITICAL
        for r in decision.rejected:
            # one that was only outranked has its price: nothing is wrong with it
            if decision.chosen and r.cost_usd is not None:
                continue
            codes = found.setdefault(decision.id, {})
            before = f"{codes[r.code][1]}; " if r.code in codes else ""
            name = f"{r.strategy}: " if r.strategy else ""
            codes[r.code] = (severity, f"{before}{name}{r.why}")
    for id, refusal in tick.refusals:
        found.setdefault(id, {})[refusal.code] = (Severity.CRITICAL, refusal.why)
    return found


def _unjudged(tick: Tick) -> frozenset[PositionId]:
    """Positions of which this tick cannot say whether a rescue would be refused: unread, or waiting."""
    unknown = {o.id for o in tick.outlooks if o.level is Level.UNKNOWN}
    waiting = {
        d.id
        for d in tick.decisions
        if d.level in (Level.ACT, Level.URGENT) and not d.chosen and not d.rejected
    }
    return frozenset(unknown | waiting)


def _raise_level(outlook: Outlook, why: str, alarms: Alarm) -> None:
    subject = str(outlook.id)
    if outlook.level is Level.UNKNOWN:
        alarms.raise_alarm(Severity.CRITICAL, "unknown", subject, why)
        return
    alarms.clear("unknown", subject)
    if outlook.level is Level.URGENT:
        alarms.raise_alarm(Severity.CRITICAL, "urgent", subject, "health is below emergency")
    else:
        alarms.clear("urgent", subject)
    if outlook.level is Level.ACT:
        alarms.raise_alarm(Severity.WARNING, "act", subject, "health is below trigger")
    elif outlook.level is not Level.URGENT:
        alarms.clear("act", subject)
        alarms.clear("not_sent", subject)
    if outlook.level is Level.WATCH:
        alarms.raise_alarm(Severity.INFO, "watch", subject, "health is below the warning line")
    elif outlook.level is Level.SAFE:
        alarms.clear("watch", subject)
