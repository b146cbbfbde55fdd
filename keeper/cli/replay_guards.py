"""By which policies ``keeper replay`` goes: the one that guards each position of a configuration, or one for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from keeper.cli import replay_figure
from keeper.cli.endings import usage
from keeper.decision.tighten import wants_warning
from keeper.model import Policy
from keeper.replay import fleet, levels
from keeper.replay.perps import PerpAccount

if TYPE_CHECKING:
    from keeper.cli.replay import Asked
    from keeper.cli.replayed import Scene

TRIGGER, TARGET = 1.25, 1.40
NAMED_MAX = 4
"""Positions of one policy that are named in its line; the JSON names each."""
PAYS = ("repay", "add_collateral")
"""Strategies that pay from the keeper's wallet."""
RESERVES = ("repay_from_reserve", "supply_from_reserve")
"""Strategies that pay from what an owner's Executor holds."""


def live(asked: Asked) -> bool:
    """Whether the positions are those of the configuration, as they stand."""
    return asked.accounts is None and asked.book is None


def own(asked: Asked) -> bool:
    """Whether each position is held to the policy that guards it: a configuration's, where nothing else is given."""
    given = asked.policy or asked.own_levels or asked.trigger is not None or asked.target is not None
    return live(asked) and not given and not asked.sweep


def one(asked: Asked) -> Policy | None:
    """The policy that all are held to; None with --own-levels, and where each has its own. Exit 2."""
    if asked.own_levels and asked.policy:
        raise usage("--own-levels", "give either --own-levels or --policy, not both")
    if asked.own_levels or own(asked):
        return None
    return replay_figure.named("--policy", asked.policy, asked.config) if asked.policy else plain(asked)


def plain(asked: Asked) -> Policy:
    """What --trigger and --target make. Exit 2 where they cannot be."""
    trigger = TRIGGER if asked.trigger is None else asked.trigger
    target = TARGET if asked.target is None else asked.target
    if not 1.0 < trigger < target <= 100.0:
        raise usage("--trigger", f"{trigger:g} must be above 1 and below --target {target:g}")
    return levels.plain(trigger, target)


def chained(scene: Scene) -> Policy | None:
    """The policy that a chain plays, which knows one at a time. Exit 2 where the loans have several."""
    rule = scene.policy
    if rule is None or isinstance(rule, Policy):
        return rule
    found = {p.name: p for a in scene.crew.accounts for p in (rule[a.name],)}
    if len(found) > 1:
        raise usage(
            "--chain",
            f"plays one policy at a time, and the configuration guards by {', '.join(found)}: give --policy NAME, or "
            "--trigger and --target",
        )
    return next(iter(found.values()))


def names(asked: Asked, scene: Scene) -> Mapping[str, str]:
    """Position -> the configuration's policy that holds it; empty where none does."""
    rule = scene.policy
    if isinstance(rule, Policy):
        return dict.fromkeys(_all(scene.crew, scene.perps), rule.name) if asked.policy else {}
    return {} if rule is None else {name: rule[name].name for name in _all(scene.crew, scene.perps)}


def said(asked: Asked, rule: levels.Rule, crew: fleet.Fleet, bets: Sequence[PerpAccount]) -> list[str]:
    """Which policies hold how many of a configuration's positions, and what of them a replay has not."""
    alone = _pairs(asked, _all(crew, bets)) if live(asked) else []
    if live(asked) and asked.sweep:
        grid = "a sweep tries its grid on every position, whatever policy of the configuration guards it"
        return [grid, *alone]
    lines = []
    if rule is not None and not isinstance(rule, Policy):
        by: dict[str, list[str]] = {}
        for name in _all(crew, bets):
            by.setdefault(rule[name].name, []).append(name)
        told = "; ".join(f"{policy}: {len(them)} ({_some(them)})" for policy, them in by.items())
        lines = [f"each position is replayed under the policy that guards it: {told}"]
    other = replay_figure.beside(asked)
    loans, perps = (
        [p for n in names for p in (levels.guarding(rule, n), other) if p is not None]
        for names in ([a.name for a in crew.accounts], [b.name for b in bets])
    )
    return [*lines, *alone, *_lacks(asked, loans, perps)]


def _lacks(asked: Asked, loans: Sequence[Policy], perps: Sequence[Policy]) -> list[str]:
    """Ways of the policies that nothing is there for in this run, each named."""
    every = [*loans, *perps]
    unpaid = [p for p in loans if {*PAYS} & {*p.strategies}] if not asked.wallet else []
    unwarned = [p for p in every if wants_warning(p)] if asked.funding is None else []
    unpegged = [p for p in loans if p.depeg_ppm] if not asked.peg else []
    found = (
        (
            unpaid,
            f"pays from the keeper's wallet ({', '.join(PAYS)}), and here there is none: --wallet TOKENS gives each "
            "position one",
        ),
        (
            [p for p in loans if {*RESERVES} & {*p.strategies}],
            f"pays from an Executor's reserve and its owner's grant ({', '.join(RESERVES)}), which a replay has not",
        ),
        (
            [p for p in perps if "stop_on_venue" in p.strategies],
            "leaves a stop on the venue (stop_on_venue), which a replay does not play",
        ),
        (
            unwarned,
            "moves its levels with the early warning, and here it never stands: --funding FILE tells it",
        ),
        (unpegged, "asks markets of a stable (depeg_pct), and here none says anything: --peg names them"),
    )
    return [f"policy {', '.join(sorted({p.name for p in some}))} {what}" for some, what in found if some]


def _pairs(asked: Asked, names: Sequence[str]) -> list[str]:
    """The configuration's pairs of which a leg is replayed."""
    from keeper.config import load

    told = [f"{p.loan} and {p.short}" for p in load(asked.config).pairs if {p.loan, p.short} & {*names}]
    if not told:
        return []
    return [
        f"[[pairs]] are not played ({_some(told)}): a loan and its hedge each go alone at their own policies' "
        "levels, which are no lower while the hedge covers, and no profit of it repays"
    ]


def counted(held: Mapping[str, str]) -> dict[str, int]:
    """How many positions each policy holds."""
    return dict(Counter(held.values()))


def policies(rule: levels.Rule) -> tuple[Policy, ...]:
    """Every one of the configuration or of the options."""
    if rule is None:
        return ()
    return (rule,) if isinstance(rule, Policy) else tuple(rule.values())


def _all(crew: fleet.Fleet, bets: Sequence[PerpAccount]) -> list[str]:
    return [*(a.name for a in crew.accounts), *(b.name for b in bets)]


def _some(them: Sequence[str]) -> str:
    shown = ", ".join(them[:NAMED_MAX])
    return shown if len(them) <= NAMED_MAX else f"{shown} and {len(them) - NAMED_MAX} more"
