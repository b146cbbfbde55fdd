"""The picture of a replay, a policy beside, a wallet: what is drawn, what is spent, and what is refused."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from keeper.cli import app
from keeper.model import Repay
from keeper.replay import compare, figure, fleet, paper, plots, run
from keeper.replay.figure import Curve, Sheet
from keeper.replay.policies import Act
from keeper.replay.purse import Payment, Purse
from keeper.replay.vessel import Vessel
from tests.strategy_fall import FOLDER
from tests.unit.replay.test_replay_run import DEEP, STEPS, account, path

pytestmark = pytest.mark.unit
PLAIN = compare.plain_policy(1.15, 1.30)
POLICY = replace(PLAIN, strategies=("repay", "add_collateral"))
SVG = "{http://www.w3.org/2000/svg}"


def sail(wallet: dict[str, float], debts: tuple[float, ...] = (60.0,)) -> list[run.Trip]:
    accounts = tuple(replace(account(d), name=f"a{n}") for n, d in enumerate(debts))
    crew = fleet.Fleet(path="", unit="USD", accounts=accounts)
    made = compare.makes(["ours"], POLICY, crew.assets, DEEP, wallet)["ours"]
    return list(run.voyage(crew, path(STEPS), made, DEEP).trips)


def paid(trip: run.Trip) -> float:
    return sum(e.usd for e in trip.events if e.what == "act")


def test_wallet__when_it_holds_enough__then_target_is_restored_by_what_it_pays_and_nothing_is_sold() -> None:
    (trip,) = sail({"USDC": 60_000.0})
    acts = [e for e in trip.events if e.what == "act"]
    assert trip.liquidations == 0
    assert acts[0].health_after == pytest.approx(1.30, abs=2e-3)
    assert trip.cost_usd == 0.0
    assert trip.gas_usd > 0.0
    # what was paid in is in the equity: collateral of 70,000 less what is still owed
    assert trip.equity_usd == pytest.approx(70_000.0 - (60_000.0 - paid(trip)), rel=1e-6)


def test_wallet__when_it_holds_little__then_no_more_than_that_is_paid_and_each_account_has_its_own() -> None:
    both = sail({"USDC": 3_000.0}, debts=(60.0, 60.0))
    assert [paid(t) for t in both] == pytest.approx([3_000.0, 3_000.0], rel=1e-6)
    none = sail({})
    assert paid(none[0]) == 0.0
    assert none[0].liquidations > 0


def test_payment__when_gas_is_dearer_where_it_lands_than_it_may_pay__then_it_is_not_included() -> None:
    venue, vessel = paper.PaperVenue(("ETH", "USDC"), 500_000), Vessel(account(), path(STEPS), 1.0)
    wallet = Purse({"USDC": 5_000.0}, vessel.paths, venue)
    (held,) = wallet.balances
    heard = list[Act]()
    order = Payment(
        step=Repay(amount=held),
        gas_usd_max=9.0,
        venue=venue,
        purse=wallet,
        ended=lambda done, _: heard.append(done),
    )
    # 10 gwei x 500,000 gas x 2,000 dollars
    assert "gas is dearer" in order.land(vessel, DEEP).why
    assert wallet.balances == (held,)
    assert replace(order, gas_usd_max=11.0).land(vessel, DEEP).repaid == pytest.approx(5_000.0)
    assert wallet.balances == ()
    # a second one of the same finds nothing, and has paid its gas
    again = replace(order, gas_usd_max=11.0).land(vessel, DEEP)
    assert (again.repaid, again.gas) == (0.0, pytest.approx(10.0))
    assert [bool(a.why) for a in heard] == [True, False, True]


def drawn(levels: list[float]) -> tuple[Sheet, str]:
    crew = fleet.Fleet(path="", unit="USD", accounts=(account(),))
    moved = path(levels)
    made = compare.makes(["nobody", "ours"], PLAIN, crew.assets, DEEP)
    trips = {name: run.voyage(crew, moved, make, DEEP).trips[0] for name, make in made.items()}
    curves = (
        Curve(name="nobody & <nothing>", style="nobody", trip=trips["nobody"]),
        Curve(name="ours", style="ours", trip=trips["ours"]),
    )
    sheet = Sheet(title="a < b", paths=moved, asset="ETH", curves=curves, levels=((1.15, "trigger"),))
    return sheet, figure.figure(sheet)


def test_figure__of_a_fall__then_it_is_a_file_of_its_own_with_both_axes_named_and_every_mark() -> None:
    sheet, text = drawn(STEPS)
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    said = [t.text or "" for t in root.iter(f"{SVG}text")]
    for words in (
        "ETH, dollars by its feed",
        "health factor by the venue's oracle",
        "nobody & <nothing>",
        "act",
    ):
        assert words in said
    assert any("UTC" in s for s in said)
    nobody, ours = (c.trip for c in sheet.curves)
    legend = 1
    assert len(list(root.iter(f"{SVG}circle"))) == ours.acts + legend
    crosses = [p for p in root.iter(f"{SVG}path") if "cross" in p.attrib["class"]]
    assert len(crosses) == nobody.liquidations + ours.liquidations + legend
    assert "prefers-color-scheme:dark" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_moments__of_a_long_run__then_no_lowest_health_is_left_out() -> None:
    levels = [1.0 - 0.0001 * (n % 7) for n in range(5_000)]
    levels[3_333] = 0.77
    sheet, _ = drawn(levels)
    found = figure.moments(sheet)
    assert 3_333 in found
    assert len(found) < 1_500


@pytest.mark.parametrize(
    ("span_s", "step_s"), [(3_600.0, 900.0), (4 * 86_400.0, 86_400.0), (400 * 86_400.0, 90 * 86_400.0)]
)
def test_hours__of_a_span__then_round_times_within_it(span_s: float, step_s: float) -> None:
    first = 946_857_600.0
    found = plots.hours(first, first + span_s)
    assert 2 <= len(found) <= 7
    assert np.diff(found) == pytest.approx(step_s)
    assert first <= found[0] <= found[-1] <= first + span_s
    assert all(t % step_s == 0.0 for t in found)


FALL = (
    *("replay", "--config", str(FOLDER / "keeper.toml"), "--prices", str(FOLDER / "eth.csv")),
    *("--accounts", str(FOLDER / "accounts.csv")),
)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--beside", "ours"], "is a keeper of the run"),
        (["--policy", "trail", "--beside", "trail"], "is --policy already"),
        (["--beside", "nowhere"], '"nowhere" is not in'),
        (["--beside", "trail", "--sweep"], "is not swept"),
        (["--wallet", "LINK=5"], 'nobody holds or owes "LINK"'),
        (["--wallet", "USDC"], "is not NAME=a number of tokens"),
        (["--wallet", "USDC=5", "--chain"], "not driven through a chain"),
        (["--figure", "a.svg", "--keep", "k.jsonl"], "leave --keep away"),
        (["--figure", "a.svg", "--sweep"], "is not drawn of --sweep"),
    ],
)
def test_command__when_an_option_is_wrong__then_usage_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, [*FALL, *options])
    assert found.exit_code == 2, found.output
    assert words in " ".join(found.output.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []
