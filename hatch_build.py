"""Puts keeper(1) into the wheel: ``share/man/man1/keeper.1``, where ``man`` and pipx look for it."""

import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Manual(BuildHookInterface):
    """Makes the page of the commands that are being packed."""

    def initialize(self, version, build_data):
        """Write it below build/, and name it to the wheel."""
        sys.path.insert(0, self.root)
        try:
            from keeper.cli.manual import page
        finally:
            sys.path.remove(self.root)
        made = Path(self.root, "build", "keeper.1")
        made.parent.mkdir(exist_ok=True)
        made.write_text(page(self.metadata.version), encoding="utf-8")
        build_data["shared_data"][str(made)] = "share/man/man1/keeper.1"
