"""What the page is told: nothing unknown has a health, and nothing secret leaves the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import orjson
import pytest

from keeper.chain.endpoint import EndpointStatus, State
from keeper.config import EndpointSettings
from keeper.daemon.announcing import Announcer
from keeper.daemon.control import Blind
from keeper.daemon.paging import sheet
from keeper.daemon.paging.board import Board
from keeper.daemon.stops import PAUSE
from keeper.notify.page.serving import HERE
from keeper.seams import Severity
from tests import build
from tests.hedge_relief import short
from tests.loop_double import Loop, loop, settings, vault
from tests.page_stage import HOSTILE, hostile
from tests.unit_pairs import paired, shown

pytestmark = pytest.mark.unit
WATCHED = [EndpointStatus(name="one", state=State.UP, latency_ms=12.0, last_error="", head_number=101)]


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Loop]:
    made = loop(tmp_path)
    yield made
    made.journal.close()


def rows(on: Loop) -> list[dict[str, Any]]:
    given = settings(on.journal.path.parent)
    return [row for rows in sheet.positions(given, on) for row in rows]


def state(on: Loop) -> dict[str, Any]:
    given = settings(on.journal.path.parent)
    told = Announcer(given, on.journal, on.clock)
    on.alarms._tell = told.tell
    told.look([on])
    ages, own = told.judged_age_s([on]), (told.alarms, told.courier)
    at = sheet.moment(on.clock, ages, told.escalation.unacknowledged, own)
    return orjson.loads(orjson.dumps(sheet.state(given, [on], at)))


@pytest.mark.asyncio
async def test_sheet__when_a_block_was_judged__then_health_distance_and_holdings_are_told(on: Loop) -> None:
    position = vault("2400")
    await on.running.tick(on.lay(position))
    (row,) = rows(on)
    assert row["level"] == "SAFE"
    assert row["health"] == pytest.approx((position.health_wad or 0) / 1e18)
    assert row["distance"] == pytest.approx(-0.498, abs=1e-3)
    assert row["own"] == [("WETH", 10.0, 24_000.0)]
    assert row["debt_usd"] == 10_000.0
    assert sheet.feeds(on.running.last)["WETH"] == ("WETH", 2400.0)
    assert sheet.policies(on.running)["default"]["trigger"] == 1.25


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["blind", "unread", "never"])
async def test_sheet__when_a_position_is_not_known_now__then_it_has_no_health_and_what_was_known_is_old(
    on: Loop, how: str
) -> None:
    await on.running.tick(on.lay(vault("2400")))
    if how == "blind":
        on.blind = Blind(why="no head", since_s=1.0)
    elif how == "unread":
        on.running.unseen(build.block(102), "nobody answers")
    else:
        on.loop = None
    (row,) = rows(on)
    assert row["level"] == "UNKNOWN"
    assert not {"health", "distance", "own", "row"} & row.keys()
    assert row["why"]
    if how == "never":
        assert row["known"] is None
    else:
        assert row["known"] == {"level": "SAFE", "health": pytest.approx(1.992), "block": 101}


@pytest.mark.asyncio
async def test_sheet__when_alarms_stand__then_only_criticals_await_acknowledgement(on: Loop) -> None:
    given = settings(on.journal.path.parent)
    told = Announcer(given, on.journal, on.clock)
    on.alarms._tell = told.tell
    on.alarms.raise_alarm(Severity.CRITICAL, "urgent", "x", "health is below emergency")
    on.alarms.raise_alarm(Severity.WARNING, "act", "x", "health is below trigger")

    def alarms() -> dict[str, Any]:
        own = (told.alarms, told.courier)
        at = sheet.moment(on.clock, told.judged_age_s([on]), told.escalation.unacknowledged, own)
        return {a["code"]: a["acknowledged"] for a in sheet.state(given, [on], at)["alarms"]}  # type: ignore[attr-defined]

    assert alarms() == {"urgent": False, "act": None}
    on.clock.advance(1.0)
    on.journal.set_control("acknowledged", repr(on.clock.now_s()), "a test", "seen")
    assert alarms() == {"urgent": True, "act": None}


@pytest.mark.asyncio
async def test_sheet__when_endpoints_hold_tokens__then_names_are_told_and_urls_are_not(on: Loop) -> None:
    secret = EndpointSettings(
        name="one", url="https://rpc.example/S3CRET", ws_url=None, rate_per_s=1.0, concurrency=1
    )
    on.chain = replace(on.chain, endpoints=(secret,))
    on.endpoints = tuple(WATCHED)
    await on.running.tick(on.lay(vault("2400")))
    text = orjson.dumps([state(on), rows(on)]).decode()
    assert '"one"' in text
    assert "S3CRET" not in text
    assert "password" not in text


@pytest.mark.asyncio
async def test_sheet__when_a_symbol_is_markup__then_it_stays_text(on: Loop) -> None:
    await on.running.tick(on.lay(hostile(vault("2400"))))
    (row,) = rows(on)
    assert row["own"][0][0] == HOSTILE


@pytest.mark.asyncio
async def test_state__when_a_position_is_paused__then_told_with_its_end_without_waiting_for_a_block(
    on: Loop,
) -> None:
    await on.running.tick(on.lay(vault("2400")))
    assert state(on)["chains"][0]["stopped"] == []
    guarded = on.running.parts.guarded[0]
    on.journal.set_control(f"{PAUSE}:{guarded.id}", repr(on.clock.now_s() + 1_800.0), "ann", "by hand")
    (stop,) = state(on)["chains"][0]["stopped"]
    assert (stop["id"], stop["label"], stop["code"]) == (str(guarded.id), "vault 1", "paused")
    assert stop["why"] == "paused by ann for 30 more minutes: by hand"


@pytest.mark.asyncio
async def test_sheet__when_a_loan_is_hedged__then_its_pair_is_told_and_both_pages_have_a_place_for_it(
    tmp_path: Path,
) -> None:
    made = paired(tmp_path)
    try:
        await made.running.tick(shown(made, "1700", short(1700)))
        told = state(made)
        ((pair,),) = (list(c["pairs"]) for c in told["chains"])
        assert (pair["loan"], pair["covered"]) == ("loan", True)
        owed = {row["label"]: row["debt_usd"] for row in rows(made)}
        assert owed["loan"] > 0
        assert owed["hedge"] is None
        board = Board("0", "live", ())
        board.hear({"kind": "state", **told}, 1.0)
        page = env().get_template("plain.html")
        text = page.render(told=board.told(1.0), rows=[])
        assert "<h2>Hedges</h2>" in text
        assert f"<td>{pair['net_usd']:,.0f}</td><td>{pair['short_health']:.2f} (at least" in text
        silent = page.render(told=board.told(100.0), rows=[])
        assert "<td>not known</td>" in silent
        board.state["chains"][0]["pairs"] = []
        assert "Hedges" not in page.render(told=board.told(1.0), rows=[])
    finally:
        made.journal.close()


def env() -> jinja2.Environment:
    """Templates as they are served."""
    loader = jinja2.FileSystemLoader(HERE / "templates")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
