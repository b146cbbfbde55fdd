"""A person's wish for more health: done once, by the policy's own means, and forgotten in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keeper.daemon.control import PROTECT_S_MAX, Blind, Controls
from keeper.daemon.protecting import health_wanted, policy_for
from keeper.model import Level
from keeper.units import WAD
from tests import build
from tests.loop_double import DIGEST, Loop, loop, settings, vault
from tests.virtual_time import virtual

pytestmark = pytest.mark.unit
NOW = "2000"
"""A price at which the vault's health is 1.66: SAFE."""


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Loop]:
    made = loop(tmp_path)
    made.journal.set_control("armed", DIGEST, "test", "")
    yield made
    made.journal.close()


async def ask(on: Loop, **more: object) -> dict[str, Any]:
    home = on.journal.path.parent
    request = {"do": "protect", "label": "vault 1", "to": "2.0", "actor": "ann", "why": "storm", **more}
    return await Controls(settings(home), on.journal, [on], on.clock).answer(request)


@virtual
async def test_protect__when_asked__then_the_next_block_plans_to_that_health_within_the_caps(
    on: Loop,
) -> None:
    tick = await on.running.tick(on.lay(vault(NOW)))
    assert tick.plans == ()
    answer = await ask(on)
    assert answer["ok"] is True
    tick = await on.running.tick(on.lay(vault(NOW)))
    (plan,) = tick.plans
    assert plan.bounds.health_after_min_wad >= 1999 * WAD // 1000
    policy = on.running.parts.guarded[0].policy
    assert plan.bounds.health_after_max_wad == 2 * WAD + policy.max_health_wad - policy.target_wad
    assert on.running.hand(tick) == (plan,)
    (entry,) = [e for e in on.journal.entries("control") if e.subject.startswith("protect:")]
    assert (entry.data["value"], entry.data["actor"], entry.why) == (str(2 * WAD), "ann", "storm")


@virtual
async def test_protect__when_it_was_done__then_not_again_when_the_price_dips_a_little(on: Loop) -> None:
    await on.running.tick(on.lay(vault(NOW)))
    assert (await ask(on))["ok"] is True
    # health 2.0 after the rescue, then 1 % down
    after = vault(NOW, owed="8300")
    for position in (after, vault("1980", owed="8300")):
        tick = await on.running.tick(on.lay(position))
        assert tick.plans == ()
        assert {o.level for o in tick.outlooks} <= {Level.SAFE, Level.WATCH}


@virtual
async def test_protect__when_the_time_is_over__then_the_policy_is_as_before(on: Loop) -> None:
    await on.running.tick(on.lay(vault(NOW)))
    assert (await ask(on, for_s=0.01))["ok"] is True
    id, policy = on.running.parts.guarded[0].id, on.running.parts.guarded[0].policy
    assert on.running.policies[id] is not policy
    await asyncio.sleep(0.05)
    assert on.running.policies[id] is policy
    assert (await on.running.tick(on.lay(vault(NOW)))).plans == ()


@virtual
@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"to": "1.66"}, "health is 1.66 already"),
        ({"to": "1.2"}, "health is 1.66 already"),
        ({"to": "180"}, "at most 100"),
        ({"to": "1"}, "not above 1"),
        ({"to": "NaN"}, "not above 1"),
        ({"to": None}, "no health factor"),
        ({"label": "stranger"}, "no guarded position (vault 1)"),
        ({"for_s": PROTECT_S_MAX + 1}, "for_s"),
        ({"for_s": True}, "for_s"),
    ],
)
async def test_protect__when_the_wish_makes_no_sense__then_refused_by_name(
    on: Loop, asked: dict[str, object], why: str
) -> None:
    await on.running.tick(on.lay(vault(NOW)))
    answer = await ask(on, **asked)
    assert answer["ok"] is False
    assert why in answer["why"]
    assert on.running.policies == {g.id: g.policy for g in on.running.parts.guarded}


@virtual
async def test_protect__when_nothing_would_be_sent_or_is_known__then_refused(on: Loop) -> None:
    assert "not known" in (await ask(on))["why"]
    await on.running.tick(on.lay(vault(NOW)))
    on.blind = Blind(why="no head", since_s=1.0)
    assert "cannot be seen" in (await ask(on))["why"]
    on.blind = None
    on.journal.set_control("armed", None, "test", "")
    assert "disarmed" in (await ask(on))["why"]
    on.journal.set_control("armed", DIGEST, "test", "")
    await on.running.tick(on.lay(vault(NOW, owed="0")))
    assert (await ask(on))["ok"] is False


@pytest.mark.parametrize("health", [1.02, 1.2, 1.3, 1.66, 3.0, 9.0])
@pytest.mark.parametrize("gain", [0.01, 0.02, 0.1, 1.0])
def test_policy__when_made_for_the_occasion__then_its_lines_are_in_order(health: float, gain: float) -> None:
    now = int(health * WAD)
    made = policy_for(build.policy(), now, now + int(gain * WAD))
    assert made is not None
    assert made.warn_wad > made.trigger_wad > now
    assert made.trigger_wad > made.emergency_wad
    assert made.target_wad == now + int(gain * WAD) >= made.trigger_wad + made.hysteresis_wad
    assert made.max_health_wad > made.target_wad
    assert made.caps == build.policy().caps
    assert policy_for(build.policy(), now, now) is None


def test_health__when_written_as_text__then_exact() -> None:
    assert health_wanted("1.8") == 18 * WAD // 10
    assert isinstance(health_wanted("1." + "1" * 19), str)
