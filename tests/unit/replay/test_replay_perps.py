"""Perpetual positions in a replay: read from a book, guarded by the real rooms, and what is said of their funding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keeper.cli import app
from keeper.errors import ConfigError

pytestmark = pytest.mark.unit
BOOK = {
    "prices": {"ETH": 2000.0, "USDC": 1.0},
    "positions": [
        {"name": n, "perp": {"index": "ETH", "size": size, "entry": 2000, "maintenance_rate": 0.01,
                             "margin": [{"asset": "USDC", "amount": 4000}]}}
        for n, size in (("long", 10), ("short", -10))
    ],
}  # fmt: skip


def written(folder: Path, prices: list[float]) -> tuple[Path, Path, Path]:
    """A book, its prices by the hour, and funding every eight hours."""
    book, bars, funding = (folder / n for n in ("book.json", "bars.csv", "funding.csv"))
    book.write_text(json.dumps(BOOK))
    rows = [f"{i * 3600 + 1_600_000_000},ETH/USDT,{p},{p},{p},{p}" for i, p in enumerate(prices)]
    bars.write_text("\n".join(["ts,symbol,open,high,low,close", *rows]) + "\n")
    paid = [f"{1_600_000_000 + h * 3600},ETH,0.001" for h in range(0, len(prices) + 9, 8)]
    funding.write_text("\n".join(["ts,symbol,rate", *paid]) + "\n")
    return book, bars, funding


def replayed(*options: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["replay", *options])
    return found.exit_code, found.output


def test_replay__when_a_long_falls_slowly__then_the_rooms_close_a_part_and_nobody_is_liquidated(
    tmp_path: Path,
) -> None:
    prices = [2000.0 - 8.0 * i for i in range(60)]
    book, bars, funding = written(tmp_path, prices)
    options = [
        "--prices",
        str(bars),
        "--symbol",
        "ETH/USDT",
        "--book",
        str(book),
        "--trigger",
        "4",
        "--target",
        "8",
    ]
    options += ["--field", "close", "--keepers", "nobody,threshold,ours", "--json"]
    code, out = replayed(*options, "--funding", str(funding))
    assert code == 0, out
    document = json.loads(out[out.index("{") :])
    by = {k["keeper"]: k for k in document["keepers"]}
    assert (by["nobody"]["liquidated"], by["threshold"]["liquidated"], by["ours"]["liquidated"]) == (1, 0, 0)
    acts = [e for a in by["ours"]["accounts"] for e in a["events"] if e["what"] == "act"]
    assert acts
    # sized for 8 at what was seen; the hour until it landed took 8 dollars more of the price
    assert 6.5 < acts[0]["health_after"] < 8.0
    assert "funding paid by them with nobody acting" in document["perps"]["said"][0]
    # both sides stand equal and opposite until the long is gone: of the two only the short gets on
    _, bare = replayed(*options)
    assert "no funding is counted (--funding)" in json.loads(bare[bare.index("{") :])["perps"]["said"][0]


def test_replay__when_funding_does_not_span_the_run__then_refused_with_file_and_column(
    tmp_path: Path,
) -> None:
    book, bars, funding = written(tmp_path, [2000.0 + i for i in range(60)])
    funding.write_text("\n".join(funding.read_text().splitlines()[:4]) + "\n")
    given = ["--prices", str(bars), "--symbol", "ETH/USDT", "--book", str(book), "--funding", str(funding)]
    found = CliRunner().invoke(app, ["replay", *given])
    assert isinstance(found.exception, ConfigError)
    assert "funding.csv: column ts: has no funding of ETH from 2020-09-14" in str(found.exception)
