"""SIGKILL at each point of an approval: the next grant settles it, and one is sent for one wanted."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from anvil.demo import nonce
from anvil.scenario import load_scenario
from anvil.stage import Stage, stage
from keeper.cli.adopt import adopt
from keeper.clock import SystemClock
from keeper.config import load
from keeper.errors import Broken, ConfigError
from keeper.granting import grant
from keeper.journal.read import Reader
from keeper.journal.write import Journal

pytestmark = pytest.mark.anvil
ROOT = Path(__file__).parents[2]


def _killed(on: Stage, point: str, amount: int) -> int:
    line = [sys.executable, "-m", "tests.anvil.grant_worker", str(on.config), point, str(amount)]
    ended = subprocess.run(line, timeout=600, cwd=ROOT, check=False, capture_output=True)
    return ended.returncode


def _allowed(on: Stage) -> int:
    (row,) = asyncio.run(grant(load(on.config), {"USDC": "0"}, False))
    return int(str(row["now allowed"]))


def test_grant__when_killed_at_any_point__then_the_next_one_settles_it(tmp_path: Path) -> None:
    with stage(load_scenario("crash"), tmp_path, mode="live") as on:
        settings = load(on.config)
        for amount, point in enumerate(("planned", "signed", "journaled", "broadcast", "sent"), 1):
            before = nonce(on)
            on.chain.rpc("evm_setAutomine", False)
            assert _killed(on, point, amount) == -signal.SIGKILL
            # what left the machine may be lost by every pool
            on.chain.rpc("anvil_dropAllTransactions")
            on.chain.rpc("evm_setAutomine", True)
            asyncio.run(grant(settings, {"USDC": str(amount)}, True))
            assert _allowed(on) == amount
            assert nonce(on) == before + 1
        with Reader.open(settings.journal_path) as journal:
            assert journal.open_intents() == ()
            assert journal.next_nonce(on.market.chain_id, settings.wallet.address or "") == nonce(on)


def test_adopt__when_the_journal_is_lost__then_grant_and_recovery_wait_for_it(tmp_path: Path) -> None:
    with stage(load_scenario("crash"), tmp_path, mode="live") as on:
        settings = load(on.config)
        asyncio.run(grant(settings, {"USDC": "1"}, True))
        settings.journal_path.unlink()
        with pytest.raises(Broken, match="keeper adopt"):
            asyncio.run(grant(settings, {"USDC": "2"}, True))
        on.chain.mine()
        on.chain.mine()
        (shown,) = asyncio.run(adopt(settings, accept=False, actor="me", why=""))
        assert (shown.known, shown.latest, shown.refuses) == (None, 1, "")
        with pytest.raises(Broken, match="keeper adopt"):
            asyncio.run(grant(settings, {"USDC": "2"}, True))
        with Journal.open(settings.journal_path, SystemClock()), pytest.raises(ConfigError, match="holds"):
            asyncio.run(adopt(settings, accept=True, actor="me", why="lost"))
        asyncio.run(adopt(settings, accept=True, actor="me", why="the disk died"))
        asyncio.run(grant(settings, {"USDC": "2"}, True))
        assert _allowed(on) == 2
        with Reader.open(settings.journal_path) as journal:
            (said,) = [e for e in journal.entries("control") if e.why == "the disk died"]
        assert (said.data["actor"], said.data["value"]) == ("me", 1)
