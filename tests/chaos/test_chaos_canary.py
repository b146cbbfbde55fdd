"""A key and a token go through a rescue at DEBUG, a traceback, a kill and the commands: seen nowhere."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from anvil import shock
from anvil.scenario import load_scenario
from anvil.stage import PASSWORD, Stage, stage
from keeper.clock import SystemClock
from keeper.config import load
from keeper.errors import Transient
from keeper.granting import grant
from keeper.journal.write import Journal
from keeper.notify.control import ask
from tests.bench.figures import record

pytestmark = pytest.mark.anvil
ROOT = Path(__file__).parents[2]
TOKEN = "canary0token0that0nobody0may0print"
SECRET = hashlib.sha256(b"keeper demo wallet: worthless by intent").digest()
"""The key that the stage seals: as good a canary as any."""
NEEDLES = {
    "key in hex": SECRET.hex().encode(),
    "key in bytes": SECRET,
    "key as a number": str(int.from_bytes(SECRET)).encode(),
    "key as a Python literal": repr(SECRET).encode()[2:-1],
    "password": PASSWORD.encode(),
    "token": TOKEN.encode(),
}
PLANTED = b"planted at journaled"
NAMED_SECRETS = {"keeper.toml", "keystore.json", "password"}
COMMANDS = (
    ("check",),
    ("positions", "--json"),
    ("journal",),
    ("run", "--once", "--dry-run"),
    ("scan", "0x000000000000000000000000000000000000dEaD", "--rpc", f"http://127.0.0.1:1/{TOKEN}"),
)


@pytest.fixture
def on(tmp_path: Path, anvil_binary: None) -> Iterator[Stage]:
    with stage(load_scenario("crash"), tmp_path, mode="live") as made:
        # one endpoint whose URL carries a token, one dead one with a token in every part of it
        text = made.config.read_text().replace(made.node.url, f"{made.node.url}/?key={TOKEN}", 1)
        dead = f"http://{TOKEN}:{TOKEN}@127.0.0.1:1/{TOKEN}?key={TOKEN}"
        endpoint = f"[[chains.endpoints]]\nname = 'dead'\nurl = '{dead}'\nws_url = 'ws{dead[4:]}'\n[[venues]]"
        made.config.write_text(text.replace("[[venues]]", endpoint, 1))
        yield made


def test_secrets__when_everything_is_as_loud_as_it_can_be__then_no_output_holds_them(on: Stage) -> None:
    settings = load(on.config)
    asyncio.run(grant(settings, {"USDC": "60000", "WETH": "20"}, True))
    with Journal.open(settings.journal_path, SystemClock()) as journal:
        journal.set_control("armed", settings.digest, "test", "canary")
    on.chain.rpc("evm_setAutomine", False)
    output = on.folder / "output"
    output.mkdir()
    _loud(on, output)
    found = _hits(on.folder)
    searched = [p for p in on.folder.rglob("*") if p.is_file()]
    record("canary_hits", len(found), bound="= 0", holds=not found, evidence="real_bytecode", n=len(searched))
    assert found == []
    log = (output / "loud.log").read_bytes()
    assert PLANTED in log, "the traceback that was to be searched is not there"
    assert b"tick" in log
    assert len(log) > 10_000


def test_needles__when_a_file_holds_one__then_the_search_finds_it(tmp_path: Path) -> None:
    for name, needle in NEEDLES.items():
        path = tmp_path / "leak"
        path.write_bytes(b"before " + needle + b" after")
        assert _hits(tmp_path) == [f"leak: {name}"]


def _loud(on: Stage, output: Path) -> None:
    """A daemon at DEBUG that acts, fails once on the way, is asked by commands beside it, and is killed."""
    with (output / "loud.log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-m", "tests.chaos.loud_run", str(on.config), "journaled"],
            stdout=out,
            stderr=out,
            cwd=ROOT,
        )
        try:
            _until_watching(on, process)
            _fall(on, 80)
            _until_planted(on, output / "loud.log")
            _commands(on, output / "commands.log")
        finally:
            process.kill()
            process.wait()


def _until_watching(on: Stage, process: subprocess.Popen[bytes]) -> None:
    path, deadline_s = load(on.config).control_path, time.monotonic() + 240
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            chains = asyncio.run(ask(path, {"do": "status"}))["chains"]
        except Transient:
            chains = []
        if isinstance(chains, list) and chains and chains[0].get("block") is not None:
            return
        time.sleep(0.2)
    raise AssertionError("the loud daemon did not come up")


def _until_planted(on: Stage, log: Path) -> None:
    """Blocks until the daemon has failed where it was to fail, and a few more."""
    deadline_s, more = time.monotonic() + 240, 3
    while more:
        assert time.monotonic() < deadline_s, "it never came to the planted failure"
        time.sleep(1.0)
        on.chain.mine()
        more -= PLANTED in log.read_bytes()


def _fall(on: Stage, per_cent: int) -> None:
    prices = on.scenario.prices_usd8(-1)
    shock.set_prices(
        on.chain, on.market, {s: prices[s] * per_cent // 100 for s in ("WETH", "wstETH")}, wait=False
    )
    on.chain.mine()


def _commands(on: Stage, log: Path) -> None:
    """Commands that read the configuration, the journal or a URL, beside the running daemon."""
    with log.open("ab") as out:
        for words in COMMANDS:
            tail = ("--config", str(on.config)) if words[0] not in ("scan",) else ()
            subprocess.run(
                [sys.executable, "-m", "keeper", *words, *tail],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                timeout=600,
                cwd=ROOT,
            )


def _hits(folder: Path) -> list[str]:
    """Every file but those that are there to hold a secret, and what was found in it."""
    return [
        f"{path.name}: {name}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in NAMED_SECRETS
        for name, needle in NEEDLES.items()
        if needle in path.read_bytes()
    ]
