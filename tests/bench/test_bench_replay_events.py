"""Does protection work, and what does it cost: real accounts through every crash there is a history of.

``liquidated_ours_<event>``: accounts that liquidators reached under ours, of those that one sale would have rescued
when included at the last oracle update with health at 1 or above, at that moment's gas and market
(``keeper.replay.rescue``: a rule that knows nothing of our planner).

``cost_vs_threshold_keeper_<event>``: everything owners paid under ours (gas, impact, fees, penalties), over the same
under the full-threshold keeper **at equal tail margin** (the further fall in one update that 95 % of the accounts at
risk survive at their worst moment) on its own frontier **on that very event**: of all its settings that leave no
more to liquidators the lower hull of cost over margin is taken, and read off at our margin less half a per cent, so
that it pays for no more safety than ours gave. Apart for loops of one asset and for all others. Its settings: one
trigger and target for all, down to where it loses accounts; and our level of each account, also nearer to 1 by a
share. Ours has one rule for every event, frozen before (``tuned`` in ``replay_events``).

The bound is asserted of the nine events that were not looked at before. It is missed on the three tuned ones
(``holds`` false in the figures): there what we order reverts most often, and what reverts is paid for by us, while
the other keeper's service bears it.

``_no_less_margin``: the cheapest setting there is with at least that margin, without a hull. ``_any_margin``: the
cheapest that leaves no more to liquidators, whatever its margin. ``_same_fees``: at no less margin, its service fees
left away. Settings and margins are printed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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

APART = frontier.grid((1.05, 1.08, 1.12, 1.15, 1.18, 1.21, 1.24, 1.27, 1.30), (0.03, 0.06, 0.15, 0.20, 0.30))
LOOPS = frontier.grid((1.005, 1.01, 1.02, 1.05), (0.01, 0.03))
SHARES = (0.4, 0.6, 0.8, 1.0)
"""Of the way from 1 to our levels of each account."""
MARGIN_SLACK = 0.005
"""So much less tail margin is forgiven to the other keeper."""
RATIO_MAX = 0.5
NEAREST = 3
"""Without service fees only its so many cheapest settings are tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One of the other keeper's: a trigger and target for all, or ``share`` of the way to our own of each account."""

    trigger: float = 0.0
    target: float = 0.0
    share: float = 0.0

    def of(self, vessel: Vessel) -> tuple[float, float]:
        """(trigger, target) of one account."""
        if not self.share:
            return self.trigger, self.target
        own = levels.thrifty(vessel.account)
        trigger, target = wad_float(own.trigger_wad), wad_float(own.target_wad)
        return 1.0 + self.share * (trigger - 1.0), 1.0 + self.share * (target - 1.0)

    def __str__(self) -> str:
        if not self.share:
            return f"{self.trigger:g} -> {self.target:g}"
        return f"{self.share:g} of the way to our levels"


Tried = Mapping[Setting, frontier.Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Loops or all others in one event: our point, and what the other keeper's settings come to."""

    name: str
    mine: frontier.Point
    tried: Tried
    free: Tried
    """Its cheapest settings, without service fees."""

    def cheapest(self, tried: Tried, *, margin: bool) -> tuple[Setting, frontier.Point] | None:
        """The cheapest that leaves no more to liquidators, and keeps our margin where that is asked."""
        return min(
            ((s, p) for s, p in tried.items() if no_worse(p, self.mine, margin=margin)),
            key=lambda x: x[1].whole_usd,
            default=None,
        )

    def paid(self, tried: Tried, *, margin: bool) -> float:
        """What the other pays there; +inf where no setting is no worse."""
        found = self.cheapest(tried, margin=margin)
        return math.inf if found is None else found[1].whole_usd

    def level(self) -> float:
        """What the other pays at our margin but for the slack, by the lower hull of its settings."""
        kept = [p for p in self.tried.values() if no_worse(p, self.mine, margin=False)]
        return frontier.at_margin(kept, self.mine.gap - MARGIN_SLACK)


def no_worse(other: frontier.Point, mine: frontier.Point, *, margin: bool) -> bool:
    """Whether another's setting is no worse than ours: liquidations, and tail margin but for the slack."""
    least = mine.gap - MARGIN_SLACK if margin and math.isfinite(mine.gap) else -math.inf
    return frontier.best([other], mine.liquidated, least) is not None


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
    parts = [
        _part((replay_events.only(crew, loops=loops), moved, shop), sailed["ours"], risk, loops=loops)
        for loops in (False, True)
    ]
    points[event.name] = tuple(p for s, p in parts[0].tried.items() if not s.share)
    equal, cheapest = sum(p.level() for p in parts), sum(p.paid(p.tried, margin=True) for p in parts)
    bold = sum(p.paid(p.tried, margin=False) for p in parts)
    same = sum(p.paid(p.free, margin=True) for p in parts)
    _told(event, sailed, risk, (rule, equal, same))
    _picked(parts)
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
    ratio = ours.whole_usd / equal
    record(
        f"cost_vs_threshold_keeper_{event.name}",
        round(ratio, 3),
        unit="share" + (" (tuned on it)" if event.tuned else ""),
        bound=f"<= {RATIO_MAX:g}",
        holds=ratio <= RATIO_MAX,
        evidence=evidence,
        n=len(risk),
    )
    for name, paid in (("no_less_margin", cheapest), ("any_margin", bold), ("same_fees", same)):
        record(
            f"cost_vs_threshold_keeper_{name}_{event.name}",
            round(ours.whole_usd / paid, 3),
            unit="share",
            evidence=evidence,
            n=len(risk),
        )
    assert held
    # what it was tuned on proves nothing about it: there the figure says that its bound is missed
    assert event.tuned or ratio <= RATIO_MAX


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


def _part(on: tuple[Fleet, Paths, Market], ours: run.Voyage, risk: frozenset[str], *, loops: bool) -> Part:
    mine = frontier.point(_of(ours, on[0]), (0.0, 0.0), risk)
    settings = [Setting(trigger=t, target=g) for t, g in (LOOPS if loops else APART)]
    settings += [Setting(share=s) for s in SHARES]
    tried = _tried(on, (DEFI_SAVER, settings), risk)
    near = sorted(
        (s for s in tried if no_worse(tried[s], mine, margin=True)), key=lambda s: tried[s].whole_usd
    )
    return Part(
        name="loops of one asset" if loops else "all others",
        mine=mine,
        tried=tried,
        free=_tried(on, (FREE, dict.fromkeys((*near[:NEAREST], Setting(share=1.0)))), risk),
    )


def _tried(
    on: tuple[Fleet, Paths, Market], how: tuple[Service, Iterable[Setting]], risk: frozenset[str]
) -> Tried:
    (crew, moved, shop), (service, settings) = on, how

    def sail(setting: Setting) -> run.Voyage:
        def make(vessel: Vessel) -> Threshold:
            trigger, target = setting.of(vessel)
            return Threshold(trigger=trigger, target=target, service=service)

        return run.voyage(crew, moved, make, shop)

    return {s: frontier.point(sail(s), (s.trigger, s.target), risk) for s in settings}


def _picked(parts: Sequence[Part]) -> None:
    """Which settings the other keeper is held by, with both margins."""
    table = Table("accounts", "keeper", "setting", "liquidated", "all", "margin 5 %")
    for part in parts:
        rows: list[tuple[str, tuple[object, frontier.Point]]] = [("ours", ("each account's own", part.mine))]
        rows += [
            (name, found)
            for name, found in (
                ("threshold, no less margin", part.cheapest(part.tried, margin=True)),
                ("threshold, any margin", part.cheapest(part.tried, margin=False)),
                ("threshold, free, no less margin", part.cheapest(part.free, margin=True)),
            )
            if found is not None
        ]
        print(f"{part.name}: on the other's frontier at our margin {part.level():,.0f} USD")
        for name, (setting, point) in rows:
            gap = f"{100.0 * point.gap:.2f} %"
            table.add_row(
                part.name, name, str(setting), str(point.liquidated), f"{point.whole_usd:,.0f}", gap
            )
    Console(width=130).print(table)


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
    rule, equal, same = judged
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
        f"threshold keeper on its frontier at our margin {equal:,.0f} USD, without service fees {same:,.0f}; "
        f"clairvoyant bound {rule.bound_usd:,.0f}, our regret {rule.regret_usd:,.0f}"
    )
