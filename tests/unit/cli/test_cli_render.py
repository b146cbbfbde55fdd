"""Photographs as JSON and tables: exact, and never healthier than what was read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from keeper.cli import covariance, render, table
from keeper.cli.journal import entry_json, entry_row
from keeper.cli.positions import show_positions
from keeper.daemon import touching
from keeper.daemon.wiring import Silent
from keeper.errors import EXIT_FINDINGS, EXIT_UNREACHABLE
from keeper.model import (
    Amount,
    Block,
    BookRow,
    Entry,
    Holding,
    Level,
    LiquidationPrice,
    Means,
    Outlook,
    Position,
    PositionId,
    Snapshot,
    Token,
    Unreadable,
)
from keeper.risk.factors import for_symbols
from keeper.units import UINT256_MAX, WAD
from tests import perps

pytestmark = pytest.mark.unit

ID = PositionId(venue="aave_v3", chain_id=1, account="0x" + "a" * 40, key="0xMarket")
WETH = Token(chain_id=1, address="0xWeth", symbol="WETH", decimals=18)
USDC = Token(chain_id=1, address="0xUsdc", symbol="USDC", decimals=6)
BLOCK = Block(chain_id=1, number=7, hash="0xh", parent_hash="0xp", timestamp_s=9, base_fee_wei=10**20)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the commands are handed."""

    snapshot: Snapshot
    outlooks: tuple[Outlook, ...]
    labels: Mapping[PositionId, str] = field(default_factory=dict)
    old: str = ""


def holding(token: Token, units: int, value_base: int, threshold_wad: int = WAD) -> Holding:
    return Holding(
        amount=Amount(token=token, units=units),
        stored=units,
        price_base=1,
        value_base=value_base,
        threshold_wad=threshold_wad,
        feed=f"feed:{token.symbol}",
    )


def position(health_wad: int | None, debt: tuple[Holding, ...]) -> Position:
    return Position(
        id=ID,
        owner=ID.account,
        block_number=7,
        health_wad=health_wad,
        collateral=(holding(WETH, 2**70 + 1, 123_456_789_012_345_678, WAD * 83 // 100),),
        debt=debt,
        base_decimals=8,
        row=BookRow(feeds=(), a=(), b=()),
    )


def outlook(health: float | None, level: Level, *distance: LiquidationPrice) -> Outlook:
    return Outlook(
        id=ID,
        health=health,
        margin_usd=1e-7,
        leverage=2.5,
        health_under=(),
        distance=distance,
        nearest_shock=None,
        level=level,
    )


def view(item: Position | Unreadable, *outlooks: Outlook) -> View:
    seen = (item,) if isinstance(item, Position) else ()
    unread = (item,) if isinstance(item, Unreadable) else ()
    means = Means(
        wallet="", native_wei=0, nonce=0, balances=(), allowances=(), reserves=(), tip_wei=0,
        native_price_base=None,
    )  # fmt: skip
    snapshot = Snapshot(block=BLOCK, positions=seen, unreadable=unread, means=means, prices={}, digest="d")
    return View(snapshot=snapshot, outlooks=outlooks, labels={ID: "vault"})


@pytest.mark.parametrize("as_json", [False, True])
def test_positions__when_a_chain_does_not_answer__then_the_others_are_shown_and_it_is_no_success(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    silent = Silent(chain="far", labels=("loan", "vault"), why="nobody answers")
    living = view(position(2 * WAD, ()), outlook(2.0, Level.SAFE))
    assert show_positions([living], json=as_json) == 0
    assert "far" not in capsys.readouterr().out
    assert show_positions([living], [silent], json=as_json) == EXIT_UNREACHABLE
    out = capsys.readouterr().out
    if as_json:
        body = json.loads(out)
        assert body["unreachable"] == [{"chain": "far", "labels": ["loan", "vault"], "why": "nobody answers"}]
        assert [p["label"] for p in body["positions"]] == ["vault"]
    else:
        assert "chain far does not answer, UNKNOWN: loan, vault (nobody answers)" in out
        assert "chain 1, block 7" in out


def test_document__when_a_position_has_debt__then_every_amount_is_an_exact_string() -> None:
    weth = LiquidationPrice(feed="feed:WETH", price=1234.5, distance=-0.25)
    item = position(1_234_567_890_123_456_789, (holding(USDC, 5, 499_999),))
    body = json.loads(table.document(render.positions_document([view(item, outlook(1.23, Level.ACT, weth))])))
    assert body["schema"] == 1
    assert body["block"] == {
        "chain_id": 1,
        "number": 7,
        "hash": "0xh",
        "timestamp_s": 9,
        "base_fee_wei": "100000000000000000000",
    }
    assert body["blocks"] == [body["block"]]
    assert body["positions"] == [
        {
            "id": f"aave_v3:1:{ID.account}:0xMarket",
            "label": "vault",
            "venue": "aave_v3",
            "account": ID.account,
            "health": 1.23,
            "health_wad": "1234567890123456789",
            "level": "ACT",
            "collateral": [
                {
                    "token": "WETH",
                    "address": "0xWeth",
                    "units": "1180591620717411303425",
                    "value_usd": "1234567890.12345678",
                }
            ],
            "debt": [{"token": "USDC", "address": "0xUsdc", "units": "5", "value_usd": "0.00499999"}],
            "margin_usd": "0.0000001",
            "leverage": 2.5,
            "liquidation_prices": {"WETH": {"feed": "feed:WETH", "price_usd": "1234.5", "distance": -0.25}},
            "unreadable": None,
        }
    ]


def test_document__when_there_is_no_debt__then_health_is_null_and_the_wad_is_the_protocols() -> None:
    body = render.positions_document([view(position(UINT256_MAX, ()), outlook(None, Level.SAFE))])
    (row,) = body["positions"]  # type: ignore[misc]
    assert row["health"] is None
    assert row["health_wad"] == str(2**256 - 1)
    assert row["level"] == "SAFE"


def test_document__when_a_position_is_unreadable__then_it_is_unknown_with_a_why() -> None:
    lost = Unreadable(id=ID, why="oracle reverted", since_block=5)
    body = render.positions_document([view(lost)])
    (row,) = body["positions"]  # type: ignore[misc]
    assert (row["level"], row["health"], row["health_wad"]) == ("UNKNOWN", None, None)
    assert row["unreadable"] == "oracle reverted"
    assert row["collateral"] == []


def test_level__when_an_outlook_is_missing_or_says_safe_of_the_unread__then_it_is_unknown() -> None:
    healthy = position(2 * WAD, (holding(USDC, 1, 1),))
    lost = Unreadable(id=ID, why="x", since_block=1)
    for item, given in ((healthy, ()), (lost, (outlook(2.0, Level.SAFE),))):
        body = render.positions_document([view(item, *given)])
        assert body["positions"][0]["level"] == "UNKNOWN"  # type: ignore[index]
        assert render.positions_rows([view(item, *given)])[0][1] == "UNKNOWN"


@pytest.mark.parametrize("as_json", [False, True])
def test_positions__when_the_newest_head_is_old__then_none_is_called_safe_and_it_is_no_success(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    why = "the newest head (5) is 5400 s old"
    old = replace(view(position(2 * WAD, ()), outlook(2.0, Level.SAFE)), old=why)
    assert show_positions([old], json=as_json) == EXIT_FINDINGS
    out = capsys.readouterr().out
    if as_json:
        body = json.loads(out)
        assert body["old"] == {str(old.snapshot.block.chain_id): why}
        assert [p["level"] for p in body["positions"]] == ["UNKNOWN"]
    else:
        assert f"OLD: {why}" in out
        assert "UNKNOWN" in out
        assert "SAFE" not in out


@pytest.mark.parametrize(
    ("level", "code"),
    [(Level.SAFE, 0), (Level.WATCH, 0), (Level.ACT, 1), (Level.URGENT, 1), (Level.UNKNOWN, 1)],
)
def test_exit__when_a_position_is_in_danger_or_unknown__then_it_is_1(level: Level, code: int) -> None:
    item = position(WAD, (holding(USDC, 1, 1),))
    assert render.positions_exit([view(item, outlook(1.0, level))]) == code


def test_rows__when_shown_to_a_person__then_health_is_cut_and_unused_collateral_is_told() -> None:
    item = position(1_299_999_999_999_999_999, (holding(USDC, 1_500_000, 1),))
    far = LiquidationPrice(feed="feed:USDC", price=1.5, distance=0.5)
    near = LiquidationPrice(feed="feed:WETH", price=1999.5, distance=-0.0312)
    row = render.positions_rows([view(item, outlook(1.3, Level.WATCH, far, near))])[0]
    assert row[:4] == ("vault", "WATCH", "1.2999", "WETH -3.1%")
    assert row[4] == "1180.5916 WETH"
    assert row[5] == "1.5 USDC"
    assert row[6] == "WETH 1,999.5\nUSDC 1.5"
    idle = holding(WETH, 10**18, 1, threshold_wad=0)
    other = Position(
        id=ID, owner="", block_number=7, health_wad=UINT256_MAX, collateral=(idle,), debt=(),
        base_decimals=8, row=item.row,
    )  # fmt: skip
    row = render.positions_rows([view(other, outlook(None, Level.SAFE))])[0]
    assert row[2:5] == ("no debt", "-", "1 WETH (not collateral)")


def test_liquidation_prices__when_two_tokens_share_a_symbol__then_both_are_kept() -> None:
    twin = Token(chain_id=1, address="0xEvil", symbol="WETH", decimals=18)
    item = position(WAD, (Holding(
        amount=Amount(token=twin, units=1), stored=1, price_base=1, value_base=1, threshold_wad=WAD,
        feed="feed:evil",
    ),))  # fmt: skip
    near = LiquidationPrice(feed="feed:WETH", price=1.0, distance=-0.1)
    far = LiquidationPrice(feed="feed:evil", price=2.0, distance=0.1)
    body = render.positions_document([view(item, outlook(1.0, Level.ACT, near, far))])
    prices = body["positions"][0]["liquidation_prices"]  # type: ignore[index]
    assert set(prices) == {"WETH (feed:WETH)", "WETH (feed:evil)"}


def test_plain__when_piped__then_columns_align_and_a_cell_stays_on_its_line() -> None:
    assert table.plain(("a", "b"), [("long", "x\ny"), ("s", "")]) == "a     b\nlong  x, y\ns"


def test_entry__when_shown__then_time_is_utc_and_data_is_kept() -> None:
    entry = Entry(
        kind="decision", chain_id=1, block_number=7, subject="s", why="w", data={"k": "1"}, id=3, at_s=0.5
    )
    assert entry_json(entry) == {
        "id": 3,
        "at": "1970-01-01T00:00:00.500Z",
        "kind": "decision",
        "chain_id": 1,
        "block_number": 7,
        "subject": "s",
        "why": "w",
        "data": {"k": "1"},
    }
    assert entry_row(entry) == ("3", "1970-01-01T00:00:00.500Z", "decision", "7", "s", "w")


def test_rows__when_a_perpetual_is_shown__then_its_side_margin_entry_and_loss_and_no_made_up_dollars() -> (
    None
):
    for long, words in ((True, "loss $1,000.00"), (False, "profit $1,000.00")):
        at = perps.position(perps.perp(1_900, long))
        (row,) = render.positions_rows([View(snapshot=perps.world(at.perp)[0], outlooks=())])  # type: ignore[arg-type]
        side = "long" if long else "short"
        assert row[0].endswith(f"{side} WETH")
        assert row[4].startswith("2000 USDC margin\n")
        assert row[5] == f"{side} 10 WETH from $2,000.00\n{words}"
        body = render.positions_document([View(snapshot=perps.world(at.perp)[0], outlooks=())])  # type: ignore[arg-type]
        told = body["positions"][0]["perp"]  # type: ignore[index]
        assert (told["side"], told["size_usd"], told["entry_price_usd"]) == (side, "20000", "2000")
        assert told["margin"] == {"token": "USDC", "units": "2000000000"}
        stop = replace(perps.order(9, resting=True, frozen=not long), trigger_price=1_850 * 10**12)
        seen = perps.world(replace(perps.perp(1_900, long), orders=(stop,)))[0]
        (row,) = render.positions_rows([View(snapshot=seen, outlooks=())])  # type: ignore[arg-type]
        assert row[5].endswith("\nstop at $1,850.00" + ("" if long else " (frozen)"))
        body = render.positions_document([View(snapshot=seen, outlooks=())])  # type: ignore[arg-type]
        (order,) = body["positions"][0]["perp"]["orders"]  # type: ignore[index]
        assert (order["trigger_price_usd"], order["size_usd"]) == ("1850", "20000")


def test_symbols__of_a_loan_and_a_perpetual__what_moves_them_and_no_made_up_dollars() -> None:
    perp = perps.position(perps.perp(2_000))
    loan = position(2 * WAD, (holding(USDC, 1, 1),))
    found = touching.symbols_of((loan, perp))
    assert sorted(found.values()) == ["USDC", "USDC", "WETH", "WETH"]
    assert found.keys() >= set(perp.row.feeds)
    line = covariance.volatilities(for_symbols(found), ("ETH", "USDC", "USD"))
    assert "USD " not in line
