"""The real daemon that kills itself with SIGKILL at one named point of its first transaction; for tests only."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def main(config: str, point: str) -> None:
    """``point``: planned, signed, journaled, broadcast or sent."""
    from keeper.cli import kernels

    kernels.prepare()
    from keeper import eventloop
    from keeper.config import load
    from keeper.daemon import running as daemon
    from keeper.notify import log

    def probe(reached: str) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    log.configure(json_lines=True)
    eventloop.run(daemon.run(load(Path(config)), once=False, dry_run=False, probe=probe))


if __name__ == "__main__":
    main(*sys.argv[1:3])
