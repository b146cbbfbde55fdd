"""How the Executors of other protocols than Aave are asked, proven and granted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from keeper.cli.executor import elsewhere
from keeper.config import VenueSettings
from keeper.daemon import desks
from keeper.errors import Transient
from keeper.executor import grants_signed, read, verify
from keeper.executor.abi import selector
from keeper.executor.errors import TABLE
from keeper.executor.read import Listed, Post
from keeper.executor.seat import Line, Permit, Seat, Seated, padded
from keeper.model import Call, Mandate, Side, Token
from keeper.units import UINT256_MAX, WAD
from keeper.venues import aave_v3, compound_v3, gmx_v2, maker, morpho_blue, registry
from keeper.venues.compound_v3.book import Listing
from keeper.venues.compound_v3.book import Market as CometMarket
from keeper.venues.morpho_blue.book import Dollars, Market, PreLiquidation
from keeper.venues.morpho_blue.rules import PreTerms
from tests import build
from tests.build import ALICE, USDC, WALLET, WETH
from tests.mandates import EXECUTOR, NOW_S, terms
from tests.unit.executor.test_executor_desk import MULTICALL, words

pytestmark = pytest.mark.unit
MORPHO, COMET = "0x" + "B1" * 20, "0x" + "C0" * 20
ORACLE, PRE = "0x" + "0A" * 20, "0x" + "0C" * 20
KEY = "0x" + "5e" * 32
LLTV, PRE_LLTV = 86 * 10**16, 80 * 10**16


def morpho(*, priced: bool = True, pre_oracle: str = ORACLE) -> morpho_blue.MorphoBlue:
    """WETH against USDC, one PreLiquidation named."""
    pre = PreTerms(line_wad=PRE_LLTV, close_wad=(1, 2), incentive_wad=(WAD, WAD))
    plain = Market(
        name="m", chain_id=1, morpho=MORPHO, key=KEY, loan=USDC, collateral=WETH, oracle=ORACLE,
        irm="0x" + "00" * 20, lltv_wad=LLTV, pre=(PreLiquidation(address=PRE, terms=pre, oracle=pre_oracle),),
    )  # fmt: skip
    dollars = Dollars(call=Call(target=ORACLE, data=b""), word=1, unit=10**8, place=ORACLE)
    return morpho_blue.MorphoBlue(replace(plain, dollars=dollars) if priced else plain)


def comet() -> compound_v3.CompoundV3:
    """USDC lent against WETH."""

    def listing(token: Token) -> Listing:
        return Listing(token=token, scale=10**token.decimals, oracle=ORACLE, feed=token.symbol)

    market = CometMarket(name="c", chain_id=1, comet=COMET, base=listing(USDC), assets=(listing(WETH),))
    return compound_v3.CompoundV3(market)


def post(seat: Seat) -> Post:
    """The collateral alone."""
    return Post(
        id=build.position_id(),
        executor=EXECUTOR,
        owner=ALICE,
        key=seat.key,
        bot=WALLET,
        multicall=MULTICALL,
        listed=(Listed(token=WETH, side=Side.COLLATERAL, receipt=WETH.address),),
        seat=seat,
    )


def told(seat: Seat, granted: int, held: Sequence[int], *lines: Sequence[int] | None) -> Mandate | None:
    """The mandate of such answers."""
    struct = [getattr(terms(), name) for name in type(terms()).__slots__]
    asset = [int(WETH.address, 16), WAD, 7 * WAD, 0, 1, 2, 3]
    head = [[100], [0], struct, [10_000, NOW_S + 9], asset, [4, 5, 6]]
    found = post(seat)
    answers = [*head, [granted], held, [0], [0], [0], *lines]
    assert len(answers) == len(read.calls(found)) == read.size(found)
    return read.mandate(found, build.block(), words(*answers))


def test_mandate__where_the_grant_is_whole__then_it_is_asked_of_the_protocol_and_held_is_the_position() -> (
    None
):
    seat = replace(morpho().seat(ALICE), lines=())
    asked = read.calls(post(seat))[6:8]
    assert [c.target for c in asked] == [MORPHO, MORPHO]
    assert asked[0].data[:4] == selector("isAuthorized(address,address)")
    for answer, granted in ((1, UINT256_MAX), (0, 0)):
        found = told(seat, answer, [1, 2, 5 * WAD])
        assert found is not None
        assert (found.assets[0].granted, found.assets[0].held) == (granted, 5 * WAD)
    seat = comet().seat(ALICE)
    asked = read.calls(post(seat))[6:8]
    assert [c.data[:4] for c in asked] == [
        selector("isAllowed(address,address)"), selector("userCollateral(address,address)")
    ]  # fmt: skip
    found = told(seat, 1, [3 * WAD, 0])
    assert found is not None
    assert found.assets[0].held == 3 * WAD


def test_mandate__when_a_stricter_line_counts__then_its_terms_are_healths_by_that_line() -> None:
    seat = morpho().seat(ALICE)
    plain = told(seat, 1, [1, 2, WAD], [0])
    strict = told(seat, 1, [1, 2, WAD], [1])
    assert plain is not None
    assert strict is not None
    assert plain.terms == terms()
    # 1.25 by the market's line is 1.25 x 80 / 86 by the stricter one: rounded so that nothing seems allowed
    assert strict.terms.trigger_wad == terms().trigger_wad * PRE_LLTV // LLTV
    assert strict.terms.target_wad == -(-terms().target_wad * PRE_LLTV // LLTV)
    assert strict.terms.max_wad == terms().max_wad * PRE_LLTV // LLTV
    assert told(seat, 1, [1, 2, WAD], None) is None, "not told whether it counts: nothing is sold"
    assert morpho(pre_oracle=PRE).seat(ALICE).lines == ()


def settings(kind_of: str, account: str = ALICE) -> Any:
    """One position that names an Executor."""
    position = SimpleNamespace(label="mine", venue=kind_of, account=account, executor=EXECUTOR)
    return SimpleNamespace(positions=(position,))


def test_wanted__a_venue_without_an_executor__is_refused_by_name_and_no_assertion() -> None:
    slots: Any = SimpleNamespace(kind=gmx_v2.KIND)
    found, (wrong,) = desks.wanted(settings("eth-a"), {"eth-a": slots})
    assert found == ()
    assert wrong.startswith("positions.mine.executor ")
    assert ": no Executor ships for gmx_v2" in wrong
    assert "morpho_blue" in wrong
    found, (wrong,) = desks.wanted(settings("m"), {"m": morpho(priced=False)})
    assert found == ()
    assert "usd_feed is not set" in wrong


def test_wanted__of_each_venue_with_one__has_the_key_that_its_executor_knows() -> None:
    (found,), _ = desks.wanted(settings("m"), {"m": morpho()})
    assert found.key == KEY
    (found,), _ = desks.wanted(settings("c"), {"c": comet()})
    assert found.key == padded(COMET) == "0x" + "00" * 12 + "c0" * 20


def test_registry__every_executor_that_ships__is_an_artifact_with_the_same_refusals() -> None:
    named = {kind.name: kind.executor for kind in registry.KINDS if kind.executor}
    assert set(named) == {aave_v3.KIND, morpho_blue.KIND, compound_v3.KIND, maker.KIND}
    places = set()
    for name in named.values():
        artifact = verify.artifact(name)
        assert len(artifact.runtime) <= 24_576
        assert {e.partition("(")[0] for e in artifact.errors} == set(TABLE)
        places.add(verify.executor_address(ALICE, name))
    assert len(places) == len(named), "one owner, one Executor a protocol, each at an address of its own"
    assert registry.executor_of(gmx_v2.KIND) == ""


def test_unproven__the_executor_of_another_protocol__is_not_the_one_named() -> None:
    factory = verify.artifact(verify.FACTORY).runtime
    place = verify.executor_address(ALICE, "MorphoBlueExecutor")
    assert verify.unproven(place, ALICE, factory, "MorphoBlueExecutor") == ""
    assert verify.unproven(place, ALICE, factory).startswith("UNPROVEN")


@pytest.mark.parametrize("venue", [morpho(), comet()], ids=["morpho_blue", "compound_v3"])
def test_message__of_a_whole_grant__is_what_every_wallet_makes_of_it(venue: Seated) -> None:
    permit = venue.seat(ALICE).permit
    assert isinstance(permit, Permit)
    text = [32, 8, int.from_bytes(b"Compound".ljust(32, b"\0"))]
    version = [32, 1, int.from_bytes(b"0".ljust(32, b"\0"))]
    answers = [[7], text, version][: len(grants_signed.asked(permit, ALICE))]
    found = grants_signed.message(permit, (1, ALICE, EXECUTOR), NOW_S, words(*answers))
    assert found is not None
    document = grants_signed.typed_data(found)
    body: Any = document["message"]
    assert list(body.values()) == [ALICE, EXECUTOR, True, "7", str(NOW_S + grants_signed.TERM_S)]
    message = {n: int(v) if isinstance(v, str) and v.isdecimal() else v for n, v in body.items()}
    theirs = encode_typed_data(full_message={**document, "message": message})
    assert grants_signed.digest(found) == keccak(b"\x19\x01" + theirs.header + theirs.body)
    call = grants_signed.handed_in(found, b"\x11" * 64 + b"\x00")
    assert call.target == permit.contract
    with pytest.raises(ValueError, match="no signature"):
        grants_signed.handed_in(found, b"\x11" * 64)
    with pytest.raises(Transient):
        grants_signed.message(permit, (1, ALICE, EXECUTOR), NOW_S, words(*([None] * len(answers))))


def test_line__of_a_seat__is_a_share_below_one() -> None:
    (line,) = morpho().seat(ALICE).lines
    assert isinstance(line, Line)
    assert line.share == (PRE_LLTV, LLTV)
    assert line.asks.target == MORPHO


def test_verify__an_executor_of_another_morpho__is_named() -> None:
    here = VenueSettings(name="m", kind="morpho_blue", chain="local", provider=MORPHO, market=KEY)
    zero = "0x" + "00" * 20
    assert elsewhere((zero, MORPHO.lower(), zero, KEY, zero), here) == ""
    assert elsewhere((zero, COMET, zero, KEY, zero), here).startswith(f"its Morpho {COMET} is not {MORPHO}")
    aave = VenueSettings(name="a", kind="aave_v3", chain="local", provider=COMET)
    assert elsewhere((zero, zero, zero, KEY, zero), aave) == ""
