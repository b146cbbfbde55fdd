"""A Maker/Sky vault system of our own making: doubles with the real ABI and storage shapes, one collateral type.

No package carries the protocol, so nothing of it is here; formulas stand in keeper/venues/maker/math.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from anvil.client import Chain
from anvil.compile import own_artifact
from anvil.deploy_multicall3 import deploy_multicall3

WAD, RAY = 10**18, 10**27
RAD = WAD * RAY
ILK = b"ETH-A".ljust(32, b"\0")
MAT = 145 * RAY // 100
CHOP = 113 * WAD // 100
DUST = 7_500 * RAD
PRICE = 3_000 * WAD
DUTY = 1_000_000_001_622_535_724_756_171_269
"""5.25 % a year, per second."""


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
    actions: str
    gem: str
    dai: str

    @property
    def ilk(self) -> str:
        """The collateral type, 0x-hex."""
        return "0x" + ILK.hex()


def deploy_maker(chain: Chain) -> VaultSystem:
    """The whole system with one collateral type, ETH-A, whose delayed price stands at 3,000."""
    deployer = chain.accounts[0]

    def made(name: str, *arguments: object) -> str:
        return chain.deploy(own_artifact(name), *arguments)

    def do(to: str, signature: str, *arguments: object) -> None:
        chain.send(deployer, to, signature, *arguments)

    vat = made("VatDouble")
    jug, spotter, dog, manager = (
        made(n, vat) for n in ("JugDouble", "SpotterDouble", "DogDouble", "CdpManagerDouble")
    )
    osm, gem, dai = made("OsmDouble", PRICE), made("TokenDouble", "WETH", 18), made("TokenDouble", "DAI", 18)
    gem_join, dai_join = made("GemJoinDouble", vat, ILK, gem), made("DaiJoinDouble", vat, dai)
    chainlog, registry = made("ChainlogDouble"), made("IlkRegistryDouble")
    actions = made("ProxyActionsDouble")
    do(vat, "init(bytes32)", ILK)
    do(vat, "fileDust(bytes32,uint256)", ILK, DUST)
    do(jug, "file(bytes32,uint256)", ILK, DUTY)
    do(spotter, "file(bytes32,address,uint256)", ILK, osm, MAT)
    do(osm, "kiss(address)", spotter)
    do(spotter, "poke(bytes32)", ILK)
    do(dog, "file(bytes32,uint256)", ILK, CHOP)
    do(registry, "put(bytes32,address,address)", ILK, gem_join, gem)
    for name, address in (
        ("MCD_VAT", vat),
        ("MCD_JUG", jug),
        ("MCD_SPOT", spotter),
        ("MCD_DOG", dog),
        ("CDP_MANAGER", manager),
        ("ILK_REGISTRY", registry),
        ("MCD_JOIN_DAI", dai_join),
        ("MCD_DAI", dai),
        ("PROXY_ACTIONS", actions),
    ):
        do(chainlog, "set(bytes32,address)", name.encode().ljust(32, b"\0"), address)
    return VaultSystem(
        chain_id=int(chain.rpc("eth_chainId"), 16),
        multicall=deploy_multicall3(chain),
        chainlog=chainlog,
        vat=vat,
        jug=jug,
        spotter=spotter,
        osm=osm,
        dog=dog,
        manager=manager,
        actions=actions,
        gem=gem,
        dai=dai,
    )


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
