"""Random accounts on the real Synthetix v3 perps market, and our integers held against the engine's own answers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from anvil.client import Chain, Reverted
from anvil.deploy_synthetix_v3 import (
    CODE_SIZE_MAX,
    WAD,
    SynthetixMarket,
    SynthetixSite,
    deploy_synthetix_v3,
    open_account,
    pay_in,
    set_price,
    trade,
)
from anvil.node import Anvil, AnvilSettings
from tests.engines.synthetix_margin import Account, Margins, Market, Rules, margins
from tests.engines.synthetix_state import read_account, read_market, read_rules, verdicts, views

GENESIS_S = 1_750_000_000
TO_WAD = 10**10
"""Of a feed's answer of 8 decimals."""


@contextmanager
def standing(*, prune: bool = False) -> Iterator[tuple[Chain, SynthetixSite]]:
    """A node of its own with the market on it; ``prune`` for thousands of blocks, whose traces nobody asks."""
    settings = AnvilSettings(timestamp_s=GENESIS_S, code_size_max=CODE_SIZE_MAX, prune_history=prune)
    with Anvil(settings) as node:
        chain = Chain(node.url)
        chain.rpc("anvil_setBlockTimestampInterval", 1)
        try:
            yield chain, deploy_synthetix_v3(chain)
        finally:
            chain.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The market's state at the latest block."""

    markets: Mapping[int, Market]
    rules: Rules
    answers: Mapping[int, int]
    """By market, 8 decimals."""
    now_s: int

    def margins(self, account: Account, answers: Mapping[int, int] | None = None) -> Margins:
        """The account's margins at these prices, or others."""
        prices = {id: a * TO_WAD for id, a in (self.answers if answers is None else answers).items()}
        return margins(account, self.markets, self.rules, (prices, self.now_s))


def world(chain: Chain, site: SynthetixSite) -> World:
    """Everything but accounts."""
    return World(
        markets={m.id: read_market(chain, site, m.id) for m in site.markets},
        rules=read_rules(chain, site),
        answers={m.id: chain.call(m.feed, "latestAnswer()(int256)") for m in site.markets},
        now_s=chain.block().timestamp_s,
    )


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a run showed."""

    wrong: dict[int, str]
    states: int = 0
    edges: int = 0
    liquidatable: int = 0
    in_debt: int = 0
    crossed: int = 0
    """Accounts whose margin carries two positions."""


def crowd(chain: Chain, site: SynthetixSite, n: int, rng: random.Random) -> list[int]:
    """``n`` accounts of one owner with one or two positions each, time and prices moving between them."""
    owner, ids = chain.accounts[1], list(range(1, n + 1))
    eth, btc = site.market("ETH"), site.market("BTC")
    for id in ids:
        first, second = rng.sample((eth, btc), 2)
        usd = 10 ** rng.uniform(2.5, 5.3)
        margin = usd / rng.uniform(2, 22) + 60
        open_account(chain, site, owner, id, int(margin * WAD))
        _try(chain, site, first, owner, (id, _size(rng, first, usd)))
        if rng.random() < 0.5:
            _try(chain, site, second, owner, (id, _size(rng, second, usd * rng.uniform(0.1, 0.6))))
        if id % 7 == 0:
            chain.mine(chain.block().timestamp_s + rng.randint(60, 40_000))
            _wander(chain, site, rng)
    return ids


def indebt(chain: Chain, site: SynthetixSite, ids: list[int]) -> list[int]:
    """Accounts that closed a losing leg beyond their dollars while the other leg gained: they owe."""
    owner, eth, btc = chain.accounts[1], site.market("ETH"), site.market("BTC")
    set_price(chain, eth, eth.usd)
    set_price(chain, btc, btc.usd)
    for n, id in enumerate(ids):
        open_account(chain, site, owner, id, (900 + 37 * n) * WAD)
        trade(chain, site, eth, (owner, id, 4 * WAD))
        trade(chain, site, btc, (owner, id, WAD // 8))
    set_price(chain, eth, eth.usd * 1.35)
    set_price(chain, btc, btc.usd * 0.75)
    for id in ids:
        trade(chain, site, btc, (owner, id, -WAD // 8))
    return ids


def _size(rng: random.Random, market: SynthetixMarket, usd: float) -> int:
    return int(usd / market.usd * WAD) * rng.choice((1, -1))


def _try(
    chain: Chain, site: SynthetixSite, market: SynthetixMarket, owner: str, order: tuple[int, int]
) -> None:
    """An order that the engine may refuse for want of margin: more margin then, once."""
    id, size = order
    try:
        trade(chain, site, market, (owner, id, size))
    except Reverted as refused:
        if refused.name not in ("InsufficientMargin", "AccountLiquidatable"):
            raise
        pay_in(chain, site, owner, id, abs(size) * market.usd // 3)
        trade(chain, site, market, (owner, id, size))


def _wander(chain: Chain, site: SynthetixSite, rng: random.Random) -> None:
    for market in site.markets:
        set_price(chain, market, market.usd * rng.uniform(0.97, 1.03))


def hold(chain: Chain, site: SynthetixSite, ids: list[int], tally: Tally) -> None:
    """Each account's margins and verdict against the engine's: now, and around the price that liquidates."""
    there = world(chain, site)
    for id in ids:
        account = read_account(chain, site, id)
        ours, (theirs, verdict) = there.margins(account), views(chain, site, id)
        if ours != theirs or ours.liquidatable != verdict:
            tally.wrong[id] = f"{ours} is not {theirs}, {verdict}"
        tally.states += 1
        tally.liquidatable += verdict
        tally.in_debt += account.debt > 0
        tally.crossed += len(account.held) > 1
        edge = boundary(there, account)
        if edge is None:
            continue
        market, below, above = edge
        feed = next(m.feed for m in site.markets if m.id == market)
        told = verdicts(chain, site, feed, [(id, below), (id, above)])
        mine = [there.margins(account, {**there.answers, market: a}).liquidatable for a in (below, above)]
        tally.edges += 1
        if told != mine or told[0] == told[1]:
            tally.wrong[id] = f"at {below} and {above} of {market}: {told}, not {mine}"


def boundary(there: World, account: Account) -> tuple[int, int, int] | None:
    """(market, answer, the next answer) between which the verdict changes as that price alone moves; None where it
    never does within a factor of ten."""
    for held in sorted(account.held, key=lambda h: -abs(h.size) * there.answers[h.market]):
        here = there.answers[held.market]

        def bad(answer: int, market: int = held.market) -> bool:
            return there.margins(account, {**there.answers, market: answer}).liquidatable

        ends = (here // 10, here * 10)
        far = next((e for e in ends if bad(e) != bad(here)), None)
        if far is None:
            continue
        low, high = sorted((here, far))
        side = bad(low)
        while high - low > 1:
            mid = (low + high) // 2
            low, high = (mid, high) if bad(mid) == side else (low, mid)
        return held.market, low, high
    return None


def run(n: int, seed: int) -> Tally:
    """``n`` random states, a tenth of them in debt, checked in calm and after a crash and a squeeze."""
    rng, tally = random.Random(seed), Tally(wrong={})
    with standing(prune=True) as (chain, site):
        owing = n // 10
        ids = crowd(chain, site, n - owing, rng)
        ids += indebt(chain, site, list(range(n - owing + 1, n + 1)))
        chain.mine(chain.block().timestamp_s + rng.randint(3_600, 90_000))
        third = len(ids) // 3
        for part, factor in ((ids[:third], 1.0), (ids[third : 2 * third], 0.93), (ids[2 * third :], 1.08)):
            for market in site.markets:
                set_price(chain, market, market.usd * factor * rng.uniform(0.99, 1.01))
            hold(chain, site, part, tally)
    return tally
