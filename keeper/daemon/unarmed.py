"""A live daemon that sends nothing says so for as long as that lasts: whoever disarmed it may have forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keeper.daemon.loop import ChainLoop
from keeper.daemon.watched import Watched, why_not_sent
from keeper.model import Level
from keeper.notify.alarm import Alarms
from keeper.seams import Clock, Severity

CODE = "not_armed"
GRACE_S = 60.0
"""Between a start, or a reload, and `keeper arm` all is as it should be."""
AGAIN_S = 3_600.0
KNOWN_S = 86_400.0
"""Once somebody has acknowledged it: no oftener, and never not at all."""
NAMED_MAX = 5


class Unarmed:
    """Asked again and again; raises, repeats and clears ``not_armed``, a subject a chain."""

    def __init__(self, alarms: Alarms, clock: Clock, acknowledged_s: Callable[[], float]) -> None:
        """``acknowledged_s``: wall time up to which everything is known to somebody."""
        self._alarms = alarms
        self._clock = clock
        self._acknowledged_s = acknowledged_s
        self._since: dict[str, tuple[float, float]] = {}
        """Chain -> since when nothing is sent there: monotonic, and by the wall."""

    def look(self, chains: Sequence[Watched]) -> None:
        """Say what must be said of each chain. A fault that ended acting, or a chain unseen, alarms by itself."""
        for watched in chains:
            loop = watched.loop
            if loop is None or loop.last is None or loop.broken or loop.stops.unwritable:
                continue
            if not loop.parts.dry and why_not_sent(loop):
                self._say(watched.chain.name, loop)
            else:
                self._since.pop(watched.chain.name, None)
                self._alarms.clear(CODE, watched.chain.name)

    def _say(self, chain: str, loop: ChainLoop) -> None:
        now_s = self._clock.monotonic_s()
        since_s, wall_s = self._since.setdefault(chain, (now_s, self._clock.now_s()))
        pause = loop.stops.pause
        cause = "disarmed" if pause is None else "paused"
        end = "`keeper arm` tells what would be done, and arms" if pause is None else pause.why
        near = _near(loop)
        if near:
            told = f"{cause}: nothing is sent on {chain}, and within their warning line or unknown: {near}; {end}"
            self._alarms.raise_alarm(Severity.CRITICAL, CODE, chain, told)
        elif now_s - since_s >= GRACE_S:
            told = (
                f"{cause}: watched and alarmed, and nothing would be sent on {chain} whatever happens; {end}"
            )
            known = self._acknowledged_s() > wall_s
            every_s = KNOWN_S if known else AGAIN_S
            self._alarms.raise_alarm(Severity.WARNING, CODE, chain, told, every_s)


def _near(loop: ChainLoop) -> str:
    """Positions that may soon need what is not sent, by label; unknown is never healthy."""
    outlooks = loop.last.outlooks if loop.last is not None else ()
    ids = {o.id for o in outlooks if o.level is not Level.SAFE}
    labels = [g.label for g in loop.parts.guarded if g.id in ids]
    more = f" and {len(labels) - NAMED_MAX} more" if len(labels) > NAMED_MAX else ""
    return f"{', '.join(labels[:NAMED_MAX])}{more}"
