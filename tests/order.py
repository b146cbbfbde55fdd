"""Which files a run begins with: a worker takes whole files, so one that takes minutes must not be its last."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
LONGEST = (
    "anvil/test_executor_forge.py",
    "chaos/test_chaos_simulation.py",
    "chaos/test_chaos_simulation_more.py",
    "chaos/test_chaos_kill9.py",
    "chaos/test_chaos_reorg.py",
    "anvil/test_daemon_arming.py",
    "anvil/test_drill.py",
    "anvil/test_signer_process.py",
    "anvil/test_daemon_killed.py",
    "anvil/test_daemon_starts.py",
    "unit/risk/test_risk_commands.py",
    "anvil/test_grant_killed.py",
    "chaos/test_chaos_inclusion.py",
    "anvil/test_executor_daemon.py",
    "anvil/test_pages_followed.py",
    "anvil/test_story_live_and_dry.py",
    "anvil/test_race_update.py",
    "anvil/test_cli_wrong_input.py",
    "anvil/test_executor_owner.py",
    "anvil/test_replay_chain.py",
    "anvil/test_executor_parity.py",
)
"""Measured, the longest first; the order of the rest is by what they are made of."""
FOLDERS = ("chaos", "anvil", "browser", "arch", "property", "scenario", "vectors", "unit")
_RANK = {TESTS / name: rank for rank, name in enumerate(LONGEST)}


def longest_first(items: list[pytest.Item]) -> None:
    """Sort in place by file; tests of one file stay in their order."""
    items.sort(key=lambda item: _place(item.path))


def _place(path: Path) -> tuple[int, int, str]:
    folder = path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""
    kind = FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)
    return (_RANK.get(path, len(_RANK)), kind, str(path))
