"""A journal in memory, for while the disk takes none: everything is watched and told, nothing may be signed."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from keeper.errors import Unwritable
from keeper.journal import opening
from keeper.journal.files import FileLock
from keeper.journal.write import Journal
from keeper.seams import Clock

REFUSED = ("open_intent", "add_attempt", "replan", "set_control")
"""What would have to outlive the process: a signature, a shadow, the word of whoever arms or pauses."""


def adrift(path: Path, why: str, clock: Clock) -> Journal:
    """Keeps the diary of a watch until the process ends; ``REFUSED`` raise Unwritable with ``why``.

    ``path``: of the journal that cannot be opened.
    """

    def refuse(*_: object, **__: object) -> NoReturn:
        raise Unwritable(why)

    # nobody else can reach it: there is nothing to lock, and no file that could be replaced
    nowhere = path.with_name(f"{path.name}.adrift")
    journal = Journal(nowhere, opening.in_memory(path, clock), Free(), clock)
    journal.path = path
    for name in REFUSED:
        setattr(journal, name, refuse)
    return journal


def hold(journal: Journal, key: str, value: str, why: str) -> None:
    """A control of the keeper's own, for as long as a journal adrift lives."""
    Journal.set_control(journal, key, value, "keeper", why)


class Free(FileLock):
    """No lock."""

    def __init__(self) -> None:
        self._fd = -1
