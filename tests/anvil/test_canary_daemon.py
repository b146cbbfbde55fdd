"""A real daemon rescues a tiny position for practice on real Aave: settled and told, refused by its node, put off."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from anvil.actors import Borrower
from anvil.scenario import load_scenario
from anvil.stage import stage
from keeper.journal.read import Reader
from keeper.model import Intent
from tests.anvil_daemon import Night, armed, keeper, night, rewritten, until
from tests.command import ROOT
from tests.pages import blocks, commands
from tests.sinks import Beside, beside

pytestmark = pytest.mark.anvil
BLOCKS_MAX = 30
STAGES = ["plan", "simulation", "signer", "send", "inclusion", "effect", "alarm"]
PAGE = ROOT / "docs" / "guide" / "canary.md"
CANARY = """
[alarms]
targets_file = "targets"
[canary]
position = "tiny"
value_usd_max = 10000
within_blocks = 6
"""


def worded(told: str) -> list[str]:
    """Without what differs from night to night: figures, hashes, the width of columns."""
    plain = re.sub(r"0x[0-9a-f.]+|[\d.,]+", "n", told)
    return [" ".join(line.split()) for line in plain.splitlines()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cage:
    """A night with a canary, its node's door and the webhook of its people."""

    told: Night
    far: Beside
    account: str

    def status(self) -> dict[str, Any]:
        """How the canary stands."""
        return self.told.guard.ask({"do": "canary"})

    def run(self) -> dict[str, Any]:
        """The last rescue for practice."""
        return dict(self.status()["run"] or {"state": None})

    def begins(self) -> None:
        """Asked for by somebody; returns when it is under way and no block has come yet."""
        answer = self.told.guard.ask({"do": "canary", "now": True, "actor": "test", "why": "a test"})
        assert answer["ok"] is True, answer
        until(lambda: self.run()["state"] == "RUNNING")

    def ends(self) -> dict[str, Any]:
        """Blocks until it ended."""
        for _ in range(BLOCKS_MAX):
            if self.run()["state"] != "RUNNING":
                return self.run()
            self.told.block()
        raise AssertionError(f"it never ended: {self.status()}")

    def intents(self) -> list[Intent]:
        """Whatever was planned for it."""
        with Reader.open(self.told.settings.journal_path) as journal:
            return [i for i in journal.intents() if i.key.position.account == self.account]


@pytest.fixture(scope="module")
def cage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cage]:
    """The tests of this file are one night, in their order."""
    folder = tmp_path_factory.mktemp("canary")
    with stage(load_scenario("crash"), folder, mode="live") as on, beside(on.node.url) as far:
        account = str(on.market.roles.actors[-1])
        units = {s: on.market.token(s).unit for s in ("WETH", "USDC")}
        tiny = Borrower(
            account=account, collateral={"WETH": units["WETH"]}, debt={"USDC": 700 * units["USDC"]}
        )
        on.actors.open(tiny)
        (folder / "targets").write_text(f"critical json://{far.hook}/hook\n")
        (folder / "targets").chmod(0o600)
        place = f'[[positions]]\nlabel = "tiny"\nvenue = "aave"\naccount = "{account}"\npolicy = "plain"\n'
        rewritten(
            on,
            {f'"{on.node.url}"': f'"http://{far.url}"', "[policies.plain]\n": f"{place}[policies.plain]\n"},
        )
        on.config.write_text(on.config.read_text() + CANARY)
        armed(on)
        with night(on) as told:
            yield Cage(told=told, far=far, account=account)


def test_canary__when_asked_for__then_settled_on_the_real_market_and_told_and_the_stages_are_printed(
    cage: Cage,
) -> None:
    before = cage.told.on.actors.account(cage.account).health_wad
    (line,) = commands(PAGE)
    assert line.keeper is not None
    said = line.keeper[: line.keeper.index("--config")] + line.keeper[line.keeper.index("--config") + 2 :]
    assert said[:2] == ("canary", "--now")
    done: list[Any] = []
    typed = threading.Thread(target=lambda: done.append(keeper(cage.told.on, *said)))
    typed.start()
    left, deadline_s = BLOCKS_MAX, time.monotonic() + 240
    while typed.is_alive() and left and time.monotonic() < deadline_s:
        if cage.run()["state"] == "RUNNING":
            cage.told.block()
            left -= 1
        typed.join(0.5)
    typed.join(60)
    (command,) = done
    print(command.stdout, command.stderr)
    assert command.returncode == 0
    # what the page shows, up to its figures
    (shown,) = (b for b in blocks(PAGE) if not b.language)
    assert [told.split()[0] for told in shown.lines[:7]] == STAGES
    assert worded(command.stdout) == worded(shown.text)
    (intent,) = cage.intents()
    assert intent.state in ("SETTLED", "FINAL")
    assert cage.told.on.actors.account(cage.account).health_wad >= before + 19 * 10**15
    run = cage.run()
    assert int(run["health_wad"]) >= intent.plan.bounds.health_after_min_wad
    assert 0 < run["gas_usd"] < 10
    # a target that wants to hear CRITICAL alone hears it too: it is there to be proven
    assert [t for t in cage.far.told if "INFO canary tiny" in t]
    assert cage.status()["success_s"] == run["ended_s"]


def test_canary__when_a_crash_begins_before_it_is_signed__then_the_real_rescue_goes_first(cage: Cage) -> None:
    nonce = cage.told.nonce
    cage.begins()
    cage.told.falls(WETH=0.8, wstETH=0.8)
    assert cage.told.intents("plain"), (
        "the block of the fall is the first one that could have planned the canary"
    )
    assert len(cage.intents()) == 1, "only that of the first test"
    assert cage.ends()["state"] == "PUT_OFF"
    assert cage.run()["why"].startswith("the canary waits: ")
    cage.told.block()
    assert cage.told.rescues("plain") == 1
    assert cage.told.nonce > nonce
    cage.told.falls(WETH=1.0, wstETH=1.0)
    for _ in range(6):
        cage.told.block()


def test_canary__when_the_node_takes_nothing__then_critical_names_the_sending_and_none_begins_until_known(
    cage: Cage,
) -> None:
    until(lambda: not cage.status()["hindered"])
    cage.far.refuses = True
    cage.begins()
    run = cage.ends()
    assert (run["state"], run["at"]) == ("FAILED", "send")
    assert [*run["passed"]] == STAGES[:3]
    alarms = [e for e in cage.told.entries("alarm") if e.data["code"] == "canary_failed"]
    assert [(e.data["severity"], e.subject) for e in alarms] == [("CRITICAL", "tiny")]
    assert alarms[0].why.startswith("send: ")
    until(lambda: any("CRITICAL canary_failed tiny" in t for t in cage.far.told))
    answer = cage.told.guard.ask({"do": "canary", "now": True})
    assert "keeper ack" in answer["why"]
    assert keeper(cage.told.on, "canary").returncode == 0
    cage.far.refuses = False
    for _ in range(4):
        cage.told.block()
    assert keeper(cage.told.on, "ack").returncode == 0
    assert "keeper ack" not in str(cage.status()["hindered"])
