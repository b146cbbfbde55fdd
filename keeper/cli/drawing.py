"""Pictures of shocks by matplotlib: a ladder, a two-factor heat map, named shocks. Loaded only for ``--plot``.

Read by colour-blind people and on grey paper: lines differ by dash and marker as well as colour, a heat map
runs from dark to light and says its numbers, what is liquidatable is hatched.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keeper.errors import ConfigError
from keeper.risk.estimate import EXTRA

if TYPE_CHECKING:
    from keeper.risk.portfolio import ShockResult

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
"""Okabe and Ito (2008): told apart by every kind of colour blindness."""
DASHES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX*"
DRAWN = len(COLOURS)
"""Positions with a line of their own; the rest of a large book is one band."""
TOP = 3.0
"""Health above this is drawn at the edge: what matters lies near 1."""
CELLS_MAX = 400
"""A heat map with more cells says its numbers by colour only."""
SUFFIXES = (".svg", ".png")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is drawn: positions by name, ``now`` and the shocks in order, (level, health) lines, a subtitle."""

    names: tuple[str, ...]
    now: ShockResult
    shocks: tuple[ShockResult, ...]
    levels: tuple[tuple[str, float], ...]
    subtitle: str


def ladder(path: Path, scene: Scene, asset: str, moves: Sequence[float]) -> None:
    """Health of each position while one asset moves; ``moves`` relative, one a shock."""
    figure, axes = _page(scene, f"Health when {_named(asset)} moves", (9.5, 5.2))
    order = sorted(range(len(moves)), key=lambda s: moves[s])
    x = [100.0 * moves[s] for s in order]
    drawn, rest = _chosen(scene)
    for i, u in enumerate(drawn):
        axes.plot(x, [_height(scene.shocks[s].health[u]) for s in order], **_style(i), label=_label(scene, u))
    if rest:
        heights = [[_height(scene.shocks[s].health[u]) for u in rest] for s in order]
        low, high = [_least(h) for h in heights], [_most(h) for h in heights]
        axes.fill_between(x, low, high, color="#999999", alpha=0.35, label=f"{len(rest)} more positions")
    axes.set_xlabel(f"move of {_named(asset)} from its price now (%)")
    axes.set_xlim(min(x), max(x) if max(x) > min(x) else min(x) + 1.0)
    axes.axvline(0.0, color="#666666", linewidth=0.8)
    _health_axis(axes.set_ylabel, axes.set_ylim, scene)
    _limits(axes.axhline, axes.axhspan, scene)
    _saved(figure, axes, path, scene)


def named(path: Path, scene: Scene) -> None:
    """Health of each position under each named shock, one row a shock."""
    figure, axes = _page(scene, "Health under named shocks", (9.5, 1.9 + 0.42 * len(scene.shocks)))
    rows = range(len(scene.shocks))
    drawn, rest = _chosen(scene)
    for i, u in enumerate(drawn):
        style = {**_style(i), "linestyle": "none"}
        axes.plot([_height(r.health[u]) for r in scene.shocks], rows, **style, label=_label(scene, u))
    if rest:
        heights = [[_height(r.health[u]) for u in rest] for r in scene.shocks]
        left = [_least(h) for h in heights]
        width = [_most(h) - _least(h) for h in heights]
        axes.barh(
            rows,
            width,
            left=left,
            height=0.5,
            color="#999999",
            alpha=0.35,
            label=f"{len(rest)} more positions",
        )
    axes.set_yticks(list(rows), [r.name for r in scene.shocks])
    axes.set_ylim(len(scene.shocks) - 0.5, -0.5)
    axes.grid(axis="y", linewidth=0.4)
    _health_axis(axes.set_xlabel, axes.set_xlim, scene)
    _limits(axes.axvline, axes.axvspan, scene)
    _saved(figure, axes, path, scene)


def heat_map(path: Path, scene: Scene, assets: tuple[str, str], moves: Sequence[float]) -> None:
    """Lowest health of the book in every cell; rows move the first asset, columns the second."""
    n = len(moves)
    side = min(14.0, 2.6 + 0.55 * n)
    figure, axes = _page(
        scene, f"Lowest health of the book: {assets[0]} against {assets[1]}", (side + 1.6, side)
    )
    order = sorted(range(n), key=lambda i: moves[i])
    low = [[_lowest(scene.shocks[i * n + j]) for j in order] for i in order]
    finite = [
        [min(max(h, 0.0), TOP) if math.isfinite(h) else TOP if h > 0 else 0.0 for h in line] for line in low
    ]
    image = axes.imshow(finite, origin="lower", cmap="cividis", vmin=0.5, vmax=1.75, aspect="equal")
    for i in range(n):
        for j in range(n):
            _cell(axes, (j, i), low[i][j], n)
    percents = [f"{100 * moves[i]:+.4g}" if moves[i] else "0" for i in order]
    axes.set_xticks(range(n), percents, rotation=90 if n > 12 else 0)
    axes.set_yticks(range(n), percents)
    axes.set_xlabel(f"move of {_named(assets[1])} (%)")
    axes.set_ylabel(f"move of {_named(assets[0])} (%)")
    bar = figure.colorbar(image, ax=axes, extend="both", shrink=0.85)
    bar.set_label("lowest health of any position")
    bar.ax.axhline(1.0, color="#D55E00", linewidth=2.0)
    note = "hatched: liquidatable (below 1)    ?: a position cannot be judged    -: nothing to cover"
    figure.text(0.01, 0.01, note, fontsize=8, color="#444444")
    _write(figure, path)


def _cell(axes: Any, at: tuple[int, int], health: float, n: int) -> None:
    patches: Any = importlib.import_module("matplotlib.patches")
    box = {"xy": (at[0] - 0.5, at[1] - 0.5), "width": 1.0, "height": 1.0, "linewidth": 0.0}
    if math.isnan(health):
        axes.add_patch(patches.Rectangle(**box, facecolor="#DDDDDD"))
    elif health < 1.0:
        axes.add_patch(patches.Rectangle(**box, fill=False, hatch="///", edgecolor="#D55E00"))
    if n * n <= CELLS_MAX:
        dark = health < 1.25
        text = "?" if math.isnan(health) else "-" if health == math.inf else f"{min(health, 99.0):.2f}"
        backdrop = {
            "boxstyle": "round,pad=0.12",
            "linewidth": 0.0,
            "facecolor": "#1B2A49" if dark else "none",
        }
        plain = math.isnan(health) or not dark
        axes.text(
            *at,
            text,
            ha="center",
            va="center",
            fontsize=8,
            color="black" if plain else "white",
            bbox=None if plain else backdrop,
        )


def _page(scene: Scene, title: str, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure with its title and subtitle, and axes. ConfigError when the library is missing."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
        module: Any = importlib.import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise ConfigError((f"--plot needs matplotlib, which the extra installs: {EXTRA}",)) from error
    # the same picture is the same file
    matplotlib.rcParams["svg.hashsalt"] = "keeper"
    figure = module.Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(rect=(0.0, 0.03, 1.0, 0.96))
    axes = figure.add_subplot()
    axes.set_title(f"{title}\n", loc="left", fontsize=13, fontweight="bold")
    axes.text(0.0, 1.015, scene.subtitle, transform=axes.transAxes, fontsize=9, color="#444444")
    return figure, axes


def _health_axis(label: Any, limits: Any, scene: Scene) -> None:
    everything = [h for r in scene.shocks for h in map(_height, r.health) if math.isfinite(h)]
    top = min(TOP, max([1.5, *(1.08 * h for h in everything), *(1.05 * h for _, h in scene.levels)]))
    label(f"health ({TOP:g}: {TOP:g} or more)" if top == TOP else "health")
    limits(0.0, top)


def _limits(line: Any, area: Any, scene: Scene) -> None:
    """The liquidatable part and the levels of the policy."""
    area(0.0, 1.0, facecolor="#EEEEEE", edgecolor="#BBBBBB", hatch="///", linewidth=0.0, zorder=0)
    line(1.0, color="black", linewidth=1.6, label="1: liquidatable below")
    for i, (name, health) in enumerate(scene.levels):
        line(
            health,
            color="#555555",
            linewidth=0.9,
            linestyle=(0, (1, 1 + 2 * i)),
            label=f"{name} {health:.4g}",
        )


def _saved(figure: Any, axes: Any, path: Path, scene: Scene) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False)
    notes = ["health: weighted assets / requirement"]
    idle = sum(h is None for h in scene.now.health)
    unknown = sum(h is not None and math.isnan(h) for h in scene.now.health)
    if unknown:
        notes.append(f"not drawn because they cannot be judged, never to be read as healthy: {unknown}")
    if idle:
        notes.append(f"not drawn because they have nothing to cover: {idle}")
    figure.text(0.01, 0.01, "; ".join(notes), fontsize=8, color="#444444")
    _write(figure, path)


def _write(figure: Any, path: Path) -> None:
    """Into a file beside it first: a picture is there whole or not at all."""
    fresh = path.with_name(f".{path.name}.tmp")
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    try:
        figure.savefig(fresh, format=path.suffix[1:], dpi=150, metadata=metadata)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError((f"--plot: {path} cannot be written: {error.strerror or error}",)) from error


def _chosen(scene: Scene) -> tuple[list[int], list[int]]:
    """Positions with a line of their own (those that fall lowest), and the others that have a number."""
    worst = {}
    for u in range(len(scene.names)):
        seen = [h for h in (_height(r.health[u]) for r in (scene.now, *scene.shocks)) if math.isfinite(h)]
        if seen:
            worst[u] = min(seen)
    order = sorted(worst, key=lambda u: (worst[u], u))
    return sorted(order[:DRAWN]), order[DRAWN:]


def _style(i: int) -> dict[str, Any]:
    return {
        "color": COLOURS[i],
        "linestyle": DASHES[i % len(DASHES)],
        "marker": MARKERS[i],
        "markersize": 6,
        "linewidth": 1.8,
        "clip_on": False,
    }


def _label(scene: Scene, u: int) -> str:
    health = scene.now.health[u]
    name = scene.names[u] if len(scene.names[u]) <= 26 else scene.names[u][:25] + "…"
    # a name is chosen by strangers: no mathematics in it
    name = name.replace("$", r"\$")
    return name if health is None or math.isnan(health) else f"{name} (now {health:.3g})"


def _named(asset: str) -> str:
    return "the whole market" if asset == "*" else asset.replace("$", r"\$")


def _height(health: float | None) -> float:
    """Where a health is drawn; NaN leaves a hole in the line."""
    return math.nan if health is None or math.isnan(health) else min(max(health, 0.0), TOP)


def _lowest(shock: ShockResult) -> float:
    """Of all positions in one cell: NaN when any is unknown, inf when none has anything to cover."""
    known = [h for h in shock.health if h is not None]
    return math.nan if any(math.isnan(h) for h in known) else min(known, default=math.inf)


def _least(heights: Sequence[float]) -> float:
    return min((h for h in heights if math.isfinite(h)), default=math.nan)


def _most(heights: Sequence[float]) -> float:
    return max((h for h in heights if math.isfinite(h)), default=math.nan)
