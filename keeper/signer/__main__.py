"""``python -m keeper.signer``: the process that holds the key. It knows no endpoint and opens no network."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from keeper.clock import SystemClock
from keeper.errors import EXIT_BROKEN, EXIT_CONFIG, EXIT_OK, Broken, ConfigError
from keeper.signer.guarded import GuardedSigner
from keeper.signer.key import load_key
from keeper.signer.policy_file import load
from keeper.signer.service import serve
from keeper.signer.store import Store
from keeper.watchdog import Notifier

SOCKET_MAX = 107
"""Bytes of a unix socket's path, unix(7)."""
PING_S = 5.0
"""A sixth of WatchdogSec: a signer whose loop stands still for so long is started anew."""


def main(arguments: list[str]) -> int:
    """``run`` serves; ``adopt`` creates the store where there is none, and accepts a nonce. An exit code."""
    given = _parser().parse_args(arguments)
    try:
        if given.do == "adopt":
            return _adopt(given)
        return asyncio.run(_run(given))
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return EXIT_CONFIG
    except Broken as error:
        print(error, file=sys.stderr)
        return EXIT_BROKEN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m keeper.signer", description=__doc__)
    commands = parser.add_subparsers(dest="do", required=True)
    run = commands.add_parser("run", help="sign what the policy allows, until SIGTERM")
    for name in ("--socket", "--policy", "--keystore", "--password-file", "--store"):
        run.add_argument(name, type=Path, required=True)
    run.add_argument("--group", action="store_true", help="let the socket's group ask, not this user alone")
    adopt = commands.add_parser("adopt", help="the operator's word: every lower nonce is accounted for")
    adopt.add_argument("--store", type=Path, required=True)
    adopt.add_argument("--chain-id", type=int, required=True)
    adopt.add_argument("--nonce", type=int, required=True)
    adopt.add_argument("--why", required=True)
    return parser


def _adopt(given: argparse.Namespace) -> int:
    store = Store.open(given.store) if given.store.exists() else Store.create(given.store)
    with contextlib.closing(store):
        store.adopt(given.chain_id, given.nonce, given.why, SystemClock().now_s())
    print(f"chain {given.chain_id}: the next nonce signed is {given.nonce}")
    return EXIT_OK


async def _run(given: argparse.Namespace) -> int:
    if (size := len(os.fsencode(given.socket))) > SOCKET_MAX:
        raise ConfigError(
            (f"--socket: {given.socket} has {size} bytes, a socket's path at most {SOCKET_MAX}",)
        )
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    policy, caps = load(given.policy)
    key = await load_key(
        given.keystore,
        given.password_file,
        policy.address,
        credentials_dir=Path(folder) if folder else None,
    )
    store = Store.open(given.store)
    signer = GuardedSigner(key, policy, caps, store, SystemClock())
    server = await serve(given.socket, signer, group=given.group)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    told = f"signing for {policy.address} on chain {policy.chain_id}"
    print(told, file=sys.stderr, flush=True)
    await _pinged(stop, Notifier.from_systemd(), told)
    server.close()
    given.socket.unlink(missing_ok=True)
    store.close()
    return EXIT_OK


async def _pinged(stop: asyncio.Event, notifier: Notifier, status: str) -> None:
    """Until ``stop``: tell systemd that the loop turns."""
    notifier.ready(status)
    while not stop.is_set():
        notifier.ping(status)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PING_S)
    notifier.stopping()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
