"""``keeper run`` as loud as it can be: DEBUG everywhere, asyncio's debug mode, and one exception on the way.

For tests only: what is printed here is searched for secrets.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path


class Planted(Exception):
    """Raised in the middle of a rescue, so that its traceback is logged too."""


def main(config: str, point: str) -> None:
    """``point``: where the exception comes up, once."""
    from keeper.cli import kernels

    kernels.prepare()
    from keeper import eventloop
    from keeper.config import load
    from keeper.daemon import running as daemon
    from keeper.notify import log

    left = 1

    def probe(reached: str) -> None:
        nonlocal left
        if reached == point and left:
            left -= 1
            raise Planted(f"planted at {point}")

    log.configure(json_lines=False, level=logging.DEBUG)
    logging.getLogger().setLevel(logging.DEBUG)
    # a compiler's own debug log is megabytes and knows no secret
    logging.getLogger("numba").setLevel(logging.WARNING)
    settings = load(Path(config))
    logging.getLogger("loud").debug("settings: %r", settings)
    eventloop.run(daemon.run(settings, once=False, dry_run=False, probe=probe), debug=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
