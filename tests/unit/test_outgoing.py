"""What a live sender talks through: another endpoint's look, the promise, two words for a sale, private first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from keeper.chain.relay import Relays
from keeper.clock import ManualClock
from keeper.config import EndpointSettings
from keeper.daemon import lent, toll
from keeper.daemon.agreement import by_price
from keeper.daemon.outgoing import Outgoing, Privacy
from keeper.daemon.rehearsal import Promise, Rehearsals, Stage
from keeper.daemon.stops import ONE_WORD, words_needed
from keeper.errors import Rejected, Transient
from keeper.journal.read import Queries
from keeper.model import (
    Amount,
    Attempt,
    CancelOrder,
    Intent,
    IntentState,
    Level,
    Plan,
    ReducePerp,
    Refusal,
    Snapshot,
)
from keeper.seams import Seen
from strategies.registry import SHIPPED
from tests import mandates
from tests.fakes import LendingDouble
from tests.perps import USDC
from tests.plans import attempt, cancelling, plan, snapshot
from tests.unit.chain.bodies import SILENT, Answer, Bench, FakeBody
from tests.virtual_time import now_s, virtual

pytestmark = pytest.mark.unit
SEND, PRIVATE = "eth_sendRawTransaction", "eth_sendPrivateTransaction"
KEPT = Promise(broken="")


def sale(strategy: str = "thirds.own:Way") -> Plan:
    """A sale by the owner's Executor, for a reason of a third party's if nothing else is said."""
    return replace(plan(), strategy=strategy, steps=(mandates.sale(),))


class Held:
    """The journal, as far as open intents go."""

    def __init__(self) -> None:
        self.open: tuple[Intent, ...] = ()

    def open_intents(self, chain_id: int | None = None) -> tuple[Intent, ...]:
        return self.open

    def hold(self, *attempts: Attempt, urgent: bool = False) -> None:
        wanted = plan(urgent=urgent)
        self.open = (Intent(key=wanted.key, plan=wanted, state=IntentState.SIGNED, attempts=tuple(attempts)),)


class Told:
    """Rehearsals that tell what a test says."""

    def __init__(self) -> None:
        self.promise = KEPT
        self.stage = Stage(venue_of=lambda _: LendingDouble(), seen=lambda _: Seen())
        self.slow = False
        self.asked = 0

    async def of(self, plan: Plan, call: object) -> Promise:
        self.asked += 1
        if self.slow:
            await asyncio.sleep(60)
        return self.promise


class House:
    """Outgoing over endpoints a, b, ... and relays r, s, ... without a socket."""

    def __init__(
        self,
        *bodies: FakeBody,
        relays: Sequence[FakeBody] = (),
        method: str = SEND,
        block_time_s: float = 12.0,
    ) -> None:
        self.bench = Bench(*bodies, block_time_s=block_time_s)
        self.bench.endpoints.chain = replace(self.bench.endpoints.chain, private_blocks=2)
        self.bodies, self.relay_bodies, self.method = bodies, tuple(relays), method
        self.journal, self.told = Held(), Told()

    async def __aenter__(self) -> House:
        await self.bench.__aenter__()
        settings = [
            EndpointSettings(
                name=name, url="u", ws_url=None, rate_per_s=1e4, concurrency=8, send_method=self.method
            )
            for name, _ in zip("rstu", self.relay_bodies, strict=False)
        ]
        bodies = dict(zip("rstu", self.relay_bodies, strict=False))
        self.relays = Relays(settings, lambda e: bodies[e.name], ManualClock())
        self.outgoing = Outgoing(
            self.bench.endpoints,
            cast(Queries, self.journal),
            cast(Rehearsals, self.told),
            self.relays,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.relays.close()
        await self.bench.__aexit__(*exc)

    def head(self, number: int) -> None:
        """Every endpoint is at that block."""
        for name in "ab"[: len(self.bodies)]:
            self.bench.endpoints.note_head(name, number)

    async def look(self, wanted: Plan) -> object:
        """The sender's own ``eth_call`` while it acts on ``wanted``."""
        sender = Acting(self.outgoing)
        return await self.outgoing.sender(sender).act(wanted, snapshot())

    async def send(self, sent: Attempt) -> tuple[str | Exception, ...]:
        return await self.outgoing.broadcast(sent.raw)

    @property
    def sends(self) -> tuple[int, int]:
        """(broadcasts that reached the first public endpoint, those that reached the first relay)."""
        return self.bodies[0].times(SEND), self.relay_bodies[0].times(self.method)


class Acting:
    """A sender that simulates and answers what was told."""

    def __init__(self, transport: Outgoing) -> None:
        self._transport = transport

    async def act(self, plan: Plan, snapshot: Snapshot) -> Attempt | Refusal:
        data = "0x" + plan.call.data.hex()
        told = await self._transport.request("eth_call", [{"to": plan.call.target, "data": data}, "latest"])
        return cast(Attempt, told)


def calls(answer: object) -> Answer:
    """A body that answers ``eth_call`` so, and everything else as a well node."""

    def told(method: str, params: Sequence[object]) -> object:
        return answer if method == "eth_call" else "0x64"

    return told


REVERT = Rejected(3, "execution reverted: 35")


@virtual
async def test_look__when_there_is_a_second_endpoint__then_that_one_is_asked() -> None:
    async with House(FakeBody(calls("first")), FakeBody(calls("second"))) as house:
        assert await house.look(plan()) == "second"
        assert house.bodies[0].times("eth_call") == 0
        assert house.told.asked == 1
        # what is no plan goes where reads go
        assert await house.outgoing.request("eth_call", [{"data": "0x12"}, "latest"]) == "first"


@virtual
async def test_look__when_there_is_one_endpoint__then_it_suffices() -> None:
    async with House(FakeBody(calls("first"))) as house:
        assert await house.look(plan()) == "first"


@virtual
async def test_look__when_the_second_reverts__then_that_is_the_answer_whatever_the_first_says() -> None:
    async with House(FakeBody(calls("first")), FakeBody(calls(REVERT))) as house:
        with pytest.raises(Rejected, match="35"):
            await house.look(plan())


@virtual
async def test_look__when_the_second_is_down__then_the_first_decides() -> None:
    async with House(FakeBody(calls("first")), FakeBody(calls(Transient("b: down")))) as house:
        assert await house.look(plan()) == "first"


@virtual
async def test_look__when_the_promise_would_be_broken__then_refused_as_a_revert_is() -> None:
    async with House(FakeBody(calls("0x"))) as house:
        house.told.promise = Promise(broken="health 1.10 is below the promised 1.40")
        with pytest.raises(Rejected, match="below the promised") as caught:
            await house.look(plan())
        assert caught.value.code == 3


@virtual
async def test_look__when_the_rehearsal_is_slow__then_the_plain_call_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keeper.daemon.outgoing.REHEARSED_S", 0.01)
    async with House(FakeBody(calls("0x"))) as house:
        house.told.slow = True
        assert await house.look(plan()) == "0x"


EXITS = ("close_position", "trailing_stop", "take_profit")
REDUCTIONS = ("exposure_limits", "depeg_playbook", "floor")


@pytest.mark.parametrize("strategy", [*EXITS, *REDUCTIONS, "thirds.own:Way", ""])
def test_words_needed__when_the_executor_does_not_know_why_it_sells__then_two(strategy: str) -> None:
    assert words_needed(plan()) == 1
    assert words_needed(sale(strategy)) == 2
    assert words_needed(replace(sale(strategy), steps=(*plan().steps, *sale().steps))) == 2


def test_words_needed__when_the_executor_asks_the_trigger_again__then_one() -> None:
    assert words_needed(sale("deleverage")) == 1
    part = ReducePerp(amount=Amount(token=USDC, units=1), size_usd=1, worst_price=1, fee_wei=1)
    order = replace(sale("deleverage"), steps=(part,))
    assert words_needed(order) == 2, "the same name on a step that no Executor of a loan takes"


def test_words_needed__of_each_strategy_that_ships__then_one_only_where_no_price_gave_reason() -> None:
    for strategy in SHIPPED:
        if strategy.name != "stop_on_venue":  # known by its step
            named = replace(plan(), strategy=strategy.name)
            assert by_price(named) is (strategy.name not in ONE_WORD), strategy.name


@pytest.mark.parametrize(("late", "words"), [(True, 1), (False, 2)])
def test_words_needed__when_an_order_is_taken_back__then_one_for_a_late_order_and_two_for_a_stop(
    late: bool, words: int
) -> None:
    amount = Amount(token=USDC, units=0)
    back = CancelOrder(amount=amount, order="0x01", late=late)
    assert words_needed(replace(plan(), steps=(back,))) == words


@virtual
async def test_look__when_a_late_order_is_taken_back_and_one_of_two_is_down__then_the_other_decides() -> None:
    back = CancelOrder(amount=Amount(token=USDC, units=0), order="0x01", late=True)
    async with House(FakeBody(calls("0x")), FakeBody(calls(Transient("b: down")))) as house:
        assert await house.look(replace(plan(), steps=(back,))) == "0x"


@virtual
@pytest.mark.parametrize(
    ("second", "error"),
    [("0x", None), (REVERT, Rejected), (Transient("b: down"), Transient), (SILENT, Transient)],
)
async def test_look__when_a_plan_sells__then_two_must_say_yes_within_half_a_block(
    second: object, error: type[Exception] | None
) -> None:
    async with House(FakeBody(calls("0x")), FakeBody(calls(second))) as house:
        house.bench.endpoints.chain = replace(house.bench.endpoints.chain, block_time_s=0.1)
        started_s = asyncio.get_running_loop().time()
        if error is None:
            assert await house.look(sale()) == "0x"
        else:
            with pytest.raises(error):
                await house.look(sale())
        assert asyncio.get_running_loop().time() - started_s < 1.0
        assert [b.times("eth_call") for b in house.bodies] == [1, 1]


@virtual
async def test_look__when_a_plan_sells_and_one_endpoint_is_all__then_refused() -> None:
    async with House(FakeBody(calls("0x"))) as house:
        with pytest.raises(Transient, match=r"1 of the 2 .* no other serves the chain"):
            await house.look(sale())


@virtual
@pytest.mark.parametrize("others", [(), (Transient("b: down"),), (SILENT, SILENT)])
async def test_look__when_the_executor_asks_the_trigger_again__then_one_endpoint_of_any_suffices(
    others: tuple[object, ...],
) -> None:
    async with House(FakeBody(calls("0x")), *(FakeBody(calls(o)) for o in others)) as house:
        assert await house.look(sale("deleverage")) == "0x"


@virtual
async def test_look__when_the_executor_asks_the_trigger_again_and_another_endpoint_reverts__then_refused() -> (
    None
):
    async with House(FakeBody(calls("0x")), FakeBody(calls(REVERT))) as house:
        with pytest.raises(Rejected, match="35"):
            await house.look(sale("deleverage"))
        assert house.bodies[0].times("eth_call") == 0


@virtual
@pytest.mark.parametrize(
    "second",
    [SILENT, Transient("b: down"), Rejected(-32000, "header not found")],
    ids=["silent", "down", "behind"],
)
async def test_look__when_one_of_three_gives_no_word__then_the_third_makes_the_quorum_in_every_block(
    second: object,
) -> None:
    bodies = FakeBody(calls("0x")), FakeBody(calls(second)), FakeBody(calls("0x"))
    async with House(*bodies, block_time_s=2.0) as house:
        for _ in range(12):
            before_s = now_s()
            assert await house.look(sale()) == "0x"
            assert now_s() - before_s < 1.0, "within half a block"
        assert bodies[2].times("eth_call") == 12
        assert max(b.times("eth_call") for b in bodies) == 12, "nobody is asked twice for one sale"


@virtual
async def test_look__when_two_of_three_are_silent__then_refused_naming_both_and_both_have_failed() -> None:
    bodies = FakeBody(calls("0x")), FakeBody(calls(SILENT)), FakeBody(calls(SILENT))
    async with House(*bodies, block_time_s=4.0) as house:
        before_s = now_s()
        with pytest.raises(Transient, match=r"1 of the 2 .*: b: did not answer in time; c: did not answer"):
            await house.look(sale())
        assert now_s() - before_s < 2.1, "half a block"
        assert [dict(e.faults)["timeout"] for e in house.bench.endpoints.status()] == [0, 1, 1]


@virtual
@pytest.mark.parametrize("liar", [0, 1])
async def test_look__when_one_of_two_says_that_it_would_revert__then_the_other_sells_nothing(
    liar: int,
) -> None:
    answers: list[object] = ["0x", "0x", "0x"]
    answers[liar] = REVERT
    async with House(*(FakeBody(calls(a)) for a in answers)) as house:
        with pytest.raises(Rejected, match="35"):
            await house.look(sale())
        assert house.bodies[2].times("eth_call") == 0


@pytest.mark.parametrize(
    ("waited", "urgent", "emergency", "over"),
    [
        (0, False, False, False),
        (1, False, False, False),
        (2, False, False, True),
        (0, True, False, False),
        (1, True, False, True),
        (0, False, True, True),
    ],
)
def test_privacy__by_urgency__ends_in_time(waited: int, urgent: bool, emergency: bool, over: bool) -> None:
    assert Privacy(blocks=2).over(waited, urgent=urgent, emergency=emergency) is over


def accepts(sent: Attempt) -> Answer:
    return lambda method, params: sent.hash if method in (SEND, PRIVATE) else "0x64"


@virtual
async def test_broadcast__when_a_relay_takes_it__then_private_for_two_blocks_and_the_same_bytes_go_public() -> (
    None
):
    sent = attempt(plan().key, sent_block=100)
    async with House(FakeBody(accepts(sent)), relays=[FakeBody(accepts(sent))]) as house:
        house.journal.hold(sent)
        for block, expected in ((100, (0, 1)), (101, (0, 2)), (102, (1, 3))):
            house.head(block)
            assert sent.hash in await house.send(sent)
            await asyncio.sleep(0.01)
            assert house.sends == expected


@virtual
@pytest.mark.parametrize(("level", "urgent", "public"), [(Level.ACT, True, 0), (Level.URGENT, False, 1)])
async def test_broadcast__when_in_an_emergency__then_public_at_once(
    level: Level, urgent: bool, public: int
) -> None:
    sent = attempt(plan().key, sent_block=100)
    async with House(FakeBody(accepts(sent)), relays=[FakeBody(accepts(sent))]) as house:
        house.journal.hold(sent, urgent=urgent)
        house.outgoing.level_of = lambda _: level
        house.head(100)
        await house.send(sent)
        assert house.bodies[0].times(SEND) == public
        house.head(101)
        await house.send(sent)
        assert house.bodies[0].times(SEND) == public + 1


@virtual
async def test_broadcast__when_it_is_raised_every_block__then_its_private_life_is_not_begun_anew() -> None:
    first = attempt(plan().key, sent_block=100)
    raised = attempt(plan().key, n=1, sent_block=102)
    async with House(FakeBody(accepts(raised)), relays=[FakeBody(accepts(raised))]) as house:
        house.journal.hold(first, raised)
        house.head(102)
        await house.send(raised)
        assert house.bodies[0].times(SEND) == 1


@virtual
@pytest.mark.parametrize("answer", [Transient("r: down"), Rejected(-32000, "bundle refused"), 7, SILENT])
async def test_broadcast__when_no_relay_takes_it__then_public_in_the_same_breath(
    answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = attempt(plan().key, sent_block=100)
    relay = FakeBody(lambda method, params: answer)
    async with House(FakeBody(accepts(sent)), relays=[relay]) as house:
        house.journal.hold(sent)
        house.head(100)
        assert sent.hash in await house.send(sent)
        assert house.bodies[0].times(SEND) == 1


@virtual
async def test_broadcast__when_it_is_a_self_send_or_unknown__then_public() -> None:
    sent = cancelling(attempt(plan().key, sent_block=100))
    async with House(FakeBody(accepts(sent)), relays=[FakeBody(accepts(sent))]) as house:
        house.head(100)
        await house.send(sent)
        house.journal.hold(sent)
        await house.send(sent)
        assert house.bodies[0].times(SEND) == 2


@virtual
async def test_relay__when_used__then_only_its_own_method_is_ever_asked_of_it() -> None:
    sent = attempt(plan().key, sent_block=100)
    relay = FakeBody(accepts(sent))
    async with House(FakeBody(accepts(sent)), relays=[relay], method=PRIVATE) as house:
        house.journal.hold(sent)
        house.head(100)
        await house.send(sent)
        await house.outgoing.request("eth_blockNumber", [])
        await house.bench.endpoints.probe()
        assert relay.asked == [PRIVATE]


@virtual
async def test_look__when_it_reverts_without_a_word__then_lender_and_token_are_asked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slow(*_: object) -> str:
        await asyncio.sleep(3)
        return ""

    monkeypatch.setattr(lent, "short", slow)
    monkeypatch.setattr(toll, "taken", slow)

    async def said() -> object:
        raise Rejected(3, "execution reverted")

    async with House(FakeBody(calls("0x"))) as house:
        before_s = now_s()
        with pytest.raises(Rejected, match="execution reverted"):
            await house.outgoing._explained(plan(), {}, said())
        # the next plan of the lane waits behind this one
        assert now_s() - before_s == pytest.approx(3, abs=0.1)


@virtual
async def test_look__when_the_other_endpoint_lags__then_its_old_state_vetoes_nothing() -> None:
    async with House(FakeBody(calls("0x")), FakeBody(calls(REVERT))) as house:
        house.bench.endpoints.note_head("a", 1_000)
        house.bench.endpoints.note_head("b", 400)
        assert await house.look(sale("deleverage")) == "0x"
        assert (house.bodies[0].times("eth_call"), house.bodies[1].times("eth_call")) == (1, 0)
