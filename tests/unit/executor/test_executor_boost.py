"""The owner's sheet that gears a loan up: sizes that reach the target, bounds that hold, refusals by name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eth_abi.abi import decode
from hypothesis import given
from hypothesis import strategies as st

from keeper.cli import leverage_boost, leverage_rehearsal, leverage_sheet
from keeper.cli.leverage_boost import Asked
from keeper.cli.leverage_sheet import Sheet
from keeper.config import parse
from keeper.daemon.beside import WARNING_FILE, omen_text
from keeper.errors import ConfigError, Rejected
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


def test_planned__when_each_call_is_mined_alone__then_health_between_borrow_and_supply_is_bounded() -> None:
    # 10 ETH against 9,000: from 2.77 over 24,900 / 20,959 to 1.66; a daemon with trigger 1.25 would sell in between
    wide = replace(TERMS, target_wad=2 * WAD, health_min_wad=15 * WAD // 10)
    batch = sized(loan(), wide)
    assert isinstance(batch, Boost), batch
    assert batch.health_wad / WAD == pytest.approx(1.66, abs=0.01)
    owed = 9_000 + batch.borrow_units / 1e6
    assert batch.between_wad / WAD == pytest.approx(24_900 / owed, rel=1e-6)
    assert batch.between_wad / WAD == pytest.approx(1.188, abs=0.005)
    alone = replace(wide, between_min_wad=135 * WAD // 100)
    refused = sized(loan(), alone)
    assert code(refused) == "health_between"
    assert isinstance(refused, Refusal)
    assert "use --safe or a smaller --target" in refused.why
    assert isinstance(
        boost.planned(loan(), batch.quoted, replace(wide, between_min_wad=batch.between_wad)), Boost
    )
    above = replace(wide, between_min_wad=batch.between_wad + 1)
    assert code(boost.planned(loan(), batch.quoted, above)) == "health_between"


@pytest.mark.parametrize(("safe", "trigger"), [(False, 135), (True, 0)])
def test_terms__of_an_own_key__then_between_stays_the_margin_above_the_trigger(
    *, safe: bool, trigger: int
) -> None:
    guarded = SimpleNamespace(policy=build.policy(target="1.40"))
    site = SimpleNamespace(block=SimpleNamespace(timestamp_s=NOW_S))
    ground: Any = SimpleNamespace(site=site, guarded=guarded, trigger_wad=125 * WAD // 100)
    terms = leverage_boost._terms(ground, Asked(target=2.0, margin=0.10, safe=safe))
    assert terms.between_min_wad == trigger * WAD // 100


def test_promise__of_either_sheet__then_health_between_is_said() -> None:
    made = sized(loan(), TERMS)
    assert isinstance(made, Boost)
    for safe, words in ((None, "mined alone"), (object(), "in one batch nobody sees it")):
        wanted: Any = SimpleNamespace(safe=safe)
        sheet = Sheet(wanted=wanted, boost=made, label="vault", deadline_s=NOW_S)
        assert leverage_sheet.promise(sheet)["health_between"] == made.between_wad / WAD
        (line,) = [x for x in leverage_sheet.promise_text(sheet) if "once it is borrowed" in x]
        assert words in line
        assert f"{made.between_wad / WAD:.4f}" in line


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


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (OPEN ^ 1 << boost.ACTIVE, "inactive"),
        (OPEN | 1 << boost.PAUSED, "paused"),
        (OPEN | 1 << boost.FROZEN, "frozen"),
        (OPEN | 1_000 << boost.SUPPLY_CAP, "supply_cap"),
    ],
)
def test_unsupplied__when_the_collateral_takes_no_more__then_named(config: int, says: str) -> None:
    refused = boost.unsupplied(loan(), config, 999 * 10**18, 10**18 + 1)
    assert code(refused) == says
    assert refused is not None
    assert "WETH" in refused.why
    fits = boost.unsupplied(loan(), OPEN | 1_000 << boost.SUPPLY_CAP, 999 * 10**18, 10**18)
    assert fits is None
    # what may not be borrowed may be supplied
    assert boost.unsupplied(loan(), 1 << boost.ACTIVE, 10**30, 10**20) is None


class Node:
    """Answers of ``eth_call`` one by one, whether it runs code in another's place, and a MultiSend everywhere."""

    def __init__(self, batch: Rejected | None, *, probed: Rejected | str = leverage_rehearsal.PROBED) -> None:
        self.batch, self.probed, self.loan = batch, probed, None

    async def request(self, method: str, params: Sequence[Any], **_: object) -> object:
        """One call."""
        if method == "eth_getCode":
            return "0x6001"
        override = params[2] if len(params) > 2 else {}
        probe = any(x["code"] == leverage_rehearsal.PROBE for x in override.values())
        answer = self.probed if probe else self.batch if override else self.loan
        if isinstance(answer, Rejected):
            raise answer
        return answer if isinstance(answer, str) else "0x"


def rehearsed(node: Any) -> Refusal | bool:
    made = sized(loan(), TERMS)
    assert isinstance(made, Boost)
    calls = [s.call for s in boost.signings(made, PLACE, TERMS)]
    return asyncio.run(leverage_rehearsal.rehearsed(node, 7, PLACE.owner, calls))


def test_rehearsed__when_the_node_ran_nothing__then_nobody_says_it_was_rehearsed() -> None:
    many = Rejected(-32602, "too many arguments, want at most 2")
    assert rehearsed(Node(None)) is True
    assert rehearsed(Node(None, probed=many)) is False
    assert rehearsed(Node(None, probed="0x")) is False, "the code was left away without a word"
    assert rehearsed(Node(many)) is False
    assert "rehearsed whole" in " ".join(leverage_boost._notes(Asked(target=2.0), rehearsed=True))
    assert "rehearsed whole" not in " ".join(leverage_boost._notes(Asked(target=2.0), rehearsed=False))


@pytest.mark.parametrize(
    "error",
    [
        Rejected(-32000, "out of gas"),
        Rejected(-32000, "gas required exceeds allowance (50000000)"),
        Rejected(3, "execution reverted"),
        Rejected(-32015, "VM execution error.", "0x"),
    ],
)
def test_rehearsed__when_the_batch_ends_early__then_refused(error: Rejected) -> None:
    assert code(rehearsed(Node(error))) == "rehearsal_failed"


def test_clear__when_an_older_sheet_lies_there__then_it_goes_and_another_file_stays(tmp_path: Path) -> None:
    old, other = tmp_path / "old.json", tmp_path / "notes.json"
    leverage_sheet.clear(old)
    leverage_sheet.write(old, {"promise": {}, "transactions": []})
    leverage_sheet.clear(old)
    assert not old.exists()
    for text in ("[]", "{}", "no json"):
        other.write_text(text)
        with pytest.raises(ConfigError, match="sheet of an earlier run"):
            leverage_sheet.clear(other)
        assert other.read_text() == text


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
    assert leverage_boost.warned(settings, NOW_S) is None
    omen = Omen(stands=True, score=1.9, line=1.5, at_s=NOW_S - 3_600, source="ETH/USDT")
    (tmp_path / WARNING_FILE).write_text(omen_text(omen))
    assert code(leverage_boost.warned(settings, NOW_S)) == "warning"
    assert leverage_boost.warned(settings, NOW_S + 40 * 3_600) is None
    (tmp_path / WARNING_FILE).write_text(omen_text(replace(omen, stands=False)))
    assert leverage_boost.warned(settings, NOW_S) is None
