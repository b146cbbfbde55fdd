"""Writes build/figures.json: each run replaces the names it measured and keeps the others."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "build" / "figures.json"


def record(
    name: str,
    value: float | int | str | None,
    *,
    unit: str = "",
    bound: str = "",
    holds: bool | None = None,
    evidence: str = "",
    n: int | None = None,
    seed: int | None = None,
) -> None:
    """Keep one figure. ``holds`` is None where this machine cannot tell; ``evidence``: what it stands on."""
    figure = {
        "name": name,
        "value": value,
        "unit": unit,
        "bound": bound,
        "holds": holds,
        "evidence": evidence,
        "n": n,
        "seed": seed,
        "commit": commit(),
        "machine": machine(),
    }
    with _locked():
        kept = [f for f in read() if f["name"] != name]
        text = json.dumps(sorted([*kept, figure], key=lambda f: str(f["name"])), indent=1)
        fresh = FIGURES.with_suffix(".tmp")
        fresh.write_text(text + "\n", encoding="utf-8")
        fresh.replace(FIGURES)


def read() -> list[dict[str, object]]:
    """Every figure kept so far."""
    if not FIGURES.is_file():
        return []
    loaded: list[dict[str, object]] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return loaded


def commit() -> str:
    """The commit measured, with ``+`` when the tree has changes; empty outside git."""
    head = _git("rev-parse", "--short", "HEAD")
    return head + ("+" if head and _git("status", "--porcelain", "-uno") else "")


def machine() -> str:
    """Processor count, architecture and interpreter."""
    return f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}"


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


@contextmanager
def _locked() -> Iterator[None]:
    """One writer at a time, so that parallel runs lose nothing."""
    FIGURES.parent.mkdir(exist_ok=True)
    with open(FIGURES.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
