"""Perpetual positions of a configuration replayed as they were read: by the numbers of a book that says the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from keeper.cli import app
from keeper.errors import ConfigError
from keeper.model import (
    Amount,
    BookRow,
    Holding,
    Perp,
    Position,
    PositionId,
    SideProfit,
    Snapshot,
    Token,
    Unreadable,
)
from keeper.replay import live_perps
from keeper.units import UINT256_MAX, WAD
from tests import perps
from tests.perps import USD, USDC, WETH
from tests.unit.cli.test_cli_replay_live import View
from tests.unit.config.test_config_parse import GOOD

pytestmark = pytest.mark.unit
LEVELS = """
[policies.perp]
warn = 1.08
trigger = 1.05
target = 1.07
emergency = 1.02
hysteresis = 0.005
strategies = ["add_margin", "reduce_perp"]
stress_pct = 0
[policies.perp.caps]
per_action_usd = 50000
per_day_usd = 200000
gas_usd_max = 300
gas_usd_emergency = 500
"""
FALL = [2_000.0 - 6.0 * n for n in range(50)]
RISE = [2_000.0 + 6.0 * n for n in range(50)]
DEEP = ["--trigger", "6", "--target", "10"]
NOBODY = ["--keepers", "nobody", "--trigger", "1.25"]


def free(long: bool) -> Perp:
    """Whose venue counts nothing as gone by closing."""
    found = perps.perp(2_000, long)
    return replace(found, remaining_usd=found.margin * 10**24)


def holding(token: Token, units: int, threshold_wad: int = WAD, bonus_bps: int = 0) -> Holding:
    return Holding(
        amount=Amount(token=token, units=units),
        stored=units,
        price_base=1,
        value_base=1,
        threshold_wad=threshold_wad,
        feed=f"f:{token.symbol}",
        bonus_bps=bonus_bps,
    )


def loan() -> Position:
    """Ten ether, of which 0.8 counts, against 13,500 dollars."""
    return Position(
        id=PositionId(venue="aave_v3", chain_id=1, account=perps.OWNER, key="loan"),
        owner=perps.OWNER,
        block_number=100,
        health_wad=None,
        collateral=(holding(WETH, 10**19, WAD * 8 // 10, 10_500),),
        debt=(holding(USDC, 13_500 * 10**6),),
        base_decimals=8,
        row=BookRow(feeds=("f:WETH", "f:USDC"), a=(8.0, 0.0), b=(0.0, 13_500.0)),
    )


def read(
    monkeypatch: pytest.MonkeyPatch,
    named: Mapping[str, Position],
    *lost: Unreadable,
    labels: Mapping[PositionId, str] | None = None,
) -> None:
    """These stand on the configuration's chain now."""
    prices = {"f:WETH": 2_000.0, "f:USDC": 1.0}
    slot = perps.slot()
    snapshot = Snapshot(
        block=perps.BLOCK,
        positions=tuple(named.values()),
        unreadable=lost,
        means=perps.means(slot),
        prices={**prices, slot.feed(WETH): 2_000.0, slot.feed(USDC): 1.0},
        digest="d",
    )

    async def photograph(_: object) -> tuple[View, ...]:
        return (View(snapshot=snapshot, labels=labels or {p.id: name for name, p in named.items()}),)

    monkeypatch.setattr("keeper.daemon.wiring.photograph", photograph)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "keeper.toml").write_text(GOOD + LEVELS)
    return tmp_path


def replayed(folder: Path, prices: Sequence[float], *options: str) -> dict[str, Any]:
    rows = (f"{3_600 * n},ETH/USDT,{p},{p},{p},{p}\n" for n, p in enumerate(prices, 1))
    (folder / "eth.csv").write_text("ts,symbol,open,high,low,close\n" + "".join(rows))
    line = ["replay", "--prices", str(folder / "eth.csv"), "--config", str(folder / "keeper.toml"), "--json"]
    done = CliRunner().invoke(app, [*line, "--field", "close", *options])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def book(folder: Path, *sides: bool, lent: bool = True, fees_usd: float = 0.0) -> list[str]:
    """The option for a file that says of loan and positions what was read of them."""
    held = [{"asset": "WETH", "amount": 10, "threshold": 0.8, "bonus": 0.05}]
    owed = [{"asset": "USDC", "amount": 13_500}]
    lending = {"collateral": held, "debt": owed, "venue": "aave_v3"}
    positions: list[dict[str, Any]] = [{"name": "loan", "lending": lending}] if lent else []
    for long in sides:
        perp = {
            "index": "WETH",
            "size": 10 if long else -10,
            "entry": 2_000,
            "maintenance_rate": 0.005,
            "maintenance_on": "entry",
            "margin": [{"asset": "USDC", "amount": 2_000}],
            "fees_usd": fees_usd,
        }
        positions.append({"name": "long" if long else "short", "perp": perp})
    body = {"prices": {"WETH": 2_000, "USDC": 1}, "positions": positions}
    (folder / "book.json").write_text(json.dumps(body))
    return ["--book", str(folder / "book.json")]


def lost(found: dict[str, Any], keeper: str = "nobody") -> dict[str, float]:
    (one,) = [k for k in found["keepers"] if k["keeper"] == keeper]
    return {a["name"]: a["lost_usd"] for a in one["accounts"]}


@pytest.mark.parametrize(("prices", "sunk"), [(FALL, "long"), (RISE, "short")])
def test_config__of_a_loan_and_both_sides__then_the_same_numbers_as_the_book_that_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, prices: list[float], sunk: str
) -> None:
    sides = {"long": perps.position(free(True)), "short": perps.position(free(False))}
    read(monkeypatch, {"loan": loan(), **sides})
    live = replayed(folder, prices, *DEEP)
    told = replayed(folder, prices, *DEEP, *book(folder, True, False))
    assert live["keepers"] == told["keepers"]
    assert live["left_out"] == told["left_out"] == []
    assert live["perps"] == told["perps"]
    names = {k["keeper"]: [a["name"] for a in k["accounts"]] for k in live["keepers"]}
    assert names["ours"] == names["nobody"] == ["loan", "long", "short"]
    assert {n for n, usd in lost(live).items() if usd and n != "loan"} == {sunk}
    acts = [e for k in live["keepers"] if k["keeper"] == "ours" for a in k["accounts"] for e in a["events"]]
    assert any(e["what"] == "act" for e in acts)


def test_config__of_a_venue_that_counts_closing_as_gone__then_nobody_s_are_the_book_s_with_that_fee(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(monkeypatch, {"long": perps.position(perps.perp(2_000))})
    live = replayed(folder, FALL, *NOBODY)
    told = replayed(folder, FALL, *NOBODY, *book(folder, True, lent=False, fees_usd=12.0))
    (ours,), (theirs,) = live["keepers"][0]["accounts"], told["keepers"][0]["accounts"]
    for key in ("health_start", "health_lowest"):
        assert ours[key] == pytest.approx(theirs[key], rel=1e-9), key
    # 12 are gone by closing: the book paid them before, its liquidator takes them; what is left is the same
    assert ours["lost_usd"] == pytest.approx(theirs["lost_usd"] + 12.0, rel=1e-9)
    assert live["keepers"][0]["equity_usd"] == pytest.approx(told["keepers"][0]["equity_usd"], rel=1e-9)
    assert [e["time_s"] for e in ours["events"]] == [e["time_s"] for e in theirs["events"]]
    assert lost(live)["long"] > 0


def test_policy__of_the_configuration__then_its_levels_are_the_venue_s_measure(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(monkeypatch, {"long": perps.position(perps.perp(2_000))})
    live = replayed(folder, FALL, "--policy", "perp", "--keepers", "nobody,ours")
    told = {k["keeper"]: k["accounts"][0] for k in live["keepers"]}
    assert told["nobody"]["lost_usd"] > 0
    assert told["ours"]["lost_usd"] == 0
    # a long of ten times its margin opens near 1.1; half a per cent must remain
    assert told["ours"]["health_start"] == pytest.approx(1.094, abs=0.002)
    first = next(e for e in told["ours"]["events"] if e["what"] == "act")
    assert first["health_before"] == pytest.approx(1.05, abs=0.004)
    assert first["health_after"] == pytest.approx(1.07, abs=0.006)
    assert any("health of perpetual positions is their venue's" in s for s in live["perps"]["said"])
    plain = replayed(folder, FALL, *DEEP, *NOBODY)
    assert any("health of perpetual positions is equity over need" in s for s in plain["perps"]["said"])


def test_policy__that_is_another_than_the_one_that_guards_it__then_that_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(monkeypatch, {"vault": perps.position(perps.perp(2_000))})
    told = "vault: the configuration guards it by policy default, and it is replayed by perp"
    assert told in replayed(folder, FALL, *NOBODY, "--policy", "perp")["perps"]["said"]
    for plain in (["--policy", "default"], DEEP):
        assert len(replayed(folder, FALL, *NOBODY, *plain)["perps"]["said"]) == 2


@pytest.mark.parametrize("option", ["--sweep", "--chain"])
def test_config__of_perpetuals_alone__then_a_sweep_and_a_chain_say_that_they_know_loans_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    read(monkeypatch, {"long": perps.position(perps.perp(2_000))})
    with pytest.raises(ConfigError, match=r"no position to replay: long: .* a sweep and a chain know loans"):
        replayed(folder, FALL, option)


def test_config__when_some_cannot_be_replayed__then_each_is_left_out_by_name_with_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = perps.perp(2_000)
    btc = replace(good, index=replace(WETH, symbol="BTC"))
    shut = replace(
        perps.position(good), perp=None, mode="closed", health_wad=UINT256_MAX, collateral=(), debt=()
    )
    shut = replace(shut, row=BookRow(feeds=(), a=(), b=()))
    won = perps.perp(2_100)
    capped = replace(won, pnl_usd=won.won_usd // 2)
    named = {
        "long": perps.position(good),
        "btc": _apart(perps.position(btc), "btc"),
        "shut": _apart(shut, "shut"),
        "capped": _apart(perps.position(capped), "capped"),
    }
    gone = PositionId(venue="gmx_v2", chain_id=1, account="0xb", key="gone")
    read(monkeypatch, named, Unreadable(id=gone, why="no answer", since_block=1))
    found = replayed(folder, FALL, *NOBODY)
    left = {x["name"]: x["why"] for x in found["left_out"]}
    assert list(left) == ["shut", "capped", str(gone), "btc"]
    assert (left["shut"], left["capped"]) == (live_perps.CLOSED, live_perps.CAPPED)
    assert left[str(gone)] == "could not be read: no answer"
    assert left["btc"].endswith("eth.csv: column symbol: has no prices of BTC (there are ETH/USDT)")
    assert set(lost(found)) == {"long"}
    held = replayed(folder, FALL, *NOBODY, "--hold", "BTC")
    assert set(lost(held)) == {"long", "btc"}
    read(monkeypatch, {"btc": named["btc"]})
    with pytest.raises(ConfigError, match=r"no position to replay: btc: .*no prices of BTC"):
        replayed(folder, FALL, *NOBODY)


def test_rates__that_were_read__then_charged_unless_funding_is_given_and_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = SideProfit(won_usd=0, pool_usd=1, factor_adl=0, carry_year=USD)
    read(monkeypatch, {"long": perps.position(replace(perps.perp(2_000), side=side))})
    calm = [2_000.0 + n % 2 for n in range(50)]
    due = 20_000 * 49 / (24 * 365)
    said = replayed(folder, calm, *NOBODY)["perps"]["said"][0]
    assert f"funding and borrowing at the rates of now, {due:,.0f} USD with nobody acting" in said
    rows = "".join(f"{3_600 * h},ETH,0\n" for h in range(1, 60, 8))
    (folder / "funding.csv").write_text("ts,symbol,rate\n" + rows)
    said = replayed(folder, calm, *NOBODY, "--funding", str(folder / "funding.csv"))["perps"]["said"][0]
    assert "funding paid by them with nobody acting 0 USD, and no borrowing fee beside it" in said


def _apart(position: Position, key: str) -> Position:
    return replace(position, id=replace(position.id, key=key))
