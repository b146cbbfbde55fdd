"""What the page knows: what it was told last, in order of danger, and when that was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keeper.daemon.paging import shocks
from keeper.daemon.paging.headline import SILENT_S, headline
from keeper.daemon.paging.history import History
from keeper.model import Level

HEAT_MAX = 24
"""Positions in the heat map, the nearest to harm first."""
NAN = float("nan")
RANK = {level.value: rank for rank, level in enumerate(Level)}
Row = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class _Chain:
    """One chain's positions as they were told last, whole."""

    rows: list[Row] = field(default_factory=list)
    feeds: list[tuple[str, float]] = field(default_factory=list)
    """(symbol, dollars); rows refer to their places."""
    named: list[str] = field(default_factory=list)
    """The shocks that the tick itself judged its positions under."""
    policies: dict[str, Row] = field(default_factory=dict)
    forms: dict[str, Any] = field(default_factory=dict)
    """Position -> its two affine forms; those that are not known now have none."""

    def shelf(self, ids: Iterable[str]) -> shocks.Shelf:
        """Of these positions."""
        return shocks.shelf({id: self.forms[id] for id in ids if id in self.forms}, self.feeds)


class Board:
    """Fed by ``hear``; everything else only reads."""

    def __init__(self, version: str, mode: str, ladder_pct: Sequence[float]) -> None:
        self.state: Row = {"version": version, "mode": mode, "chains": [], "alarms": [], "targets": []}
        self.history = History()
        self._ladder_pct = tuple(ladder_pct)
        self._heard_s: float | None = None
        self._chains: dict[str, _Chain] = {}
        self._coming: dict[str, _Chain] = {}
        """Told in part; shown when it is whole, for half of one block and half of another is neither."""

    def hear(self, message: Mapping[str, Any], now_s: float) -> bool:
        """One word of the daemon's; whether positions, or what stops them, changed by it."""
        self._heard_s = now_s
        kind, name = message["kind"], message.get("chain", "")
        if kind == "state":
            before, self.state = self._stops(), {k: v for k, v in message.items() if k != "kind"}
            now = self._stops()
            return now.keys() != before.keys() or any(
                now[id]["code"] != s["code"] for id, s in before.items()
            )
        if kind == "begin":
            self._coming[name] = _Chain(
                feeds=[(str(s), float(p)) for s, p in message["feeds"]],
                named=message["shocks"],
                policies=message["policies"],
            )
        elif kind == "rows" and name in self._coming:
            self._coming[name].rows += message["rows"]
        elif kind == "end" and name in self._coming:
            chain = self._chains[name] = self._coming.pop(name)
            chain.forms = {r["id"]: r.pop("row") for r in chain.rows if "row" in r}
            healths = {r["id"]: r.get("health") for c in self._chains.values() for r in c.rows}
            self.history.add(now_s, healths)
            return True
        return False

    def silent_s(self, now_s: float) -> float | None:
        """Since the daemon last said anything; None before its first word."""
        return None if self._heard_s is None else max(0.0, now_s - self._heard_s)

    def told(self, now_s: float) -> Row:
        """Everything but the positions, with one sentence on top that an operator reads first."""
        silent_s = self.silent_s(now_s)
        labels = {r["id"]: r["label"] for c in self._chains.values() for r in c.rows}
        alarms = [{**a, "about": _about(str(a["subject"]), labels)} for a in self.state["alarms"]]
        return {
            **self.state,
            # each of them says it in its own row
            "chains": [{**c, "stopped": len(c.get("stopped", ()))} for c in self.state["chains"]],
            "alarms": alarms,
            "now_s": now_s,
            "silent_s": silent_s,
            "live": silent_s is not None and silent_s <= SILENT_S,
            "headline": headline(self.state, self._rows(), silent_s),
            "counts": self._counts(),
        }

    def positions(self) -> Row:
        """Every position in order of danger, and the heat map of those nearest to it."""
        rows = sorted(self._rows(), key=danger)
        shown = [self._shown(r) for r in rows]
        policies = {f"{n}/{p}": lines for n, c in self._chains.items() for p, lines in c.policies.items()}
        return {"rows": shown, "policies": policies, "heat": self._heat(rows)}

    def position(self, id: str) -> Row | None:
        """One position with its axes and what its policy says."""
        found = next(((n, c, r) for n, c in self._chains.items() for r in c.rows if r["id"] == id), None)
        if found is None:
            return None
        name, chain, row = found
        times, healths = self.history.of(id)
        return {
            "id": id,
            "chain": name,
            "policy": chain.policies.get(str(row.get("policy"))),
            "axes": shocks.axes(chain.shelf([id]), id),
            "times": times,
            "healths": healths,
        }

    def surface(self, id: str, x: str, y: str) -> Row | None:
        """Health of one position under every pair of moves; None for a position or an axis that it has not."""
        for chain in self._chains.values():
            if id in chain.forms:
                shelf = chain.shelf([id])
                if not {x, y} <= {*shocks.axes(shelf, id), "*"}:
                    return None
                cells = shocks.surface(shelf, id, x, y)
                return {"x": x, "y": y, "steps": shocks.STEPS, "cells": cells}
        return None

    def _rows(self) -> list[Row]:
        stops = self._stops()
        return [
            {**row, "chain": name, "stopped": stops.get(row["id"])}
            for name, chain in self._chains.items()
            for row in chain.rows
        ]

    def _stops(self) -> dict[str, Row]:
        """Position -> why it is kept from being acted for, as told with the last state."""
        return {stop["id"]: stop for chain in self.state["chains"] for stop in chain.get("stopped", ())}

    def _shown(self, row: Row) -> Row:
        """A row for viewers: the price that is nearest by its symbol, and nothing that only this process needs."""
        shown = {k: v for k, v in row.items() if k not in ("under", "of_feed")}
        feeds, place = self._chains[row["chain"]].feeds, row.get("of_feed")
        symbol, now = (None, None) if place is None else feeds[place]
        return {**shown, "of": symbol, "now": now}

    def _counts(self) -> dict[str, int]:
        counts = dict.fromkeys(reversed(RANK), 0)
        for chain in self._chains.values():
            for row in chain.rows:
                counts[row["level"]] += 1
        return counts

    def _heat(self, rows: Sequence[Row]) -> Row:
        """Health under the configured ladder of moves, and under the named shocks that the tick itself judged.

        A row each for the nearest to harm; what would be liquidatable is of all of them.
        """
        names = next((c.named for c in self._chains.values() if c.named), [])
        shelves = {n: c.shelf(c.forms) for n, c in self._chains.items()}
        under = {n: shocks.ladder(s, self._ladder_pct) for n, s in shelves.items() if s.ids}
        made: list[Row] = []
        lent: list[tuple[float, list[float]]] = []
        for row in rows:
            u = shelves[row["chain"]].ids.get(row["id"])
            ladder = None if u is None else under[row["chain"]][u].tolist()
            named = row.get("under") or []
            if len(made) < HEAT_MAX:
                cells = [] if ladder is None else [shocks.shown(h) for h in ladder] + named
                made.append({"id": row["id"], "known": ladder is not None, "cells": cells})
            if row.get("debt_usd", NAN) is not None:
                steps = ladder or [NAN] * len(self._ladder_pct)
                lent.append((row.get("debt_usd", NAN), steps + _padded(named, len(names))))
        width = len(self._ladder_pct) + len(names)
        healths = np.array([cells for _, cells in lent], np.float64).reshape(len(lent), width)
        usd, unknown = shocks.liquidatable([debt for debt, _ in lent], healths)
        return {
            "ladder": [f"{pct:+g} %" for pct in self._ladder_pct],
            "named": names,
            "rows": made,
            "liquidatable": {"usd": usd, "unknown": unknown},
        }


def _padded(named: Sequence[float | None], width: int) -> list[float]:
    """What was not judged, and what no number came of, is not known."""
    told = [NAN if h is None else h for h in named]
    return (told + [NAN] * width)[:width]


def _about(subject: str, labels: Mapping[str, str]) -> str:
    """The label of the position, or of the plan's position, that an alarm is about; else its subject."""
    id, hash, seq = subject.partition("#")
    return f"{labels[id]}{hash}{seq}" if id in labels else subject


def danger(row: Mapping[str, Any]) -> tuple[int, float, str]:
    """What comes first: the unknown, then the most severe, then the lowest health."""
    health = row.get("health")
    return -RANK[row["level"]], float("inf") if health is None else float(health), str(row["label"])
