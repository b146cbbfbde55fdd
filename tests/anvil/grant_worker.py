"""A real ``keeper grant --send`` that kills itself with SIGKILL at one named point; for tests only."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path


def main(config: str, point: str, amount: str) -> None:
    """``point``: planned, signed, journaled, broadcast, sent, or none of them."""
    from keeper.config import load
    from keeper.granting import grant

    def probe(reached: str) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(grant(load(Path(config)), {"USDC": amount}, True, probe=probe))


if __name__ == "__main__":
    main(*sys.argv[1:4])
