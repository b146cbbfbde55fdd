"""What an owner is told to sign: the routers among it, in an order that ends with the grant."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.cli.owner_place import named_routers
from keeper.cli.owner_words import address, shares, time_s
from keeper.executor import deploying, verify
from keeper.executor.abi import TERMS
from keeper.executor.deploying import Made
from keeper.executor.grants import (
    ANNOUNCE,
    APPROVE,
    DAY_S,
    GRID_S,
    SET_ASSET,
    SET_BOT,
    SET_GUARDIAN,
    SET_POSITION,
    SET_ROUTER,
    TERM_S,
    Signing,
    Stands,
    Wish,
    announcements,
    signings,
    terms,
    until,
)
from keeper.executor.seat import Permit
from keeper.model import Side, Terms
from tests import build
from tests.build import USDC, WETH
from tests.mandates import EXECUTOR, ROUTER

pytestmark = pytest.mark.unit
OTHER = "0x" + "0e" * 20
BOT = "0x" + "22" * 20


def wish(**routers: str) -> Wish:
    """Eight WETH, with these routers."""
    return Wish(
        executor=EXECUTOR,
        key="0x" + "11" * 32,
        bots={BOT: 10_000},
        policy=build.policy(),
        until_s=1_710_000_000,
        collateral={WETH: 8 * 10**18},
        receipts={WETH: OTHER},
        debt=(USDC,),
        routers=routers,
    )


def test_signings__when_routers_are_not_allowed_yet__then_one_call_each_before_the_grant() -> None:
    plain, found = signings(wish()), signings(wish(**{ROUTER: "the router", OTHER: "the aggregator 0x"}))
    added = [s for s in found if s not in plain]
    assert [s.call.data[:4] for s in added] == [SET_ROUTER] * 2
    words = [decode(["address", "bool"], s.call.data[4:]) for s in added]
    assert words == [(ROUTER.lower(), True), (OTHER, True)]
    assert {s.call.target for s in added} == {EXECUTOR}
    assert "the aggregator 0x" in added[1].meaning
    assert found[-1] == plain[-1], "the grant itself is signed last"


def asset_words(signed: tuple[Signing, ...]) -> list[tuple[str, int, int, int]]:
    """(token, side, cap of selling, cap of paying in) of each asset."""
    kinds = ["bytes32", "address", "uint8", "uint112", "uint112"]
    found = [decode(kinds, s.call.data[4:]) for s in signed if s.call.data[:4] == SET_ASSET]
    return [(str(token), side, sell, fund) for _, token, side, sell, fund in found]


@pytest.mark.parametrize(("bps", "told"), [(100, "at most 1 % worse"), (300, "at most 3 % worse")])
def test_signings__with_a_slippage__carry_it_and_say_it(bps: int, told: str) -> None:
    first = signings(replace(wish(), slippage_bps=bps))[0]
    assert f", {DAY_S}, 1710000000, {bps}, 10, " in first.signs
    assert told in first.meaning
    now = Stands(
        late=True,
        terms=Terms(**dict(zip(Terms.__slots__, terms(build.policy(), 1_710_000_000), strict=True))),
    )
    # a wider one than what stands waits for its day
    assert signings(replace(wish(), slippage_bps=bps, stands=now))[0].loosens is (bps > 100)


def test_signings__with_a_reserve__cap_what_is_paid_in_and_allow_as_much_of_the_wallet() -> None:
    found = signings(replace(wish(), reserve={USDC: 5_000 * 10**6}))
    weth, usdc = WETH.address.lower(), USDC.address.lower()
    assert asset_words(found) == [(weth, 0, 8 * 10**18, 0), (usdc, 1, 0, 5_000 * 10**6)]
    assert found[-1].call.target == USDC.address
    assert found[-1].call.data == APPROVE + encode(["address", "uint256"], [EXECUTOR, 5_000 * 10**6])
    # what is neither sold nor owed is listed to be paid in
    alone = signings(replace(wish(), collateral={}, debt=(), reserve={WETH: 10**18}))
    assert asset_words(alone) == [(weth, 0, 0, 10**18)]


def test_signings__of_what_is_not_named__leave_its_caps_as_they_are() -> None:
    old = Stands(caps={(WETH.address, Side.COLLATERAL): (3, 7), (USDC.address, Side.DEBT): (0, 9)})
    found = signings(replace(wish(), stands=old))
    assert [row[2:] for row in asset_words(found)] == [(8 * 10**18, 7), (0, 9)]


def test_signings__with_several_bots_and_a_guardian__name_each_with_its_share() -> None:
    found = signings(replace(wish(), bots={BOT: 5_000, OTHER: 2_500}, guardian=ROUTER))
    bots = [
        decode(["address", "uint16", "uint40"], s.call.data[4:]) for s in found if s.call.data[:4] == SET_BOT
    ]
    assert bots == [(BOT, 5_000, 1_710_000_000), (OTHER, 2_500, 1_710_000_000)]
    assert [s.call.data[:4] for s in found].count(SET_GUARDIAN) == 1
    assert "up to 25 % of each cap" in next(s.meaning for s in found if OTHER in s.signs)


@pytest.mark.parametrize(
    ("change", "loose"),
    [
        ({}, set()),
        ({"slippage_bps": 99}, {SET_POSITION}),
        ({"flash_fee_bps": 9}, {SET_POSITION}),
        ({"epoch_s": 2 * DAY_S}, {SET_POSITION}),
        ({"trigger_wad": 0}, {SET_POSITION}),
        ({"cooldown_blocks": 10**6}, {SET_POSITION}),
        ({"cooldown_blocks": 1}, set()),
    ],
)
def test_signings__after_the_first_hour__say_which_of_them_loosen(
    change: dict[str, int], loose: set[bytes]
) -> None:
    plain = wish()
    body = dict(zip(Terms.__slots__, terms(plain.policy, plain.until_s), strict=True))
    caps = {(WETH.address, Side.COLLATERAL): (8 * 10**18, 0), (USDC.address, Side.DEBT): (0, 0)}
    bots = {BOT: (10_000, plain.until_s)}
    there = Stands(late=True, terms=Terms(**{**body, **change}), caps=caps, bots=bots)
    assert {s.call.data[:4] for s in signings(replace(plain, stands=there)) if s.loosens} == loose
    for less in (
        replace(there, caps={**caps, (WETH.address, Side.COLLATERAL): (8 * 10**18 - 1, 0)}),
        replace(there, bots={BOT: (9_999, plain.until_s)}),
        replace(there, bots={BOT: (10_000, plain.until_s - 1)}),
        replace(there, caps={}),
    ):
        more = {s.call.data[:4] for s in signings(replace(plain, stands=less)) if s.loosens} - loose
        assert more == ({SET_BOT} if less.bots != bots else {SET_ASSET})
    early = replace(plain, stands=replace(there, late=False, caps={}))
    assert not any(s.loosens for s in signings(early))


def healths(of: Wish) -> tuple[int, ...]:
    """Trigger, target, max and emergency of the position that the owner signs, in thousandths."""
    types = [
        "bytes32",
        "(uint128,uint128,uint128,uint128,uint128,uint32,uint32,uint40,uint16,uint16,uint64,uint64)",
    ]
    body: tuple[int, ...] = decode(types, signings(of)[0].call.data[4:])[1]
    return tuple(wad * 1_000 // 10**18 for wad in body[:4])


def test_signings__of_a_ladder_that_sells__carry_its_lowest_rung_as_the_target() -> None:
    ladder = replace(build.policy(strategies=("repay", "deleverage")), ladder=True)
    assert healths(wish()) == (1250, 1450, 1600, 1080)
    rungs = replace(wish(), policy=ladder)
    assert healths(rungs) == (1250, 1270, 1600, 1080)
    assert (
        "back to 1.27 at the least (the ladder's lowest rung; the keeper goes up to 1.45"
        in signings(rungs)[0].meaning
    )
    # nothing is sold by rungs: the contract's target stays where the policy has it
    assert healths(
        replace(wish(), policy=replace(ladder, strategies=("repay", "close_position")))
    ) == healths(wish())


def test_signings__of_a_ladder_whose_price_lags__keep_the_room_to_act_ahead() -> None:
    ladder = replace(build.policy(strategies=("deleverage",)), ladder=True)
    ahead = replace(wish(), lag=(9, 10))
    rungs = replace(ahead, policy=ladder)
    assert healths(rungs) == healths(ahead)
    assert healths(ahead)[0] > 1250
    assert "the ladder's rungs are not sold to" in signings(rungs)[0].meaning


def test_signings__by_another_line__leave_the_target_as_far_above_the_trigger_as_the_contract_asks() -> None:
    near = replace(build.policy(strategies=("deleverage",)), ladder=True, hysteresis_wad=2 * 10**15 + 1)
    for line in ((86, 77), (945, 915), (10**18, 10**18 - 1)):
        data = signings(replace(wish(), policy=near, line=line))[0].call.data
        trigger, target, most, _, hysteresis, *_ = decode(["bytes32", TERMS], data[4:])[1]
        assert target >= trigger + hysteresis
        assert most >= target + 2 * 10**16


def test_announcements__of_what_loosens__carry_the_hash_of_the_whole_call() -> None:
    found = signings(replace(wish(**{ROUTER: "the router"}), stands=Stands(late=True)))
    first = announcements(found)
    assert [s.call.data for s in first] == [ANNOUNCE + keccak(s.call.data) for s in found if s.loosens]
    assert {s.call.target for s in first} == {EXECUTOR}
    assert len(first) == 5  # terms, two assets, bot, router; the allowance is the token's


def test_signings__where_the_protocol_has_only_a_whole_grant__end_with_it() -> None:
    permit = Permit(contract=OTHER, asks=b"asks", allows=b"give", name="allow", reach="everything")
    found = signings(replace(wish(), permit=permit, receipts={}))
    assert found[-1].call == permit.given(EXECUTOR, True)
    nothing = signings(replace(wish(), permit=permit, receipts={}, collateral={WETH: 0}))
    assert nothing[-1].call == permit.given(EXECUTOR, False)


def test_until__asked_a_day_apart__is_the_same_but_at_the_grid() -> None:
    now_s = 1_700_000_000
    ends = {until(now_s + d * DAY_S) for d in range(30)}
    assert len(ends) <= 2
    assert all(TERM_S <= until(now_s + d * DAY_S) - now_s - d * DAY_S < TERM_S + GRID_S for d in range(60))


def test_deploying__on_a_chain_without_the_factory__begins_with_it() -> None:
    made = Made(aave_v3=OTHER, uniswap_factory=ROUTER)
    both = deploying.signings("AaveV3Executor", BOT, made, factory_there=False)
    assert both[1:] == deploying.signings("AaveV3Executor", BOT, made, factory_there=True)
    assert (both[0].call.target, both[0].call.data[:32]) == (verify.CREATE2_DEPLOYER, verify.SALT)
    creation, venues = decode(["bytes", deploying.VENUES], both[1].call.data[4:])
    assert creation == verify.artifact().creation
    assert venues[:3] == (OTHER, "0x" + "00" * 20, ROUTER.lower())
    assert verify.executor_address(BOT) in both[1].meaning


def test_words__of_a_user__are_addresses_shares_and_times() -> None:
    assert shares(["a=12.5", "b=100"], "--bot") == {"a": 1_250, "b": 10_000}
    assert address(OTHER, "--bot") == to_checksum_address(OTHER)
    assert time_s("2027-03-01") == time_s("1803859200") == 1_803_859_200


@pytest.mark.parametrize("text", ["a=0", "a=100.01", "a=1.001", "a=x", "=5", "a", "a=nan"])
def test_shares__of_anything_else__are_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        shares([text], "--bot")


def test_words__that_are_wrong__are_usage_errors() -> None:
    for text in ("0x12", OTHER + "0", ROUTER[:-1] + ROUTER[-1].swapcase()):
        with pytest.raises(typer.BadParameter):
            address(text, "--guardian")
    with pytest.raises(typer.BadParameter):
        time_s("next week")


def test_named_routers__of_a_configuration__are_those_of_pools_and_aggregator() -> None:
    offers = SimpleNamespace(name="0x", router=OTHER)
    both: Any = SimpleNamespace(uniswap_router=ROUTER, aggregator=offers)
    alone: Any = SimpleNamespace(uniswap_router=None, aggregator=offers)
    none: Any = SimpleNamespace(uniswap_router=None, aggregator=None)
    assert [list(named_routers(chain)) for chain in (both, alone, none)] == [[ROUTER, OTHER], [OTHER], []]
