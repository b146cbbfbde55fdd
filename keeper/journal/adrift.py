"""A journal in memory, for while the disk takes none: everything is watched and told, nothing may be signed."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from keeper.errors import Unwritable
from keeper.journal import opening
from keeper.journal.files import FileLock
from keeper.journal.write import Journal
from keeper.model import Attempt, Intent, Plan
from keeper.seams import Clock


class Adrift(Journal):
    """Keeps the diary of a watch until the process ends; what would have to outlive it raises Unwritable."""

    def __init__(self, path: Path, why: str, clock: Clock) -> None:
        """``path``: of the journal that cannot be opened; ``why``: what its disk says."""
        # nobody else can reach it: there is nothing to lock, and no file that could be replaced
        super().__init__(path.with_name(f"{path.name}.adrift"), opening.in_memory(path, clock), Free(), clock)
        self.path = path
        self.why = why

    def open_intent(self, plan: Plan, *, spend_usd: int | None = None, dry: bool = False) -> Intent:
        """Refused: a dry-run's shadow would hide a danger that nobody averts."""
        self._refuse()

    def add_attempt(self, attempt: Attempt, signer: str) -> None:
        """Refused: a signature that is not kept is signed a second time."""
        self._refuse()

    def replan(self, plan: Plan, attempt: Attempt, signer: str, *, spend_usd: int) -> None:
        """Refused as ``add_attempt``."""
        self._refuse()

    def set_control(self, key: str, value: str | None, actor: str, why: str, chain_id: int = 0) -> None:
        """Refused: whoever arms or pauses must not believe that it holds."""
        self._refuse()

    def hold(self, key: str, value: str) -> None:
        """A control of the keeper's own, for as long as this journal lives."""
        super().set_control(key, value, "keeper", self.why)

    def _refuse(self) -> NoReturn:
        raise Unwritable(self.why)


class Free(FileLock):
    """No lock."""

    def __init__(self) -> None:
        self._fd = -1
