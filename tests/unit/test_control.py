"""What the control socket is told: nothing unknown is healthy, nothing arms by accident."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keeper.chain.endpoint import EndpointStatus, State
from keeper.daemon.control import Blind, Controls
from keeper.daemon.planned import PLANS_MAX, plan_rows
from keeper.errors import Broken
from keeper.journal.read import Queries
from keeper.model import Intent, IntentState
from keeper.notify.alarm import Alarms
from keeper.seams import Severity
from tests import build, plans
from tests.loop_double import DIGEST, Loop, loop, settings, vault

pytestmark = [pytest.mark.unit]

SAFE, DANGER = "2400", "1400"


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Loop]:
    made = loop(tmp_path)
    yield made
    made.journal.close()


async def ask(on: Loop, do: str, mode: str = "live", **more: object) -> dict[str, Any]:
    home = on.journal.path.parent
    return await Controls(settings(home, mode), on.journal, [on]).answer({"do": do, **more})


async def shown(on: Loop) -> dict[str, Any]:
    """The one chain of the status."""
    (chain,) = (await ask(on, "status"))["chains"]
    return dict(chain)


@pytest.mark.asyncio
async def test_status__when_read__then_level_and_health_are_current(on: Loop) -> None:
    await on.running.tick(on.lay(vault(SAFE)))
    chain = await shown(on)
    assert (chain["block"], chain["blind"], chain["armed"]) == (101, None, False)
    (position,) = chain["positions"]
    assert position["level"] == "SAFE"
    assert position["health_wad"] == str(vault(SAFE).health_wad)
    assert position["last_known"] is None


@pytest.mark.asyncio
async def test_status__when_a_position_is_unread__then_health_is_only_last_known(on: Loop) -> None:
    await on.running.tick(on.lay(vault(SAFE)))
    on.facts.next = build.snapshot(unreadable=[build.unreadable()], at=build.block(102))
    await on.running.tick(build.block(102))
    (position,) = (await shown(on))["positions"]
    assert (position["level"], position["health_wad"]) == ("UNKNOWN", None)
    assert position["unreadable"] == "the oracle reverted"
    known = {"level": "SAFE", "health_wad": str(vault(SAFE).health_wad), "block": 101}
    assert position["last_known"] == known


@pytest.mark.asyncio
async def test_status__when_blind__then_nothing_reads_healthy_although_the_last_tick_did(on: Loop) -> None:
    await on.running.tick(on.lay(vault(SAFE)))
    on.blind = Blind(why="no new head for 46 s", since_s=1234.5)
    chain = await shown(on)
    assert chain["blind"] == {"since_s": 1234.5, "why": "no new head for 46 s"}
    (position,) = chain["positions"]
    assert (position["level"], position["health_wad"]) == ("UNKNOWN", None)
    assert position["last_known"]["block"] == 101
    assert "cannot be seen" in position["unreadable"]


@pytest.mark.asyncio
async def test_status__before_the_first_tick__then_unknown_with_what_an_earlier_run_knew(
    on: Loop, tmp_path: Path
) -> None:
    (position,) = (await shown(on))["positions"]
    assert (position["level"], position["last_known"]) == ("UNKNOWN", None)
    await on.running.tick(on.lay(vault(DANGER)))
    on.journal.close()
    again = loop(tmp_path)
    (position,) = (await shown(again))["positions"]
    assert (position["level"], position["health_wad"]) == ("UNKNOWN", None)
    assert position["last_known"]["block"] == 101
    again.journal.close()


@pytest.mark.asyncio
async def test_status__when_the_chain_never_answered__then_its_positions_are_listed_unknown(on: Loop) -> None:
    on.loop, on.blind = None, Blind(why="no endpoint answers", since_s=1.0)
    chain = await shown(on)
    assert chain["block"] is None
    (position,) = chain["positions"]
    assert (position["label"], position["level"], position["health_wad"]) == ("vault 1", "UNKNOWN", None)


@pytest.mark.asyncio
async def test_status__when_plans_were_made__then_the_newest_of_the_chain_first_with_their_why(
    on: Loop,
) -> None:
    assert (await shown(on))["plans"] == []
    elsewhere = replace(plans.position_id(), chain_id=10)
    for seq in range(1, PLANS_MAX + 2):
        key = on.journal.open_intent(plans.plan(seq)).key
        on.journal.set_state(key, IntentState.EXPIRED, "ten blocks passed", 9)
    on.journal.open_intent(plans.plan(position=elsewhere))
    told = (await shown(on))["plans"]
    assert [p["key"].rpartition("#")[2] for p in told] == [str(n) for n in range(PLANS_MAX + 1, 1, -1)]
    newest = {k: told[0][k] for k in ("id", "state", "open", "strategy", "became", "tries", "hash")}
    assert newest == {
        "id": str(plans.position_id()),
        "state": "EXPIRED",
        "open": False,
        "strategy": "repay",
        "became": "ten blocks passed",
        "tries": 0,
        "hash": "",
    }
    assert told[0]["why"] == plans.plan().why != ""


def test_plans__when_the_journal_cannot_be_read__then_not_known_which_is_not_none() -> None:
    class Lost(Queries):
        def __init__(self) -> None:
            pass

        def intents_on(self, chain_id: int, limit: int = 100) -> tuple[Intent, ...]:
            raise Broken("the disk is gone")

    assert plan_rows(Lost(), 1) is None


@pytest.mark.asyncio
async def test_status__when_endpoints_are_opened__then_each_by_name_also_before_the_loop_is_made(
    on: Loop,
) -> None:
    out = EndpointStatus(name="home", state=State.OUT, latency_ms=None, last_error="refused", head_number=7)
    on.endpoints, on.loop = (out,), None
    row = {"name": "home", "state": "out", "latency_ms": None, "head": 7, "error": "refused"}
    assert (await shown(on))["endpoints_each"] == [row]


@pytest.mark.asyncio
async def test_status__when_a_position_is_paused__then_it_says_so_with_its_end_whatever_its_level(
    on: Loop,
) -> None:
    await on.running.tick(on.lay(vault(SAFE)))
    (position,) = (await shown(on))["positions"]
    assert position["stopped"] is None
    controls = Controls(settings(on.journal.path.parent), on.journal, [on], on.clock)
    asked: dict[str, object] = {"do": "pause", "label": "vault 1", "for_s": 86_400, "actor": "ann"}
    assert (await controls.answer({**asked, "why": "by hand"}))["ok"] is True
    chain = await shown(on)
    (position,) = chain["positions"]
    assert (position["level"], chain["paused"]) == ("SAFE", None)
    why = "paused by ann for 1440 more minutes: by hand"
    assert position["stopped"] == {"code": "paused", "scope": "position", "why": why}


@pytest.mark.asyncio
async def test_status__when_the_daemon_itself_alarms__then_it_is_told_beside_the_chains_alarms(
    on: Loop,
) -> None:
    own = Alarms(on.journal.record, on.clock, 0)
    controls = Controls(settings(on.journal.path.parent), on.journal, [on], on.clock, own)
    own.raise_alarm(Severity.CRITICAL, "safe_mode", "", "it ended again and again")
    on.alarms.raise_alarm(Severity.CRITICAL, "chain_failed", "local", "this chain is not watched")
    # also where the chain's loop was never made
    on.loop = None
    body: dict[str, Any] = await controls.answer({"do": "status"})
    assert [(a["severity"], a["code"]) for a in body["alarms"]] == [("CRITICAL", "safe_mode")]
    assert [a["code"] for a in body["chains"][0]["alarms"]] == ["chain_failed"]


@pytest.mark.asyncio
async def test_arm__when_nothing_would_follow__then_armed_for_this_configuration(on: Loop) -> None:
    await on.running.tick(on.lay(vault(SAFE)))
    answer = await ask(on, "arm", actor="alice", why="first night")
    assert answer["ok"] is True
    assert answer["lines"][-2:] == [
        "nothing would be done now",
        "armed for this configuration, across restarts",
    ]
    control = on.journal.control("armed")
    assert control is not None
    assert (control.value, control.actor, control.why) == (DIGEST, "alice", "first night")
    assert on.running.armed
    assert (await ask(on, "disarm"))["ok"] is True
    assert not on.running.armed


@pytest.mark.asyncio
async def test_arm__when_an_action_would_follow__then_only_if_accepted(on: Loop) -> None:
    await on.running.tick(on.lay(vault(DANGER)))
    refused = await ask(on, "arm")
    assert refused["ok"] is False
    assert any(line.startswith("would act now: ") for line in refused["lines"])
    # only the word itself counts
    assert (await ask(on, "arm", accept_immediate="yes"))["ok"] is False
    assert not on.running.armed
    assert (await ask(on, "arm", accept_immediate=True))["ok"] is True
    assert on.running.armed


@pytest.mark.asyncio
async def test_arm__when_an_obstacle_is_all_that_prevents_an_action__then_only_if_accepted(on: Loop) -> None:
    await on.running.tick(on.lay(vault(DANGER), wallet=()))
    refused = await ask(on, "arm")
    assert refused["ok"] is False
    assert any(line.startswith("would act now if it could: vault 1") for line in refused["lines"])


@pytest.mark.asyncio
async def test_arm__when_a_position_is_unread__then_only_if_accepted(on: Loop) -> None:
    on.facts.next = build.snapshot(unreadable=[build.unreadable()])
    await on.running.tick(build.block())
    refused = await ask(on, "arm")
    assert refused["ok"] is False
    assert "cannot be judged now: vault 1: the oracle reverted" in refused["lines"]


@pytest.mark.parametrize(
    "state", ["blind", "never seen", "no loop", "broken", "dry-run", "reloaded", "closing"]
)
@pytest.mark.asyncio
async def test_arm__when_nobody_can_tell_what_would_follow__then_refused_even_if_accepted(
    on: Loop, state: str
) -> None:
    if state != "never seen":
        await on.running.tick(on.lay(vault(SAFE)))
    if state == "blind":
        on.blind = Blind(why="no new head", since_s=1.0)
    if state == "no loop":
        on.loop = None
    if state == "broken":
        on.running.stop_acting("a foreign nonce")
    if state == "reloaded":
        # the loop still runs under the configuration before
        on.running.parts = replace(on.running.parts, armed_digest="another digest")
    if state == "closing":
        on.running.permit.closing = True
    mode = "dry-run" if state == "dry-run" else "live"
    answer = await ask(on, "arm", mode, accept_immediate=True)
    assert answer["ok"] is False
    said = {
        "blind": "no new head",
        "never seen": "no block has been seen",
        "no loop": "no block has been seen",
        "broken": "a foreign nonce",
        "dry-run": "dry-run needs no arming",
        "reloaded": "another configuration is being taken over",
        "closing": "another configuration is being taken over",
    }[state]
    assert said in answer["why"]
    assert on.journal.control("armed") is None


@pytest.mark.asyncio
async def test_arm__when_told__then_each_line_of_the_policy_is_given_as_a_price(on: Loop) -> None:
    await on.running.tick(on.lay(vault("2000")))
    lines = (await ask(on, "arm"))["lines"]
    assert lines[0] == "vault 1: health 1.66"
    # 10 WETH x 0.83 against 10,000: the price at health h is 10000 h / 8.3
    expected = ", ".join(
        f"{name} {10_000 * at / 8.3:,.4f}"
        for name, at in (("warn", 1.35), ("trigger", 1.25), ("emergency", 1.08), ("liquidation", 1.0))
    )
    assert lines[1] == f"  WETH now 2,000.0000: {expected}"


@pytest.mark.asyncio
async def test_position__when_read_but_not_vouched_for__then_unknown_everywhere(on: Loop) -> None:
    """The row says 1.66 and the protocol 1.162: nobody knows, so nothing is shown and nothing armed."""
    at = on.lay(vault(DANGER))
    assert not isinstance(on.facts.next, Exception)
    on.facts.next = replace(on.facts.next, prices={"WETH": 2000.0, "USDC": 1.0})
    await on.running.tick(at)
    (position,) = (await shown(on))["positions"]
    assert (position["level"], position["health_wad"]) == ("UNKNOWN", None)
    assert "by the protocol" in position["unreadable"]
    assert (await ask(on, "arm"))["ok"] is False


@pytest.mark.asyncio
async def test_request__when_it_is_not_known__then_the_known_ones_are_named(on: Loop) -> None:
    answer = await ask(on, "explode")
    assert answer["ok"] is False
    for known in ("status", "arm", "disarm"):
        assert known in answer["why"]
