"""``keeper check`` refuses an emergency level that one update may jump over, unless the position accepts it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.config import PositionSettings
from keeper.daemon import bands
from keeper.daemon.facts import Guarded
from keeper.daemon.wiring import Finding
from keeper.model import Position, Token
from keeper.seams import Severity
from tests import build

pytestmark = pytest.mark.unit

LINK = build.token("LINK", 18, "e7")
WSTETH = build.token("wstETH", 18, "e8")


def found(position: Position, emergency: str, *, accepted: bool = False, **own: float) -> list[Finding]:
    policy = build.policy(emergency=emergency)
    guarded = Guarded(label="vault", policy=policy, venue_id=build.VENUE, id=position.id)
    configured = PositionSettings(
        label="vault", venue="aave", account=build.ALICE, policy="default", accept_thin_emergency=accepted
    )
    snapshot = build.snapshot([position])
    return bands.findings([guarded], [configured], snapshot, own)


def loan(given: Token, owed: Token, *, price: str = "2000", owed_price: str = "1") -> Position:
    return build.position(
        [build.collateral(given, "10", price=price, threshold="0.8")],
        [build.debt(owed, "1", price=owed_price)],
    )


@pytest.mark.parametrize(
    ("given", "owed", "prices", "narrow", "wide"),
    [
        (build.WETH, build.USDC, ("2000", "1"), "1.0775", "1.0776"),
        (LINK, build.USDC, ("15", "1"), "1.1312", "1.1313"),
        # the worse of both ways: a fall of what is given
        (build.USDC, build.DAI, ("1", "1"), "1.0224", "1.0225"),
        (WSTETH, build.WETH, ("2400", "2000"), "1.0050", "1.0051"),
        # of two that move by themselves each is one update
        (build.WBTC, build.WETH, ("60000", "2000"), "1.0775", "1.0776"),
        # a name that nobody knows is an alt, one that stands at a dollar is a dollar
        (build.token("PT-XYZ", 18, "e9"), build.USDC, ("1.5", "1"), "1.1312", "1.1313"),
        (build.token("newUSD", 18, "ea"), build.DAI, ("1.01", "1"), "1.0224", "1.0225"),
    ],
)
def test_band__for_a_pair__is_refused_below_what_one_update_of_the_worse_feed_needs(
    given: Token, owed: Token, prices: tuple[str, str], narrow: str, wide: str
) -> None:
    position = loan(given, owed, price=prices[0], owed_price=prices[1])
    (refused,) = found(position, narrow)
    assert (refused.severity, refused.code, refused.subject) == (Severity.CRITICAL, "thin_emergency", "vault")
    assert found(position, wide) == []


def test_band__when_half_of_the_collateral_is_dollars__then_half_of_the_move_counts() -> None:
    mixed = build.position(
        [
            build.collateral(build.WETH, "1", threshold="0.8"),
            build.collateral(build.USDC, "2000", threshold="0.8"),
        ],
        [build.debt(build.DAI, "1000")],
    )
    (refused,) = found(mixed, "1.0373")
    assert "at least 1.0373" in refused.why
    assert found(mixed, "1.0374") == []


def test_band__when_the_feeds_own_rounds_moved_further__then_they_count_and_calm_ones_narrow_nothing() -> (
    None
):
    position = loan(build.WETH, build.USDC)
    assert found(position, "1.10", WETH=0.001) == []
    (refused,) = found(position, "1.10", WETH=0.2)
    assert "one update of ETH by 20.0 %" in refused.why
    assert "at least 1.2500" in refused.why


def test_band__when_the_position_accepts_it__then_it_is_said_and_no_longer_refused() -> None:
    (told,) = found(loan(build.WETH, build.USDC), "1.01", accepted=True)
    assert (told.severity, told.code) == (Severity.INFO, "thin_emergency")
    assert told.why.startswith("accepted by accept_thin_emergency: emergency 1.01")


def test_band__when_nothing_is_owed_or_the_position_is_unread__then_there_is_no_finding() -> None:
    assert found(build.position([build.collateral(build.WETH, "1")]), "1.01") == []
    other = replace(loan(build.WETH, build.USDC), id=build.position_id(build.BOB))
    guarded = Guarded(
        label="v", policy=build.policy(), venue_id=build.VENUE, id=build.position_id(build.ALICE)
    )
    assert bands.findings([guarded], [], build.snapshot([other]), {}) == []
