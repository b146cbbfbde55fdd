"""Accounts in a replay are liquidated by the rule of the venue that they stand on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from keeper.cli import app
from keeper.errors import ConfigError
from keeper.kinds import KINDS
from keeper.replay import compare, fleet, run, seizure
from keeper.replay.fleet import Account, Lot
from keeper.replay.ours import Ours
from keeper.replay.vessel import Vessel
from tests.unit.replay.replay_everywhere import everywhere, screened
from tests.unit.replay.test_replay_run import DEEP, account, path

pytestmark = pytest.mark.unit
BARS = "ts,symbol,open,high,low,close\n"
FALL = [1.0, 0.9, 0.74, 0.74]
"""60,000 owed against 100,000 at 0.8: health 0.987 from the third moment on."""


def nobody(kind: str, levels: list[float], debt: float = 60.0) -> run.Trip:
    crew = fleet.Fleet(path="", unit="USD", accounts=(replace(account(debt), venue=kind),))
    make = compare.makes(["nobody"], None, crew.assets, DEEP)["nobody"]
    return run.voyage(crew, path(levels), make, DEEP).trips[0]


def test_rules__of_the_kinds_that_ship__then_each_kind_of_loan_has_one() -> None:
    assert [k.name for k in KINDS if not k.perpetual and k.name not in seizure.RULES] == []
    assert not seizure.known("another")


@pytest.mark.parametrize(
    ("kind", "repaid", "lost", "equity"),
    [
        # 74,000 held, 60,000 owed: half of the debt and 5 % on it, once
        ("aave_v3", 30_000.0, 1_500.0, 12_500.0),
        ("aave_v2", 30_000.0, 1_500.0, 12_500.0),
        # all of it: LIF 1 / (1 - 0.3 x 0.2) = 1.0638
        ("morpho_blue", 60_000.0, 60_000.0 * (1.0 / 0.94 - 1.0), 14_000.0 - 60_000.0 * (1.0 / 0.94 - 1.0)),
        # all collateral at 1 / 1.05 of its worth: the rest is credited in dollars
        ("compound_v3", 60_000.0, 74_000.0 * (1.0 - 1.0 / 1.05), 74_000.0 / 1.05 - 60_000.0),
        # 13 % on the debt, sold at nine tenths: 75,333 wanted, 74,000 there
        ("maker", 60_000.0, 14_000.0, 0.0),
    ],
)
def test_nobody__when_health_falls_below_1__then_the_venue_takes_what_its_rule_says(
    kind: str, repaid: float, lost: float, equity: float
) -> None:
    trip = nobody(kind, FALL)
    (event,) = trip.events
    assert event.repaid_usd == pytest.approx(repaid)
    assert trip.lost_usd == pytest.approx(lost)
    assert trip.equity_usd == pytest.approx(equity, abs=1e-6)
    assert event.bad_usd == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "bearer"),
    [("morpho_blue", "lenders"), ("compound_v3", "reserves"), ("maker", "system")],
)
def test_nobody__when_collateral_does_not_cover__then_bad_debt_is_named_and_who_bears_it(
    kind: str, bearer: str
) -> None:
    trip = nobody(kind, [1.0, 0.9, 0.5, 0.5])
    (event,) = trip.events
    assert event.bad_usd + event.repaid_usd == pytest.approx(60_000.0)
    assert event.bad_usd > 9_000.0
    assert bearer in event.why
    assert trip.equity_usd == pytest.approx(0.0, abs=1e-6)


def test_absorbed__when_base_rises_later__then_what_was_credited_rises_with_it() -> None:
    loan = Account(
        name="one",
        collateral=(Lot(asset="USDC", value=100_000.0, threshold=0.8),),
        debt=(Lot(asset="ETH", value=70_000.0),),
        venue="compound_v3",
    )
    vessel = Vessel(loan, path([1.0, 1.2, 1.5]), 1.0)
    vessel.at = 1
    (seized,) = seizure.liquidate(vessel, DEEP)
    given = 100_000.0 / 1.05 - 84_000.0
    assert vessel.equity_usd() == pytest.approx(given)
    assert seized.lost == pytest.approx(100_000.0 * (1.0 - 1.0 / 1.05))
    vessel.at = 2
    assert vessel.equity_usd() == pytest.approx(given * 1.5 / 1.2)


@pytest.mark.parametrize("kind", ["aave_v2", "morpho_blue", "compound_v3", "maker"])
def test_ours__screened__equals_the_rooms_asked_at_every_moment_on_each_kind_of_venue(kind: str) -> None:
    rng = np.random.default_rng(11)
    # jumps that pass the trigger and the line at once, so that liquidators come too
    levels = np.exp(np.cumsum(rng.normal(-4e-3, 0.03, 60))).tolist()
    crew, policy = replace(account(60.0), venue=kind), compare.plain_policy(1.15, 1.30)
    make = compare.makes(["ours"], policy, ("ETH", "USDC"), DEEP)["ours"]
    vessels = [Vessel(crew, path(levels, 600.0), 1.0) for _ in range(2)]
    keepers = [make(v) for v in vessels]
    assert isinstance(keepers[0], Ours)
    assert isinstance(keepers[1], Ours)
    slow, _ = everywhere(vessels[1], keepers[1], DEEP)
    assert screened(vessels[0], keepers[0], DEEP) == slow
    assert slow


STATED: dict[str, dict[str, float]] = {"aave_v3": {"bonus": 0.08}, "compound_v3": {"liquidation_factor": 0.9}}


def played(
    folder: Path, *venues: str, own: dict[str, dict[str, float]] | None = None, fails: bool = False
) -> dict[str, Any]:
    """Nobody's replay of one loan on each of the venues, from a book file; what went wrong under ``wrong``."""
    stated = STATED if own is None else own

    def loan(venue: str) -> dict[str, Any]:
        words = dict(stated.get(venue, {}))
        # a rule of no lending position's that a book file can name stands beside the position
        beside = {"venue": venue} if venue == "aave_v2" else {}
        more = {"penalty": words.pop("penalty")} if "penalty" in words else {}
        named = {"venue": venue} if venue not in ("aave_v2", "none") else {}
        held = {"asset": "WETH", "amount": 10, "threshold": 0.8, **words}
        lent = {"collateral": [held], "debt": [{"asset": "USDC", "amount": 13_500}], **named, **more}
        return {"name": venue, "lending": lent, **beside}

    book = {"prices": {"WETH": 2_000, "USDC": 1}, "positions": [loan(v) for v in venues]}
    rows = (f"{300 * n},ETH/USDT,{p},{p},{p},{p}\n" for n, p in enumerate((2_000, 1_900, 1_650), 1))
    (folder / "eth.csv").write_text(BARS + "".join(rows))
    (folder / "book.json").write_text(json.dumps(book))
    given = ["--prices", str(folder / "eth.csv"), "--book", str(folder / "book.json"), "--json"]
    done = CliRunner().invoke(app, ["replay", *given, "--keepers", "nobody"])
    assert isinstance(done.exception, ConfigError) if fails else done.exit_code == 0, done.output
    found: dict[str, Any] = {"wrong": str(done.exception)} if fails else json.loads(done.stdout)
    return found


def lost_of(found: dict[str, Any]) -> dict[str, float]:
    return {a["name"]: a["lost_usd"] for a in found["keepers"][0]["accounts"]}


def test_command__when_loans_stand_on_several_venues__then_each_rule_is_played_and_said(
    tmp_path: Path,
) -> None:
    found = played(tmp_path, "aave_v3", "compound_v3", "morpho_blue")
    said = [n for n in found["notes"] if "liquidated by its rule" in n]
    assert [n.split(" and are")[0] for n in said] == [
        "1 of 3 accounts stand on compound_v3",
        "1 of 3 accounts stand on morpho_blue",
    ]
    lost = lost_of(found)
    assert lost["aave_v3"] == pytest.approx(0.08 * 6_750.0)
    assert lost["morpho_blue"] == pytest.approx(13_500.0 * (1.0 / 0.94 - 1.0))
    assert lost["compound_v3"] == pytest.approx(16_500.0 * 0.1)
    said = [n for n in found["notes"] if "book.json states" in n]
    assert [n.split("book.json states")[0].split(" that ")[0] for n in said] == [
        "liquidated by the liquidation_factor",
        "liquidated by the bonus",
    ]
    assert said[1].endswith("1 of 3 (8 %)")
    stated = {x["name"]: (x["bonus"], x["liquidation_factor"]) for x in found["market"]["stated"]}
    assert stated == {"aave_v3": (0.08, None), "compound_v3": (None, 0.9)}


def test_command__when_a_book_states_terms_on_any_venue__then_they_are_taken_and_else_the_default(
    tmp_path: Path,
) -> None:
    own = {
        "aave_v2": {"bonus": 0.1},
        "spark": {"bonus": 0.0},
        "maker": {"penalty": 0.02},
        "none": {"bonus": 0.06},
    }
    found = played(tmp_path, "aave_v2", "spark", "maker", "none", own=own)
    lost = lost_of(found)
    assert lost["aave_v2"] == pytest.approx(0.1 * 6_750.0)
    assert lost["spark"] == pytest.approx(0.0, abs=1e-6)
    assert lost["maker"] == pytest.approx(13_500.0 * (1.02 / 0.9 - 1.0))
    assert lost["none"] == pytest.approx(0.06 * 6_750.0)
    assert any("the penalty that" in n and n.endswith("(2 %)") for n in found["notes"])
    plain = played(tmp_path, "aave_v2", "none", own={})
    assert lost_of(plain) == pytest.approx({"aave_v2": 0.05 * 6_750.0, "none": 0.05 * 6_750.0})
    said = [n for n in plain["notes"] if "states no bonus of 2 collaterals" in n]
    assert said
    assert said[0].endswith("--bonus or its default is taken (WETH 5 %)")


def test_command__when_a_share_of_a_book_is_none__then_file_and_field_are_named(tmp_path: Path) -> None:
    said = played(tmp_path, "none", own={"none": {"bonus": 5.0}}, fails=True)["wrong"]
    assert "book.json: positions[0].lending.collateral[0].bonus = 5.0: must be a share" in said
    said = played(tmp_path, "none", own={"none": {"threshold": 83.0}}, fails=True)["wrong"]
    assert "book.json: positions[0].lending.collateral[0].threshold = 83.0: must be a share" in said
    said = played(tmp_path, "none", own={"none": {"amount": -1.0}}, fails=True)["wrong"]
    assert "book.json: positions[0].lending.collateral[0].amount = -1.0" in said


def test_account__of_another_rule_or_terms__then_results_that_were_kept_are_of_another_replay() -> None:
    one = account()
    for other in (replace(one, venue="morpho_blue"), replace(one, penalty=0.1)):
        assert repr(one) != repr(other)
