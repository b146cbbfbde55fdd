"""The float core against recorded answers of protocols' contracts and SDKs; prints how many cases it checked.

Bounds: relative 1e-6 on health where debt exceeds one dollar, 1e-9 on perp liquidation prices, never the
wrong side of 1 outside 1e-6 of it. Data is read from beside the repository and from the folder that
``KEEPER_VECTORS`` names (files of the same names and formats); absent data skips.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keeper.model import BookRow
from keeper.risk import kernels
from keeper.risk.assets import CALM, asset
from keeper.risk.book import build
from keeper.risk.loss import morpho_incentive
from tests.vectors import sdk_terms

pytestmark = pytest.mark.vectors

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
RAY = 10**27
YEAR_S = 31_536_000


def files(pattern: str) -> list[Path]:
    folders = [DATA / "vectors", DATA]
    if os.environ.get("KEEPER_VECTORS"):
        folders.append(Path(os.environ["KEEPER_VECTORS"]))
    found = [p for folder in folders for p in sorted(folder.glob(pattern)) if p.is_file()]
    if not found:
        pytest.skip(f"no {pattern} beside the repository or in KEEPER_VECTORS")
    return found


def lines(pattern: str) -> Iterator[dict[str, Any]]:
    for path in files(pattern):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt") as stream:
            yield from (json.loads(line) for line in stream if line.strip())


def documents(pattern: str) -> Iterator[Any]:
    for path in files(pattern):
        yield json.loads(path.read_text())


def sides(row: BookRow, at: Mapping[str, float]) -> tuple[float, float]:
    shelf = build([row], at)
    assert shelf.faults == ("",)
    assets, needed = np.empty(1), np.empty(1)
    kernels.sides(shelf.book, assets, needed)
    return float(assets[0]), float(needed[0])


def liquidation_price(row: BookRow, at: Mapping[str, float], feed: str) -> float:
    shelf = build([row], at)
    assets, needed = np.empty(1), np.empty(1)
    kernels.sides(shelf.book, assets, needed)
    roots = np.empty(len(shelf.book.a))
    kernels.one_price(shelf.book, assets, needed, roots)
    return next(float(r) for r, k in zip(roots, shelf.book.feed, strict=True) if shelf.feeds[k] == feed)


def check_health(got: float, want: float, debt_usd: float, what: object) -> None:
    if debt_usd > 1.0:
        assert got == pytest.approx(want, rel=1e-6, abs=1e-12), what
        if abs(want - 1.0) > 1e-6:
            assert (got < 1.0) == (want < 1.0), what


def linear(rate: int, dt: int) -> int:
    return RAY + rate * dt // YEAR_S


def compounded(rate: int, dt: int) -> int:
    x = rate * dt // YEAR_S
    return RAY + x + x * x // 2 // RAY + x * x // RAY * x // 6 // RAY


def ray_mul(a: int, b: int) -> int:
    """Half-up, as the SDK and the older contracts round balances."""
    return (a * b + RAY // 2) // RAY


def aave_sdk_row(case: Mapping[str, Any]) -> tuple[BookRow, dict[str, float]]:
    held = {u["symbol"]: u for u in case["user"]}
    feeds, a, b, at = [], [], [], {}
    for reserve in case["reserves"]:
        user = held[reserve["symbol"]]
        dt = case["timestamp"] - reserve["last_update"]
        unit = 10.0 ** reserve["decimals"]
        income = int(reserve["liquidity_index"]) * linear(int(reserve["liquidity_rate"]), dt) // RAY
        owed = (
            int(reserve["variable_borrow_index"])
            * compounded(int(reserve["variable_borrow_rate"]), dt)
            // RAY
        )
        mode = [
            m for m in reserve["emodes"] if case["emode"] and m["id"] == case["emode"] and m["collateral"]
        ]
        lt = mode[0]["lt_bps"] if mode else reserve["lt_bps"]
        counts = user["use_as_collateral"] and (reserve["collateral_enabled"] or mode)
        feeds.append(reserve["symbol"])
        a.append(ray_mul(int(user["scaled_atoken"]), income) / unit * lt / 1e4 if counts else 0.0)
        b.append(ray_mul(int(user["scaled_variable_debt"]), owed) / unit)
        at[reserve["symbol"]] = int(reserve["price_1e8"]) / 1e8
    return BookRow(feeds=tuple(feeds), a=tuple(a), b=tuple(b)), at


def test_health__aave_math_utils__within_bounds():
    checked = shocked = 0
    for case in lines("aave_math_utils*.jsonl*"):
        row, at = aave_sdk_row(case)
        expected = case["expected"]
        assets, needed = sides(row, at)
        debt = float(expected["total_debt_usd"])
        assert needed == pytest.approx(debt, rel=1e-6, abs=1e-6), case["id"]
        if debt > 0:
            check_health(assets / needed, float(expected["health_factor"]), debt, case["id"])
        checked += 1
        for factor, want in expected["hf_if_volatile_assets_times"].items():
            there = {s: p * (1.0 if asset(s).kind in CALM else float(factor)) for s, p in at.items()}
            assets, needed = sides(row, there)
            if needed > 1.0:
                check_health(assets / needed, float(want), needed, (case["id"], factor))
                shocked += 1
    print(f"aave_math_utils: {checked} accounts, {shocked} shocked healths")
    assert checked > 0
    assert shocked > 0


def test_health_and_price__morpho_sdk__within_bounds():
    checked = 0
    for case in lines("morpho_blue_sdk*.jsonl*"):
        market, position, now = case["market"], case["position"], case["expected"]["now"]
        scale = 10.0 ** (market["loan_decimals"] - market["collateral_decimals"])
        price = int(market["oracle_price_1e36"]) / 1e36 / scale
        unit = 10.0 ** market["loan_decimals"]
        tokens = int(position["collateral"]) / 10.0 ** market["collateral_decimals"]
        debt = int(now["borrow_assets"]) / unit
        lltv = int(market["lltv_wad"]) / 1e18
        row = BookRow(feeds=("oracle",), a=(tokens * lltv,), b=(0.0,), b0=debt)
        if debt == 0 or tokens == 0:
            continue
        assets, needed = sides(row, {"oracle": price})
        # the SDK floors to whole units of the loan token and of weighted collateral: that is the larger error
        value, owed = int(now["collateral_value"]), int(now["borrow_assets"])
        bound = max(1e-6, 2.0 / max(1, min(value * lltv, owed)))
        if now["health_factor_wad"] is not None:
            assert assets / needed == pytest.approx(int(now["health_factor_wad"]) / 1e18, rel=bound), case[
                "id"
            ]
        if now["liquidation_price_1e36"] not in (None, "0"):
            want = int(now["liquidation_price_1e36"]) / 1e36 / scale
            bound = max(1e-9, 1.0 / max(1.0, int(position["collateral"]) * lltv - 1.0))
            assert liquidation_price(row, {"oracle": price}, "oracle") == pytest.approx(want, rel=bound), (
                case["id"]
            )
        if abs(assets / needed - 1) > 1e-6 and debt > 1:
            assert (assets >= needed) == now["is_healthy"], case["id"]
        factor = int(case["expected"]["liquidation_incentive_factor_wad"]) / 1e18
        assert morpho_incentive(lltv) == pytest.approx(factor, rel=1e-12), case["id"]
        checked += 1
    print(f"morpho_blue_sdk: {checked} positions")
    assert checked > 0


def gmx_sdk_row(case: Mapping[str, Any]) -> BookRow:
    """Equity = collateral + side x (tokens x price - size) + impact - fees; requirement = the larger minimum.

    Impact counts only against the trader and no further than the market's cap for liquidations.
    """
    market, position = case["market"], case["position"]
    usd = 1e30
    size = int(position["size_in_usd_1e30"]) / usd
    side = 1.0 if position["is_long"] else -1.0
    tokens = side * int(position["size_in_tokens"]) / 10.0 ** case["index_token"]["decimals"]
    cap = -size * int(market["maxPositionImpactFactorForLiquidations"]) / usd
    impact = cap if position["use_max_price_impact"] else case_impact(case, cap)
    fees = int(position["pending_funding_fees_usd_1e30"]) + int(position["pending_borrowing_fees_usd_1e30"])
    fees = (fees + sdk_terms.closing_fee(case)) / usd
    minimum = max(
        size * int(market["minCollateralFactorForLiquidation"]) / usd,
        int(position["min_collateral_usd_1e30"]) / usd,
    )
    constant = -side * size + impact - fees
    if case["collateral_token"]["same_as_index"]:
        tokens += int(position["collateral_amount"]) / 10.0 ** case["collateral_token"]["decimals"]
    else:
        constant += int(position["collateral_usd_1e30"]) / usd
    return BookRow(feeds=("index",), a=(tokens,), b=(0.0,), a0=constant, b0=minimum)


def case_impact(case: Mapping[str, Any], cap: float) -> float:
    """USD of impact that a liquidation counts, by the SDK: a gain is capped, and never counts in the end."""
    token = case["index_token"]
    pending = int(case["position"]["pending_impact_amount"]) / 10.0 ** token["decimals"]
    price = int(token["min_price_1e30" if pending > 0 else "max_price_1e30"]) / 1e30
    change, size = sdk_terms.closing_impact(case) / 1e30, int(case["position"]["size_in_usd_1e30"]) / 1e30
    factors = [
        int(case["market"][f"maxPositionImpactFactor{side}"]) / 1e30 for side in ("Positive", "Negative")
    ]
    return min(0.0, max(cap, min(change, size * min(factors)) + pending * price))


def test_liquidation_price__gmx_sdk__within_bound():
    checked = 0
    for case in lines("gmx_sdk*.jsonl*"):
        want = case["expected"]["liquidation_price_1e30"]
        row = gmx_sdk_row(case)
        got = liquidation_price(row, {"index": int(case["index_token"]["min_price_1e30"]) / 1e30}, "index")
        if want is None:
            assert not got > 0, case["id"]
        else:
            assert got == pytest.approx(int(want) / 1e30, rel=1e-9), case["id"]
        checked += 1
    print(f"gmx_sdk: {checked} positions")
    assert checked > 0


def gains_row(case: Mapping[str, Any]) -> BookRow:
    """Liquidated when collateral + PnL - fees falls to (1 - threshold) x collateral; spread moves the open
    price.
    """
    trade = case["trade"]
    side = 1.0 if trade["long"] else -1.0
    size = trade["collateral"] * trade["leverage"]
    spread, cap = case["spread_p"] / 2 + case["fixed_spread_p"], case["liquidation_params"]["maxLiqSpreadP"]
    # trades opened before liquidation parameters existed (all zero) see a spread only with a fixed part
    spread = min(spread, cap) if cap > 0 else spread if case["fixed_spread_p"] > 0 else 0.0
    fees = (
        size * (case["fee_p"] + spread)
        - case["realized_pnl_collateral"]
        + case["realized_trading_fees_collateral"]
    )
    equity = trade["collateral"] - side * size - fees
    return BookRow(
        feeds=("index",),
        a=(side * size / trade["open_price"],),
        b=(0.0,),
        a0=equity,
        b0=(1.0 - sdk_terms.threshold(case)) * trade["collateral"],
    )


def test_liquidation_price__gains_sdk__within_bound():
    checked = 0
    for case in lines("gains_sdk*.jsonl*"):
        want = case["expected"]["liquidation_price"]
        got = liquidation_price(gains_row(case), {"index": case["trade"]["open_price"]}, "index")
        if want > 0:
            assert got == pytest.approx(want, rel=1e-9), case["id"]
        else:
            assert not got > 0, case["id"]
        checked += 1
    print(f"gains_sdk: {checked} trades")
    assert checked > 0


def aave_chain_row(case: Mapping[str, Any], version: str) -> tuple[BookRow, BookRow, dict[str, float]]:
    """(exact row, row that gives up one basis point per counted collateral, prices)."""
    feeds, a, spare, b, at = [], [], [], [], {}
    for n, p in enumerate(case["positions"]):
        reserve = p["reserve"]
        dt = int(case["now"]) - int(reserve["last"])
        income = int(reserve["liquidityIndex"]) * linear(int(reserve["liquidityRate"]), dt) / RAY
        owed = int(reserve["borrowIndex"]) * compounded(int(reserve["borrowRate"]), dt) / RAY
        tokens = int(p["scaledA"]) * income / RAY / int(p["unit"]) if p["coll"] else 0.0
        counts = tokens if int(p["lt"]) else 0.0
        feed = f"{n}{p['sym']}"
        feeds.append(feed)
        a.append(counts * int(p["lt"]) / 1e4)
        spare.append(counts * 1e-4)
        b.append(int(p["scaledD"]) * owed / RAY / int(p["unit"]))
        at[feed] = int(p["price"]) / 1e8
    exact = BookRow(feeds=tuple(feeds), a=tuple(a), b=tuple(b))
    bound = BookRow(feeds=exact.feeds, a=tuple(x - y for x, y in zip(a, spare, strict=True)), b=exact.b)
    return exact, bound, at


def test_health__aave_contracts__within_bounds_and_never_healthier():
    counts: dict[str, int] = {}
    for document in documents("*lending_vectors.json"):
        for version, cases in document.items():
            for n, case in enumerate(cases):
                exact, bound, at = aave_chain_row(case, version)
                debt = int(case["expect"]["debt"]) / 1e8
                if debt <= 1.0:
                    continue
                want = int(case["expect"]["hf"]) / 1e18
                assets, needed = sides(exact, at)
                lower, _ = sides(bound, at)
                if version == "aave-3.0.2":
                    assert lower / needed <= want * (1 + 1e-9) + 1e-9, (version, n)
                    assert assets / needed >= want * (1 - 1e-6), (version, n)
                else:
                    check_health(assets / needed, want, debt, (version, n))
                counts[version] = counts.get(version, 0) + 1
    print(f"lending_vectors: {counts}")
    assert counts
    assert all(counts.values())


def comet_row(
    market: Mapping[str, Any], case: Mapping[str, Any], index: int
) -> tuple[BookRow, dict[str, float]]:
    """Liquidation is judged by the debt at ``index`` (stored, or accrued as ``absorb`` does first)."""
    principal = int(case["principal"])
    owed = max(0, -principal) * index / 1e15 / int(market["base_scale"])
    lent = max(0, principal) * int(case["base_supply_index"]) / 1e15 / int(market["base_scale"])
    feeds, a, b = ["base"], [lent], [owed]
    at = {"base": int(case["base_price"]) / 1e8}
    for n, (held, asset_) in enumerate(zip(case["collateral"], market["assets"], strict=True)):
        feeds.append(f"{n}")
        a.append(int(held["balance"]) / int(asset_["scale"]) * int(asset_["liquidate_cf"]) / 1e18)
        b.append(0.0)
        at[f"{n}"] = int(held["price"]) / 1e8
    return BookRow(feeds=tuple(feeds), a=tuple(a), b=tuple(b)), at


def test_verdict__compound_v3_contract__same_side_stored_and_accrued() -> None:
    checked = 0
    for document in documents("*compound_v3_vectors.json"):
        for n, case in enumerate(document["vectors"]):
            market, expected = document["markets"][case["market"]], case["expect"]
            for suffix, index in (
                ("stored", int(case["base_borrow_index"])),
                ("accrued", int(expected["base_borrow_index_accrued"])),
            ):
                row, at = comet_row(market, case, index)
                assets, needed = sides(row, at)
                if needed <= 1.0:
                    continue
                want = assets - needed
                exact = int(case["derived"][f"liquidity_liquidate_{suffix}"]) / 1e8
                # the contract floors each value to 8 decimals and the principal to a unit of the base token
                slack = (
                    1e-9 * needed + 2e-8 * (2 + len(row.feeds)) + 2.0 * at["base"] / int(market["base_scale"])
                )
                assert want == pytest.approx(exact, abs=slack), (n, suffix)
                if abs(want) > 1e-6 * needed:
                    assert (want < 0) == expected[f"is_liquidatable_{suffix}"], (n, suffix)
                checked += 1
    print(f"compound_v3_vectors: {checked} states")
    assert checked > 0


def test_health__real_aave_v2_accounts_by_asset__bound_is_below_and_tight():
    path = DATA / "aave_steth_2023-06" / "aave_v2_per_asset.csv.gz"
    if not path.is_file():
        pytest.skip("the real accounts are not beside the repository")
    checked = 0
    with gzip.open(path, "rt") as stream:
        for record in csv.DictReader(stream):
            collateral = json.loads(record["collateral_[asset,value_eth,liq_threshold]"])
            debt = [d for d in json.loads(record["debt_[asset,value_eth]"]) if d[1] > 0]
            want = float(record["expected_health_factor"])
            total = sum(d[1] for d in debt)
            if total * 1700 <= 1.0:
                continue
            feeds = tuple(f"c{n}" for n in range(len(collateral))) + tuple(f"d{n}" for n in range(len(debt)))
            at = dict.fromkeys(feeds, 1.0)
            b = (0.0,) * len(collateral) + tuple(d[1] for d in debt)
            zeros = (0.0,) * len(debt)
            exact = BookRow(feeds=feeds, a=tuple(c[1] * c[2] for c in collateral) + zeros, b=b)
            bound = BookRow(feeds=feeds, a=tuple(c[1] * (c[2] - 1e-4) for c in collateral) + zeros, b=b)
            above, needed = sides(exact, at)
            below, _ = sides(bound, at)
            assert below / needed <= want * (1 + 1e-6), record["user"]
            assert above / needed >= want * (1 - 1e-6), record["user"]
            assert (above - below) / needed <= 1.5e-4 / 0.4 * above / needed, record["user"]
            checked += 1
    print(f"aave_v2_per_asset: {checked} accounts")
    assert checked > 0


@pytest.mark.parametrize("name", ["aave_v2_accounts", "aave_v3_accounts"])
def test_health__real_aave_accounts__equal_the_chain(name):
    path = DATA / "aave_steth_2023-06" / f"{name}.csv.gz"
    if not path.is_file():
        pytest.skip("the real accounts are not beside the repository")
    unit = "eth" if "v2" in name else "usd"
    checked = 0
    with gzip.open(path, "rt") as stream:
        for record in csv.DictReader(stream):
            collateral, debt = float(record[f"total_collateral_{unit}"]), float(record[f"total_debt_{unit}"])
            if debt * (1700 if unit == "eth" else 1) <= 1.0:
                continue
            a = collateral * float(record["avg_lt_bps"]) / 1e4
            row = BookRow(feeds=("c", "d"), a=(a, 0.0), b=(0.0, debt))
            assets, needed = sides(row, {"c": 1.0, "d": 1.0})
            check_health(assets / needed, float(record["health_factor"]), 2.0, record["user"])
            checked += 1
    print(f"{name}: {checked} accounts")
    assert checked > 0


def test_verdict__gmx_reader__same_side():
    """150 states of the market's own Reader: equity at its prices, its own impact, the same
    verdict.
    """
    checked = 0
    for document in documents("*gmx_v2_vectors.json"):
        for n, case in enumerate(document):
            market, position, reader = case["m"], case["p"], case["reader"]
            usd = 1e30
            side = 1.0 if position["long"] else -1.0
            price = market["idx"][0 if position["long"] else 1] / usd
            token = market["lpx" if position["cidx"] == 0 else "spx"][0] / usd
            size, need = position["size"] / usd, reader["need"] / usd
            fees = (reader["pendingBorrow"] + reader["pendingFunding"] + reader["fee"]) * token
            plain = position["coll"] * token + side * (position["tokens"] * price - size) - fees
            impact = reader["remaining"] / usd - plain
            assert abs(impact) <= 0.05 * size, n
            row = BookRow(
                feeds=("index", "collateral"),
                a=(side * position["tokens"], position["coll"]),
                b=(0.0, 0.0),
                a0=-side * size - fees + impact,
                b0=max(need, reader["minUsd"] / usd),
            )
            assets, needed = sides(row, {"index": price, "collateral": token})
            # the contract: below the minimum, not above 0, or below the factor
            assert (assets < needed) == reader["liq"] or abs(assets - needed) < 1e-9 * size, n
            checked += 1
    print(f"gmx_v2_vectors: {checked} states")
    assert checked > 0
