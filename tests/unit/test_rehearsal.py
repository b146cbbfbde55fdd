"""A plan played before it is signed: the promise is checked where an endpoint can, and nothing is made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest
from eth_abi.abi import encode

from keeper.chain.endpoints import Endpoints
from keeper.daemon.rehearsal import Rehearsals, Stage
from keeper.errors import Rejected, Transient
from keeper.model import Amount, Call, Plan, PlanKey, Repay
from keeper.seams import Priority, Seen
from keeper.units import UINT256_MAX, WAD
from keeper.words import Words
from tests import build
from tests.build import USDC, WETH
from tests.fakes import LendingDouble
from tests.loop_double import CHAIN
from tests.plans import plan as any_plan

pytestmark = pytest.mark.unit


class Node:
    """A second endpoint that plays two calls and shows a position of 10 WETH at 2,000 against ``owed``."""

    chain = CHAIN

    def __init__(self, owed: str = "10000") -> None:
        self.owed = owed
        self.answer: object = None
        self.asked: list[tuple[str, object]] = []
        self.status = "0x1"

    async def request_elsewhere(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
    ) -> object:
        self.asked.append((method, params))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.played() if self.answer is None else self.answer

    def played(self) -> object:
        flat: list[int] = []
        for token in build.TOKENS:
            have = build.units(WETH, "10") if token is WETH else 0
            owed = build.units(USDC, self.owed) if token is USDC else 0
            flat += [have, owed, build.base(build.PRICES[token.symbol])]
        read = encode(["(bool,bytes)[]"], [[(True, encode(["uint256"] * len(flat), flat))]])
        acted = {"status": self.status, "returnData": "0x", "gasUsed": "0x1"}
        return [
            {
                "number": "0x0",
                "timestamp": "0x1",
                "calls": [
                    acted,
                    {"status": "0x1", "returnData": "0x" + read.hex()},
                    {"status": "0x1", "returnData": hex(1_700_000_000)},
                    {"status": "0x1", "returnData": hex(101)},
                ],
            }
        ]


def wanted(low: str = "1.6", high: str = "2") -> Plan:
    """A repayment on the double's market that promises a health between the two."""
    found = any_plan()
    bounds = replace(
        found.bounds,
        health_after_min_wad=int(float(low) * 100) * WAD // 100,
        health_after_max_wad=int(float(high) * 100) * WAD // 100,
    )
    step = Repay(amount=Amount(token=USDC, units=1))
    return replace(
        found,
        key=PlanKey(position=build.position_id(), seq=1),
        bounds=bounds,
        steps=(step,),
        block=build.block(),
    )


def rehearsals(node: Node) -> Rehearsals:
    venue = LendingDouble()
    return Rehearsals(cast(Endpoints, node), Stage(venue_of=lambda _: venue, seen=lambda _: Seen()))


async def told(node: Node, plan: Plan) -> str:
    return (await rehearsals(node).of(plan, {"to": build.POOL, "data": "0x12"})).broken


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("owed", "said"),
    [
        ("10000", ""),
        ("11000", "health 1.509 after it in block 101 is below the promised 1.6"),
        ("8000", "is above the promised 2"),
    ],
)
async def test_of__by_the_health_that_would_be__then_the_promise_is_judged(owed: str, said: str) -> None:
    broken = await told(Node(owed), wanted())
    assert said in broken
    assert bool(broken) is bool(said)


@pytest.mark.asyncio
async def test_of__when_played__then_the_plan_comes_first_and_the_reading_after_it() -> None:
    node = Node()
    await told(node, wanted())
    ((method, params),) = node.asked
    assert method == "eth_simulateV1"
    assert isinstance(params, list)
    first, second, *_ = params[0]["blockStateCalls"][0]["calls"]
    assert (first["data"], second["to"], params[1]) == ("0x12", CHAIN.multicall, "latest")


@pytest.mark.asyncio
async def test_of__when_no_debt_is_left__then_the_promise_is_kept() -> None:
    plan = wanted()
    plan = replace(plan, bounds=replace(plan.bounds, health_after_max_wad=UINT256_MAX))
    assert await told(Node("0"), plan) == ""


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [
        Transient("nobody answers"),
        Rejected(-32000, "header not found"),
        "0x",
        [],
        [{"calls": []}],
        [{"number": "0x1", "timestamp": "0x1", "calls": [{"status": 1}, {}]}],
    ],
    ids=str,
)
async def test_of__when_the_answer_is_none__then_nothing_is_told(answer: object) -> None:
    node = Node("11000")
    node.answer = answer
    assert await told(node, wanted()) == ""


@pytest.mark.asyncio
async def test_of__when_the_plan_reverts_there__then_the_plain_call_is_left_to_say_it() -> None:
    node = Node("11000")
    node.status = "0x0"
    assert await told(node, wanted()) == ""


@pytest.mark.asyncio
async def test_of__when_the_method_is_unknown__then_it_is_asked_once_only() -> None:
    node = Node("11000")
    node.answer = Rejected(-32601, "the method eth_simulateV1 does not exist/is not available")
    made = rehearsals(node)
    for _ in range(3):
        assert (await made.of(wanted(), {"data": "0x12"})).broken == ""
    assert len(node.asked) == 1


class Frank(LendingDouble):
    """The double, whose contract tells a health itself."""

    def health_call(self, account: str) -> Call:
        return Call(
            target=build.POOL, data=bytes.fromhex("bf92857c") + bytes(12) + bytes.fromhex(account[2:])
        )

    def health_told(self, words: Words) -> int | None:
        return words.uint(0) if words.ok[0] else None


class Small(Node):
    """A second endpoint that plays two calls and answers the one question of the venue."""

    def __init__(self, health_wad: int | None) -> None:
        super().__init__()
        self.health_wad = health_wad

    def played(self) -> object:
        (block,) = cast(list[dict[str, list[dict[str, str]]]], super().played())
        told = b"" if self.health_wad is None else encode(["uint256"], [self.health_wad])
        read = encode(["(bool,bytes)[]"], [[(self.health_wad is not None, told)]])
        block["calls"][1]["returnData"] = "0x" + read.hex()
        return [block]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("health_wad", "said"),
    [
        (16 * WAD // 10, ""),
        (16 * WAD // 10 - 1, "below the promised 1.6"),
        (2 * WAD, ""),
        (2 * WAD + 1, "above the promised 2"),
        (UINT256_MAX, "above the promised 2"),
        (None, ""),
    ],
)
async def test_of__when_the_contract_tells_the_health_itself__then_its_word_alone_is_asked_and_judged(
    health_wad: int | None, said: str
) -> None:
    node = Small(health_wad)
    made = Rehearsals(cast(Endpoints, node), Stage(venue_of=lambda _: Frank(), seen=lambda _: Seen()))
    broken = (await made.of(wanted(), {"to": build.POOL, "data": "0x12"})).broken
    assert said in broken
    assert bool(broken) is bool(said)
    ((_, params),) = node.asked
    asked = str(params[0]["blockStateCalls"][0]["calls"][1]["data"])  # type: ignore[index]
    assert asked.count("bf92857c") == 1
    assert len(asked) < 1_000
