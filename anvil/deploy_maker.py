"""A Maker/Sky vault system of our own making: doubles with the real ABI and storage shapes, one collateral type.

No package carries the protocol, so nothing of it is here; formulas stand in keeper/venues/maker/math.py.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

from eth_utils.crypto import keccak

from anvil.client import Chain, creation_code
from anvil.compile import own_artifact
from anvil.deploy_executor import (
    CREATE2_DEPLOYER,
    SALT,
    ChainVenues,
    code_of,
    create2_address,
    executor_address,
)
from anvil.deploy_multicall3 import deploy_multicall3
from anvil.deploy_uniswap_v3 import sqrt_price_x96
from anvil.deployment import DeployedPool, Deployment

WAD, RAY = 10**18, 10**27
RAD = WAD * RAY
ILK = b"ETH-A".ljust(32, b"\0")
MAT = 145 * RAY // 100
CHOP = 113 * WAD // 100
DUST = 7_500 * RAD
PRICE = 3_000 * WAD
DUTY = 1_000_000_001_622_535_724_756_171_269
"""5.25 % a year, per second."""
POOL_FEE, POOL_EDGE = 500, 887_270
SIDE_USD = 30_000_000
STOCK = 10**9 * WAD
_MINT = (
    "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))"
    "(uint256,uint128,uint256,uint256)"
)
_DEPLOY = "deploy(bytes,(address,address,address,bytes32,address),(address,address,address,address,address))(address)"


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSystem:
    """What stands where."""

    chain_id: int
    multicall: str
    chainlog: str
    vat: str
    jug: str
    spotter: str
    osm: str
    dog: str
    manager: str
    registry: str
    gem_join: str
    dai_join: str
    actions: str
    gem: str
    dai: str

    @property
    def ilk(self) -> str:
        """The collateral type, 0x-hex."""
        return "0x" + ILK.hex()

    @property
    def names(self) -> dict[str, str]:
        """What the chainlog says."""
        return {
            "MCD_VAT": self.vat,
            "MCD_JUG": self.jug,
            "MCD_SPOT": self.spotter,
            "MCD_DOG": self.dog,
            "CDP_MANAGER": self.manager,
            "ILK_REGISTRY": self.registry,
            "MCD_JOIN_DAI": self.dai_join,
            "MCD_DAI": self.dai,
            "PROXY_ACTIONS": self.actions,
        }


def deploy_maker(
    chain: Chain, tokens: tuple[str, str] | None = None, multicall: str | None = None
) -> VaultSystem:
    """The whole system with one collateral type, ETH-A, whose delayed price stands at 3,000.

    ``tokens``: collateral and Dai that are there already; of that Dai its adapter must be given a stock.
    """
    deployer = chain.accounts[0]

    def made(name: str, *arguments: object) -> str:
        return chain.deploy(own_artifact(name), *arguments)

    def do(to: str, signature: str, *arguments: object) -> None:
        chain.send(deployer, to, signature, *arguments)

    vat, chainlog, registry, actions = (
        made(n) for n in ("VatDouble", "ChainlogDouble", "IlkRegistryDouble", "ProxyActionsDouble")
    )
    jug, spotter, dog, manager = (
        made(n, vat) for n in ("JugDouble", "SpotterDouble", "DogDouble", "CdpManagerDouble")
    )
    osm = made("OsmDouble", PRICE)
    gem, dai = tokens or (made("TokenDouble", "WETH", 18), made("TokenDouble", "DAI", 18))
    gem_join, dai_join = made("GemJoinDouble", vat, ILK, gem), made("DaiJoinDouble", vat, dai)
    do(vat, "init(bytes32)", ILK)
    do(vat, "fileDust(bytes32,uint256)", ILK, DUST)
    for ward in (jug, spotter, gem_join):
        do(vat, "rely(address)", ward)
    do(jug, "file(bytes32,uint256)", ILK, DUTY)
    do(spotter, "file(bytes32,address,uint256)", ILK, osm, MAT)
    do(osm, "kiss(address)", spotter)
    do(spotter, "poke(bytes32)", ILK)
    do(dog, "file(bytes32,uint256)", ILK, CHOP)
    do(registry, "put(bytes32,address,address)", ILK, gem_join, gem)
    system = VaultSystem(
        chain_id=int(chain.rpc("eth_chainId"), 16),
        multicall=multicall or deploy_multicall3(chain),
        chainlog=chainlog,
        vat=vat,
        jug=jug,
        spotter=spotter,
        osm=osm,
        dog=dog,
        manager=manager,
        registry=registry,
        gem_join=gem_join,
        dai_join=dai_join,
        actions=actions,
        gem=gem,
        dai=dai,
    )
    for name, address in system.names.items():
        do(chainlog, "set(bytes32,address)", name.encode().ljust(32, b"\0"), address)
    return system


def open_vault(chain: Chain, at: VaultSystem, owner: str, ink: int, art: int) -> tuple[int, str]:
    """A vault of ``owner`` with that much collateral and normalised debt: its number and address."""
    deployer = chain.accounts[0]
    chain.send(deployer, at.manager, "open(bytes32,address)", ILK, owner)
    number = int(chain.call(at.manager, "cdpi()(uint256)"))
    if ink or art:
        chain.send(deployer, at.manager, "fill(uint256,int256,int256)", number, ink, art)
    return number, str(chain.call(at.manager, "urns(uint256)(address)", number))


def proxy_of(chain: Chain, owner: str) -> str:
    """A proxy that obeys ``owner``."""
    return chain.deploy(own_artifact("DsProxyDouble"), owner)


def deploy_maker_on(chain: Chain, deployment: Deployment) -> tuple[VaultSystem, Deployment]:
    """The system on the market's own WETH and DAI, and the market with a pool of the two."""
    weth, dai, me = deployment.token("WETH").address, deployment.token("DAI").address, chain.accounts[0]
    at = deploy_maker(chain, (weth, dai), deployment.multicall)
    minter = deployment.roles.deployer
    chain.send(minter, dai, "mint(address,uint256)", at.dai_join, STOCK)
    sides = {weth: SIDE_USD * WAD * WAD // PRICE, dai: SIDE_USD * WAD}
    (a, x), (b, y) = sorted(sides.items(), key=lambda side: int(side[0], 16))
    factory, manager = deployment.uniswap.factory, deployment.uniswap.position_manager
    chain.send(me, factory, "createPool(address,address,uint24)", a, b, POOL_FEE)
    pool = str(chain.call(factory, "getPool(address,address,uint24)(address)", a, b, POOL_FEE))
    chain.send(me, pool, "initialize(uint160)", sqrt_price_x96(x, y))
    for token, units in sides.items():
        chain.send(minter, token, "mint(address,uint256)", me, units)
        chain.send(me, token, "approve(address,uint256)", manager, 2**256 - 1)
    chain.send(me, manager, _MINT, (a, b, POOL_FEE, -POOL_EDGE, POOL_EDGE, x, y, 0, 0, me, 2**40))
    pools = (
        *deployment.uniswap.pools,
        DeployedPool(symbols=("WETH", "DAI"), fee=POOL_FEE, address=pool),
    )
    return at, replace(deployment, uniswap=replace(deployment.uniswap, pools=pools))


def deploy_maker_executor(chain: Chain, at: VaultSystem, owner: str, venues: ChainVenues) -> str:
    """The owner's MakerExecutor, deployed by the owner, who must be unlocked."""
    artifact, factory = own_artifact("MakerExecutor"), own_artifact("MakerExecutorFactory")
    for learned in (artifact, factory, own_artifact("MakerBooks")):
        chain.learn(learned)
    code = creation_code(factory, (), {})
    place = create2_address(CREATE2_DEPLOYER, SALT, keccak(code))
    if not chain.has_code(place):
        chain.send(chain.accounts[0], CREATE2_DEPLOYER, SALT + code)
    named = (at.manager, at.spotter, at.jug, at.dai_join, at.registry)
    chain.send(owner, place, _DEPLOY, code_of(artifact), astuple(venues), named)
    return executor_address(place, owner, artifact)


def set_delayed(chain: Chain, at: VaultSystem, current: int, following: int) -> None:
    """The delayed price that counts now, poked, and the one that will within the hour; wads."""
    chain.send(chain.accounts[0], at.osm, "file(uint128,uint128)", current, following)
    chain.send(chain.accounts[0], at.spotter, "poke(bytes32)", ILK)
