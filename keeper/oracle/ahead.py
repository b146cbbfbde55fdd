"""What a feed will say when it next updates, and the health that follows: never better than now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from keeper.model import Level, Outlook, Policy, Position, PositionId, Snapshot
from keeper.oracle.faults import Fault
from keeper.oracle.feeds import Answer
from keeper.phrases import health_text
from keeper.seams import Severity
from keeper.triggers import SEVERITY, raw_level
from keeper.units import UINT256_MAX, WAD

DUE_SHARE = 0.97
"""A feed whose heartbeat is this much over updates within minutes, whatever the market did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """One feed's next answer as a share of what it says now."""

    feed: str
    source: str
    """Feeds of one source move together."""
    move: float
    """New price over the price now."""
    why: str
    price: float | None = None
    """The new price as the snapshot of that look counts prices; what the feed has answered since is not counted
    again. None where the snapshot does not price it: ``move`` is then all that is known.
    """

    def onward(self, now: float) -> float:
        """New price over the one of a snapshot that may be later than the look."""
        return self.move if self.price is None or now <= 0.0 else self.price / now


def next_answer(now: Answer, market: float | None, now_s: int, lid: float | None = None) -> Next | None:
    """What the feed will say next, where that differs from what it says now; None where nothing is due.

    An independent price beyond the deviation threshold is an answer already on its way. One whose heartbeat ends is
    due as well. A feed whose update is sold with the liquidation (SVR) counts as due always: after the cross nothing
    can be done, so the margin is measured before it. ``lid``: above it the feed follows no market.
    """
    if market is None or market <= 0.0 or now.why or now.units <= 0:
        return None
    market = market if lid is None else min(market, lid)
    move = market / now.price
    beyond = abs(move - 1.0) * 10_000 >= now.feed.deviation_bps
    ends = bool(now.updated_s) and now_s - now.updated_s >= DUE_SHARE * now.feed.heartbeat_s
    if not (beyond or ends or now.feed.svr) or move == 1.0:
        return None
    reason = "deviation" if beyond else "heartbeat" if ends else "SVR"
    return Next(
        feed=now.feed.id,
        source=now.feed.source,
        move=move,
        why=f"{now.feed.symbol} {now.price:g} -> {market:g} ({reason})",
    )


def health_down(position: Position, prices: Mapping[str, float], ahead: Iterable[Next]) -> int | None:
    """The worst health, wad, that the next answers allow, each source by itself coming or not: at most today's.

    None where the position has no health. Sources whose update would help are left out: they may come later.
    """
    own = position.health_wad
    row = position.row
    if own is None or own == UINT256_MAX or any(f not in prices for f in row.feeds):
        return own
    assets = row.a0 + sum(a * prices[f] for f, a in zip(row.feeds, row.a, strict=True))
    needed = row.b0 + sum(b * prices[f] for f, b in zip(row.feeds, row.b, strict=True))
    if assets <= 0.0 or needed <= 0.0:
        return own
    health = own / WAD
    gains, owes = _moves(position, prices, ahead)
    up, down = assets, needed
    # the worst of every subset: a source belongs to it exactly where it lowers the ratio that it leaves behind
    changed, chosen = True, frozenset[str]()
    while changed:
        ratio = up / down
        now = frozenset(s for s in gains if gains[s] - ratio * owes[s] < 0.0)
        changed = now != chosen
        chosen = now
        fresh_up = assets + sum(gains[s] for s in chosen)
        fresh_down = needed + sum(owes[s] for s in chosen)
        if fresh_down <= 0.0 or fresh_up / fresh_down >= ratio:
            break
        up, down = fresh_up, fresh_down
    share = max(0.0, up / down) / (assets / needed)
    return min(own, int(health * share * WAD))


def _moves(
    position: Position, prices: Mapping[str, float], ahead: Iterable[Next]
) -> tuple[dict[str, float], dict[str, float]]:
    """By source: what its next answer adds to the assets, and to the requirement."""
    row, gains, owes = position.row, dict[str, float](), dict[str, float]()
    sides = {f: (a * prices[f], b * prices[f]) for f, a, b in zip(row.feeds, row.a, row.b, strict=True)}
    for n in ahead:
        if n.feed in sides:
            a, b = sides[n.feed]
            move = n.onward(prices[n.feed])
            gains[n.source] = gains.get(n.source, 0.0) + a * (move - 1.0)
            owes[n.source] = owes.get(n.source, 0.0) + b * (move - 1.0)
    return gains, owes


def raised(
    outlooks: Sequence[Outlook],
    snapshot: Snapshot,
    policies: Mapping[PositionId, Policy],
    ahead: Sequence[Next],
) -> tuple[Outlook, ...]:
    """Outlooks whose level is the worse of their own and that of the predicted health; nothing is ever lowered."""
    if not ahead:
        return tuple(outlooks)
    positions = snapshot.by_id()
    return tuple(
        _raised(o, positions.get(o.id), snapshot.prices, policies.get(o.id), ahead) for o in outlooks
    )


def _raised(
    outlook: Outlook,
    position: Position | None,
    prices: Mapping[str, float],
    policy: Policy | None,
    ahead: Sequence[Next],
) -> Outlook:
    if position is None or policy is None or outlook.level is Level.UNKNOWN:
        return outlook
    worst = health_down(position, prices, ahead)
    if worst is None or worst == UINT256_MAX:
        return outlook
    level = raw_level(worst, policy)
    if SEVERITY[level] <= SEVERITY[outlook.level]:
        return outlook
    said = f"{health_text(worst)} when the feeds update"
    return replace(outlook, level=level, why=f"{outlook.why}; {said}" if outlook.why else said)


def faults(
    snapshot: Snapshot, policies: Mapping[PositionId, Policy], ahead: Sequence[Next], svr: frozenset[str]
) -> tuple[Fault, ...]:
    """Positions that the next answers would bring below their trigger or to liquidation.

    ``svr``: feeds after whose update nothing can be done; a position that they price is told so.
    """
    found = []
    for position in snapshot.positions:
        policy, own = policies.get(position.id), position.health_wad
        worst = health_down(position, snapshot.prices, ahead)
        if policy is None or own is None or worst is None or worst >= own or worst >= policy.trigger_wad:
            continue
        mine = [n for n in ahead if n.feed in position.row.feeds]
        if not mine:
            # nothing of its own is due: what differs is the rounding of the float core
            continue
        why = f"health {health_text(own)} becomes {health_text(worst)}: {'; '.join(n.why for n in mine)}"
        bundled = any(n.feed in svr for n in mine)
        severity = Severity.CRITICAL if worst < policy.emergency_wad else Severity.WARNING
        subject = str(position.id)
        found.append(Fault(severity=severity, code="predicted", subject=subject, why=why))
        if bundled and worst < WAD:
            why += "; its update is sold together with the liquidation: act before it"
            found.append(Fault(severity=Severity.CRITICAL, code="svr_margin", subject=subject, why=why))
    return tuple(found)
