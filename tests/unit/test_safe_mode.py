"""What a safe daemon goes without, and which ends count as crashes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock, SystemClock
from keeper.config.telling import PageSettings, TelegramSettings
from keeper.daemon import running
from keeper.daemon.running import run
from keeper.daemon.safe import simplified
from keeper.errors import Broken, ConfigError
from keeper.journal.read import Reader
from keeper.journal.starts import CRASHES, why_safe
from keeper.journal.write import Journal
from keeper.model import Entry
from tests.loop_double import settings

pytestmark = pytest.mark.unit


def test_simplified__when_made__then_only_what_no_rescue_needs_is_gone(tmp_path: Path) -> None:
    given = replace(
        settings(tmp_path), page=PageSettings(host="127.0.0.1", port=1), telegram=TelegramSettings(chats=(1,))
    )
    safe = simplified(given)
    assert (safe.page.host, safe.telegram.chats, safe.safe_mode) == ("", (), True)
    assert (safe.positions, safe.policies, safe.wallet, safe.digest) == (
        given.positions,
        given.policies,
        given.wallet,
        given.digest,
    )


def test_run__when_it_is_asked_whether_to_be_safe__then_nothing_that_a_crash_may_lie_in_is_loaded(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; from pathlib import Path; from keeper.cli.run import _crashed; "
        f"print(repr(_crashed(Path({str(tmp_path / 'journal.sqlite')!r})))); "
        "print(sorted({'numba', 'highspy', 'llvmlite'} & set(sys.modules)))"
    )
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(0.0)):
        pass
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["''", "[]"]


def test_run__when_safe__then_the_daemon_is_simplified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    async def once(chains: list[object]) -> int:
        seen.extend(chains)
        return 0

    monkeypatch.setattr("keeper.daemon.running._once", once)
    given = replace(
        settings(tmp_path),
        page=PageSettings(host="127.0.0.1", port=1),
        mode="dry-run",
        state_dir=tmp_path / "s",
        safe_mode=True,
    )
    asyncio.run(run(given, once=True, dry_run=True))
    assert [c.settings.page.host for c in seen] == [""]


def test_run__when_the_process_dies_while_it_warms_up__then_that_counts_as_a_crash(tmp_path: Path) -> None:
    """What crashes natively leaves no exception and no last word: the start must be on the disk before."""
    path = settings(tmp_path).journal_path
    with Journal.open(path, SystemClock()) as journal:
        for _ in range(CRASHES - 1):
            journal.record(Entry(kind="start", chain_id=0, block_number=0, subject="", why=""))
    code = (
        "import asyncio, os, resource; from pathlib import Path; "
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); "
        "from keeper.daemon import running; running.cache.warm = os.abort; "
        "from tests.loop_double import settings; "
        f"asyncio.run(running.run(settings(Path({str(tmp_path)!r})), once=False, dry_run=False))"
    )
    assert why_safe(path, SystemClock().now_s()) == ""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGABRT, done.stderr
    assert why_safe(path, SystemClock().now_s()).startswith(f"it ended {CRASHES} times")


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (None, ["start", "stop"]),
        (ConfigError(("multicall: no contract there",)), ["start", "stop"]),
        (Broken("an index out of range"), ["start"]),
        (RuntimeError("nobody thought of it"), ["start"]),
    ],
    ids=["stopped", "refused", "broken", "unexpected"],
)
def test_run__when_it_ends__then_only_an_end_that_was_meant_is_kept_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Exception | None, told: list[str]
) -> None:
    async def serve(*_: object) -> int:
        if end is not None:
            raise end
        return 0

    monkeypatch.setattr(running, "serve", serve)
    monkeypatch.setattr(running, "_warm", lambda _: None)
    given = settings(tmp_path, "dry-run")
    with contextlib.nullcontext() if end is None else pytest.raises(type(end)):
        assert asyncio.run(run(given, once=False, dry_run=True)) == 0
    with Reader.open(given.journal_path) as journal:
        assert [e.kind for e in journal.entries()] == told
