"""A thousand guarded positions over doubles, judged block after block, with everything that speaks beside them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from keeper.config.telling import MetricsSettings, PageSettings
from keeper.daemon.announcing import Announcer
from keeper.daemon.paging import sheet
from keeper.daemon.paging.board import Board
from keeper.model import Position
from keeper.notify.metrics import Exposition
from keeper.risk.shocks import LIBRARY
from tests import build
from tests.build import USDC, WBTC, WETH, collateral, debt
from tests.loop_double import Loop, loop, settings
from tests.page_stage import account

VARIANTS = 20
"""Prices that the market walks through; in one of them a few positions are in need."""
NEEDY = 3


def variants(n: int, seed: int = 7) -> list[tuple[Position, ...]]:
    """``n`` positions at each of the market's prices."""
    dice = random.Random(seed)
    owed = [str(dice.randrange(6_000, 10_000)) for _ in range(n)]
    made = []
    for k in range(VARIANTS):
        price = "1800" if k == VARIANTS // 2 else f"{2_000 + dice.randrange(-60, 60)}"
        made.append(tuple(_position(i, price, "12800" if i < NEEDY else owed[i]) for i in range(n)))
    return made


def _position(i: int, price: str, owed: str) -> Position:
    own = [collateral(WETH, "10", price=price), *([collateral(WBTC, "0.05")] if i % 3 == 1 else [])]
    return build.position(own, [debt(USDC, owed)], account=account(i))


READ = """
import asyncio, sys, aiohttp
async def read(s, url):
    async with s.get(url + "/events") as r:
        async for _ in r.content.iter_any(): pass
async def scrape(s, url):
    while url:
        async with s.get(url) as r: await r.read()
        await asyncio.sleep(5)
async def main():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as s:
        await asyncio.gather(scrape(s, sys.argv[3]), *(read(s, sys.argv[1]) for _ in range(int(sys.argv[2]))))
asyncio.run(main())
"""


@asynccontextmanager
async def viewers(url: str, n: int, scraped: str = "") -> AsyncIterator[None]:
    """So many that read everything, and one that scrapes figures every five seconds, in a process of their own."""
    arguments = (sys.executable, "-c", READ, url, str(n), scraped)
    reading = await asyncio.create_subprocess_exec(*arguments, stderr=subprocess.DEVNULL)
    try:
        await asyncio.sleep(2.0)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            reading.kill()
        await reading.wait()


@dataclass(kw_only=True)
class Speaking:
    """A loop, and the announcer, the sheet, the board and the figures that live on it."""

    on: Loop
    announcer: Announcer
    board: Board
    exposition: Exposition

    async def block(self, positions: Sequence[Position]) -> None:
        """One block judged."""
        at = self.on.lay(*positions)
        tick = await self.on.running.tick(at)
        self.on.running.hand(tick)

    def told(self) -> int:
        """What the page is told of it and makes of it; its bytes."""
        given, now_s = self.announcer.settings, self.on.clock.now_s()
        running = self.on.running
        lines = [{"kind": "begin", "chain": "local", "feeds": list(sheet.feeds(running.last).values())}]
        lines[0] |= {"policies": sheet.policies(running), "shocks": sheet.shocks(running.last)}
        lines += [
            {"kind": "rows", "chain": "local", "rows": rows} for rows in sheet.positions(given, self.on)
        ]
        lines.append({"kind": "end", "chain": "local"})
        for line in lines:
            self.board.hear(orjson.loads(orjson.dumps(line)), now_s)
        self.announcer.look([self.on])
        ages, loud = self.announcer.judged_age_s([self.on]), self.announcer.escalation.unacknowledged
        at = sheet.moment(self.on.clock, ages, loud, (self.announcer.alarms, self.announcer.courier))
        state = {"kind": "state", **sheet.state(given, [self.on], at)}
        self.board.hear(orjson.loads(orjson.dumps(state)), now_s)
        return len(orjson.dumps(self.board.positions())) + len(orjson.dumps(self.board.told(now_s)))

    def scraped(self) -> int:
        """One scrape of the figures; its bytes."""
        return len(self.exposition.text(self.announcer.figures([self.on]), self.announcer.counts.copy()))


def speaking(home: Path, n: int) -> Speaking:
    """Over ``n`` accounts, in dry-run, on the doubles' own clock."""
    on = loop(home, dry=True, accounts=[account(i) for i in range(n)])
    on.loop = type(on.running)(replace(on.running.parts, shocks=LIBRARY), on.running.venues)
    given = replace(
        settings(home, "dry-run"),
        page=PageSettings(host="127.0.0.1"),
        metrics=MetricsSettings(),
        shocks_pct=(-5.0, -10.0, -20.0, -30.0, -40.0, -50.0),
    )
    announcer = Announcer(given, on.journal, on.clock)
    on.alarms._tell = announcer.tell
    return Speaking(
        on=on, announcer=announcer, board=Board("0", "dry-run", given.shocks_pct), exposition=Exposition()
    )
