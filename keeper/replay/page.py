"""The report of a replay as one HTML file: nothing in it comes from elsewhere, and nothing in it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from keeper.replay import plots
from keeper.replay.bars import iso
from keeper.replay.compare import Row
from keeper.replay.frontier import Point, efficient
from keeper.replay.paths import Paths
from keeper.replay.run import Trip
from keeper.risk.book import Floats, Ints

SAMPLES_MAX = 480
HEALTH_MAX = 2.5
MARKS_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One account of the report: its trips, one a keeper, with their courses; ``trigger`` is drawn as a line, and
    ``policy`` named, where a configuration's holds it."""

    name: str
    trips: tuple[Trip, ...]
    trigger: float
    policy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything that the report tells."""

    title: str
    said: tuple[str, ...]
    rows: tuple[Row, ...]
    paths: Paths
    shown: tuple[Shown, ...]
    assets: tuple[str, ...] = ()
    """Whose prices are drawn."""
    frontiers: tuple[tuple[str, tuple[Point, ...]], ...] = ()
    """(keeper, every setting of it that was tried)."""
    notes: tuple[str, ...] = ()


def page(story: Story) -> str:
    """The whole file."""
    body = [f"<h1>{escape(story.title)}</h1>"]
    body += [f"<p>{escape(line)}</p>" for line in story.said]
    body += [_table(story.rows), _money(story.rows)] if story.rows else []
    body.append(_prices(story))
    body += [_account(story.paths, shown) for shown in story.shown]
    body += [_frontier(story.frontiers)] if story.frontiers else []
    if story.notes:
        body.append("<h2>Notes on the data</h2><ul>")
        body += [f"<li>{escape(n)}</li>" for n in story.notes]
        body.append("</ul>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(story.title)}</title><style>{STYLE}</style></head><body><main>{''.join(body)}</main></body></html>"
    )


def health_at(made: Trip, paths: Paths, moments: Ints) -> Floats:
    """Health at each of the moments, by the account's course; NaN without debt."""
    if made.way is not None:
        return np.asarray(np.where(np.isfinite(made.way[moments]), made.way[moments], math.nan))
    out = np.full(len(moments), math.nan)
    begins = [at for at, _ in made.course]
    which = np.searchsorted(begins, moments, side="right") - 1
    for n, (_, (rows, a, b)) in enumerate(made.course):
        mine = which == n
        if not mine.any():
            continue
        said = paths.said[np.ix_(rows, moments[mine])]
        owed = np.array(b) @ said
        with np.errstate(divide="ignore", invalid="ignore"):
            out[mine] = np.where(owed > 1e-6, (np.array(a) @ said) / owed, math.nan)
    return out


def sampled(paths: Paths) -> Ints:
    """At most ``SAMPLES_MAX`` moments, evenly."""
    count = len(paths.bar)
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLES_MAX)).astype(np.int64))


def _account(paths: Paths, shown: Shown) -> str:
    moments = sampled(paths)
    times = paths.times_s[paths.bar[moments]]
    lines = []
    for made in shown.trips:
        health = np.minimum(health_at(made, paths, moments), HEALTH_MAX)
        acts, lost = happened(made)
        lines.append(
            plots.Line(name=made.keeper, style=made.keeper, y=health.tolist(), marks=acts, crosses=lost)
        )
    known = [v for line in lines for v in line.y if math.isfinite(v)]
    low, high = min([0.95, *known]), max([1.1, *known])
    frame = plots.Frame(
        x=(float(times[0]), float(times[-1])),
        y=(low - 0.02, high + 0.03),
        levels=((1.0, "liquidation"), (shown.trigger, "trigger")),
    )
    facts = "; ".join(
        f"{t.keeper}: {'liquidated ' + str(t.liquidations) + 'x, ' if t.liquidations else ''}{t.acts} acts, "
        f"lost {t.lost_usd:,.0f}, paid {t.cost_usd + t.gas_usd:,.0f} USD"
        for t in shown.trips
    )
    keys = _keys([(t.keeper, t.keeper) for t in shown.trips])
    under = f" under policy {escape(shown.policy)}" if shown.policy else ""
    head = f"<h2>Health of {escape(shown.name)}{under}</h2>"
    return (
        f"{head}<p class=small>{escape(facts)}. Circles are acts, crosses are liquidations.</p>"
        f"{keys}{plots.curves(times.tolist(), lines, frame)}"
    )


Marks = tuple[tuple[float, float, str], ...]


def happened(made: Trip) -> tuple[Marks, Marks]:
    """(acts at the health that they led to, liquidations at the one that they found), ``MARKS_MAX`` together."""
    seen = [e for e in made.events if e.what != "failed"][:MARKS_MAX]
    said = [_event(made.keeper, e.what, e.usd, e.cost_usd) for e in seen]
    told = list(zip(seen, said, strict=True))
    acts = tuple((e.time_s, e.health_after, text) for e, text in told if e.what == "act")
    return acts, tuple((e.time_s, e.health_before, text) for e, text in told if e.what != "act")


def _event(keeper: str, what: str, usd: float, cost: float) -> str:
    done = "sold" if what == "act" else "was liquidated for"
    return f"{keeper} {done} {usd:,.0f} USD, cost {cost:,.0f}"


def _prices(story: Story) -> str:
    paths, moments = story.paths, sampled(story.paths)
    times = paths.times_s[paths.bar[moments]]
    lines = [
        plots.Line(name=a, style=f"asset{n}", y=(100.0 * paths.said[paths.row_of(a), moments]).tolist())
        for n, a in enumerate(story.assets[:4])
    ]
    if not lines:
        return ""
    known = [v for line in lines for v in line.y]
    frame = plots.Frame(
        x=(float(times[0]), float(times[-1])), y=(min(known) - 2.0, max(known) + 2.0), unit=" %"
    )
    keys = _keys([(line.name, line.style) for line in lines])
    span = f"{iso(float(times[0]))} to {iso(float(times[-1]))} UTC"
    return (
        f"<h2>Prices by their feeds</h2><p class=small>{span}, first price = 100 %</p>{keys}"
        + plots.curves(times.tolist(), lines, frame)
    )


def _money(rows: Sequence[Row]) -> str:
    layers = (
        ("lost", [r.lost_usd for r in rows]),
        ("cost", [max(0.0, r.cost_usd) for r in rows]),
        ("gas", [r.gas_usd for r in rows]),
    )
    keys = _keys([("lost to liquidators", "lost"), ("impact and fees of acts", "cost"), ("gas", "gas")])
    return f"<h2>What owners paid, USD</h2>{keys}{plots.stacks([r.keeper for r in rows], layers)}"


def _table(rows: Sequence[Row]) -> str:
    heads = (
        "keeper",
        "liquidated",
        "lost USD",
        "saved USD",
        "acts",
        "cost USD",
        "gas USD",
        "refused",
        "lowest",
        "all in USD",
    )
    nobody = next((r.lost_usd for r in rows if r.keeper == "nobody"), math.nan)
    lines = []
    for r in rows:
        saved = nobody - r.lost_usd
        cells = (
            r.keeper,
            str(r.liquidated),
            f"{r.lost_usd:,.0f}",
            f"{saved:,.0f}" if math.isfinite(saved) else "",
            str(r.acts),
            f"{r.cost_usd:,.0f}",
            f"{r.gas_usd:,.0f}",
            str(r.failed),
            f"{r.lowest:.3f}",
            f"{r.whole_usd:,.0f}",
        )
        lines.append("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>")
    head = "".join(f"<th>{h}</th>" for h in heads)
    return f"<div class=wide><table><tr>{head}</tr>{''.join(lines)}</table></div>"


def _frontier(tried: Sequence[tuple[str, Sequence[Point]]]) -> str:
    every = [p for _, points in tried for p in points]
    frame = plots.Frame(
        x=(-0.5, max(p.liquidated for p in every) + 0.5),
        y=(0.0, 1.05 * max(p.whole_usd for p in every)),
        of_time=False,
    )
    dots = [
        (p.liquidated, p.whole_usd, name, f"{name} {_setting(p)}") for name, points in tried for p in points
    ]
    chains = [(name, [(p.liquidated, p.whole_usd) for p in efficient(points)]) for name, points in tried]
    keys = _keys([(name, name) for name, _ in tried])
    return (
        "<h2>Accounts liquidated (across) against USD paid (up)</h2>"
        "<p class=small>A line joins the settings that no other of that keeper beats. Point at a dot for its setting."
        f"</p>{keys}{plots.scatter(dots, chains, frame)}"
    )


def _setting(p: Point) -> str:
    levels = f"{p.trigger:g} -> {p.target:g}, " if p.trigger else ""
    margin = "-" if math.isnan(p.gap) else f"{100.0 * p.gap:.1f} %"
    return f"{levels}{p.liquidated} liquidated, {p.whole_usd:,.0f} USD, margin {margin}"


def _keys(names: Sequence[tuple[str, str]]) -> str:
    items = "".join(f'<span><i class="key {style}"></i>{escape(name)}</span>' for name, style in names)
    return f"<div class=keys>{items}</div>"


STYLE = """
:root{--ink:#1d2330;--soft:#667085;--rule:#e4e7ec;--sheet:#fff;--nobody:#8a919e;--threshold:#d97706;--cdp:#b4539a;
--ladder:#2f86c9;--ours:#0b8f6a;--lost:#c8372d;--cost:#e0a13a;--gas:#7b8794}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaf0;--soft:#98a2b3;--rule:#2b3240;--sheet:#12161f;--nobody:#9aa3b2;
--threshold:#f0a23b;--cdp:#d683bd;--ladder:#62aee6;--ours:#35c398;--lost:#ef6b61;--cost:#e8b75c;--gas:#8b97a8}}
body{margin:0;background:var(--sheet);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:780px;margin:0 auto;padding:28px 20px 60px}h1{font-size:24px;line-height:1.25;margin:0 0 12px}
h2{font-size:17px;margin:34px 0 6px}p{margin:4px 0}.small,.keys{color:var(--soft);font-size:13px}
.keys span{margin-right:16px;white-space:nowrap}.key{display:inline-block;width:10px;height:10px;border-radius:2px;
margin-right:6px;background:currentColor}.wide{overflow-x:auto;margin-top:16px}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;width:100%}
th,td{text-align:right;padding:5px 8px;border-bottom:1px solid var(--rule);white-space:nowrap}
th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left}
svg{width:100%;height:auto;display:block;margin-top:6px}.grid{stroke:var(--rule)}.level{stroke:var(--lost);
stroke-dasharray:4 4;opacity:.6}.tick{fill:var(--soft);font-size:11px}.label{fill:var(--ink);font-size:13px}
.line{fill:none;stroke:currentColor;stroke-width:1.8;stroke-linejoin:round}.efficient{color:var(--ink);opacity:.5}
.mark,.dot{fill:currentColor;fill-opacity:.75;stroke:var(--sheet)}.bar{fill:currentColor}
.cross{fill:none;stroke:currentColor;stroke-width:2.4}
.nobody{color:var(--nobody)}.threshold{color:var(--threshold)}.cdp_keeper{color:var(--cdp)}.ladder{color:var(--ladder)}
.ours{color:var(--ours)}.lost{color:var(--lost)}.cost{color:var(--cost)}.gas{color:var(--gas)}
.asset0{color:var(--ladder)}.asset1{color:var(--threshold)}.asset2{color:var(--ours)}.asset3{color:var(--cdp)}
"""
