"""Random accounts of six classes on the real Aave v2 market, each held against the pool's own word."""

from __future__ import annotations

import random
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from anvil.abi import encode_call
from anvil.client import Chain
from anvil.deployment import Deployment
from keeper.config import VenueSettings
from keeper.model import Position
from keeper.units import WAD
from keeper.venues.aave_v2.book import KIND
from tests.aave_v2_market import set_in_ether
from tests.bulk import mined_together
from tests.venue_stage import VenueReader

CLASSES = ("one_debt", "several_debts", "switched_off", "dust", "stable_rate", "both_rates")
ASSETS = ("WETH", "WBTC", "wstETH", "USDC", "DAI")
STABLES = ("USDC", "DAI")
USD8 = 10**8
DAY_S = 86_400
STABLE, VARIABLE = 1, 2
PRICES = {"WETH": 3_000 * USD8, "WBTC": 90_000 * USD8, "wstETH": 3_600 * USD8, "USDC": USD8, "DAI": USD8}
DEPOSIT = "deposit(address,uint256,address,uint16)"
BORROW = "borrow(address,uint256,uint256,uint16,address)"
SWITCH = "setUserUseReserveAsCollateral(address,bool)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a run of states found."""

    states: int
    wrong: tuple[str, ...]
    underwater: int
    fixed: int
    """Debts at a stable rate that were read."""


def settings(market: Deployment) -> VenueSettings:
    """The market as a configuration names it."""
    return VenueSettings(name="old", kind=KIND, chain="local", provider=market.provider)


class Script:
    """What one random account of a class does, as calls to the pool."""

    def __init__(self, kind: str, rng: random.Random, market: Deployment) -> None:
        self.account = str(to_checksum_address(rng.randbytes(20)))
        self._rng, self._market = rng, market
        self.given: list[tuple[str, int]] = []
        self.owner: list[bytes] = []
        getattr(self, f"_{kind}")(10 ** rng.uniform(2, 4.7))

    def _give(self, symbol: str, usd: float) -> None:
        self.given.append((symbol, units(self._market, symbol, usd)))

    def _owe(self, symbol: str, usd: float, rate: int = VARIABLE) -> None:
        token = self._market.token(symbol).address
        asked = units(self._market, symbol, usd)
        self.owner.append(encode_call(BORROW, token, asked, rate, 0, self.account))

    def _one_debt(self, usd: float) -> None:
        for symbol in ("WETH", "wstETH"):
            self._give(symbol, usd * self._rng.uniform(0.2, 1))
        self._owe("USDC", usd * self._rng.uniform(0.02, 0.25))

    def _several_debts(self, usd: float) -> None:
        for symbol in ("WETH", "USDC"):
            self._give(symbol, usd * self._rng.uniform(0.2, 1))
        for symbol in self._rng.sample(("WETH", "WBTC", "wstETH", "DAI"), 3):
            self._owe(symbol, usd * self._rng.uniform(0.01, 0.08))

    def _switched_off(self, usd: float) -> None:
        self._give("WETH", usd)
        self._give("DAI", usd * 2)
        self.owner.append(encode_call(SWITCH, self._market.token("DAI").address, False))
        self._owe("USDC", usd * self._rng.uniform(0.01, 0.3))

    def _dust(self, usd: float) -> None:
        self._give("WETH", usd)
        self.given.append(("DAI", self._rng.randint(2, 10**6)))
        token = self._market.token("USDC").address
        self.owner.append(encode_call(BORROW, token, self._rng.randint(1, 50), VARIABLE, 0, self.account))

    def _stable_rate(self, usd: float) -> None:
        self._give("WETH", usd)
        self._give("wstETH", usd / 2)
        self._owe("USDC", usd * self._rng.uniform(0.05, 0.3), STABLE)

    def _both_rates(self, usd: float) -> None:
        self._stable_rate(usd)
        self._owe("USDC", usd * self._rng.uniform(0.01, 0.1))
        self._owe("DAI", usd * self._rng.uniform(0.01, 0.1), STABLE)


def units(market: Deployment, symbol: str, usd: float) -> int:
    """Units of a token worth so many dollars at the start, odd so that nothing divides."""
    return max(1, int(usd * USD8 * market.token(symbol).unit / PRICES[symbol])) | 1


def open_all(chain: Chain, market: Deployment, people: list[Script]) -> None:
    """Every account's deposits by the lender, then its own calls."""
    lender, me = market.roles.lender, chain.accounts[0]
    for symbol in ASSETS:
        total = sum(u for p in people for s, u in p.given if s == symbol)
        chain.send(me, market.token(symbol).address, "mint(address,uint256)", lender, total + 1)
    for start in range(0, len(people), 50):
        some = people[start : start + 50]
        deposits = [
            (lender, encode_call(DEPOSIT, market.token(s).address, u, p.account, 0))
            for p in some
            for s, u in p.given
        ]
        mined_together(chain, market.pool, deposits)
        mined_together(chain, market.pool, [(p.account, data) for p in some for data in p.owner])


def run(chain: Chain, market: Deployment, each: int, seed: int, *, rounds: int = 3) -> Tally:
    """``each`` accounts of every class, at ``rounds`` random sets of prices and times."""
    rng = random.Random(seed)
    _whale(chain, market)
    people = [Script(kind, rng, market) for kind in CLASSES for _ in range(each)]
    open_all(chain, market, people)
    accounts = [p.account for p in people]
    reader = VenueReader(chain, settings(market), market.multicall)
    wrong: set[str] = set()
    underwater = fixed = 0
    for at in range(rounds):
        # the first prices are a crash: among few accounts, too, some are liquidatable
        wild = (0.3, 1.6) if at else (0.25, 0.4)
        moved = {
            s: int(p * rng.uniform(*((0.97, 1.03) if s in STABLES else wild))) for s, p in PRICES.items()
        }
        set_in_ether(chain, market, moved)
        chain.mine(chain.block().timestamp_s + rng.randint(1, 40 * DAY_S))
        number = chain.block().number
        found = {p.id.account: p for p in reader.snapshot(accounts).positions}
        told = chain.batch(_account_data(market, a, number) for a in accounts)
        for account, answer in zip(accounts, told, strict=True):
            words = [int(answer[2 + 64 * i : 66 + 64 * i], 16) for i in range(6)]
            underwater += words[5] < WAD
            if not _agrees(found.get(account), words, moved["WETH"]):
                wrong.add(account)
        fixed += sum("(stable rate)" in h.amount.token.symbol for p in found.values() for h in p.debt)
    return Tally(states=len(people), wrong=tuple(sorted(wrong)), underwater=underwater, fixed=fixed)


def _account_data(market: Deployment, account: str, number: int) -> tuple[str, tuple[object, ...]]:
    data = "0xbf92857c" + account[2:].lower().rjust(64, "0")
    return "eth_call", ({"to": market.pool, "data": data}, hex(number))


def _agrees(position: Position | None, pool: list[int], ether_usd8: int) -> bool:
    """Health to the wei; both sides in dollars within what a price of eight digits allows, and against us."""
    if position is None or position.health_wad != pool[5]:
        return False
    given = sum(h.value_base for h in position.collateral if h.threshold_wad)
    owed = sum(h.value_base for h in position.debt)
    one = 10**position.base_decimals
    each = USD8 * WAD // ether_usd8
    return (
        given <= pool[0] * one // each
        and owed >= pool[1] * one // each
        and abs(given - pool[0] * one // each) <= len(position.collateral)
        and abs(owed - pool[1] * one // each) <= len(position.debt) + 1
    )


def _whale(chain: Chain, market: Deployment) -> None:
    """Somebody borrows most of the cash: at real rates every term of the compounding shows within weeks."""
    who, lender = market.roles.actors[0], market.roles.lender
    pledge, token = units(market, "wstETH", 400_000_000), market.token("wstETH").address
    chain.send(chain.accounts[0], token, "mint(address,uint256)", lender, pledge)
    chain.send(lender, market.pool, DEPOSIT, token, pledge, who, 0)
    for symbol in ("USDC", "DAI", "WETH"):
        asked = units(market, symbol, 40_000_000)
        chain.send(who, market.pool, BORROW, market.token(symbol).address, asked, VARIABLE, 0, who)
