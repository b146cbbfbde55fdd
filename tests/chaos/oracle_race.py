"""The race at the oracle: each price update is backrun by a liquidator, and the keeper sees it a block later.

Four positions, each guarded from another trigger on, live through the same updates on real Aave code under one real
daemon. A position whose health one update takes from above its trigger to below 1 is lost whatever a keeper does that
waits for the update; the share saved says what each margin buys. ``backrun``: update and liquidations are
transactions of one block, ordered by fee. ``bundled``: both in one transaction at the top of the block, as with
feeds that auction the right to liquidate.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random

import numpy as np
from rich.console import Console
from rich.table import Table

from anvil.abi import encode_call
from anvil.actors import UINT256_MAX
from anvil.client import transaction
from anvil.scenario import BlockStep, Funding, Role, Scenario
from anvil.stage import Stage, stage
from tests.anvil_daemon import Night, armed, night, rewritten
from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict

MARGINS = ("1.02", "1.05", "1.10", "1.20")
MODES = ("backrun", "bundled")
EPISODES = 300
A_UNIT = 15
UPDATES_MAX = 60
WETH = 2
THRESHOLD_BPS = 8_300
GWEI = 10**9
UPDATE_FEE_WEI = 5 * GWEI
"""Above an ordinary rescue (2.6 x base fee and a tip), below an urgent one (4 x base fee and two tips)."""
BEHIND_FEE_WEI = UPDATE_FEE_WEI - GWEI // 100
TOP_FEE_WEI = 5_000 * GWEI
SEIZE = "liquidationCall(address,address,address,uint256,bool)"

QUANTILES = (0.0, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.98, 0.99, 0.995, 1.0)
FALLS_BPS = (50, 54, 60, 75, 104, 163, 202, 309, 388, 435, 607)
"""Sizes of the downward updates of a feed with a deviation threshold of 0.5 %, looked at every 12 s, on
2021-05-19, the day on which ETH fell by 40 %: quantiles, from public minute bars of ETH against the dollar."""
NEXT_BLOCK = ((75, 0.13), (100, 0.30), (200, 0.66), (10_000, 0.83))
"""Up to this size, this share of them came in the block right after the last update, on the same day."""
DOWN = 0.43
"""Share of downward updates after a downward one, on the same day; an episode starts with one."""

STORY = Scenario(
    name="oracle race",
    title="four margins, one fall",
    seconds_per_block=12,
    base_fee_gwei=Decimal(1),
    keeper=Funding(native=Decimal(50), tokens={"USDC": Decimal(59_000)}),
    borrower=tuple(
        Role(label=m, collateral={"WETH": Decimal(WETH)}, debt={"USDC": Decimal(1)}, health=Decimal("1.30"))
        for m in MARGINS
    ),
    step=(BlockStep(),),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One step of the feed."""

    factor: float
    at_once: bool
    """In the block right after the last update: a rescue sent for that one is still under way."""


def path(rng: Random) -> Iterator[Update]:
    """Updates as they came on the day, the first one down."""
    down = True
    while True:
        bps = float(np.interp(rng.random(), QUANTILES, FALLS_BPS))
        share = next(s for most, s in NEXT_BLOCK if bps <= most)
        yield Update(factor=1 - bps / 1e4 if down else 1 + bps / 1e4, at_once=rng.random() < share)
        down = rng.random() < DOWN


@dataclass(kw_only=True)
class Race:
    """A stage, a daemon that guards from four margins on, and a liquidator."""

    on: Stage
    lives: Night
    bundler: str
    """Liquidates from within the update's own transaction."""
    counts: Counts = field(default_factory=dict)

    def episode(self, mode: str, rng: Random) -> None:
        """Positions a little above their triggers; updates until each is saved or lost."""
        start = STORY.prices_usd8(-1)["WETH"]
        owed = self._set_back(rng, start)
        price, open_ = float(start), dict(owed)
        for number, update in enumerate(path(rng)):
            if not open_ or number == UPDATES_MAX:
                break
            if not update.at_once:
                self._block([])
                self._judge(mode, open_)
            price *= update.factor
            self._block(getattr(self, f"_{mode}")(int(price), list(open_)))
            self._judge(mode, open_)
        self._block([])
        self._judge(mode, open_)

    def _judge(self, mode: str, open_: dict[str, int]) -> None:
        """Who was liquidated (collateral gone), who was saved (debt repaid, collateral whole)."""
        for margin in tuple(open_):
            collateral, debt = self.on.actors.holdings(self.lives.account(margin))
            if collateral.get("WETH", 0) < WETH * self.on.market.token("WETH").unit:
                outcome = "lost"
            elif debt.get("USDC", 0) < open_[margin]:
                outcome = "saved"
            else:
                continue
            del open_[margin]
            key = f"{mode} {margin} {outcome}"
            self.counts[key] = self.counts.get(key, 0) + 1

    def _set_back(self, rng: Random, start: int) -> dict[str, int]:
        """Every position whole again, its health up to 1 % above its trigger; what each owes."""
        market = self.on.market
        usdc, weth = market.token("USDC"), market.token("WETH")
        self._block([self._update(2 * start, TOP_FEE_WEI)])
        sends, owed = [], {}
        for margin in MARGINS:
            account = self.lives.account(margin)
            health = float(margin) * (1.0005 + 0.01 * rng.random())
            owed[margin] = int(WETH * start / 1e8 * THRESHOLD_BPS / 1e4 / health * usdc.unit)
            collateral, debt = self.on.actors.holdings(account)
            missing = WETH * weth.unit - collateral.get("WETH", 0)
            if missing > 0:
                sends += [
                    self._call(
                        market.roles.deployer, weth.address, "mint(address,uint256)", account, missing
                    ),
                    self._call(account, weth.address, "approve(address,uint256)", market.pool, UINT256_MAX),
                ]
            if (more := owed[margin] - debt.get("USDC", 0)) > 0:
                borrow = "borrow(address,uint256,uint256,uint16,address)"
                sends.append(self._call(account, market.pool, borrow, usdc.address, more, 2, 0, account))
            else:
                # the last episode took less than this one begins with
                sends += [
                    self._call(market.roles.deployer, usdc.address, "mint(address,uint256)", account, -more),
                    self._call(account, usdc.address, "approve(address,uint256)", market.pool, UINT256_MAX),
                ]
        self._block(sends)
        sends = []
        for margin in MARGINS:
            account = self.lives.account(margin)
            collateral, debt = self.on.actors.holdings(account)
            missing = WETH * weth.unit - collateral.get("WETH", 0)
            if missing > 0:
                supply = "supply(address,uint256,address,uint16)"
                sends.append(self._call(account, market.pool, supply, weth.address, missing, account, 0))
            if (less := debt["USDC"] - owed[margin]) > 1:
                repay = "repay(address,uint256,uint256,address)"
                sends.append(self._call(account, market.pool, repay, usdc.address, less, 2, account))
        self._block(sends)
        self._block([self._update(start, TOP_FEE_WEI)])
        return {m: self.on.actors.holdings(self.lives.account(m))[1]["USDC"] for m in MARGINS}

    def _backrun(self, price: int, margins: Sequence[str]) -> list[Mapping[str, str]]:
        market, taker = self.on.market, self.on.market.roles.liquidator
        return [
            self._update(price, UPDATE_FEE_WEI),
            *(
                _at(BEHIND_FEE_WEI, transaction(taker, market.pool, self._seize(m), gas=2_000_000))
                for m in margins
            ),
        ]

    def _bundled(self, price: int, margins: Sequence[str]) -> list[Mapping[str, str]]:
        market = self.on.market
        calls = [(market.token("WETH").feed, False, encode_call("set(int256)", price))]
        calls += [(market.pool, True, self._seize(m)) for m in margins]
        data = encode_call("aggregate3((address,bool,bytes)[])", calls)
        return [_at(TOP_FEE_WEI, transaction(market.roles.liquidator, self.bundler, data, gas=12_000_000))]

    def _seize(self, margin: str) -> bytes:
        token = self.on.market.token
        account = self.lives.account(margin)
        return encode_call(SEIZE, token("WETH").address, token("USDC").address, account, UINT256_MAX, False)

    def _update(self, price: int, fee_wei: int) -> Mapping[str, str]:
        feed = self.on.market.token("WETH").feed
        return _at(fee_wei, self._call(self.on.market.roles.deployer, feed, "set(int256)", price))

    def _call(self, sender: str, to: str, signature: str, *arguments: object) -> dict[str, str]:
        return transaction(sender, to, encode_call(signature, *arguments), gas=2_000_000)

    def _block(self, sends: Sequence[Mapping[str, str]]) -> None:
        """One block of these and of what the keeper has sent; judged and acted on by the daemon."""
        chain = self.on.chain
        for fields in sends:
            chain.rpc("eth_sendTransaction", fields)
        chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        self.lives.guard.caught_up(chain.mine().number)


def _at(fee_wei: int, fields: Mapping[str, str]) -> dict[str, str]:
    # anvil orders by the highest fee, not by the tip
    return {**fields, "maxFeePerGas": hex(fee_wei)}


@contextmanager
def race(folder: Path) -> Iterator[Race]:
    """Everything, armed and watching."""
    with stage(STORY, folder, mode="live") as on:
        text = on.config.read_text()
        text = text[: text.index("[policies.")]
        for margin in MARGINS:
            text = re.sub(
                rf"(label = .{re.escape(margin)}.\n(?:.*\n)*?policy = )'plain'", rf"\1'p{_id(margin)}'", text
            )
            text += _policy(margin)
        on.config.write_text(text)
        rewritten(on, {})
        armed(on)
        market = on.market
        usdc = market.token("USDC").address
        on.actors.mint("USDC", market.multicall, 10**9 * market.token("USDC").unit)
        approve = encode_call("approve(address,uint256)", market.pool, UINT256_MAX)
        on.chain.send(
            market.roles.deployer,
            market.multicall,
            "aggregate3((address,bool,bytes)[])",
            [(usdc, False, approve)],
        )
        with night(on) as lives:
            yield Race(on=on, lives=lives, bundler=market.multicall)


def _id(margin: str) -> str:
    return margin.replace(".", "")


def _policy(margin: str) -> str:
    trigger = Decimal(margin)
    terms = {
        "warn": trigger + Decimal("0.02"),
        "trigger": trigger,
        "target": trigger + Decimal("0.02"),
        "emergency": 1 + (trigger - 1) / 2,
        "hysteresis": Decimal("0.005"),
    }
    lines = [f"[policies.p{_id(margin)}]", *(f"{name} = '{value}'" for name, value in terms.items())]
    lines += ["cooldown_blocks = 1", f"[policies.p{_id(margin)}.caps]"]
    lines += [
        "per_action_usd = 50000",
        "per_day_usd = 10000000",
        "gas_usd_max = 100",
        "gas_usd_emergency = 500",
    ]
    return "\n".join(lines) + "\n"


def episodes(on: Race, seed: str, many: int) -> Verdict:
    """So many falls in each mode; nothing may be done twice, every margin is counted."""
    on.counts = {}
    for n in range(many):
        for mode in MODES:
            on.episode(mode, Random(f"{seed}:{n}"))
        on.counts["episodes"] = on.counts.get("episodes", 0) + 1
    return Verdict(counts=on.counts)


def saved_pct(counts: Counts, mode: str, margin: str) -> tuple[float | None, int]:
    """(per cent of the positions that were in danger and saved, how many were)."""
    saved, lost = (counts.get(f"{mode} {margin} {o}", 0) for o in ("saved", "lost"))
    return (100 * saved / (saved + lost) if saved + lost else None), saved + lost


def show(counts: Counts) -> None:
    """The table."""
    table = Table(title="Saved, % of positions in danger, by the trigger they were guarded from")
    table.add_column("trigger")
    for mode in MODES:
        table.add_column(mode, justify="right")
    for margin in MARGINS:
        cells = (saved_pct(counts, mode, margin) for mode in MODES)
        table.add_row(margin, *("-" if pct is None else f"{pct:.1f} of {n}" for pct, n in cells))
    Console(width=80).print(table)


def record_race(counts: Counts, done: int, failures: list[str]) -> None:
    """race_saved_pct: over all margins, rounded down: 100 is nobody lost; and of each mode and margin."""
    show(counts)
    told = {(mode, m): saved_pct(counts, mode, m) for mode in MODES for m in MARGINS}
    for (mode, margin), (pct, n) in told.items():
        record(
            f"race_saved_pct_{mode}_{margin}",
            None if pct is None else round(pct, 1),
            unit="%",
            evidence="real_bytecode",
            n=n,
        )
    text = "; ".join(
        f"{m}: " + "/".join("-" if (p := told[mode, m][0]) is None else f"{math.floor(p)}" for mode in MODES)
        for m in MARGINS
    )
    record(
        "race_saved_pct",
        text,
        unit="% backrun/bundled, by trigger",
        evidence="real_bytecode",
        n=counts.get("episodes", 0),
    )


def _unit(number: int) -> Verdict:
    folder = Path(tempfile.mkdtemp(prefix="keeper-oracle-race-"))
    try:
        with race(folder) as on:
            return episodes(on, str(number), A_UNIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


ORACLE = Campaign(name="oracle", units=EPISODES // A_UNIT, run=_unit, record=record_race)
