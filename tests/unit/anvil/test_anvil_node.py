"""How anvil is found and how it is started: one clear sentence when it cannot be."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from anvil import tools
from anvil.node import AnvilSettings
from anvil.tools import ToolMissing, find_anvil

pytestmark = pytest.mark.unit


def _program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_anvil__named_by_environment__wins_over_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, on_path = _program(tmp_path / "a" / "mine"), _program(tmp_path / "b" / "anvil")
    monkeypatch.setenv("PATH", str(on_path.parent))
    monkeypatch.setenv("KEEPER_ANVIL", str(named))
    assert find_anvil() == named
    monkeypatch.delenv("KEEPER_ANVIL")
    assert find_anvil() == on_path


def test_anvil__named_but_not_there__is_said_and_nothing_else_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPER_ANVIL", str(tmp_path / "gone"))
    with pytest.raises(ToolMissing, match=r"KEEPER_ANVIL=.*gone is not an executable file"):
        find_anvil()


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without anvil anywhere; the folder that stands for the npm project."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KEEPER_ANVIL", raising=False)
    monkeypatch.setattr(tools, "HERE", tmp_path)
    return tmp_path


def test_anvil__not_installed__says_make_setup(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(ToolMissing, match="make setup"):
        find_anvil()
    pinned = _program(bare / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil")
    assert find_anvil() == pinned


def test_anvil__unsupported_processor__is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(ToolMissing, match="riscv64"):
        find_anvil()


def test_arguments__by_default__bind_to_loopback_and_keep_no_fork_cache() -> None:
    words = AnvilSettings().arguments(1234)
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert "--fork-url" not in words
    forked = AnvilSettings(fork_url="http://127.0.0.1:1").arguments(1234)
    assert "--no-storage-caching" in forked
    # other users of the machine read a command line, and an endpoint's URL may hold a token
    assert not any("http" in word for word in forked)


def test_arguments__of_a_node_without_mining__say_so() -> None:
    settings = AnvilSettings(mining=False, timestamp_s=5, base_fee_wei=None, prune_history=True)
    words = settings.arguments(1)
    assert {"--no-mining", "--prune-history"} <= set(words)
    assert words[words.index("--timestamp") + 1] == "5"
    assert "--block-base-fee-per-gas" not in words
