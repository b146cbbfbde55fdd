"""The perpetual positions of a book in ``keeper replay``: checked against funding, sailed beside the loans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keeper.cli import replay_guards
from keeper.cli.endings import usage
from keeper.replay import levels, live_perps, omens, paper_perp, perp_trips, perps
from keeper.replay import run as sea
from keeper.risk.assets import asset
from keeper.units import wad_float
from strategies.registry import resolve

if TYPE_CHECKING:
    from keeper.cli.replay import Asked
    from keeper.cli.replayed import Scene
    from keeper.model import Policy
    from keeper.replay.paths import Paths


def sailed(asked: Asked, scene: Scene, names: Sequence[str]) -> tuple[list[sea.Voyage], list[str]]:
    """Each keeper's voyage of them, and what is said. ConfigError where funding is given and has a hole."""
    if not scene.perps:
        return [], []
    paid = {a.index: _paid(asked, a.index, scene.moved) for a in scene.perps}
    held = {a.name: levels.guarding(scene.policy, a.name) or replay_guards.plain(asked) for a in scene.perps}
    voyages, idle = [], [perps.PerpVessel(a, scene.moved, paid[a.index]) for a in scene.perps]
    for name in names:
        trips = [
            _trip(perps.PerpVessel(a, scene.moved, paid[a.index]), name, (scene, held[a.name]))
            for a in scene.perps
        ]
        voyages.append(sea.Voyage(keeper=name, trips=tuple(trips)))
    for vessel in idle:
        perp_trips.trip(vessel, ("nobody", perp_trips.Nobody()), scene.shop)
    lines = perp_trips.notes(idle, counted=asked.funding is not None)
    others = [n for n in names if n not in perp_trips.NAMES]
    if others:
        lines.append(f"{', '.join(others)}: knows no perpetual positions and leaves them alone")
    return voyages, lines


def joined(loans: Sequence[sea.Voyage], bets: Sequence[sea.Voyage]) -> list[sea.Voyage]:
    """One voyage a keeper, loans first."""
    if not loans:
        return list(bets)
    more = {v.keeper: v.trips for v in bets}
    return [sea.Voyage(keeper=v.keeper, trips=(*v.trips, *more.get(v.keeper, ())), usd=v.usd) for v in loans]


def _paid(asked: Asked, index: str, moved: Paths) -> omens.Funding | None:
    if asked.funding is None:
        return None
    name = asset(index).base
    found = omens.funding(asked.funding, name)
    perps.covered(asked.funding, name, found, perps.times_of(moved))
    return found


def _trip(vessel: perps.PerpVessel, name: str, around: tuple[Scene, Policy]) -> sea.Trip:
    scene, policy = around
    guard: perp_trips.Guards = perp_trips.Nobody()
    if name == "threshold":
        line, target = wad_float(policy.trigger_wad), wad_float(policy.target_wad)
        guard = perp_trips.Threshold(line=line, target=target)
    elif name == "ours":
        guard = _ours(vessel, policy, scene)
    return perp_trips.trip(vessel, (name, guard), scene.shop)


def _ours(vessel: perps.PerpVessel, policy: Policy, scene: Scene) -> perp_trips.Ours:
    from dataclasses import replace

    if live_perps.by_price(policy):
        raise usage("--policy", f"{policy.name} leaves by price, which a replay knows of loans only")
    names = perp_trips.for_perps(policy)
    venue = paper_perp.PaperPerps(vessel.account, round(scene.shop.gas_units))
    return perp_trips.Ours(replace(policy, strategies=names), resolve(names), venue)
