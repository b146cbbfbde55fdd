"""Files whose reader commands the keeper: who else could read one."""

from __future__ import annotations

import os
from pathlib import Path


def exposed(path: Path) -> str:
    """Why what ``path`` holds is no secret; empty where nobody else may read it. Raises OSError."""
    mode = path.stat().st_mode
    if not mode & 0o077 or _credential(path):
        return ""
    return f"mode {mode & 0o777:04o} lets others read it; chmod 600 {path}"


def _credential(path: Path) -> bool:
    """Whether it is one of the unit's own credentials: systemd lets nobody else in, and shows a wider mode."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.resolve().is_relative_to(Path(str(folder)).resolve())
