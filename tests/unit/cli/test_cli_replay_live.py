"""Guarded positions replayed as they were read: each liquidated for what its own venue says, and that is said."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import keeper
from keeper.cli import app
from keeper.model import (
    WHOLE_BPS_AVERAGE,
    Amount,
    Block,
    BookRow,
    Holding,
    Means,
    Position,
    PositionId,
    Snapshot,
    Token,
    Unreadable,
)
from keeper.replay import live
from keeper.units import WAD
from tests.unit.config.test_config_parse import GOOD

pytestmark = pytest.mark.unit
WETH = Token(chain_id=1, address="0xWeth", symbol="WETH", decimals=18)
USDC = Token(chain_id=1, address="0xUsdc", symbol="USDC", decimals=6)
PRICES = {"f:WETH": 2_000.0, "f:USDC": 1.0}
MEANS = Means(
    wallet="",
    native_wei=0,
    nonce=0,
    balances=(),
    allowances=(),
    reserves=(),
    tip_wei=0,
    native_price_base=None,
)
BLOCK = Block(chain_id=1, number=7, hash="0xh", parent_hash="0xp", timestamp_s=9, base_fee_wei=1)
OWED = 13_500.0
HELD = 16_500.0
"""USD when liquidators come: ten ether at 1,650, of which 0.8 counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One chain, as commands are handed it."""

    snapshot: Snapshot
    labels: Mapping[PositionId, str] = field(default_factory=dict)


def holding(token: Token, amount: float, bonus_bps: int = 0, threshold_wad: int = WAD) -> Holding:
    units = round(amount * 10**token.decimals)
    return Holding(
        amount=Amount(token=token, units=units),
        stored=units,
        price_base=1,
        value_base=1,
        threshold_wad=threshold_wad,
        feed=f"f:{token.symbol}",
        bonus_bps=bonus_bps,
    )


def loan(venue: str, bonus_bps: int, name: str = "", flags: tuple[str, ...] = ()) -> Position:
    """Ten ether at 2,000, of which 0.8 counts, against 13,500 dollars."""
    return Position(
        id=PositionId(venue=venue, chain_id=1, account="0x" + "a" * 40, key=name),
        owner="0x" + "a" * 40,
        block_number=7,
        health_wad=None,
        collateral=(holding(WETH, 10.0, bonus_bps, WAD * 8 // 10),),
        debt=(holding(USDC, OWED),),
        base_decimals=8,
        row=BookRow(feeds=("f:WETH", "f:USDC"), a=(8.0, 0.0), b=(0.0, OWED), flags=flags),
    )


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """Prices through which the loan falls below 1, and a configuration."""
    rows = (f"{300 * n},ETH/USDT,{p},{p},{p},{p}\n" for n, p in enumerate((2_000, 1_900, 1_650), 1))
    (tmp_path / "eth.csv").write_text("ts,symbol,open,high,low,close\n" + "".join(rows))
    (tmp_path / "keeper.toml").write_text(GOOD)
    line = ["replay", "--prices", str(tmp_path / "eth.csv"), "--config", str(tmp_path / "keeper.toml")]
    # what stands there is not named by the configuration, which would hold each to a policy
    return [*line, "--trigger", "1.25"]


def read(monkeypatch: pytest.MonkeyPatch, positions: Sequence[Position], *lost: Unreadable) -> None:
    """These stand on the configuration's chains, named by their keys."""
    snapshot = Snapshot(
        block=BLOCK, positions=tuple(positions), unreadable=lost, means=MEANS, prices=PRICES, digest="d"
    )

    async def photograph(_: object) -> tuple[View, ...]:
        return (View(snapshot=snapshot, labels={p.id: p.id.key for p in positions}),)

    monkeypatch.setattr("keeper.daemon.wiring.photograph", photograph)


def replayed(given: list[str], *options: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*given, "--json", "--keepers", "nobody", *options])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def lost_of(found: dict[str, Any]) -> dict[str, float]:
    return {a["name"]: a["lost_usd"] for a in found["keepers"][0]["accounts"]}


def test_config__when_a_venue_says_its_bonus__then_liquidators_take_that_and_not_the_option(
    given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read(
        monkeypatch,
        [
            loan("aave_v3", 10_800, "aave"),
            loan("aave_v2", 11_000, "old"),
            loan("compound_v3", 11_111, "comet"),
            loan("maker", 10_200, "vault"),
            loan("morpho_blue", 10_639, "morpho"),
        ],
    )
    found = replayed(given, "--bonus", "ETH=20")
    assert lost_of(found) == pytest.approx(
        {
            "aave": 0.08 * OWED / 2,
            "old": 0.10 * OWED / 2,
            "comet": HELD * (1.0 - 1.0 / 1.1111),
            "vault": OWED * (1.02 / 0.9 - 1.0),
            # by its threshold, to the last digit, and not by the basis points that were read
            "morpho": OWED * (1.0 / 0.94 - 1.0),
        }
    )
    said = [n for n in found["notes"] if "the reading of" in n]
    assert [n.split(" that the reading of")[0] for n in said] == [
        "liquidated by the liquidation_factor",
        "liquidated by the bonus",
        "liquidated by the penalty",
    ]
    assert said[1].endswith("keeper.toml states: 2 of 5 (8 % to 10 %)")
    stated = {
        x["name"]: (x["bonus"], x["liquidation_factor"], x["penalty"]) for x in found["market"]["stated"]
    }
    assert stated["aave"] == (pytest.approx(0.08), None, None)
    assert stated["comet"] == (None, pytest.approx(0.9, rel=1e-4), None)
    assert stated["vault"] == (None, None, pytest.approx(0.02))


def test_config__when_a_venue_says_none_or_nothing_was_read__then_which_rule_was_taken_is_said(
    given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = PositionId(venue="aave_v3", chain_id=1, account="0xb", key="gone")
    read(monkeypatch, [loan("aave_v3", 0, "aave")], Unreadable(id=gone, why="no answer", since_block=1))
    found = replayed(given, "--bonus", "ETH=7")
    assert lost_of(found) == pytest.approx({"aave": 0.07 * OWED / 2})
    (said,) = [n for n in found["notes"] if "the reading of" in n]
    assert said.endswith("states no bonus of 1 collaterals: --bonus or its default is taken (WETH 7 %)")
    assert found["left_out"] == [{"name": str(gone), "why": "could not be read: no answer"}]


def test_terms__of_a_pool_before_v3_3__then_its_own_close_factor_is_taken() -> None:
    old = loan("aave_v3", 10_500, flags=(WHOLE_BPS_AVERAGE,))
    assert [t.venue for t in live.terms([old, loan("aave_v3", 10_500)])] == ["aave_v3_0", "aave_v3"]


def test_terms__of_several_collaterals__then_each_in_the_order_of_the_row_and_the_dearest_at_one_price() -> (
    None
):
    one = loan("aave_v3", 10_500)
    held = (
        one.collateral[0],
        replace(one.collateral[0], bonus_bps=10_700),
        # in no account: it does not count
        replace(one.collateral[0], bonus_bps=11_500, threshold_wad=0),
        holding(USDC, 5.0, 10_450, WAD * 7 // 10),
    )
    row = replace(one.row, feeds=("f:USDC", "f:WETH"), a=(3.5, 8.0), b=(OWED, 0.0))
    (found,) = live.terms([replace(one, collateral=held, row=row)])
    assert found.bonuses == (pytest.approx(0.045), pytest.approx(0.07))


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """A comparison of nothing."""

    ok: bool = True
    compared: tuple[Any, ...] = ()
    left_out: tuple[str, ...] = ("aave: too many",)

    def said(self) -> str:
        return "paper against chain: agree"


def test_chain__when_a_book_or_a_venue_states_terms__then_it_is_said_that_the_chain_has_its_own(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "anvil" / "node_modules").mkdir(parents=True)
    (tmp_path / "anvil" / "replayed.py").touch()
    monkeypatch.setattr(keeper, "__file__", str(tmp_path / "keeper" / "__init__.py"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("anvil.replayed.compared", lambda *_: Agreed())
    held = {"asset": "WETH", "amount": 10, "threshold": 0.8, "bonus": 0.2}
    lent = {"collateral": [held], "debt": [{"asset": "USDC", "amount": OWED}], "venue": "spark"}
    book = {"prices": {"WETH": 2_000, "USDC": 1}, "positions": [{"name": "one", "lending": lent}]}
    (tmp_path / "book.json").write_text(json.dumps(book))
    done = CliRunner().invoke(app, [*given, "--chain", "--book", str(tmp_path / "book.json")])
    said = " ".join(done.stdout.split())
    assert done.exit_code == 0, done.output
    assert (
        "note: 1 of 1 accounts stand on spark: on the chain they are liquidated by Aave v3.6's rule" in said
    )
    assert "note: the bonus that" in said
    assert "book.json states is not used: on the chain, and on the paper beside it" in said
    assert "left out: aave: too many" in said
    gone = PositionId(venue="aave_v3", chain_id=1, account="0xb", key="gone")
    loans = [loan("aave_v3", 10_800, "a"), loan("maker", 11_300, "m"), loan("compound_v3", 11_111, "c")]
    read(monkeypatch, loans, Unreadable(id=gone, why="no answer", since_block=1))
    found = json.loads(CliRunner().invoke(app, [*given, "--chain", "--json"]).stdout)
    assert any(
        "the bonus and liquidation_factor and penalty that the reading of" in n for n in found["notes"]
    )
    assert found["left_out"] == [f"{gone}: could not be read: no answer", "aave: too many"]
    assert not any("on aave_v3:" in n or "--bonus" in n for n in found["notes"])
