"""A stage on which a real daemon rescues through the owner's Executor: an empty wallet, two endpoints, real pools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from anvil.actors import AccountData
from anvil.deploy_executor import ChainVenues, Terms
from anvil.scenario import load_scenario
from anvil.stage import Stage, stage
from keeper.clock import SystemClock
from keeper.config import load
from keeper.journal.write import Journal
from keeper.model import Deleverage, Refusal
from keeper.sizing import unwind_steps
from keeper.units import BPS
from strategies.unwind import STEP_FLOOR_WAD
from tests.anvil_daemon import MINED, Night, night
from tests.executor_stage import ExecutorStage

WAD = 10**18
STRATEGIES = "['repay', 'add_collateral', 'deleverage']"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A stage, and the Executor of its first borrower."""

    on: Stage
    executor: ExecutorStage
    label: str

    def arm(self) -> None:
        """Arm the configuration as it stands; nothing is granted to the keeper's wallet."""
        settings = load(self.on.config)
        with Journal.open(settings.journal_path, SystemClock()) as journal:
            journal.set_control("armed", settings.digest, "test", "for the night")


@contextmanager
def owned(
    folder: Path,
    *,
    pair: int = 0,
    mode: str = "live",
    via: tuple[str, ...] = (),
    lenders: Callable[[Stage], ChainVenues] | None = None,
) -> Iterator[Owned]:
    """The crash's market; the keeper's wallet holds gas and nothing else. ``via``: symbols between two pools."""
    scenario = load_scenario("crash")
    scenario = replace(scenario, keeper=replace(scenario.keeper, tokens={}))
    with stage(scenario, folder, mode=mode) as on:
        chosen = on.pairs[pair]
        venues = ChainVenues(aave_v3_pool=on.market.pool, uniswap_v3_factory=on.market.uniswap.factory)
        venues = lenders(on) if lenders is not None else venues
        executor = ExecutorStage(on.chain, on.market, owner=chosen.guarded, venues=venues)
        executor.bot = load(on.config).wallet.address or ""
        executor.guardian, executor.stranger = on.market.roles.actors[-2:]
        for symbol, units in chosen.borrower.debt.items():
            token = on.market.token(symbol).address
            on.chain.send(chosen.guarded, token, "transfer(address,uint256)", executor.stranger, units)
        configured(on, chosen.label, executor.executor, via)
        yield Owned(on=on, executor=executor, label=chosen.label)


def sources(told: Night, label: str) -> list[str]:
    """With whose money each included rescue began."""
    steps = [i.plan.steps[0] for i in told.intents(label) if i.state in MINED]
    return [s.source.name for s in steps if isinstance(s, Deleverage)]


def loop_unwound_at_once(there: Owned) -> None:
    """The armed loop's night: 3 % off the peg, and one transaction of the daemon's where steps would take many."""
    on, executor, label = there.on, there.executor, there.label
    feeds = on.scenario.prices_usd8(-1)
    executor.trade_to("wstETH", "WETH", 500, feeds["wstETH"] / feeds["WETH"] * 0.97)
    with night(on) as told:
        start, nonce = on.actors.account(executor.owner), told.nonce
        assert start.debt_base >= start.collateral_base * 90 // 100
        told.falls(wstETH=0.97)
        fallen = on.actors.account(executor.owner)
        assert WAD < fallen.health_wad < 1.02 * WAD
        told.block()
        told.block()
        assert told.rescues(label) == 1, told.guard.tail()
        assert (told.nonce, executor.seq()) == (nonce + 1, 1)
        after = on.actors.account(executor.owner)
        assert 1.04 * WAD <= after.health_wad <= 1.14 * WAD
        assert sources(told, label) == ["UNISWAP_V3_SWAP"]
        assert executor.leftovers() == {}
        many = steps_without_a_loan(fallen, after)
        print(f"loop in e-mode of {label}: one transaction; without a loan it takes {many} steps")
        assert many > 1


def steps_without_a_loan(before: AccountData, after: AccountData) -> int:
    """Sales of what is free, one after the other, that repay what was repaid between the two, at the price it got."""
    sold, repaid = (
        before.collateral_base - after.collateral_base,
        before.debt_base - after.debt_base,
    )
    weighted = before.collateral_base * before.threshold_bps * WAD // BPS
    shares = (before.threshold_bps * WAD // BPS, max(0, WAD - repaid * WAD // sold))
    many = unwind_steps(weighted, before.debt_base, repaid, STEP_FLOOR_WAD, shares)
    assert not isinstance(many, Refusal), many
    return many


def refused(told: Night, label: str) -> str:
    """The code with which a sale was refused in the newest decision."""
    rejected = told.entries("decision", label)[-1].data["rejected"]
    assert isinstance(rejected, list)
    return next(str(r["code"]) for r in rejected if r["strategy"] == "deleverage")


def terms(stage: ExecutorStage, **changes: int) -> Terms:
    """Executor terms that suit the stage's policy for ETH against dollars."""
    plain = {
        "trigger": 120 * WAD // 100,
        "target": 125 * WAD // 100,
        "max": 140 * WAD // 100,
        "emergency": 108 * WAD // 100,
        "hysteresis": 2 * WAD // 100,
        "cooldown_blocks": 2,
    }
    return stage.terms(**{**plain, **changes})


def changed(path: Path, changes: Mapping[str, str]) -> None:
    """The configuration with each text replaced once; every one must be there."""
    text = path.read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    path.write_text(text)


def configured(on: Stage, label: str, executor: str, via: tuple[str, ...]) -> None:
    """A second endpoint (a sale needs two words), the quoter, the Executor, and the strategies."""
    between = [on.market.token(s).address for s in via]
    second = f"[[chains.endpoints]]\nname = 'anvil-2'\nurl = '{on.node.url}'\nrate_per_s = 1000\n"
    uniswap = on.market.uniswap
    changed(
        on.config,
        {
            "native_token =": f"uniswap_quoter = '{uniswap.quoter}'\nuniswap_router = '{uniswap.router}'\n"
            f"swap_via = {between}\nnative_token =",
            "[[venues]]": f"{second}[[venues]]",
            f'label = "{label}"': f"label = '{label}'\nexecutor = '{executor}'",
            "[policies.plain]": f"[policies.plain]\nstrategies = {STRATEGIES}",
            "[policies.loop]": f"[policies.loop]\nstrategies = {STRATEGIES}",
        },
    )
