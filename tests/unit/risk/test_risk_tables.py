"""The risk tables call things by their names and fit a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keeper.cli import invoke, subject

pytestmark = pytest.mark.unit
WIDE_MAX = 119
FEED = "chainlink:1:0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419"
OTHER = "chainlink:1:0x8fFfFfd4AfB6115b954Bd326cbe7B4BA576818f6"


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    account = (
        "aave_v3:1:0xcA11bde05977b3631167028862bE2a173976CA11:0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
    )
    lending = {
        "collateral": [{"asset": FEED, "amount": 10, "threshold": 0.83}],
        "debt": [{"asset": OTHER, "amount": 9000}],
    }
    body = {
        "prices": {FEED: {"price": 2000.0, "symbol": "WETH"}, OTHER: {"price": 1.0, "symbol": "USDC"}},
        "positions": [{"name": f"{account} {n}", "lending": lending} for n in range(6)],
    }
    path = tmp_path / "book.json"
    path.write_text(json.dumps(body))
    return path


@pytest.mark.parametrize(
    "line",
    [("distance",), ("risk",), ("shock",), ("shock", "--ladder", "ETH"), ("shock", "--grid", "ETH,USDC")],
)
def test_tables__when_ids_are_long__then_symbols_and_less_than_120_columns(
    line: tuple[str, ...], book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([*line, "--book", str(book)]) == 0
    out = capsys.readouterr().out
    assert max(len(x) for x in out.splitlines()) <= WIDE_MAX
    assert FEED not in out
    if line == ("distance",):
        assert "WETH 1084.34" in out


def test_feed_names__when_two_share_a_symbol__then_the_feeds_end_tells_them_apart() -> None:
    names = subject.feed_names({"x:0xaaaaaaa111": "ETH", "x:0xbbbbbbb222": "ETH", "c": "USDC"})
    assert names == {"x:0xaaaaaaa111": "ETH …aa111", "x:0xbbbbbbb222": "ETH …bb222", "c": "USDC"}
