"""The perpetual positions of a book in ``keeper replay``: checked against funding, sailed beside the loans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
    """Each keeper's voyage of them, ``--beside`` before ours, and what is said. ConfigError where funding is given
    and has a hole."""
    if not scene.perps:
        return [], []
    names = _with(scene.other, names)
    paid = {a.index: _paid(asked, a.index, scene.moved) for a in scene.perps}
    held = {a.name: levels.guarding(scene.policy, a.name) or replay_guards.plain(asked) for a in scene.perps}
    voyages, idle = [], [perps.PerpVessel(a, scene.moved, paid[a.index]) for a in scene.perps]
    for name in names:
        trips = [
            _trip(perps.PerpVessel(_of(asked, a, name, scene), scene.moved, paid[a.index]), name, around)
            for a in scene.perps
            for around in ((scene, held[a.name]),)
        ]
        voyages.append(sea.Voyage(keeper=name, trips=tuple(trips)))
    for vessel in idle:
        perp_trips.trip(vessel, ("nobody", perp_trips.Nobody()), scene.shop)
    lines = perp_trips.notes(idle, counted=asked.funding is not None)
    others = [n for n in names if n not in perp_trips.NAMES and n != _beside(scene)]
    if others:
        lines.append(f"{', '.join(others)}: knows no perpetual positions and leaves them alone")
    return voyages, lines + _of_beside(asked, scene)


def _beside(scene: Scene) -> str:
    """The name of ``--beside``, which no keeper of the run has."""
    return scene.other.name if scene.other is not None else ""


def _with(other: Policy | None, names: Sequence[str]) -> list[str]:
    """The keepers in the order in which they are shown."""
    if other is None:
        return list(names)
    ends = [n for n in names if n == "ours"]
    return [*(n for n in names if n != "ours"), other.name, *ends]


def _of(asked: Asked, account: perps.PerpAccount, name: str, scene: Scene) -> perps.PerpAccount:
    """Levels of a configuration are levels of its venue's measure, whatever the other keepers are held to."""
    measured = account.by_price or (name == _beside(scene) and replay_guards.live(asked))
    return replace(account, by_price=measured)


def _of_beside(asked: Asked, scene: Scene) -> list[str]:
    """What is to be known of ``--beside`` where it sails perpetual positions."""
    if scene.other is None:
        return []
    name = scene.other.name
    if live_perps.by_price(scene.other):
        why = "leaves by price, which a replay knows of loans only: it leaves perpetual positions alone"
        return [f"{name} (--beside) {why}"]
    if replay_guards.live(asked) and not scene.perps[0].by_price:
        return [f"{name} (--beside) is held to their venue's measure: its health is not the others'"]
    return []


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
    elif scene.other is not None and name == scene.other.name and not live_perps.by_price(scene.other):
        guard = _ours(vessel, scene.other, scene)
    return perp_trips.trip(vessel, (name, guard), scene.shop)


def _ours(vessel: perps.PerpVessel, policy: Policy, scene: Scene) -> perp_trips.Ours:
    if live_perps.by_price(policy):
        raise usage("--policy", f"{policy.name} leaves by price, which a replay knows of loans only")
    names = perp_trips.for_perps(policy)
    venue = paper_perp.PaperPerps(vessel.account, round(scene.shop.gas_units))
    return perp_trips.Ours(replace(policy, strategies=names), resolve(names), venue)
