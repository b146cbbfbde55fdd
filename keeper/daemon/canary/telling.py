"""A rescue for practice in words: the notice to people, the alarm, the lines of ``keeper canary``. Pure."""

from __future__ import annotations

from keeper.config.canary import HOUR_S, CanarySettings
from keeper.daemon.canary.record import Run, State
from keeper.phrases import health_text, usd_text


def notice(run: Run, *, dry: bool) -> str:
    """What every target is told; that it arrives is the last stage."""
    if dry:
        return (
            "a rescue for practice was planned and simulated; dry-run: nothing was signed or sent, so key, "
            "chain and effect are not proven"
        )
    return f"a rescue for practice is settled: {_effect(run)}; this notice is the last of its stages"


def failed_why(run: Run) -> str:
    """The stage before the colon: an alarm's cause is what stands there."""
    return f"{run.at}: the rescue for practice died there: {run.why}; a real one may: look, then keeper ack"


def ended_lines(run: Run) -> list[str]:
    """How it ended, stage by stage."""
    told = [f"{stage} after {at_s - run.begun_s:.1f} s" for stage, at_s in run.passed]
    passed = f"passed: {', '.join(told)}" if told else "no stage passed"
    if run.state is State.SUCCEEDED:
        return [f"{run.position}: succeeded: {_effect(run)}", passed]
    if run.state is State.REHEARSED:
        return [f"{run.position}: dry-run: planned and simulated, nothing signed or sent", passed]
    if run.state is State.PUT_OFF:
        return [f"{run.position}: put off: {run.why}"]
    if run.state is State.RUNNING:
        return [f"{run.position}: under way, at {run.at}: {run.why}", passed]
    return [f"{run.position}: FAILED at {run.at}: {run.why}", passed]


def standing_lines(settings: CanarySettings, last: Run | None, hindered: str, now_s: float) -> list[str]:
    """The answer to ``--status``."""
    every = "only when asked for"
    if settings.every_s is not None:
        every = f"every {settings.every_s / HOUR_S:.0f} h"
    lines = [
        f"{settings.position}: {every}, at most ${settings.spend_usd_max} and ${settings.gas_usd_max} of gas"
    ]
    if last is None:
        lines.append("none yet")
    else:
        ago_h = (now_s - (last.ended_s or last.begun_s)) / HOUR_S
        lines += [f"{ago_h:.1f} h ago, asked by {last.by}:", *(f"  {line}" for line in ended_lines(last))]
    if hindered:
        lines.append(f"none may begin now: {hindered}")
    return lines


def _effect(run: Run) -> str:
    gas = "gas unpriced" if run.gas_usd is None else f"gas {usd_text(run.gas_usd)}"
    return f"health {health_text(run.health_wad)}, {gas}, ${run.moved_usd or 0} moved, {run.tx_hash}"
