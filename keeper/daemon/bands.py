"""Whether one update of a feed could lead from emergency to liquidation, for each guarded position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from keeper.config import PositionSettings
from keeper.daemon.facts import Guarded
from keeper.daemon.oracles import named_feeds
from keeper.daemon.wiring import Finding, Site
from keeper.errors import Transient
from keeper.model import Call, Holding, Position, Snapshot
from keeper.oracle import feeds, steps
from keeper.oracle.steps import Exposure
from keeper.phrases import health_text
from keeper.risk.assets import ALT, asset
from keeper.seams import Severity
from keeper.units import WAD

CODE = "thin_emergency"
DOLLAR_BAND = 0.02
"""A symbol of which nothing is known is a dollar when its price is this near to one (as thresholds are proposed)."""


def findings(
    guarded: Sequence[Guarded],
    configured: Sequence[PositionSettings],
    snapshot: Snapshot,
    own: Mapping[str, float],
) -> list[Finding]:
    """What ``keeper check`` refuses, and what the owner accepted (INFO). ``own``: feed -> its measured step."""
    accepted = {p.label for p in configured if p.accept_thin_emergency}
    found = [_finding(g, p, own) for g in guarded if (p := snapshot.position(g.id)) is not None]
    return [_accepted(f) if f.subject in accepted else f for f in found if f is not None]


def _accepted(finding: Finding) -> Finding:
    why = f"accepted by accept_thin_emergency: {finding.why}"
    return Finding(severity=Severity.INFO, code=finding.code, subject=finding.subject, why=why)


def _finding(guarded: Guarded, position: Position, own: Mapping[str, float]) -> Finding | None:
    bound = steps.worst(exposures(position, own))
    if bound is None:
        return None
    least = steps.needed(bound)
    emergency_wad = guarded.policy.emergency_wad
    if emergency_wad / WAD >= least:
        return None
    why = (
        f"emergency {health_text(emergency_wad)}: one update of {bound.source} by {100 * bound.step:.1f} % (its "
        f"99.9th percentile) leads from there past 1 before anybody can act; at least {least:.4f} is needed for "
        "this mix: raise emergency, or set accept_thin_emergency on the position"
    )
    return Finding(severity=Severity.CRITICAL, code=CODE, subject=guarded.label, why=why)


def exposures(position: Position, own: Mapping[str, float]) -> tuple[Exposure, ...]:
    """By what moves together: ETH and what follows it as one, each dollar by itself, each staking ratio by itself."""
    if not position.debt:
        return ()
    given, owed = _weights(position.collateral), _weights(position.debt)
    sides = (_shares(given, position), _shares(owed, position))
    widest: dict[str, float] = {}
    for h, _ in (*given, *owed):
        (base, step), *ratio = _sources(h, position)
        widest[base] = max(widest.get(base, 0.0), step, own.get(h.feed, 0.0))
        widest |= dict(ratio)
    return tuple(
        Exposure(source=s, collateral=sides[0].get(s, 0.0), debt=sides[1].get(s, 0.0), step=step)
        for s, step in sorted(widest.items())
    )


def _weights(held: Sequence[Holding]) -> list[tuple[Holding, int]]:
    return [(h, w) for h in held if (w := h.value_base * h.threshold_wad)]


def _shares(held: Sequence[tuple[Holding, int]], position: Position) -> dict[str, float]:
    total = sum(w for _, w in held)
    shares: dict[str, float] = {}
    for h, w in held:
        for source, _ in _sources(h, position):
            shares[source] = shares.get(source, 0.0) + w / total
    return shares


def _sources(holding: Holding, position: Position) -> Iterator[tuple[str, float]]:
    """(what moves the price, how far in one update by the table)."""
    known = asset(holding.amount.token.symbol.split(" (")[0])
    price = holding.price_base / 10**position.base_decimals
    kind = "stable" if known.kind == ALT and abs(price - 1.0) <= DOLLAR_BAND else known.kind
    yield known.base, steps.STEP.get(kind, steps.STEP[ALT])
    if known.ratio:
        yield f"{known.ratio}/{known.base}", steps.RATIO_STEP


async def measured(site: Site, snapshot: Snapshot) -> dict[str, float]:
    """Feed -> the 99.9th percentile of its own last rounds, where it keeps enough of them for anybody to read.

    One that computes its price keeps none; what cannot be read now is judged by the table, so nothing is raised.
    """
    used = {h.feed for p in snapshot.positions for h in (*p.collateral, *p.debt)}
    read = site.camera.reader(snapshot.block)
    found: dict[str, float] = {}
    try:
        named = [n for n in (await named_feeds(site.venues, read))[0] if n.id in used]
        if not named:
            return {}
        newest = await read([Call(target=n.address, data=feeds.LATEST_ROUND) for n in named])
        for i, n in enumerate(named):
            calls = steps.round_calls(n.address, newest.uint(i)) if newest.ok[i] and newest.count[i] else ()
            step = steps.own_step(await read(calls)) if calls else None
            if step is not None:
                found[n.id] = step
    except Transient:
        return found
    return found
