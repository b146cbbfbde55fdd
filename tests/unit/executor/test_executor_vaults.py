"""A Maker vault as its owner's Executor sees it: whose it is, by whose leave, and at which price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from eth_abi.abi import decode
from eth_utils.address import to_checksum_address

from keeper.decision.defaults import suggest
from keeper.executor import deploying, grants, read, vault, verify
from keeper.executor.deploying import Made
from keeper.executor.grants import Wish
from keeper.executor.read import Listed, Post
from keeper.executor.seat import Seat
from keeper.executor.vault import VaultPermit
from keeper.model import (
    Amount,
    Deleverage,
    Errand,
    Means,
    Position,
    Repay,
    Reserve,
    Side,
    Snapshot,
    Source,
    Supply,
    Terms,
)
from keeper.oracle import drift
from keeper.units import RAY, WAD
from keeper.venues.maker import Maker, book, math
from keeper.venues.maker import read as reading_of
from keeper.venues.maker.book import Market, Vault
from keeper.venues.maker.layout import layout as build_layout
from tests import build
from tests.build import ALICE, USDC, WALLET, WETH
from tests.mandates import EXECUTOR, NOW_S, terms
from tests.unit.executor.test_executor_desk import MULTICALL, words

pytestmark = pytest.mark.unit
URN, PROXY = (str(to_checksum_address("0x" + x * 20)) for x in ("a1", "a2"))
MANAGER, ACTIONS = (str(to_checksum_address("0x" + x * 20)) for x in ("b1", "b2"))
PARTS = {
    name: str(to_checksum_address(f"0x{i:040x}"))
    for i, name in enumerate(
        ("vat", "jug", "spotter", "dog", "dai_join", "registry", "gem_join", "pip"), 0xC0
    )
}
DAI = replace(USDC, address=str(to_checksum_address("0x" + "da" * 20)), symbol="DAI", decimals=18)
NUMBER = 12_345
MAT = 145 * RAY // 100
SPOT = 2_000 * RAY * RAY // MAT
"""Of two thousand dollars."""


def venue(*, holder: str = ALICE, numbered: bool = True) -> Maker:
    """ETH-A with one vault of Alice's, or of a proxy of hers."""
    own = Vault(number=NUMBER, urn=URN, holder=holder, owner=ALICE)
    market = Market(
        name="vaults", chain_id=1, chainlog=MANAGER, ilk="0x" + b"ETH-A".ljust(32, b"\0").hex(), manager=MANAGER,
        actions=ACTIONS, mat=MAT, dust=7_500 * math.RAD, chop=113 * WAD // 100, gem=WETH, dai=DAI,
        vaults=(own,) if numbered else (), proxy=book.ZERO, proxy_owner=book.ZERO, **PARTS,
    )  # fmt: skip
    return Maker(market)


def reserve(price_base: int) -> Reserve:
    """The collateral at a price, wad dollars."""
    plain = build.reserve(WETH)
    return replace(plain, venue=venue().id, price_base=price_base, base_decimals=18)


def told(seat: Seat, counted: int) -> Terms:
    """The terms of a mandate, when the Vat's price is 2,000 and the position is counted by ``counted``."""
    struct = [getattr(terms(), name) for name in type(terms()).__slots__]
    asset = [1, WAD, 7 * WAD, 0, 1, 2, 3]
    measure: Sequence[Sequence[int]] = ([], [0, 0, SPOT, 0, 0], [RAY], [0, MAT])
    post = Post(
        id=build.position_id(), executor=EXECUTOR, owner=ALICE, key=seat.key, bot=WALLET, multicall=MULTICALL,
        listed=(Listed(token=WETH, side=Side.COLLATERAL, receipt=PARTS["gem_join"]),), seat=seat,
    )  # fmt: skip
    head = [[100], [0], struct, [10_000, NOW_S + 9], asset, [4, 5, 6]]
    answers = [*head, [1], [5 * WAD, 9], [0], [0], [0], *measure]
    assert len(answers) == len(read.calls(post)) == read.size(post)
    means = replace(build.means(), reserves=(reserve(counted),))
    found = read.mandate(post, build.block(), words(*answers), means)
    assert found is not None
    assert (found.assets[0].granted > 0, found.assets[0].held) == (True, 5 * WAD)
    return found.terms


def test_seat__of_a_vault__is_its_holder_and_number_and_its_owners_whoever_holds_it() -> None:
    seat, proxied = venue().seat(URN), venue(holder=PROXY).seat(URN)
    assert (int(seat.key, 16), seat.owner, seat.lacks) == (int(ALICE, 16) << 96 | NUMBER, ALICE, "")
    assert (int(proxied.key, 16), proxied.owner) == (int(PROXY, 16) << 96 | NUMBER, ALICE)
    assert seat.measure is not None
    assert [c.target for c in seat.measure.first] == [PARTS["spotter"]], (
        "the Executor pokes before it measures"
    )
    assert "vaults" in venue(numbered=False).seat(URN).lacks


def test_permit__of_a_vault__is_signed_to_the_manager_or_to_the_proxy_that_holds_it() -> None:
    direct, proxied = venue().seat(URN).permit, venue(holder=PROXY).seat(URN).permit
    assert isinstance(direct, VaultPermit)
    assert isinstance(proxied, VaultPermit)
    for allowed in (True, False):
        call = direct.given(EXECUTOR, allowed)
        assert (call.target, call.data[:4]) == (MANAGER, vault.CDP_ALLOW)
        said = decode(["uint256", "address", "uint256"], call.data[4:])
        assert said == (NUMBER, EXECUTOR.lower(), int(allowed))
        call = proxied.given(EXECUTOR, allowed)
        assert (call.target, call.data[:4]) == (PROXY, vault.EXECUTE)
        actions, inner = decode(["address", "bytes"], call.data[4:])
        assert (actions, inner[:4]) == (ACTIONS.lower(), vault.ALLOW_BY_PROXY)
        inside = decode(["address", "uint256", "address", "uint256"], inner[4:])
        assert inside == (MANAGER.lower(), NUMBER, EXECUTOR.lower(), int(allowed))
    for permit, holder in ((direct, ALICE), (proxied, PROXY)):
        asked = permit.asked(ALICE, EXECUTOR)
        assert (asked.target, asked.data[:4]) == (MANAGER, vault.CDP_CAN)
        assert decode(["address", "uint256", "address"], asked.data[4:])[0] == holder.lower()


def test_terms__at_the_executors_own_price__are_as_they_stand_on_chain() -> None:
    own = math.price_down(SPOT, RAY, MAT)
    assert told(venue().seat(URN), own) == terms()
    assert told(venue().seat(URN), own * 2) == terms(), "nothing is counted above the Executor's price"


def test_terms__when_the_next_hours_price_is_lower__are_healths_by_that_price_and_a_bound_on_its() -> None:
    own = math.price_down(SPOT, RAY, MAT)
    counted = -(-own * 99 // 100)
    found, plain = told(venue().seat(URN), counted), terms()
    assert found.trigger_wad == plain.trigger_wad * counted // own < plain.trigger_wad
    assert found.target_wad == -(-plain.target_wad * counted // own)
    assert found.max_wad == plain.max_wad * counted // own
    # sold at the lower price is a hundredth below the Executor's: what it allows is used up by it
    assert found.slippage_bps == 0
    assert told(venue().seat(URN), own * 95 // 100).slippage_bps < 0


def test_grant__of_a_vault__raises_the_trigger_and_leaves_the_target() -> None:
    wish = Wish(
        executor=EXECUTOR, key="0x" + "11" * 32, policy=build.policy(), until_s=NOW_S + 10**6,
        bots={WALLET: 10_000}, collateral={}, receipts={}, debt=(DAI,),
    )  # fmt: skip
    plain, ahead = (
        decode(["bytes32", grants.TERMS], grants.signings(w)[0].call.data[4:])[1]
        for w in (wish, replace(wish, lag=(4, 5)))
    )
    assert ahead[1] == plain[1]
    assert plain[0] < ahead[0] == plain[1] - max(plain[4], grants.MARGIN_MIN_WAD)
    assert ahead[2] == -(-plain[2] * 5 // 4)
    assert plain[3] < ahead[3] < ahead[0]
    assert ahead[4:] == plain[4:]
    # from the policy's trigger of 1.25 to 1.43, which its target leaves: not a fifth
    assert (plain[0], ahead[0]) == (125 * WAD // 100, 143 * WAD // 100)
    said = {w: grants.signings(replace(wish, lag=w))[0].meaning for w in ((1, 1), (4, 5))}
    assert "a next price up to 12.58 % lower" in said[4, 5], said
    assert "next price" not in said[1, 1]


def test_deployment__of_a_maker_executor__names_the_vault_system_to_its_own_factory() -> None:
    names = venue().seat(URN).names
    made = Made(maker=tuple(names.values()))
    both = deploying.signings("MakerExecutor", ALICE, made, factory_there=False)
    assert both[1].call.target == verify.factory_address("MakerExecutor") != verify.factory_address()
    types = ["bytes", deploying.VENUES, deploying.MAKER]
    creation, _, named = decode(types, both[1].call.data[4:])
    assert creation == verify.artifact("MakerExecutor").creation
    assert [n.lower() for n in named] == [n.lower() for n in names.values()]
    assert verify.executor_address(ALICE, "MakerExecutor") in both[1].meaning
    assert MANAGER in both[1].meaning
    plain = deploying.signings("AaveV3Executor", ALICE, Made(), factory_there=True)
    assert plain[0].call.data[:4] == deploying.DEPLOY


def at_2_000(owner: str = ALICE, ink: int = 20 * WAD, art: int = 20_000 * WAD) -> Position:
    """A vault as it is read."""
    from keeper.venues.maker import read as reading

    price = math.price_down(SPOT, RAY, MAT)
    market = venue().market
    now = reading.Now(
        market=market, block=build.block(), rate=RAY, stored_rate=RAY, spot=SPOT, par=RAY, price=price,
        chop=market.chop, fee=RAY, rho=NOW_S, live=True, cash=10**24, foreseen=False, scale=1, feed=market.feed,
        dai_feed=market.dai_feed, mode="ETH-A", threshold_wad=WAD * RAY // MAT, bonus_bps=11_300,
        allowed_each=1 / 1.45e18, owed_each=1e-18,
    )  # fmt: skip
    urn = reading.Urn(ink=ink, art=art, owner=owner, number=NUMBER)
    return reading.position(now, venue().position_id(URN), urn)


def means() -> Means:
    """Both tokens readable."""
    dai = replace(build.reserve(DAI), venue=venue().id, price_base=WAD, borrow_index_ray=RAY)
    return replace(build.means(), reserves=(reserve(2_000 * WAD), dai))


def sale(repay: int, sell: int) -> Deleverage:
    """A sale by the pool that pays first."""
    return Deleverage(
        executor=EXECUTOR, key=venue().seat(URN).key, seq=1, deadline_s=NOW_S + 60, source=Source.UNISWAP_V3_SWAP,
        repay=Amount(token=DAI, units=repay), sell_max=Amount(token=WETH, units=sell), sold=sell, fees=(500,),
    )  # fmt: skip


def code(step: Deleverage | Supply | Repay, position: Position) -> str:
    """Why the vault system would not take it; empty when it would."""
    no = venue().can(step, position, means())
    return no.code if no is not None else ""


def test_can__of_a_sale__names_the_vault_given_away_dust_and_what_is_not_there() -> None:
    assert code(sale(10_000 * WAD, 6 * WAD), at_2_000()) == ""
    assert code(sale(10_000 * WAD, 6 * WAD), at_2_000(owner=WALLET)) == "vault_given_away"
    assert code(sale(15_000 * WAD, 8 * WAD), at_2_000()) == "dust"
    assert code(sale(20_000 * WAD, 11 * WAD), at_2_000()) == ""
    assert code(sale(10_000 * WAD, 21 * WAD), at_2_000()) == "no_collateral"
    assert code(sale(10_000 * WAD, 6 * WAD), at_2_000(art=0)) == "no_debt"
    wrong = replace(sale(WAD, WAD), repay=Amount(token=WETH, units=1))
    assert code(wrong, at_2_000()) == "no_amount"


def test_can__of_a_vault_given_away__pays_nothing_into_it_whoever_pays() -> None:
    top_up, repay = Supply(amount=Amount(token=WETH, units=WAD)), Repay(amount=Amount(token=DAI, units=WAD))
    own = venue()
    mine = Maker(replace(own.market, proxy=PROXY, proxy_owner=means().wallet))
    for step in (top_up, repay):
        assert mine.can(step, at_2_000(), means()) is None
        no = mine.can(step, at_2_000(owner=WALLET), means())
        assert no is not None
        assert no.code == "vault_given_away"
        assert WALLET in no.why


def read_as(holder: str, *, owns: str, obeys: Sequence[int], poked: int = SPOT, spot: int = SPOT) -> Position:
    """The vault of a batch in which the manager and the holder say so, at that spot before and after a poke."""
    maker = venue(holder=holder)
    at = build_layout(maker.market, (URN,))
    ilk = [0, RAY, spot, 0, 7_500 * math.RAD]
    answers: list[Sequence[int]] = [
        ilk, [RAY, build.block().timestamp_s], [0], [int(PARTS["pip"], 16), MAT], [RAY], [0, 113 * WAD // 100], [1],
        [10**24], [], [0, RAY, poked, 0, 0], [20 * WAD, 20_000 * WAD], [int(owns, 16)], obeys,
    ]  # fmt: skip
    assert len(answers) == len(at.calls)
    reading = reading_of.decode(
        reading_of.Frame(market=maker.market, block=build.block()), at, words(*answers), {}
    )
    assert reading.unreadable == ()
    return reading.positions[0]


def test_owner__of_a_vault_read__is_its_holder_while_the_proxy_obeys_whom_it_obeyed() -> None:
    alice, wallet, proxy = (int(a, 16) for a in (ALICE, WALLET, PROXY))
    assert read_as(ALICE, owns=ALICE, obeys=[]).owner == ALICE
    assert read_as(PROXY, owns=PROXY, obeys=[alice]).owner == PROXY
    # it was given away itself, obeys itself, or says no more whom it obeys
    assert read_as(PROXY, owns=PROXY, obeys=[wallet]).owner == WALLET
    for obeys in ([proxy], [], [alice, 0], [1 << 160 | alice]):
        assert read_as(PROXY, owns=PROXY, obeys=obeys).owner == book.ZERO, obeys
    # the vault was given away, to whom says that he obeys her or to herself: neither is whom the Executor knows
    for holder, owns in ((PROXY, WALLET), (ALICE, WALLET), (PROXY, ALICE)):
        given = read_as(holder, owns=owns, obeys=[alice])
        no = venue(holder=holder).can(sale(10_000 * WAD, 6 * WAD), given, means())
        assert no is not None
        assert no.code == "vault_given_away", (holder, owns)


def test_health__when_a_poke_would_lower_the_price__is_by_what_it_would_be() -> None:
    plain = read_as(ALICE, owns=ALICE, obeys=[])
    low = read_as(ALICE, owns=ALICE, obeys=[], poked=SPOT // 2)
    assert 2 * (low.health_wad or 0) <= (plain.health_wad or 0)
    # a higher one counts once somebody poked; a void one is nobody's to liquidate by
    for poked in (2 * SPOT, 0):
        assert read_as(ALICE, owns=ALICE, obeys=[], poked=poked) == plain
    lowered = read_as(ALICE, owns=ALICE, obeys=[], spot=SPOT // 2)
    assert lowered.health_wad == low.health_wad


def test_suggest__for_a_vault__is_as_for_any_loan_against_ether() -> None:
    found = at_2_000()
    assert found.mode.startswith(f"vault {NUMBER} of ETH-A")
    policy, why = suggest(found, build.outlook(found), {}, {})
    plain, _ = suggest(replace(found, mode=""), build.outlook(found), {}, {})
    assert policy == plain
    assert policy.trigger_wad > 12 * WAD // 10
    assert "move together" not in why


def test_drift__of_a_vault_at_another_price__is_no_other_e_mode() -> None:
    found = replace(at_2_000(), mode="vault 1 of ETH-A at the price of the next hour")
    before, now = (
        Snapshot(
            block=build.block(), positions=(p,), unreadable=(), means=means(), prices={}, digest="",
        )
        for p in (at_2_000(), found)
    )  # fmt: skip
    assert "mode_changed" not in {f.code for f in drift.faults(now, before)}
    entered = replace(now, positions=(replace(found, emode=True),))
    told = [f.why for f in drift.faults(entered, before) if f.code == "mode_changed"]
    assert told
    assert "e-mode none -> vault 1" in told[0]


def test_can__of_a_pay_in_through_the_executor__needs_no_proxy_of_the_keepers() -> None:
    errand = Errand(executor=EXECUTOR, key=venue().seat(URN).key, seq=1, deadline_s=NOW_S + 60)
    top_up = Supply(amount=Amount(token=WETH, units=WAD), through=errand)
    assert code(top_up, at_2_000()) == ""
    assert code(replace(top_up, through=None), at_2_000()) == "no_proxy"
    assert code(top_up, at_2_000(owner=WALLET)) == "vault_given_away"


def test_after__a_sale__is_never_better_than_the_vat_would_say() -> None:
    for repay, sell in ((10_000 * WAD + 7, 5 * WAD + 3), (20_000 * WAD, 11 * WAD)):
        after = venue().after((sale(repay, sell),), at_2_000())
        ink, art = 20 * WAD - sell, 20_000 * WAD - repay
        assert (after.health_wad or 0) <= math.health_down(ink, art, SPOT, RAY)
        assert sum(h.stored for h in after.debt) == art
        assert [h.amount.units for h in after.collateral] == [ink]
        if art:
            assert (after.health_wad or 0) * 1_000_001 >= math.health_down(ink, art, SPOT, RAY) * 1_000_000
