"""How often the daemon ended without being stopped, told from its own journal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keeper.errors import KeeperError
from keeper.journal.read import Reader
from keeper.model import Entry

CRASHES = 3
WITHIN_S = 600.0
"""So many starts that no stop followed, within so long, and the next one is safe."""
ENTRIES = 64


def crashes(story: Sequence[Entry], now_s: float) -> int:
    """How many of the newest starts within WITHIN_S ended without a stop; ``story`` is oldest first.

    The last start counts as well: whoever asks has not written his own yet. A stop that was meant clears what
    was before it: somebody was there.
    """
    count = 0
    for entry in story:
        if entry.kind == "stop":
            count = 0
        # a chain's recovery and a migration are told as starts of something: only the daemon's own has no subject
        elif entry.kind == "start" and not entry.subject and 0 <= now_s - entry.at_s <= WITHIN_S:
            count += 1
    return count


def why_safe(journal: Path, now_s: float) -> str:
    """Why the daemon should start in safe mode; empty when not. A journal that tells nothing is no reason."""
    try:
        with Reader.open(journal) as reader:
            story = [
                e for kind in ("start", "stop") for e in reader.entries(kind, limit=ENTRIES, newest=True)
            ]
    except (KeeperError, OSError):
        # it is refused, with its own words, by what opens it next
        return ""
    count = crashes(sorted(story, key=lambda e: e.id), now_s)
    if count < CRASHES:
        return ""
    return f"it ended {count} times within {WITHIN_S / 60:.0f} minutes without being stopped"
