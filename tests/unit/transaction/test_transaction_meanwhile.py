"""The intent is journaled while the chain is asked about its plan: what the answer may still stop, and a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keeper.clock import ManualClock
from keeper.errors import Rejected, Transient, Unwritable
from keeper.journal.write import Journal
from keeper.model import Attempt, Entry, IntentState, Plan, Refusal
from keeper.seams import TxFields
from keeper.transaction.send import Live
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, WALLET, plan, snapshot
from tests.virtual_time import virtual

pytestmark = pytest.mark.unit
S = IntentState


class Far(ChainDouble):
    """A chain a round trip away: what was asked is answered once ``answers`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()

    async def request(self, method: str, params: Any, **rest: Any) -> object:
        """The double's answer, in time."""
        self.calls.append(f"{method} asked")
        await self.answers.wait()
        return await super().request(method, params, **rest)


class Desk:
    """A sender whose chain answers when it is told to."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal.open(path, ManualClock(1.0))
        if self.journal.next_nonce(CHAIN_ID, WALLET) is None:
            self.journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        self.chain, self.signer = Far(), FakeSigner()
        self.points: list[str] = []
        self.live = Live(self.journal, self.chain, self.signer, probe=self.points.append)

    async def asked(self) -> asyncio.Task[Attempt | Refusal]:
        """An act whose questions are out and whose intent is journaled."""
        acting = asyncio.create_task(self.live.act(plan(), snapshot()))
        while self.points != ["planned"]:
            await asyncio.sleep(0.001)
            assert not acting.done(), acting.result()
        return acting

    @property
    def state(self) -> tuple[str, str]:
        """Of the one intent, and why."""
        (intent,) = self.journal.intents()
        return intent.state.value, intent.why


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "journal.sqlite")
    yield made
    made.journal.close()


@virtual
async def test_intent__when_the_questions_are_out__then_journaled_with_its_whys_before_any_answer(
    desk: Desk,
) -> None:
    commits: list[bool] = []

    def whys() -> None:
        commits.append(desk.journal._direct.in_transaction())
        desk.journal.record(
            Entry(kind="decision", chain_id=CHAIN_ID, block_number=100, subject="", why="a why")
        )

    desk.live.beside = whys
    acting = await desk.asked()
    # both questions first, then one commit of both; nothing is signed yet
    assert desk.chain.calls == ["eth_call asked", "eth_getTransactionCount asked"]
    assert commits == [True]
    assert desk.state[0] == "PLANNED"
    assert desk.signer.asked == []
    desk.chain.answers.set()
    assert isinstance(await acting, Attempt)
    assert desk.points == ["planned", "signed", "journaled", "broadcast", "sent"]


@virtual
async def test_intent__when_the_simulation_then_refuses__then_abandoned_with_the_reason_and_the_next_one_may_act(
    desk: Desk,
) -> None:
    acting = await desk.asked()
    desk.chain.revert = Rejected(3, "execution reverted: frozen")
    desk.chain.answers.set()
    refusal = await acting
    assert isinstance(refusal, Refusal)
    assert desk.state[0] == "ABANDONED"
    assert "frozen" in desk.state[1]
    assert (desk.signer.asked, desk.chain.sent) == ([], [])
    desk.chain.revert = None
    assert isinstance(await desk.live.act(plan(2), snapshot()), Attempt)


class Preparing(FakeSigner):
    """A signer that is told beforehand what it will probably be asked."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: list[TxFields] = []

    def prepare(self, tx: TxFields) -> None:
        """Remember it."""
        self.prepared.append(tx)


@virtual
async def test_signer__when_the_questions_are_out__then_told_what_it_will_be_asked_and_asked_nothing_yet(
    desk: Desk,
) -> None:
    signer = desk.live._signer = Preparing()
    acting = await desk.asked()
    assert (len(signer.prepared), signer.asked) == (1, [])
    desk.chain.answers.set()
    assert isinstance(await acting, Attempt)
    # to the last field: what was judged and encoded is what is signed
    assert signer.asked == signer.prepared


@virtual
async def test_intent__when_a_stop_comes_meanwhile__then_nothing_is_signed(desk: Desk) -> None:
    acting = await desk.asked()
    disarmed = Refusal(who="lane", code="disarmed", why="disarmed meanwhile")
    desk.live.may_send = lambda _: disarmed
    desk.chain.answers.set()
    assert await acting == disarmed
    assert desk.state == ("ABANDONED", "disarmed: disarmed meanwhile")
    assert desk.signer.asked == []


@virtual
async def test_intent__when_nobody_answers_after_it__then_transient_and_abandoned(desk: Desk) -> None:
    acting = await desk.asked()
    desk.chain.dead = {"eth_call"}
    desk.chain.answers.set()
    with pytest.raises(Transient):
        await acting
    assert desk.state == ("ABANDONED", "not signed")
    assert desk.signer.asked == []


@virtual
async def test_intent__when_something_objects_before__then_neither_asked_nor_journaled(desk: Desk) -> None:
    def objects(_: Plan) -> Refusal:
        return Refusal(who="lane", code="disarmed", why="disarmed")

    desk.live.may_send = objects
    assert isinstance(await desk.live.act(plan(), snapshot()), Refusal)
    assert (desk.journal.intents(), desk.chain.calls) == ((), [])


@virtual
async def test_intent__when_the_disk_keeps_a_refused_one__then_it_is_let_go_once_the_disk_writes_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    acting = await desk.asked()
    desk.chain.revert = Rejected(3, "execution reverted: frozen")

    def full(*_: object) -> None:
        raise Unwritable("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(desk.journal, "set_state", full)
        desk.chain.answers.set()
        with pytest.raises(Unwritable):
            await acting
    # its position is blocked by it, and confirmation is told to come back
    assert desk.state[0] == "PLANNED"
    assert desk.live.unsure
    await desk.live.settle(CHAIN_ID)
    assert desk.state[0] == "ABANDONED"
    assert not desk.live.unsure
    desk.chain.revert = None
    assert isinstance(await desk.live.act(plan(2), snapshot()), Attempt)
