"""Real accounts along real price paths with nobody acting, against numbers made by another hand."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keeper.replay import bars, fleet, paths
from keeper.replay.idle import idle
from tests.bench.figures import record

pytestmark = pytest.mark.vectors

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def found(pattern: str) -> list[Path]:
    """Files beside the repository and in the folder that ``KEEPER_VECTORS`` names."""
    roots = [DATA, *(Path(x) for x in [os.environ.get("KEEPER_VECTORS", "")] if x)]
    return [p for root in roots if root.is_dir() for p in sorted(root.rglob(pattern)) if p.is_file()]


def cases() -> list[tuple[str, dict[str, Any]]]:
    documents = [
        json.loads(gzip.decompress(p.read_bytes())) for p in found("*replay_no_action_expected*.json.gz")
    ]
    return [(name, case) for d in documents for name, case in d["cases"].items()]


def apart_of(name: str, case: dict[str, Any], accounts: dict[str, fleet.Account]) -> list[str]:
    """Which of a case's accounts, all of one file, come out otherwise than expected."""
    (file,) = found(case["prices"])[:1]
    read = bars.read(file, (case["symbol"],)).between(bars.moment(case["from"]), bars.moment(case["to"]))
    assert len(read.times_s) == case["n_steps"], name
    asked = [accounts[row["user"]] for row in case["per_account"]]
    crew = fleet.Fleet(path="vectors", unit="ETH", accounts=tuple(asked))
    moved = paths.project(read, crew.assets, (case["price_field"],), {"*": paths.EVERY}, hold=("WBTC",))
    result = idle(crew, moved)
    apart = []
    for n, row in enumerate(case["per_account"]):
        bar = result.first[n]
        at = None if bar < 0 else int(read.times_s[bar])
        same = (
            result.start[n] == pytest.approx(row["hf_start"], rel=1e-8)
            and result.least[n] == pytest.approx(row["hf_min"], rel=1e-8)
            and at == row["first_below_1_ts"]
        )
        apart += [] if same else [f"{name} {row}: {result.start[n]}, {result.least[n]}, {at}"]
    ever = int(np.count_nonzero(result.first >= 0))
    if len(asked) == case["accounts"] and ever != case["liquidatable_ever"]:
        apart.append(f"{name}: {ever} fall below 1")
    return apart


def test_replay__real_accounts_and_nobody_acts__then_health_and_first_bar_are_the_expected() -> None:
    checked, apart = 0, list[str]()
    files = [{a.name: a for a in fleet.read(p).accounts} for p in found("*per_asset*.csv.gz")]
    if not files or not cases():
        pytest.skip("no accounts or expected replays beside the repository or in KEEPER_VECTORS")
    for name, case in cases():
        users = {row["user"] for row in case["per_account"]}
        # each file by itself: one user may stand in several, with other holdings in each
        whole = [accounts for accounts in files if users <= accounts.keys()]
        assert whole, f"{name}: no one file holds its accounts"
        apart += min((apart_of(name, case, accounts) for accounts in whole), key=len)
        checked += len(case["per_account"])
    for figure, value, bound in (
        ("replay_accounts_matching", checked - len(apart), f"= {checked}"),
        ("replay_accounts", checked, ""),
    ):
        holds = not apart if bound else None
        record(
            figure,
            value,
            unit="accounts",
            bound=bound,
            holds=holds,
            evidence="vendor_vectors",
            n=len(cases()),
        )
    assert not apart, apart[:3]
    assert checked > 0
