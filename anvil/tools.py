"""Where the outside programs are: anvil and node. One clear sentence when one is missing."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

_PLATFORMS = {("Linux", "x86_64"): "anvil-linux-amd64", ("Linux", "aarch64"): "anvil-linux-arm64"}
"""(system, machine) -> npm package under @foundry-rs; package.json pins the first one."""


class ToolMissing(Exception):
    """A program or package that the local chain needs is not there; the message says what to do."""


def find_node() -> str:
    """Path of node. Raises ToolMissing."""
    node = shutil.which("node")
    if node is None:
        raise ToolMissing("node is not on PATH: install Node.js 18 or newer (it runs the Solidity compiler)")
    return node


def find_anvil() -> Path:
    """The native binary: ``$KEEPER_ANVIL``, then PATH, then the pinned npm package. Raises ToolMissing."""
    named = os.environ.get("KEEPER_ANVIL")
    if named:
        if os.access(named, os.X_OK):
            return Path(named)
        raise ToolMissing(f"KEEPER_ANVIL={named} is not an executable file")
    on_path = shutil.which("anvil")
    if on_path is not None:
        return Path(on_path)
    here = (platform.system(), platform.machine())
    package = _PLATFORMS.get(here)
    if package is None:
        raise ToolMissing(
            f"there is no pinned anvil for {here[0]} on {here[1]}: install anvil 1.7 and set KEEPER_ANVIL"
        )
    # the platform package's own binary: the JS wrapper is a second process that would have to forward signals
    binary = HERE / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"
    if not os.access(binary, os.X_OK):
        raise ToolMissing(f"anvil is not installed ({package}): run `make setup`, or set KEEPER_ANVIL")
    return binary
