"""Another key on the same journal: what the former one signed is followed by its own nonces, and never pressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.confirmation import Following, former, revival
from keeper.daemon.stops import Scope, Stops
from keeper.errors import Broken, Raced, Transient, Unwritable
from keeper.journal.recover import RecoverFinding, Remedy, give_up, recover, standing
from keeper.journal.write import Journal
from keeper.model import Amount, Attempt, Intent, IntentState, Outcome, Plan, Refusal, Repay, Snapshot
from keeper.seams import Priority
from keeper.transaction.send import Live
from tests import build
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, POOL, USDC, WALLET, block, plan, position_id, repay_call, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
S = IntentState
NEW = "0x" + "bb" * 20


class TwoAccounts:
    """One chain, of which each account's half is a double of its own; both are mined together."""

    def __init__(self, nonces: tuple[int, int]) -> None:
        self.halves = {WALLET.lower(): ChainDouble(nonce=nonces[0]), NEW: ChainDouble(nonce=nonces[1])}
        self.old, self.new = self.halves.values()
        self.silent: set[str] = set()
        """Accounts of whose nonces no node tells."""

    def mine(self, *, empty: bool = False) -> None:
        """One block more for both."""
        for half in self.halves.values():
            half.mine(empty=empty)

    def reorg(self, depth: int) -> None:
        """Both lose so many, and what was mined in them."""
        for half in self.halves.values():
            half.reorg(depth)

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        """As the half that it is about answers."""
        if method == "eth_getTransactionCount":
            if str(params[0]).lower() in self.silent:
                raise Transient("no node tells")
            return await self.halves[str(params[0]).lower()].request(method, params)
        if method != "eth_getTransactionReceipt":
            return await self.new.request(method, params)
        for address, half in self.halves.items():
            told = await half.request(method, params)
            if isinstance(told, dict):
                return {**told, "from": address}
        return None

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """To the half of the present key: what the former sent is in its half's pool."""
        return await self.new.broadcast(raw)


class Keeper:
    """A keeper that acted with one key, and goes on with another."""

    def __init__(self, path: Path, nonces: tuple[int, int] = (7, 0)) -> None:
        self.chain = TwoAccounts(nonces)
        self.journal = Journal.open(path, ManualClock(1.0))
        self.journal.adopt_nonce(CHAIN_ID, WALLET, nonces[0], "test")
        self._before = Live(self.journal, self.chain.old, FakeSigner())
        self.signer = FakeSigner(NEW)
        self.live = Live(self.journal, self.chain, self.signer)
        self.following = Following(self.journal, self.chain, self.live, NEW)

    def before(self, wanted: Plan) -> Attempt:
        """The former key acts."""
        made = run(self._before.act(wanted, snapshot(self.chain.old.head, nonce=self.chain.old.nonce)))
        assert isinstance(made, Attempt)
        return made

    def change(self) -> tuple[RecoverFinding, ...]:
        """The start with the other key."""
        if self.chain.new.first_nonce:
            self.journal.adopt_nonce(CHAIN_ID, NEW, self.chain.new.first_nonce, "test")
        return run(recover(self.journal, self.chain, ManualClock(1.0), CHAIN_ID, NEW))

    def photograph(self) -> Snapshot:
        """At the head, of the present key's wallet."""
        return snapshot(self.chain.new.head, nonce=self.chain.new.nonce, wallet=NEW)

    def act(self, wanted: Plan) -> Attempt:
        """The present key acts."""
        made = run(self.live.act(wanted, self.photograph()))
        assert isinstance(made, Attempt)
        return made

    def tend(self) -> tuple[Outcome, ...]:
        """One tending at the head."""
        return run(self.following.tend(self.chain.new.head, self.photograph()))

    def tends(self, blocks: int) -> list[Outcome]:
        """Empty blocks, each tended."""
        told: list[Outcome] = []
        for _ in range(blocks):
            self.chain.mine(empty=True)
            told += self.tend()
        return told

    def plan(self, seq: int = 1, *, name: str = "main") -> Plan:
        """A repayment at the head, for the position of that name."""
        made = plan(seq, at=self.chain.new.head)
        key = plan(seq, position=position_id(name)).key
        return replace(
            made, key=key, steps=(Repay(amount=Amount(token=USDC, units=10**6)),), call=repay_call(10**6)
        )

    def intent(self, seq: int = 1) -> Intent:
        """The intent of the first position."""
        found = self.journal.intent(plan(seq).key)
        assert found is not None
        return found

    def stops(self, address: str) -> Stops:
        """As the daemon of that key asks."""
        made = Stops(self.journal, ManualClock(1.0), lambda: (2, 2))
        made.address = address
        return made

    def stop(self, wanted: Plan) -> str:
        """Code of the stop that holds for a plan."""
        found = self.stops(NEW).of(wanted)
        return "" if found is None else f"{found.code} ({found.scope})"


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    """The former key at nonce 7, the present one unused."""
    return Keeper(tmp_path / "j.sqlite")


def test_former__when_its_plan_had_settled__then_it_becomes_final_and_nobody_waits(keeper: Keeper) -> None:
    keeper.before(keeper.plan())
    keeper.chain.mine()
    keeper.following = Following(keeper.journal, keeper.chain, keeper.live, WALLET)
    run(keeper.following.tend(keeper.chain.old.head, snapshot(keeper.chain.old.head, nonce=8)))
    assert keeper.intent().state is S.INCLUDED
    keeper.following = Following(keeper.journal, keeper.chain, keeper.live, NEW)
    keeper.change()

    keeper.tends(2)

    assert keeper.intent().state is S.SETTLED
    assert keeper.act(keeper.plan(name="other")).nonce == 0
    assert keeper.act(keeper.plan(2)).nonce == 1  # included counts as acted: planned on as ever
    keeper.tends(64)
    assert keeper.intent().state is S.FINAL


def test_former__when_its_plan_is_open__then_this_key_signs_and_sends_nothing_of_it(keeper: Keeper) -> None:
    keeper.before(keeper.plan())

    found = keeper.change()
    keeper.tends(40)  # past its deadline too

    assert [f.remedy for f in found if "LEFT" in f.remedy] == [Remedy.LEFT]
    assert keeper.signer.asked == []
    assert keeper.chain.new.sent == []
    assert keeper.intent().state is S.SENT
    assert len(keeper.intent().attempts) == 1
    assert keeper.journal.next_nonce(CHAIN_ID, NEW) == 0
    (why,) = keeper.following.troubles.values()
    assert WALLET.lower() in why
    assert "nonce 7" in why
    assert "keeper adopt" in why


def test_former__when_its_plan_is_open__then_its_position_alone_is_held(keeper: Keeper) -> None:
    keeper.before(keeper.plan())
    keeper.change()
    keeper.tends(1)

    assert keeper.stop(keeper.plan()) == f"other_key ({Scope.POSITION})"
    assert keeper.stop(keeper.plan(name="other")) == ""
    policies = dict.fromkeys([plan(1).key.position, position_id("other")], build.policy())
    shown = keeper.stops(NEW).standing(policies, keeper.chain.new.head)
    assert {id: stop.code for id, stop in shown.items()} == {plan(1).key.position: "other_key"}
    for wanted in (keeper.plan(), keeper.plan(2)):
        with pytest.raises(Raced):
            run(keeper.live.act(wanted, keeper.photograph()))
    assert keeper.act(keeper.plan(name="other")).nonce == 0
    keeper.chain.mine()
    assert len(keeper.chain.new.effects(POOL)) == 1  # nothing of this key waits for the other's nonce


@pytest.mark.parametrize("nonces", [(7, 0), (7, 50)])
def test_former__when_its_bytes_are_mined__then_it_has_acted_once_and_goes_on(
    tmp_path: Path, nonces: tuple[int, int]
) -> None:
    keeper = Keeper(tmp_path / "j.sqlite", nonces)
    keeper.before(keeper.plan())
    keeper.change()
    keeper.tends(4)
    assert keeper.intent().state is S.SENT, "a higher nonce of the other key is none of its business"

    keeper.chain.mine()
    told = keeper.tend()

    assert [o.state for o in told] == [S.INCLUDED]
    assert keeper.following.troubles == {}
    assert keeper.stop(keeper.plan(2)) == ""
    assert keeper.act(keeper.plan(2)).nonce == nonces[1]


def test_former__when_its_nonce_is_used_by_another__then_replaced_and_planned_again(keeper: Keeper) -> None:
    keeper.before(keeper.plan())
    keeper.change()
    keeper.chain.old.pool.clear()
    keeper.chain.old.foreign()  # the owner moves what is left out of the old wallet
    keeper.chain.mine()
    keeper.tend()

    keeper.tends(4)

    assert keeper.intent().state is S.REPLACED
    assert keeper.journal.taken_nonce(CHAIN_ID, NEW) is None
    assert keeper.act(keeper.plan(2)).nonce == 0


def test_former__when_no_node_tells_its_nonce__then_nothing_is_concluded_and_it_is_said(
    keeper: Keeper,
) -> None:
    keeper.before(keeper.plan())
    keeper.change()
    keeper.chain.old.pool.clear()
    keeper.chain.old.foreign()
    keeper.chain.mine()
    keeper.chain.silent = {WALLET.lower()}

    keeper.tends(6)

    assert keeper.intent().state is S.SENT
    assert list(keeper.following.troubles) == [keeper.intent().key]


def test_former__when_a_reorganisation_takes_its_act_back__then_its_position_is_held_again(
    keeper: Keeper,
) -> None:
    keeper.before(keeper.plan())
    keeper.change()
    keeper.chain.mine()
    keeper.tend()
    assert keeper.following.pending(CHAIN_ID, 0, moved=False) == frozenset()
    assert keeper.following.pending(CHAIN_ID, 0, moved=True) == {keeper.plan().key.position}
    keeper.chain.reorg(1)

    told = keeper.tend()

    assert [o.state for o in told] == [S.SENT]
    assert keeper.stop(keeper.plan(2)) == f"other_key ({Scope.POSITION})"
    assert keeper.chain.new.sent == []


def test_following__when_the_former_is_held__then_the_present_keys_own_are_pressed(keeper: Keeper) -> None:
    keeper.before(keeper.plan())
    keeper.change()
    keeper.act(keeper.plan(name="other"))

    keeper.tends(3)

    assert {t.nonce for t in keeper.signer.asked} == {0}
    assert len(keeper.signer.asked) > 1
    assert list(keeper.following.troubles) == [keeper.intent().key]


def test_journal__when_another_key_signs_for_an_intent__then_refused(keeper: Keeper) -> None:
    first = keeper.before(keeper.plan())

    with pytest.raises(Broken, match=f"by {WALLET.lower()}, asked of {NEW}"):
        keeper.journal.add_attempt(replace(first, n=1, hash="0x" + "12" * 32), NEW)


def test_live__when_asked_to_bump_or_cancel_anothers__then_raced(keeper: Keeper) -> None:
    sent = keeper.before(keeper.plan())
    keeper.change()
    head, means = keeper.chain.new.head, keeper.photograph().means

    for pressing in (keeper.live.bump, keeper.live.cancel):
        with pytest.raises(Raced, match="another key"):
            run(pressing(sent.key, head, means))
    assert keeper.signer.asked == []


def test_former__when_given_up_by_a_person__then_its_position_is_planned_for_again(keeper: Keeper) -> None:
    keeper.before(keeper.plan())
    keeper.change()
    (left,) = run(standing(keeper.journal, keeper.chain, CHAIN_ID, NEW)).left

    give_up(keeper.journal, left, "the old key is lost", "owner")
    keeper.tends(3)

    assert keeper.intent().state is S.REPLACED
    assert "given up by owner: the old key is lost" in keeper.intent().why
    assert keeper.following.troubles == {}
    assert run(standing(keeper.journal, keeper.chain, CHAIN_ID, NEW)).left == ()
    assert keeper.act(keeper.plan(2)).nonce == 0


def test_former__when_it_left_something_on_another_chain__then_this_one_knows_nothing_of_it(
    keeper: Keeper,
) -> None:
    keeper.before(keeper.plan())
    keeper.change()
    elsewhere = replace(keeper.plan().key.position, chain_id=CHAIN_ID + 1)
    there = replace(keeper.plan(), key=replace(keeper.plan().key, position=elsewhere))

    stops = keeper.stops(NEW)

    assert stops.of(there) is None
    assert stops.of(keeper.plan()) is not None
    assert run(standing(keeper.journal, keeper.chain, CHAIN_ID + 1, NEW)).left == ()
    # the former key is still the one of that chain: its own plans are pressed as ever
    assert keeper.stops(WALLET).of(keeper.plan()) is None


def test_live__when_anothers_nonce_lies_before_an_urgent_plans__then_it_is_not_in_its_way(
    tmp_path: Path,
) -> None:
    keeper = Keeper(tmp_path / "j.sqlite", (7, 6))
    keeper.before(keeper.plan())
    keeper.change()
    for seq, name in enumerate(("a", "b"), start=6):
        assert keeper.act(keeper.plan(name=name)).nonce == seq

    last = keeper.act(replace(keeper.plan(name="c"), urgent=True))

    assert last.nonce == 8
    assert {(t.nonce, t.to) for t in keeper.signer.asked} == {(n, POOL) for n in (6, 7, 8)}
    (kept,) = keeper.intent().attempts
    assert kept.signer == WALLET.lower()


def test_live__when_another_key_holds_gas_for_an_open_plan__then_nothing_of_this_wallet_is_kept_for_it(
    keeper: Keeper,
) -> None:
    held = keeper.before(keeper.plan())
    keeper.change()
    enough = keeper.plan(name="a").bounds.gas_limit * held.fee.max_fee_wei
    poor = keeper.photograph()
    poor = replace(poor, means=replace(poor.means, native_wei=enough))

    made = run(keeper.live.act(keeper.plan(name="a"), poor))

    assert isinstance(made, Attempt)


def test_former__when_it_is_held_for_long__then_the_journal_does_not_grow_by_it(keeper: Keeper) -> None:
    keeper.before(keeper.plan())
    keeper.change()
    keeper.tends(1)
    rows = len(keeper.journal.entries())

    keeper.tends(40)

    assert len(keeper.journal.entries()) == rows


def test_following__when_anothers_urgent_plan_has_the_next_nonce__then_it_waits_behind_nothing(
    tmp_path: Path,
) -> None:
    keeper = Keeper(tmp_path / "j.sqlite", (7, 6))
    keeper.before(replace(keeper.plan(), urgent=True))
    keeper.change()
    keeper.act(keeper.plan(name="a"))

    keeper.tends(1)

    assert list(keeper.following.troubles) == [keeper.intent().key]
    assert run(standing(keeper.journal, keeper.chain, CHAIN_ID, NEW)).passed == ()


def test_standing__when_this_keys_nonce_is_past_the_formers__then_nothing_of_that_one_has_passed(
    tmp_path: Path,
) -> None:
    keeper = Keeper(tmp_path / "j.sqlite", (7, 50))
    keeper.before(keeper.plan())
    keeper.change()

    assert run(standing(keeper.journal, keeper.chain, CHAIN_ID, NEW)).passed == ()


def test_former__when_its_plan_is_needless_by_now__then_nobody_says_that_it_is_given_up(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be: who reads CANCELLING takes a self-send for coming."""
    keeper.before(keeper.plan())
    keeper.change()
    monkeypatch.setattr(revival, "needless", lambda *_: plan(9).key)

    keeper.tends(1)

    assert keeper.intent().state is S.SENT


def test_needless__when_the_former_keys_plan_is_open_again_and_larger__then_nonces_of_two_keys_are_not_compared(
    tmp_path: Path,
) -> None:
    keeper = Keeper(tmp_path / "j.sqlite", (7, 50))
    first = keeper.before(keeper.plan())
    keeper.change()
    keeper.chain.mine()
    keeper.tend()
    late = keeper.act(keeper.plan(2))
    keeper.chain.reorg(1)
    keeper.tend()
    assert keeper.intent().state is S.SENT
    larger = replace(keeper.plan(), steps=(Repay(amount=Amount(token=USDC, units=3 * 10**6)),))
    dearer = replace(first, n=1, hash="0x" + "12" * 32)
    keeper.journal.replan(larger, dearer, WALLET, spend_usd=3)

    found = keeper.journal.intent(late.key)
    assert found is not None
    assert revival.needless(keeper.journal, found, keeper.photograph()) == keeper.intent().key


def test_standing__when_the_formers_nonce_is_used__then_there_is_nothing_to_give_up(keeper: Keeper) -> None:
    keeper.before(keeper.plan())
    keeper.change()
    assert [i.key for i in run(standing(keeper.journal, keeper.chain, CHAIN_ID, NEW)).left] == [plan(1).key]

    keeper.chain.mine()

    assert run(standing(keeper.journal, keeper.chain, CHAIN_ID, NEW)).left == ()


def test_tend__when_the_disk_takes_no_note_of_what_the_former_key_did__then_raised_and_told_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Keeper(tmp_path / "journal.sqlite")
    made = keeper.before(keeper.plan(1))
    keeper.change()
    keeper.chain.mine()

    def full(*_: object) -> None:
        raise Unwritable("disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(keeper.journal, "record_outcome", full)
        with pytest.raises(Unwritable):
            keeper.tend()
    assert [o.tx_hash for o in keeper.tend()] == [made.hash]


def test_lane__of_a_former_key__signs_nothing() -> None:
    lane, key, shown = former._Unpressed(), plan(1).key, snapshot(block())
    at, means = shown.block, shown.means
    answers = [
        run(lane.bump(key, at, means)),
        run(lane.cancel(key, at, means)),
        run(lane.clear(key, key, at, means)),
    ]
    assert [a.code for a in answers if isinstance(a, Refusal)] == ["other_key"] * 3
