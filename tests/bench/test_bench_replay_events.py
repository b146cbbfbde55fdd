"""Does protection work, and what does it cost: real accounts through every crash there is a history of.

``liquidated_ours_<event>``: accounts that liquidators reached under ours, of those that one sale would have rescued
when included at the last oracle update with health at 1 or above, at that moment's gas and market
(``keeper.replay.rescue``: a rule that knows nothing of our planner).

``cost_vs_threshold_keeper_<event>``: everything owners paid under ours (gas, impact, fees, penalties), over the same
under the full-threshold keeper at the best setting of its own grid, or at ours for each account, **on that very
event**: the cheapest with no more liquidations and at least our tail margin (the further fall in one update that 95 %
of the accounts at risk survive at their worst moment), chosen apart for loops of one asset and for all others. Ours
has one rule for every event, frozen before (``tuned`` in ``replay_events``). ``_same_fees`` is that ratio with the
service fees of that keeper left away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from rich.console import Console
from rich.table import Table

from keeper.replay import compare, frontier, levels, rescue, run
from keeper.replay.fleet import Fleet
from keeper.replay.market import Market
from keeper.replay.paths import Paths
from keeper.replay.policies import DEFI_SAVER, FREE, Service, Threshold
from keeper.replay.vessel import Vessel
from keeper.units import wad_float
from tests.bench import replay_events
from tests.bench.figures import record

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(not replay_events.there(), reason="no histories beside the repository"),
]

APART = frontier.grid((1.15, 1.18, 1.21, 1.24, 1.27, 1.30), (0.03, 0.06, 0.15, 0.20, 0.30))
LOOPS = frontier.grid((1.005, 1.01, 1.02, 1.05), (0.01, 0.03))
MARGIN_SLACK = 0.005
"""So much less tail margin is forgiven to the other keeper."""
RATIO_MAX = 0.5
NEAREST = 3
"""Without service fees only its so many cheapest settings are tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One event: our point, the other's grid and its best by kind of account."""

    ours: frontier.Point
    others: Mapping[bool, tuple[frontier.Point, ...]]
    free: float
    rule: rescue.Score
    in_time: int


@pytest.fixture(scope="module")
def points() -> dict[str, tuple[frontier.Point, ...]]:
    """The other keeper's grid on unlike assets, event by event, for the walk-forward at the end."""
    return {}


@pytest.mark.parametrize("event", replay_events.EVENTS, ids=lambda e: e.name)
def test_crash__when_replayed_on_real_accounts__then_none_is_lost_that_could_be_saved(
    event: replay_events.Event, points: dict[str, tuple[frontier.Point, ...]]
) -> None:
    crew, shop = replay_events.accounts(), Market()
    moved = replay_events.moved(event, crew)
    made = compare.makes(compare.NAMES, None, crew.assets, shop)
    sailed = {name: run.voyage(crew, moved, make, shop) for name, make in made.items()}
    risk = frontier.at_risk(sailed["nobody"])
    found = rescue.rescues(
        crew, moved, shop, lambda a: wad_float(levels.thrifty(a).target_wad), sailed["nobody"]
    )
    rule = rescue.score(found, sailed["ours"])
    ours = frontier.point(sailed["ours"], (0.0, 0.0), risk)
    cheapest, same = 0.0, 0.0
    for loops in (False, True):
        part = replay_events.only(crew, loops=loops)
        mine = _of(sailed["ours"], part)
        point = frontier.point(mine, (0.0, 0.0), risk)
        grid = _grid((part, moved, shop), DEFI_SAVER, LOOPS if loops else APART)
        # one setting for all, or the setting that ours has for each account: whichever is cheaper to it
        like_ours = frontier.point(_of(sailed["threshold"], part), (0.0, 0.0), risk)
        cheapest += _best((*grid, like_ours), point)
        near = sorted((p for p in grid if _good(p, point)), key=lambda p: p.whole_usd)[:NEAREST]
        levels_of = [(p.trigger, p.target) for p in near]
        same += _best((*_grid((part, moved, shop), FREE, levels_of), _free((part, moved, shop), risk)), point)
        if not loops:
            points[event.name] = grid
    _told(event, sailed, risk, (rule, cheapest, same))
    print(f"at that update already sent in time: {sum(r.in_time for r in found if not r.why)}")
    evidence = "own_double"
    held = not rule.liquidated
    record(
        f"liquidated_ours_{event.name}",
        len(rule.liquidated),
        unit="accounts",
        bound="0",
        holds=held,
        evidence=evidence,
        n=rule.rescuable,
    )
    ratio = ours.whole_usd / cheapest
    record(
        f"cost_vs_threshold_keeper_{event.name}",
        round(ratio, 3),
        unit="share" + (" (tuned on it)" if event.tuned else ""),
        bound=f"<= {RATIO_MAX:g}",
        holds=ratio <= RATIO_MAX,
        evidence=evidence,
        n=len(risk),
    )
    record(
        f"cost_vs_threshold_keeper_same_fees_{event.name}",
        round(ours.whole_usd / same, 3),
        unit="share",
        evidence=evidence,
        n=len(risk),
    )
    assert held


def test_threshold_keeper__when_tuned_on_the_past__then_judged_on_what_came_after(
    points: dict[str, tuple[frontier.Point, ...]],
) -> None:
    table = Table(
        "judged on", "trained on", "trigger -> target", "liquidated", "paid USD", "in hindsight USD"
    )
    for fold in frontier.walk(points):
        chosen = fold.chosen
        table.add_row(
            fold.tested,
            str(len(fold.trained)),
            f"{chosen.trigger:g} -> {chosen.target:g}",
            str(chosen.liquidated),
            f"{chosen.whole_usd:,.0f}",
            f"{fold.hindsight.whole_usd:,.0f} ({fold.hindsight.trigger:g} -> {fold.hindsight.target:g})",
        )
    Console(width=120).print(table)


def _grid(
    on: tuple[Fleet, Paths, Market], service: Service, settings: Sequence[tuple[float, float]]
) -> tuple[frontier.Point, ...]:
    crew, moved, shop = on
    nobody = run.voyage(crew, moved, compare.makes(["nobody"], None, crew.assets, shop)["nobody"], shop)

    def sail(trigger: float, target: float) -> run.Voyage:
        return run.voyage(
            crew, moved, lambda _: Threshold(trigger=trigger, target=target, service=service), shop
        )

    return frontier.swept(sail, settings, frontier.at_risk(nobody), lambda _: None)


def _free(on: tuple[Fleet, Paths, Market], risk: frozenset[str]) -> frontier.Point:
    """The other keeper at each account's own levels, without service fees."""
    crew, moved, shop = on

    def make(vessel: Vessel) -> Threshold:
        own = levels.thrifty(vessel.account)
        return Threshold(trigger=wad_float(own.trigger_wad), target=wad_float(own.target_wad), service=FREE)

    return frontier.point(run.voyage(crew, moved, make, shop), (0.0, 0.0), risk)


def _good(other: frontier.Point, mine: frontier.Point) -> bool:
    """Whether another's setting is no worse than ours: liquidations, and tail margin but for the slack."""
    least = mine.gap if mine.gap == mine.gap else -1.0
    return bool(frontier.best([other], mine.liquidated, least - MARGIN_SLACK))


def _best(grid: Sequence[frontier.Point], mine: frontier.Point) -> float:
    """What the other pays at its best setting that is no worse; +inf where none is."""
    return min((p.whole_usd for p in grid if _good(p, mine)), default=float("inf"))


def _of(sailed: run.Voyage, part: Fleet) -> run.Voyage:
    names = {a.name for a in part.accounts}
    return run.Voyage(
        keeper=sailed.keeper, trips=tuple(t for t in sailed.trips if t.name in names), usd=sailed.usd
    )


def _told(
    event: replay_events.Event,
    sailed: Mapping[str, run.Voyage],
    risk: frozenset[str],
    judged: tuple[rescue.Score, float, float],
) -> None:
    rule, cheapest, same = judged
    title = f"{event.name}{' (tuned on it)' if event.tuned else ''}: {event.first} to {event.last}"
    table = Table(
        "keeper", "liquidated", "lost", "acts", "refused", "cost", "gas", "all", "margin 5 %", title=title
    )
    for name, voyage in sailed.items():
        row = compare.row(voyage)
        money = [f"{x:,.0f}" for x in (row.lost_usd, row.cost_usd, row.gas_usd, row.whole_usd)]
        gap = frontier.point(voyage, (0.0, 0.0), risk).gap
        table.add_row(
            name,
            str(row.liquidated),
            money[0],
            str(row.acts),
            str(row.failed),
            *money[1:],
            f"{100.0 * gap:.1f} %",
        )
    console = Console(width=130)
    console.print(table)
    why = "; ".join(f"{n} {w}" for w, n in rule.excluded) or "nobody"
    console.print(
        f"{len(risk)} at risk, {rule.crossing} cross, {rule.rescuable} rescuable (excluded: {why}); of them "
        f"liquidated under ours {len(rule.liquidated)} ({rule.failures} failed acts, {rule.gaps} policy gaps); "
        f"threshold keeper at its best on this event {cheapest:,.0f} USD, without service fees {same:,.0f}; "
        f"clairvoyant bound {rule.bound_usd:,.0f}, our regret {rule.regret_usd:,.0f}"
    )
