"""The real daemon with its key in another process: approvals before, a rescue through the socket."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anvil.demo import nonce
from anvil.scenario import load_scenario
from anvil.stage import Stage, stage
from keeper.cli.policy import policy_text
from keeper.config import load
from tests.anvil_daemon import armed, night, rewritten
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.anvil
ROOT = Path(__file__).parents[2]


def _signer(on: Stage, folder: Path) -> subprocess.Popen[bytes]:
    """A signer for the stage's configuration, listening."""
    policy, store, socket = folder / "policy.json", folder / "signer.sqlite", folder / "signer.sock"
    policy.touch(0o600)
    policy.write_text(asyncio.run(policy_text(load(on.config))))
    line = [sys.executable, "-m", "keeper.signer"]
    adopted = ["--chain-id", str(on.market.chain_id), "--nonce", str(nonce(on)), "--why", "approvals sent"]
    subprocess.run([*line, "adopt", "--store", str(store), *adopted], cwd=ROOT, check=True)
    keys = ["--keystore", str(folder / "keystore.json"), "--password-file", str(folder / "password")]
    where = ["--socket", str(socket), "--policy", str(policy), "--store", str(store)]
    process = subprocess.Popen([*line, "run", *where, *keys], cwd=ROOT)
    deadline_s = time.monotonic() + PATIENCE_S
    while not socket.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return process


def test_daemon__when_the_key_is_in_another_process__then_it_rescues_all_the_same(tmp_path: Path) -> None:
    with stage(load_scenario("crash"), tmp_path, mode="live") as on:
        armed(on)
        process = _signer(on, tmp_path)
        try:
            old = next(x for x in on.config.read_text().splitlines() if x.startswith("keystore"))
            password = next(x for x in on.config.read_text().splitlines() if x.startswith("password_file"))
            rewritten(on, {old: f'signer = "unix:{tmp_path / "signer.sock"}"', password: ""})
            before = nonce(on)
            with night(on) as told:
                told.falls(WETH=0.8, wstETH=0.8)
                told.block()
                told.block()
                assert told.rescues(on.pairs[0].label) == 1
                assert told.nonce == before + 1
                assert told.health(on.pairs[0].label) >= 1.249 * 10**18
        finally:
            process.terminate()
            process.wait(120)
