"""What changes under a position while no price moves: each by its code, severity and token, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from keeper.model import Position, Snapshot, Token
from keeper.oracle import drift
from keeper.oracle.faults import Fault
from keeper.seams import Severity
from keeper.units import UINT256_MAX
from tests import build
from tests.build import DAI, TOKENS, USDC, WBTC, WETH, collateral, debt

pytestmark = pytest.mark.unit

WETH_LOST = {"cash_units": build.units(WETH, "9.99")}


def loan(*, threshold: str = "0.83", **changes: Any) -> Position:
    """Ten WETH against 8,000 USDC, and a DAI that is held but does not count."""
    idle = replace(collateral(DAI, "100"), threshold_wad=0)
    held = replace(collateral(WETH, "10", threshold=threshold), ltv_zero=changes.pop("ltv_zero", False))
    return replace(build.position([held, idle], [debt(USDC, "8000")]), **changes)


def seen(position: Position, of: Token | None = None, **changes: Any) -> Snapshot:
    """The position, and the market's reserves with one changed."""
    reserves = [replace(build.reserve(t), **(changes if t == of else {})) for t in TOKENS]
    return build.snapshot([position], wallet=build.means(reserves=reserves))


CASES: Sequence[tuple[str, Severity, str, tuple[Token, dict[str, Any]]]] = (
    ("reserve_paused", Severity.CRITICAL, "WETH", (WETH, {"paused": True})),
    ("reserve_paused", Severity.CRITICAL, "USDC", (USDC, {"paused": True})),
    ("reserve_frozen", Severity.WARNING, "WETH", (WETH, {"frozen": True})),
    ("reserve_frozen", Severity.WARNING, "USDC", (USDC, {"frozen": True})),
    ("supply_capped", Severity.WARNING, "WETH", (WETH, {"supply_room_units": 0})),
    ("no_cash", Severity.WARNING, "WETH", (WETH, WETH_LOST)),
    ("rate_clock", Severity.WARNING, "interest of 2000% a year", (USDC, {"borrow_rate_ray": 20 * 10**27})),
)


@pytest.mark.parametrize(
    ("code", "severity", "text", "reserve"), CASES, ids=[f"{c[0]} {c[3][0].symbol}" for c in CASES]
)
def test_faults__when_a_reserve_is_not_what_it_was__then_that_code_and_the_token_and_no_other(
    code: str, severity: Severity, text: str, reserve: tuple[Token, dict[str, Any]]
) -> None:
    of, changes = reserve
    (found,) = drift.faults(seen(loan(), of, **changes), None)
    assert (found.code, found.severity, found.subject) == (code, severity, str(build.position_id()))
    assert found.why.startswith(text), found.why


@pytest.mark.parametrize(
    ("before", "now", "code", "severity", "text"),
    [
        (loan(), loan(ltv_zero=True), "ltv_zero", Severity.WARNING, "WETH has a loan-to-value of 0"),
        (
            loan(),
            loan(threshold="0.78"),
            "threshold_cut",
            Severity.CRITICAL,
            "liquidation threshold cut: WETH 83.00% -> 78.00%",
        ),
        (loan(), loan(emode=1, mode="dollars"), "mode_changed", Severity.WARNING, "e-mode none -> dollars"),
    ],
    ids=["ltv", "threshold", "mode"],
)
def test_faults__when_the_position_itself_is_not_what_it_was__then_that_code_alone(
    before: Position, now: Position, code: str, severity: Severity, text: str
) -> None:
    (found,) = drift.faults(seen(now), seen(before))
    assert (found.code, found.severity) == (code, severity)
    assert text in found.why


@pytest.mark.parametrize(
    ("of", "changes"),
    [
        (WBTC, {"paused": True, "frozen": True, "supply_room_units": 0, "cash_units": 0}),
        (USDC, {"supply_room_units": 0}),
        (USDC, {"cash_units": 0}),
        (DAI, {"supply_room_units": 0, "cash_units": 0}),
        (DAI, {"frozen": True, "paused": True}),
        (WETH, {"supply_room_units": 1}),
        (WETH, {"cash_units": build.units(WETH, "10")}),
    ],
    ids=["not held", "debt's cap", "debt's cash", "what does not count", "nor its flags", "room", "cash"],
)
def test_faults__when_it_is_no_way_of_a_rescue_that_is_gone__then_nothing(
    of: Token, changes: dict[str, Any]
) -> None:
    assert drift.faults(seen(loan(), of, **changes), seen(loan())) == ()


@pytest.mark.parametrize("health", [None, UINT256_MAX], ids=["unknown", "no debt"])
def test_faults__when_there_is_nothing_to_liquidate__then_nothing(health: int | None) -> None:
    bare = loan(health_wad=health)
    assert drift.faults(seen(bare, WETH, paused=True, frozen=True), None) == ()


def test_faults__when_everything_comes_at_once__then_every_code_once() -> None:
    shut = {"paused": True, "frozen": True, "supply_room_units": 0} | WETH_LOST
    now = seen(loan(threshold="0.78", ltv_zero=True, emode=1, mode="dollars"), WETH, **shut)
    costly = tuple(
        replace(r, borrow_rate_ray=20 * 10**27) if r.token == USDC else r for r in now.means.reserves
    )
    now = replace(now, means=replace(now.means, reserves=costly))
    found: Sequence[Fault] = drift.faults(now, seen(loan()))
    assert [f.code for f in found] == list(drift.CODES)


@pytest.mark.parametrize(
    ("base", "told", "health", "codes"),
    [
        ("0", False, 0, ["feed_not_positive"]),
        ("0", True, 0, []),
        ("0", False, 12 * 10**17, []),
        ("2000", True, 0, []),
    ],
    ids=["zero", "only dollars are missing", "something else counts", "worth something"],
)
def test_faults__when_an_oracle_answers_zero__then_it_is_named_and_a_silent_dollar_feed_is_not(
    base: str, told: bool, health: int, codes: list[str]
) -> None:
    held = collateral(WETH, "10", price=base)
    now = seen(replace(build.position([held], [debt(USDC, "8000")]), health_wad=health))
    prices = {feed: price for feed, price in now.prices.items() if told or feed != held.feed}
    found = drift.faults(replace(now, prices=prices), None)
    assert [f.code for f in found] == codes
    assert all(f.severity is Severity.CRITICAL and f.subject == held.feed for f in found)
