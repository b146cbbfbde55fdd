"""Arming, and how the daemon starts, refuses to start and ends: what a person meets in the first hour."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from anvil import shock
from anvil.guard import Guard
from anvil.scenario import load_scenario
from anvil.stage import Stage, stage
from keeper.clock import SystemClock
from keeper.config import load
from keeper.granting import grant
from keeper.journal.starts import CRASHES
from keeper.journal.write import Journal
from keeper.model import Entry
from tests.anvil_daemon import GRANTS, Night, keeper, night, rewritten

pytestmark = pytest.mark.anvil

EOA = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
TARGET_WAD = 1_249 * 10**15


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A granted, live, never armed stage. The tests of this file are one story, in their order."""
    with stage(load_scenario("crash"), tmp_path_factory.mktemp("arming"), mode="live") as played:
        asyncio.run(grant(load(played.config), GRANTS, True))
        yield played


def test_run_once__when_safe_in_danger_or_unreachable__then_the_exit_code_says_so(on: Stage) -> None:
    assert keeper(on, "run", "--once", "--dry-run").returncode == 0
    before = on.chain.snapshot()
    _fall(on, 0.8)
    danger = keeper(on, "run", "--once", "--dry-run")
    assert danger.returncode == 1, danger.stderr
    assert "Traceback" not in danger.stderr
    on.chain.revert(before)
    text = on.config.read_text()
    rewritten(on, {on.node.url: "http://127.0.0.1:9"})
    nobody = keeper(on, "run", "--once", "--dry-run")
    on.config.write_text(text)
    assert nobody.returncode == 69, nobody.stderr
    assert "Traceback" not in nobody.stderr


@pytest.mark.parametrize(
    ("spoiled", "by", "said"),
    [("provider = ", EOA, EOA), ("chain_id = ", "1", "serves chain id 31337, configured is 1")],
)
def test_daemon__when_the_chain_contradicts_the_configuration__then_it_does_not_start(
    on: Stage, spoiled: str, by: str, said: str
) -> None:
    text = on.config.read_text()
    line = next(x for x in text.splitlines() if x.startswith(spoiled))
    value = f'"{by}"' if by.startswith("0x") else by
    rewritten(on, {line: f"{spoiled}{value}"})
    done = keeper(on, "run", "--dry-run")
    on.config.write_text(text)
    assert done.returncode == 78, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("arm",), ("disarm",)])
def test_command__when_no_daemon_runs__then_69_and_the_one_to_start_is_named(
    on: Stage, command: tuple[str, ...]
) -> None:
    done = keeper(on, *command)
    assert done.returncode == 69
    assert "is `keeper run` running" in done.stderr
    assert "Traceback" not in done.stderr


def test_dry_run__when_told_to_arm__then_it_refuses_and_a_live_daemon_cannot_share_its_home(
    on: Stage,
) -> None:
    with night(on, "--dry-run"):
        done = keeper(on, "arm", "--accept-immediate")
        assert done.returncode == 1
        assert "dry-run needs no arming" in done.stderr
        # a live one beside it would share the control socket: `keeper disarm` must reach the one that acts
        second = keeper(on, "run")
        assert second.returncode == 78, second.stderr
        assert "another keeper answers" in second.stderr
        assert "Traceback" not in second.stderr
        assert keeper(on, "arm").returncode == 1


def test_live__when_never_armed__then_it_sends_nothing_and_says_so_loudly(on: Stage) -> None:
    with night(on) as lives:
        sent = lives.nonce
        view = lives.block()
        assert view["armed"] is False
        assert lives.alarms("plain", "not_acting") == []
        view = lives.falls(WETH=0.8, wstETH=0.8)
        assert lives.position("plain", view)["level"] == "ACT"
        for _ in range(3):
            lives.block()
        assert lives.alarms("plain", "not_acting") == ["CRITICAL"]
        (said,) = [e for e in lives.entries("alarm", "plain") if e.data["code"] == "not_acting"]
        assert "keeper arm" in said.why
        assert "repay" in said.why
        assert lives.nonce == sent
        assert lives.intents("plain") == []

        _second_daemon_is_refused(on)
        _arm_refuses_an_immediate_action(lives)
        _arm_accepts_it_when_told(lives)


def _second_daemon_is_refused(on: Stage) -> None:
    second = keeper(on, "run")
    assert second.returncode == 78
    assert "another keeper (process" in second.stderr
    assert "Traceback" not in second.stderr


def _arm_refuses_an_immediate_action(lives: Night) -> None:
    done = keeper(lives.on, "arm")
    assert done.returncode == 1
    assert "--accept-immediate" in done.stderr
    assert "would act now: " in done.stdout
    assert "plain: health 1.1" in done.stdout
    prices = _prices(done.stdout, "plain", "WETH")
    assert prices["now"] == pytest.approx(lives.on.actors.price_usd8("WETH") / 1e8)
    health = lives.health("plain") / 1e18
    for name, at in (("warn", 1.35), ("trigger", 1.2), ("emergency", 1.08), ("liquidation", 1.0)):
        # one collateral, one stable debt: health is proportional to the price
        assert prices[name] == pytest.approx(prices["now"] * at / health, rel=1e-6), name
    lives.block()
    assert lives.rescues("plain") == 0
    assert lives.entries("control") == [e for e in lives.entries("control") if e.subject != "armed"]


def _arm_accepts_it_when_told(lives: Night) -> None:
    done = keeper(lives.on, "arm", "--accept-immediate", "--why", "the price is falling")
    assert done.returncode == 0, done.stderr
    assert "armed for this configuration" in done.stdout
    lives.block()
    lives.block()
    assert lives.rescues("plain") == 1
    assert lives.health("plain") >= TARGET_WAD
    assert lives.alarms("plain", "not_acting") == ["CRITICAL", "CLEARED"]
    (armed,) = [e for e in lives.entries("control") if e.subject == "armed"]
    assert armed.why == "the price is falling"
    assert armed.data["actor"]


def test_armed__when_the_daemon_restarts__then_it_acts_without_being_asked(on: Stage) -> None:
    with night(on) as lives:
        assert lives.block()["armed"] is True
        lives.falls(WETH=0.75, wstETH=0.75)
        lives.block()
        assert lives.rescues("plain") == 2
        assert lives.health("plain") >= TARGET_WAD

        done = keeper(on, "disarm", "--why", "going home")
        assert done.returncode == 0
        lives.falls(WETH=0.7, wstETH=0.7)
        lives.block()
        assert lives.rescues("plain") == 2
        assert lives.alarms("plain", "not_acting")[-1] == "CRITICAL"
        # the danger passes by itself, and with it the alarm about not acting
        lives.falls(WETH=0.8, wstETH=0.8)
        lives.block()
        assert lives.alarms("plain", "not_acting")[-1] == "CLEARED"
        assert keeper(on, "arm", "--json").returncode == 0


def test_policy__when_changed__then_a_reload_shows_it_first_and_the_daemon_goes_on_disarmed(
    on: Stage,
) -> None:
    text = on.config.read_text()
    with night(on) as lives:
        assert lives.block()["armed"] is True
        rewritten(on, {'trigger = "1.20"': 'trigger = "1.2O"'})
        wrong = keeper(on, "reload", "--apply")
        # the file is wrong, and the daemon that it started is there to say so, or to be stopped
        assert wrong.returncode == 1
        assert "1.2O" in wrong.stdout
        assert "asked all the same" in wrong.stderr
        assert keeper(on, "ack").returncode == 0
        watched = keeper(on, "watch", "--once")
        assert watched.returncode == 0
        assert "SAFE" in watched.stdout
        on.config.write_text(text)
        rewritten(on, {'mode = "live"': 'mode = "dry-run"'})
        assert "needs a restart, and nothing was taken over: mode" in keeper(on, "reload", "--apply").stderr
        on.config.write_text(text)
        rewritten(on, {'trigger = "1.20"': 'trigger = "1.22"'})
        shown = keeper(on, "reload")
        assert "trigger 1.2 -> 1.22" in shown.stdout
        assert "arming" in shown.stdout
        assert lives.block()["armed"] is True
        assert keeper(on, "reload", "--apply", "--why", "calmer").returncode == 0
        assert _after_the_reload(lives)["armed"] is False
        assert [e.why for e in lives.entries("control") if e.subject == "reload"] == ["calmer"]
        on.config.write_text(text)
        assert keeper(on, "reload", "--apply").returncode == 0
        # the way back is a change like any other: what was armed once is looked at again
        assert _after_the_reload(lives)["armed"] is False
        assert keeper(on, "arm").returncode == 0
        assert lives.block()["armed"] is True


def _after_the_reload(lives: Night) -> dict[str, Any]:
    """The chain's state at the first block that the new daemon of it judged."""
    for _ in range(50):
        number = lives.on.chain.mine().number
        for _ in range(100):
            chain = lives.guard.ask({"do": "status"})["chains"][0]
            if chain["block"] == number:
                return dict(chain)
            time.sleep(0.02)
    raise AssertionError("no block was judged after the reload")


def test_sigterm__when_it_comes__then_the_lane_drains_and_it_exits_0(on: Stage) -> None:
    with night(on) as lives:
        # the policy as it was is still armed
        rescued = lives.rescues("plain")
        lives.submit_prices(WETH=0.65)
        number = on.chain.mine().number
        while (lives.guard.ask({"do": "status"})["chains"][0]["block"] or 0) < number:
            time.sleep(0.001)
        # decided and handed to the lane, most likely not sent yet: it must not be lost on the way
        assert _ended(lives.guard) == 0
        on.chain.mine()
        assert on.actors.account(lives.account("plain")).health_wad >= TARGET_WAD
        assert lives.entries("stop")[-1].why == "stopped"
        assert not lives.settings.control_path.exists()
    with night(on) as lives:
        lives.block()
        assert lives.rescues("plain") == rescued + 1


def _ended(guard: Guard) -> int:
    """The exit code after SIGTERM."""
    process = guard._process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    return process.wait(120)


def _fall(on: Stage, share: float) -> None:
    start = on.scenario.prices_usd8(-1)
    shock.set_prices(on.chain, on.market, {s: int(start[s] * share) for s in ("WETH", "wstETH")})


def _prices(text: str, label: str, symbol: str) -> dict[str, float]:
    """``now``, ``warn``, ... of one line of `keeper arm`."""
    after = text.split(f"{label}: health")[1]
    line = next(x for x in after.splitlines() if x.strip().startswith(f"{symbol} now"))
    return {name: float(value.replace(",", "")) for name, value in re.findall(r"(\w+) ([\d,.]+\d)", line)}


def test_crashes__when_three_came_in_a_row__then_a_safe_daemon_rescues_all_the_same_and_says_so(
    on: Stage,
) -> None:
    with Journal.open(load(on.config).journal_path, SystemClock()) as journal:
        for _ in range(CRASHES):
            journal.record(Entry(kind="start", chain_id=0, block_number=0, subject="", why="live start"))
    with night(on) as lives:
        rescued = lives.rescues("plain")
        assert lives.block()["armed"] is True
        lives.falls(WETH=0.6, wstETH=0.6)
        lives.block()
        assert lives.rescues("plain") == rescued + 1
        assert lives.health("plain") >= TARGET_WAD
        (said,) = [e for e in lives.entries("alarm") if e.data["code"] == "safe_mode"]
        assert said.data["severity"] == "CRITICAL"
        # the daemon's own alarms, of no chain, are seen wherever one looks
        assert "CRITICAL safe_mode: it ended again and again" in keeper(on, "watch", "--once").stdout
    with night(on) as lives:
        # the stop at the end was meant: the next one is whole again
        lives.block()
        assert len([e for e in lives.entries("alarm") if e.data["code"] == "safe_mode"]) == 1
