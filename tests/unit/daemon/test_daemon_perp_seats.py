"""What an owner's grant on GMX lacks is named by ``check``, before the night in which it is needed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from keeper.config import VenueSettings
from keeper.daemon.facts import Guarded
from keeper.daemon.perp_desks import alone
from keeper.daemon.perp_seats import findings
from keeper.errors import ConfigError
from keeper.model import Acting, OrderBounds, Position
from keeper.seams import Severity
from keeper.units import WAD
from keeper.venues.gmx_v2 import GmxV2, encode
from tests import build
from tests.build import ALICE, WALLET
from tests.hedge_relief import ACTING, PERP
from tests.hedge_relief import SLOT as BARE
from tests.hedge_relief import short as held
from tests.hedged import perp

pytestmark = pytest.mark.unit
SLOT = replace(BARE, spread_bps=30)
GMX = GmxV2(SLOT)
BOB = "0x" + "b0" * 20
BLOCK = build.snapshot([]).block
NOW_S = BLOCK.timestamp_s
FINE = replace(ACTING, actions_left=50, until_s=2**40)
BOUNDS = OrderBounds(
    executor="0x" + "e1" * 20,
    timestamp_s=NOW_S,
    expiry_s=2**39,
    paused=False,
    seq=0,
    ready_s=0,
    slippage_bps=500,
    may_close=False,
    trigger_ppm=70_000,
    max_ppm=200_000,
    size_min_usd=0,
    size_left_usd=1,
    margin_min=0,
    margin_left=1,
    fee_wei_max=10**20,
    order="",
    bots=((WALLET, 2**39),),
    price=1,
    equity_ppm=1,
)


def codes(
    acting: Acting,
    *,
    disabled: bool = False,
    strategies: tuple[str, ...] = ("reduce_perp",),
    venue: GmxV2 = GMX,
    wallet: str = WALLET,
    trigger_wad: int = PERP.trigger_wad,
) -> dict[str, str]:
    """Code -> why."""
    at = held(2_000)
    assert at.perp is not None
    at = replace(at, perp=replace(at.perp, acting=acting, disabled=disabled))
    policy = replace(PERP, strategies=strategies, trigger_wad=trigger_wad)
    guarded = Guarded(label="short", policy=policy, venue_id=GMX.id, id=at.id)
    snapshot = build.snapshot([at])
    snapshot = replace(snapshot, means=replace(snapshot.means, wallet=wallet))
    site = SimpleNamespace(guarded=(guarded,), venues={GMX.id: venue})
    return {f.code: f.why for f in findings(site, snapshot)}  # type: ignore[arg-type]


def late(position: Position, trigger_ppm: int) -> list[tuple[str, Severity]]:
    assert position.perp is not None
    acting = through(trigger_ppm=trigger_ppm)
    at = replace(position, perp=replace(position.perp, acting=acting))
    guarded = Guarded(label="it", policy=PERP, venue_id=GMX.id, id=at.id)
    site = SimpleNamespace(guarded=(guarded,), venues={GMX.id: GMX})
    return [(f.code, f.severity) for f in findings(site, build.snapshot([at]))]  # type: ignore[arg-type]


def through(**wrong: object) -> Acting:
    return replace(FINE, bounds=replace(BOUNDS, **wrong))  # type: ignore[arg-type]


def test_grant__that_is_whole__is_not_mentioned() -> None:
    assert codes(FINE) == codes(through()) == {}


@pytest.mark.parametrize(
    ("named", "acting"),
    [
        ("no_subaccount", replace(FINE, subaccount="0x" + "0" * 40)),
        ("grant_missing", replace(FINE, allowed=False)),
        ("grant_expired", replace(FINE, until_s=NOW_S - 1)),
        ("grant_ends", replace(FINE, until_s=NOW_S + 13 * 86_400)),
        ("grant_spent", replace(FINE, actions_left=0)),
        ("grant_low", replace(FINE, actions_left=9)),
        ("grant_expired", through(expiry_s=NOW_S - 1)),
        ("grant_expired", through(bots=())),
        ("paused", through(paused=True)),
        ("unknown_position", through(expiry_s=0)),
        ("no_price", through(price=None, equity_ppm=None)),
        ("fee_cap", through(fee_wei_max=0)),
        ("late_trigger", through(trigger_ppm=62_599)),
    ],
)
def test_grant__that_lacks_something__is_named(named: str, acting: Acting) -> None:
    assert set(codes(acting)) == {named}


def test_wallet__that_is_not_the_one_named__is_told_before_the_night() -> None:
    told = codes(FINE, wallet=BOB)
    assert set(told) == {"not_subaccount"}
    assert BOB in told["not_subaccount"]
    # an Executor is the subaccount: the wallet is its bot, and that is asked of it
    assert set(codes(through(), wallet=BOB)) == {"grant_expired"}


def test_account__that_is_the_wallet_itself__needs_the_exchange_router_and_there_no_grant() -> None:
    mine = replace(FINE, subaccount=ALICE, allowed=False)
    told = codes(mine, wallet=ALICE)
    assert set(told) == {"own_account"}
    assert "write venues.gmx.provider: GMX's ExchangeRouter" in told["own_account"]
    known = codes(mine, wallet=ALICE, venue=GmxV2(replace(SLOT, chain_id=42161)))
    assert '= "0x1C3fa76e6E1088bCE750f23a5BFcffa1efEF6A41"' in known["own_account"]
    own = GmxV2(replace(SLOT, subaccount=ALICE, own=True))
    assert codes(replace(mine, allowed=True), wallet=ALICE, venue=own) == {}
    other = GmxV2(replace(SLOT, subaccount=BOB, own=True))
    assert set(codes(replace(mine, subaccount=BOB), wallet=BOB, venue=other)) == {"not_account"}


@pytest.mark.parametrize(("long", "needed"), [(True, 60_501), (False, 63_096)])
def test_trigger__that_what_is_owed_has_passed__is_told_before_it_is_late(long: bool, needed: int) -> None:
    found = perp(2_000, eth=8.0, long=long)
    assert late(held(2_000, found), needed + 2_000) == []
    assert late(held(2_000, found), needed + 1_999) == [("late_trigger", Severity.WARNING)]
    assert late(held(2_000, found), needed - 1) == [("late_trigger", Severity.CRITICAL)]
    # two hundredths of the size are owed: health knows, the Executor does not
    owing = replace(found, owed=320 * 10**6, remaining_usd=found.remaining_usd - 320 * 10**30)
    more = 20_000 if long else 20_000 * 100 // 105
    assert late(held(2_000, owing), needed + more + 1_998) == [("late_trigger", Severity.WARNING)]
    assert late(held(2_000, owing), needed + more - 2) == [("late_trigger", Severity.CRITICAL)]


def test_slot__in_which_the_account_holds_nothing__is_named_and_is_no_fault() -> None:
    at = encode.closed(held(2_000))
    site = SimpleNamespace(
        guarded=(Guarded(label="it", policy=PERP, venue_id=GMX.id, id=at.id),), venues={GMX.id: GMX}
    )
    (told,) = findings(site, build.snapshot([at]))  # type: ignore[arg-type]
    assert (told.code, told.severity, told.subject) == ("position_closed", Severity.INFO, "it")


def test_policy__of_another_measure__is_told_before_it_closes_everything() -> None:
    assert set(codes(FINE, trigger_wad=2 * WAD - 1)) == set()
    told = codes(FINE, trigger_wad=12 * WAD)
    assert "more than 0.09 times its margin would be closed" in told["policy_measure"]


def test_slot__named_twice_in_other_names__is_refused_and_twice_alike_is_not() -> None:
    one = VenueSettings(name="a", kind="gmx_v2", chain="local", provider=SLOT.subaccounts, subaccount=WALLET)
    alone(GMX, one, {})
    alone(GMX, replace(one, name="b"), {GMX.id: one})
    for field, value in (("subaccount", BOB), ("provider", BOB), ("reader", BOB), ("spread_bps", 7)):
        with pytest.raises(ConfigError, match=r"venues\.b: is the slot of venues\.a in another's name") as no:
            alone(GMX, replace(one, **{"name": "b", field: value}), {GMX.id: one})  # type: ignore[arg-type]
        # what differs, both values, and what to do
        assert f"({field} {value} and {getattr(one, field)})" in str(no.value)
        assert "by a keeper of its own: a configuration with state_dir, journal and wallet" in str(no.value)


def test_market__that_is_disabled_and_a_stop_that_nobody_places__are_named() -> None:
    assert set(codes(FINE, disabled=True)) == {"market_disabled"}
    assert set(codes(through(), strategies=("reduce_perp", "stop_on_venue"))) == {"stop_not_supported"}


def test_spread__that_is_not_set__is_said_and_keeps_nobody_from_acting() -> None:
    assert not BARE.spread_bps
    told = codes(FINE, venue=GmxV2(BARE))
    assert set(told) == {"spread_unset"}
    assert f"venues.{BARE.name}.spread_bps is 0" in told["spread_unset"]
