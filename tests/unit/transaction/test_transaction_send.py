"""Live and dry: the order of acts, and everything that must stop it before a signature."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken, Raced, Rejected, Transient, Unsigned
from keeper.journal.write import Journal
from keeper.model import Attempt, Intent, IntentState, Outcome, Plan, Refusal, Snapshot
from keeper.seams import Signed, TxFields
from keeper.transaction import dry, send
from keeper.transaction.dry import Dry
from keeper.transaction.send import Live
from keeper.transaction.spending import affordable_wei, spend_usd_up
from keeper.units import GWEI
from tests.chain_double import ChainDouble, FakeSigner, read_tx
from tests.plans import CHAIN_ID, POOL, WALLET, attempt, block, plan, position_id, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
S = IntentState


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as opened:
        opened.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        yield opened


def act(live: Live | Dry, wanted: Plan | None = None, taken: Snapshot | None = None) -> Attempt | Refusal:
    return run(live.act(wanted or plan(), taken or snapshot()))


def state(journal: Journal, wanted: Plan | None = None) -> IntentState | None:
    found = journal.intent((wanted or plan()).key)
    return None if found is None else found.state


def test_act__when_all_is_well__then_every_step_in_this_order(journal: Journal) -> None:
    chain, signer = ChainDouble(), FakeSigner()
    seen: list[tuple[str, IntentState | None, int, int]] = []

    def probe(point: str) -> None:
        seen.append((point, state(journal), len(signer.asked), len(chain.sent)))

    attempt = act(Live(journal, chain, signer, probe=probe))
    assert isinstance(attempt, Attempt)
    assert seen == [
        ("planned", S.PLANNED, 0, 0),
        ("signed", S.PLANNED, 1, 0),
        ("journaled", S.SIGNED, 1, 0),
        ("broadcast", S.SIGNED, 1, 1),
        ("sent", S.SENT, 1, 1),
    ]
    assert chain.calls[0] == "eth_call"
    assert read_tx(attempt.raw)[0] == TxFields(
        chain_id=CHAIN_ID,
        nonce=0,
        to=POOL,
        data=plan().call.data,
        value_wei=0,
        gas_limit=300_000,
        max_fee_wei=27 * GWEI,
        tip_wei=GWEI,
        intent=str(plan().key),
    )
    chain.mine()
    assert len(chain.effects(POOL)) == 1


def test_act__when_simulation_reverts__then_no_intent_and_no_signature(journal: Journal) -> None:
    chain, signer = ChainDouble(), FakeSigner()
    chain.revert = Rejected(3, "execution reverted", "0xdeadbeef")
    refusal = act(Live(journal, chain, signer, errors={bytes.fromhex("deadbeef"): "ReserveFrozen()"}))
    assert isinstance(refusal, Refusal)
    assert refusal.why == "ReserveFrozen()"
    assert (journal.intents(), signer.asked, chain.sent) == ((), [], [])


def test_act__when_gas_is_beyond_the_cap__then_refused_without_a_call(journal: Journal) -> None:
    chain, signer = ChainDouble(), FakeSigner()
    at = block(base_fee_wei=200 * GWEI)
    refusal = act(Live(journal, chain, signer), plan(at=at), snapshot(at))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "gas_cap"
    assert (journal.intents(), signer.asked, chain.calls) == ((), [], [])


def test_act__when_the_wallet_is_nearly_dry__then_the_fee_fits_what_is_there(journal: Journal) -> None:
    attempt = act(Live(journal, ChainDouble(), FakeSigner()), taken=snapshot(native_wei=12 * GWEI * 300_000))
    assert isinstance(attempt, Attempt)
    assert attempt.fee.max_fee_wei == 12 * GWEI


def test_act__when_other_transactions_are_under_way__then_their_gas_is_kept_aside(journal: Journal) -> None:
    chain, signer = ChainDouble(), FakeSigner()
    live = Live(journal, chain, signer)
    native = (27 + 12) * GWEI * 300_000
    act(live, taken=snapshot(native_wei=native))
    second = act(live, plan(position=position_id("other")), snapshot(native_wei=native))
    assert isinstance(second, Attempt)
    assert (second.nonce, second.fee.max_fee_wei) == (1, 12 * GWEI)


def test_act__when_the_chain_has_a_foreign_nonce__then_broken_and_nothing_signed(journal: Journal) -> None:
    chain, signer = ChainDouble(nonce=1), FakeSigner()
    with pytest.raises(Broken, match="foreign nonce"):
        act(Live(journal, chain, signer))
    assert (journal.intents(), signer.asked) == ((), [])


def test_act__when_no_nonce_was_adopted__then_broken(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.sqlite", ManualClock()) as fresh:
        with pytest.raises(Broken, match="recovery must run"):
            act(Live(fresh, ChainDouble(), FakeSigner()))
        assert fresh.intents() == ()


@pytest.mark.parametrize("method", ["eth_call", "eth_getTransactionCount"])
def test_act__when_no_node_answers__then_transient_and_nothing_kept(journal: Journal, method: str) -> None:
    chain, signer = ChainDouble(), FakeSigner()
    chain.dead = {method}
    with pytest.raises(Transient):
        act(Live(journal, chain, signer))
    assert (journal.intents(), signer.asked) == ((), [])


def test_act__when_the_signer_refuses__then_abandoned_and_the_position_is_free(journal: Journal) -> None:
    class Refusing(FakeSigner):
        async def sign(self, tx: TxFields) -> Signed:
            raise Broken("signer refuses: target")

    chain = ChainDouble()
    with pytest.raises(Broken, match="signer refuses"):
        act(Live(journal, chain, Refusing()))
    assert state(journal) is S.ABANDONED
    assert chain.sent == []
    assert isinstance(act(Live(journal, chain, FakeSigner()), plan(2)), Attempt)


def test_act__when_cancelled_while_signing__then_abandoned(journal: Journal) -> None:
    asked = asyncio.Event()

    class Slow(FakeSigner):
        async def sign(self, tx: TxFields) -> Signed:
            asked.set()
            await asyncio.sleep(60)
            raise AssertionError("not reached")

    async def acting() -> None:
        task = asyncio.create_task(Live(journal, ChainDouble(), Slow()).act(plan(), snapshot()))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(acting())
    assert state(journal) is S.ABANDONED


def test_act__when_the_journal_cannot_keep_the_bytes__then_nothing_is_broadcast(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = ChainDouble()

    def full(*_: object) -> None:
        raise Broken("disk is full")

    monkeypatch.setattr(Journal, "add_attempt", full)
    with pytest.raises(Broken, match="disk is full"):
        act(Live(journal, chain, FakeSigner()))
    assert chain.sent == []


@pytest.mark.parametrize("fault", ["eth_sendRawTransaction", "lost"])
def test_act__when_the_broadcast_is_not_answered__then_sent_not_failed(journal: Journal, fault: str) -> None:
    chain = ChainDouble()
    chain.lose_answer = fault == "lost"
    chain.dead = {fault} - {"lost"}
    assert isinstance(act(Live(journal, chain, FakeSigner())), Attempt)
    assert state(journal) is S.SENT


def test_act__when_snapshot_does_not_show_our_last_inclusion__then_raced(journal: Journal) -> None:
    chain, signer = ChainDouble(), FakeSigner()
    live = Live(journal, chain, signer)
    act(live)
    chain.mine()
    journal.record_outcome(
        Outcome(
            key=plan().key,
            state=S.INCLUDED,
            block_number=101,
            tx_hash="0x",
            gas_used=0,
            gas_price_wei=0,
            health_after_wad=None,
            promised_min_wad=0,
            surprise="",
        ),
        "0x",
    )
    # block 101 again, but of a branch or a node where the wallet has sent nothing yet
    stale = snapshot(block(101), nonce=0)
    with pytest.raises(Raced, match="does not show"):
        act(live, plan(2, at=stale.block), stale)
    fresh = snapshot(block(101), nonce=1)
    assert isinstance(act(live, plan(2, at=fresh.block), fresh), Attempt)
    assert len(signer.asked) == 2


def test_act__when_plan_and_snapshot_are_of_two_blocks__then_raced(journal: Journal) -> None:
    with pytest.raises(Raced, match="not at the snapshot's block"):
        act(Live(journal, ChainDouble(), FakeSigner()), plan(at=block(fork=1)))


def test_act__when_snapshot_is_of_another_wallet__then_broken(journal: Journal) -> None:
    with pytest.raises(Broken, match="wallet"):
        act(Live(journal, ChainDouble(), FakeSigner()), taken=snapshot(wallet="0x" + "99" * 20))


def test_act__when_two_come_at_once__then_one_nonce_each(journal: Journal) -> None:
    chain, signer = ChainDouble(), FakeSigner()
    live = Live(journal, chain, signer)

    async def both() -> list[Attempt | Refusal]:
        plans = (plan(position=position_id(n)) for n in ("a", "b", "c"))
        return list(await asyncio.gather(*(live.act(p, snapshot()) for p in plans)))

    made = run(both())
    assert sorted(a.nonce for a in made if isinstance(a, Attempt)) == [0, 1, 2]
    chain.mine()
    assert chain.nonce == 3


def test_act__when_the_same_plan_comes_twice__then_the_second_is_raced(journal: Journal) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    act(live)
    with pytest.raises(Raced):
        act(live)


def test_bump__when_pressed__then_same_payload_and_nonce_for_more(journal: Journal) -> None:
    chain, signer = ChainDouble(), FakeSigner()
    live = Live(journal, chain, signer)
    first = act(live)
    bumped = run(live.bump(plan().key, block(101), snapshot().means))
    assert isinstance(first, Attempt)
    assert isinstance(bumped, Attempt)
    old, new = (read_tx(a.raw)[0] for a in (first, bumped))
    assert (new.nonce, new.data, new.to) == (old.nonce, old.data, old.to)
    assert bumped.n == 1
    assert new.max_fee_wei * 1000 >= old.max_fee_wei * 1125
    assert chain.pool[0][1] == bumped.hash


def test_bump__when_raised_ten_times__then_held(journal: Journal) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    rich = replace(plan(), bounds=replace(plan().bounds, fee_wei_max=10**19))
    means = snapshot(native_wei=10**20).means
    act(live, rich, snapshot(native_wei=10**20))
    made = [run(live.bump(rich.key, block(101 + n), means)) for n in range(11)]
    assert [isinstance(m, Attempt) for m in made] == [True] * 10 + [False]
    assert isinstance(made[-1], Refusal)
    assert made[-1].code == "bumps_spent"


def test_bump__when_over__then_raced(journal: Journal) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    with pytest.raises(Raced, match="not open"):
        run(live.bump(plan().key, block(), None))


def test_cancel__when_the_plan_has_time_left__then_raced(journal: Journal) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    act(live)
    last = plan().bounds.deadline_block
    with pytest.raises(Raced, match=f"has time until block {last}"):
        run(live.cancel(plan().key, block(last), None))
    assert isinstance(run(live.cancel(plan().key, block(last + 1), None)), Attempt)


def test_affordable__when_a_nonce_is_freed__then_only_what_is_mined_before_it_keeps_its_gas() -> None:
    opened = []
    for nonce, name in ((4, "a"), (5, "b"), (6, "c")):
        made = plan(position=position_id(name))
        opened.append(
            Intent(
                key=made.key,
                plan=made,
                state=IntentState.SENT,
                attempts=(attempt(made.key, nonce=nonce),),
            )
        )
    fee = opened[0].attempts[0].fee
    each_wei = fee.gas_limit * fee.max_fee_wei
    dear = replace(opened[1].plan, bounds=replace(plan().bounds, fee_wei_max=100 * each_wei))
    means = replace(snapshot().means, native_wei=10 * each_wei)
    assert affordable_wei(dear, means, opened) == 8 * each_wei
    assert affordable_wei(dear, means, opened, frees=5) == 9 * each_wei


def test_cancel__when_asked__then_an_empty_self_send_under_the_same_nonce(journal: Journal) -> None:
    chain = ChainDouble()
    live = Live(journal, chain, FakeSigner())
    act(live)
    made = run(live.cancel(plan().key, block(111), None))
    assert isinstance(made, Attempt)
    tx = read_tx(made.raw)[0]
    assert (tx.nonce, tx.to, tx.data, tx.value_wei, tx.gas_limit) == (0, WALLET, b"", 0, 60_000)
    assert state(journal) is S.CANCELLING
    again = run(live.bump(plan().key, block(112), None))
    assert isinstance(again, Attempt)
    assert read_tx(again.raw)[0].to == WALLET
    chain.mine()
    assert chain.effects(POOL) == []


def test_dry__when_all_is_well__then_journaled_as_dry_and_nothing_leaves(journal: Journal) -> None:
    chain = ChainDouble()
    made = act(Dry(journal, chain), taken=snapshot(nonce=7))
    assert isinstance(made, Attempt)
    assert (made.nonce, made.n, made.raw, made.hash) == (7, 0, b"", "")
    assert state(journal) is S.DRY
    assert (chain.calls, chain.sent) == (["eth_call"], [])


def test_dry__when_live_would_refuse__then_the_same_refusal(journal: Journal) -> None:
    chain = ChainDouble()
    chain.revert = Rejected(3, "execution reverted", "0xdeadbeef")
    assert act(Dry(journal, chain)) == act(Live(journal, chain, FakeSigner()))
    at = block(base_fee_wei=200 * GWEI)
    dear = (plan(at=at), snapshot(at))
    assert act(Dry(journal, chain), *dear) == act(Live(journal, chain, FakeSigner()), *dear)
    assert journal.intents() == ()


def test_dry__when_shadow_left_the_chain__then_no_node_is_asked(journal: Journal) -> None:
    chain = ChainDouble()
    chain.revert = Rejected(3, "execution reverted", "0xdeadbeef")
    made = act(Dry(journal, chain, apart=lambda position: position == position_id()))
    assert isinstance(made, Attempt)
    assert chain.calls == []


def test_room__when_its_imports_are_read__then_no_key_can_be_reached() -> None:
    for module in (dry, send):
        assert module.__file__ is not None
        tree = ast.parse(Path(module.__file__).read_text())
        names = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not any("signer" in n or "eth_account" in n for n in names)


def test_spend_usd__when_priced__then_rounded_up_and_else_the_bound() -> None:
    means = snapshot().means
    assert spend_usd_up(plan(), means) == 1
    dear = replace(means.reserves[0], price_base=10**8 + 1)
    assert spend_usd_up(plan(), replace(means, reserves=(dear,))) == 2
    assert spend_usd_up(plan(), replace(means, reserves=())) == plan().bounds.cost_usd_max


@pytest.mark.parametrize("name", ["journal.sqlite", "journal.sqlite-wal"])
def test_rebroadcast__when_the_journals_file_is_gone__then_broken_and_nothing_is_sent(
    tmp_path: Path, name: str
) -> None:
    chain = ChainDouble()
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as journal:
        journal.adopt_nonce(CHAIN_ID, WALLET, 0, "an unused key")
        live = Live(journal, chain, FakeSigner())
        act(live)
        (waits,) = journal.open_intents(CHAIN_ID)
        asyncio.run(live.rebroadcast(waits))
        before = list(chain.sent)
        (tmp_path / name).unlink()
        with pytest.raises(Broken, match=f"{name} was replaced or deleted"):
            asyncio.run(live.rebroadcast(waits))
    assert (len(before), chain.sent) == (2, before)


def test_rebroadcast__of_bytes_that_are_not_what_was_signed__is_refused_for_this_one_and_nothing_is_sent(
    journal: Journal,
) -> None:
    chain = ChainDouble()
    live = Live(journal, chain, FakeSigner())
    act(live)
    (waits,) = journal.open_intents(CHAIN_ID)
    top = waits.attempts[-1]
    altered = replace(waits, attempts=(replace(top, raw=top.raw[:-1] + bytes([top.raw[-1] ^ 1])),))
    before = list(chain.sent)
    with pytest.raises(Unsigned, match=f"damaged: bytes of .* are not those of {top.hash}"):
        asyncio.run(live.rebroadcast(altered))
    assert chain.sent == before
