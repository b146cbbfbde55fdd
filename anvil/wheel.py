"""Single files of a pinned Python wheel, for tests: fetched once by pip, without what it requires, never installed.

Only the files asked for are kept, under ``.cache``; the wheel itself is thrown away.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from anvil.tools import ROOT, ToolMissing

CACHE_DIR = ROOT / ".cache" / "wheels"
UV_PYTHON = ROOT / ".venv-uv" / "bin" / "python"
"""Has a pip of its own; the project's environment has none where uv filled it."""
FETCH_S = 300.0


def unpacked(lock: Path, members: Sequence[str], *, cache_dir: Path = CACHE_DIR) -> Path:
    """A folder that holds ``members`` by their last names; ``lock`` pins one wheel by version and sha256.

    Raises ToolMissing when the wheel cannot be had, is not the pinned one, or lacks a member.
    """
    key = hashlib.sha256(lock.read_bytes() + "\n".join(members).encode()).hexdigest()[:32]
    folder = cache_dir / f"{lock.stem}-{key}"
    if folder.is_dir():
        return folder
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir) as scratch:
        wheel = _fetched(lock, Path(scratch))
        draft = Path(scratch) / "members"
        draft.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            for member in members:
                try:
                    (draft / Path(member).name).write_bytes(archive.read(member))
                except KeyError:
                    raise ToolMissing(f"{wheel.name} has no {member}: see {lock.name}") from None
        try:
            draft.rename(folder)
        except OSError:
            # another process was faster: its folder is as good as ours
            if not folder.is_dir():
                raise
    return folder


def _fetched(lock: Path, scratch: Path) -> Path:
    """The wheel, from whichever index pip is configured for."""
    asked = [
        _python(), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--require-hashes", "--dest", str(scratch), "-r", str(lock),
    ]  # fmt: skip
    try:
        run = subprocess.run(
            asked, capture_output=True, text=True, check=False, timeout=FETCH_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        why = f"pip took longer than {FETCH_S:g} s: is its index reached?"
        raise ToolMissing(f"what {lock.name} pins cannot be fetched: {why}") from None
    found = sorted(scratch.glob("*.whl"))
    if run.returncode or len(found) != 1:
        said = run.stderr.strip()[-1_200:] or "pip said nothing"
        raise ToolMissing(f"what {lock.name} pins cannot be fetched by pip: {said}")
    return found[0]


def _python() -> str:
    """An interpreter that has pip."""
    if UV_PYTHON.is_file():
        return str(UV_PYTHON)
    if find_spec("pip") is None:
        shown = shutil.which("pip")
        raise ToolMissing(f"no pip in {sys.executable} (on PATH: {shown}): run `make setup`")
    return sys.executable
