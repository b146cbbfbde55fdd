"""build/figures.json, as the tests name it; the demo writes the same file."""

from anvil.figures import FIGURES, ROOT, commit, machine, read, record

__all__ = ["FIGURES", "ROOT", "commit", "machine", "read", "record"]
