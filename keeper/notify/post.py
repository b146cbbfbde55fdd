"""Ways out: apprise for people, a thread a target, and a plain GET for the dead man's switch. All bounded."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp

from keeper.dialing import connector
from keeper.notify.courier import Undelivered
from keeper.notify.targets import Target
from keeper.seams import Clock, Severity

SEND_S_MAX = 20.0
PING_S_MAX = 10.0
FED_S_MAX = 30.0
"""As long as systemd waits: older signs of life are none."""
_TYPE = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}


class ApprisePost:
    """One target through apprise, on its own thread: one that hangs holds up no other, and no look-up of a host."""

    def __init__(self, plugin: Any, wait_s: float = SEND_S_MAX) -> None:
        self._plugin = plugin
        self._wait_s = wait_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="alarm")

    async def send(self, title: str, body: str, severity: Severity) -> None:
        """Raises Undelivered: refused, unreachable, broken on the way, or no answer in time."""
        sending = asyncio.get_running_loop().run_in_executor(
            self._thread,
            lambda: self._plugin.notify(body=body, title=title, notify_type=_TYPE[severity]),
        )
        try:
            await asyncio.wait([sending], timeout=self._wait_s)
            if not sending.done():
                raise Undelivered(f"no answer within {self._wait_s:.0f} s")
        finally:
            # behind one that hangs it would be sent late, and again
            sending.cancel()
        if (broke := sending.exception()) is not None:
            # other people's code, which may meet any answer: its words may hold the target's URL
            raise Undelivered(type(broke).__name__)
        if not sending.result():
            raise Undelivered("it was refused or cannot be reached (the log names the cause)")


def posts_for(
    targets: Sequence[Target],
) -> tuple[tuple[tuple[Target, ApprisePost], ...], tuple[str, ...]]:
    """(targets with their way out, problems). Without apprise every target is a problem, and nothing else is."""
    try:
        import apprise
    except ImportError:
        return (), ("apprise is not installed: install keeper[alarms]",) if targets else ()
    found: list[tuple[Target, ApprisePost]] = []
    problems: list[str] = []
    for target in targets:
        plugin = apprise.Apprise.instantiate(target.url, suppress_exceptions=True)
        if plugin is None:
            problems.append(f"{target.name}: is no URL that apprise understands")
        else:
            # the courier's own pace holds: a second alarm must not wait five seconds for the first
            plugin.request_rate_per_sec = 0
            found.append((target, ApprisePost(plugin)))
    return tuple(found), tuple(problems)


class DeadManSwitch:
    """Tells an outside URL that the daemon lives; silence is what raises the alarm there."""

    def __init__(self, url: str, every_s: float, clock: Clock) -> None:
        self._url = url
        self._every_s = every_s
        self._clock = clock
        self._fed_s: float | None = None

    def __repr__(self) -> str:
        return "DeadManSwitch()"

    def feed(self) -> None:
        """The watchdog was fed: the daemon makes progress."""
        self._fed_s = self._clock.monotonic_s()

    @property
    def alive(self) -> bool:
        """Whether the watchdog was fed lately."""
        return self._fed_s is not None and self._clock.monotonic_s() - self._fed_s <= FED_S_MAX

    async def ping(self) -> None:
        """One GET, when the daemon lives. Raises Undelivered."""
        if not self.alive:
            return
        try:
            timeout = aiohttp.ClientTimeout(total=PING_S_MAX)
            async with (
                aiohttp.ClientSession(connector=connector(), timeout=timeout) as session,
                session.get(self._url) as answer,
            ):
                if answer.status >= 400:
                    raise Undelivered(f"it answered {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as e:
            raise Undelivered(f"{type(e).__name__}") from e

    @property
    def every_s(self) -> float:
        """Seconds between two pings."""
        return self._every_s


def is_url(text: str) -> bool:
    """Whether a file's content can be pinged."""
    return re.fullmatch(r"https?://\S+", text) is not None
