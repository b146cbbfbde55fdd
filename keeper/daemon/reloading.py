"""Taking over changed policies while the daemon runs: shown first, refused whole when anything is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from keeper.config import Settings, load
from keeper.config.changes import Changes, changes
from keeper.daemon import starts
from keeper.daemon.safe import simplified
from keeper.errors import ConfigError
from keeper.journal.write import Journal

KEY = "reload"
"""Control key: the digest of the configuration that was taken over last."""
DISARMS = "it moves money differently, so arming, which held for the one before, ends: keeper arm"
SIGNER = "the signer in a process of its own signs by its own file: keeper policy, and install it anew"


class Current:
    """The configuration that holds now; the daemon of a chain is made from it."""

    def __init__(self, settings: Settings, *, dry_run: bool = False) -> None:
        """``dry_run``: whatever the file says, the mode stays dry-run, as the command line asked."""
        self._dry_run = dry_run
        self._safe = settings.safe_mode
        self.settings = self._asked(settings)

    def read(self) -> Settings:
        """The file as it stands now. Raises ConfigError with every problem."""
        return self._asked(load(self.settings.path))

    def _asked(self, settings: Settings) -> Settings:
        asked = replace(settings, mode="dry-run") if self._dry_run else settings
        return simplified(asked) if self._safe else asked


class Reloading:
    """Answers ``reload``."""

    def __init__(self, current: Current, journal: Journal, renew: Callable[[], None]) -> None:
        """``renew``: every chain's daemon is made anew from ``current``, soon."""
        self._current = current
        self._journal = journal
        self._renew = renew

    async def answer(self, request: dict[str, object]) -> dict[str, object]:
        """What would change; with ``apply`` it holds from now on. A wrong file changes nothing."""
        try:
            # a second of pydantic, where it was never needed before
            new = await asyncio.to_thread(self._current.read)
        except ConfigError as error:
            return {
                "ok": False,
                "lines": list(error.problems),
                "why": "the file cannot be used; the configuration that holds is the one before",
            }
        found = changes(self._current.settings, new)
        if found.restart:
            why = f"needs a restart, and nothing was taken over: {', '.join(found.restart)}"
            return {"ok": False, "lines": list(found.lines), "why": why}
        lines = _told(found, new)
        if found.none or request.get("apply") is not True:
            return {"ok": True, "lines": lines}
        actor, why = str(request.get("actor") or "unknown"), str(request.get("why") or "")
        why = why or "; ".join(found.lines)
        with self._journal.batch():
            self._journal.set_control(KEY, new.digest, actor, why)
            if found.disarms and starts.known(self._journal, self._current.settings.digest):
                # other numbers of a policy, the same chain: a venue that is away now must not cost the others
                self._journal.set_control(
                    starts.JUDGED, new.digest, "keeper", "reload of one that has served"
                )
            if found.disarms:
                # else the way back to a configuration that was armed once would arm it without a look
                self._journal.set_control("armed", None, actor, f"reload: {why}")
        self._current.settings = new
        self._renew()
        return {
            "ok": True,
            "lines": [*lines, "taken over: each chain is watched by it from its next block on"],
        }


def _told(found: Changes, new: Settings) -> list[str]:
    if found.none:
        return ["nothing differs from what holds"]
    told = list(found.lines)
    if found.disarms and new.mode == "live":
        told.append(DISARMS)
        if new.wallet.signer_socket is not None:
            told.append(SIGNER)
    return told
