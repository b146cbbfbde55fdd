"""The little of a keeper.toml that must be found even where the file cannot be used any more."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from keeper.config.files import Files
from keeper.errors import ConfigError

_STATE_DIR = re.compile(r"""^state_dir\s*=\s*("[^"\\\n]*"|'[^'\n]*')\s*(#.*)?$""", re.MULTILINE)
DEFAULT = "~/.local/state/keeper"


def control_path(path: Path) -> Path:
    """The control socket of the daemon that was started with the file at ``path``.

    Whoever must stop a daemon at night must not first mend a file: only ``state_dir`` is looked for, line by
    line where the text is no TOML. Raises ConfigError where the file cannot be read at all.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read ({error.strerror})",)) from None
    files = Files(base=path.absolute().parent, credentials_dir=None, problems=[])
    return files.path(_state_dir(text)) / "control.sock"


def targets_file(path: Path, credentials_dir: Path | None) -> Path | None:
    """Where the alarm targets stand that the file at ``path`` names; None where that cannot be found out."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8", errors="replace")).get("alarms")
    except (OSError, tomllib.TOMLDecodeError):
        return None
    named = table.get("targets_file") if isinstance(table, dict) else None
    files = Files(base=path.absolute().parent, credentials_dir=credentials_dir, problems=[])
    return files.secret("alarms.targets_file", named, needed=False) if isinstance(named, str) else None


def _state_dir(text: str) -> str:
    try:
        found = tomllib.loads(text).get("state_dir", DEFAULT)
    except tomllib.TOMLDecodeError:
        line = _STATE_DIR.search(text)
        found = line[1][1:-1] if line else DEFAULT
    return found if isinstance(found, str) else DEFAULT
