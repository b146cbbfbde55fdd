"""Two real daemons with two keys on one Executor: the second one acts when the first one is dead, and only then."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from anvil.guard import START_S, Guard
from anvil.stage import PASSWORD
from keeper.clock import SystemClock
from keeper.config import load
from keeper.journal.read import Reader
from keeper.journal.write import Journal
from keeper.signer.keystore import seal
from tests.anvil.test_executor_daemon import pool_at
from tests.anvil_daemon import night
from tests.executor_daemon import WAD, Owned, owned, terms

pytestmark = pytest.mark.anvil
SECRET = bytes.fromhex("5b" * 32)
"""A key that exists on local chains only."""


def second_machine(there: Owned, folder: Path) -> Path:
    """The same configuration with a key, a state and gas of its own, waiting three blocks; armed."""
    sealed, address = seal(SECRET, PASSWORD)
    folder.mkdir()
    for name, text in (("keystore.json", sealed), ("password", PASSWORD)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    first = load(there.on.config)
    text = there.on.config.read_text()
    for old, new in (
        (str(first.wallet.address), address),
        (str(first.wallet.keystore), str(folder / "keystore.json")),
        (str(first.wallet.password_file), str(folder / "password")),
        (str(first.state_dir), str(folder / "state")),
    ):
        assert old in text
        text = text.replace(old, new)
    # what a wallet pays could be paid twice
    text = text.replace("['repay', 'add_collateral', 'deleverage']", "['deleverage']")
    config = folder / "keeper.toml"
    config.write_text(f'{text}\n[standby]\nblocks = 3\nmargin = "0.01"\n')
    there.on.chain.rpc("anvil_setBalance", address, hex(10 * WAD))
    there.executor.by_owner("setBot(address,uint16,uint40)", address, 10_000, 2**40 - 1)
    settings = load(config)
    settings.state_dir.mkdir(mode=0o700)
    with Journal.open(settings.journal_path, SystemClock()) as journal:
        journal.set_control("armed", settings.digest, "test", "second")
    return config


def sent(there: Owned, config: Path) -> int:
    """Transactions of that machine's wallet on the chain."""
    return int(there.on.chain.rpc("eth_getTransactionCount", load(config).wallet.address, "latest"), 16)


def test_standby__when_the_first_machine_lives_and_then_dies__then_each_fall_is_answered_once(
    tmp_path: Path,
) -> None:
    (tmp_path / "first").mkdir()
    with owned(tmp_path / "first") as there:
        on, executor = there.on, there.executor
        executor.configure(terms(executor))
        executor.grant("WETH", 16 * WAD)
        pool_at(there, "WETH", 80)
        config = second_machine(there, tmp_path / "second")
        there.arm()
        with night(on) as first, Guard(config) as second:
            second.caught_up(on.chain.block().number, within_s=START_S)
            first.falls(WETH=0.8, wstETH=0.8)
            for _ in range(5):
                first.block()
                second.caught_up(on.chain.block().number)
            assert (first.rescues(there.label), executor.seq()) == (1, 1)
            assert sent(there, config) == 0, "it acted although the first machine did"

            os.kill(first.guard.pid, signal.SIGKILL)
            on.chain.rpc("evm_setAutomine", True)
            pool_at(there, "WETH", 68)
            on.chain.rpc("evm_setAutomine", False)
            first.submit_prices(WETH=0.68, wstETH=0.68)
            before = sent(there, config)
            fell, sent_at = on.chain.block().number, 0
            for _ in range(9):
                second.caught_up(on.chain.mine().number)
                if not sent_at and sent(there, config) > before:
                    sent_at = on.chain.block().number
            assert 3 <= sent_at - fell <= 6, second.tail()
            assert executor.seq() == 2
            assert first.health(there.label) >= 1.25 * WAD
            assert sent(there, config) == before + 1
        with Reader.open(load(config).journal_path) as journal:
            told = [e for e in journal.entries("alarm") if e.data["code"] == "not_acting"]
        assert any("the first machine has" in e.why and e.data["severity"] == "WARNING" for e in told)
