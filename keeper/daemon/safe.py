"""Safe mode: after repeated crashes the daemon comes back with what a rescue needs, and with nothing else.

What stays is watching every block, deciding, planning, sending and confirming. What goes is everything that a crash
may hide in and that no rescue needs: compiled kernels (the same functions run as plain Python), the solver (ways are
ranked one by one, as where the solver gives up), an aggregator, the status page, the chat, and the slow jobs but two.
"""

from __future__ import annotations

from dataclasses import replace

from keeper.config import Settings
from keeper.config.telling import PageSettings, TelegramSettings
from keeper.decision.problem import Problem, Solution
from keeper.errors import Broken
from keeper.model import Refusal
from keeper.seams import Alarm, Clock, Severity

CODE = "safe_mode"
JOBS = ("prune", "executors")
"""Slow jobs that stay: a journal that grows without end is a crash to come, and an Executor that was doubted at the
start must come back."""
AGAIN_S = 60.0


def simplified(settings: Settings) -> Settings:
    """``settings`` without what no rescue needs; arming holds as before."""
    return replace(
        settings,
        safe_mode=True,
        canary=None,
        chains=tuple(replace(c, aggregator=None) for c in settings.chains),
        page=PageSettings(),
        telegram=TelegramSettings(),
    )


def no_solver(problem: Problem) -> Solution | Refusal:
    """In the solver's place: it always gives up, and each way is then judged by itself. Raises Broken."""
    raise Broken("safe mode works without the solver")


async def remind(why: str, alarms: Alarm, clock: Clock) -> None:
    """Say it for as long as it lasts: the alarm repeats by its age."""
    told = (
        f"{why}; positions are guarded without page, chat, solver and slow jobs: find out why, then restart"
    )
    while True:
        alarms.raise_alarm(Severity.CRITICAL, CODE, "", told)
        await clock.sleep(AGAIN_S)
