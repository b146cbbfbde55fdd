"""The status page in a real headless Chromium: what it shows, what it runs, whom it can be read by, how it looks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keeper.chain.endpoint import EndpointStatus, State
from keeper.clock import SystemClock
from keeper.daemon.control import Blind
from keeper.daemon.paging import sheet
from keeper.daemon.stops import PAUSE
from tests.bench.figures import ROOT
from tests.page_browser import AXE, browser
from tests.page_stage import HOSTILE, TOKEN, Stage, crowd, hostile, staged

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
SHOTS = ROOT / "build" / "screenshots"
FALL = (
    "2100",
    "2060",
    "2075",
    "2020",
    "1990",
    "2000",
    "1950",
    "1900",
    "1915",
    "1880",
    "1860",
    "1870",
    "1850",
    "1820",
)
ENDPOINTS = (
    EndpointStatus(name="home", state=State.UP, latency_ms=11.0, last_error="", head_number=114),
    EndpointStatus(name="backup", state=State.UP, latency_ms=84.0, last_error="", head_number=114),
)
COVERED = {
    "loan": "loan",
    "short": "hedge",
    "net_usd": 1_200.0,
    "short_health": 1.8,
    "short_health_least": 1.2,
    "covered": True,
    "share": 0.95,
    "why": "the short covers it",
}
SHADE = "(({filter, opacity}) => [filter, opacity])(getComputedStyle(document.getElementById('pairs-box')))"
"""How the box of hedges is drawn."""
VIEWS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1360, "height": 1240}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1360, "height": 1240}, "color_scheme": "dark"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": "light",
        "is_mobile": True,
        "has_touch": True,
    },
}


@asynccontextmanager
async def seen(on: Browser, stage: Stage, view: str = "desktop") -> AsyncIterator[tuple[Page, list[str]]]:
    """A page that has heard of the positions, and whatever it complained about."""
    context = await on.new_context(locale="en-GB", **VIEWS[view])
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: complaints.append(str(e)))
    await page.goto(stage.url)
    await page.wait_for_selector("#positions li")
    try:
        yield page, complaints
    finally:
        await context.close()


async def violations(page: Page) -> list[str]:
    """Serious and critical faults by axe-core's rules."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (make setup installs it)")
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{v['id']}: {v['nodes'][0]['html'][:120]} ({v['nodes'][0].get('failureSummary', '')[:160]})"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]


async def text(page: Page, selector: str) -> str:
    return (await page.text_content(selector) or "").strip()


async def until(page: Page, script: str) -> None:
    # asked again from outside: inside the page its policy lets no string become a script
    for _ in range(900):
        if await page.evaluate(script):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(script)


@pytest.mark.asyncio
async def test_page__when_some_are_in_danger__then_said_first_without_fault_as_screenshots_show(
    tmp_path: Path,
) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    labels = ["treasury", "ETH long", "family vault", "BTC and ETH", "small one", "cold"]
    async with staged(tmp_path, 12, labels=labels) as stage, browser() as on:
        stage.on.endpoints = ENDPOINTS
        for price in FALL:
            await stage.tick(*crowd(12, price))
            await asyncio.sleep(0.3)
        for view in VIEWS:
            async with seen(on, stage, view) as (page, complaints):
                await page.wait_for_selector("#surface td")
                await page.wait_for_selector("#story li")
                await page.wait_for_selector("#history canvas")
                assert await text(page, "#sentence") == "2 positions URGENT: health below emergency"
                assert await page.get_attribute("body", "data-tone") == "danger"
                assert await text(page, "#positions li .name") == "treasury"
                assert "decision: health" in await text(page, "#story")
                assert await page.locator("#heat tbody tr").count() == 12
                assert "debt liquidatable, USD" in await text(page, "#heat tfoot tr th")
                sums = await page.locator("#heat tfoot td").all_text_contents()
                assert len(sums) == await page.locator("#heat tbody tr").first.locator("td").count()
                assert all(s.startswith("$") for s in sums)
                assert sums[-1] != "$0"
                # nothing is wider than what it is looked at with
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
                await page.screenshot(path=SHOTS / f"{view}.png", full_page=view == "phone")
                assert await violations(page) == []
                assert complaints == []
                if view == "desktop":
                    await switched(page)
                    await acknowledged(page, stage)
                    await paused(page, stage)


async def paused(page: Page, stage: Stage) -> None:
    """A position that somebody paused says so in its row, above, and on the plain page, before any block."""
    guarded = next(g for g in stage.on.running.parts.guarded if g.label == "cold")
    until_s = SystemClock().now_s() + 1_800.0
    stage.on.journal.set_control(f"{PAUSE}:{guarded.id}", repr(until_s), "ann", "by hand")
    row = f"document.querySelector('[data-id=\"{guarded.id}\"]')"
    await until(page, f"{row}.dataset.stopped === 'yes'")
    assert "STOPPED (paused): paused by ann for" in await page.evaluate(f"{row}.textContent")
    await until(page, "document.getElementById('more').textContent.includes('cold STOPPED (paused)')")
    assert await text(page, "#chains .chip") == "DRY-RUN, 1 STOPPED"
    assert await violations(page) == []
    await page.goto(f"{stage.url}/plain")
    plain = await text(page, "main")
    assert "STOPPED (paused): paused by ann for" in plain
    assert "1 STOPPED" in plain
    stage.on.journal.set_control(f"{PAUSE}:{guarded.id}", None, "ann", "over")


async def switched(page: Page) -> None:
    """The theme that was chosen is there again after a reload."""
    await page.click("#theme")
    dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    await page.reload()
    await page.wait_for_selector("#positions li")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


async def acknowledged(page: Page, stage: Stage) -> None:
    """Alarms are taken as known with the token alone, and the journal says by whom and why."""
    await page.click("#ack")
    await page.fill("#ack-why", "I am awake")
    await page.fill("#ack-token", "not the token")
    await page.click("#ack-form .primary")
    await until(page, "document.getElementById('ack-said').textContent.includes('wrong token')")
    assert stage.on.journal.control("acknowledged") is None
    await page.fill("#ack-token", TOKEN)
    await page.click("#ack-form .primary")
    await until(page, "!document.getElementById('ack-dialog').open")
    control = stage.on.journal.control("acknowledged")
    assert control is not None
    assert (control.actor, control.why) == ("page", "I am awake")
    await until(page, "!document.body.textContent.includes('NOT ACKNOWLEDGED')")


@pytest.mark.asyncio
async def test_page__when_what_it_is_told_is_markup__then_text__and_when_told_nothing__then_nothing_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "pair_rows", lambda watched: [COVERED])
    async with staged(tmp_path, 4, labels=[HOSTILE]) as stage, browser() as on:
        first, *others = crowd(4, "4000")
        await stage.tick(hostile(first), *others)
        async with seen(on, stage) as (page, complaints):
            await until(page, "document.body.dataset.tone === 'calm'")
            await until(page, "document.getElementById('positions').textContent.includes('onerror')")
            assert await text(page, "#pairs .chip") == "COVERED"
            assert await page.evaluate(SHADE) == ["none", "1"]
            await bounded(page, stage)
            await stage.tick(hostile(first), *others)
            await until(page, "document.body.dataset.tone === 'calm'")
            await page.click("#positions li[data-id$=':0xb2b2b2b2b2B2b2B2B2b2b2B2B2b2B2B2b2b2b2b2'] >> nth=0")
            stage.on.blind = Blind(why=HOSTILE, since_s=1.0)
            await until(page, "document.body.dataset.tone === 'danger'")
            await until(page, "document.querySelectorAll('#positions li[data-level=UNKNOWN]').length === 4")
            assert HOSTILE in await text(page, "#sentence")
            assert "OLD: SAFE at" in await text(page, "#positions li .old")
            assert set(await page.locator("#positions .health").all_text_contents()) == {"\u2013"}
            assert await page.evaluate("document.querySelectorAll('main img, main script').length") == 0
            assert (await page.title()).endswith(HOSTILE)
            assert await violations(page) == []
            other = await page.context.new_page()
            await other.goto(f"{stage.url}/plain")
            assert HOSTILE in await text(other, "body")
            assert "OLD" in (await text(other, "body")).upper()
            assert await other.locator("img, script").count() == 0
            await other.close()
            assert complaints == []
            stage.life.cancel()
            await until(page, "document.body.dataset.live === 'no'")
            assert "NOT LIVE" in await text(page, "#sentence")
            assert await page.get_attribute("body", "data-tone") == "lost"
            # what stood last is no cover now, and looks old
            assert await text(page, "#pairs .chip") == "NOT KNOWN"
            shade, opacity = await page.evaluate(SHADE)
            assert shade == "grayscale(1)"
            assert float(opacity) < 1


async def bounded(page: Page, stage: Stage) -> None:
    """A sum to which a position is missing is a least; where nothing else fails it is not known, and never 0."""
    *read, _ = crowd(4, "2400")
    await stage.tick(*read)
    await until(page, "document.querySelectorAll('#positions li[data-level=UNKNOWN]').length === 1")
    await until(page, "document.querySelector('#heat tfoot th').textContent.endsWith('(1 unknown)')")
    sums = await page.locator("#heat tfoot td").all_text_contents()
    assert set(sums) > {"?"}
    assert all(s == "?" or re.fullmatch(r"\u2265 \$[\d.,]+[KMB]?", s) for s in sums), sums
    hints = await page.locator("#heat tfoot td").evaluate_all("cells => cells.map((c) => c.title)")
    assert set(hints) == {"1 unknown"}
