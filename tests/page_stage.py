"""The status page over a loop double: the real process, fed by the real code, with positions as a test wants them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from eth_utils.address import to_checksum_address

from keeper.clock import SystemClock
from keeper.config import Settings
from keeper.config.telling import PageSettings
from keeper.daemon.announcing import Announcer
from keeper.daemon.control import Controls
from keeper.daemon.paging.child import PageChild
from keeper.model import Position, Token
from keeper.notify.alarm import Alarms
from keeper.risk.shocks import LIBRARY
from tests import build
from tests.build import DAI, USDC, WBTC, WETH, collateral, debt
from tests.loop_double import CHAIN, Loop, loop, settings

TOKEN = "a token of a test, long enough"
HOSTILE = (
    '<img src=x onerror="document.title=\'owned\'"></script><script>document.title="owned"</script>{{7*7}}'
)


@dataclass(kw_only=True)
class Stage:
    """A page that is served, and what feeds it."""

    on: Loop
    announcer: Announcer
    page: PageChild
    settings: Settings
    life: asyncio.Task[None]
    shown: list[Loop]
    """The chains that the page is told of; a test may take one away."""

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self.page.port}"

    async def tick(self, *positions: Position) -> None:
        """One block that shows these positions, judged; the page hears of it within a second."""
        self.on.clock.advance(SystemClock().now_s() - self.on.clock.now_s())
        await self.on.running.tick(self.on.lay(*positions))


def account(i: int) -> str:
    """The account of the i-th position."""
    return to_checksum_address(f"0x{i + 1:040x}")


def crowd(n: int, price: str = "2000") -> list[Position]:
    """``n`` positions, most of them far from harm, the first ones nearer and nearer to it."""
    made = []
    for i in range(n):
        owed = str(15_900 - 900 * i) if i < 6 else str(9_000 - (i % 40) * 100)
        own = [collateral(WETH, "10", price=price)]
        if i % 3 == 1:
            own.append(collateral(WBTC, "0.05"))
        owe = [debt(USDC, owed)] if i % 4 else [debt(USDC, str(int(owed) - 500)), debt(DAI, "500")]
        made.append(build.position(own, owe, account=account(i)))
    return made


def hostile(of: Position) -> Position:
    """The same with a token whose symbol is a stranger's idea of markup."""
    first = of.collateral[0]
    token = Token(
        chain_id=first.amount.token.chain_id,
        address=first.amount.token.address,
        symbol=HOSTILE,
        decimals=first.amount.token.decimals,
    )
    return replace(
        of, collateral=(replace(first, amount=replace(first.amount, token=token)), *of.collateral[1:])
    )


@asynccontextmanager
async def staged(
    home: Path, n: int, *, token: str = TOKEN, labels: Sequence[str] = (), port: int = 0
) -> AsyncIterator[Stage]:
    """A page over ``n`` guarded positions in dry-run, none of them judged yet."""
    on = loop(home, dry=True, accounts=[account(i) for i in range(n)])
    clock = SystemClock()
    on.clock.advance(clock.now_s() - on.clock.now_s())
    on.alarms = Alarms(on.journal.record, clock, build.CHAIN_ID, lambda told: made.tell(told))
    guarded = tuple(
        replace(g, label=label) for g, label in zip(on.running.parts.guarded, labels, strict=False)
    )
    parts = replace(
        on.running.parts,
        clock=clock,
        alarms=on.alarms,
        guarded=(*guarded, *on.running.parts.guarded[len(guarded) :]),
        shocks=LIBRARY,
    )
    on.loop = type(on.running)(parts, on.running.venues)
    token_file = home / "page.token"
    token_file.touch(mode=0o600)
    token_file.write_text(token)
    given = replace(
        settings(home, "dry-run"),
        page=PageSettings(host="127.0.0.1", port=port, token_file=token_file if token else None),
        shocks_pct=(-5.0, -10.0, -20.0, -30.0, -40.0, -50.0),
    )
    given.journal_path.unlink(missing_ok=True)
    given.journal_path.symlink_to(on.journal.path)
    made = Announcer(given, on.journal, clock)
    controls = Controls(given, on.journal, [on])
    page = PageChild(given, made, controls.answer, clock)
    shown = [on]
    life = asyncio.create_task(page.run(lambda: shown))
    try:
        while not page.port:
            await asyncio.sleep(0.02)
            if life.done():
                life.result()
        yield Stage(on=on, announcer=made, page=page, settings=given, life=life, shown=shown)
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        on.journal.close()


__all__ = ["CHAIN", "HOSTILE", "TOKEN", "Stage", "account", "crowd", "hostile", "staged"]
