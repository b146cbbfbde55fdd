"""A canary through its owner's Executor: a tiny sale on real Aave and Uniswap by a real daemon, then it waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anvil.actors import Borrower
from keeper.journal.read import Reader
from keeper.model import Deleverage
from tests.anvil_daemon import night, rewritten, until
from tests.executor_daemon import WAD, owned, terms
from tests.executor_stage import ExecutorStage
from tests.sinks import beside

pytestmark = pytest.mark.chaos
CANARY = """
[policies.sale]
strategies = ["deleverage"]
warn = "1.35"
trigger = "1.20"
target = "1.25"
emergency = "1.08"
[alarms]
targets_file = "targets"
[canary]
position = "tiny"
value_usd_max = 10000
spend_usd_max = 500
gas_usd_max = 50
"""


def test_canary__when_only_an_executor_pays__then_its_sale_ends_at_its_target_and_the_next_one_waits(
    tmp_path: Path,
) -> None:
    with owned(tmp_path) as there, beside(there.on.node.url) as far:
        on = there.on
        account = str(on.market.roles.actors[-3])
        units = {s: on.market.token(s).unit for s in ("WETH", "USDC")}
        owes = {"USDC": 1_500 * units["USDC"]}
        on.actors.open(Borrower(account=account, collateral={"WETH": units["WETH"]}, debt=owes))
        health = on.actors.account(account).health_wad
        executor = ExecutorStage(on.chain, on.market, owner=account, venues=there.executor.venues)
        executor.bot = there.executor.bot
        lines = {"trigger": health + 4 * WAD // 100, "target": health + 6 * WAD // 100, "max": 3 * WAD}
        executor.configure(terms(executor, **lines))
        executor.grant("WETH", WAD)
        (tmp_path / "targets").write_text(f"json://{far.hook}/hook\n")
        (tmp_path / "targets").chmod(0o600)
        place = f'[[positions]]\nlabel = "tiny"\nvenue = "aave"\naccount = "{account}"\npolicy = "sale"\n'
        place += f'executor = "{executor.executor}"\n'
        rewritten(on, {"[policies.plain]\n": f"{place}[policies.plain]\n"})
        on.config.write_text(on.config.read_text() + CANARY)
        there.arm()
        with night(on) as told:

            def status() -> dict[str, Any]:
                return told.guard.ask({"do": "canary"})

            answer = told.guard.ask({"do": "canary", "now": True, "actor": "test"})
            assert answer["ok"] is True, answer
            until(lambda: status()["run"] is not None, within_s=10)
            for _ in range(20):
                if status()["run"]["state"] != "RUNNING":
                    break
                told.block()
            run = status()["run"]
            print(run)
            assert run["state"] == "SUCCEEDED", told.guard.tail()
            with Reader.open(told.settings.journal_path) as journal:
                (intent,) = [i for i in journal.intents() if i.key.position.account == account]
            assert isinstance(intent.plan.steps[0], Deleverage)
            assert executor.seq() == 1
            assert on.actors.account(account).health_wad >= lines["target"]
            assert any("INFO canary tiny" in t for t in far.told)
            told.block()
            again = told.guard.ask({"do": "canary", "now": True})
            assert "borrow a little on it" in again["why"]
