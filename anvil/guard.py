"""A real ``keeper run`` as a child process, stepped block by block through its control socket."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from keeper.config import Settings, load
from keeper.errors import Transient
from keeper.notify.control import ask

START_S = 240.0
BLOCK_S = 90.0
"""Only what hangs takes so long: a busy machine has made a start of 4 seconds one of 40."""
_POLL_S = 0.02


class GuardFailed(Exception):
    """The daemon did not start, died or hung; the message ends with the tail of its log."""


class Guard:
    """The daemon of one keeper.toml."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self.settings: Settings = load(config)
        self._arguments = [sys.executable, "-m", "keeper", "run", "--config", str(config), *arguments]
        self.log = config.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The child's process id."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Guard:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(90)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        """One request to the control socket. Raises Transient while nobody listens."""
        return asyncio.run(ask(self.settings.control_path, dict(request)))

    def caught_up(self, block_number: int, *, within_s: float = BLOCK_S) -> dict[str, Any]:
        """Wait until the daemon has judged ``block_number`` and its lane is empty; its view of the chain."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            if self._process is None or self._process.poll() is not None:
                raise GuardFailed(f"the daemon ended by itself\n{self.tail()}")
            try:
                view = self.ask({"do": "status"})["chains"][0]
            except (Transient, LookupError):
                time.sleep(_POLL_S)
                continue
            if view["block"] is not None and view["block"] >= block_number and view["idle"]:
                return dict(view)
            time.sleep(_POLL_S)
        raise GuardFailed(f"the daemon did not reach block {block_number} in {within_s:.0f} s\n{self.tail()}")

    def tail(self) -> str:
        """The last lines that the daemon logged."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.is_file() else []
        return "\n".join(lines[-15:])
