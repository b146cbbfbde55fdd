"""A pinned wheel is fetched by pip, and of it what was asked for is kept: here out of a folder, without an index."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from anvil import wheel
from anvil.tools import ToolMissing
from anvil.wheel import unpacked

pytestmark = pytest.mark.unit
NAME = "keeper_told_code-1.0"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the index, with one wheel in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{NAME}-py3-none-any.whl", "w") as archive:
        archive.writestr("told/code/Pool.json", '{"is": "the pool"}')
        archive.writestr("told/code/Other.json", "{}")
        archive.writestr(f"{NAME}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(
            f"{NAME}.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: keeper-told-code\nVersion: 1.0\nRequires-Dist: nowhere-to-be-had\n",
        )
        archive.writestr(f"{NAME}.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def lock(at: Path, found: Path | None) -> Path:
    """A lock of that wheel; of another one without it."""
    digest = hashlib.sha256(found.read_bytes() if found else b"another").hexdigest()
    path = at / "told_code.lock"
    path.write_text(f"keeper-told-code==1.0 \\\n    --hash=sha256:{digest}\n")
    return path


def test_wheel__pinned_by_its_hash__gives_what_was_asked_for_and_is_asked_for_once(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = index.iterdir()
    pin, cache = lock(tmp_path, found), tmp_path / "cache"
    folder = unpacked(pin, ["told/code/Pool.json"], cache_dir=cache)
    assert [p.name for p in folder.iterdir()] == ["Pool.json"]
    assert (folder / "Pool.json").read_text() == '{"is": "the pool"}'
    # nothing of the wheel but that stays, and nobody asks pip again
    assert list(cache.iterdir()) == [folder]
    monkeypatch.setattr(wheel, "_fetched", lambda *_: pytest.fail("fetched again"))
    assert unpacked(pin, ["told/code/Pool.json"], cache_dir=cache) == folder


def test_wheel__of_another_hash__is_refused_and_leaves_nothing(tmp_path: Path, index: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(ToolMissing, match=r"told_code\.lock pins cannot be fetched by pip(.|\n)*HASHES"):
        unpacked(lock(tmp_path, None), ["told/code/Pool.json"], cache_dir=cache)
    assert list(cache.iterdir()) == []


def test_wheel__without_a_member__names_it_and_leaves_nothing(tmp_path: Path, index: Path) -> None:
    (found,) = index.iterdir()
    with pytest.raises(ToolMissing, match=r"has no told/code/Gone\.json: see told_code\.lock"):
        unpacked(lock(tmp_path, found), ["told/code/Gone.json"], cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_wheel__when_pip_hangs__then_it_is_a_tool_that_is_missing(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = index.iterdir()
    monkeypatch.setattr(wheel, "FETCH_S", 0.001)
    with pytest.raises(ToolMissing, match=r"told_code\.lock.*longer than 0\.001 s"):
        unpacked(lock(tmp_path, found), ["told/code/Pool.json"], cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
