"""``keeper canary``: a rescue of a tiny position for practice, through everything that a big one needs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from keeper.cli import arguments
from keeper.cli.arm import tell

POLL_S = 0.5
GOOD = ("SUCCEEDED", "REHEARSED")


def command(
    now: Annotated[bool, typer.Option("--now", help="Begin one now, and follow it to its end.")] = False,
    status: Annotated[bool, typer.Option("--status", help="How the last one went (the default).")] = False,
    why: Annotated[str, typer.Option("--why", help="A reason for the journal.")] = "",
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Rescue a tiny position for practice.

    The running daemon rescues the position of [canary] although it is in no need: planned, simulated, signed, sent
    and confirmed as any other, and told to every alarm target. Stages are printed with their times, at the end what
    it cost. It waits for everybody in need, and is refused after a failure until keeper ack.

    Example: keeper canary --now --why "after the new endpoint"
    """
    from keeper.cli.endings import drive, usage

    if now and status:
        raise usage("--status", "is given with --now, which tells the end anyway; keep one of them")
    if not now:
        raise typer.Exit(tell(config, {"do": "canary"}, json=json))
    raise typer.Exit(drive(_followed(config, why, json=json)))


async def _followed(config: Path, why: str, *, json: bool) -> int:
    """Ask for one, print each stage as it passes; 1 unless it succeeded."""
    from keeper.cli import table
    from keeper.cli.arm import actor, socket
    from keeper.cli.endings import say
    from keeper.errors import EXIT_FINDINGS, EXIT_OK
    from keeper.notify.control import ask

    path = socket(config)
    before = _run(await ask(path, {"do": "canary"})).get("begun_s")
    answer = await ask(path, {"do": "canary", "now": True, "why": why, "actor": actor()})
    told: set[str] = set()
    while answer.get("ok") is True:
        run = _run(answer)
        if run.get("begun_s") != before:
            told |= _printed(run, told, quiet=json)
            if run.get("state") != "RUNNING":
                break
        elif not answer.get("asked"):
            answer = {**answer, "ok": False, "why": f"not begun: {answer.get('waiting')}"}
            break
        await asyncio.sleep(POLL_S)
        answer = await ask(path, {"do": "canary"})
    if json:
        print(table.document(answer))
    elif answer.get("ok") is True:
        print(f"{_run(answer).get('said')}")
    if answer.get("why"):
        say(str(answer["why"]))
    return EXIT_OK if _run(answer).get("state") in GOOD and answer.get("ok") is True else EXIT_FINDINGS


def _run(answer: Mapping[str, object]) -> Mapping[str, object]:
    run = answer.get("run")
    return run if isinstance(run, Mapping) else {}


def _printed(run: Mapping[str, object], told: set[str], *, quiet: bool) -> set[str]:
    """Print the stages that are not ``told``; their names."""
    passed = run.get("passed")
    found = {str(k): float(v) for k, v in passed.items()} if isinstance(passed, Mapping) else {}
    for stage, at_s in found.items():
        if stage not in told and not quiet:
            print(f"{stage:<11} {at_s - float(str(run.get('begun_s'))):6.1f} s", flush=True)
    return set(found)
