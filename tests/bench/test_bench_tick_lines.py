"""What one tick costs our own process for 1,000 guarded accounts: Morpho Blue, Aave v3.0, Aave v2."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.compile import compile_aave
from anvil.deploy import deploy
from anvil.deploy_aave_v3_0 import deploy_aave_v3_0
from anvil.deploy_morpho import deploy_morpho
from anvil.deployment import Deployment
from anvil.node import Anvil, AnvilSettings
from keeper.config import VenueSettings
from tests.aave_v2_market import deploy_aave_v2
from tests.aave_v2_states import Script, open_all
from tests.aave_v2_states import settings as aave_v2_settings
from tests.bench.tick_cost import N, costs_ms, told
from tests.morpho_stage import Loan, open_loans, settings
from tests.venue_stage import home

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

SLICE = 50


def _accounts(name: str) -> list[str]:
    return [str(to_checksum_address(keccak(text=f"{name} {i}")[-20:])) for i in range(N)]


def _morpho(chain: Chain, deployment: Deployment) -> tuple[VenueSettings, list[str]]:
    site = deploy_morpho(chain, deployment)
    market, people = site.market("WETH", "USDC"), _accounts("lent")
    loans = [Loan(account=a, given=10**18 + i, owed=(1_200 + i // 10) * 10**6) for i, a in enumerate(people)]
    open_loans(chain, deployment, site, market, loans)
    return settings(deployment, site, market), people


def _spark(chain: Chain, deployment: Deployment) -> tuple[VenueSettings, list[str]]:
    market, people = deploy_aave_v3_0(chain, deployment), _accounts("old")
    actors = Actors(chain, market)
    borrowers = [
        Borrower(
            account=a,
            collateral={"WETH": 10**18 + i, **({"wstETH": 10**17} if i % 3 == 0 else {})},
            debt={"USDC": (1_000 + i // 10) * 10**6, **({"DAI": 10**20} if i % 4 == 0 else {})},
        )
        for i, a in enumerate(people)
    ]
    for first in range(0, N, SLICE):
        actors.open_many(borrowers[first : first + SLICE])
    named = VenueSettings(name="spark", kind="aave_v3", chain="local", provider=market.provider)
    return named, people


def _old(chain: Chain, deployment: Deployment) -> tuple[VenueSettings, list[str]]:
    market, people = deploy_aave_v2(chain, deployment), _accounts("older")
    scripts = [Loan2(market, account=a, more=i % 3 == 0, two=i % 4 == 0) for i, a in enumerate(people)]
    open_all(chain, market, list(scripts))
    return aave_v2_settings(market), people


class Loan2(Script):
    """An account of the same shape as those on the 3.0 line."""

    def __init__(self, market: Deployment, *, account: str, more: bool, two: bool) -> None:
        super().__init__("one_debt", random.Random(0), market)
        self.account, self.given, self.owner = account, [("WETH", 10**18)], []
        self.given += [("wstETH", 10**17)] if more else []
        self._owe("USDC", 1_000)
        if two:
            self._owe("DAI", 100)


OPENED = {"morpho_blue": _morpho, "aave_v3_0": _spark, "aave_v2": _old}


@pytest.mark.parametrize("figure", list(OPENED))
def test_tick__a_thousand_accounts_on_real_bytecode__stays_within_its_bound(
    tmp_path: Path, figure: str
) -> None:
    with Anvil(AnvilSettings()) as node:
        chain = Chain(node.url)
        try:
            deployment = deploy(chain, compile_aave())
            venue, people = OPENED[figure](chain, deployment)
            guarded = {f"p{i}": a for i, a in enumerate(people)}
            native = deployment.token("WETH").address
            made = home(
                tmp_path, node, chain, [(venue, guarded)], multicall=deployment.multicall, native=native
            )
            found_ms = costs_ms(made.settings, chain, tmp_path / "log")
        finally:
            chain.close()
    told(figure, found_ms, "real_bytecode")
