"""``keeper replay --sweep``: what each trigger and target comes to, and what the past alone would choose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from keeper.cli import progress, replaying, subject, table
from keeper.cli.endings import usage
from keeper.cli.replayed import Scene, drawn, numbers, write
from keeper.replay import compare, frontier, levels, paths
from keeper.replay import run as sea
from keeper.replay.frontier import Forward, Point

if TYPE_CHECKING:
    from keeper.cli.replay import Asked

POINTS = ("keeper", "trigger", "target", "liquidated", "paid USD", "acts", "margin 5 %")
MOMENTS_MIN = 2
"""Of a part: one of a single moment has no move to judge by."""
FORWARD = ("keeper", "judged on part", "trigger", "target", "liquidated", "paid USD", "in hindsight USD")


def run(asked: Asked, scene: Scene, names: Sequence[str]) -> int:
    """The exit code: 0, for a sweep is a search and no verdict."""
    grid = settings(asked)
    swept = [n for n in names if n in ("threshold", "ours")]
    if not swept:
        raise usage("--keepers", "a sweep needs threshold or ours among them")
    if asked.folds > 1 and (count := len(scene.moved.bar)) < asked.folds * MOMENTS_MIN:
        raise usage(
            "--folds",
            f"{asked.folds} parts of {count} moments leave some with less than {MOMENTS_MIN}: at most "
            f"{max(1, count // MOMENTS_MIN)} here",
        )
    parts = [scene.moved, *(cut(scene.moved, n, asked.folds) for n in range(asked.folds))]
    found: dict[str, list[tuple[Point, ...]]] = {}
    with progress.bar(len(swept) * len(parts) * len(grid), "sweep") as advance:
        for name in swept:
            found[name] = [_swept(scene, part, (name, grid), advance) for part in parts]
    walked = {
        name: frontier.walk({f"{n + 1} of {asked.folds}": p for n, p in enumerate(points[1:])})
        for name, points in found.items()
    }
    if asked.json:
        notes = list(scene.moved.notes)
        print(table.document({**document(found, walked), "notes": notes}))
    else:
        _show(found, walked, scene, asked.folds)
    if asked.report is not None:
        _report(asked, scene, found, forward(walked))
    return 0


def forward(walked: dict[str, tuple[Forward, ...]]) -> tuple[str, ...]:
    """The walk-forward in words: what the parts before would have chosen, and what came of it."""
    return tuple(
        f"{name}, part {fold.tested}: the parts before it would have chosen {fold.chosen.trigger:g} -> "
        f"{fold.chosen.target:g}: {fold.chosen.liquidated} liquidated, {fold.chosen.whole_usd:,.0f} USD; best in "
        f"hindsight {fold.hindsight.trigger:g} -> {fold.hindsight.target:g}: {fold.hindsight.liquidated} liquidated, "
        f"{fold.hindsight.whole_usd:,.0f} USD"
        for name, folded in walked.items()
        for fold in folded
    )


def settings(asked: Asked) -> tuple[tuple[float, float], ...]:
    """The grid."""
    grid = frontier.grid(numbers("--triggers", asked.triggers), numbers("--widths", asked.widths))
    wrong = [t for t, target in grid if not 1.0 < t < target]
    if wrong:
        raise usage("--triggers", f"{wrong[0]:g} must be above 1, and each of --widths above 0")
    return grid


def cut(moved: paths.Paths, part: int, parts: int) -> paths.Paths:
    """One of equal parts of a history; every account begins it as it began the whole, at the part's first prices."""
    count = len(moved.bar)
    first, last = count * part // parts, count * (part + 1) // parts
    said, traded = moved.said[:, first:last], moved.market[:, first:last]
    start = said[:, :1]
    return replace(
        moved,
        said=np.ascontiguousarray(said / start),
        market=np.ascontiguousarray(traded / start),
        bar=moved.bar[first:last],
        usd=moved.usd * start[:, 0],
    )


def _swept(
    scene: Scene, part: paths.Paths, on: tuple[str, Sequence[tuple[float, float]]], advance: object
) -> tuple[Point, ...]:
    name, grid = on
    crew, shop = scene.crew, scene.shop
    nobody = compare.makes(["nobody"], scene.policy, crew.assets, shop)["nobody"]
    risk = frontier.at_risk(sea.voyage(crew, part, nobody, shop))

    def sail(trigger: float, target: float) -> sea.Voyage:
        policy = levels.plain(trigger, target)
        return sea.voyage(crew, part, compare.makes([name], policy, crew.assets, shop)[name], shop)

    assert callable(advance)
    return frontier.swept(sail, grid, risk, lambda _: advance(1))


def _show(
    found: dict[str, list[tuple[Point, ...]]],
    walked: dict[str, tuple[Forward, ...]],
    scene: Scene,
    folds: int,
) -> None:
    rows = [
        (
            name,
            f"{p.trigger:g}",
            f"{p.target:g}",
            str(p.liquidated),
            f"{p.whole_usd:,.0f}",
            str(p.acts),
            "-" if math.isnan(p.gap) else f"{100.0 * p.gap:.1f} %",
        )
        for name, points in found.items()
        for p in frontier.efficient(points[0])
    ]
    table.show(POINTS, rows)
    subject.say("above: settings that no other beats on the whole history; below: chosen on the parts before")
    table.show(
        FORWARD,
        [
            (
                name,
                fold.tested,
                f"{fold.chosen.trigger:g}",
                f"{fold.chosen.target:g}",
                str(fold.chosen.liquidated),
                f"{fold.chosen.whole_usd:,.0f}",
                f"{fold.hindsight.whole_usd:,.0f} ({fold.hindsight.trigger:g} -> {fold.hindsight.target:g})",
            )
            for name, folded in walked.items()
            for fold in folded
        ],
    )
    for line in replaying.said(scene.read, scene.crew, scene.moved, ()):
        subject.say(line)
    if folds < 2:
        subject.say("one part: nothing was chosen on the past; --folds 4 judges settings on what came after")


def document(
    found: dict[str, list[tuple[Point, ...]]], walked: dict[str, tuple[Forward, ...]]
) -> dict[str, object]:
    """The sweep as JSON."""
    return {
        "sweep": [
            {
                "keeper": name,
                "points": [point(p) for p in points[0]],
                "efficient": [point(p) for p in frontier.efficient(points[0])],
                "forward": [
                    {
                        "tested": f.tested,
                        "trained": list(f.trained),
                        "chosen": point(f.chosen),
                        "hindsight": point(f.hindsight),
                    }
                    for f in walked[name]
                ],
            }
            for name, points in found.items()
        ]
    }


def point(p: Point) -> dict[str, object]:
    """One setting as JSON."""
    return {
        "trigger": p.trigger,
        "target": p.target,
        "liquidated": p.liquidated,
        "whole_usd": p.whole_usd,
        "lost_usd": p.lost_usd,
        "acts": p.acts,
        "gap": subject.number(p.gap),
    }


def _report(
    asked: Asked, scene: Scene, found: dict[str, list[tuple[Point, ...]]], told: tuple[str, ...]
) -> None:
    from keeper.replay.page import Story, page

    assert asked.report is not None
    names = list(found)
    story = Story(
        title=f"Sweep of {', '.join(names)} over {', '.join(scene.read.symbols)}",
        said=(*replaying.said(scene.read, scene.crew, scene.moved, ()), *told),
        rows=(),
        paths=scene.moved,
        shown=(),
        assets=drawn(scene.moved),
        frontiers=tuple((name, points[0]) for name, points in found.items()),
        notes=scene.moved.notes,
    )
    write(asked.report, page(story))
