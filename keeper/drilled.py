"""Which configurations have passed a drill: a line each beside the journal, read by those who arm one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.config import PositionSettings, Settings

FILE = "drills.jsonl"
LINE_BYTES_MAX = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """One passed drill."""

    digest: str
    """Of the configuration that passed: a change of what decides about money asks for another drill."""
    position: str
    """As ``name_of`` names it."""
    shock: str
    largest_step: float
    at_s: float


def keep(settings: Settings, passed: Drilled) -> None:
    """Add a line to the state directory's record. Raises OSError."""
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    line = {name: getattr(passed, name) for name in Drilled.__slots__}
    with place(settings).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def passed(settings: Settings) -> dict[str, Drilled]:
    """Position -> its newest passed drill of exactly this configuration."""
    found: dict[str, Drilled] = {}
    try:
        lines = place(settings).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}  # none was kept, or nobody may read it: both mean that none is known
    for line in lines:
        one = _drilled(line)
        if one is not None and one.digest == settings.digest:
            found[one.position] = one
    return found


def missing(settings: Settings) -> list[str]:
    """Labels of guarded positions that never passed a drill under exactly this configuration."""
    done = passed(settings)
    return [p.label for p in settings.positions if name_of(settings, p) not in done]


def name_of(settings: Settings, position: PositionSettings) -> str:
    """A guarded position by what does not depend on how the file names things."""
    venue = settings.venue(position.venue)
    chain_id = settings.chain(venue.chain).chain_id
    return f"{venue.kind}:{chain_id}:{venue.provider}:{venue.market or ''}:{position.account}"


def warning(settings: Settings) -> str | None:
    """What whoever arms the configuration should hear; None where every position has passed."""
    lacking = missing(settings)
    if not lacking:
        return None
    some = ", ".join(lacking[:4]) + (f" and {len(lacking) - 4} more" if len(lacking) > 4 else "")
    return (
        f"never passed a drill with this configuration: {some}; `keeper drill` proves on a fork of the chain what it "
        "would do"
    )


def place(settings: Settings) -> Path:
    """The file."""
    return settings.state_dir / FILE


def _drilled(line: str) -> Drilled | None:
    """None for a line that is none: cut short by a full disk, or another version's."""
    try:
        body = json.loads(line[:LINE_BYTES_MAX])
    except json.JSONDecodeError:
        return None
    if not isinstance(body, Mapping):
        return None
    kinds = {"digest": str, "position": str, "shock": str, "largest_step": float, "at_s": float}
    if not all(isinstance(body.get(name), kind) for name, kind in kinds.items()):
        return None
    return Drilled(**{name: body[name] for name in kinds})
