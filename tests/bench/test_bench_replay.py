"""A year of minutes on 644 accounts, actions included; its ratio to the same screening in plain numpy.

``replay_644x1y_s``: CPU seconds of the whole replay, decisions by the real rooms in it. ``replay_vs_numpy``: how much
faster the screening kernel is than the loop that a reader would write first, one step a bar with numpy over all
accounts (``health = A @ p / B @ p``, who is below 1), as any loop must go in which an account may act at any bar.
``replay_vs_numpy_accounts``: the same against a loop over accounts with numpy over all bars at once, which nobody may
act in. ``replay_linear``: the dearest over the cheapest of the seconds an account-bar, at all of it, half of the
accounts and half of the bars: 1 where the time is linear in both.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from keeper.replay import compare, fleet, market, paths, run
from keeper.replay.fleet import Account, Lot
from keeper.replay.idle import book_of
from keeper.risk import screen
from tests.bench.figures import record

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

ACCOUNTS = 644
MINUTES = 525_600
MOMENTS = 2 * MINUTES
SECONDS_MAX = 60.0
SEED = 8
NUMPY_ACCOUNTS = 40
BARS_TRIED = 100_000
YEAR_VOLATILITY = 0.8
LINEAR_MAX = 1.6
"""Half of the accounts and half of the bars meet other falls, and so another number of acts."""


def year(minutes: int) -> paths.Paths:
    """Minutes of two assets that move with 80 % a year, a low and a close each, through Chainlink's habits."""
    rng = np.random.default_rng(SEED)
    step = YEAR_VOLATILITY / np.sqrt(MINUTES)
    close = np.exp(np.cumsum(rng.normal(-0.5 * step**2, step, (2, minutes)), axis=1))
    low = close * np.exp(-np.abs(rng.normal(0.0, step, close.shape)))
    market_ = np.ones((3, 2 * minutes))
    market_[:2, 0::2], market_[:2, 1::2] = low, close
    said = np.ones_like(market_)
    for k in range(2):
        screen.deviating(np.ascontiguousarray(market_[k]), 30.0, 0.005, 3_600.0, said[k])
    return paths.Paths(
        assets=("ETH", "BTC", "USDC"),
        row=np.arange(3),
        said=said,
        market=market_,
        bar=np.repeat(np.arange(minutes), 2),
        times_s=60.0 * np.arange(minutes),
        step_s=30.0,
        usd=np.array([2_000.0, 40_000.0, 1.0]),
        held=(),
        notes=(),
    )


def crew(count: int) -> fleet.Fleet:
    """Loans of 10,000 to 2 million dollars on both assets, health from 1.15 to 2.5."""
    rng = np.random.default_rng(SEED)
    accounts = []
    for n in range(count):
        size = float(np.exp(rng.uniform(np.log(1e4), np.log(2e6))))
        share = float(rng.uniform(0.2, 1.0))
        held = (
            Lot(asset="ETH", value=size * share, threshold=0.83),
            Lot(asset="BTC", value=size * (1.0 - share), threshold=0.78),
        )
        weighted = sum(x.value * x.threshold for x in held)
        owed = weighted / float(rng.uniform(1.15, 2.5))
        accounts.append(Account(name=str(n), collateral=held, debt=(Lot(asset="USDC", value=owed),)))
    return fleet.Fleet(path="", unit="USD", accounts=tuple(accounts))


def test_replay__644_accounts_and_a_year_of_minutes__within_a_minute() -> None:
    policy, shop = compare.plain_policy(1.15, 1.30), market.Market()
    small = year(2_000)
    run.voyage(crew(2), small, compare.makes(["ours"], policy, small.assets, shop)["ours"], shop)
    moved, accounts = year(MINUTES), crew(ACCOUNTS)
    table = Table("accounts", "bars", "acts", "seconds", "us a million account-bars")
    spent: dict[tuple[int, int], float] = {}
    for count, minutes in ((ACCOUNTS // 2, MINUTES), (ACCOUNTS, MINUTES // 2), (ACCOUNTS, MINUTES)):
        part = moved if minutes == MINUTES else year(minutes)
        make = compare.makes(["ours"], policy, part.assets, shop)["ours"]
        begun = time.process_time()
        found = run.voyage(crew(count), part, make, shop)
        spent[count, minutes] = time.process_time() - begun
        acts = sum(t.acts for t in found.trips)
        cost = spent[count, minutes] / (count * minutes) * 1e12
        table.add_row(str(count), f"{minutes:,}", f"{acts:,}", f"{spent[count, minutes]:.1f}", f"{cost:,.0f}")
        assert acts > 0
    ratio, by_bars = _against_numpy(accounts, moved), _against_bars(accounts, moved)
    Console().print(table)
    whole = spent[ACCOUNTS, MINUTES]
    each = [seconds / (count * minutes) for (count, minutes), seconds in spent.items()]
    linear = max(each) / min(each)
    record(
        "replay_linear",
        round(linear, 2),
        unit="dearest account-bar over the cheapest",
        bound=f"<= {LINEAR_MAX:g}",
        holds=linear <= LINEAR_MAX,
        evidence="own_double",
        n=len(spent),
        seed=SEED,
    )
    record(
        "replay_644x1y_s",
        round(whole, 1),
        unit="s of CPU",
        bound=f"<= {SECONDS_MAX:g}",
        holds=whole <= SECONDS_MAX,
        evidence="own_double",
        n=ACCOUNTS,
        seed=SEED,
    )
    for name, value, n in (
        ("replay_vs_numpy", by_bars, ACCOUNTS),
        ("replay_vs_numpy_accounts", ratio, NUMPY_ACCOUNTS),
    ):
        record(name, round(value, 1), unit="x faster", evidence="own_double", n=n, seed=SEED)
        print(f"{name}: {value:.1f}x")
    assert linear <= LINEAR_MAX
    assert whole <= SECONDS_MAX


def _against_numpy(accounts: fleet.Fleet, moved: paths.Paths) -> float:
    """Time of a plain numpy loop over accounts (health at every moment, first below 1) over that of the kernel."""
    some = accounts.accounts[:NUMPY_ACCOUNTS]
    book = book_of(some, moved)
    start, line, out = np.zeros(len(some), np.int64), np.ones(len(some)), np.empty(len(some), np.int64)
    screen.first_below(book, moved.said, start, line, out)
    begun = time.process_time()
    screen.first_below(book, moved.said, start, line, out)
    ours = time.process_time() - begun
    begun = time.process_time()
    plain = []
    for account in some:
        held = sum(x.value * x.threshold * moved.said[moved.row_of(x.asset)] for x in account.collateral)
        owed = sum(x.value * moved.said[moved.row_of(x.asset)] for x in account.debt)
        below = np.flatnonzero(held / owed < 1.0)
        plain.append(int(below[0]) if len(below) else len(moved.bar))
    numpys = time.process_time() - begun
    assert plain == out.tolist()
    return numpys / ours


def _against_bars(accounts: fleet.Fleet, moved: paths.Paths) -> float:
    """Time a bar of a plain loop over bars, numpy over all accounts, over that of the kernel for the same bars."""
    book = book_of(accounts.accounts, moved)
    shape = (len(accounts.accounts), len(moved.said))
    held, owed = np.zeros(shape), np.zeros(shape)
    for u in range(shape[0]):
        for j in range(book.indptr[u], book.indptr[u + 1]):
            held[u, book.feed[j]], owed[u, book.feed[j]] = book.a[j], book.b[j]
    said = np.ascontiguousarray(moved.said[:, :BARS_TRIED])
    start, line, out = np.zeros(shape[0], np.int64), np.full(shape[0], 1e-9), np.empty(shape[0], np.int64)
    begun = time.process_time()
    screen.first_below(book, said, start, line, out)
    ours = time.process_time() - begun
    first = np.full(shape[0], BARS_TRIED)
    begun = time.process_time()
    for t in range(BARS_TRIED):
        prices = said[:, t]
        below = (held @ prices) / (owed @ prices) < 1e-9
        if below.any():
            first[below] = np.minimum(first[below], t)
    numpys = time.process_time() - begun
    assert first.tolist() == out.tolist()
    return numpys / ours
