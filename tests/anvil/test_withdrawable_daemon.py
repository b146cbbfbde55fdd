"""All of a market's WETH is lent out, and the keeper's wallet is empty: the daemon sells what can leave."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from anvil.abi import encode_call
from anvil.actors import Borrower
from anvil.deploy_executor import COLLATERAL, DEBT, set_assets, set_position
from keeper.model import Deleverage
from tests.anvil_daemon import MINED, Night, night
from tests.executor_daemon import Owned, owned, terms
from tests.executor_stage import CAP, FULL_SHARE_BPS

pytestmark = pytest.mark.anvil
WAD = 10**18


def allowed(there: Owned) -> None:
    """The owner lists both collaterals and the dollars he owes; WETH alone is granted."""
    executor = there.executor
    set_position(executor.chain, executor.owner, executor.executor, executor.position, terms(executor))
    rows = [(executor.token(s), COLLATERAL, CAP, 0) for s in ("WETH", "WBTC")]
    set_assets(
        executor.chain,
        executor.owner,
        executor.executor,
        executor.position,
        (*rows, (executor.token("USDC"), DEBT, 0, 0)),
    )
    executor.by_owner("setBot(address,uint16,uint40)", executor.bot, FULL_SHARE_BPS, 2**40 - 1)
    executor.grant("WETH", 8 * WAD)


def lent_out(there: Owned) -> None:
    """Somebody borrows the last WETH that the pool holds."""
    on, whale = there.on, there.on.market.roles.actors[-3]
    weth = on.market.token("WETH").address
    cash = int(on.chain.call(on.market.pool, "getVirtualUnderlyingBalance(address)(uint128)", weth))
    on.actors.open(Borrower(account=whale, collateral={"USDC": 10**9 * 10**6}, debt={"WETH": cash}))


def sold(told: Night, label: str) -> list[str]:
    """Symbols of what was sold, in order."""
    steps = [i.plan.steps[0] for i in told.intents(label) if i.state in MINED]
    return [s.sell_max.token.symbol for s in steps if isinstance(s, Deleverage)]


def sale_refused(told: Night, label: str) -> str:
    """Why the newest decision sells nothing."""
    rejected = cast(list[dict[str, str]], told.entries("decision", label)[-1].data["rejected"])
    return next(r["why"] for r in rejected if r["strategy"] == "deleverage")


def test_sale__when_no_weth_can_leave__then_it_is_refused_by_name_and_the_other_collateral_is_sold(
    tmp_path: Path,
) -> None:
    with owned(tmp_path, pair=1) as there:
        on, label = there.on, there.label
        allowed(there)
        lent_out(there)
        start = on.scenario.prices_usd8(-1)["WETH"] / 10**8
        there.executor.trade_to("WETH", "USDC", 500, start * 0.74)
        there.arm()
        with night(on) as told:
            before = on.actors.holdings(told.account(label))[0]
            told.falls(WETH=0.74)
            told.block()
            assert 1.08 * WAD < told.health(label) < 1.20 * WAD
            # the one collateral that may be sold is the one that cannot leave
            assert "no_cash: WETH cannot be paid out" in sale_refused(told, label)
            assert sold(told, label) == []
            assert told.alarms(label, "no_cash"), "and the alarm says so as well"
            approve = encode_call("approve(address,uint256)", there.executor.executor, 3 * 10**7)
            on.chain.submit(there.executor.owner, on.market.token("WBTC").a_token, approve)
            told.block()
            told.block()
            assert sold(told, label) == ["WBTC"], told.guard.tail()
            assert told.health(label) >= 1.25 * WAD
            after = on.actors.holdings(told.account(label))[0]
            assert after["WETH"] >= before["WETH"]
            assert after["WBTC"] < before["WBTC"]
