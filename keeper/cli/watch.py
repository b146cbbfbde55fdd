"""``keeper watch``: what the running daemon sees, live on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from keeper.cli import arguments

HEADERS = ("chain", "position", "level", "health", "to liquidation", "what is known")
NAMED_MAX = 8
"""So many stopped positions are named above the table; each of them says it in its own row."""
ALARMS_MAX = 8
"""So many alarms fit beside the positions; the page and the journal hold all of them."""
ERROR_MAX = 90
"""Of what an endpoint's last failure said."""
STOPPED = "STOPPED"
LOST_S_MAX = 86_400.0
"""A terminal that was forgotten ends some time."""


def command(
    every: Annotated[
        float, typer.Option("--every", min=0.2, max=60.0, help="Seconds between two looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One look, then stop.")] = False,
    config: arguments.Config = arguments.CONFIG,
) -> None:
    """Watch the running daemon.

    Positions with level, health and distance, chains with block and state, each endpoint by name, the alarms that
    stand and the newest plans with their why, as the daemon judged them last; what is not
    known at this moment is shown as UNKNOWN with what was known, and its block. Asks the daemon, never the
    chain. Ctrl-C ends it; the daemon goes on.

    Example: keeper watch --config keeper.toml
    """
    import asyncio
    import sys

    from keeper.cli.arm import socket
    from keeper.cli.endings import drive
    from keeper.notify.control import ask

    # its secrets may be the unit's alone, or it may be broken by now: the daemon is asked all the same
    daemon = socket(config)
    first = asyncio.run(ask(daemon, {"do": "status"}))
    if once or not sys.stdout.isatty():
        from keeper.cli.table import plain

        above = [*head_lines(first), *endpoint_lines(first), *alarm_lines(first), *plan_lines(first)]
        print("\n".join([*above, "", plain(HEADERS, rows(first))]))
        return
    drive(_live(daemon, every))


async def _live(daemon: Path, every_s: float) -> None:
    """Redraw until interrupted; a daemon that is gone is said, with its age, over what it said last."""
    import asyncio
    import contextlib
    import time

    from rich.live import Live

    from keeper.errors import Transient
    from keeper.notify.control import ask

    body: Mapping[str, Any] = {}
    seen_s = time.monotonic()
    with Live(auto_refresh=False, screen=False) as live:
        while time.monotonic() - seen_s < LOST_S_MAX:
            with contextlib.suppress(Transient):  # the age below says so
                body, seen_s = await ask(daemon, {"do": "status"}), time.monotonic()
            live.update(screen(body, time.monotonic() - seen_s), refresh=True)
            await asyncio.sleep(every_s)


def screen(body: Mapping[str, Any], age_s: float) -> Any:
    """Everything of one look, for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from keeper.cli.table import STYLE

    table = Table(*HEADERS, box=None, header_style="dim", pad_edge=False)
    for row in rows(body):
        # Text, not markup: labels are the user's, reasons come from strangers' nodes
        table.add_row(
            *(Text(cell, style="bold red" if _halts(cell) else STYLE.get(cell, "")) for cell in row)
        )
    lines = [Text(line, style="bold red" if alarming(line) else "") for line in head_lines(body)]
    lines += [Text(line, style="dim") for line in endpoint_lines(body)]
    lines += [
        Text(line, style="bold red" if line.startswith("CRITICAL") else "") for line in alarm_lines(body)
    ]
    lines += [Text(line) for line in plan_lines(body)]
    if age_s > 5:
        lines.insert(
            0, Text(f"NO DAEMON ANSWERS for {age_s:.0f} s; below is what it said last", style="bold red")
        )
    return Group(*lines, Text(""), table)


def _halts(cell: str) -> bool:
    return cell.startswith(f"{STOPPED}: ")


def alarming(line: str) -> bool:
    """Whether a chain's line says that it is not watched, or not acted on, as it should be."""
    return any(word in line for word in ("BLIND", "STOPPED", "NOT ARMED", "PAUSED", "NOT COVERED"))


def head_lines(body: Mapping[str, Any]) -> list[str]:
    """A line a chain, and one where positions never passed a drill."""
    told = []
    for chain in body.get("chains", ()):
        state = "watching"
        if chain["blind"]:
            state = f"BLIND: {chain['blind']['why']}"
        elif chain["broken"]:
            state = f"STOPPED acting: {chain['broken']}"
        elif chain.get("paused"):
            state = f"watching, PAUSED: {chain['paused']}"
        elif body.get("mode") == "live" and not chain["armed"]:
            state = "watching, NOT ARMED: nothing is sent"
        busy = "" if chain["idle"] else ", a plan is on its way"
        usable = chain.get("endpoints")
        reach = "" if usable is None else f", {usable[0]} of {usable[1]} endpoints"
        told.append(
            f"{chain['chain']}: {body.get('mode')}, block {chain['block'] or '-'}{reach}, {state}{busy}"
        )
    told += stopped_lines(body)
    told += [pair_line(p) for chain in body.get("chains", ()) for p in chain.get("pairs", ())]
    told += [joint_line(j) for j in body.get("joint", ())]
    if body.get("never_drilled"):
        told.append(f"never passed a drill as configured: {', '.join(map(str, body['never_drilled']))}")
    return told


def endpoint_lines(body: Mapping[str, Any]) -> list[str]:
    """A line a chain: each endpoint by name with its state, in capitals unless it is up."""
    lines = []
    for chain in body.get("chains", ()):
        told = [_endpoint(e) for e in chain.get("endpoints_each", ())]
        if told:
            lines.append(f"{chain['chain']} endpoints: {', '.join(told)}")
    return lines


def _endpoint(e: Mapping[str, Any]) -> str:
    if e["state"] == "up":
        return f"{e['name']} up" + ("" if e["latency_ms"] is None else f" {e['latency_ms']:.0f} ms")
    error = f" ({e['error'][:ERROR_MAX]})" if e["error"] else ""
    return f"{e['name']} {str(e['state']).upper()}{error}"


def plan_lines(body: Mapping[str, Any]) -> list[str]:
    """Each chain's newest plan with its why, and whatever else of it is still under way."""
    labels = {p["id"]: p["label"] for chain in body.get("chains", ()) for p in chain["positions"]}
    lines = []
    for chain in body.get("chains", ()):
        plans = chain.get("plans", ())
        if plans is None:
            lines.append(f"{chain['chain']} plans: NOT KNOWN, the journal cannot be read")
            continue
        shown = [p for i, p in enumerate(plans) if i == 0 or p["open"]]
        lines += [f"{chain['chain']} plan: {_plan(p, labels.get(p['id'], p['id']))}" for p in shown]
    return lines


def _plan(p: Mapping[str, Any], about: str) -> str:
    tries = f", {p['tries']} tries" if p["tries"] > 1 else ""
    became = f" -> {p['became']}" if p["became"] not in ("", p["why"]) else ""
    return f"{p['state']} {about}, {p['strategy']}, block {p['block']}{tries}: {p['why']}{became}"


def stopped_lines(body: Mapping[str, Any]) -> list[str]:
    """A line for each kind of stop that keeps single positions from being acted for."""
    found: dict[str, list[str]] = {}
    for chain in body.get("chains", ()):
        for p in chain.get("positions", ()):
            if stop := p.get("stopped"):
                found.setdefault(str(stop["code"]), []).append(str(p["label"]))
    lines = []
    for code, labels in found.items():
        more = f" and {len(labels) - NAMED_MAX} more" if len(labels) > NAMED_MAX else ""
        lines.append(f"STOPPED ({code}): {', '.join(labels[:NAMED_MAX])}{more}")
    return lines


def pair_line(pair: Mapping[str, Any]) -> str:
    """A loan and its hedge."""
    word = {True: "covered", False: "NOT COVERED", None: "not known"}[pair["covered"]]
    net, health = pair.get("net_usd"), pair.get("short_health")
    legs = "" if net is None else f"; net {net:,.0f} USD"
    legs += "" if health is None else f", the short's health {health:.2f}"
    return f"{pair['loan']} and {pair['short']}: {word}: {pair['why']}{legs}"


def joint_line(joint: Mapping[str, Any]) -> str:
    """One owner's legs together; what is not known is named."""
    worth = "not known" if joint["worth_usd"] is None else f"{joint['worth_usd']:,.0f} USD"
    weakest = "" if joint["weakest"] is None else f", weakest {joint['weakest']}"
    lost = ", ".join(str(x["label"]) for x in joint["legs"] if x["unreadable"])
    where = len({x["chain"] for x in joint["legs"]})
    on = f" on {where} chains" if where > 1 else ""
    tail = f"; not known: {lost}" if lost else ""
    return f"joint {joint['owner'][:10]}: {len(joint['legs'])} legs{on}, worth {worth}{weakest}{tail}"


def alarm_lines(body: Mapping[str, Any]) -> list[str]:
    """What stands and is more than a note, the most severe first, by the labels of what it is about."""
    labels = {p["id"]: p["label"] for chain in body.get("chains", ()) for p in chain["positions"]}
    every = [a for holder in (body, *body.get("chains", ())) for a in holder.get("alarms", ())]
    # CRITICAL comes before WARNING by the alphabet too
    standing = sorted((a for a in every if a["severity"] != "INFO"), key=lambda a: str(a["severity"]))
    lines = []
    for a in standing:
        about = labels.get(a["subject"], a["subject"])
        lines.append(f"{' '.join(filter(None, (a['severity'], a['code'], about)))}: {a['why']}")
    more = len(lines) - ALARMS_MAX
    return [*lines[:ALARMS_MAX], *([f"and {more} more alarms"] if more > 0 else [])]


def rows(body: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row a position, the most severe first; health is that of the last judged block or none."""
    from keeper.model import Level
    from keeper.phrases import health_text

    rank: Callable[[Any], int] = [level.value for level in Level].index
    found = [(chain["chain"], p) for chain in body.get("chains", ()) for p in chain["positions"]]
    found.sort(key=lambda cp: (-rank(cp[1]["level"]), int(cp[1]["health_wad"] or 0)))
    made: list[tuple[str, ...]] = []
    for chain, p in found:
        known = p["last_known"]
        why = p["unreadable"] or ""
        if known is not None:
            was = health_text(int(known["health_wad"]))
            why = f"{why}; last known {known['level']} at {was}, block {known['block']}"
        if stop := p.get("stopped"):
            why = f"{STOPPED}: {stop['why']}{f'; {why}' if why else ''}"
        health = "-" if p["health_wad"] is None else health_text(int(p["health_wad"]))
        away = "" if p.get("distance") is None else f"{100 * p['distance']:+.1f} %"
        made.append((chain, str(p["label"]), str(p["level"]), health, away, why))
    return made
