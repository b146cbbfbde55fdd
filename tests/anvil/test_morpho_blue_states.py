"""Random loans at random prices and times: our integers and verdicts are Morpho Blue's own, interest included."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from anvil.client import Chain
from anvil.deploy_morpho import MorphoMarket, MorphoSite, deploy_morpho, set_price, usual_price
from anvil.deployment import Deployment
from anvil.node import Anvil
from keeper.model import Position
from keeper.units import UINT256_MAX, WAD
from keeper.venues.morpho_blue import math
from tests.bench.figures import record
from tests.morpho_stage import Loan, MorphoReader, liquidates, open_loans, owed_by_contract, settings

pytestmark = pytest.mark.anvil

SEED = 20_260_410
EACH = (68, 66, 66)
ROUNDS = 2
USD8 = 10**8


@pytest.fixture(scope="module")
def site(upstream: Anvil, deployment: Deployment) -> Iterator[MorphoSite]:
    """Morpho beside the Aave market, for this file; each test's own changes are undone by ``chain``."""
    client = deployment.chain(upstream.url)
    snapshot = client.snapshot()
    yield deploy_morpho(client, deployment)
    client.revert(snapshot)
    client.close()


def _loan(rng: random.Random, market: MorphoMarket, deployment: Deployment, price: int) -> Loan:
    """From dust to a million dollars, up to the line; one in ten owes nothing."""
    account = str(to_checksum_address(rng.randbytes(20)))
    unit = deployment.token(market.collateral).unit
    given = max(2, int(unit * 10 ** rng.uniform(-4, 1.5))) | 1
    most = math.borrowable_down(math.quoted_down(given, price), market.lltv_wad)
    owed = 0 if rng.random() < 0.1 else max(1, int(most * rng.uniform(0.3, 0.9995)))
    return Loan(account=account, given=given, owed=owed if most > 2 else 0)


def _boundary(position: Position, market: MorphoMarket) -> int:
    """The least price at which the position is healthy, by our own reading of it."""
    needed = -(-position.debt[0].amount.units * WAD // market.lltv_wad)
    return -(-needed * math.ORACLE_SCALE // position.collateral[0].amount.units)


def test_states_exact__200_random_loans_in_three_markets__debt_and_verdict_are_the_contracts_own(
    chain: Chain, deployment: Deployment, site: MorphoSite
) -> None:
    rng = random.Random(SEED)
    wrong: set[str] = set()
    people: dict[str, list[Loan]] = {}
    readers = {}
    for market, n in zip(site.markets, EACH, strict=True):
        price = usual_price(chain, deployment, market)
        people[market.id] = [_loan(rng, market, deployment, price) for _ in range(n)]
        open_loans(chain, deployment, site, market, people[market.id])
        readers[market.id] = MorphoReader(chain, deployment, settings(deployment, site, market))
    underwater = healthy = 0
    for turn in range(ROUNDS):
        for market in site.markets:
            price = usual_price(chain, deployment, market)
            moved = 10 ** rng.uniform(*((-0.35, 0.1), (-5.0, 3.0))[turn])
            set_price(chain, market, int(price * moved))
        # after years without anybody the curve has moved and every term of the series shows
        chain.mine(chain.block().timestamp_s + rng.randint(1, (60, 700)[turn] * 86_400))
        block = chain.block()
        for market in site.markets:
            accounts = [x.account for x in people[market.id]]
            snapshot = readers[market.id].snapshot(accounts, block=block)
            found = {p.id.account: p for p in snapshot.positions}
            wrong |= set(accounts) - set(found)
            owing = [p for p in found.values() if p.debt]
            told = chain.batch(
                owed_by_contract(deployment, site, market, (p.id.account, p.debt[0].stored), block)
                for p in owing
            )
            for p, answer in zip(owing, told, strict=True):
                if int(answer[2:66], 16) != p.debt[0].amount.units:
                    wrong.add(p.id.account)
            wrong |= {a for a, p in found.items() if not p.debt and p.health_wad != UINT256_MAX}
            for p in owing:
                assert p.health_wad is not None
                below = liquidates(chain, deployment, site, market, (p.id.account, None, block))
                underwater, healthy = underwater + below, healthy + (not below)
                edge = _boundary(p, market)
                sides = [
                    liquidates(chain, deployment, site, market, (p.id.account, at, block))
                    for at in (edge, edge - 1)
                ]
                if (p.health_wad < WAD) != below or sides != [False, True]:
                    wrong.add(p.id.account)
    n = sum(EACH)
    proof: dict[str, Any] = {"evidence": "real_bytecode", "n": n, "seed": SEED}
    record(
        "states_exact_morpho_blue", n - len(wrong), unit="states", bound=f"= {n}", holds=not wrong, **proof
    )
    record("states_wrong_morpho_blue", len(wrong), unit="states", bound="= 0", holds=not wrong, **proof)
    assert not wrong, f"{len(wrong)} of {n} differ, e.g. {sorted(wrong)[0]}"
    assert underwater > 100
    assert healthy > 100


def test_accrual__when_it_is_dropped__then_the_view_is_too_healthy_and_the_reader_says_unknown(
    chain: Chain, deployment: Deployment, site: MorphoSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = site.market("WETH", "USDC")
    account, unit = deployment.roles.actors[0], deployment.token("WETH").unit
    loan = Loan(account=account, given=10 * unit, owed=20_000 * 10**6)
    open_loans(chain, deployment, site, market, [loan])
    # most of the cash is lent, so that interest is worth looking at
    open_loans(
        chain,
        deployment,
        site,
        market,
        [Loan(account=deployment.roles.actors[1], given=10_000 * unit, owed=19_000_000 * 10**6)],
    )
    reader = MorphoReader(chain, deployment, settings(deployment, site, market))
    chain.mine(chain.block().timestamp_s + 30 * 86_400)
    block = chain.block()
    true = reader.position(account)
    edge = _boundary(true, market)
    # one unit of price below the boundary the contract liquidates
    assert liquidates(chain, deployment, site, market, (account, edge - 1, block))
    monkeypatch.setattr(math, "accrue", lambda totals, rate_wad, now_s: totals)
    monkeypatch.setattr(math, "borrow_rate", lambda rate, totals, age_s: (0, rate))
    lazy = reader.snapshot([account])
    (unread,) = lazy.unreadable
    assert "differ from the contract's" in unread.why
    # the trap itself: what market() answers, without what has accrued since
    stored = _stored(chain, site, market)
    shares = true.debt[0].stored
    seen = math.to_assets_up(shares, stored[2], stored[3])
    assert seen < true.debt[0].amount.units
    carried = math.quoted_down(loan.given, edge - 1) * market.lltv_wad // WAD
    assert carried >= seen, "where the view still says healthy, the contract liquidates"


def _stored(chain: Chain, site: MorphoSite, market: MorphoMarket) -> tuple[int, ...]:
    """``market()`` as it answers."""
    signature = "market(bytes32)(uint128,uint128,uint128,uint128,uint128,uint128)"
    return tuple(chain.call(site.morpho, signature, bytes.fromhex(market.id[2:])))
