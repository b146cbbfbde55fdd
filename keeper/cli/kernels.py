"""Where compiled kernels are kept for a command: the unit's cache directory, else the user's."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def prepare(*, compiled: bool = True) -> None:
    """Point numba at the cache; does nothing once the kernels are loaded, whose cache is then chosen.

    ``compiled`` false: the kernels stay the plain Python functions that they are written as.
    """
    if "keeper.risk.jit" in sys.modules:
        return
    from keeper.risk import cache

    folder = os.environ.get("CACHE_DIRECTORY")
    if folder is None:
        root = os.environ.get("XDG_CACHE_HOME")
        folder = str((Path(root) if root else Path.home() / ".cache") / "keeper")
    # systemd lists several folders with colons between them; the first is ours
    if not compiled:
        # numba reads it when it is imported, which nothing has done yet
        os.environ["NUMBA_DISABLE_JIT"] = "1"
    cache.prepare(Path(folder.split(":")[0]))
