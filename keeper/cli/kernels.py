"""Where compiled kernels are kept for a command: the unit's cache directory, else the user's."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def prepare() -> None:
    """Point numba at the cache; does nothing once the kernels are loaded, whose cache is then chosen."""
    if "keeper.risk.jit" in sys.modules:
        return
    from keeper.risk import cache

    folder = os.environ.get("CACHE_DIRECTORY")
    if folder is None:
        root = os.environ.get("XDG_CACHE_HOME")
        folder = str((Path(root) if root else Path.home() / ".cache") / "keeper")
    # systemd lists several folders with colons between them; the first is ours
    cache.prepare(Path(folder.split(":")[0]))
