"""The one sentence that an operator reads first: the worst of everything that is told, and how it looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SILENT_S = 6.0
"""The daemon speaks every second; silent for longer, what it said last is old."""

Said = tuple[str, str]
"""Tone and words. Tones from worst to best: ``lost danger unknown warn watch calm``."""
TONES = ("lost", "danger", "unknown", "warn", "watch", "calm")


def headline(
    state: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], silent_s: float | None
) -> dict[str, object]:
    """``tone``, ``text`` and what else is wrong as ``more``; calm only where everything is known and well."""
    said = sorted(_said(state, rows, silent_s), key=lambda s: TONES.index(s[0]))
    tone, text = said[0] if said else _calm(state, rows)
    return {"tone": tone, "text": text, "more": [{"tone": t, "text": w} for t, w in said[1:]]}


def _said(
    state: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], silent_s: float | None
) -> Iterator[Said]:
    if silent_s is None:
        yield "lost", "The daemon has not said anything yet"
    elif silent_s > SILENT_S:
        yield "lost", f"No word from the daemon for {silent_s:.0f} s: what is shown is old"
    for chain in state.get("chains", ()):
        yield from _chain(chain, str(state.get("mode")))
    yield from _levels(rows)
    loud = [a for a in state.get("alarms", ()) if a["acknowledged"] is False]
    if loud:
        codes = ", ".join(dict.fromkeys(str(a["code"]) for a in loud))
        yield "danger", f"{_n(len(loud), 'critical alarm')} unacknowledged: {codes}"
    down = [str(t["name"]) for t in state.get("targets", ()) if t["down"]]
    if down:
        yield "warn", f"Alarms do not reach {', '.join(down)}"


def _chain(chain: Mapping[str, Any], mode: str) -> Iterator[Said]:
    name = chain["name"]
    if chain["blind"] is not None:
        yield "danger", f"{name} is BLIND: {chain['blind']['why']}"
    elif not chain["started"] or chain["block"] is None:
        yield "unknown", f"{name}: no block has been judged yet"
    elif chain["judged_age_s"] > chain["limit_s"]:
        yield "danger", f"{name}: no block judged for {chain['judged_age_s']:.0f} s"
    if chain["broken"]:
        yield "danger", f"{name} STOPPED acting: {chain['broken']}"
    elif chain["paused"]:
        yield "warn", f"{name}: {chain['paused']}"
    elif mode == "live" and chain["started"] and not chain["armed"]:
        yield "warn", f"{name} is NOT ARMED: nothing is sent"
    yield from _stopped(chain.get("stopped", ()))
    for pair in chain.get("pairs", ()):
        if pair["covered"] is False:
            yield "warn", f"{pair['loan']} is NOT COVERED by {pair['short']}: {pair['why']}"


def _stopped(stops: Sequence[Mapping[str, Any]]) -> Iterator[Said]:
    """A pause or a stop of single positions: whatever their health is, nobody acts for them."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for stop in stops:
        found.setdefault(str(stop["code"]), []).append(stop)
    for of_code in found.values():
        first = of_code[0]
        who = str(first["label"]) if len(of_code) == 1 else f"{first['label']} and {len(of_code) - 1} more"
        yield "warn", f"{who} STOPPED ({first['code']}): {first['why']}"


def _levels(rows: Sequence[Mapping[str, Any]]) -> Iterator[Said]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["level"]] = counts.get(row["level"], 0) + 1
    if n := counts.get("UNKNOWN", 0):
        yield "unknown", f"{_n(n, 'position')} UNKNOWN: not readable, so not known to be healthy"
    if n := counts.get("URGENT", 0):
        yield "danger", f"{_n(n, 'position')} URGENT: health below emergency"
    if n := counts.get("ACT", 0):
        yield "danger", f"{_n(n, 'position')} below the trigger"
    if n := counts.get("WATCH", 0):
        yield "watch", f"{_n(n, 'position')} below the warning line"


def _calm(state: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Said:
    if not rows:
        return "unknown", "No position has been told yet"
    known = [r["health"] for r in rows if r.get("health") is not None]
    lowest = f", lowest health {min(known):.2f}" if known else ""
    words = "The position is safe" if len(rows) == 1 else f"All {len(rows)} positions are safe"
    return "calm", f"{words}{lowest}"


def _n(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
