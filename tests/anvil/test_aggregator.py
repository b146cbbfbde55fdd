"""An aggregator that answers, limits, fails, lies or is slow: each by its name, none later than it was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from keeper.clock import ManualClock, SystemClock
from keeper.daemon.bargain import DOUBT_S, Bargain, BargainedFacts
from keeper.daemon.facts import Guarded
from keeper.executor.bids import Ask, Bid
from keeper.model import Deleverage, IntentState, PlanKey, Proposal, Refusal, Side, Source
from keeper.oracle.aggregator import BODY_BYTES_MAX, Aggregator, Where
from keeper.oracle.dialects import DIALECTS
from keeper.units import WAD
from strategies.deleverage import Deleverage as Strategy
from tests import build
from tests.build import DAI, USDC, WETH
from tests.fakes import LendingDouble
from tests.mandates import EXECUTOR, ROUTER, asset, borrower, lender, mandate, means, route
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.anvil
KEY = "canary-key-of-the-aggregator"
OTHER = "0x" + "0e" * 20
ASK = Ask(
    executor=EXECUTOR,
    sell=WETH,
    buy=USDC,
    sell_units=5 * WAD,
    least=9_900 * 10**6,
    slippage_bps=50,
    routers=(ROUTER,),
)


def zero_ex(**changes: Any) -> dict[str, Any]:
    """As 0x answers (swap v2, AllowanceHolder), recorded and cut to what matters."""
    body: dict[str, Any] = {
        "liquidityAvailable": True,
        "sellToken": WETH.address.lower(),
        "buyToken": USDC.address.lower(),
        "sellAmount": str(5 * WAD),
        "buyAmount": "9990000000",
        "minBuyAmount": "9940050000",
        "allowanceTarget": ROUTER.lower(),
        "totalNetworkFee": "1",
        "transaction": {
            "to": ROUTER.lower(),
            "data": "0x2213bc0b" + "00" * 64,
            "value": "0",
            "gas": "288079",
        },
    }
    return {**body, **changes}


def one_inch(**changes: Any) -> dict[str, Any]:
    """As 1inch answers (swap v6)."""
    body: dict[str, Any] = {
        "srcToken": {"address": WETH.address.lower()},
        "dstToken": {"address": USDC.address.lower()},
        "dstAmount": "9990000000",
        "tx": {
            "from": EXECUTOR,
            "to": ROUTER.lower(),
            "data": "0x07ed2379" + "00" * 64,
            "value": "0",
            "gas": 0,
        },
    }
    return {**body, **changes}


class Desk:
    """The server: one answer for all, or one made for each question."""

    def __init__(self, answer: Any, *, status: int = 200, after_s: float = 0.0) -> None:
        self.answer, self.status, self.after_s = answer, status, after_s
        self.asked: list[tuple[str, dict[str, str], Mapping[str, str]]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query), request.headers))
        await asyncio.sleep(self.after_s)
        answer = self.answer(request.query) if callable(self.answer) else self.answer
        if self.status in (301, 302):
            return web.Response(status=self.status, headers={"Location": "/elsewhere"})
        if isinstance(answer, bytes):
            return web.Response(body=answer, status=self.status)
        return web.json_response(answer, status=self.status)


@asynccontextmanager
async def serving(desk: Desk, dialect: str = "0x") -> AsyncIterator[Aggregator]:
    """An aggregator on loopback."""
    app = web.Application()
    app.router.add_get("/{tail:.*}", desk.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    where = Where(dialect=DIALECTS[dialect], url=f"http://127.0.0.1:{port}/", key=KEY)
    assert KEY not in repr(where)
    offers = Aggregator(where, SystemClock())
    try:
        yield offers
    finally:
        await offers.close()
        await runner.cleanup()


@pytest.mark.asyncio
@pytest.mark.parametrize("dialect, answer", [("0x", zero_ex()), ("1inch", one_inch())])
async def test_bid__when_answered_well__then_an_offer_within_what_the_owner_allows(
    dialect: str, answer: dict[str, Any]
) -> None:
    desk = Desk(answer)
    async with serving(desk, dialect) as offers:
        found = await offers.bid(ASK, within_s=PATIENCE_S)
    assert isinstance(found, Bid), found
    assert (found.sell_units, found.bought_min, found.router) == (5 * WAD, 9_940_050_000, ROUTER.lower())
    ((path, query, headers),) = desk.asked
    assert str(5 * WAD) in query.values()
    assert KEY in headers.get("0x-api-key", "") + headers.get("Authorization", "")
    assert KEY not in path + str(query) + repr(offers) + repr(found)


TX = zero_ex()["transaction"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "desk, code",
    [
        (Desk(zero_ex(), status=429), "limited"),
        (Desk(zero_ex(), status=500), "failing"),
        (Desk(zero_ex(), status=403), "refused"),
        (Desk(zero_ex(), status=302), "refused"),
        (Desk(b"<html>garbage"), "garbled"),
        (Desk(b"[" * 100_000), "garbled"),
        (Desk(b" " * (BODY_BYTES_MAX + 10)), "garbled"),
        (Desk([1, 2]), "garbled"),
        (Desk(zero_ex(minBuyAmount="-1")), "garbled"),
        (Desk(zero_ex(minBuyAmount=1.5)), "garbled"),
        (Desk(zero_ex(minBuyAmount="9" * 400)), "garbled"),
        (Desk(zero_ex(liquidityAvailable=False)), "garbled"),
        (Desk(zero_ex(), after_s=120.0), "slow"),
        (Desk(zero_ex(minBuyAmount="9899999999")), "slippage"),
        (Desk(zero_ex(buyToken=DAI.address)), "other_token"),
        (Desk(zero_ex(sellAmount=str(6 * WAD))), "other_amount"),
        (Desk(zero_ex(transaction={**TX, "to": OTHER}, allowanceTarget=OTHER)), "router_not_allowed"),
        (Desk(zero_ex(allowanceTarget=OTHER)), "other_spender"),
        (Desk(zero_ex(transaction={**TX, "value": "1"})), "native_value"),
        (Desk(zero_ex(transaction={**TX, "data": "0x" + "00" * 5_000})), "calldata"),
        (Desk(zero_ex(transaction={**TX, "data": "0x"})), "calldata"),
    ],
)  # fmt: skip
async def test_bid__when_it_limits_fails_lies_or_is_slow__then_that_is_its_name(
    desk: Desk, code: str
) -> None:
    within_s = 0.3 if code == "slow" else PATIENCE_S
    async with serving(desk) as offers, asyncio.timeout(PATIENCE_S):
        # who is slow answers long after the test has given up
        found = await offers.bid(ASK, within_s=within_s)
        assert isinstance(found, Refusal), found
        assert found.code == code
        assert KEY not in found.why
        again = await offers.bid(ASK, within_s=within_s)
        assert isinstance(again, Refusal)
        # who limited or failed us is left alone for a while, who lied is heard again
        resting = code in ("limited", "failing", "slow")
        assert (again.code == "resting") is resting
        assert len(desk.asked) == (1 if resting else 2)


@pytest.mark.asyncio
async def test_bid__when_nobody_listens__then_unreachable_and_the_url_stays_unsaid() -> None:
    where = Where(dialect=DIALECTS["0x"], url="http://127.0.0.1:1/token-in-the-path")
    offers = Aggregator(where, SystemClock())
    found = await offers.bid(ASK, within_s=PATIENCE_S)
    await offers.close()
    assert isinstance(found, Refusal)
    assert found.code == "unreachable"
    assert "token" not in found.why


POLICY = build.policy(target="1.40", strategies=("deleverage",), caps=build.limits(action=10**7, day=10**7))


def market(price_usd: int):  # type: ignore[no-untyped-def]
    """An aggregator that pays so much for one WETH, less half a per cent at the least."""

    def answer(query: Mapping[str, str]) -> dict[str, Any]:
        units = int(query["sellAmount"])
        bought = units * price_usd // 10**12
        return zero_ex(
            sellAmount=str(units), buyAmount=str(bought), minBuyAmount=str(bought * 9_950 // 10_000)
        )

    return answer


def scene():  # type: ignore[no-untyped-def]
    """A borrower in need with a dear pool, a router of the aggregator's, and a loan for nothing."""
    found = mandate(routers=(ROUTER,), assets=(asset(WETH, Side.COLLATERAL), asset(USDC, Side.DEBT)))
    wallet = means(found, (route(impact_ppm=6_000),), (lender(Source.MORPHO_BLUE, fee_ppm=0),))
    position = borrower("1.10")
    guarded = Guarded(label="mine", policy=POLICY, venue_id=build.VENUE, id=position.id)
    return build.snapshot([position], wallet=wallet), (guarded,), {build.VENUE: LendingDouble()}


@pytest.mark.asyncio
async def test_struck__when_the_aggregator_pays_more__then_the_strategy_sells_less_through_it() -> None:
    snapshot, guarded, venues = scene()
    desk = Desk(market(2_010))
    async with serving(desk) as offers:
        found = await Bargain(offers, SystemClock(), deadline_s=PATIENCE_S).struck(snapshot, guarded, venues)
    assert not found.refusals
    assert len(desk.asked) == 2
    position, venue = snapshot.positions[0], venues[build.VENUE]

    def sold(means: Any) -> Deleverage:
        said = Strategy().propose(position, build.outlook(position), POLICY, means, venue, build.block())
        assert isinstance(said, Proposal), said
        (step,) = said.steps
        assert isinstance(step, Deleverage)
        return step

    before, after = sold(snapshot.means), sold(found.snapshot.means)
    assert (after.source, after.router.lower()) == (Source.MORPHO_BLUE, ROUTER.lower())
    assert after.calldata.startswith(bytes.fromhex("2213bc0b"))
    assert after.sold < before.sold
    assert after.repay.units + after.fee_units <= after.sold * 2_010 // 10**12


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "desk, code",
    [
        (Desk(market(1_992)), "dearer"),
        (Desk(market(1_900)), "slippage"),
        (Desk({}, status=500), "failing"),
        (Desk({}, after_s=120.0), "slow"),
    ],
)
async def test_struck__when_it_is_dearer_or_silent__then_the_pools_remain_and_the_reason_is_named(
    desk: Desk, code: str
) -> None:
    snapshot, guarded, venues = scene()
    deadline_s = 0.4 if code == "slow" else PATIENCE_S
    async with serving(desk) as offers, asyncio.timeout(PATIENCE_S):
        found = await Bargain(offers, SystemClock(), deadline_s=deadline_s).struck(snapshot, guarded, venues)
    assert found.snapshot == snapshot
    assert [r.code for r in found.refusals.values()] == [code]
    calm = replace(snapshot, positions=(borrower("1.30"),))
    async with serving(desk) as offers:
        nobody = await Bargain(offers, SystemClock(), deadline_s=0.4).struck(calm, guarded, venues)
    assert nobody.refusals == {}


class Facts:
    """Facts of one snapshot."""

    def __init__(self, snapshot: Any) -> None:
        self.snapshot = snapshot
        self.done: list[Any] = []
        self.outcomes: Any = ()

    async def take(self, block: Any, venues: Any) -> Any:
        return self.snapshot, self.outcomes

    async def glance(self, block: Any, venues: Any) -> Any:
        return self.snapshot, ()

    def acted(self, plan: Any) -> None:
        self.done.append(plan)


class Alarms:
    """What stands."""

    def __init__(self) -> None:
        self.stand: dict[str, str] = {}

    def raise_alarm(self, severity: Any, code: str, subject: str, why: str) -> None:
        self.stand[code] = why

    def clear(self, code: str, subject: str) -> None:
        self.stand.pop(code, None)


@pytest.mark.asyncio
async def test_facts__when_it_fails_and_answers_again__then_alarmed_cleared_and_asked_once_a_block() -> None:
    snapshot, guarded, venues = scene()
    desk, alarms = Desk(market(2_010), status=500), Alarms()
    async with serving(desk) as offers:
        facts = BargainedFacts(
            Facts(snapshot), Bargain(offers, SystemClock(), deadline_s=1.0), guarded, alarms
        )
        seen = await facts.glance(snapshot.block, venues)
        assert seen is not None
        assert seen[0] == snapshot, "the pools remain"
        assert alarms.stand["aggregator"].startswith("failing")
        await facts.take(snapshot.block, venues)
        assert len(desk.asked) == 1, "nobody is asked twice at one block"
    desk.status = 200
    async with serving(desk) as offers:
        within = Facts(snapshot)
        facts = BargainedFacts(within, Bargain(offers, SystemClock(), deadline_s=1.0), guarded, alarms)
        better, _ = await facts.take(snapshot.block, venues)
        assert len(better.means.routes) == len(snapshot.means.routes) + 1
        assert alarms.stand == {}
        plan: Any = SimpleNamespace(steps=())
        facts.acted(plan)
        assert within.done == [plan]


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["refused", "reverted", "raced", "by the pools"])
async def test_facts__when_what_stood_on_an_offer_came_to_nothing__then_the_pools_turn_comes(
    way: str,
) -> None:
    snapshot, guarded, venues = scene()
    desk, alarms, clock = Desk(market(2_010)), Alarms(), ManualClock()
    key = PlanKey(position=snapshot.positions[0].id, seq=1)
    async with serving(desk) as offers:
        within = Facts(snapshot)
        facts = BargainedFacts(within, Bargain(offers, clock, deadline_s=1.0), guarded, alarms)
        better, _ = await facts.take(snapshot.block, venues)
        position, venue = better.positions[0], venues[build.VENUE]
        means = snapshot.means if way == "by the pools" else better.means
        said = Strategy().propose(position, build.outlook(position), POLICY, means, venue, build.block())
        assert isinstance(said, Proposal)
        plan: Any = SimpleNamespace(key=key, steps=said.steps)
        if way == "reverted":
            facts.acted(plan)
            within.outcomes = (SimpleNamespace(key=key, state=IntentState.REVERTED, surprise="slippage"),)
        else:
            code = "raced" if way == "raced" else "simulation_reverted"
            facts.refused(plan, Refusal(who="simulation", code=code, why="slippage"))
        nearer = replace(snapshot, block=replace(snapshot.block, number=2, hash="0x02"))
        within.snapshot = nearer
        after, _ = await facts.take(nearer.block, venues)
        doubted = way in ("refused", "reverted")
        assert (after == nearer) is doubted
        assert ("not_carried_out" in alarms.stand.get("aggregator", "")) is doubted
        clock.advance(DOUBT_S + 1)
        within.outcomes = ()
        within.snapshot = replace(nearer, block=replace(nearer.block, number=3, hash="0x03"))
        later, _ = await facts.take(within.snapshot.block, venues)
        assert len(later.means.routes) == len(snapshot.means.routes) + 1, "it is heard again in the end"
