"""Endpoints that answer late, never, or what cannot be: bytes go out again, and nothing is believed early."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from keeper.confirmation import Confirmation
from keeper.daemon.facts import Lens, LiveFacts
from keeper.daemon.pace import Pace
from keeper.errors import Raced, Transient
from keeper.model import Attempt, IntentState, Outcome, Plan, Refusal, Supply
from keeper.transaction import doubt
from tests.chain_double import read_tx
from tests.loop_double import heard
from tests.plans import WALLET, plan, position_id, repay_call, snapshot
from tests.unit.confirmation.test_confirmation_beside import LARGE, Keeper
from tests.virtual_time import run

pytestmark = pytest.mark.unit
S = IntentState


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(tmp_path / "journal.sqlite")
    yield made
    made.journal.close()


def tend(keeper: Keeper, confirmation: Confirmation, blocks: int) -> list[Outcome]:
    """So many empty blocks, each tended as the daemon does, within its time; what was concluded."""
    told: list[Outcome] = []

    async def go() -> None:
        facts = LiveFacts(cast(Lens, None), confirmation, heard(), Pace())
        for _ in range(blocks):
            keeper.chain.mine(empty=True)
            taken = snapshot(keeper.chain.head, nonce=keeper.chain.nonce)
            told.extend(await facts._tend(keeper.chain.head, taken))

    run(go())
    return told


def swallowed(keeper: Keeper, wanted: Plan) -> None:
    """Sent, and held by no pool."""
    keeper.chain.swallow = True
    run(keeper.live.act(wanted, snapshot(keeper.chain.head, nonce=keeper.chain.nonce)))
    keeper.chain.swallow = False


@pytest.mark.parametrize("hangs", ["eth_getTransactionReceipt", "eth_getBlockByNumber"])
def test_tend__when_no_endpoint_answers_at_all__then_sent_again_and_cancelled_in_time(
    keeper: Keeper, hangs: str
) -> None:
    swallowed(keeper, keeper.plan(1))
    ask, before = keeper.chain.request, len(keeper.chain.sent)

    async def silent(method: str, params: Sequence[object], *, timeout_s: float = 4.0, **more: Any) -> object:
        if method == hangs:
            await asyncio.sleep(timeout_s)
            raise Transient("no answer in time")
        return await ask(method, params, **more)

    keeper.chain.request = silent  # type: ignore[method-assign]
    tend(keeper, keeper.confirmation, 14)
    assert len(keeper.chain.sent) - before >= 14
    assert keeper.intent(1).attempts[-1].cancel, "past its deadline"


@pytest.mark.parametrize("each_s", [0.4, 2.1, 60.0])
def test_tend__when_the_reason_of_a_revert_takes_long__then_concluded_without_and_the_others_go_out_again(
    keeper: Keeper, each_s: float
) -> None:
    async def why(_: Plan, __: int) -> str:
        await asyncio.sleep(each_s)
        return "the market is frozen"

    keeper.act(keeper.plan(1))
    keeper.chain.fails_on_chain = True
    keeper.chain.mine()
    other = replace(keeper.plan(1), key=plan(1, position=position_id("other")).key)
    swallowed(keeper, other)
    before = len(keeper.chain.sent)
    told = tend(keeper, Confirmation(keeper.journal, keeper.chain, keeper.live, WALLET, why), 3)
    assert keeper.intent(1).state is S.REVERTED
    said = "the market is frozen" if each_s < 1 else "no endpoint said in time why"
    assert [o.surprise for o in told] == [f"the transaction reverted on the chain: {said}"]
    assert len(keeper.chain.sent) - before == 3


def test_tend__when_no_header_can_be_had_for_one_receipt__then_the_others_go_out_again(
    keeper: Keeper,
) -> None:
    keeper.act(keeper.plan(1))
    keeper.chain.mine()
    swallowed(keeper, replace(keeper.plan(1), key=plan(1, position=position_id("other")).key))
    keeper.chain.mine(empty=True)
    keeper.chain.mine(empty=True)
    ask, before = keeper.chain.request, len(keeper.chain.sent)

    async def silent(method: str, params: Sequence[object], *, timeout_s: float = 4.0, **more: Any) -> object:
        if method == "eth_getBlockByNumber":
            await asyncio.sleep(timeout_s)
            raise Transient("no answer in time")
        return await ask(method, params, **more)

    keeper.chain.request = silent  # type: ignore[method-assign]
    tend(keeper, keeper.confirmation, 3)
    assert len(keeper.chain.sent) - before == 3
    assert keeper.intent(1).state is S.SENT, "its receipt cannot be placed"


def test_tend__when_two_revert_in_two_blocks__then_each_has_time_for_its_reason(keeper: Keeper) -> None:
    async def why(_: Plan, __: int) -> str:
        await asyncio.sleep(0.7)
        return "the market is frozen"

    confirmation = Confirmation(keeper.journal, keeper.chain, keeper.live, WALLET, why)
    keeper.chain.fails_on_chain = True
    for name in ("a", "b"):
        made = replace(keeper.plan(1), key=plan(1, position=position_id(name)).key)
        keeper.act(made)
        keeper.chain.mine()
        (told,) = tend(keeper, confirmation, 1)
        assert told.surprise.endswith("the market is frozen")


def test_tend__when_several_reverted_and_no_reason_comes__then_all_are_concluded_in_one_tending(
    keeper: Keeper,
) -> None:
    async def never(_: Plan, __: int) -> str:
        await asyncio.sleep(3600)
        return ""

    keys = []
    for name in ("a", "b", "c", "d", "e", "f"):
        made = replace(keeper.plan(1), key=plan(1, position=position_id(name)).key)
        keeper.act(made)
        keys.append(made.key)
    keeper.chain.fails_on_chain = True
    keeper.chain.mine()
    tend(keeper, Confirmation(keeper.journal, keeper.chain, keeper.live, WALLET, never), 1)
    found = [keeper.journal.intent(key) for key in keys]
    assert [i.state for i in found if i is not None] == [S.REVERTED] * len(keys)


def test_tend__when_a_receipt_is_told_of_a_nonce_that_the_photograph_shows_unused__then_not_believed(
    keeper: Keeper,
) -> None:
    keeper.act(keeper.plan(1))
    real, told = keeper.chain._receipt, keeper.chain.mine()
    early = snapshot(told, nonce=0)
    assert real(keeper.intent(1).attempts[-1].hash) is not None
    run(keeper.confirmation.tend(told, early))
    assert keeper.intent(1).state is S.SENT
    keeper.tend()
    assert keeper.intent(1).state is S.INCLUDED


def test_missing__when_a_reorganisation_opens_the_plan_again__then_its_looks_begin_anew(
    keeper: Keeper,
) -> None:
    keeper.act(keeper.plan(1))
    keeper.chain.fails_on_chain = True
    keeper.chain.mine()
    keeper.tend()
    keeper.chain.mine(empty=True)
    keeper.tend()
    keeper.chain.reorg(2)
    keeper.chain.foreign()
    keeper.chain.mine()
    keeper.tend()
    assert keeper.confirmation._missing._looks
    keeper.chain.reorg(1)
    keeper.chain.pool.clear()
    keeper.tend()
    assert keeper.intent(1).state is S.SENT
    assert not keeper.confirmation._missing._looks


def test_bump__when_it_was_given_up_while_the_raise_waited__then_its_payload_is_not_signed_again(
    keeper: Keeper,
) -> None:
    keeper.act(keeper.plan(1))
    at = keeper.chain.mine(empty=True)
    keeper.journal.set_state(keeper.intent(1).key, S.CANCELLING, "given up; no self-send yet", at.number)
    with pytest.raises(Raced, match="is being cancelled"):
        run(keeper.live.bump(keeper.intent(1).key, at, snapshot(at).means))
    freed = run(keeper.live.cancel(keeper.intent(1).key, at, snapshot(at).means))
    assert isinstance(freed, Attempt)
    assert freed.cancel
    raised = run(keeper.live.bump(keeper.intent(1).key, keeper.chain.mine(empty=True), snapshot(at).means))
    assert isinstance(raised, Attempt)
    assert read_tx(raised.raw)[0].data != repay_call().data


def supply(keeper: Keeper, seq: int, units: int = 1_000_000) -> Plan:
    """What harms nobody twice."""
    made = keeper.plan(seq, units)
    return replace(made, steps=tuple(Supply(amount=s.amount) for s in made.steps if hasattr(s, "amount")))


def test_replan__when_it_grows_into_a_sale_beside_one_that_ended_in_vain__then_it_waits(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubt, "HARMLESS_TWICE", (Supply,))  # a repayment stands for a sale
    keeper.act(supply(keeper, 1))
    keeper.chain.fails_on_chain = True
    keeper.chain.mine()
    keeper.tend()
    keeper.chain.fails_on_chain = False
    keeper.chain.mine(empty=True)
    keeper.act(supply(keeper, 2))
    keeper.chain.mine(empty=True)
    grown = run(keeper.live.act(keeper.plan(2, LARGE), snapshot(keeper.chain.head, nonce=keeper.chain.nonce)))
    assert isinstance(grown, Refusal)
    assert grown.code == "in_doubt"
    assert len(keeper.intent(2).attempts) == 1


def test_doubt__when_an_earlier_one_carried_a_sale_before_it_grew__then_a_later_plan_waits(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubt, "HARMLESS_TWICE", (Supply,))
    keeper.act(keeper.plan(1))  # the sale
    keeper.chain.mine(empty=True)
    keeper.act(supply(keeper, 1, LARGE))
    for _ in range(14):
        keeper.chain.mine(empty=True)
        keeper.tend()
    keeper.chain.mine()
    keeper.tend()
    assert keeper.intent(1).state is S.CANCELLED
    keeper.chain.mine(empty=True)
    later = run(keeper.live.act(supply(keeper, 2), snapshot(keeper.chain.head, nonce=keeper.chain.nonce)))
    assert isinstance(later, Refusal)
    assert later.code == "in_doubt"
