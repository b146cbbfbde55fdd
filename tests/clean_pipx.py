"""A wheel of ours installed by pipx, with the lock's versions: its command runs and finds its data files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

SHOWN = ("--version", "demo --help", "install-service --print")
"""The last one prints files that a wheel must carry."""


def pins(lock: str) -> str:
    """A lock's versions without their hashes: in a constraint they would be asked of our own wheel too."""
    return "".join(
        f"{pin}\n" for pin in re.findall(r"^([\w.-]+==[^\s\\]+(?: ;[^\\\n]+)?)", lock, re.MULTILINE)
    )


def installed(root: Path, run: Callable[[str], None]) -> None:
    """Everything below ``root``, which has /opt/keeper with its environment; ``run`` ends the script on a fault."""
    home = root / "var" / "pipx"
    home.mkdir(parents=True)
    (home / "pins").write_text(pins((root / "opt/keeper/requirements-runtime.lock").read_text()))
    run("/opt/keeper/.venv/bin/pip wheel -q --no-deps --no-build-isolation -w /var/pipx/dist /opt/keeper")
    run("python3 -m venv /var/pipx/own")
    run("/var/pipx/own/bin/pip install -q pipx")
    (wheel,) = (home / "dist").glob("keeper-*.whl")
    folders = "PIPX_HOME=/var/pipx/home PIPX_BIN_DIR=/var/pipx/bin PIPX_MAN_DIR=/var/pipx/man"
    pinned = "--pip-args='--constraint /var/pipx/pins'"
    run(
        f"{folders} /var/pipx/own/bin/pipx install {pinned} '/var/pipx/dist/{wheel.name}[alarms,metrics,page]'"
    )
    for words in SHOWN:
        run(f"/var/pipx/bin/keeper {words}")
    manual = home / "man" / "man1" / "keeper.1"
    if ".SH COMMANDS" not in manual.read_text():
        raise SystemExit(f"{manual} tells no commands")
