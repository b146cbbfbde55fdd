"""What our keeper orders in a replay has passed the guard: every rule that a plan of the daemon's has to pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from keeper.model import Deleverage, Plan, Refusal, Repay, Step, Supply
from keeper.plan import guard
from keeper.plan.compile import compile_plan
from keeper.replay import compare, fleet, levels, ours, paper, run
from keeper.replay.ours import Heard
from keeper.replay.policies import Act, Order
from tests.unit.replay.test_replay_run import DEEP, FALL, account, path

pytestmark = pytest.mark.unit
CREW = fleet.Fleet(path="", unit="USD", accounts=(account(),))


def sailed(wallet: Mapping[str, float] | None = None, strategies: tuple[str, ...] = ()) -> run.Trip:
    """Ours through a fall, with what a wallet holds."""
    policy = levels.plain(1.15, 1.30)
    policy = replace(policy, strategies=strategies or policy.strategies)
    make = compare.makes(["ours"], policy, CREW.assets, DEEP, wallet or {})["ours"]
    (trip,) = run.voyage(CREW, path(FALL), make, DEEP).trips
    return trip


def orders(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ours.Ours, Heard, Order | Act]]:
    """Everything that is ordered from now on."""
    found: list[tuple[ours.Ours, Heard, Order | Act]] = []
    order = ours.Ours.order

    def noted(self: ours.Ours, heard: Heard, *more: object) -> Order | Act:
        made = order(self, heard, *more)  # type: ignore[arg-type]
        found.append((self, heard, made))
        return made

    monkeypatch.setattr(ours.Ours, "order", noted)
    return found


@pytest.mark.parametrize(
    ("wallet", "strategies", "kind"),
    [
        ({}, (), Deleverage),
        ({"USDC": 1e6}, ("repay",), Repay),
        ({"ETH": 1e6}, ("add_collateral",), Supply),
    ],
)
def test_order__when_something_is_chosen__then_its_plan_carries_just_that_and_passes_the_guard(
    monkeypatch: pytest.MonkeyPatch,
    wallet: Mapping[str, float],
    strategies: tuple[str, ...],
    kind: type[Step],
) -> None:
    found = orders(monkeypatch)
    trip = sailed(wallet, strategies)
    assert found
    assert not [e for e in trip.events if e.why.startswith("guard")]
    for _, heard, made in found:
        assert not isinstance(made, Act)
        plan = compile_plan(replace(heard.chosen[0], steps=heard.chosen[0].steps[:1]), heard.case)
        assert isinstance(plan, Plan)
        assert plan.steps == (heard.step,)
        assert isinstance(heard.step, kind)
        another = replace(plan, call=replace(plan.call, data=plan.call.data[:-1] + b"\x07"))
        assert guard.check(another, heard.case) is not None


def test_order__when_the_guard_says_no__then_nothing_is_sent_and_the_cooldown_is_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(plan: Plan, case: guard.Case) -> Refusal | None:
        return Refusal(who="guard", code="caps", why="the day's money is spent")

    found = orders(monkeypatch)
    monkeypatch.setattr(guard, "RULES", (never,))
    trip = sailed()
    assert not trip.acts
    assert "liquidated" in {e.what for e in trip.events}
    assert {e.why for e in trip.events if e.what == "failed"} == {"guard: the day's money is spent (caps)"}
    for keeper, _, _ in found:
        assert keeper.memory.of(paper.ID).last_action_block is None


def test_refused__when_the_day_is_spent__then_the_guards_own_cap_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = orders(monkeypatch)
    sailed()
    heard = found[0][1]
    assert ours.refused(heard) is None
    spent = replace(heard, case=replace(heard.case, spent_today_usd=1e30))
    no = ours.refused(spent)
    assert no is not None
    assert no.code == "caps"
