"""A disk that takes nothing: what is signed and durable goes to the pools again in every block, whatever fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.confirmation.finality import DEPTH_MIN
from keeper.confirmation.pressing import Failures
from keeper.errors import Broken, KeeperError, Transient, Unwritable
from keeper.journal.write import Journal
from keeper.model import Attempt, IntentState, Outcome, Plan
from keeper.seams import Signed, TxFields
from keeper.signer.guarded import GuardedSigner
from keeper.signer.key import Key
from keeper.signer.policy import SigningPolicy
from keeper.signer.remote import _accepted
from keeper.signer.service import answer, row_of
from keeper.signer.store import DAY_S, DayCaps, Store
from keeper.transaction.send import Live
from keeper.units import WAD
from keeper.venues.aave_v3.signing import aave_v3_calls
from tests.chain_double import ChainDouble, FakeSigner, read_tx
from tests.keystores import CANARY, address_of
from tests.plans import ACCOUNT, CHAIN_ID, POOL, USDC, WALLET, plan, position_id, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
S = IntentState


class FullDisk(Journal):
    """A journal whose every write fails while ``full``."""

    full = False

    def _refuse(self) -> None:
        if self.full:
            raise Unwritable("journal failed: database or disk is full")

    def _insert(self, name: str, values: object) -> int:
        self._refuse()
        return super()._insert(name, values)  # type: ignore[arg-type]

    def _update_intent(self, intent_id: int, values: object) -> None:
        self._refuse()
        super()._update_intent(intent_id, values)  # type: ignore[arg-type]


class House:
    """Journal, chain, sender and confirmation on that disk."""

    def __init__(self, path: Path) -> None:
        journal = Journal.open(path, ManualClock(1.0))
        journal.__class__ = FullDisk
        assert isinstance(journal, FullDisk)
        self.journal = journal
        self.journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        self.chain = ChainDouble()
        self.signer = FakeSigner()
        self.live = Live(self.journal, self.chain, self.signer)
        self.confirmation = Confirmation(self.journal, self.chain, self.live, WALLET)

    def act(self, wanted: Plan) -> Attempt:
        made = run(self.live.act(wanted, snapshot(self.chain.head, nonce=self.chain.nonce)))
        assert isinstance(made, Attempt)
        return made

    def tend(self) -> tuple[Outcome, ...]:
        taken = snapshot(self.chain.head, nonce=self.chain.nonce, health_wad=WAD * 13 // 10)
        return run(self.confirmation.tend(self.chain.head, taken))

    def resent(self, tend: Callable[[], object]) -> list[str]:
        """Hashes that were broadcast while ``tend`` ran."""
        before = len(self.chain.sent)
        tend()
        return [read_tx(raw)[1] for raw in self.chain.sent[before:]]

    def tend_full(self) -> None:
        with pytest.raises(Unwritable, match="full"):
            self.tend()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "journal.sqlite")
    yield made
    made.journal.full = False
    made.journal.close()


def two_stuck(house: House, blocks: int = 3) -> list[str]:
    """Two plans on the wire, not mined for so long that both fees are to be raised."""
    sent = [house.act(plan(at=house.chain.head)), house.act(plan(position=position_id("other")))]
    for _ in range(blocks):
        house.chain.mine(empty=True)
    return [a.hash for a in sent]


def test_press__when_the_disk_is_full__then_every_open_plan_is_sent_again_and_it_is_told(
    house: House,
) -> None:
    stuck = two_stuck(house)
    house.chain.pool.clear()
    house.journal.full = True
    assert house.resent(house.tend_full) == stuck
    assert sorted(house.chain.pool) == [0, 1]
    whys = list(house.confirmation.troubles.values())
    assert whys == ["not pressed: journal failed: database or disk is full"] * 2
    # and once there is room, the fees rise
    house.journal.full = False
    house.tend()
    assert [[a.n for a in i.attempts] for i in house.journal.open_intents()] == [[0, 1], [0, 1]]
    assert house.confirmation.troubles == {}


def test_press__when_the_deadline_is_over_and_the_disk_full__then_no_self_send_and_the_plan_stays_known(
    house: House,
) -> None:
    first = house.act(plan(at=house.chain.head))
    while house.chain.head.number <= plan(at=house.chain.blocks[0].header).bounds.deadline_block:
        house.chain.mine(empty=True)
    house.journal.full = True
    assert house.resent(house.tend_full) == [first.hash]


def test_press__when_a_void_plan_cannot_be_cancelled__then_it_is_never_sent_again(house: House) -> None:
    made = house.act(plan(at=house.chain.head))
    house.journal.set_state(made.key, S.CANCELLING, "given up", 100)
    house.chain.mine(empty=True)
    house.journal.full = True
    assert house.resent(house.tend_full) == []


def test_conclude__when_the_disk_is_full__then_the_plan_behind_it_is_sent_again(house: House) -> None:
    first, second = two_stuck(house, blocks=0)
    del house.chain.pool[1]
    house.chain.mine()
    house.journal.full = True
    assert house.resent(house.tend_full) == [second]
    house.journal.full = False
    assert [(o.state, o.tx_hash) for o in house.tend()] == [(S.INCLUDED, first)]


def test_outcome__when_the_disk_fills_after_it_was_journaled__then_told_by_the_next_tending(
    house: House,
) -> None:
    two_stuck(house, blocks=0)
    house.chain.mine()
    house.chain.pool.clear()
    record = house.journal.record_outcome

    def last_room(outcome: Outcome, block_hash: str = "") -> None:
        record(outcome, block_hash)
        house.journal.full = True

    house.journal.record_outcome = last_room  # type: ignore[method-assign]
    house.tend_full()
    house.journal.full = False
    house.journal.record_outcome = record  # type: ignore[method-assign]
    assert [o.key.position for o in house.tend()] == [plan().key.position, position_id("other")]
    assert house.tend() == ()


def test_reopen__when_the_disk_is_full__then_what_the_chain_forgot_is_sent_again(house: House) -> None:
    made = house.act(plan(at=house.chain.head))
    house.chain.mine()
    house.tend()
    house.chain.reorg(1)
    house.journal.full = True
    assert house.resent(house.tend_full) == [made.hash]
    house.journal.full = False
    assert [o.state for o in house.tend()] == [S.SENT]


def test_reopen__when_the_disk_is_full_and_a_later_plan_took_its_place__then_it_is_not_sent(
    house: House,
) -> None:
    house.chain.fails_on_chain = True
    house.act(plan(at=house.chain.head))
    house.chain.mine()
    assert [o.state for o in house.tend()] == [S.REVERTED]
    for _ in range(3):
        house.chain.mine(empty=True)
    house.journal.open_intent(plan(2, at=house.chain.head))
    house.chain.reorg(4)
    house.journal.full = True
    assert house.resent(house.tend_full) == []


def test_settle__when_the_disk_is_full__then_what_is_open_is_sent_again_all_the_same(house: House) -> None:
    class Doubtful:
        """The lane, in doubt about its signer, whose answer finds no room."""

        unsure = True

        async def settle(self, chain_id: int, at_block: int = 0) -> None:
            raise Unwritable("journal failed: database or disk is full")

        def __getattr__(self, name: str) -> object:
            return getattr(house.live, name)

    made = house.act(plan(at=house.chain.head))
    house.confirmation._lane = Doubtful()  # type: ignore[assignment]
    assert house.resent(house.tend_full) == [made.hash]


class Asking(FakeSigner):
    """Bytes that the double reads, once the signer's own process would have signed, or its refusal as it arrives."""

    def __init__(self, path: Path, caps: DayCaps) -> None:
        super().__init__()
        self.clock = ManualClock(1_000_000.0)
        store = Store.create(path)
        store.adopt(CHAIN_ID, 0, "test", 0.0)
        policy = SigningPolicy(
            chain_id=CHAIN_ID,
            address=address_of(),
            calls=aave_v3_calls(POOL, {USDC.address: 5_000_000}, [ACCOUNT]),
            fee_wei_max=10**17,
        )
        self.guarded = GuardedSigner(Key(CANARY), policy, caps, store, self.clock)

    async def sign(self, tx: TxFields) -> Signed:
        own = replace(tx, to=address_of()) if tx.to == WALLET else tx
        line = json.dumps({"do": "sign", "tx": row_of(own)}).encode()
        _accepted(json.loads(json.dumps(await answer(line, self.guarded))))
        return await super().sign(tx)


def asking(house: House, path: Path, *, fee_wei: int) -> Asking:
    """The house's signer from now on, which may sign away that much a day."""
    made = Asking(path, DayCaps(fee_wei=fee_wei, units={USDC.address.lower(): 10**9}))
    house.signer, house.live._signer = made, made
    return made


def test_press__when_the_days_fees_are_spent__then_the_bytes_go_on_until_the_day_is_over(
    house: House, tmp_path: Path
) -> None:
    """One refused signature is not a broken house: the tick that it happens in must not end."""
    signer = asking(house, tmp_path / "signer.sqlite", fee_wei=17 * 10**15)
    stuck = two_stuck(house)
    for _ in range(3):
        house.chain.mine(empty=True)
        assert house.resent(house.tend) == stuck
        told = house.confirmation.troubles.values()
        assert [w.partition(" would")[0] for w in told] == ["not pressed: S6: the day's fees"] * 2
    signer.clock.advance(DAY_S + 1)
    house.chain.mine(empty=True)
    # the first is raised, and the day has no room for both
    raised, unraised = house.resent(house.tend)
    assert (raised != stuck[0], unraised) == (True, stuck[1])
    assert len(house.confirmation.troubles) == 1


def test_press__when_the_days_fees_are_spent__then_what_must_not_act_is_cancelled_all_the_same(
    house: House, tmp_path: Path
) -> None:
    asking(house, tmp_path / "signer.sqlite", fee_wei=17 * 10**15)
    two_stuck(house)
    first, _ = house.journal.open_intents()
    house.journal.set_state(first.key, S.CANCELLING, "given up", 100)
    house.chain.mine(empty=True)
    house.tend()
    assert [i.attempts[-1].cancel for i in house.journal.open_intents()] == [True, False]


def test_press__when_the_history_of_the_key_is_in_doubt__then_told_once_every_plan_was_sent_again(
    house: House, tmp_path: Path
) -> None:
    """A store from an old copy: the plan whose signature it refuses, and those behind it, stay in the pools."""
    stuck = two_stuck(house)
    asking(house, tmp_path / "old.sqlite", fee_wei=10**18).guarded._store.adopt(CHAIN_ID, 1, "old", 0.0)
    for _ in range(3):
        house.chain.mine(empty=True)

        # the second plan's nonce is the one that this store takes for the next
        first, second = house.resent(lambda: broken(house, "S1: nonce 0 is not the next one"))
        assert (first, second != stuck[1]) == (stuck[0], True)
    assert next(iter(house.confirmation.troubles.values())).startswith("broken: S1: nonce 0 is not")
    assert [len(i.attempts) > 1 for i in house.journal.open_intents()] == [False, True]


def test_press__when_the_journal_is_broken__then_it_comes_out_once_the_stored_bytes_are_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise Broken("journal.sqlite is damaged: restore it")

    stuck = two_stuck(house)
    monkeypatch.setattr(house.journal, "add_attempt", damaged)
    assert house.resent(lambda: broken(house, "is damaged")) == stuck
    # nothing leaves beside a journal that is kept no more
    monkeypatch.setattr(house.journal, "refuse_replaced", damaged)
    assert house.resent(lambda: broken(house, "is damaged")) == []


def broken(house: House, words: str) -> None:
    """Tended to the end, and plainly broken."""
    with pytest.raises(Broken, match=words) as caught:
        house.tend()
    assert type(caught.value) is Broken


def test_tend__when_the_disk_is_full_and_something_broke__then_what_broke_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk ends by itself, and must not hide what does not; whichever came first."""
    for order in ("01", "10"):
        fails = iter(order * 9)

        def conclude(*_: object, fails: Iterator[str] = fails) -> None:
            raise Unwritable("disk is full") if next(fails) == "0" else Broken("no such move")

        with monkeypatch.context() as patched:
            two_stuck(house, blocks=0) if order == "01" else None
            patched.setattr(house.journal, "record_outcome", conclude)
            house.chain.mine()
            broken(house, "no such move")


@pytest.mark.parametrize("raised", [Broken("signer store failed"), Transient("no answer")])
def test_conclude__when_it_fails_for_one__then_the_plan_behind_it_is_sent_again(
    house: House, monkeypatch: pytest.MonkeyPatch, raised: KeeperError
) -> None:
    async def why(wanted: Plan, at: int) -> str:
        raise raised

    house.chain.fails_on_chain = True
    _, second = two_stuck(house, blocks=0)
    del house.chain.pool[1]
    house.chain.mine()
    house.confirmation._why = why

    def failing() -> None:
        with pytest.raises(type(raised), match=str(raised)):
            house.tend()

    assert house.resent(failing) == [second]


def test_settle__when_the_signer_is_broken__then_what_is_open_is_sent_again_all_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def settle(chain_id: int, at_block: int = 0) -> None:
        raise Broken("signer store failed: it was replaced")

    made = house.act(plan(at=house.chain.head))
    house.live._unsure.add(plan(2).key)
    monkeypatch.setattr(house.live, "settle", settle)
    assert house.resent(lambda: broken(house, "it was replaced")) == [made.hash]


def test_rebroadcast__when_its_note_finds_no_room__then_the_plan_behind_it_is_sent_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = two_stuck(house, blocks=0)
    # killed between the journal and the wire: SIGNED, and the next broadcast wants to write SENT
    for intent in house.journal.open_intents():
        house.journal._connection.exec_driver_sql(
            f"UPDATE intent SET state = 'SIGNED' WHERE position = '{intent.key.position}'"
        )
    house.journal._connection.commit()
    house.journal.full = True
    assert house.resent(house.tend_full) == stuck


@pytest.mark.parametrize("first", [True, False])
def test_failures__when_a_node_failed_and_something_broke__then_what_broke_is_told(first: bool) -> None:
    failures, errors = Failures(), [Transient("no answer"), Broken("no such move")]
    for error in errors if first else reversed(errors):
        failures.keep(error)
    assert failures.worst is errors[1]


def test_deepen__when_it_moved_and_that_could_not_be_noted_down__then_not_final_by_its_old_place(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise Unwritable("journal failed: database or disk is full")

    house.act(plan(at=house.chain.head))
    house.chain.mine()
    house.tend()
    for _ in range(DEPTH_MIN - 2):
        house.chain.mine(empty=True)
    house.tend()
    house.chain.reorg(DEPTH_MIN - 1, replant=True)
    house.chain.mine()
    house.chain.finalized = house.chain.head.number - DEPTH_MIN
    (mined,) = [b.header.number for b in house.chain.blocks if b.txs]
    assert mined > house.chain.finalized >= 101
    monkeypatch.setattr(house.journal, "record_outcome", full)
    house.tend_full()
    (intent,) = house.journal.followed_intents()
    assert intent.state is S.SETTLED
    monkeypatch.undo()
    house.tend()
    (intent,) = house.journal.followed_intents()
    assert (where := house.journal.inclusion(intent.key)) is not None
    assert where.block_number == mined
    while house.chain.head.number < mined + DEPTH_MIN:
        assert house.journal.followed_intents()
        house.chain.mine(empty=True)
        house.chain.finalized += 1
        house.tend()
    assert house.journal.followed_intents() == ()
