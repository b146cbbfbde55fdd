"""GMX v2 by the market's own Reader: what remains of every position, and its verdict."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from anvil.figures import record
from keeper.venues.gmx_v2 import layout, rules

pytestmark = pytest.mark.vectors

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SIZE_SHARE_MAX = 1e-15


def documents() -> list[Any]:
    roots = [DATA, *(Path(x) for x in [os.environ.get("KEEPER_VECTORS", "")] if x)]
    found = [p for root in roots if root.is_dir() for p in sorted(root.glob("*gmx_v2_vectors.json"))]
    if not found:
        pytest.skip("no gmx_v2_vectors.json beside the repository or in KEEPER_VECTORS")
    return [json.loads(p.read_text()) for p in found]


def sides(table: Mapping[str, int]) -> layout.Sides:
    return layout.Sides(long=table["true"], short=table["false"])


def pair(of: list[int]) -> layout.Pair:
    return layout.Pair(long=of[0], short=of[1])


def market_of(m: Mapping[str, Any]) -> layout.Market:
    prices = [layout.Price(min=m[k][0], max=m[k][1]) for k in ("idx", "lpx", "spx")]
    interest = {
        side: layout.Interest(usd=pair(m["oi"][side]), tokens=pair(m["oit"][side]))
        for side in ("true", "false")
    }
    borrowing = [
        layout.Borrowing(
            kink=layout.Kink(
                optimal=m["kink"][side]["opt"], base=m["kink"][side]["base"], above=m["kink"][side]["above"]
            ),
            factor=m["bor_f"][side],
            exponent=m["bor_e"][side],
            reserve=m["oi_reserve_f"][side],
        )
        for side in ("true", "false")
    ]
    fund = m["fund"]
    return layout.Market(
        prices=layout.Prices(index=prices[0], long=prices[1], short=prices[2]),
        long=interest["true"],
        short=interest["false"],
        pool=sides(m["pool"]),
        pnl_most=sides(m["max_pnl_f"]),
        curve=layout.Curve(
            positive=m["impact_f"]["true"],
            negative=m["impact_f"]["false"],
            exponent_positive=m["impact_e"]["true"],
            exponent_negative=m["impact_e"]["false"],
            most_positive=m["max_imp"]["true"],
            most_negative=m["max_imp"]["false"],
            most_at_liquidation=m["max_imp_liq"],
        ),
        fee=sides(m["fee_f"]),
        borrowing=(borrowing[0], borrowing[1]),
        borrowed=sides(m["cumb"]),
        funded=(pair(m["ffps"]["true"]), pair(m["ffps"]["false"])),
        funding=layout.Funding(
            factor=fund["f"],
            exponent=fund["exp"],
            increase=fund["inc"],
            decrease=fund["dec"],
            least=fund["min"],
            most=fund["max"],
            stable=fund["stable"],
            decaying=fund["decth"],
            saved=fund["saved"],
        ),
        borrow_s=m["dt_b"],
        fund_s=m["dt_f"],
        minimum=m["mcf"],
        minimum_at_liquidation=m["mcf_liq"],
        minimum_usd=m["min_coll_usd"],
        in_tokens=m["oi_in_tokens"],
        smaller_side_free=m["skip_small"],
    )


def held_of(p: Mapping[str, Any]) -> layout.Held:
    return layout.Held(
        long=p["long"],
        long_token=p["cidx"] == 0,
        size=p["size"],
        tokens=p["tokens"],
        collateral=p["coll"],
        pending_impact=p["pend_imp"],
        borrowed=p["bor"],
        funded=p["fps"],
    )


def test_standing__every_state_of_the_reader__remaining_and_verdict() -> None:
    checked, wrong, worst = 0, [], 0.0
    for document in documents():
        for n, case in enumerate(document):
            market, held, reader = market_of(case["m"]), held_of(case["p"]), case["reader"]
            stored = rules.standing(market, held, pending=False)
            now = rules.standing(market, held)
            gap = abs(stored.remaining - reader["remaining"]) / held.size
            worst = max(worst, gap)
            # pending amounts are in collateral tokens, as getPositionInfo gives them
            same = (
                gap <= SIZE_SHARE_MAX
                and stored.liquidatable == reader["liq"]
                and stored.why == reader["reason"]
            )
            same = same and stored.need == reader["need"] and stored.pnl == reader["pnl"]
            same = (
                same
                and abs(now.borrowing - reader["pendingBorrow"]) * _price(market, held) <= 1e-15 * held.size
            )
            same = (
                same
                and abs(now.funding - reader["pendingFunding"]) * _price(market, held) <= 1e-15 * held.size
            )
            if not same:
                wrong.append((n, stored, reader))
            checked += 1
    print(
        f"states_exact_gmx_v2: {checked - len(wrong)}, states_wrong_gmx_v2: {len(wrong)}, worst {worst:.1e} of size"
    )
    record(
        "states_exact_gmx_v2",
        checked - len(wrong),
        unit="states",
        bound=f"= {checked}, each within {SIZE_SHARE_MAX:.0e} of its size",
        holds=not wrong and checked > 0,
        evidence="vendor_vectors",
        n=checked,
    )
    record(
        "states_wrong_gmx_v2",
        len(wrong),
        unit="states",
        bound="= 0",
        holds=not wrong,
        evidence="vendor_vectors",
        n=checked,
    )
    assert checked > 0
    assert wrong == []


def _price(market: layout.Market, held: layout.Held) -> int:
    return (market.prices.long if held.long_token else market.prices.short).min
