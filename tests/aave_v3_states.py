"""Random accounts of the lines of Aave v3 up to 3.2 on their real bytecode, each held against the pool's own word."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from anvil.abi import encode_call
from anvil.actors import Actors, Borrower
from anvil.client import Chain, Reverted
from anvil.deployment import Deployment
from anvil.shock import set_prices
from keeper.model import Position
from keeper.units import WAD
from tests.anvil_reading import Reader
from tests.bulk import mined_together

USD8 = 10**8
ASSETS = ("WETH", "WBTC", "wstETH", "USDC", "DAI")
STABLES = ("USDC", "DAI")
DAY_S = 86_400
STABLE, VARIABLE = 1, 2
SUPPLY = "supply(address,uint256,address,uint16)"
BORROW = "borrow(address,uint256,uint256,uint16,address)"
SWITCH = "setUserUseReserveAsCollateral(address,bool)"
LIQUIDATE = "liquidationCall(address,address,address,uint256,bool)"
HEALTHY = "45"
"""HEALTH_FACTOR_NOT_BELOW_THRESHOLD of the numbered errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a run of states found."""

    states: int
    wrong: tuple[str, ...]
    """Accounts that were read otherwise than the pool says at least once."""
    underwater: int
    fixed: int
    """Debts at a stable rate that were read."""


class Script:
    """What one random account of a class does, as calls to the pool."""

    def __init__(self, kind: str, rng: random.Random, market: Deployment, prices: Mapping[str, int]) -> None:
        self.account = str(to_checksum_address(rng.randbytes(20)))
        self._rng, self._market, self._prices = rng, market, prices
        self.given: list[tuple[str, int]] = []
        self.owner: list[bytes] = []
        getattr(self, f"_{kind}")(10 ** rng.uniform(2, 4.7))

    def _units(self, symbol: str, usd: float) -> int:
        return max(1, int(usd * USD8 * self._market.token(symbol).unit / self._prices[symbol])) | 1

    def _give(self, symbol: str, usd: float) -> None:
        self.given.append((symbol, self._units(symbol, usd)))

    def _owe(self, symbol: str, usd: float, rate: int = VARIABLE) -> None:
        token = self._market.token(symbol).address
        self.owner.append(encode_call(BORROW, token, self._units(symbol, usd), rate, 0, self.account))

    def _switch(self, symbol: str, on: bool) -> None:
        self.owner.append(encode_call(SWITCH, self._market.token(symbol).address, on))

    def _one_debt(self, usd: float) -> None:
        for symbol in ("WETH", "wstETH"):
            self._give(symbol, usd * self._rng.uniform(0.2, 1))
        self._owe("USDC", usd * self._rng.uniform(0.02, 0.25))

    def _several_debts(self, usd: float) -> None:
        for symbol in ("WETH", "USDC"):
            self._give(symbol, usd * self._rng.uniform(0.2, 1))
        for symbol in self._rng.sample(("WETH", "WBTC", "wstETH", "DAI"), 3):
            self._owe(symbol, usd * self._rng.uniform(0.01, 0.08))

    def _e_mode(self, usd: float) -> None:
        mode = self._rng.choice((1, 2))
        given, owed = ("USDC", "DAI") if mode == 1 else ("wstETH", "WETH")
        self.owner.append(encode_call("setUserEMode(uint8)", mode))
        self._give(given, usd)
        if self._rng.random() < 0.5:
            # not of the category: its own threshold counts
            self._give("WETH" if mode == 1 else "DAI", usd / 3)
        self._owe(owed, usd * self._rng.uniform(0.1, 0.85))

    def _switched_off(self, usd: float) -> None:
        self._give("WETH", usd)
        self._give("DAI", usd * 2)
        self._switch("DAI", False)
        self._owe("USDC", usd * self._rng.uniform(0.01, 0.3))

    def _dust(self, usd: float) -> None:
        self._give("WETH", usd)
        self.given.append(("DAI", self._rng.randint(2, 10**6)))
        token = self._market.token("USDC").address
        self.owner.append(encode_call(BORROW, token, self._rng.randint(1, 50), VARIABLE, 0, self.account))

    def _isolation(self, usd: float) -> None:
        # nobody else's supply switches an isolated asset on
        self._give("WBTC", usd)
        self._switch("WBTC", True)
        self._owe(self._rng.choice(STABLES), usd * self._rng.uniform(0.1, 0.6))

    def _stable_rate(self, usd: float) -> None:
        self._give("WETH", usd)
        self._give("wstETH", usd / 2)
        self._owe("USDC", usd * self._rng.uniform(0.05, 0.3), STABLE)
        if self._rng.random() < 0.5:
            self._owe("USDC", usd * self._rng.uniform(0.01, 0.1))
        if self._rng.random() < 0.5:
            self._owe("DAI", usd * self._rng.uniform(0.01, 0.1))


def open_all(chain: Chain, market: Deployment, people: Sequence[Script]) -> None:
    """Every account's supplies by the lender, then its own calls."""
    lender, me = market.roles.lender, chain.accounts[0]
    for symbol in ASSETS:
        total = sum(u for p in people for s, u in p.given if s == symbol)
        chain.send(me, market.token(symbol).address, "mint(address,uint256)", lender, total + 1)
    for start in range(0, len(people), 50):
        some = people[start : start + 50]
        supplies = [
            (lender, encode_call(SUPPLY, market.token(s).address, u, p.account, 0))
            for p in some
            for s, u in p.given
        ]
        mined_together(chain, market.pool, supplies)
        mined_together(chain, market.pool, [(p.account, data) for p in some for data in p.owner])


def _account_data(market: Deployment, account: str, number: int) -> tuple[str, tuple[object, ...]]:
    data = "0xbf92857c" + account[2:].lower().rjust(64, "0")
    return "eth_call", ({"to": market.pool, "data": data}, hex(number))


def _agrees(position: Position | None, pool: tuple[int, ...]) -> bool:
    if position is None:
        return False
    counted = tuple(h for h in position.collateral if h.threshold_wad)
    collateral = sum(h.value_base for h in counted)
    weighted = sum(h.value_base * (h.threshold_wad // 10**14) for h in counted)
    ours = (collateral, sum(h.value_base for h in position.debt), weighted // collateral if collateral else 0)
    return (*ours, position.health_wad) == (pool[0], pool[1], pool[3], pool[5])


def whale(chain: Chain, market: Deployment, prices: Mapping[str, int]) -> None:
    """Somebody borrows most of the cash: at real rates every term of the compounding shows within weeks."""

    def units(symbol: str, usd: int) -> int:
        return usd * USD8 * market.token(symbol).unit // prices[symbol]

    debt = {s: units(s, 40_000_000) for s in ("USDC", "DAI", "WETH")}
    pledge = {"wstETH": units("wstETH", 400_000_000)}
    Actors(chain, market).open(Borrower(account=market.roles.actors[0], collateral=pledge, debt=debt))


def run(
    chain: Chain,
    market: Deployment,
    people: Sequence[Script],
    rng: random.Random,
    turns: Sequence[Callable[[], None]],
) -> Tally:
    """Those accounts at as many random sets of prices and times as there are ``turns``, each called first."""
    start = start_prices(chain, market)
    open_all(chain, market, people)
    accounts = [p.account for p in people]
    reader = Reader(chain, market)
    wrong: set[str] = set()
    underwater = fixed = 0
    for turn in turns:
        turn()
        stable, wild = (0.97, 1.03), (0.3, 1.6)
        moved = {s: int(p * rng.uniform(*(stable if s in STABLES else wild))) for s, p in start.items()}
        set_prices(chain, market, moved)
        chain.mine(reader.block().timestamp_s + rng.randint(1, 40 * DAY_S))
        block = reader.block()
        found = {p.id.account: p for p in reader.snapshot(accounts).positions}
        pool = chain.batch(_account_data(market, a, block.number) for a in accounts)
        for account, answer in zip(accounts, pool, strict=True):
            words = tuple(int(answer[2 + 64 * i : 66 + 64 * i], 16) for i in range(6))
            underwater += words[5] < WAD
            if not _agrees(found.get(account), words):
                wrong.add(account)
        fixed += sum("(stable rate)" in h.amount.token.symbol for p in found.values() for h in p.debt)
    return Tally(states=len(people), wrong=tuple(sorted(wrong)), underwater=underwater, fixed=fixed)


def start_prices(chain: Chain, market: Deployment) -> dict[str, int]:
    """Of every asset, in dollars of 8 digits."""
    actors = Actors(chain, market)
    return {s: actors.price_usd8(s) for s in ASSETS}


def lets_liquidate(chain: Chain, market: Deployment, user: str) -> bool:
    """Whether the pool lets somebody liquidate a little at the newest block, undone at once."""
    who, owed, taken = market.roles.liquidator, market.token("USDC").address, market.token("WETH").address
    try:
        chain.call(market.pool, LIQUIDATE + "()", taken, owed, user, 10**6, False, sender=who)
    except Reverted as refused:
        if HEALTHY not in str(refused):
            raise
        return False
    return True
