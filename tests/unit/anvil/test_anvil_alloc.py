"""The market under forge's tests: shards that all find it changed deploy it once, and read it whole."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from anvil import alloc

pytestmark = pytest.mark.unit


def test_alloc__when_two_shards_find_it_changed__then_one_deploys_and_both_read_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ALLOC", "MARKET", "MORPHO", "_KEY"):
        monkeypatch.setattr(alloc, name, tmp_path / "forge" / f"{name}.json")
    monkeypatch.setattr(alloc, "FORGE_DIR", tmp_path / "forge")
    monkeypatch.setattr(alloc, "_key", lambda: "one")
    made: list[float] = []

    def deployed(quiet: bool) -> tuple[str, str, str]:
        made.append(time.monotonic())
        time.sleep(0.2)
        return "state" * 1_000, "addresses", "code"

    monkeypatch.setattr(alloc, "_deployed", deployed)
    with ThreadPoolExecutor(2) as pool:
        found = [f.result() for f in [pool.submit(lambda: alloc.write_alloc().read_text()) for _ in range(2)]]
    assert found == ["state" * 1_000] * 2
    assert len(made) == 1
    monkeypatch.setattr(alloc, "_key", lambda: "two")
    alloc.write_alloc(quiet=True)
    assert len(made) == 2
