"""Account states of Comet contracts, recorded: indices, balances, rates and every verdict, to the unit.

Read from beside the repository and from the folder that ``KEEPER_VECTORS`` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from keeper.units import WAD
from keeper.venues.compound_v3 import math
from keeper.venues.compound_v3.math import Curve, Pledge, Totals
from tests.bench.figures import record
from tests.vectors.test_risk_vectors import DATA, documents

pytestmark = pytest.mark.vectors

Answer = dict[str, int | bool]
Accrue = Callable[[Totals, Curve, Curve, int], tuple[int, int]]


def curve(model: Mapping[str, str]) -> Curve:
    return Curve(
        kink=int(model["kink"]),
        base=int(model["base"]),
        slope_low=int(model["slope_low"]),
        slope_high=int(model["slope_high"]),
    )


def totals(case: Mapping[str, Any]) -> Totals:
    return Totals(
        supply_index=int(case["base_supply_index"]),
        borrow_index=int(case["base_borrow_index"]),
        supply=int(case["total_supply_base"]),
        borrow=int(case["total_borrow_base"]),
        updated_s=int(case["last_accrual_time"]),
    )


def left(market: Mapping[str, Any], case: Mapping[str, Any], base_units: int, factor: str) -> int:
    pledges = [
        Pledge(
            units=int(held["balance"]),
            price=int(held["price"]),
            scale=int(asset["scale"]),
            factor=int(asset[factor]),
        )
        for held, asset in zip(case["collateral"], market["assets"], strict=True)
    ]
    return math.liquidity(base_units, int(case["base_price"]), int(market["base_scale"]), pledges)


def answers(market: Mapping[str, Any], case: Mapping[str, Any], accrue: Accrue = math.accrued) -> Answer:
    """Ours to every question that the contract was asked."""
    at, principal, now_s = totals(case), int(case["principal"]), int(case["now"])
    supply, borrow = curve(market["supply"]), curve(market["borrow"])
    later = accrue(at, supply, borrow, now_s)
    owed = math.present(principal, *later)
    stored = math.present(principal, at.supply_index, at.borrow_index)
    found: Answer = {
        "utilization": at.utilization,
        "supply_rate": supply.rate(at.utilization),
        "borrow_rate": borrow.rate(at.utilization),
        "balance_of": max(0, owed),
        "borrow_balance_of": max(0, -owed),
        "base_supply_index_accrued": later[0],
        "base_borrow_index_accrued": later[1],
    }
    for when, value in (("stored", stored), ("accrued", owed)):
        short = math.is_short(principal, left(market, case, value, "borrow_cf"))
        found[f"is_borrow_collateralized_{when}"] = not short
        dead = math.is_short(principal, left(market, case, value, "liquidate_cf"))
        found[f"is_liquidatable_{when}"] = dead
    found["absorb_succeeds"] = found["is_liquidatable_accrued"]
    return found


def told(case: Mapping[str, Any]) -> Answer:
    """What the contract said."""
    return {k: v if isinstance(v, bool) else int(v) for k, v in case["expect"].items()}


def cases() -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for document in documents("*compound_v3_vectors.json"):
        for case in document["vectors"]:
            yield document["markets"][case["market"]], case


def test_states__recorded_answers__equal_to_the_unit_and_on_the_same_side() -> None:
    wrong: list[str] = []
    n = 0
    for market, case in cases():
        n += 1
        ours = answers(market, case)
        if ours != told(case):
            wrong.append(f"{n} ({case['kind']}): {ours} != {told(case)}")
    shipped = len(wrong) == 0 and n >= 232
    proof: dict[str, Any] = {"evidence": "vendor_vectors", "n": n, "seed": 0}
    exact = n - len(wrong)
    record("states_exact_compound_v3", exact, unit="states", bound=">= 232", holds=shipped, **proof)
    record("states_wrong_compound_v3", len(wrong), unit="states", bound="= 0", holds=not wrong, **proof)
    assert not wrong, wrong[0]
    print(f"compound_v3_vectors: {n} states")
    assert n >= 232 or not (DATA / "compound_v3_vectors.json").is_file()


def test_health__recorded_states__is_below_one_exactly_where_the_contract_absorbs() -> None:
    for market, case in cases():
        later = math.accrued(totals(case), curve(market["supply"]), curve(market["borrow"]), int(case["now"]))
        owed = -math.value_of(
            math.present(int(case["principal"]), *later), int(case["base_price"]), int(market["base_scale"])
        )
        weighted = left(market, case, 0, "liquidate_cf")
        health = math.health_down(max(0, owed), weighted)
        assert (health < WAD) == case["expect"]["absorb_succeeds"], case


def test_states__without_accrual__miss_accounts_that_absorb_takes() -> None:
    """The trap: the market's own view is un-accrued; whoever believes it calls these accounts safe."""
    missed = 0
    for market, case in cases():
        asleep = answers(market, case, lambda at, _s, _b, _now: (at.supply_index, at.borrow_index))
        missed += bool(case["expect"]["absorb_succeeds"]) and not asleep["absorb_succeeds"]
        assert not (asleep["absorb_succeeds"] and not case["expect"]["absorb_succeeds"])
    assert missed >= 40, "the states would not notice a venue that does not accrue"


def _compounding(at: Totals, supply: Curve, borrow: Curve, now_s: int) -> tuple[int, int]:
    half = (now_s + at.updated_s) // 2
    first = math.accrued(at, supply, borrow, half)
    return math.accrued(
        replace(at, supply_index=first[0], borrow_index=first[1], updated_s=half), supply, borrow, now_s
    )


def _by_principals(at: Totals, supply: Curve, borrow: Curve, now_s: int) -> tuple[int, int]:
    used = at.borrow * WAD // at.supply if at.supply else 0
    age_s = now_s - at.updated_s
    return (
        at.supply_index + at.supply_index * supply.rate(used) * age_s // WAD,
        at.borrow_index + at.borrow_index * borrow.rate(used) * age_s // WAD,
    )


@pytest.mark.parametrize("accrue", [_compounding, _by_principals])
def test_states__another_accrual__differs(accrue: Accrue) -> None:
    assert any(answers(market, case, accrue) != told(case) for market, case in cases())


def test_states__one_rounding_per_collateral__differs() -> None:
    def once(market: Mapping[str, Any], case: Mapping[str, Any], factor: str) -> int:
        return sum(
            int(h["balance"]) * int(h["price"]) * int(a[factor]) // int(a["scale"]) // WAD
            for h, a in zip(case["collateral"], market["assets"], strict=True)
        )

    assert any(once(m, c, "liquidate_cf") != left(m, c, 0, "liquidate_cf") for m, c in cases())
