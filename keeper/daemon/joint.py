"""One owner's legs over venues and chains in one view, and how near his winning perps are to being closed for him.

A view: every chain has its own tick, so each leg stands as its own newest judged block saw it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from keeper.config import Settings
from keeper.daemon.pairs import Link, Pairs
from keeper.daemon.watched import Watched, why_not_known
from keeper.decision.legs import collateral_usd, short_usd
from keeper.model import Snapshot
from keeper.notify.metrics import JointFigures
from keeper.risk import adl
from keeper.risk.legs import worth_now_usd
from keeper.units import UINT256_MAX, WAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One guarded position of an owner."""

    owner: str
    label: str
    chain: str
    worth_usd: float
    """NaN while it is not known: unknown is never worth something."""
    health_wad: int | None
    why: str
    """Why it is not known; empty when it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """All legs of one owner."""

    owner: str
    legs: tuple[Leg, ...]

    @property
    def worth_usd(self) -> float:
        """Together; NaN where a leg cannot be told."""
        return math.fsum(leg.worth_usd for leg in self.legs)

    @property
    def weakest(self) -> Leg | None:
        """The leg of lowest known health."""
        known = [x for x in self.legs if x.health_wad is not None and x.health_wad != UINT256_MAX]
        return min(known, key=lambda x: x.health_wad or 0, default=None)


def joined(settings: Settings, chains: Sequence[Watched]) -> tuple[Joint, ...]:
    """Owners of two guarded positions and more, over every chain of the process."""
    owned: dict[str, list[Leg]] = {}
    for watched in chains:
        for leg in _legs(settings, watched):
            owned.setdefault(leg.owner, []).append(leg)
    return tuple(Joint(owner=o, legs=tuple(legs)) for o, legs in owned.items() if len(legs) > 1)


def _legs(settings: Settings, watched: Watched) -> list[Leg]:
    loop = watched.loop
    if loop is None:
        return _never_seen(settings, watched)
    tick = loop.last
    positions = tick.snapshot.by_id() if tick else {}
    outlooks = {o.id: o for o in tick.outlooks} if tick else {}
    unread = {u.id: u.why for u in tick.snapshot.unreadable} if tick else {}
    made = []
    for g in loop.parts.guarded:
        position = positions.get(g.id)
        why = why_not_known(tick, watched.blind, unread.get(g.id, ""), outlooks.get(g.id))
        if position is None and not why:
            why = "it is missing from the snapshot"
        known = position if position is not None and not why else None
        made.append(
            Leg(
                owner=g.id.account,
                label=g.label,
                chain=watched.chain.name,
                worth_usd=worth_now_usd(known) if known is not None else math.nan,
                health_wad=known.health_wad if known is not None else None,
                why=why,
            )
        )
    return made


def _never_seen(settings: Settings, watched: Watched) -> list[Leg]:
    """Legs of a chain that has not answered since the start: without them the owner's others would be the whole."""
    names = {v.name for v in settings.venues if v.chain == watched.chain.name}
    return [
        Leg(
            owner=p.account,
            label=p.label,
            chain=watched.chain.name,
            worth_usd=math.nan,
            health_wad=None,
            why=why_not_known(None, watched.blind, "", None),
        )
        for p in settings.positions
        if p.venue in names
    ]


def joint_figures(settings: Settings, chains: Sequence[Watched]) -> JointFigures:
    """The same as figures; what is not known at this moment is left out."""
    worth = [(j.owner, j.worth_usd) for j in joined(settings, chains) if math.isfinite(j.worth_usd)]
    seen = [(w.chain.name, w.loop) for w in chains if w.loop is not None and w.blind is None]
    cover = [
        ((chain, x.settings.loan, x.settings.short), now.share, now.holds)
        for chain, loop in seen
        for x in loop.pairs.links
        if (now := loop.pairs.covers.get(x.loan)) is not None and x.loan not in loop.pairs.unread
    ]
    left = [
        ((w.chain.name, str(row["position"])), row["left"])
        for w in chains
        for row in adl_rows(w)
        if isinstance(row["left"], float)
    ]
    return JointFigures(
        worth_usd=tuple(worth),
        cover=tuple(cover),
        adl_left=tuple((at, value) for at, value in left if isinstance(value, float)),
    )


def joint_rows(settings: Settings, chains: Sequence[Watched]) -> list[dict[str, object]]:
    """``joined`` as JSON."""
    return [
        {
            "owner": j.owner,
            "worth_usd": round(j.worth_usd, 2) if math.isfinite(j.worth_usd) else None,
            "weakest": j.weakest.label if j.weakest is not None else None,
            "legs": [_leg_row(x) for x in j.legs],
        }
        for j in joined(settings, chains)
    ]


def _leg_row(leg: Leg) -> dict[str, object]:
    worth = round(leg.worth_usd, 2) if math.isfinite(leg.worth_usd) else None
    health = None if leg.health_wad is None else str(leg.health_wad)
    return {
        "label": leg.label,
        "chain": leg.chain,
        "worth_usd": worth,
        "health_wad": health,
        "unreadable": leg.why or None,
    }


def pair_rows(watched: Watched) -> list[dict[str, object]]:
    """The pairs of a chain as they stood at its last judged block, as JSON."""
    loop = watched.loop
    if loop is None:
        return []
    blind = watched.blind is not None
    last = None if loop.last is None or blind else loop.last.snapshot
    return [_pair_row(loop.pairs, link, last, blind=blind) for link in loop.pairs.links]


def _pair_row(pairs: Pairs, link: Link, last: Snapshot | None, *, blind: bool) -> dict[str, object]:
    now = pairs.covers.get(link.loan)
    head: dict[str, object] = {
        "loan": link.settings.loan,
        "short": link.settings.short,
        **_legs_now(link, last),
    }
    if now is None or blind or link.loan in pairs.unread:
        unread = "the loan cannot be read" if link.loan in pairs.unread else "no block has been judged yet"
        why = "the chain cannot be seen" if blind else unread
        return {**head, "covered": None, "share": None, "why": why}
    return {**head, "covered": now.holds, "share": round(now.share, 4), "why": pairs.said(link)}


def _legs_now(link: Link, last: Snapshot | None) -> dict[str, object]:
    """What the two legs are worth against each other, and how far the short is from its own end; None: not known.

    ``net_usd``: what of the collateral a price that falls still takes from, dollars; negative where the short is the
    larger. A short that is gone is one of nothing.
    """
    loan = last.position(link.loan) if last is not None else None
    short = last.position(link.short) if last is not None else None
    net: float | None = None
    if loan is not None and short is not None and (short.perp is None or not short.perp.long):
        held = collateral_usd(loan, link.hedged.assets)
        net = round(held - (short_usd(short.perp) if short.perp is not None else 0.0), 2)
    health = short.health_wad if short is not None else None
    open_ = health is not None and health != UINT256_MAX
    return {
        "net_usd": net,
        "short_health": round((health or 0) / WAD, 4) if open_ else None,
        "short_health_least": link.hedged.health_least_wad / WAD,
    }


def adl_rows(watched: Watched) -> list[dict[str, object]]:
    """How near each guarded perp is to being closed by its venue, as JSON."""
    loop = watched.loop
    if loop is None or loop.last is None or watched.blind is not None:
        return []
    labels = {g.id: g.label for g in loop.parts.guarded}
    found = [(p.id, adl.of_position(p)) for p in loop.last.snapshot.positions if p.perp is not None]
    return [
        {
            "position": labels.get(id, str(id)),
            "by": one.by,
            "left": round(one.value, 4) if math.isfinite(one.value) else None,
            "winning": one.winning,
            "enabled": one.enabled,
            "why": one.said,
        }
        for id, one in found
        if one is not None
    ]
