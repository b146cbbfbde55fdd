"""Queued calldata read exactly, its effect never better than it is, and what cannot be read said to be unread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.config import ChainSettings, TimelockSettings
from keeper.daemon.governing import Governing, Seat
from keeper.daemon.oracles import Around, Unheard
from keeper.daemon.queues import AGAIN_S, BACK_S, PLANS_BACK_S, REQUESTS_MAX, Queues
from keeper.errors import Rejected, Transient
from keeper.governance import deployments, effect, timelocks
from keeper.governance.calldata import Change, Kind, Place, Where, change, selector
from keeper.governance.effect import Effect
from keeper.governance.timelocks import KINDS, Timelock
from keeper.model import WHOLE_BPS_AVERAGE, Block, Call, Position
from keeper.seams import Severity
from keeper.units import UINT256_MAX
from keeper.venues.aave_v2 import known as v2_markets
from keeper.words import Words
from tests import build
from tests.build import USDC, WETH

pytestmark = pytest.mark.unit

PLACE = Place(venue="aave_v3:1:x", where=Where.CONFIGURATOR)
LOCK = Timelock(kind="compound", address="0x" + "4c" * 20)


def calldata(signature: str, *values: object) -> bytes:
    types = signature.partition("(")[2][:-1].split(",")
    return selector(signature) + encode(types, values)


def read(signature: str, *values: object, where: Where = Where.CONFIGURATOR) -> Change:
    found = change(replace(PLACE, where=where), calldata(signature, *values))
    assert isinstance(found, Change), found
    return found


CUT = ("configureReserveAsCollateral(address,uint256,uint256,uint256)", WETH.address, 7_000, 7_600, 10_500)


@pytest.mark.parametrize(
    ("signature", "values", "kind", "said"),
    [
        (
            CUT[0],
            CUT[1:],
            Kind.THRESHOLD,
            "liquidation threshold 76.00 %, loan-to-value 70.00 %, bonus 5.00 %",
        ),
        ("setReserveFreeze(address,bool)", (WETH.address, True), Kind.FROZEN, "setReserveFreeze(1)"),
        (
            "setReservePause(address,bool,uint40)",
            (WETH.address, True, 60),
            Kind.PAUSED,
            "setReservePause(1, 60)",
        ),
        ("setPoolPause(bool)", (True,), Kind.PAUSED, "all: setPoolPause(1)"),
        ("setSupplyCap(address,uint256)", (WETH.address, 5), Kind.CAP, "setSupplyCap(5)"),
        ("setReserveLtvzero(address,bool)", (WETH.address, True), Kind.LTV_ZERO, "setReserveLtvzero(1)"),
        (
            "setEModeCategory(uint8,uint16,uint16,uint16,string)",
            (2, 9_000, 9_200, 10_100, "ETH correlated"),
            Kind.MODE,
            'e-mode 2 "ETH correlated": liquidation threshold 92.00 %',
        ),
        (
            "setEModeCategory(uint8,uint16,uint16,uint16,address,string)",
            (1, 9_000, 9_200, 10_100, "0x" + "00" * 20, "Stablecoins"),
            Kind.MODE,
            'e-mode 1 "Stablecoins": liquidation threshold 92.00 %',
        ),
        (
            "setAssetCollateralInEMode(address,uint8,bool)",
            (WETH.address, 2, False),
            Kind.MEMBER,
            "e-mode 2: no",
        ),
        ("setReserveFactor(address,uint256)", (WETH.address, 1), Kind.TERMS, "setReserveFactor(1)"),
        # what v2 names otherwise: the flag is in the name
        ("freezeReserve(address)", (WETH.address,), Kind.FROZEN, "freezeReserve(1)"),
        ("unfreezeReserve(address)", (WETH.address,), Kind.FROZEN, "unfreezeReserve(0)"),
        ("deactivateReserve(address)", (WETH.address,), Kind.ACTIVE, "deactivateReserve(0)"),
        ("disableBorrowingOnReserve(address)", (WETH.address,), Kind.TERMS, "disableBorrowingOnReserve()"),
    ],
)
def test_change__when_calldata_names_it__then_it_is_read_and_said(
    signature: str, values: tuple[object, ...], kind: Kind, said: str
) -> None:
    found = read(signature, *values)
    assert found.kind is kind
    assert said in found.text({WETH.address: "WETH"})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "which is not known"),
        (b"\x12\x34\x56\x78", "calls 0x12345678"),
        (calldata(*CUT)[:-40], "cannot be read"),
        # a configurator's call to the contract of roles is no configurator's call
        (calldata("addPoolAdmin(address)", WETH.address), "not known"),
    ],
)
def test_change__when_it_cannot_be_read__then_it_says_why(data: bytes, why: str) -> None:
    found = change(PLACE, data)
    assert isinstance(found, str)
    assert why in found


def held(mode: str = "") -> Position:
    """10 WETH at 3,000 with a threshold of 83 % against 20,000 USDC."""
    found = build.position(
        [build.collateral(WETH, "10", price="3000", threshold="0.83")], [build.debt(USDC, "20000")]
    )
    return replace(found, mode=mode)


def test_computed__when_a_threshold_is_cut__then_health_is_the_pools_formula_of_its_line() -> None:
    found = effect.computed(held(), [read(*CUT)], frozenset())
    assert isinstance(found, Effect)
    assert found.after_wad == 1140 * 10**15
    assert found.matters
    old = held()
    old = replace(old, row=replace(old.row, flags=(WHOLE_BPS_AVERAGE,)))
    assert effect.computed(old, [read(*CUT)], frozenset()) == found


@pytest.mark.parametrize(
    ("changes", "after", "matters"),
    [
        # raised: never told as better than it is
        ([read(CUT[0], WETH.address, 8_000, 9_000, 10_500)], 1245 * 10**15, False),
        ([read("setReserveFactor(address,uint256)", WETH.address, 1)], 1245 * 10**15, False),
        ([read(CUT[0], "0x" + "99" * 20, 1, 2, 10_500)], 1245 * 10**15, False),
        ([read("setReserveFreeze(address,bool)", USDC.address, True)], 1245 * 10**15, True),
        ([read("freezeReserve(address)", USDC.address)], 1245 * 10**15, True),
        ([read("unfreezeReserve(address)", USDC.address)], 1245 * 10**15, False),
        ([read("setReserveFreeze(address,bool)", USDC.address, False)], 1245 * 10**15, False),
        (
            [read("setEModeCategory(uint8,uint16,uint16,uint16,string)", 2, 1, 2, 10_001, "x")],
            1245 * 10**15,
            False,
        ),
    ],
)
def test_computed__when_it_does_not_lower_health__then_only_what_it_shuts_matters(
    changes: list[Change], after: int, matters: bool
) -> None:
    found = effect.computed(held(), changes, frozenset({2}))
    assert isinstance(found, Effect)
    assert (found.after_wad, found.matters) == (after, matters)


def test_computed__when_an_e_mode_may_override__then_the_lower_threshold_counts() -> None:
    mode = read(
        "setEModeCategory(uint8,uint16,uint16,uint16,string)", 2, 7_000, 7_500, 10_100, "ETH correlated"
    )
    found = effect.computed(held("ETH correlated"), [mode], frozenset({2}))
    assert isinstance(found, Effect)
    assert found.after_wad == 1125 * 10**15
    # a category that nobody guarded uses is not his
    other = effect.computed(held("ETH correlated"), [mode], frozenset({1}))
    assert isinstance(other, Effect)
    assert not other.matters


@pytest.mark.parametrize(
    "unread",
    [
        read("setAssetSources(address[],address[])", [WETH.address], [WETH.address], where=Where.ORACLE),
        read("setReserveActive(address,bool)", WETH.address, False),
        read("setAssetCollateralInEMode(address,uint8,bool)", WETH.address, 2, False),
    ],
)
def test_computed__when_calldata_does_not_tell_the_health__then_none_is_told(unread: Change) -> None:
    assert isinstance(effect.computed(held("ETH correlated"), [unread], frozenset({2})), str)


def test_rehearsed__when_it_becomes_unreadable__then_it_matters_most_and_worse_takes_the_lower() -> None:
    before = held()
    means = build.means()
    gone = effect.rehearsed(before, None, (means, means))
    assert gone == Effect(before_wad=1245 * 10**15, after_wad=None)
    assert gone.matters
    low, high = Effect(before_wad=3, after_wad=1), Effect(before_wad=3, after_wad=2, notes=("x",))
    assert effect.worse(high, low).after_wad == 1
    assert effect.worse(low, high).notes == ("x",)
    assert effect.worse(high, Effect(before_wad=3, after_wad=None)).after_wad is None
    assert not Effect(before_wad=UINT256_MAX, after_wad=UINT256_MAX).matters


def log(target: str, signature: str, data: bytes, eta_s: int) -> dict[str, object]:
    body = encode(("uint256", "string", "bytes", "uint256"), (0, signature, data, eta_s))
    key = "0x" + keccak(body).hex()
    topics = [timelocks.QUEUE_TRANSACTION, key, "0x" + target[2:].rjust(64, "0")]
    return {"topics": topics, "data": f"0x{body.hex()}"}


def test_from_logs__when_one_vote_queues_two_calls__then_they_are_one_payload_and_the_stale_is_gone() -> None:
    logs = [
        log(WETH.address, "setPoolPause(bool)", encode(("bool",), (True,)), 2_000),
        log(USDC.address, "", b"\x01\x02\x03\x04", 2_000),
        log(USDC.address, "", b"\x01\x02\x03\x04", 1),
    ]
    found = timelocks.grouped(timelocks.from_logs(LOCK, logs, 1 + timelocks.GRACE_S))
    (one,) = found
    assert [a.target.lower() for a in one.actions] == [WETH.address.lower(), USDC.address.lower()]
    assert one.actions[0].data == calldata("setPoolPause(bool)", True)
    assert (one.eta_s, one.run) == (2_000, None)
    with pytest.raises(ValueError, match="cannot be read"):
        timelocks.from_logs(LOCK, [{"topics": logs[0]["topics"], "data": "0x00"}], 0)


class Node:
    """Logs in spans of at most ``most`` blocks; counts what is asked."""

    def __init__(self, most: int, oldest: int = 0) -> None:
        self.most, self.oldest, self.spans = most, oldest, list[tuple[int, int]]()

    async def request(self, method: str, params: Sequence[Any], **_: Any) -> object:
        if method == "eth_getCode":
            return "0x60"
        asked: Mapping[str, str] = params[0]
        first, last = int(asked["fromBlock"], 16), int(asked["toBlock"], 16)
        if last - first >= self.most or first < self.oldest:
            raise Rejected(-32005, "query returned more than 10000 results")
        self.spans.append((first, last))
        return []


def waiting(queues: Queues, number: int, lock: Timelock = LOCK) -> Any:
    block = Block(
        chain_id=1, number=number, hash="0x", parent_hash="0x", timestamp_s=number * 12, base_fee_wei=1
    )

    async def unread(_: Sequence[Call]) -> Words:
        raise AssertionError

    return asyncio.run(queues.waiting(lock, block, unread))


def chain() -> ChainSettings:
    return ChainSettings(
        name="c", chain_id=1, block_time_s=12.0, multicall=LOCK.address, native_token=None, endpoints=()
    )


def test_queues__when_an_endpoint_wants_short_spans__then_every_block_is_asked_once_and_only_new_ones_later() -> (
    None
):
    node = Node(10_000)
    queues = Queues(chain(), node)  # type: ignore[arg-type]
    assert waiting(queues, 1_000_000) == ()
    assert node.spans[0][0] == 1_000_000 - BACK_S // 12
    assert node.spans[-1][1] == 1_000_000
    assert all(b[0] == a[1] + 1 for a, b in zip(node.spans, node.spans[1:], strict=False))
    node.spans.clear()
    assert waiting(queues, 1_000_005) == ()
    # the youngest once more: a reorganisation may have put a log into a block that was empty
    assert node.spans == [(1_000_001 - AGAIN_S // 12, 1_000_005)]


def test_queues__when_a_plan_of_makers_is_months_old__then_it_is_searched_later_and_said_until_then() -> None:
    node = Node(10_000)
    queues = Queues(chain(), node)  # type: ignore[arg-type]
    pause = replace(LOCK, kind="maker_pause")
    assert waiting(queues, 3_000_000, pause) == ()
    assert 3_000_000 - BACK_S // 12 > queues.behind[LOCK.address] > 3_000_000 - PLANS_BACK_S // 12
    for _ in range(8):
        waiting(queues, 3_000_000, pause)
    assert queues.behind == {}
    assert min(first for first, _ in node.spans) == 3_000_000 - PLANS_BACK_S // 12
    asked = len(node.spans)
    assert waiting(queues, 3_000_000, pause) == ()
    assert len(node.spans) == asked + 1


def test_governing__while_old_logs_are_not_searched__then_it_is_said_and_the_rest_is_looked_at() -> None:
    settings = replace(chain(), timelocks=(TimelockSettings(kind="maker_pause", address=LOCK.address),))
    camera = SimpleNamespace(reader=lambda _: None)
    around = Around(chain=settings, endpoints=cast(Any, Node(1_000)), camera=cast(Any, camera))
    room = Governing(Seat(around=around, guarded=()), Unheard())
    block = replace(build.block(), number=3_000_000)
    venues = cast(Any, {"v": SimpleNamespace(kind="maker")})
    # more spans than one look may ask: the recent ones first
    for _ in range(4):
        (fault,) = asyncio.run(room.find(build.snapshot([], at=block), venues))
    assert (fault.severity, "is not searched yet" in fault.why) == (Severity.INFO, True)


def test_queues__when_nobody_keeps_old_logs__then_the_new_ones_are_known_and_the_rest_is_said() -> None:
    node = Node(10_000, oldest=3_000_000 - BACK_S // 12)
    queues = Queues(chain(), node)  # type: ignore[arg-type]
    pause = replace(LOCK, kind="maker_pause")
    for _ in range(3):
        assert waiting(queues, 3_000_000, pause) == ()
    assert queues.behind == {LOCK.address: 3_000_000 - BACK_S // 12}


def test_queues__when_logs_would_take_too_many_questions__then_it_says_so_and_goes_on_at_the_next_look() -> (
    None
):
    node = Node(100)
    queues = Queues(chain(), node)  # type: ignore[arg-type]
    with pytest.raises(Transient, match="the next look goes on"):
        waiting(queues, 1_000_000)
    reached = node.spans[-1][1]
    assert len(node.spans) < REQUESTS_MAX
    with pytest.raises(Transient):
        waiting(queues, 1_000_000)
    assert node.spans[-1][1] > reached


def test_known__for_each_chain_of_the_book__then_kinds_are_known_and_sources_are_named() -> None:
    every = [t for c in (1, 10, 56, 100, 137, 8453, 42161, 43114) for t in deployments.known(c)]
    assert {t.kind for t in every} == set(KINDS)
    assert all(t.source and "2026-" in t.source and t.governs for t in every)
    assert deployments.known(31_337) == ()


def test_rules__by_kind__then_nobody_is_asked_for_what_he_cannot_change() -> None:
    (payloads,) = (t for t in deployments.known(42161) if t.kind == "aave_payloads")
    assert [k for k in ("aave_v3", "maker", "gmx_v2", "morpho_blue") if payloads.rules(k)] == ["aave_v3"]
    own = Timelock(kind="compound", address=LOCK.address)
    assert [k for k in ("aave_v3", "maker", "gmx_v2", "morpho_blue") if own.rules(k)] == ["aave_v3", "maker"]


@pytest.mark.parametrize("chain_id", [1, 137, 43114])
def test_known__where_a_v2_market_is__then_the_controller_that_changes_it_is_looked_at(chain_id: int) -> None:
    assert v2_markets(chain_id)
    assert [t.kind for t in deployments.known(chain_id) if t.rules("aave_v2")] == ["aave_payloads"]
