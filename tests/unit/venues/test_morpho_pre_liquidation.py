"""Our verdict on a pre-liquidation is that of the published formulas, in whole units, at both ends as well."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from keeper.model import Refusal
from keeper.units import WAD
from keeper.venues.morpho_blue import rules
from keeper.venues.morpho_blue.math import Totals
from keeper.venues.morpho_blue.rules import Case, PreTerms
from tests.morpho_pre import (
    HEALTHY,
    LIQUIDATABLE,
    SCALE,
    TOO_LARGE,
    Borrower,
    Published,
    repayable,
    verdict,
)

pytestmark = pytest.mark.unit

CASES = 3_000
LLTV = 86 * 10**16


def ours(of: Borrower, terms: Published, shares: int) -> str | tuple[int, int, int]:
    """The same, by the keeper's rules."""
    case = Case(
        totals=Totals(
            supply_assets=0,
            supply_shares=0,
            borrow_assets=of.assets,
            borrow_shares=of.shares,
            updated_s=0,
            fee_wad=0,
        ),
        borrow_shares=of.owes,
        collateral=of.collateral,
        price=of.price,
        lltv_wad=terms.lltv,
    )
    lines = PreTerms(line_wad=terms.pre_lltv, close_wad=terms.lcf, incentive_wad=terms.lif)
    found = rules.pre_liquidate(case, lines, shares=shares)
    if isinstance(found, Refusal):
        return found.code
    return found.repaid_units, found.repaid_shares, found.seized_units


def terms_of(rng: random.Random) -> Published:
    """Any that the published constructor takes."""
    lltv = rng.choice([LLTV, 945 * 10**15, 77 * 10**16])
    lcf = sorted((rng.randint(1, WAD), rng.randint(1, WAD)))
    most = WAD * WAD // lltv
    lif = sorted((rng.randint(WAD, most), rng.randint(WAD, most)))
    pre = rng.randint(lltv // 2, lltv - 1)
    return Published(pre_lltv=pre, lcf=(lcf[0], lcf[1]), lif=(lif[0], lif[1]), lltv=lltv)


def borrower_of(rng: random.Random, terms: Published) -> Borrower:
    """Somebody whose loan-to-value lies around the range, as often as not within a few units of one of its ends."""
    assets = int(10 ** rng.uniform(7, 25))
    shares = int(assets * 10**6 / rng.uniform(1, 1.6))
    owes = max(10**6, int(shares * rng.random() ** 2))
    collateral = int(10 ** rng.uniform(15, 26))
    plain = Borrower(assets=assets, shares=shares, owes=owes, collateral=collateral, price=SCALE)
    end = rng.choice([terms.pre_lltv, terms.lltv, rng.randint(terms.pre_lltv, terms.lltv)])
    quoted = -(-plain.borrowed * WAD // end) + rng.randint(-2, 2) * rng.choice([1, 1, plain.borrowed // 99])
    price = max(1, -(-quoted * SCALE // collateral) + rng.randint(-1, 1))
    return Borrower(assets=assets, shares=shares, owes=owes, collateral=collateral, price=price)


def share_of(rng: random.Random, of: Borrower, terms: Published) -> int:
    """Any part, or to a share as much as may be repaid."""
    limit = repayable(of, terms) if of.quoted else 1
    return max(1, rng.choice([limit + rng.randint(0, 1), rng.randint(1, of.owes)]))


def test_pre_liquidate__over_random_loans_and_terms__then_as_the_published_formulas_say() -> None:
    rng, told = random.Random(6), Counter[str]()
    for _ in range(CASES):
        terms = terms_of(rng)
        of = borrower_of(rng, terms)
        shares = share_of(rng, of, terms)
        said = verdict(of, terms, shares)
        assert ours(of, terms, shares) == said, (of, terms, shares)
        told[said if isinstance(said, str) else "taken"] += 1
    assert min(told[name] for name in (HEALTHY, LIQUIDATABLE, TOO_LARGE, "taken")) >= CASES // 20, told


def test_pre_liquidate__at_both_ends__then_the_first_and_the_last_of_the_two_factors() -> None:
    """By hand: 86 million units owed; the first line at loan-to-value 0.80, the second at 0.86."""
    terms = Published(
        pre_lltv=80 * 10**16, lcf=(10**17, 5 * 10**17), lif=(101 * 10**16, 104 * 10**16), lltv=86 * 10**16
    )

    def at(quoted: int, shares: int) -> str | tuple[int, int, int]:
        # one share is one unit: the virtual ones are in the same proportion
        of = Borrower(
            assets=10**12 - 1, shares=10**18 - 10**6, owes=86 * 10**12, collateral=quoted, price=SCALE
        )
        assert verdict(of, terms, shares) == ours(of, terms, shares)
        return ours(of, terms, shares)

    million = 10**12
    """Shares of a million units."""
    assert at(107_500_000, 86 * 10**11) == HEALTHY  # 86 / 107.5 = 0.80 exactly
    assert at(107_499_999, 86 * 10**11) != HEALTHY
    assert at(100_000_000, 43 * million) == (43_000_000, 43 * million, 44_720_000)  # 0.86: half, at 1.04
    assert at(100_000_000, 43 * million + 1) == TOO_LARGE
    assert at(99_999_999, 43 * million) == LIQUIDATABLE
