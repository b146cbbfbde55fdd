"""Every command block of README and guide, followed by one reader on a local chain with the real market.

He has a position there, no configuration and no key, and reads as the pages are meant to be read: look, write a
configuration, a daemon in dry-run, its alarms and copies; then a key, money, approvals, live, armed, and out again.
What a page leaves open is filled in by ``Reader.filled``; what cannot be run here stands in ``NOT_HERE`` with its
reason. That somebody else runs such a line, if it is README's or the guide's, is held by test_pages_run.py.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from anvil.guard import START_S, Guard
from anvil.scenario import load_scenario
from anvil.stage import Stage, stage
from tests.command import ROOT, typed
from tests.pages import Command, blocks, pages

pytestmark = pytest.mark.anvil
README = "README.md"
FIRST_WEEK, GOING_LIVE, RUNBOOK, BACKUP, UPGRADE = (
    f"docs/guide/{name}.md" for name in ("first-week", "going-live", "runbook", "backup", "upgrade")
)
PASSWORD = "the sentence of a reader"
STORY: tuple[tuple[str, str], ...] = (
    (FIRST_WEEK, "1. Look"),
    (README, "Look at a position"),
    (FIRST_WEEK, "2. Write down what to guard"),
    (README, "A first real configuration, in dry-run"),
    (FIRST_WEEK, "3. Ask what could happen"),
    (FIRST_WEEK, "4. Leave it running"),
    (RUNBOOK, "Runbook"),
    (BACKUP, "A copy beside the running daemon"),
    (UPGRADE, "Upgrade"),
    (GOING_LIVE, "1. A key of its own"),
    (GOING_LIVE, "2. Money and grants"),
    (BACKUP, "Restore"),
    (README, "Going live"),
    (GOING_LIVE, "3. Live, disarmed"),
    (GOING_LIVE, "4. Arm"),
    (GOING_LIVE, "5. Out again, at any hour"),
)
"""(page, heading) in the order in which one reader does them."""
NOT_HERE = {
    "make demo": "would set the environment up again: .ci/run says it",
    "drill": "a minute of processors: test_pages_drilled.py runs it as written, test_drill.py a smaller one",
    "docs/guide/install.md": "needs a root of its own, and systemd: clean_machine.py and boot_units.sh have them",
    "docs/guide/service.md": "needs a root of its own, and systemd: clean_machine.py and boot_units.sh have them",
    "sudo": "needs an installation to be replaced: clean_machine.py has one",
    "cd": "belongs to the lines after it",
    "docs/guide/canary.md": "needs a canary of one's own: test_canary_daemon.py has one",
    "docs/CONTRIBUTING.md": "set-up, lint and this very run of tests",
    "docs/reference/drill.md": "as README's drill; a past liquidation again: test_drill.py",
    "docs/reference/replay.md": "needs a year of bars: test_replay_vectors.py and test_pages_replayed.py replay",
    "docs/strategies/": "test_pages_replayed.py types those with a drawing; what needs real prices is not run",
}
"""Beginnings of lines, words or pages that are not followed here, and why."""
ENDS = {"check": {0, 1}, "capacity": {0, 1}}
"""Exit codes of commands that have findings for a reader who has not done everything yet; else 0."""
SHOWN = {
    "scan": r"position +level +health +distance",
    "verify": r"all equal",
    "init": r"wrote keeper\.toml",
    "positions": r"position-1 +SAFE",
    "shock": r"May 2021",
    "distance": r"P\(touch\)",
    "risk": r"first to break",
    "leverage": r"what it means",
    "capacity": r"-20 %.*\n.*-35 %.*\n.*-50 %",
    "watch": r"position-1 +SAFE",
    "explain": r"last block seen: \d+",
    "ack": r"acknowledged",
    "adopt": r"in step",
    "grant": r"WETH +2 .*\n.*USDC +5000 ",
    "revoke": r"WETH +0 .*\n.*USDC +0 ",
    "arm": r"warn.*trigger.*emergency",
    "disarm": r"disarmed",
}
"""What the pages say that a command shows."""
ONCE = {"keystore"}
"""Two pages say it in the same words; the second time there is one already."""


@dataclass
class Reader:
    """One reader at his desk."""

    on: Stage
    desk: Path
    wrong: list[str] = field(default_factory=list)
    guard: Guard | None = None
    wallet: str = ""

    def does(self, line: Command) -> None:
        """One line of a page. What goes wrong is kept, with the place to mend."""
        said = line.keeper
        assert said is not None, f"{line.where}: not a keeper command, and not in NOT_HERE"
        name = said[0]
        if name in ONCE and (self.desk / "keystore.json").exists():
            return
        if name == "run":
            self.starts()
        elif name == "keystore":
            self.configures(self.makes_a_key(said))
        else:
            if name == "grant":
                self.sends_money()
            if name == "arm":
                self.goes_live()
            self.types(line, self.filled(said))

    def filled(self, said: tuple[str, ...]) -> tuple[str, ...]:
        """The line with what the page leaves open."""
        given = {"0xYourAddress": self.on.pairs[0].guarded, "https://your-endpoint": self.on.node.url}
        added = {
            # a local chain's market is not among the known ones
            "scan": ("--provider", self.on.market.provider),
            "verify": ("--provider", self.on.market.provider),
            # two pages lead to one file
            "init": ("--provider", self.on.market.provider, "--force"),
        }
        return (*(given.get(word, word) for word in said), *added.get(said[0], ()))

    def types(self, line: Command, said: tuple[str, ...]) -> None:
        """At the terminal, in this process; the chain goes on, however long the commands before took."""
        self.sees_a_block()
        ran = typed(self.desk, *said)
        if ran.returncode not in ENDS.get(said[0], {0}):
            self.wrong.append(f"{line.where}: ended with {ran.returncode}: {ran.stdout}{ran.stderr}")
        elif not re.search(SHOWN.get(said[0], ""), ran.stdout):
            self.wrong.append(f"{line.where}: shows something else:\n{ran.stdout}{ran.stderr}")

    def starts(self) -> None:
        """``keeper run`` in another terminal, unless it runs already."""
        if self.guard is None:
            self.guard = Guard(self.desk / "keeper.toml").__enter__()
            self.sees_a_block()

    def sees_a_block(self) -> None:
        """The daemon, where one runs."""
        if self.guard is not None:
            self.guard.caught_up(self.on.chain.mine().number, within_s=START_S)

    def stops(self) -> None:
        """Ctrl-C there."""
        if self.guard is not None:
            self.guard.__exit__(None, None, None)
            self.guard = None

    def makes_a_key(self, said: tuple[str, ...]) -> str:
        """``keeper keystore`` at a terminal, which asks twice; the address that it prints."""
        told = asked(self.desk, said, (PASSWORD, PASSWORD))
        (address,) = re.findall(r"^(0x[0-9a-fA-F]{40})\r?$", told, re.MULTILINE)
        return str(address)

    def configures(self, wallet: str) -> None:
        """What going-live.md says to write into keeper.toml."""
        (self.desk / "keystore.password").touch(0o600)
        (self.desk / "keystore.password").write_text(PASSWORD + "\n")
        (block,) = (b for b in blocks(ROOT / GOING_LIVE) if b.language == "toml")
        self.rewrites("\n[wallet]", "\n" + block.text.replace("0x...", wallet) + "\n")
        self.wallet = wallet

    def sends_money(self) -> None:
        """Gas and the tokens that the pages name."""
        self.on.chain.rpc("anvil_setBalance", self.wallet, hex(10**20))
        for symbol, amount in (("USDC", 5_000), ("WETH", 2)):
            self.on.actors.mint(symbol, self.wallet, amount * self.on.market.token(symbol).unit)

    def goes_live(self) -> None:
        """``mode = "live"``, once, and the daemon anew."""
        if 'mode = "live" ' not in (self.desk / "keeper.toml").read_text():
            self.stops()
            self.rewrites('mode = "dry-run"', 'mode = "live" ')
            self.starts()

    def rewrites(self, old: str, new: str) -> None:
        """One place of keeper.toml, with an editor."""
        config = self.desk / "keeper.toml"
        text = config.read_text()
        assert text.count(old) == 1, old
        config.write_text(text.replace(old, new))


def asked(folder: Path, said: tuple[str, ...], answers: tuple[str, ...]) -> str:
    """What ``keeper SAID`` prints on a terminal of its own, each question answered after it was asked."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(
            sys.executable,
            [sys.executable, "-m", "keeper", *said],
            {**os.environ, "PYTHONPATH": str(ROOT)},
        )
    told, asking, left, deadline_s = "", "", list(answers), time.monotonic() + 240
    with contextlib.suppress(OSError):  # a terminal whose other end is gone
        while time.monotonic() < deadline_s:
            if not select.select([terminal], [], [], 1.0)[0]:
                continue
            if not (some := os.read(terminal, 4096).decode()):
                break
            told, asking = told + some, asking + some
            if left and asking.endswith(": "):
                # answered earlier it would be thrown away: a question empties the line before it reads
                os.write(terminal, left.pop(0).encode() + b"\n")
                asking = ""
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, told
    return told


def not_here(line: Command, keys: Iterable[str] = tuple(NOT_HERE)) -> bool:
    """Whether the list says why it is not followed."""
    said = line.keeper
    return any(
        line.text.startswith(key) or line.page.startswith(key) or (said is not None and said[0] == key)
        for key in keys
    )


def all_lines() -> tuple[Command, ...]:
    found = pages(README, "docs/*.md", "docs/*/*.md")
    return tuple(c for page in found for b in blocks(page) if b.language == "sh" for c in b.commands)


def followed() -> tuple[Command, ...]:
    """The lines that the reader types, in his order."""
    lines = [c for c in all_lines() if not not_here(c)]
    return tuple(c for place in STORY for c in lines if (c.page, c.section) == place)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """The chain with his position, and an empty folder."""
    with stage(load_scenario("crash"), tmp_path_factory.mktemp("chain"), mode="dry-run") as on:
        him = Reader(on=on, desk=tmp_path_factory.mktemp("desk"))
        try:
            yield him
        finally:
            him.stops()


def test_pages__each_command_line__is_followed_or_stands_on_the_list_with_its_reason() -> None:
    lines = all_lines()
    assert len(lines) > 60
    missed = [c.where for c in lines if not not_here(c) and (c.page, c.section) not in STORY]
    told = "followed by nobody: put them into STORY, or into NOT_HERE with a reason\n"
    assert not missed, told + "\n".join(missed)
    here = {(c.page, c.section) for c in lines if not not_here(c)}
    assert [place for place in STORY if place not in here] == [], "STORY names what no page has"
    stale = [key for key in NOT_HERE if not any(not_here(c, (key,)) for c in lines)]
    assert not stale, "NOT_HERE names what no page has"


def test_pages__followed_by_one_reader__every_command_does_what_its_page_says(reader: Reader) -> None:
    for line in followed():
        reader.does(line)
    assert not reader.wrong, "\n".join(reader.wrong)
