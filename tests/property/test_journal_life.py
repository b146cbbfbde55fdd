"""Whatever order the calls come in: one open intent a position, one nonce an intent, nothing lost."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keeper.clock import ManualClock
from keeper.errors import Broken, Raced
from keeper.journal.write import Journal
from keeper.model import Intent, IntentState, Outcome, PlanKey
from tests.plans import CHAIN_ID, WALLET, attempt, block, cancelling, plan, position_id

pytestmark = pytest.mark.property
NAMES = ("a", "b", "c")


class JournalLife(RuleBasedStateMachine):
    """Random lives of intents, with the file reopened in between."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.sqlite"
        self.journal = Journal.open(self.path, ManualClock(1.0))
        self.journal.adopt_nonce(CHAIN_ID, WALLET, 5, "start")
        self.nonces: dict[PlanKey, int] = {}
        self.bytes: dict[PlanKey, list[bytes]] = {}
        self.entries = 0

    @rule(name=st.sampled_from(NAMES), seq=st.integers(1, 6), number=st.integers(95, 120), dry=st.booleans())
    def open_intent(self, name: str, seq: int, number: int, dry: bool) -> None:
        position = position_id(name)
        busy = any(i.key.position == position for i in self.journal.open_intents())
        expected = self.journal.next_seq(position)
        included = self.journal.last_inclusion_block(position)
        allowed = not busy and seq == expected and number >= included
        try:
            self.journal.open_intent(plan(seq, at=block(number), position=position), dry=dry)
            assert allowed
        except Raced:
            assert not allowed

    @rule(name=st.sampled_from(NAMES), nonce=st.integers(5, 9), n=st.integers(0, 3), cancel=st.booleans())
    def sign(self, name: str, nonce: int, n: int, cancel: bool) -> None:
        found = self._newest(name)
        if found is None:
            return
        made = attempt(found.key, nonce=nonce, n=n)
        made = cancelling(made) if cancel else made
        used_by_another = any(v == nonce for k, v in self.nonces.items() if k != found.key)
        try:
            self.journal.add_attempt(made, WALLET)
        except Raced:
            assert not found.state.open
            return
        except Broken:
            assert found.state.open
            return
        assert found.state.open
        assert not used_by_another
        assert self.nonces.setdefault(found.key, nonce) == nonce
        self.bytes.setdefault(found.key, []).append(made.raw)

    @rule(name=st.sampled_from(NAMES), state=st.sampled_from(list(IntentState)), number=st.integers(100, 120))
    def move(self, name: str, state: IntentState, number: int) -> None:
        found = self._newest(name)
        if found is None:
            return
        outcome = Outcome(
            key=found.key,
            state=state,
            block_number=number,
            tx_hash=None,
            gas_used=0,
            gas_price_wei=0,
            health_after_wad=None,
            promised_min_wad=0,
            surprise="",
        )
        try:
            self.journal.record_outcome(outcome, "0x1")
        except Broken:
            return
        assert found.state not in (IntentState.FINAL, IntentState.ABANDONED, IntentState.DRY) or (
            found.state is state
        )

    @rule(name=st.sampled_from(NAMES))
    def seal(self, name: str) -> None:
        found = self._newest(name)
        if found is not None and not found.state.open:
            self.journal.seal(found.key, 130)

    @rule()
    def reopen(self) -> None:
        before = self.journal.intents()
        self.journal.close()
        self.journal = Journal.open(self.path, ManualClock(1.0))
        assert self.journal.intents() == before

    @invariant()
    def nothing_signed_is_ever_lost(self) -> None:
        for key, raws in self.bytes.items():
            found = self.journal.intent(key)
            assert found is not None
            assert {a.raw for a in found.attempts} == set(raws)
            assert {a.nonce for a in found.attempts} == {self.nonces[key]}

    @invariant()
    def the_next_nonce_is_above_every_signed_one(self) -> None:
        known = self.journal.next_nonce(CHAIN_ID, WALLET)
        assert known is not None
        assert known == max([5, *(n + 1 for n in self.nonces.values())])

    @invariant()
    def the_diary_only_grows(self) -> None:
        told = len(self.journal.entries(limit=10_000))
        assert told >= self.entries
        self.entries = told

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            self.folder.cleanup()

    def _newest(self, name: str) -> Intent | None:
        found = self.journal.intents(position_id(name))
        return found[-1] if found else None


@pytest.mark.property
def test_journal__when_used_in_any_order__then_one_action_and_one_nonce_each() -> None:
    run = JournalLife.TestCase
    run.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
    run().runTest()
