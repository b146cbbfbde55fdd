"""``keeper cascade --rpc``: everybody who owes on a real market, found by its logs, against the pool's own word."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from anvil.actors import AccountData, Actors, Borrower
from anvil.client import Chain
from anvil.deploy_aave_v3 import EMODES
from anvil.deployment import Deployment
from anvil.node import Anvil
from anvil.shock import set_prices
from keeper.cli import invoke

pytestmark = pytest.mark.anvil
EMODE = next(m.id for m in EMODES if m.label == "ETH correlated")
STEPS = 4
SHOCK = "ETH=-60,wstETH=-70,BTC=-30"


def crowd(market: Deployment) -> list[Borrower]:
    """Debts of several kinds at many distances; one in e-mode, one that owes what it also pledges."""
    unit = {t.symbol: t.unit for t in market.tokens}
    free = market.roles.actors
    found = [
        Borrower(
            account=free[n],
            collateral={"WETH": 10 * unit["WETH"]},
            debt={"USDC": (9_000 + 1_500 * n) * unit["USDC"]},
        )
        for n in range(9)
    ]
    found += [
        Borrower(
            account=free[9 + n],
            collateral={"wstETH": 5 * unit["wstETH"], "WBTC": unit["WBTC"] // 4},
            debt={"DAI": (5_000 + 4_000 * n) * unit["DAI"], "USDC": 1_000 * unit["USDC"]},
        )
        for n in range(4)
    ]
    found.append(
        Borrower(
            account=free[13],
            collateral={"wstETH": 10 * unit["wstETH"]},
            debt={"WETH": 9 * unit["WETH"]},
            emode=EMODE,
        )
    )
    return found


def mapped(capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the JSON document."""
    code = invoke(
        ["cascade", "--shock", SHOCK, "--depth", "*=1e9", "--map", "--steps", str(STEPS), "--json", *line]
    )
    out = capsys.readouterr()
    assert out.out, out.err
    return code, json.loads(out.out)


def geared(capsys: pytest.CaptureFixture[str], where: tuple[str, ...], views: list[AccountData]) -> None:
    """``keeper leverage`` of the same crowd: assets, debt and leverage as the pool has them."""
    assert invoke(["leverage", *where, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    held, owed = (sum(getattr(v, side) for v in views) / 1e8 for side in ("collateral_base", "debt_base"))
    assert found["assets_usd"] == pytest.approx(held, rel=1e-6)
    assert found["debt_usd"] == pytest.approx(owed, rel=1e-6)
    said = {m["measure"]: m for m in found["measures"]}
    assert said["systemic leverage"]["value"] == pytest.approx(held / (held - owed), rel=1e-6)
    by = {s["by"]: s for s in found["concentration"]}
    assert {kind: len(by[kind]["usd"]) for kind in ("venue", "oracle", "chain")} == dict.fromkeys(
        ("venue", "oracle", "chain"), 1
    )
    assert by["venue"]["usd"] == {
        f"aave_v3 on {next(iter(by['chain']['usd']))}": pytest.approx(held, rel=1e-6)
    }


def test_census__crowd_of_the_real_market_from_its_logs__map_equals_the_pool_asked_one_by_one(
    upstream: Anvil,
    chain: Chain,
    deployment: Deployment,
    actors: Actors,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    people = crowd(deployment)
    actors.open_many(people)
    # one who owes nothing any more: his loan is in the logs all the same
    chain.rpc("anvil_setBalance", people[8].account, hex(10**21))
    actors.repay(people[8].account, "USDC", 10**15)
    picture = tmp_path / "map.html"
    mine = people[4].account
    where = ("--rpc", upstream.url, "--provider", deployment.provider)
    code, found = mapped(capsys, *where, "--mine", mine.lower(), "--plot", str(picture))

    assert code == 0
    owing = [b for b in people if actors.account(b.account).debt_base]
    assert {p["name"] for p in found["queue"]} == {b.account for b in owing}
    assert len(owing) == len(people) - 1
    assert found["of"] == "wstETH"
    geared(capsys, where, [actors.account(b.account) for b in owing])
    start = {s: actors.price_usd8(s) for s in deployment.symbols}
    total = {"WETH": 0.4, "wstETH": 0.3, "WBTC": 0.7}
    turns: list[str] = []
    for n, band in enumerate(found["bands"], 1):
        before = chain.snapshot()
        share = n / STEPS * 0.7  # of what moves most
        power = math.log(1 - share) / math.log(0.3)
        set_prices(chain, deployment, {s: int(start[s] * x**power) for s, x in total.items()})
        views = {b.account: actors.account(b.account) for b in owing}
        chain.revert(before)
        low = [a for a, v in views.items() if v.health_wad < 10**18]
        assert band["size"] == pytest.approx(share)
        assert band["liquidatable"] == len(low)
        assert band["debt_usd"] == pytest.approx(
            sum(views[a].debt_base for a in low) / 1e8, rel=1e-6, abs=0.01
        )
        assert band["collateral_usd"] == pytest.approx(
            sum(views[a].collateral_base for a in low) / 1e8, rel=1e-6, abs=0.01
        )
        turns += sorted(set(low) - set(turns))
    assert 2 < len(turns) < len(owing)
    first = [p["name"] for p in found["queue"] if p["size"] is not None]
    assert set(first) == set(turns)
    (place,) = found["mine"]
    assert place["name"] == mine
    ahead = first[: first.index(mine)]
    assert place["rank"] == len(ahead) + 1
    owed = {a: actors.account(a).debt_base / 1e8 for a in ahead}
    assert place["ahead_usd"] == pytest.approx(sum(owed.values()), rel=1e-6)
    assert "<svg" in picture.read_text()


def test_census__a_file_of_accounts__reads_those_alone(
    upstream: Anvil,
    chain: Chain,
    deployment: Deployment,
    actors: Actors,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    people = crowd(deployment)[:3]
    actors.open_many(people)
    file = tmp_path / "accounts"
    file.write_text(f"# two of three\n{people[0].account}\n{people[2].account.lower()}  # the second\n")
    line = ("--rpc", upstream.url, "--provider", deployment.provider, "--accounts", str(file))
    _, found = mapped(capsys, *line)
    assert {p["name"] for p in found["queue"]} == {people[0].account, people[2].account}
