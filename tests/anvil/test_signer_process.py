"""The signer as a process of its own: only the policy leaves it; killing it or the daemon is harmless."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from anvil.client import Chain
from anvil.node import Anvil, AnvilSettings
from keeper.clock import SystemClock
from keeper.confirmation import Confirmation
from keeper.errors import Broken, Transient
from keeper.journal.recover import Remedy
from keeper.journal.write import Journal
from keeper.model import IntentState, PlanKey
from keeper.signer import __main__ as command
from keeper.signer.policy import SigningPolicy
from keeper.signer.policy_file import to_text
from keeper.signer.remote import RemoteSigner
from keeper.signer.store import DayCaps
from keeper.transaction.send import Live
from tests.anvil.test_transaction_anvil import CALL, COUNT_UP, COUNTER, Keeper, poke
from tests.keystores import CANARY, PASSWORD, address_of, keystore
from tests.patience import PATIENCE_S
from tests.plans import CHAIN_ID, position_id

pytestmark = pytest.mark.anvil
ROOT = Path(__file__).parents[2]
S = IntentState


class SignerProcess:
    """``python -m keeper.signer`` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "signer.sock"
        policy = SigningPolicy(chain_id=CHAIN_ID, address=address_of(), calls=(CALL,), fee_wei_max=10**18)
        file = folder / "policy.json"
        file.touch(0o600)
        file.write_text(to_text(policy, DayCaps(fee_wei=10**19, units={})))
        self.key, self.password = keystore(folder)
        adopt = ["--chain-id", str(CHAIN_ID), "--nonce", "0", "--why", "test"]
        # in this process: a start costs two seconds of CPU
        assert command.main(["adopt", "--store", str(folder / "s.sqlite"), *adopt]) == 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "signer.log"

    def line(self, do: str) -> list[str]:
        """The command."""
        return [sys.executable, "-m", "keeper.signer", do]

    def start(self) -> None:
        """Start and wait until it listens."""
        where = ["--socket", str(self.socket), "--policy", str(self.folder / "policy.json")]
        keys = ["--keystore", str(self.key), "--password-file", str(self.password)]
        with self.log.open("ab") as log:
            line = [*self.line("run"), *where, *keys, "--store", str(self.folder / "s.sqlite")]
            self.process = subprocess.Popen(line, cwd=ROOT, stdout=log, stderr=log)
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            try:
                asyncio.run(RemoteSigner(self.socket, address_of()).stored("nothing"))
                return
            except Transient:
                assert self.process.poll() is None, self.log.read_text()
        raise AssertionError("the signer does not listen")

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[SignerProcess]:
    made = SignerProcess(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def chain(anvil_binary: None) -> Iterator[Chain]:
    with Anvil(AnvilSettings(mining=False)) as node:
        client = Chain(node.url)
        client.rpc("anvil_setBalance", address_of(), hex(100 * 10**18))
        client.rpc("anvil_setCode", COUNTER, "0x" + COUNT_UP.hex())
        client.rpc("evm_mine")
        yield client
        client.close()


class Remote(Keeper):
    """The keeper of the money path's tests, whose key is in the other process."""

    def with_signer(self, socket: Path) -> Remote:
        """Signing there."""
        self.remote = asyncio.run(RemoteSigner.open(socket, address_of()))
        self.live = Live(self.journal, self.transport, self.remote)
        self.confirmation = Confirmation(self.journal, self.transport, self.live, address_of())
        return self


WORKER = """
import asyncio, os, signal, sys
from pathlib import Path
from anvil.client import Chain
from keeper.clock import SystemClock
from keeper.journal.write import Journal
from tests.anvil.test_signer_process import Remote
url, path, socket, point = sys.argv[1:]
def probe(at):
    if at == point:
        os.kill(os.getpid(), signal.SIGKILL)
with Journal.open(Path(path), SystemClock()) as journal:
    keeper = Remote(Chain(url), journal).with_signer(Path(socket))
    keeper.live._probe = probe
    keeper.recover()
    keeper.act()
"""


def test_process__when_looked_at__then_socket_is_private_and_no_network_or_compiler_is_loaded(
    signer: SignerProcess,
) -> None:
    assert stat.S_IMODE(os.stat(signer.socket).st_mode) == 0o600
    banned = ("numba", "web3", "aiohttp", "websockets", "requests", "http.client", "sqlalchemy")
    code = f"import keeper.signer.__main__, sys; print([m for m in {banned!r} if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
    assert signer.process is not None
    line = Path(f"/proc/{signer.process.pid}/cmdline").read_bytes()
    environment = Path(f"/proc/{signer.process.pid}/environ").read_bytes()
    for secret in (CANARY.hex().encode(), CANARY, PASSWORD.encode()):
        assert secret not in line + environment + signer.log.read_bytes()


@pytest.mark.parametrize("point", ["planned", "signed", "journaled", "broadcast", "sent"])
def test_daemon__when_killed_at_any_point__then_what_the_signer_signed_acts_once(
    signer: SignerProcess, chain: Chain, tmp_path: Path, point: str
) -> None:
    path = tmp_path / "killed.sqlite"
    line = [sys.executable, "-c", WORKER, chain.url, str(path), str(signer.socket), point]
    died = subprocess.run(line, cwd=ROOT, capture_output=True, timeout=600, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    with Journal.open(path, SystemClock()) as journal:
        again = Remote(chain, journal).with_signer(signer.socket)
        asyncio.run(again.live.settle(CHAIN_ID))
        found = again.recover()
        assert found == ([] if point == "planned" else [Remedy.RESENT])
        if point == "planned":
            again.act(2)
        again.mine()
        assert [o.state for o in again.tend()] == [S.INCLUDED]
        again.act(3 if point == "planned" else 2)
        again.mine()
        again.tend()
        assert again.effects == 2


def test_signer__when_killed_under_the_daemon__then_transient_and_it_goes_on_after_a_restart(
    signer: SignerProcess, chain: Chain, tmp_path: Path
) -> None:
    with Journal.open(tmp_path / "j.sqlite", SystemClock()) as journal:
        keeper = Remote(chain, journal).with_signer(signer.socket)
        keeper.recover()
        keeper.act()
        keeper.mine()
        keeper.tend()
        signer.kill()
        with pytest.raises(Transient, match="no signer answers"):
            keeper.act(2)
        assert keeper.live.unsure
        signer.start()
        keeper.mine()
        keeper.tend()
        assert not keeper.live.unsure
        keeper.act(3)
        keeper.mine()
        keeper.tend()
        assert keeper.effects == 2


def test_signer__when_the_daemon_is_somebody_else__then_only_the_policy_is_signed(
    signer: SignerProcess, chain: Chain, tmp_path: Path
) -> None:
    with Journal.open(tmp_path / "j.sqlite", SystemClock()) as journal:
        first = Remote(chain, journal).with_signer(signer.socket)
        first.recover()
        first.act()
    # a journal that was lost makes the daemon ask for the same nonce with another intent
    with Journal.open(tmp_path / "other.sqlite", SystemClock()) as journal:
        journal.adopt_nonce(CHAIN_ID, address_of(), 0, "test")
        thief = Remote(chain, journal).with_signer(signer.socket)
        taken = thief.snapshot()
        other = replace(poke(1, taken.block), key=PlanKey(position=position_id("other"), seq=1))
        with pytest.raises(Broken, match="S3: nonce 0 is for"):
            asyncio.run(thief.live.act(other, taken))
