"""A crash at every named point, of the first attempt and of a raised one: then exactly one effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.errors import Broken, Raced, Transient
from keeper.journal.recover import Remedy, Standing, recover, standing
from keeper.journal.write import Journal
from keeper.model import Attempt, Fee, IntentState
from keeper.transaction.send import Live
from keeper.units import GWEI, WAD
from tests.chain_double import ChainDouble, FakeSigner, read_tx
from tests.plans import CHAIN_ID, POOL, WALLET, attempt, plan, position_id, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
POINTS = ("planned", "signed", "journaled", "broadcast", "sent")
SAFE = WAD * 13 // 10
SICK = WAD * 105 // 100


class Crash(BaseException):
    """The process dies here."""


class Process:
    """One life of the daemon over a disk and a chain that survive it."""

    def __init__(self, path: Path, chain: ChainDouble, die_at: str = "", after: int = 0) -> None:
        self.journal = Journal.open(path, ManualClock(1.0))
        self.chain = chain
        self.die_at = die_at
        self.after = after
        self.live = Live(self.journal, chain, FakeSigner(), probe=self.probe)
        self.confirmation = Confirmation(self.journal, chain, self.live, WALLET)

    def probe(self, point: str) -> None:
        """Dies the ``after``-th time that it passes ``die_at``; the dead write nothing more."""
        if point == self.die_at:
            self.after -= 1
            if self.after < 0:
                self.journal.close()
                raise Crash

    def recover(self) -> list[Remedy]:
        """Start-up."""
        found = run(recover(self.journal, self.chain, ManualClock(), CHAIN_ID, WALLET))
        return [f.remedy for f in found]

    def tick(self) -> None:
        """Confirm, then act when the position (sick until the chain shows an effect) needs it."""
        head, done = self.chain.head, bool(self.chain.effects(POOL))
        taken = snapshot(head, nonce=self.chain.nonce, health_wad=SAFE if done else SICK)
        run(self.confirmation.tend(head, taken))
        if not done:
            wanted = plan(self.journal.next_seq(position_id()), at=head)
            try:
                run(self.live.act(wanted, taken))
            except Raced:
                return


def live_on(path: Path, chain: ChainDouble, blocks: int = 8) -> Process:
    """A new life after the crash, for some blocks."""
    process = Process(path, chain)
    process.recover()
    for _ in range(blocks):
        process.tick()
        chain.mine()
    process.tick()
    return process


def crash(process: Process, blocks: int) -> bool:
    """Ticks until the crash; whether it came."""
    try:
        for _ in range(blocks):
            process.tick()
            process.chain.mine(empty=True)
    except (Crash, Broken):
        return True
    process.journal.close()
    return False


@pytest.mark.parametrize("mined_meanwhile", [False, True])
@pytest.mark.parametrize("nth", [0, 1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_crash__when_at_any_point__then_after_recovery_exactly_one_effect(
    tmp_path: Path, point: str, nth: int, mined_meanwhile: bool
) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble()
    first = Process(path, chain)
    assert first.recover() == [Remedy.ADOPTED]
    first.journal.close()
    crashed = crash(Process(path, chain, point, nth), blocks=8)
    # "planned" and the n-th time is only passed once in a life without recovery
    assert crashed or (point == "planned" and nth > 0)
    if mined_meanwhile:
        chain.mine()
    process = live_on(path, chain)
    assert len(chain.effects(POOL)) == 1
    assert process.journal.open_intents() == ()
    process.journal.close()


@pytest.mark.parametrize("point", POINTS)
def test_crash__when_it_repeats_at_every_start__then_still_exactly_one_effect(
    tmp_path: Path, point: str
) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble()
    for _ in range(5):
        process = Process(path, chain, point)
        process.recover()
        crash(process, blocks=1)
        chain.mine(empty=True)
    process = live_on(path, chain)
    assert len(chain.effects(POOL)) == 1
    process.journal.close()


def test_recover__when_planned_only__then_abandoned_and_nothing_sent(tmp_path: Path) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble()
    with Journal.open(path, ManualClock()) as journal:
        journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        journal.open_intent(plan())
    process = Process(path, chain)
    assert process.recover() == [Remedy.ABANDONED]
    found = process.journal.intent(plan().key)
    assert found is not None
    assert (found.state, found.why) == (IntentState.ABANDONED, "crashed before signing")
    assert chain.sent == []
    process.journal.close()


def test_recover__when_several_attempts__then_the_dearest_bytes_first(tmp_path: Path) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble()
    first = Process(path, chain)
    first.recover()
    first.tick()
    chain.mine(base_fee_wei=30 * GWEI)
    first.tick()
    first.journal.close()
    chain.pool.clear()
    chain.sent.clear()
    process = Process(path, chain)
    assert process.recover() == [Remedy.RESENT]
    fees = [read_tx(raw)[0].max_fee_wei for raw in chain.sent]
    assert fees == sorted(fees, reverse=True)
    assert len(fees) == 2
    assert chain.pool[0][0].max_fee_wei == fees[0]
    process.journal.close()


def test_recover__when_mined_while_down__then_nothing_is_sent(tmp_path: Path) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble()
    first = Process(path, chain)
    first.recover()
    first.tick()
    first.journal.close()
    chain.mine()
    chain.sent.clear()
    process = Process(path, chain)
    assert process.recover() == [Remedy.MINED]
    assert chain.sent == []
    process.journal.close()


def test_recover__when_nonce_was_taken_while_down__then_nothing_is_sent_and_later_replaced(
    tmp_path: Path,
) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble()
    first = Process(path, chain)
    first.recover()
    first.tick()
    first.journal.close()
    chain.foreign()
    chain.mine()
    chain.sent.clear()
    process = Process(path, chain)
    assert process.recover() == [Remedy.CONSUMED]
    assert chain.sent == []
    process.journal.close()


def test_recover__when_the_journal_is_an_old_copy__then_broken_and_nothing_signed(tmp_path: Path) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble()
    first = Process(path, chain)
    first.recover()
    first.journal.close()
    backup = path.read_bytes()
    live_on(path, chain).journal.close()
    assert chain.nonce == 1
    path.write_bytes(backup)
    process = Process(path, chain)
    with pytest.raises(Broken, match="foreign nonce"):
        process.recover()
    process.journal.close()


def test_recover__when_a_new_journal_meets_pending_transactions__then_broken(tmp_path: Path) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble(nonce=4)
    chain.foreign()
    process = Process(path, chain)
    with pytest.raises(Broken, match="pending"):
        process.recover()
    assert standing_of(process).refuses.startswith("1 transactions of this key are pending")
    chain.mine()
    with pytest.raises(Broken, match="keeper adopt"):
        process.recover()
    process.journal.close()


def standing_of(process: Process) -> Standing:
    """What `keeper adopt` would show."""
    return run(standing(process.journal, process.chain, CHAIN_ID, WALLET))


def test_standing__when_the_key_was_used_before_the_journal__then_accepted_at_depth_two_only(
    tmp_path: Path,
) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble(nonce=4)
    chain.foreign()
    chain.mine()
    process = Process(path, chain)
    found = standing_of(process)
    assert (found.known, found.latest, found.deep, found.in_step) == (None, 5, 4, False)
    assert "less than 2 blocks deep" in found.refuses
    chain.mine()
    chain.mine()
    assert standing_of(process).refuses == ""
    process.journal.adopt_nonce(CHAIN_ID, WALLET, 5, "looked at it", "somebody")
    assert standing_of(process).in_step
    assert process.recover() == []
    process.tick()
    assert [a.nonce for i in process.journal.intents() for a in i.attempts] == [5]
    process.journal.close()


def test_standing__when_the_journal_is_an_old_copy__then_its_passed_plans_are_named(tmp_path: Path) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble()
    process = Process(path, chain)
    assert process.recover() == [Remedy.ADOPTED]
    process.tick()
    chain.pool.clear()
    for _ in range(2):
        chain.foreign()
        chain.mine()
    chain.mine()
    chain.mine()
    found = standing_of(process)
    assert (found.known, found.latest, found.refuses) == (1, 2, "")
    assert [k.seq for k in found.passed] == [1]
    process.journal.close()


@pytest.mark.parametrize("method", ["eth_getTransactionCount", "eth_getTransactionReceipt"])
def test_recover__when_the_chain_does_not_answer__then_transient_and_nothing_decided(
    tmp_path: Path, method: str
) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble()
    first = Process(path, chain)
    first.recover()
    first.tick()
    before = first.journal.intents()
    chain.dead = {method}
    with pytest.raises(Transient):
        first.recover()
    assert first.journal.intents() == before
    first.journal.close()


def test_recover__when_cancelling__then_the_self_send_goes_first(tmp_path: Path) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble()
    first = Process(path, chain)
    first.recover()
    first.tick()
    first.journal.set_state(plan().key, IntentState.CANCELLING, "test", chain.head.number)
    made = run(first.live.cancel(plan().key, chain.head, None))
    assert isinstance(made, Attempt)
    first.journal.close()
    chain.pool.clear()
    chain.sent.clear()
    process = Process(path, chain)
    process.recover()
    assert chain.sent[0] == made.raw
    process.journal.close()


def _superseded(path: Path, chain: ChainDouble) -> Process:
    """A foreign transaction took the first plan's nonce, a second plan acted; then both blocks are gone."""
    process = Process(path, chain)
    process.recover()
    process.tick()
    chain.pool.clear()
    chain.foreign()
    for _ in range(2):
        chain.mine()
        process.tick()
    chain.mine()
    with pytest.raises(Broken, match="foreign nonce"):
        process.tick()
    process.journal.adopt_nonce(CHAIN_ID, WALLET, chain.nonce, "test: a person has looked")
    for _ in range(4):
        chain.mine()
        process.tick()
    assert len(chain.effects(POOL)) == 1
    assert [i.state.value for i in process.journal.intents()] == ["REPLACED", "SETTLED"]
    chain.reorg(7)
    assert chain.nonce == 0
    return process


def test_reopened__when_a_later_plan_took_its_place__then_it_is_cancelled_and_one_effect_remains(
    tmp_path: Path,
) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble()
    process = _superseded(path, chain)
    for _ in range(8):
        process.tick()
        chain.mine()
    process.tick()
    assert len(chain.effects(POOL)) == 1
    first, second = process.journal.intents()
    assert (first.state, second.state.open) == (IntentState.CANCELLED, False)
    process.journal.close()


def test_reopened__when_it_cannot_be_cancelled_yet__then_its_bytes_stay_unsent_and_a_restart_sends_none(
    tmp_path: Path,
) -> None:
    path, chain = tmp_path / "journal.sqlite", ChainDouble()
    process = _superseded(path, chain)
    first = process.journal.intents()[0].attempts[-1].raw
    chain.sent.clear()
    poor = snapshot(chain.head, nonce=chain.nonce, health_wad=SICK, native_wei=0)
    run(process.confirmation.tend(chain.head, poor))
    assert process.journal.intents()[0].state is IntentState.CANCELLING
    assert first not in chain.sent
    process.journal.close()
    process = Process(path, chain)
    process.recover()
    assert first not in chain.sent
    for _ in range(8):
        process.tick()
        chain.mine()
    process.tick()
    assert len(chain.effects(POOL)) == 1
    process.journal.close()


def test_attempt_builder__when_used__then_fees_rise_with_n() -> None:
    """The builder that the journal tests rely on."""
    fees: list[Fee] = [attempt(plan().key, n=n).fee for n in range(3)]
    assert fees == sorted(fees, key=lambda f: f.max_fee_wei)
