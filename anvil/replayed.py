"""A replayed history on the real protocols: what the paper market said, beside Aave v3.6 and Uniswap v3 on anvil.

The paper goes first. The chain then sees the same feeds and the same market prices at the same times; each order of
the paper's keeper goes to an Executor as it was fixed, and where health is below 1 a real liquidator comes. Compared
are health at every moment, the moment of each liquidation, what the Executor refuses, and what the owner paid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from typing import Any

import numpy as np

from anvil.actors import Actors, Borrower
from anvil.client import Chain, Reverted
from anvil.deploy import deploy
from anvil.deploy_aave_v3 import RESERVES
from anvil.deploy_executor import (
    COLLATERAL,
    DEBT,
    DELEVERAGE,
    TERMS,
    UNISWAP_V3_SWAP,
    ChainVenues,
    Order,
    Terms,
    deploy_executor,
    pool_position,
    set_assets,
    set_position,
)
from anvil.deploy_uniswap_v3 import POOLS
from anvil.deployment import Deployment
from anvil.liquidator import Liquidator
from anvil.node import Anvil, AnvilSettings
from anvil.replayed_cases import Case, Compared, Comparison
from anvil.replayed_orders import Landed, Overheard
from anvil.shock import set_base_fee, set_prices
from keeper.model import Policy
from keeper.replay import compare, levels, run
from keeper.replay.fleet import Account, Fleet, Lot
from keeper.replay.market import TWO_PERCENT, Market, Weather
from keeper.replay.page import health_at
from keeper.replay.paper import DECIMALS, UNIT_USD
from keeper.replay.paths import Paths, Rates, with_interest
from keeper.risk.assets import CALM, asset

WAD = 10**18
GENESIS_S = 1_750_000_000
MOMENTS_MAX = 40
ACCOUNTS_MAX = 5
DOLLAR = "USDC"
TOKENS = {"ETH": "WETH", "BTC": "WBTC"}
ROUNDS_MAX = 40
CAP = 2**100
ALL = 2**256 - 1
"""As ``repay``: whatever is owed."""
TERMS_SLACK_WAD = WAD // 1_000
GWEI = 10**9
SWAP = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"
RESERVE_DATA = (
    "getReserveData(address)(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,"
    "uint256,uint40)"
)


def compared(crew: Fleet, moved: Paths, policy: Policy | None) -> Comparison:
    """The fleet's first accounts on a node of its own, with nobody acting and with ours."""
    cases, left_out = cases_of(crew, moved)
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S)) as node:
        chain = Chain(node.url)
        try:
            market = deploy(chain)
            found = [drive(chain, market, c, (k, policy)) for c in cases for k in ("nobody", "ours")]
        finally:
            chain.close()
    return Comparison(compared=tuple(found), left_out=left_out)


def cases_of(crew: Fleet, moved: Paths) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """Accounts of one volatile collateral against dollars, at most ``ACCOUNTS_MAX``, at the main moments."""
    cases: list[Case] = []
    left_out: list[str] = []
    usd = run.unit_usd(crew, moved, Market())
    for account in crew.accounts:
        bases = {asset(x.asset).base for x in account.collateral}
        dollars = all(asset(x.asset).kind in CALM for x in account.debt)
        if len(bases) != 1 or not dollars or not (symbol := TOKENS.get(next(iter(bases)), "")):
            left_out.append(f"{account.name}: only ETH or BTC against dollars is brought to the chain")
        elif len(cases) == ACCOUNTS_MAX:
            left_out.append(f"{account.name}: {ACCOUNTS_MAX} accounts are enough")
        else:
            value = sum(x.value for x in account.collateral)
            health = sum(x.value * x.threshold for x in account.collateral) / account.owed
            row = moved.row_of(account.collateral[0].asset)
            at = main_moments(moved.said[row])
            times = moved.times_s[moved.bar[at]] + np.arange(len(at)) * 1.0
            cases.append(
                Case(
                    name=account.name,
                    symbol=symbol,
                    value_usd=value * usd,
                    health=health,
                    said=moved.said[row, at] / moved.said[row, at[0]],
                    market=moved.market[row, at] / moved.said[row, at[0]],
                    times_s=times,
                )
            )
    return tuple(cases), tuple(left_out)


def main_moments(said: np.ndarray[Any, Any]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """At most ``MOMENTS_MAX`` moments of a path: evenly, each slot by its lowest."""
    slots = np.array_split(np.arange(len(said)), min(MOMENTS_MAX, len(said)))
    lowest = [int(s[np.argmin(said[s])]) for s in slots]
    return np.array([0, *(m for m in lowest if m)], np.int64)


def drive(chain: Chain, market: Deployment, case: Case, keeper: tuple[str, Policy | None]) -> Compared:
    """One case under one keeper: on paper, then on the chain, which is put back afterwards."""
    with _undone(chain):
        stand = Stand(chain, market, case, keeper[1])
        return stand.along(*stand.paper(keeper[0]), keeper[0])


@contextmanager
def _undone(chain: Chain) -> Iterator[None]:
    snapshot = chain.snapshot()
    try:
        yield
    finally:
        chain.revert(snapshot)


class Stand:
    """One account on the chain, its Executor, a liquidator, and the pool that is kept at the market's price."""

    def __init__(self, chain: Chain, market: Deployment, case: Case, policy: Policy | None) -> None:
        chain.rpc("anvil_setBlockTimestampInterval", 1)
        self.chain, self.market, self.case = chain, market, case
        self.actors = Actors(chain, market)
        self.owner, self.bot, self.trader = market.roles.actors[:3]
        self.pool = next(p for p in market.uniswap.pools if set(p.symbols) == {case.symbol, DOLLAR})
        self.reserve = next(r for r in RESERVES if r.symbol == case.symbol)
        self.price0 = self.reserve.price_usd8 / 1e8
        threshold = self.reserve.threshold_bps / 1e4
        debt = case.value_usd * threshold / case.health
        self.account = Account(
            name=case.name,
            collateral=(Lot(asset=case.symbol, value=case.value_usd, threshold=threshold),),
            debt=(Lot(asset=DOLLAR, value=debt),),
        )
        self.policy = policy or levels.thrifty(self.account)
        side = next(float(p.side_usd) for p in POOLS if set(p.symbols) == {case.symbol, DOLLAR})
        self.shop = Market(
            weather=Weather(calm_gwei=20.0, storm_gwei=200.0),
            depth_usd={case.symbol: side * TWO_PERCENT},
            pool_fee=self.pool.fee / 1e6,
            bonus={case.symbol: self.reserve.bonus_bps / 1e4 - 1.0},
        )
        self.liquidator = Liquidator(self.actors)
        units = round(case.value_usd / self.price0 * self.token.unit)
        self.actors.open(
            Borrower(account=self.owner, collateral={case.symbol: units}, debt={DOLLAR: round(debt * 1e6)})
        )
        self.executor = self._executor()
        self.begun_s = chain.block().timestamp_s

    @property
    def token(self) -> Any:
        """The collateral's."""
        return self.market.token(self.case.symbol)

    def paper(self, keeper: str) -> tuple[run.Trip, Paths, list[Landed]]:
        """The same account on paper, interest at the rates that the pool has now; and what was ordered."""
        case = self.case
        count = len(case.said)
        moved = Paths(
            assets=(case.symbol, DOLLAR),
            row=np.array([0, 1]),
            said=np.stack([case.said, np.ones(count)]),
            market=np.stack([case.market, np.ones(count)]),
            bar=np.arange(count),
            times_s=case.times_s - case.times_s[0],
            step_s=float(np.diff(case.times_s).mean()),
            usd=np.array([self.price0, 1.0]),
            held=(),
            notes=(),
        )
        rates = Rates(
            borrow={DOLLAR: math.expm1(self._rate(DOLLAR, 6))},
            supply={case.symbol: self._rate(case.symbol, 5)},
        )
        moved = with_interest(moved, rates)
        crew = Fleet(path="", unit="USD", accounts=(self.account,))
        make = compare.makes([keeper], self.policy, crew.assets or moved.assets, self.shop)[keeper]
        landed: list[Landed] = []
        trip = run.voyage(crew, moved, lambda v: Overheard(make(v), landed), self.shop).trips[0]
        return trip, moved, landed

    def along(self, paper: run.Trip, moved: Paths, landed: Sequence[Landed], keeper: str) -> Compared:
        """The chain through every moment beside the paper."""
        before = _before(paper, moved)
        apart, cost, gas = 0.0, 0.0, 0.0
        sunk: list[int] = []
        refused: list[str] = []
        for at in range(len(moved.bar)):
            self._moment(at, moved)
            health = self.actors.account(self.owner).health_wad / WAD
            apart = max(apart, abs(health - before[at]))
            if health < 1.0:
                sunk.append(at)
                cost += self._sink()
            for order in [x for x in landed if x.at == at]:
                spent, burned, no = self._act(order, at, moved)
                cost, gas = cost + spent, gas + burned
                refused += [no] if no or order.refused else []
        lost = [_at(e, moved) for e in paper.events if e.what == "liquidated"]
        return Compared(
            name=self.case.name,
            keeper=keeper,
            moments=len(moved.bar),
            health_apart=float(apart),
            paper_sunk=tuple(dict.fromkeys(lost)),
            chain_sunk=tuple(sunk),
            paper_refused=tuple(x.refused for x in landed if x.refused),
            chain_refused=tuple(no or "taken" for no in refused),
            paper_usd=paper.lost_usd + paper.cost_usd,
            chain_usd=cost,
            paper_gas_usd=paper.gas_usd,
            chain_gas_usd=gas,
        )

    def _moment(self, at: int, moved: Paths) -> None:
        """Feed and pool at the moment's prices, the head at its time."""
        price = round(self.price0 * float(self.case.said[at]) * 1e8)
        set_prices(self.chain, self.market, {self.case.symbol: price})
        self._trade_to(self.price0 * float(self.case.market[at]))
        due_s = self.begun_s + round(float(moved.times_s[at]))
        if due_s > self.chain.block().timestamp_s:
            self.chain.mine(due_s)

    def _sink(self) -> float:
        """Liquidators until health is 1 or nothing is left; what the owner lost."""
        lost = 0.0
        for _ in range(ROUNDS_MAX):
            done = self.liquidator.act([self.owner])
            if not done:
                break
            lost += sum(d.loss_usd8 for d in done) / 1e8
        return lost

    def _act(self, landed: Landed, at: int, moved: Paths) -> tuple[float, float, str]:
        """The paper's order through the Executor: (cost at the market's price, gas) in USD, and its refusal."""
        step, before = landed.step, self._holdings()
        order = Order(
            position=pool_position(self.market.pool),
            seq=self._seq(),
            deadline_s=self.chain.block().timestamp_s + 120,
            collateral=self.token.address,
            debt=self.market.token(DOLLAR).address,
            repay=ALL if step.whole else round(step.repay.units / 10**12),
            sell_max=round(step.sell_max.units / 10**DECIMALS * UNIT_USD / self.price0 * self.token.unit),
            source=UNISWAP_V3_SWAP,
            swap_fee=self.pool.fee,
        )
        set_base_fee(self.chain, round(self.shop.gwei(moved, at) * GWEI))
        refused = ""
        try:
            burnt = int(self.chain.send(self.bot, self.executor, DELEVERAGE, astuple(order))["gasUsed"], 16)
        except Reverted as no:
            refused, burnt = (
                no.name,
                int(self.chain.rpc("eth_getBlockByNumber", "latest", False)["gasUsed"], 16),
            )
        sold, repaid = (x - y for x, y in zip(before, self._holdings(), strict=True))
        spent = burnt * self.shop.gwei(moved, at) * 1e-9 * self._eth_usd(at)
        # a moment's interest is no part of a sale that did not happen
        cost = 0.0 if refused else sold * self.price0 * float(self.case.market[at]) - repaid
        return cost, spent, refused

    def _holdings(self) -> tuple[float, float]:
        """(collateral, debt) in whole tokens."""
        held, owed = (self.actors.holdings(self.owner)[n] for n in (0, 1))
        return held.get(self.case.symbol, 0) / self.token.unit, owed.get(DOLLAR, 0) / 1e6

    def _eth_usd(self, at: int) -> float:
        """What the paper takes for gas's token: the history's where it has one."""
        return self.price0 * float(self.case.market[at]) if self.case.symbol == "WETH" else self.shop.eth_usd

    def _executor(self) -> str:
        venues = ChainVenues(aave_v3_pool=self.market.pool, uniswap_v3_factory=self.market.uniswap.factory)
        executor = deploy_executor(self.chain, self.owner, venues)
        policy, key = self.policy, pool_position(self.market.pool)
        terms = Terms(
            trigger=policy.trigger_wad + TERMS_SLACK_WAD,
            target=policy.target_wad - TERMS_SLACK_WAD,
            max=policy.max_health_wad + WAD,
            emergency=policy.emergency_wad,
            hysteresis=WAD // 1_000,
            cooldown_blocks=1,
            expiry_s=self.chain.block().timestamp_s + 90 * 86_400,
            slippage_bps=300,
        )
        set_position(self.chain, self.owner, executor, key, terms)
        rows = ((self.token.address, COLLATERAL, CAP, CAP), (self.market.token(DOLLAR).address, DEBT, 0, CAP))
        set_assets(self.chain, self.owner, executor, key, rows)
        self.chain.send(self.owner, executor, "setBot(address,uint16,uint40)", self.bot, 10_000, 2**40 - 1)
        self.chain.send(self.owner, self.token.a_token, "approve(address,uint256)", executor, CAP)
        return executor

    def _seq(self) -> int:
        answer = self.chain.call(
            self.executor, f"positionOf(bytes32)({TERMS})", pool_position(self.market.pool)
        )
        return int(answer[10])

    def _rate(self, symbol: str, field: int) -> float:
        """A year's rate of a reserve, as its data provider says it in ray: 5 supply, 6 variable borrow."""
        row: Sequence[int] = self.chain.call(
            self.market.data_provider, RESERVE_DATA, self.market.token(symbol).address
        )
        return float(row[field]) / 1e27

    def _trade_to(self, price: float) -> None:
        """A trader buys or sells until the pool's price is the market's."""
        token, dollar = self.token, self.market.token(DOLLAR)
        first = int(token.address, 16) < int(dollar.address, 16)
        ratio = price * dollar.unit / token.unit
        limit = int((ratio if first else 1.0 / ratio) ** 0.5 * 2**96)
        now = self.chain.call(self.pool.address, "slot0()(uint160,int24,uint16,uint16,uint16,uint8,bool)")[0]
        if abs(now - limit) * 10**9 < limit:
            return
        given = token if (now > limit) == first else dollar
        other = dollar if given is token else token
        units = 10**9 * given.unit
        self.actors.mint(given.symbol, self.trader, units)
        router = self.market.uniswap.router
        self.chain.send(self.trader, given.address, "approve(address,uint256)", router, units)
        order = (given.address, other.address, self.pool.fee, self.trader, 2**40, units, 0, limit)
        self.chain.send(self.trader, router, SWAP, order)


def _before(paper: run.Trip, moved: Paths) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Health at each moment before anything is done at it."""
    shifted = replace_course(paper)
    return health_at(shifted, moved, np.arange(len(moved.bar)))


def replace_course(paper: run.Trip) -> run.Trip:
    """The trip with each change of its holdings counted from the moment after."""
    found = run.Trip(paper.name, paper.keeper, paper.start)
    found.course = [(at + (n > 0), weights) for n, (at, weights) in enumerate(paper.course)]
    return found


def _at(event: run.Event, moved: Paths) -> int:
    """Which moment an event is of: every moment is its own bar here."""
    return int(np.searchsorted(moved.times_s, event.time_s))
