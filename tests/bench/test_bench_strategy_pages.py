"""The tables *In a crash* of the strategies' pages, run again on the real prices that they are of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bench import replay_events
from tests.command import typed
from tests.pages import ROOT
from tests.strategy_fall import FOLDER

PRICES = replay_events.DATA / "prices"
FUNDING = replay_events.DATA / "perp_funding" / "funding_binance_2019_2026.parquet"
pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(not PRICES.is_dir(), reason="no histories beside the repository"),
]
MARCH = ("--prices", str(PRICES / "ev_2020-03_black_thursday_5m.parquet"), "--symbol", "ETH/USDT")
DEPEG = (
    *("--prices", str(PRICES / "ev_2023-03_usdc_depeg_1m.parquet"), "--symbol", "BTC/USD@kraken"),
    *("--from", "2023-03-10", "--to", "2023-03-14", "--peg", "USDC=USDC/USD+USDC/USDT"),
)
HOURLY = (
    *("--prices", str(PRICES / replay_events.HOURLY), "--symbol", "ETH/USDT"),
    *("--funding", str(FUNDING)),
)
NO_RATCHET = """
[policies.floor_plain]
strategies = ["deleverage", "floor"]
floor_usd = 20000
floor_times = "3"
reduce_above_trigger = true
[policies.floor_plain.caps]
gas_usd_max = 500
per_action_usd = 100_000
per_day_usd = 100_000
"""
NUMBER = re.compile(r"^-?[\d,]+(?:\.\d+)?(?: lost)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One keeper of one replay."""

    liquidated: float
    acts: float
    cost: float
    gas: float
    lowest: float
    equity: float


def played(folder: Path, policy: str, *words: str, accounts: str = "accounts.csv") -> dict[str, Told]:
    """``nobody`` and ``ours`` under a policy of the pages' file."""
    (folder / "keeper.toml").write_text((FOLDER / "keeper.toml").read_text() + NO_RATCHET)
    line = ("replay", *words, "--accounts", str(FOLDER / accounts), "--policy", policy)
    done = typed(folder, *line, "--keepers", "nobody,ours", "--json")
    assert done.returncode in (0, 1), done.stderr
    return {
        k["keeper"]: Told(
            liquidated=k["liquidated"],
            acts=k["acts"],
            cost=k["cost_usd"] + k["lost_usd"],
            gas=k["gas_usd"],
            lowest=k["lowest"],
            equity=k["equity_usd"],
        )
        for k in json.loads(done.stdout)["keepers"]
    }


def rows(page: str) -> Iterator[list[float]]:
    """The numbers of each row of the table *In a crash*; text between them left out."""
    text = (ROOT / "docs" / "strategies" / page).read_text().split("## In a crash", 1)[1]
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")] if line.startswith("|") else []
        found = [float(c.removesuffix(" lost").replace(",", "")) for c in cells if NUMBER.match(c)]
        if found:
            yield found


def same(said: Sequence[float], found: Sequence[float]) -> None:
    """Whole dollars, counts exactly, health to a thousandth."""
    assert len(said) == len(found)
    for a, b in zip(said, found, strict=True):
        # a page writes health with decimals and dollars without; what is counted comes as a whole number
        close = 0.0 if isinstance(b, int) else 0.0011 if a % 1 else 1.001
        assert a == pytest.approx(b, rel=0.0, abs=close)


@pytest.mark.parametrize(
    ("page", "policies"),
    [
        ("trailing-stop.md", ("plain", "trail")),
        ("take-profit.md", ("profit",)),
        ("leverage-band.md", ("plain", "band")),
        ("storm.md", ("plain", "storm")),
        ("exposure-limits.md", ("plain", "limit")),
        ("floor.md", ("plain", "floor_plain", "floor")),
    ],
)
def test_page__of_march_2020__then_its_table_is_what_a_replay_says(
    page: str, policies: tuple[str, ...], tmp_path: Path
) -> None:
    said = list(rows(page))
    ran = [played(tmp_path, policy, *MARCH) for policy in policies]
    told = [ran[0]["nobody"], *(r["ours"] for r in ran)]
    assert len(said) == len(told)
    for row, t in zip(said, told, strict=True):
        same(row, [t.liquidated, t.acts, t.cost, t.gas, t.lowest, t.equity])


def test_page__of_the_depeg__then_its_table_is_what_a_replay_says(tmp_path: Path) -> None:
    said = iter(rows("depeg-playbook.md"))
    for account in ("owes", "holds"):
        told = played(tmp_path, "peg", *DEPEG, accounts=f"{account}.csv")
        for name in ("nobody", "ours"):
            t = told[name]
            same(next(said), [t.acts, t.cost + t.gas, t.equity])


def test_page__of_the_warning__then_its_table_is_what_a_replay_says(tmp_path: Path) -> None:
    said = iter(rows("tighten-on-warning.md"))
    for first, last, names in (
        ("2020-02-20", "2020-04-01", ("nobody", "plain", "warned")),
        ("2021-05-01", "2021-06-01", ("plain", "warned")),
        ("2022-05-25", "2022-07-01", ("plain", "warned")),
    ):
        span = ("--from", first, "--to", last)
        ran = {p: played(tmp_path, p, *HOURLY, *span) for p in ("plain", "warned")}
        told = {"nobody": ran["plain"]["nobody"], **{p: ran[p]["ours"] for p in ran}}
        for name in names:
            t = told[name]
            same(next(said), [t.liquidated, t.acts, t.cost + t.gas, t.lowest, t.equity])
