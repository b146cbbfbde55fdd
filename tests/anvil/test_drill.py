"""``keeper drill`` as a user types it: a shock on his position, and a past liquidation again, on a local fork."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anvil import shock
from keeper import drilled
from keeper.config import load
from tests.anvil_daemon import ROOT
from tests.executor_daemon import Owned, changed, owned

pytestmark = pytest.mark.anvil
COARSE = ("--precision", "30", "--json")
"""Two probes for the largest step: what they find is another test's business."""


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owned]:
    """A borrower with an Executor that he has neither configured nor granted anything."""
    with owned(tmp_path_factory.mktemp("drill")) as stage:
        stage.on.chain.rpc("anvil_setBlockTimestampInterval", 12)
        yield stage


def drill(there: Owned, *line: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON document and stderr."""
    words = ("drill", "--rpc", there.on.node.url, "--config", str(there.on.config), *COARSE, *line)
    ran = subprocess.run(
        [sys.executable, "-m", "keeper", *words],
        cwd=there.on.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    return ran.returncode, json.loads(ran.stdout) if ran.stdout else {}, ran.stderr


def test_drill__eth_falls_by_half_and_the_owner_signed_nothing_yet__the_keeper_saves_what_the_fall_would_take(
    there: Owned, tmp_path: Path
) -> None:
    on, account, page = there.on, there.on.pairs[0].guarded, tmp_path / "drill.html"
    before = on.chain.block(), on.actors.account(account), on.config.read_text()
    assert there.label in drilled.missing(load(on.config))

    line = (account, "--shock", "ETH=-50", "--updates", "14", "--html", str(page))
    code, told, errors = drill(there, *line)

    assert code == 0, errors
    alone, guarded = told["without_keeper"], told["with_keeper"]
    assert alone["liquidations"] >= 1
    assert alone["lost_usd"] > 100
    assert alone["health_lowest"] < 1
    assert (guarded["liquidations"], guarded["lost_usd"]) == (0, 0)
    assert guarded["transactions"] >= 1
    assert guarded["health_lowest"] > 1
    assert 0 < guarded["cost_usd"] < alone["lost_usd"]
    assert told["saved_usd"] == pytest.approx(alone["lost_usd"] - guarded["cost_usd"])
    assert told["gas_gwei"] == 20
    assert (told["pools_thinned"], told["thinned_by"]) == (1, 4)
    assert told["largest_step"] == pytest.approx(0.3)
    assert any("keeper grant --executor" in line for line in told["made_of"])
    # nothing of it happened on the chain, and the user's files are as they were
    assert (on.chain.block(), on.actors.account(account), on.config.read_text()) == before
    assert there.label not in drilled.missing(load(on.config))
    text = page.read_text()
    assert "passed: not liquidated" in text.lower()
    assert not re.search(r"(src|href)=|@import|url\(", text)


def test_drill__a_past_liquidation__is_run_again_with_its_own_prices_and_prevented(there: Owned) -> None:
    on, account = there.on, there.on.pairs[0].guarded
    before = on.chain.snapshot()
    try:
        start = on.scenario.prices_usd8(-1)["WETH"]
        for share in (0.95, 0.90, 0.80, 0.72, 0.66):
            shock.set_prices(on.chain, on.market, {"WETH": int(start * share)})
        (lost,) = on.liquidator.act([account])

        line = ("--liquidation", lost.tx_hash, "--before", "7")
        code, told, errors = drill(there, *line)

        assert code == 0, errors
        assert (told["account"], told["block"]) == (account, lost.block_number - 7)
        # the fork's competitor takes what the real one took: the same prices, the same rules
        assert told["without_keeper"]["liquidations"] == 1
        assert told["without_keeper"]["lost_usd"] == pytest.approx(lost.loss_usd8 / 1e8, rel=1e-4)
        assert told["with_keeper"]["liquidations"] == 0
    finally:
        on.chain.revert(before)


def test_drill__a_keeper_that_may_do_nothing__is_liquidated_and_not_kept_as_passed(there: Owned) -> None:
    on, account = there.on, there.on.pairs[0].guarded
    before = on.config.read_text()
    changed(on.config, {"['repay', 'add_collateral', 'deleverage']": "['repay']"})
    try:
        code, told, errors = drill(there, account, "--shock", "ETH=-45", "--updates", "3")
        assert code == 1, errors
        assert told["passed"] is False
        assert told["with_keeper"]["liquidations"] >= 1
        assert told["with_keeper"]["transactions"] == 0
        assert told["saved_usd"] == pytest.approx(0.0, abs=0.01)
        assert there.label in drilled.missing(load(on.config))
    finally:
        on.config.write_text(before)
