"""The owner's sheet that gears a loan up: sizes that reach the target, bounds that hold, refusals by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from eth_abi.abi import decode
from hypothesis import given
from hypothesis import strategies as st

from keeper.cli import leverage_boost
from keeper.cli.leverage_boost import Asked
from keeper.config import parse
from keeper.daemon.beside import WARNING_FILE, omen_text
from keeper.executor import boost
from keeper.executor.boost import Boost, Loan, Place, Quoted, Terms
from keeper.model import Omen, Refusal
from keeper.units import UINT256_MAX, WAD
from tests import build
from tests.build import DAI, USDC, WETH, collateral, debt, position
from tests.unit.config.test_config_parse import GOOD

pytestmark = pytest.mark.unit
NOW_S = 1_750_000_000
PLACE = Place(pool="0x" + "a1" * 20, router="0x" + "b2" * 20, owner="0x" + "c3" * 20)
TERMS = Terms(
    target_wad=18 * WAD // 10,
    health_min_wad=15 * WAD // 10,
    loss_bps=100,
    slippage_bps=30,
    deadline_s=NOW_S + 1_800,
)
OPEN = 1 << boost.ACTIVE | 1 << boost.BORROWING


def loan(eth: str = "10", owed: str = "9000", price: str = "3000") -> Loan:
    """Ten ether of 3,000 dollars against 9,000: leverage 1.4286."""
    found = boost.loan_of(position([collateral(WETH, eth, price=price)], [debt(USDC, owed)]))
    assert isinstance(found, Loan)
    return found


def quoted(of: Loan, units: int, worth: float = 0.999) -> Quoted:
    """A pool that gives that share of the oracle's price."""
    return Quoted(fee=500, sold=units, bought=int(boost._fair(of, units) * worth))


def sized(of: Loan, terms: Terms, worth: float = 0.999) -> Boost | Refusal:
    """As the command does it: a first quote, then the size by it."""
    first = quoted(of, boost.borrow_units(of, terms.target_wad, WAD), worth)
    units = boost.borrow_units(of, terms.target_wad, boost.kept_wad(of, first, terms))
    return boost.planned(of, quoted(of, units, worth), terms)


def code(found: object) -> str:
    assert isinstance(found, Refusal)
    return found.code


@given(
    st.integers(2, 500),
    st.floats(0.02, 0.45),
    st.floats(1.02, 1.9),
    st.floats(0.9901, 1.0099),
)
def test_planned__of_any_loan__then_the_target_is_reached_and_the_least_keeps_the_owners_bound(
    eth: int, ltv: float, times: float, worth: float
) -> None:
    owed = f"{eth * 3_000 * ltv:.2f}"
    found = loan(str(eth), owed)
    terms = replace(TERMS, target_wad=int(found.leverage_wad * times), health_min_wad=WAD)
    made = sized(found, terms, worth)
    assert isinstance(made, Boost), made
    # what a pool gives above the oracle's price is not counted on: a little less is reached then
    short = max(0.0, worth - 1.0) * 2 + 1e-6
    assert 1.0 - short <= made.leverage_wad / terms.target_wad
    assert made.leverage_wad <= terms.target_wad * (1 + 1e-12), "rounded against more debt"
    fair = boost._fair(found, made.borrow_units)
    assert made.least_units * 10_000 >= fair * (10_000 - terms.loss_bps)
    assert made.least_units <= made.quoted.bought
    # health is what the pool would say of it: 8,300 bps of the collateral over what is owed
    held = eth * 10**18 + made.least_units
    owes = round(float(owed) * 10**6) + made.borrow_units
    assert made.health_wad / WAD == pytest.approx(0.83 * held / 1e18 * 3_000 / (owes / 1e6), rel=1e-6)


def test_borrow_units__at_or_above_the_target__then_nothing() -> None:
    found = loan()
    assert boost.borrow_units(found, found.leverage_wad, WAD) == 0
    assert boost.borrow_units(found, WAD, WAD) == 0


@pytest.mark.parametrize(("worth", "says"), [(0.985, "impact"), (1.02, "oracle_apart")])
def test_planned__when_the_pool_disagrees_with_the_oracle__then_refused_either_way(
    worth: float, says: str
) -> None:
    assert code(sized(loan(), TERMS, worth)) == says


def test_planned__when_health_would_be_too_low__then_refused_and_the_bound_is_exact() -> None:
    made = sized(loan(), TERMS)
    assert isinstance(made, Boost)
    same = boost.planned(loan(), made.quoted, replace(TERMS, health_min_wad=made.health_wad))
    assert isinstance(same, Boost)
    assert code(boost.planned(loan(), made.quoted, replace(TERMS, health_min_wad=made.health_wad + 1))) == (
        "health_too_low"
    )


def test_loan_of__when_it_is_none__then_refused() -> None:
    held = [collateral(WETH, "1", price="3000")]
    assert code(boost.loan_of(replace(position(held, []), health_wad=UINT256_MAX))) == "no_loan"
    assert code(boost.loan_of(replace(position(held, [debt(USDC, "1")]), health_wad=None))) == "no_loan"
    assert code(boost.loan_of(position(held, [debt(USDC, "3000")]))) == "no_equity"


@pytest.mark.parametrize(
    ("config", "pledged", "says"),
    [
        (OPEN ^ 1 << boost.ACTIVE, [0], "inactive"),
        (OPEN | 1 << boost.PAUSED, [0], "paused"),
        (OPEN | 1 << boost.FROZEN, [0], "frozen"),
        (OPEN ^ 1 << boost.BORROWING, [0], "not_borrowable"),
        (OPEN, [0, 5 << boost.CEILING], "isolated"),
        (OPEN | 1_000 << boost.CAP, [0], "borrow_cap"),
    ],
)
def test_barred__when_the_reserve_may_not_be_borrowed__then_named(
    config: int, pledged: list[int], says: str
) -> None:
    assert code(boost.barred(loan(), config, pledged, 900 * 10**6, 101 * 10**6)) == says


def test_barred__when_it_may__then_nothing() -> None:
    of = loan()
    assert boost.barred(of, OPEN, [0], 10**30, 10**9) is None
    assert boost.barred(of, OPEN | 1_000 << boost.CAP, [0], 900 * 10**6, 100 * 10**6) is None
    assert boost.barred(of, OPEN | 1 << boost.ISOLATED_TOO, [5 << boost.CEILING], 0, 1) is None
    siloed = OPEN | 1 << boost.SILOED
    assert boost.barred(of, siloed, [0], 0, 1) is None
    two = boost.loan_of(
        position([collateral(WETH, "10", price="3000")], [debt(USDC, "9000"), debt(DAI, "10")])
    )
    assert isinstance(two, Loan)
    assert code(boost.barred(two, siloed, [0], 0, 1)) == "siloed"


def test_signings__of_a_boost__then_each_call_is_what_its_text_says_and_nothing_more_is_allowed() -> None:
    made = sized(loan(), TERMS)
    assert isinstance(made, Boost)
    borrow, approve, swap, allow, supply = boost.signings(made, PLACE, TERMS)
    body = decode(["address", "uint256", "uint256", "uint16", "address"], borrow.call.data[4:])
    assert body == (USDC.address.lower(), made.borrow_units, 2, 0, PLACE.owner)
    assert decode(["address", "uint256"], approve.call.data[4:]) == (PLACE.router, made.borrow_units)
    (struct,) = decode([boost.SWAP_IN], swap.call.data[4:])
    assert struct == (
        *(USDC.address.lower(), WETH.address.lower(), 500, PLACE.owner, TERMS.deadline_s),
        *(made.borrow_units, made.least_units, 0),
    )
    assert decode(["address", "uint256"], allow.call.data[4:]) == (PLACE.pool, made.least_units)
    assert decode(["address", "uint256", "address", "uint16"], supply.call.data[4:]) == (
        *(WETH.address.lower(), made.least_units, PLACE.owner, 0),
    )
    targets = [s.call.target for s in (borrow, approve, swap, allow, supply)]
    assert targets == [PLACE.pool, USDC.address, PLACE.router, WETH.address, PLACE.pool]
    assert all(s.meaning for s in (borrow, approve, swap, allow, supply))
    before = boost.signings(made, replace(PLACE, allowed=(1, 5)), TERMS)
    zeroed = [
        decode(["address", "uint256"], s.call.data[4:])[1] for s in before if s.signs.startswith("approve")
    ]
    assert zeroed == [0, made.borrow_units, 0, made.least_units]


def test_beside__when_the_band_asks_for_nothing__then_refused() -> None:
    plain, of = build.policy(target="1.40"), loan()
    assert leverage_boost.beside(of, plain, Asked(target=1.8)) is None
    assert code(leverage_boost.beside(of, plain, Asked(target=1.4))) == "at_target"
    assert code(leverage_boost.beside(of, plain, Asked(target=1.5))) == "inside_band"
    assert leverage_boost.beside(of, plain, Asked(target=1.5, cost_pct=0.001)) is None
    banded = replace(plain, leverage_target_wad=3 * WAD // 2, leverage_max_wad=17 * WAD // 10)
    assert code(leverage_boost.beside(of, banded, Asked(target=1.8))) == "above_band"


def test_warned__when_an_early_warning_stands__then_refused_until_it_is_over_or_stale(tmp_path: Path) -> None:
    settings = replace(parse(GOOD, tmp_path / "keeper.toml"), state_dir=tmp_path)
    policy = settings.policies[0]
    assert leverage_boost.warned(settings, policy, NOW_S) is None
    omen = Omen(stands=True, score=1.9, line=1.5, at_s=NOW_S - 3_600, source="ETH/USDT")
    (tmp_path / WARNING_FILE).write_text(omen_text(omen))
    assert code(leverage_boost.warned(settings, policy, NOW_S)) == "warning"
    assert leverage_boost.warned(settings, policy, NOW_S + 40 * 3_600) is None
    (tmp_path / WARNING_FILE).write_text(omen_text(replace(omen, stands=False)))
    assert leverage_boost.warned(settings, policy, NOW_S) is None
