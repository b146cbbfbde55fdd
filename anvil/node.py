"""One anvil process: started on a free loopback port, ready by RPC, stopped by its own pid only."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from anvil.tools import find_anvil

_READY_S = 90.0
_STOP_S = 15.0
_UPSTREAM = "upstream"
"""What the forked endpoint is called in the file that names it (foundry.toml, [rpc_endpoints])."""
_PR_SET_PDEATHSIG = 1
"""prctl(2), Linux: the signal a child gets when the thread that started it ends."""


class AnvilFailed(Exception):
    """anvil did not start or died; the message ends with the tail of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnvilSettings:
    """How a node is started. Defaults: a fresh chain that mines each transaction at once."""

    fork_url: str | None = None
    """Told to anvil by a file in its private home, not on its command line: it may hold a token."""
    fork_block: int | None = None
    chain_id: int | None = None
    """31337 on a fresh chain, the upstream's on a fork, unless given."""
    timestamp_s: int | None = None
    block_time_s: int | None = None
    """Mine at this wall-clock interval instead of on each transaction."""
    mining: bool = True
    """False: only ``Chain.mine`` makes blocks."""
    order: str = "fees"
    gas_limit: int = 60_000_000
    base_fee_wei: int | None = 1_000_000_000
    accounts: int = 60
    balance_native: int = 10_000
    prune_history: bool = False
    """Forget old state: needed beyond ~500 blocks, where anvil starts to write one file a block."""
    finality_blocks: int | None = None
    """``safe`` and ``finalized`` trail the head by 1x and 2x this many blocks (anvil's own default is 32)."""
    auto_impersonate: bool = False
    hardfork: str | None = None
    """The rules of blocks made here; on a fork of a public chain anvil takes those of the forked block."""
    code_size_max: int | None = None
    """Bytes a contract may have; EIP-170's 24 kB unless given. Code compiled without the optimizer needs more."""
    port: int | None = None

    def arguments(self, port: int) -> list[str]:
        """anvil's command line for ``port``."""
        words = ["--host", "127.0.0.1", "--port", str(port), "--quiet", "--no-cors"]
        words += ["--gas-limit", str(self.gas_limit), "--accounts", str(self.accounts)]
        words += ["--balance", str(self.balance_native), "--order", self.order]
        given: tuple[tuple[str, object], ...] = (
            ("--fork-block-number", self.fork_block),
            ("--chain-id", self.chain_id),
            ("--timestamp", self.timestamp_s),
            ("--block-time", self.block_time_s),
            ("--block-base-fee-per-gas", self.base_fee_wei),
            ("--slots-in-an-epoch", self.finality_blocks),
            ("--code-size-limit", self.code_size_max),
            ("--hardfork", self.hardfork),
        )
        for flag, value in given:
            words += [] if value is None else [flag, str(value)]
        words += [] if self.mining else ["--no-mining"]
        words += ["--prune-history"] if self.prune_history else []
        words += ["--auto-impersonate"] if self.auto_impersonate else []
        if self.fork_url is not None:
            # anvil's storage cache is keyed by chain and block number only: another local upstream at the
            # same block would be answered with the old one's storage
            words += ["--fork-url", _UPSTREAM, "--no-storage-caching", "--no-rate-limit"]
        return words


class Anvil:
    """A running anvil: ``with Anvil() as node: ... node.url``."""

    def __init__(self, settings: AnvilSettings | None = None) -> None:
        self.settings = settings or AnvilSettings()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """HTTP JSON-RPC endpoint."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        """WebSocket endpoint, same port."""
        return f"ws://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of the running node."""
        if self._process is None:
            raise AnvilFailed("anvil is not running")
        return self._process.pid

    def start(self) -> Anvil:
        """Start and wait until it answers. Raises AnvilFailed or ToolMissing."""
        binary = find_anvil()
        # anvil keeps state and caches under HOME; hundreds of megabytes must not outlive the node
        self._folder = tempfile.TemporaryDirectory(prefix="keeper-anvil-")
        try:
            for attempt in range(3):
                self._port = self.settings.port or _free_port()
                if self._launch(binary):
                    return self
                # another process may have taken the port between our look and anvil's bind
                if self.settings.port is not None or attempt == 2 or "in use" not in self._log_tail():
                    break
            raise AnvilFailed(f"anvil did not answer on 127.0.0.1:{self._port}: {self._log_tail()}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """SIGINT, wait, then kill; only the process started here. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    def __enter__(self) -> Anvil:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, binary: Path) -> bool:
        assert self._folder is not None
        home = self._folder.name
        if self.settings.fork_url is not None:
            named = f"[rpc_endpoints]\n{_UPSTREAM} = {json.dumps(self.settings.fork_url)}\n"
            Path(home, "foundry.toml").write_text(named, encoding="utf-8")
        with open(os.path.join(home, "anvil.log"), "wb") as log:
            self._process = subprocess.Popen(
                [str(binary), *self.settings.arguments(self._port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=home,
                env={"HOME": home, "PATH": os.environ.get("PATH", "")},
                # a Ctrl-C at the terminal is for us: we stop the node after its users have finished
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        deadline_s = time.monotonic() + _READY_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                return False
            if _answers(self._port):
                return True
            time.sleep(0.02)
        return False

    def _log_tail(self) -> str:
        if self._folder is None:
            return ""
        text = Path(self._folder.name, "anvil.log").read_text(encoding="utf-8", errors="replace")
        if self.settings.fork_url is not None:
            text = text.replace(self.settings.fork_url, "(fork url)")
        return text[-1500:].strip() or "(its log is empty)"


def _die_with_parent() -> Callable[[], None] | None:
    """A killed test run or demo leaves no node behind (Linux; main thread only, whose end is ours)."""
    if threading.current_thread() is not threading.main_thread():
        return None
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)

    return ask


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        body = b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        return b'"result"' in connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
