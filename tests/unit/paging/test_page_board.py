"""What the page makes of what it is told: danger first, half a block never, silence never calm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from keeper.daemon.paging import shocks
from keeper.daemon.paging.board import HEAT_MAX, Board
from keeper.daemon.paging.headline import SILENT_S, TONES, headline
from keeper.daemon.paging.history import History
from keeper.model import BookRow
from keeper.risk import kernels
from keeper.risk import shocks as library
from keeper.risk.book import build

pytestmark = pytest.mark.unit
FEEDS = [("WETH", 2000.0), ("USDC", 1.0)]
ROW = (0.0, 0.0, [0, 1], [8.3, 0.0], [0.0, 10_000.0])


def chain(**changed: object) -> dict[str, Any]:
    calm: dict[str, Any] = {
        "name": "mainnet",
        "block": 7,
        "judged_age_s": 3.0,
        "limit_s": 66.0,
        "blind": None,
    }
    return {**calm, "started": True, "armed": True, "broken": None, "paused": None, **changed}


def position(label: str, level: str, health: float | None, **more: object) -> dict[str, Any]:
    return {"id": label, "label": label, "level": level, "health": health, "policy": "default", **more}


STOP = {"id": "a", "label": "a", "code": "paused", "why": "paused by ann for 30 more minutes: by hand"}


def told(board: Board, *rows: dict[str, Any], at_s: float = 100.0) -> None:
    board.hear(
        {
            "kind": "begin",
            "chain": "mainnet",
            "feeds": FEEDS,
            "shocks": ["correction"],
            "policies": {"default": {}},
        },
        at_s,
    )
    board.hear({"kind": "rows", "chain": "mainnet", "rows": list(rows)}, at_s)
    board.hear({"kind": "end", "chain": "mainnet", "block": 7}, at_s)


def board() -> Board:
    made = Board("0", "live", (-10.0, -50.0))
    made.hear({"kind": "state", "mode": "live", "chains": [chain()], "alarms": [], "targets": []}, 100.0)
    return made


def said(state: dict[str, Any], *rows: dict[str, Any], silent_s: float | None = 0.0) -> tuple[str, str]:
    found = headline({"mode": "live", "alarms": [], "targets": [], **state}, rows, silent_s)
    return str(found["tone"]), str(found["text"])


def test_headline__when_all_is_known_and_well__then_calm_and_only_then() -> None:
    well = position("a", "SAFE", 1.7)
    assert said({"chains": [chain()]}, well) == ("calm", "The position is safe, lowest health 1.70")
    loud = {"code": "urgent", "acknowledged": False}
    worse: list[tuple[dict[str, Any], tuple[dict[str, Any], ...], float | None, str]] = [
        ({"chains": [chain()]}, (well,), None, "lost"),
        ({"chains": [chain()]}, (well,), SILENT_S + 1, "lost"),
        ({"chains": [chain(blind={"why": "no head", "since_s": 1.0})]}, (well,), 0.0, "danger"),
        ({"chains": [chain(judged_age_s=67.0)]}, (well,), 0.0, "danger"),
        ({"chains": [chain(broken="an index")]}, (well,), 0.0, "danger"),
        ({"chains": [chain(armed=False)]}, (well,), 0.0, "warn"),
        ({"chains": [chain(paused="paused by x")]}, (well,), 0.0, "warn"),
        ({"chains": [chain(stopped=[STOP])]}, (well,), 0.0, "warn"),
        ({"chains": [chain(started=False)]}, (well,), 0.0, "unknown"),
        ({"chains": [chain(block=None)]}, (well,), 0.0, "unknown"),
        ({"chains": [chain()], "alarms": [loud]}, (well,), 0.0, "danger"),
        ({"chains": [chain()], "targets": [{"name": "ntfy", "down": True}]}, (well,), 0.0, "warn"),
        ({"chains": [chain()]}, (well, position("b", "UNKNOWN", None)), 0.0, "unknown"),
        ({"chains": [chain()]}, (well, position("b", "URGENT", 1.01)), 0.0, "danger"),
        ({"chains": [chain()]}, (well, position("b", "ACT", 1.2)), 0.0, "danger"),
        ({"chains": [chain()]}, (well, position("b", "WATCH", 1.3)), 0.0, "watch"),
        ({"chains": [chain()]}, (), 0.0, "unknown"),
    ]
    for state, rows, silent_s, tone in worse:
        assert said(state, *rows, silent_s=silent_s)[0] == tone, (state, rows)
    assert {tone for *_, tone in worse} | {"calm"} == set(TONES)


def test_headline__when_positions_are_stopped__then_who_and_until_when_whatever_the_mode() -> None:
    rows = [position("a", "SAFE", 1.7), position("b", "SAFE", 1.7)]
    for mode in ("live", "dry-run"):
        state = {"mode": mode, "chains": [chain(stopped=[STOP])]}
        assert said(state, *rows) == ("warn", f"a STOPPED (paused): {STOP['why']}")
    both = [{**STOP, "code": "reverts"}, {**STOP, "id": "b", "label": "b", "code": "reverts"}]
    assert "a and 1 more STOPPED (reverts)" in said({"chains": [chain(stopped=both)]}, *rows)[1]


def test_positions__when_a_stop_is_told_between_two_blocks__then_its_row_says_so_at_once() -> None:
    made = board()
    told(made, position("a", "SAFE", 2.0), position("b", "SAFE", 2.0))
    state = {"kind": "state", "mode": "live", "alarms": [], "targets": []}
    assert made.hear({**state, "chains": [chain(stopped=[STOP])]}, 101.0) is True
    rows = {r["id"]: r["stopped"] for r in made.positions()["rows"]}
    assert (rows["a"]["why"], rows["b"]) == (STOP["why"], None)
    assert made.told(101.0)["chains"][0]["stopped"] == 1
    assert made.hear({**state, "chains": [chain(stopped=[{**STOP, "why": "29 more"}])]}, 102.0) is False
    assert made.hear({**state, "chains": [chain(stopped=[])]}, 103.0) is True
    assert made.positions()["rows"][0]["stopped"] is None


@pytest.mark.parametrize(("covered", "tone"), [(True, "calm"), (False, "warn"), (None, "calm")])
def test_headline__when_a_hedge_covers_nothing__then_it_is_no_calm_page(
    covered: bool | None, tone: str
) -> None:
    pair = {"loan": "loan", "short": "short", "covered": covered, "why": "the short is gone"}
    found = said({"chains": [chain(pairs=[pair])]}, position("a", "SAFE", 2.0))
    assert found[0] == tone
    assert (covered is False) == (found[1] == "loan is NOT COVERED by short: the short is gone")


def test_headline__when_dry_run_is_not_armed__then_that_is_no_warning() -> None:
    state = {"mode": "dry-run", "chains": [chain(armed=False)]}
    assert said(state, position("a", "SAFE", 1.7))[0] == "calm"


def test_positions__when_told__then_the_unknown_and_the_lowest_come_first() -> None:
    made = board()
    rows = [position("fine", "SAFE", 2.0), position("none", "SAFE", None), position("low", "URGENT", 1.02)]
    told(made, *rows, position("lower", "URGENT", 1.01), position("lost", "UNKNOWN", None))
    assert [r["id"] for r in made.positions()["rows"]] == ["lost", "lower", "low", "fine", "none"]


def test_positions__when_a_block_is_told_in_part__then_the_whole_one_before_is_shown() -> None:
    made = board()
    told(made, position("a", "SAFE", 2.0))
    made.hear({"kind": "begin", "chain": "mainnet", "feeds": FEEDS, "shocks": [], "policies": {}}, 101.0)
    made.hear({"kind": "rows", "chain": "mainnet", "rows": [position("b", "URGENT", 1.0)]}, 101.0)
    assert [r["id"] for r in made.positions()["rows"]] == ["a"]


def test_told__when_the_daemon_is_silent__then_not_live_and_lost() -> None:
    made = board()
    told(made, position("a", "SAFE", 2.0))
    assert made.told(101.0)["live"] is True
    late = made.told(100.0 + SILENT_S + 1)
    assert (late["live"], late["headline"]["tone"]) == (False, "lost")
    assert Board("0", "live", ()).told(1.0)["headline"]["tone"] == "lost"


def test_alarm__when_it_is_about_a_position_or_its_plan__then_told_by_label() -> None:
    made = board()
    told(made, {**position("my vault", "ACT", 1.2), "id": "aave:1:0xab:0xcd"})
    alarm = {"severity": "CRITICAL", "code": "x", "why": "", "acknowledged": None}
    subjects = ["aave:1:0xab:0xcd", "aave:1:0xab:0xcd#3", "mainnet"]
    state = {
        "mode": "live",
        "chains": [],
        "targets": [],
        "alarms": [{**alarm, "subject": s} for s in subjects],
    }
    made.hear({"kind": "state", **state}, 100.0)
    assert [a["about"] for a in made.told(100.0)["alarms"]] == ["my vault", "my vault#3", "mainnet"]


def test_heat__when_a_position_is_unknown__then_it_has_no_cells() -> None:
    made = board()
    known = position("a", "SAFE", 1.66, row=list(ROW), under=[1.49])
    told(made, known, position("lost", "UNKNOWN", None))
    heat = made.positions()["heat"]
    assert heat["ladder"] == ["-10 %", "-50 %"]
    assert heat["named"] == ["correction"]
    assert heat["rows"][0] == {"id": "lost", "known": False, "cells": []}
    assert heat["rows"][1]["cells"] == [pytest.approx(1.494), pytest.approx(0.83), 1.49]


def loan(id: str, **changed: object) -> dict[str, Any]:
    given = {"row": list(ROW), "under": [0.99], "debt_usd": 10_000.0}
    return position(id, "SAFE", 1.66, **{**given, **changed})


def test_heat__when_loans_fall_below_one__then_all_they_owe_under_each_shock_and_the_unknown_apart() -> None:
    made = board()
    # nothing owed: no number of it counts, and none is missing
    calm = loan("c", row=[9.0, 0.0, [], [], []], under=[None], debt_usd=0.0)
    told(made, loan("a"), loan("b", under=[1.2], debt_usd=500.0), calm, loan("perp", debt_usd=None))
    found = made.positions()["heat"]["liquidatable"]
    assert found == {"usd": [0.0, 10_500.0, 10_000.0], "unknown": [0, 0, 0]}
    told(made, loan("a"), position("lost", "UNKNOWN", None), loan("e", under=[None], debt_usd=1.0))
    # the named shock told nothing of e either
    found = made.positions()["heat"]["liquidatable"]
    assert found == {"usd": [0.0, 10_001.0, 10_000.0], "unknown": [1, 1, 2]}


def test_heat__when_more_fall_than_are_shown__then_what_they_owe_is_counted_all_the_same() -> None:
    made = board()
    told(made, *(loan(str(i), under=[1.5], debt_usd=1.0) for i in range(HEAT_MAX + 6)))
    heat = made.positions()["heat"]
    assert len(heat["rows"]) == HEAT_MAX
    assert heat["liquidatable"]["usd"] == [0.0, HEAT_MAX + 6.0, 0.0]


def test_surface__when_an_axis_or_position_is_not_there__then_nothing_is_answered() -> None:
    made = board()
    told(made, position("a", "SAFE", 1.66, row=list(ROW)))
    assert made.surface("a", "ETH", "DOGE") is None
    assert made.surface("b", "ETH", "USDC") is None
    found = made.surface("a", "ETH", "USDC")
    assert found is not None
    now = found["steps"].index(0.0)
    assert found["cells"][now][now] == pytest.approx(1.66)
    half = found["steps"].index(-0.5)
    assert found["cells"][now][half] == pytest.approx(0.83)
    assert found["cells"][half][now] == pytest.approx(3.32)


def test_health__when_compared_with_the_kernel__then_the_same_numbers() -> None:
    rng = np.random.default_rng(5)
    rows, made = {}, []
    for u in range(40):
        a, b = rng.uniform(0, 20, 2).tolist(), rng.uniform(0, 9_000, 2).tolist()
        if u % 7 == 0:
            a, b = [], []
        if u % 5 == 0:
            b = [0.0] * len(b)
        feeds = [0, 1][: len(a)]
        rows[str(u)] = (1.0 * u, 0.0 if u % 3 else 5.0, feeds, a, b)
        made.append(
            BookRow(
                feeds=tuple(map(str, feeds)), a=tuple(a), b=tuple(b), a0=1.0 * u, b0=0.0 if u % 3 else 5.0
            )
        )
    of = shocks.shelf(rows, FEEDS)
    grid = library.grid(("ETH", (-0.5, 0.0, 0.3)), ("USDC", (-0.1, 0.0)))
    shelf = build(made, {str(k): p for k, (_, p) in enumerate(FEEDS)})
    symbols = {str(k): s for k, (s, _) in enumerate(FEEDS)}
    moves = [[1 + library.moved(library.for_feeds(s, symbols), f) for f in shelf.feeds] for s in grid]
    expected = np.empty((len(made), len(grid)))
    kernels.health_under(shelf.book, np.ascontiguousarray(np.array(moves) * shelf.book.prices), expected)
    np.testing.assert_allclose(shocks.health(of, grid), expected, rtol=1e-9)


def test_health__when_a_price_or_a_number_is_missing__then_shown_as_nothing_healthy() -> None:
    of = shocks.shelf(
        {"a": (0.0, 0.0, [-1, 0], [8.3, 0.0], [0.0, 1.0]), "b": (0.0, 0.0, [0], [None], [1.0])}, FEEDS[1:]
    )
    found = shocks.ladder(of, (-10.0,))
    assert math.isnan(found[0][0])
    assert shocks.shown(float(found[0][0])) == 0.0
    assert shocks.shown(float(found[1][0])) == 0.0
    assert shocks.shown(math.inf) is None


def test_history__when_it_is_full__then_older_points_are_pairs_by_the_lower_health() -> None:
    history = History(points_max=8)
    healths = [2.0, 1.9, 1.8, None, 1.6, 1.5, 1.4, 1.3, 1.2]
    for i, h in enumerate(healths):
        history.add(float(i), {"a": h, "b": 1.0})
    times, found = history.of("a")
    assert times == [1.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert found == pytest.approx([1.9, None, 1.6, 1.5, 1.4, 1.3, 1.2])
    history.add(9.0, {"b": 1.0, "new": 3.0})
    assert history.of("a") == ([], [])
    assert history.of("new")[1][:-1] == [None] * 7


def test_history__when_a_week_passes__then_what_is_older_goes_and_memory_is_bounded() -> None:
    history = History(points_max=100)
    for i in range(3_000):
        history.add(i * 3_600.0, {"a": 1.0 + i})
    times, found = history.of("a")
    assert len(times) == len(found) <= 100
    assert times[-1] == 2_999 * 3_600.0
