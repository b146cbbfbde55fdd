"""One real daemon over two Morpho Blue markets and a 3.0 Aave market: repaid and topped up on their real bytecode."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.deploy_aave_v3_0 import deploy_aave_v3_0
from anvil.deploy_morpho import MorphoSite, deploy_morpho, open_loan, set_price, usual_price
from anvil.deployment import Deployment
from anvil.node import Anvil
from anvil.shock import set_prices
from keeper.chain.head import latest
from keeper.cli.template import Guard, from_guards
from keeper.clock import SystemClock
from keeper.config import VenueSettings, load
from keeper.daemon.known import Wish
from keeper.daemon.lined import Lines, recalled
from keeper.daemon.wiring import Site, opened, photograph, scan
from keeper.errors import ConfigError
from keeper.inspection import inspect
from keeper.journal.write import Journal
from keeper.model import IntentState
from keeper.notify.alarm import Alarms
from keeper.units import WAD
from keeper.venues.morpho_blue import deployments
from tests.command import typed
from tests.morpho_stage import MorphoReader, pre_liquidation, settings
from tests.venue_stage import Guarded, armed, home, running

pytestmark = pytest.mark.anvil

ROOT = Path(__file__).parents[2]
BLOCKS_MAX = 8
PRE = "0x9999999999999999999999999999999999999999"
TERMS = (80 * 10**16, 10**17, 5 * 10**17, 101 * 10**16, 104 * 10**16)
STRANGER = "0x8888888888888888888888888888888888888888"


@pytest.fixture(scope="module")
def places(upstream: Anvil, deployment: Deployment) -> Iterator[tuple[MorphoSite, Deployment]]:
    """Morpho and the 3.0 market beside the newer one, for this file."""
    client = deployment.chain(upstream.url)
    snapshot = client.snapshot()
    yield deploy_morpho(client, deployment), deploy_aave_v3_0(client, deployment)
    client.revert(snapshot)
    client.close()


@pytest.fixture
def at(
    tmp_path: Path,
    upstream: Anvil,
    chain: Chain,
    deployment: Deployment,
    places: tuple[MorphoSite, Deployment],
) -> Guarded:
    """Three loans above their triggers, and a wallet with dollars and bitcoin but no DAI."""
    site, spark = places
    ether, coin = site.market("WETH", "USDC"), site.market("WBTC", "DAI")
    users = deployment.roles.actors[:3]
    open_loan(chain, deployment, site, ether, (users[0], 10 * 10**18, 20_000 * 10**6))
    open_loan(chain, deployment, site, coin, (users[1], 10**8, 53_000 * 10**18))
    old = Borrower(account=users[2], collateral={"WETH": 10 * 10**18}, debt={"USDC": 19_300 * 10**6})
    Actors(chain, spark).open(old)
    chain.send(users[0], site.morpho, "setAuthorization(address,bool)", STRANGER, True)
    aave = VenueSettings(name="spark", kind="aave_v3", chain="local", provider=spark.provider)
    made = home(
        tmp_path,
        upstream,
        chain,
        [
            (settings(deployment, site, ether), {"ether": users[0]}),
            (settings(deployment, site, coin), {"coin": users[1]}),
            (aave, {"old": users[2]}),
        ],
        multicall=deployment.multicall,
        native=deployment.token("WETH").address,
    )
    for symbol, units in (("USDC", 40_000 * 10**6), ("WBTC", 10**8)):
        token = deployment.token(symbol).address
        chain.send(chain.accounts[0], token, "mint(address,uint256)", made.wallet, units)
    armed(made, {"USDC": "30000", "WBTC": "1"})
    return made


def test_daemon__ether_and_bitcoin_fall_a_tenth__repays_tops_up_and_keeps_what_it_promised(
    chain: Chain, deployment: Deployment, places: tuple[MorphoSite, Deployment], at: Guarded
) -> None:
    site, spark = places
    _told(at)
    with running(at) as block:
        block()
        assert not at.intents()
        chain.rpc("evm_setAutomine", True)
        for market in (site.market("WETH", "USDC"), site.market("WBTC", "DAI")):
            set_price(chain, market, usual_price(chain, deployment, market) * 9 // 10)
        set_prices(chain, spark, {"WETH": 2_700 * 10**8})
        chain.rpc("evm_setAutomine", False)
        for _ in range(BLOCKS_MAX):
            block()
            if len(_done(at)) == 3:
                break
    done = {i.key.position.account: i.plan for i in at.intents()}
    strategies = {a: p.strategy for a, p in done.items()}
    users = deployment.roles.actors[:3]
    assert strategies == {users[0]: "repay", users[1]: "add_collateral", users[2]: "repay"}
    assert len(at.intents()) == 3, "each position was acted on once"
    for pair, user in ((("WETH", "USDC"), users[0]), (("WBTC", "DAI"), users[1])):
        position = MorphoReader(chain, deployment, settings(deployment, site, site.market(*pair))).position(
            user
        )
        assert 1.30 <= (position.health_wad or 0) / WAD <= 1.40
        assert (position.health_wad or 0) >= done[user].bounds.health_after_min_wad
    assert 1.30 <= Actors(chain, spark).account(users[2]).health_wad / WAD <= 1.40


def _done(at: Guarded) -> list[str]:
    """Strategies of the rescues that the chain has included."""
    ended = (IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL)
    return [i.plan.strategy for i in at.intents() if i.state in ended]


def _told(at: Guarded) -> None:
    """What ``check`` says before the night: every position is read, and one owner lets somebody else act."""

    def run(*line: str) -> subprocess.CompletedProcess[str]:
        return typed(ROOT, *line, "--config", str(at.config))

    checked = run("check", "--json")
    assert checked.returncode == 1, checked.stderr
    found = {f["code"]: f for f in json.loads(checked.stdout)["findings"]}
    assert "unreadable" not in found
    assert STRANGER in found["foreign_authorization"]["why"]


def test_line__of_a_pre_liquidation_that_nobody_named__counts_from_its_owners_word_on(
    chain: Chain, deployment: Deployment, places: tuple[MorphoSite, Deployment], at: Guarded, tmp_path: Path
) -> None:
    site, user = places[0], deployment.roles.actors[0]
    market = site.market("WETH", "USDC")
    pre_liquidation(chain, site, market, (PRE, TERMS, market.oracle))

    async def told(journal: Journal) -> tuple[list[tuple[str, ...]], Site]:
        async with opened(at.settings, at.settings.chains[0]) as here:
            guarded = next(g for g in here.guarded if g.id.account == user)
            before = here.venues[guarded.venue_id]
            chain.send(user, site.morpho, "setAuthorization(address,bool)", PRE, True)
            venues, block = dict(here.venues), await latest(here.endpoints)
            looking = Lines(
                here, journal, Alarms(journal.record, SystemClock(), block.chain_id, lambda _: None)
            )
            for _ in range(2):
                await looking.look(venues, block)
            assert venues[guarded.venue_id] is not before
            return [s.pre_liquidations for s in looking.named.values()], await recalled(here, journal)

    plain = MorphoReader(chain, deployment, settings(deployment, site, market)).position(user)
    with Journal.open(tmp_path / "lines.sqlite", SystemClock()) as journal:
        pre, again = asyncio.run(told(journal))
    assert sorted(pre) == [*[()] * (len(again.venues) - 1), (PRE,)], "found once"
    assert sorted(s.pre_liquidations for s in again.settings.values()) == sorted(pre), (
        "a restart begins with it"
    )
    (view,) = asyncio.run(photograph(at.settings))
    (lined,) = [p for p in view.snapshot.positions if p.id.account == user]
    assert lined.collateral[0].threshold_wad == TERMS[0] < plain.collateral[0].threshold_wad
    assert (lined.health_wad or 0) / (plain.health_wad or 1) == pytest.approx(
        TERMS[0] / market.lltv_wad, rel=1e-5
    )
    found = asyncio.run(inspect(at.settings))
    assert [f.why.split(",")[0] for f in found if f.code == "line_found"] == [PRE]
    assert not [f for f in found if f.code == "foreign_authorization" and PRE in f.why]


def test_scan__an_account_on_an_unlisted_chain__finds_its_markets_from_its_logs_and_by_id(
    chain: Chain,
    deployment: Deployment,
    places: tuple[MorphoSite, Deployment],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site, _ = places
    market, user = site.market("WBTC", "DAI"), deployment.roles.actors[3]
    open_loan(chain, deployment, site, market, (user, 10**8, 40_000 * 10**18))
    named = asyncio.run(scan(Wish(account=user, provider=site.morpho, market=market.id), chain.url))
    (position,) = named.snapshot.positions
    assert position.id.key == market.id
    contract = VenueSettings(
        name="morpho_blue_local", kind="morpho_blue", chain="local", provider=site.morpho
    )
    monkeypatch.setattr(deployments, "_contracts", lambda: ((deployment.chain_id, contract),))
    found = asyncio.run(scan(Wish(account=user), chain.url))
    assert [p.id for p in found.snapshot.positions] == [position.id]
    # no oracle in dollars is known here: health stands without it
    assert found.snapshot.positions[0].health_wad == position.health_wad
    guards = [Guard(id=position.id, policy=None, market=found.markets[position.id.venue, position.id.key])]
    written = tmp_path / "keeper.toml"
    text = from_guards("local", deployment.chain_id, chain.url, guards)
    written.write_text(text)
    assert load(written).venues[0].market == market.id
    with pytest.raises(ConfigError, match="no market of this id"):
        asyncio.run(scan(Wish(account=user, provider=site.morpho, market="0x" + "7" * 64), chain.url))
