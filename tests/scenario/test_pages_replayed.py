"""The replay of each strategy's page, as a reader types it, on a short fall of his own making."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.command import typed
from tests.pages import Block, Command, blocks, pages

pytestmark = pytest.mark.scenario
ACCOUNT = "0xcA11bde05977b3631167028862bE2a173976CA11"
BARS, BAR_S, START_S = 72, 300, 1_582_156_800
HIGH, LOW = 280.0, 120.0
CONFIG = f"""\
schema = 1
state_dir = "state"
[[chains]]
name = "ethereum"
chain_id = 1
[[chains.endpoints]]
url = "http://127.0.0.1:1"
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "ethereum"
provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
[[positions]]
label = "vault"
venue = "aave"
account = "{ACCOUNT}"
policy = "NAME"
"""


def told(page: Path) -> tuple[Block, Command] | None:
    """(the policy, the replay) of a strategy's page; None where it has no replay of these bars.

    A warning is measured against a month of funding before it, which these bars do not have: the early warning's own
    tests play it.
    """
    lines = [c for b in blocks(page) if b.language == "sh" for c in b.commands]
    for line in lines:
        replays = line.keeper is not None and line.keeper[0] == "replay" and "--funding" not in line.words
        if replays and "ETH/USDT" in line.words:
            return next(b for b in blocks(page) if b.language == "toml" and "[policies." in b.text), line
    return None


REPLAYED = tuple(found for page in pages("docs/strategies/*.md") if (found := told(page)) is not None)


def prices(path: Path) -> None:
    """Five-minute bars: calm, a fall by more than half within two hours, calm."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ts", "symbol", "open", "high", "low", "close"])
        last = HIGH
        for n in range(BARS):
            share = min(1.0, max(0.0, (n - BARS / 3) / (BARS / 3)))
            price = HIGH + share * (LOW - HIGH)
            rows.writerow([START_S + n * BAR_S, "ETH/USDT", last, max(last, price), min(last, price), price])
            last = price


def accounts(path: Path) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user", "collateral_[asset,value_usd,liq_threshold]", "debt_[asset,value_usd]"])
        rows.writerow([ACCOUNT, json.dumps([["WETH", 100_000, 0.83]]), json.dumps([["USDC", 45_000]])])


@pytest.mark.parametrize(("policy", "line"), REPLAYED, ids=[line.page for _, line in REPLAYED])
def test_replay__of_a_strategys_page__runs_as_written_and_keeps_what_nobody_would_have(
    policy: Block, line: Command, tmp_path: Path
) -> None:
    said = line.keeper
    assert said is not None
    name = said[said.index("--policy") + 1]
    # as the page says: its policy under the name of the command, deleverage where it names nothing, room for gas and
    # for a rescue of this size
    text = policy.text.replace("[policies.default]", f"[policies.{name}]")
    if "strategies =" not in text:
        text += '\nstrategies = ["deleverage"]'
    caps = f"\n[policies.{name}.caps]\ngas_usd_max = 500\nper_action_usd = 100_000\nper_day_usd = 100_000\n"
    (tmp_path / "keeper.toml").write_text(CONFIG.replace("NAME", name) + text + caps)
    prices(tmp_path / "bars.csv")
    accounts(tmp_path / "accounts.csv")

    words = tuple("bars.csv" if word.endswith(".parquet") else word for word in said)
    ran = typed(tmp_path, *words, "--keepers", "nobody,ours")

    assert ran.returncode == 0, f"{line.where}: {ran.stdout}{ran.stderr}"
    rows = {row.split()[0]: row.split() for row in ran.stdout.splitlines() if row}
    assert rows["keeper"][:2] == ["keeper", "liquidated"]
    assert rows["nobody"][1] == "1"
    assert rows["ours"][1] == "0"
    assert int(rows["ours"][3]) >= 1
