"""Random accounts on the real Perpetual Protocol v2, and our integers held against the engine's own answers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from anvil.abi import encode_call, explain_revert
from anvil.client import Chain, Reverted
from anvil.deploy_perp_v2 import (
    PerpMarket,
    PerpSite,
    deploy_perp_v2,
    fund,
    order,
    push,
    set_index,
    trade,
)
from anvil.node import Anvil, AnvilSettings
from tests.engines.perp_v2_margin import E18, TOKEN, Account, Margins, Mark, Taken, margins
from tests.engines.synthetix_crowd import GENESIS_S, Tally
from tests.engines.synthetix_state import calls, under, words

TO_E18 = 10**10
INTERVALS_S = (15, 1_800, 900)
_ROUNDS = 2
Change = tuple[str, int, int] | None
"""(contract, slot, value); None: as it is."""


@contextmanager
def standing(accounts: int = 60, *, prune: bool = False) -> Iterator[tuple[Chain, PerpSite]]:
    """A node of its own with the engine on it; the second account makes markets, the third liquidates."""
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S, accounts=accounts, prune_history=prune)) as node:
        chain = Chain(node.url)
        chain.rpc("anvil_setBlockTimestampInterval", 1)
        try:
            yield chain, deploy_perp_v2(chain, chain.accounts[1], chain.accounts[2])
        finally:
            chain.close()


def read_mark(chain: Chain, site: PerpSite, market: PerpMarket) -> Mark:
    """The parts of the mark price, from the pool's averages and the feed."""
    twap = "getSqrtMarketTwapX96(address,uint32)(uint160)"
    roots = calls(chain, site.exchange, [(twap, market.base, s) for s in INTERVALS_S])
    short, long, middle = ((r * r >> 96) * E18 >> 96 for r in roots)
    index, over = calls(
        chain, market.base, [("getIndexPrice(uint256)(uint256)", s) for s in (0, INTERVALS_S[2])]
    )
    return Mark(short=short, long=long, premium=middle - over, index=index)


def read_account(chain: Chain, site: PerpSite, who: str) -> Account:
    """What the engine stores of an account, and the funding that it owes now."""
    info = "getAccountInfo(address,address)((int256,int256,int256))"
    owes = "getPendingFundingPayment(address,address)(int256)"
    held = calls(chain, site.account_balance, [(info, who, m.base) for m in site.markets])
    funding = calls(chain, site.exchange, [(owes, who, m.base) for m in site.markets])
    (balance,) = calls(chain, site.vault, [("getBalance(address)(int256)", who)])
    (pnl,) = calls(
        chain, site.account_balance, [("getPnlAndPendingFee(address)(int256,int256,uint256)", who)]
    )
    taken = tuple(
        Taken(market=m.symbol, size=h[0], notional=h[1], funding=f)
        for m, h, f in zip(site.markets, held, funding, strict=True)
        if h[0] or h[1]
    )
    return Account(balance=balance, realised=pnl[0], taken=taken)


def views(chain: Chain, site: PerpSite, who: str) -> Margins:
    """What the engine itself says."""
    free = "getFreeCollateralByRatio(address,uint24)(int256)"
    initial, maintenance = ratios(chain, site)
    (value,) = calls(chain, site.clearing_house, [("getAccountValue(address)(int256)", who)])
    needed, absolute = calls(
        chain,
        site.account_balance,
        [
            ("getMarginRequirementForLiquidation(address)(int256)", who),
            ("getTotalAbsPositionValue(address)(uint256)", who),
        ],
    )
    frees = calls(chain, site.vault, [(free, who, initial), (free, who, maintenance)])
    return Margins(
        value=value,
        maintenance=needed,
        absolute=absolute,
        free_initial=frees[0],
        free_maintenance=frees[1],
    )


def ratios(chain: Chain, site: PerpSite) -> tuple[int, int]:
    """(initial, maintenance), 6 decimals."""
    asked = [("getImRatio()(uint24)",), ("getMmRatio()(uint24)",)]
    initial, maintenance = calls(chain, site.config, asked)
    return initial, maintenance


def liquidates(chain: Chain, site: PerpSite, who: str, base: str, changes: Sequence[Change]) -> list[bool]:
    """Would the engine liquidate the account, in the market of that base, with these words of storage changed? Tried
    for real, by ``eth_call``."""
    data = encode_call("liquidate(address,address)", who, base)
    tx = {"from": site.liquidator, "to": site.clearing_house, "data": "0x" + data.hex()}
    bodies = []
    for n, change in enumerate(changes):
        over: dict[str, Any] = {}
        if change is not None:
            address, place, value = change
            over = {address: {"stateDiff": {f"0x{place:064x}": f"0x{value % 2**256:064x}"}}}
        bodies.append({"jsonrpc": "2.0", "id": n, "method": "eth_call", "params": [tx, "latest", over]})
    found = [False] * len(bodies)
    for answer_ in chain._post(bodies):
        error = answer_.get("error")
        if error is None:
            found[answer_["id"]] = True
            continue
        why, _ = explain_revert(bytes.fromhex(str(error.get("data", "0x"))[2:]), {})
        assert why == "CH_EAV", why
    return found


def crowd(chain: Chain, site: PerpSite, people: Sequence[str], rng: random.Random) -> None:
    """One position each, for every other one a second in the other market; time passes, and funding with it."""
    for n, who in enumerate(people):
        first, second = site.markets if rng.random() < 0.7 else reversed(site.markets)
        usd, leverage = 10 ** rng.uniform(2.5, 4.6), rng.uniform(4.6, 9.0)
        fund(chain, site, who, int(usd / leverage) + 2)
        amount = int(usd * rng.uniform(0.8, 0.9) * E18)
        _open(chain, site, first, who, (rng.random() < 0.5, amount))
        if n % 2:
            _open(chain, site, second, who, (rng.random() < 0.5, int(amount * 0.1)))
        if n % 5 == 0:
            chain.mine(chain.block().timestamp_s + rng.randint(16, 5_000))


def _open(chain: Chain, site: PerpSite, market: PerpMarket, who: str, side: tuple[bool, int]) -> None:
    sell, amount = side
    try:
        trade(chain, site, who, order(market, sell=sell, exact_base=False, amount=amount))
    except Reverted as refused:
        # the leg of a cross-margined account that its collateral does not carry
        if refused.name != "CH_NEFCI":
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Prices and ratios at the latest block."""

    marks: Mapping[str, Mark]
    ratios: tuple[int, int]

    def margins(self, account: Account, index: tuple[str, int] | None = None) -> Margins:
        """At the present prices, or with one market's index at another answer (8 decimals)."""
        marks = dict(self.marks)
        if index is not None:
            marks[index[0]] = replace(marks[index[0]], index=index[1] * TO_E18)
        return margins(account, {s: m.price for s, m in marks.items()}, *self.ratios)


def hold(chain: Chain, site: PerpSite, people: Sequence[str], tally: Tally) -> None:
    """Each account's margins and verdict against the engine's: as it is, on both sides of the index that liquidates
    it where there is one, and with a margin one unit apart."""
    marks = {m.symbol: read_mark(chain, site, m) for m in site.markets}
    there = World(marks=marks, ratios=ratios(chain, site))
    first = site.markets[0]
    answer_at = under(_ROUNDS, chain.call(first.feed, "latestRound()(uint256)"))
    balances = balance_slot(chain, site)
    for who in people:
        account = read_account(chain, site, who)
        if not account.taken:
            continue
        ours, theirs = there.margins(account), views(chain, site, who)
        base = site.market(account.taken[0].market).base
        (verdict,) = liquidates(chain, site, who, base, [None])
        key, tally.states = tally.states, tally.states + 1
        tally.liquidatable += verdict
        tally.crossed += len(account.taken) > 1
        if ours != theirs or ours.liquidatable != verdict:
            tally.wrong[key] = f"{who}: {ours} is not {theirs}, {verdict}"
        sides: list[tuple[Change, bool]] = []
        edge = boundary(there, account, first.symbol)
        if edge is not None:
            tally.edges += 1
            sides += [
                ((first.feed, answer_at, a), there.margins(account, (first.symbol, a)).liquidatable)
                for a in edge
            ]
        # the vault's unit at which the verdict changes: what is missing, rounded up to it
        least = account.balance - (ours.value - ours.maintenance) // TOKEN
        place = under_address(under_address(balances, who), site.usdc)
        for units in (least - 1, least):
            ours_then = there.margins(replace(account, balance=units))
            sides.append(((site.vault, place, units), ours_then.liquidatable))
        told = liquidates(chain, site, who, base, [change for change, _ in sides])
        if told != [bad for _, bad in sides] or any(
            a == b for a, b in zip(told[::2], told[1::2], strict=True)
        ):
            tally.wrong[key] = f"{who}: {told}, not {sides}"


def under_address(mapping: int, key: str) -> int:
    """Where a mapping by address keeps an entry."""
    return under(mapping, int(key, 16))


def balance_slot(chain: Chain, site: PerpSite) -> int:
    """Where the vault keeps balances: the slot at which the liquidator's million is found."""
    (balance,) = calls(chain, site.vault, [("getBalance(address)(int256)", site.liquidator)])
    slots = range(400)
    places = [under_address(under_address(s, site.liquidator), site.usdc) for s in slots]
    found = [s for s, w in zip(slots, words(chain, site.vault, places), strict=True) if w == balance % 2**256]
    assert len(found) == 1, found
    return found[0]


def boundary(there: World, account: Account, symbol: str) -> tuple[int, int] | None:
    """(index answer, the next) of that market between which the verdict changes. A median of three follows the index
    only between the market's two averages: None where the verdict is the same at both ends."""
    mark = there.marks[symbol]
    ends = sorted((p - mark.premium) // TO_E18 for p in (mark.short, mark.long))
    low, high = ends[0] - 1, ends[1] + 1

    def bad(answer: int) -> bool:
        return there.margins(account, (symbol, answer)).liquidatable

    if bad(low) == bad(high):
        return None
    side = bad(low)
    while high - low > 1:
        mid = (low + high) // 2
        low, high = (mid, high) if bad(mid) == side else (low, mid)
    return low, high


def run(n: int, seed: int) -> Tally:
    """``n`` random states: after a crash, then, of the same accounts, after a squeeze."""
    rng, tally = random.Random(seed), Tally(wrong={})
    with standing(accounts=n // 2 + 20, prune=True) as (chain, site):
        people = chain.accounts[10 : 10 + n // 2]
        crowd(chain, site, people, rng)
        chain.mine(chain.block().timestamp_s + 2_000)
        for factor in (0.8, 1.2):
            calm = chain.snapshot()
            for market in site.markets:
                set_index(chain, market, market.usd)
                push(chain, site, market, market.usd * factor)
            chain.mine(chain.block().timestamp_s + 20)
            # the market whose boundary is sought comes last: an answer of this very second is in no average yet
            for market in reversed(site.markets):
                set_index(chain, market, market.usd * rng.uniform(*sorted((1.0, factor))))
            hold(chain, site, people, tally)
            chain.revert(calm)
    return tally
