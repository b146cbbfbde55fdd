"""One owner on one chain: a loan on the real Aave v3.6, and a short on GMX's double that hedges it; one keeper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from anvil.abi import encode_call
from anvil.actors import Actors, Borrower
from anvil.client import Chain, Reverted
from anvil.deploy import deploy
from anvil.deploy_gmx_v2 import (
    EVER,
    PRICES,
    Asked,
    Gmx,
    allow,
    deploy_gmx_v2,
    open_position,
    order,
    size_of,
)
from anvil.deployment import Deployment
from anvil.node import Anvil
from anvil.stage import keystore
from keeper.config import VenueSettings, load
from tests.perp_stage import FOR_LONG, slot
from tests.venue_stage import Guarded, home

ETH = 10**18
DOLLAR = 10**6
SIZE, MARGIN = 10_000, 4_000
"""Dollars of the short: half of ten ether at 2,000."""
TERMS = """warn = "1.30"
trigger = "1.25"
target = "1.35"
emergency = "1.08"
hysteresis = "0.02"
stress_pct = "0"
"""
PERP = """[policies.perp]
warn = "1.05"
trigger = "1.03"
target = "1.04"
emergency = "1.01"
hysteresis = "0.005"
strategies = ["reduce_perp"]
"""
PAIR = """[[pairs]]
loan = "loan"
short = "hedge"
assets = ["WETH"]
trigger = "1.15"
target = "1.25"
cover_pct = 40
"""


HEDGED = """[pairs.hedge]
key = "{key}"
keystore = "{folder}/hedge.json"
password_file = "{folder}/hedge.password"
share_pct = 50
notional_usd_max = 9000
action_usd_max = 6000
day_usd_max = 9000
leverage = 2
funding_year_max_pct = 1000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """What stands where."""

    chain: Chain
    market: Deployment
    gmx: Gmx
    actors: Actors
    owner: str
    short: bytes
    """Key of the owner's short."""

    def moved(self, eth_usd: int) -> None:
        """Both venues' feeds say so in the next block."""
        token = self.market.token("WETH")
        self.chain.submit(self.chain.accounts[0], token.feed, encode_call("set(int256)", eth_usd * 10**8))
        self.chain.submit(
            self.chain.accounts[0], self.gmx.wnt_feed, encode_call("set(int256)", eth_usd * 10**8)
        )

    def wicked(self, eth_usd: int) -> None:
        """The venue's own keepers liquidate the short at a price that no feed shows."""
        eth, usdc = (eth_usd * 10**12,) * 2, (10**24,) * 2
        signature = f"executeLiquidation(address,address,address,bool,{PRICES})"
        at = (self.owner, self.gmx.market, self.gmx.usdc, False, (eth, eth, usdc))
        self.chain.submit(self.chain.accounts[2], self.gmx.handler, encode_call(signature, *at))

    def closes(self) -> None:
        """The owner's order for all of the short, to be executed by the venue's keeper."""
        size = size_of(self.chain, self.gmx, self.short)[0]
        self.chain.rpc("evm_setAutomine", True)
        order(
            self.chain,
            self.gmx,
            self.owner,
            Asked(kind=4, size_usd30=size, units=0, long=False, acceptable=EVER),
        )
        self.chain.rpc("evm_setAutomine", False)

    def health(self) -> float:
        """The loan's, by Aave."""
        return self.actors.account(self.owner).health_wad / ETH


def joint(node: Anvil, chain: Chain, *, flat: bool = False) -> Joint:
    """Ten ether against 12,000 dollars at 2,000: health 1.38; and a short of five ether, or (flat) none yet."""
    market = deploy(chain)
    owner = chain.accounts[10]
    actors = Actors(chain, market)
    chain.send(chain.accounts[0], market.token("WETH").feed, "set(int256)", 2_000 * 10**8)
    actors.open(Borrower(account=owner, collateral={"WETH": 10 * ETH}, debt={"USDC": 12_000 * DOLLAR}))
    usdc = market.token("USDC").address
    chain.send(owner, usdc, "transfer(address,uint256)", chain.accounts[9], 12_000 * DOLLAR)
    gmx = deploy_gmx_v2(chain, usdc=usdc)
    if flat:
        at = encode(["address", "address", "address", "bool"], [owner, gmx.market, gmx.usdc, False])
        short = keccak(at)
    else:
        short = open_position(chain, gmx, owner, False, SIZE, MARGIN)
    return Joint(chain=chain, market=market, gmx=gmx, actors=actors, owner=owner, short=short)


def joint_home(
    folder: Path, node: Anvil, at: Joint, *, strategies: str = '["repay"]', pair: str = PAIR
) -> Guarded:
    """A live keeper of both legs, granted, and funded where it repays from its wallet."""
    wallet = keystore(folder)
    allow(at.chain, at.gmx, at.owner, wallet, 100, FOR_LONG)
    if '"repay"' in strategies:
        at.actors.mint("USDC", wallet, 20_000 * DOLLAR)
    aave = VenueSettings(name="aave", kind="aave_v3", chain="local", provider=at.market.provider)
    perp = slot(at.gmx, False, wallet, "gmx")
    made = home(
        folder,
        node,
        at.chain,
        [(aave, {"loan": at.owner}), (perp, {"hedge": at.owner})],
        multicall=at.market.multicall,
        native=at.market.token("WETH").address,
        terms=f'{TERMS}strategies = ["repay", "reduce_perp"]',
    )
    text = made.config.read_text().replace('["repay", "reduce_perp"]', strategies)
    first, second = text.split('label = "hedge"', 1)
    text = f'{first}label = "hedge"' + second.replace('policy = "default"', 'policy = "perp"', 1)
    text = text.replace("\naccount =", "\naccept_thin_emergency = true\naccount =")
    again = f'[[chains.endpoints]]\nname = "second"\nurl = "{node.url}"\nrate_per_s = 1000\n[[venues]]'
    made.config.write_text(text.replace("[[venues]]", again, 1) + PERP + pair)
    return replace(made, settings=load(made.config))


def hedge_key(folder: Path) -> str:
    """Keystore and password of a hedge's key, worthless by intent; its address."""
    from keeper.signer.keystore import seal

    sealed, address = seal(keccak(text="keeper demo hedge: worthless by intent"), "a canary of the hedge")
    for name, text in (("hedge.json", sealed), ("hedge.password", "a canary of the hedge")):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text)
    return address


def hedge_home(folder: Path, node: Anvil, at: Joint) -> tuple[Guarded, str]:
    """A live keeper whose pair has a hedge with a key, granted and funded but not armed; the key's address."""
    key = hedge_key(folder)
    made = joint_home(folder, node, at, pair=PAIR + HEDGED.format(key=key, folder=folder))
    allow(at.chain, at.gmx, at.owner, key, 100, FOR_LONG)
    at.actors.mint("USDC", key, 6_000 * DOLLAR)
    at.chain.rpc("anvil_setBalance", key, hex(100 * ETH))
    at.chain.rpc("anvil_impersonateAccount", key)
    at.chain.send(key, at.gmx.usdc, "approve(address,uint256)", at.gmx.router, 6_000 * DOLLAR)
    at.chain.rpc("anvil_stopImpersonatingAccount", key)
    return made, key


def liquidated(chain: Chain, at: Joint, eth_usd: int) -> bool:
    """Whether GMX's engine takes the short at that signed price."""
    eth, usdc = (eth_usd * 10**12,) * 2, (10**24,) * 2
    signature = f"executeLiquidation(address,address,address,bool,{PRICES})"
    asked = (at.owner, at.gmx.market, at.gmx.usdc, False, (eth, eth, usdc))
    try:
        chain.send(chain.accounts[2], at.gmx.handler, signature, *asked)
    except Reverted:
        return False
    return size_of(chain, at.gmx, at.short)[0] == 0
