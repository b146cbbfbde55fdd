"""``keeper check`` on a real market whose sources are wrong: each by its code, and by none where all is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.compile import own_artifact
from anvil.deploy_maker import WAD, deploy_maker, open_vault
from anvil.deploy_morpho import deploy_morpho, open_loan, set_price
from anvil.deployment import Deployment
from anvil.node import Anvil
from keeper.oracle import osm
from tests.command import typed

pytestmark = pytest.mark.anvil

DEAD = "http://127.0.0.1:1"
SWAP = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"
Wrong = Callable[["Place"], dict[str, str]]


class Place:
    """A borrower of the real Aave market, and the configuration that guards him."""

    def __init__(self, chain: Chain, market: Deployment, node: Anvil) -> None:
        self.chain, self.market, self.node = chain, market, node
        self.me, self.user = chain.accounts[0], market.roles.actors[0]
        actors = Actors(chain, market)
        owed = {"USDC": 12_000 * 10**6}
        actors.open(Borrower(account=self.user, collateral={"WETH": 10 * 10**18}, debt=owed))
        # pools tell an average once they are older than it
        chain.mine(chain.block().timestamp_s + 3_600)
        self.venues = f"""[[venues]]
name = "market"
kind = "aave_v3"
chain = "local"
provider = "{market.provider}"
"""

    def text(self, *, chain: str = "", venue: str | None = None) -> str:
        """keeper.toml; ``chain``: further lines of its chain, ``venue``: another market in the place of Aave's."""
        return f"""schema = 1
state_dir = "state"
[[chains]]
name = "local"
chain_id = {self.market.chain_id}
multicall = "{self.market.multicall}"
native_token = "{self.market.token("WETH").address}"
uniswap_quoter = "{self.market.uniswap.quoter}"
{chain}
[[chains.endpoints]]
name = "first"
url = "{self.node.url}"
{self.venues if venue is None else venue}
[[positions]]
label = "vault"
venue = "market"
account = "{self.user}"
"""


def said(folder: Path, at: Place, **changed: str) -> list[tuple[str, str]]:
    """(code, why) of each finding of the command as a user types it."""
    (folder / "keeper.toml").write_text(at.text(**changed))
    done = typed(folder, "check", "--json")
    assert "Traceback" not in done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return [(str(f["code"]), str(f["why"])) for f in found]


def pool_moved(at: Place) -> dict[str, str]:
    """The one pool that tells WETH's price was moved, and keeps one observation."""
    weth, usdc = at.market.token("WETH").address, at.market.token("USDC").address
    router, units = at.market.uniswap.router, 400 * 10**18
    at.chain.send(at.me, weth, "mint(address,uint256)", at.me, units)
    at.chain.send(at.me, weth, "approve(address,uint256)", router, units)
    at.chain.send(at.me, router, SWAP, (weth, usdc, 500, at.me, 2**40, units, 0, 0))
    return {}


def exchange_dead(at: Place) -> dict[str, str]:
    return {"chain": f'[[chains.tickers]]\nname = "kraken"\nurl = "{DEAD}"'}


def timelock_is_none(at: Place) -> dict[str, str]:
    """A contract that answers, and is no timelock."""
    address = at.market.token("WETH").feed
    return {"chain": f'[[chains.timelocks]]\nkind = "aave_payloads"\naddress = "{address}"'}


def market_unknown(at: Place) -> dict[str, str]:
    return morpho(at, "0x" + "ab" * 32)


def oracle_zero(at: Place) -> dict[str, str]:
    return morpho(at, None)


def morpho(at: Place, id: str | None) -> dict[str, str]:
    """A real Morpho Blue; None: a market of its own whose oracle answers 0."""
    site = deploy_morpho(at.chain, at.market)
    market = site.market("WETH", "USDC")
    open_loan(at.chain, at.market, site, market, (at.user, 10 * 10**18, 12_000 * 10**6))
    set_price(at.chain, market, 0)
    venue = f"""[[venues]]
name = "market"
kind = "morpho_blue"
chain = "local"
provider = "{site.morpho}"
market = "{id or market.id}"
usd_feed = "{at.market.token("USDC").feed}"
"""
    return {"venue": venue}


def decimals_other(at: Place) -> dict[str, str]:
    """The market's oracle asks a feed that counts in eighteen digits, and believes eight."""
    feed = at.chain.deploy(own_artifact("PriceFeed"), 18, 3_000 * 10**8, "WETH / USD")
    signature = "setAssetSources(address[],address[])"
    at.chain.send(at.me, at.market.oracle, signature, [at.market.token("WETH").address], [feed])
    return {}


def feed_zero(at: Place) -> dict[str, str]:
    at.chain.send(at.me, at.market.token("USDC").feed, "set(int256)", 0)
    return {}


def delayed_gone(at: Place) -> dict[str, str]:
    """A vault whose delayed price keeps no time."""
    system = deploy_maker(at.chain)
    number, _ = open_vault(at.chain, system, at.user, 10 * WAD, 13_500 * WAD)
    at.chain.rpc("anvil_setStorageAt", system.osm, hex(osm.TIMES), "0x" + "00" * 32)
    at.chain.mine()
    venue = f"""[[venues]]
name = "market"
kind = "maker"
chain = "local"
provider = "{system.chainlog}"
market = "ETH-A"
vaults = [{number}]
"""
    return {"venue": venue}


@pytest.mark.parametrize(
    ("wrong", "code", "text"),
    [
        (pool_moved, "market_unread", "the market's price"),
        (exchange_dead, "ticker_refused", "kraken"),
        (timelock_is_none, "pending_governance_unread", "what waits behind the aave_payloads timelock"),
        (market_unknown, "contract", "no market of this id"),
        (oracle_zero, "feed_not_positive", "WETH: its oracle answers 0"),
        (decimals_other, "feed_decimals", "18"),
        (feed_zero, "feed_not_positive", "USDC: answers 0"),
        (delayed_gone, "osm_unread", "the next price is not known"),
    ],
    ids=lambda v: v.__name__ if callable(v) else "",
)
def test_check__when_a_source_is_wrong__then_it_is_named_and_where_all_is_right_it_is_not(
    chain: Chain, deployment: Deployment, upstream: Anvil, tmp_path: Path, wrong: Wrong, code: str, text: str
) -> None:
    at = Place(chain, deployment, upstream)
    assert (code, True) not in {(c, text in why) for c, why in said(tmp_path, at)}
    assert (code, True) in {(c, text in why) for c, why in said(tmp_path, at, **wrong(at))}


def test_check__when_no_timelock_is_known_for_a_market__then_that_is_said_until_one_is_named(
    chain: Chain, deployment: Deployment, upstream: Anvil, tmp_path: Path
) -> None:
    at = Place(chain, deployment, upstream)
    lock = chain.deploy(own_artifact("PayloadsDouble"), 86_400)
    named = f'[[chains.timelocks]]\nkind = "aave_payloads"\naddress = "{lock}"'
    assert "timelock_unknown" in {c for c, _ in said(tmp_path, at)}
    assert "timelock_unknown" not in {c for c, _ in said(tmp_path, at, chain=named)}
