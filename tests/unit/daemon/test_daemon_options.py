"""What deciding is told of plans that are open: which may grow, which stand behind it, and what they hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keeper.clock import ManualClock
from keeper.daemon.building import options_of
from keeper.decision import Options
from keeper.journal.write import Journal
from keeper.model import Amount, Attempt, Fee, Intent, IntentState, Plan, Repay
from tests.plans import CHAIN_ID, USDC, WALLET, plan, position_id

pytestmark = pytest.mark.unit
S = IntentState


def open_plan(seq: int, units: int, *, state: S = S.SENT, cancel: bool = False, name: str = "main") -> Intent:
    """An open plan that repays so much, with one attempt."""
    made = replace(
        plan(seq, position=position_id(name)), steps=(Repay(amount=Amount(token=USDC, units=units)),)
    )
    fee = Fee(gas_limit=1, max_fee_wei=1, tip_wei=1)
    attempt = Attempt(
        key=made.key, nonce=seq, n=0, raw=b"", hash=f"0x{seq}", fee=fee, sent_block=1, cancel=cancel
    )
    attempts = () if state is S.PLANNED else (attempt,)
    return Intent(key=made.key, plan=made, state=state, attempts=attempts)


def told(
    monkeypatch: pytest.MonkeyPatch, path: Path, *opened: Intent, lane: tuple[Plan, ...] = ()
) -> Options:
    """Options with those plans open in the journal and those in the lane."""
    monkeypatch.setattr(Journal, "open_intents", lambda *_: opened)
    with Journal.open(path / "journal.sqlite", ManualClock(1.0)) as journal:
        parts: Any = SimpleNamespace(
            journal=journal,
            chain=SimpleNamespace(chain_id=CHAIN_ID),
            clock=ManualClock(1.0),
            strategies=(),
            safe_mode=False,
            address=WALLET,
        )
        monkeypatch.setattr(journal, "spend_usd", lambda _: 0)
        return options_of(parts, {}, {p.key.position: p for p in lane}, armed=True)


def units(found: Options) -> list[int]:
    """What is promised to open plans."""
    return sorted(a.units for a in found.promised)


def test_options__when_two_plans_are_open__then_the_earlier_may_grow_and_the_later_stands_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened = [open_plan(n, n) for n in (1, 2, 3)]
    found = told(monkeypatch, tmp_path, *opened)
    assert found.open_intents == {position_id()}
    assert found.replaceable == {position_id(): opened[0].plan}
    assert found.behind == {position_id(): (*opened[1].plan.steps, *opened[2].plan.steps)}
    assert units(found) == [], "they own what they hold until a larger one takes it"


@pytest.mark.parametrize(
    ("state", "cancel"), [(S.CANCELLING, False), (S.CANCELLING, True), (S.PLANNED, False)]
)
def test_options__when_the_earlier_may_not_grow__then_the_later_does_not_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: S, cancel: bool
) -> None:
    first, second = open_plan(1, 1, state=state, cancel=cancel), open_plan(2, 2)
    found = told(monkeypatch, tmp_path, first, second)
    assert found.replaceable == {}
    assert found.behind == {}
    assert units(found) == [1, 2], "both may act"
    assert found.paid_in == (*first.plan.steps, *second.plan.steps)


def test_options__when_the_later_is_being_cancelled__then_the_earlier_may_grow_and_nobody_is_offered_what_both_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second, third = open_plan(1, 1), open_plan(2, 2, state=S.CANCELLING, cancel=True), open_plan(3, 3)
    found = told(monkeypatch, tmp_path, first, second, third)
    assert found.replaceable == {position_id(): first.plan}
    assert found.behind == {position_id(): third.plan.steps}
    assert units(found) == [2]


def test_options__when_none_may_grow__then_all_that_they_hold_is_promised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also two of one position; and what waits in the lane in an open one's place is counted once."""
    cancelling = [open_plan(n, n, state=S.CANCELLING, name="other") for n in (1, 2)]
    larger = open_plan(1, 40).plan
    found = told(monkeypatch, tmp_path, open_plan(1, 10), *cancelling, lane=(larger,))
    assert found.replaceable == {}
    assert found.open_intents == {position_id(), position_id("other")}
    assert units(found) == [1, 2, 40]


def test_options__when_another_key_signed_the_open_plan__then_its_position_waits_and_nothing_of_it_is_promised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It takes its money from that key's wallet; of an Executor's reserve it may still take."""
    mine, others = open_plan(1, 1), open_plan(1, 40, name="other")
    others = replace(others, attempts=(replace(others.attempts[0], signer="0x" + "bb" * 20),))
    found = told(monkeypatch, tmp_path, mine, others)
    assert found.open_intents == {position_id(), position_id("other")}
    assert found.replaceable == {position_id(): mine.plan}
    assert units(found) == []
    assert found.paid_in == others.plan.steps
