"""Where compiled kernels are kept, and warming them before the daemon says READY. Imports numba only late.

numba trusts a cached kernel while its own file is unchanged, so an edit in a module that it calls goes
unseen. Here the folder's name is a hash of every source of this room and of numba's version: another source,
another folder.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
import tempfile
from pathlib import Path

_ROOM = Path(__file__).parent
_KEPT = 3
"""Old cache folders kept beside the current one (a rollback starts warm), newest first."""


def source_key(room: Path = _ROOM) -> str:
    """Hash of all sources of the room and the versions of numba and llvmlite: what a cached kernel depends
    on.
    """
    digest = hashlib.sha256()
    for package in ("numba", "llvmlite", "numpy"):
        digest.update(f"{package} {importlib.metadata.version(package)}\n".encode())
    digest.update(f"python {sys.version_info[:3]}\n".encode())
    for path in sorted(room.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def prepare(parent: Path) -> Path | None:
    """Point numba at ``parent/numba-<key>``; None when it cannot be written (kernels then compile in memory).

    Must run before ``keeper.risk.kernels`` is imported; raises RuntimeError when that is too late.
    """
    if "keeper.risk.jit" in sys.modules:
        raise RuntimeError("the kernels are loaded already: prepare their cache first")
    # omp only: the workqueue layer aborts the process when two threads launch parallel kernels
    _set("NUMBA_THREADING_LAYER", "THREADING_LAYER", "omp")
    folder = parent / f"numba-{source_key()}"
    if not writable(folder):
        _set("NUMBA_CACHE_DIR", "CACHE_DIR", "")
        return None
    _set("NUMBA_CACHE_DIR", "CACHE_DIR", str(folder))
    os.utime(folder)
    _forget(parent, folder)
    return folder


def writable(folder: Path) -> bool:
    """True when ``folder`` exists or can be made, and a file can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
    except OSError:
        return False
    return True


def warm(*, everything: bool = False) -> int:
    """Compile, or load, every kernel that the daemon needs with its one signature; how many. After it they
    compile no more. ``everything``: those of commands and replays too."""
    from keeper.risk import jit

    return jit.warm(everything)


def _set(variable: str, option: str, value: str) -> None:
    os.environ[variable] = value
    if "numba" in sys.modules:
        # numba read its environment when another package imported it
        setattr(sys.modules["numba"].config, option, value)


def _forget(parent: Path, current: Path) -> None:
    """Remove cache folders of builds long gone; one in use by another process only costs it a compilation."""
    others = [p for p in parent.glob("numba-*") if p != current and p.is_dir()]
    for folder in sorted(others, key=_age)[_KEPT:]:
        for path in sorted(folder.rglob("*"), reverse=True):
            _remove(path)
        _remove(folder)


def _age(folder: Path) -> float:
    return -folder.stat().st_mtime


def _remove(path: Path) -> None:
    try:
        path.rmdir() if path.is_dir() else path.unlink()
    except OSError:
        return  # another process is removing it, or owns it: not ours to force
