"""An owner's Executor on a local chain: factory, deployment, configuration and grant, from committed artifacts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from anvil.client import Chain, creation_code
from anvil.compile import Artifact, own_artifact

CREATE2_DEPLOYER = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
"""The deterministic deployment proxy: calldata is salt and creation code. Anvil has it; so has nearly every chain."""
ZERO = "0x" + "00" * 20
SALT = bytes(32)
WAD = 10**18
COLLATERAL, DEBT = 0, 1
STEPWISE, UNISWAP_V3_SWAP, UNISWAP_V3_FLASH, AAVE_V3, MORPHO_BLUE, BALANCER = range(6)
_VENUES = "(address,address,address,bytes32,address)"
TERMS = "(uint64,uint64,uint64,uint64,uint64,uint24,uint24,uint40,uint16,uint8,uint40,uint40)"
UNISWAP_V3_POOL_HASH = bytes.fromhex("e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54")
"""keccak256 of the pools' creation code, the same for every official factory."""
_ORDER = (
    "(bytes32,uint64,uint64,address,address,uint256,uint256,uint8,"
    "address,uint24,address,uint24,uint256[],bytes[])"
)
DELEVERAGE = f"deleverage({_ORDER})"
ADD_COLLATERAL = "addCollateral(bytes32,uint64,address,uint256,uint64)"
REPAY_FROM_RESERVE = "repayFromReserve(bytes32,uint64,address,uint256,uint64)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainVenues:
    """Where the Executor of this chain may borrow and swap; zero where there is none."""

    aave_v3_pool: str = ZERO
    morpho_blue: str = ZERO
    uniswap_v3_factory: str = ZERO
    uniswap_v3_pool_hash: bytes = UNISWAP_V3_POOL_HASH
    balancer_vault: str = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The struct ``Position``, in its order. Health in wad."""

    trigger: int = 125 * WAD // 100
    target: int = 140 * WAD // 100
    max: int = 160 * WAD // 100
    emergency: int = 108 * WAD // 100
    hysteresis: int = 2 * WAD // 100
    cooldown_blocks: int = 5
    epoch_s: int = 86_400
    expiry_s: int
    slippage_bps: int = 100
    flash_fee_bps: int = 10
    seq: int = 0
    last_block: int = 0
    """These two are the contract's own: what the owner gives is ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The struct ``Order``, in its order."""

    position: bytes
    seq: int
    deadline_s: int
    collateral: str
    debt: str
    repay: int
    sell_max: int
    source: int
    source_token: str = ZERO
    source_fee: int = 0
    router: str = ZERO
    swap_fee: int = 0
    sells: tuple[int, ...] = ()
    data: tuple[bytes, ...] = ()


def deploy_factory(chain: Chain) -> str:
    """The factory at the address it has on every chain; deployed when it is not there yet."""
    factory = own_artifact("ExecutorFactory")
    code = creation_code(factory, (), {})
    address = create2_address(CREATE2_DEPLOYER, SALT, keccak(code))
    if not chain.has_code(address):
        chain.send(chain.accounts[0], CREATE2_DEPLOYER, SALT + code)
    chain.learn(factory)
    return address


def deploy_executor(chain: Chain, owner: str, venues: ChainVenues, artifact: Artifact | None = None) -> str:
    """The owner's Executor, deployed by the owner, who must be unlocked."""
    artifact = artifact or own_artifact("AaveV3Executor")
    chain.learn(artifact)
    factory = deploy_factory(chain)
    chain.send(owner, factory, f"deploy(bytes,{_VENUES})", code_of(artifact), astuple(venues))
    return executor_address(factory, owner, artifact)


def executor_address(factory: str, owner: str, artifact: Artifact) -> str:
    """Where the owner's Executor lies on every chain."""
    return create2_address(factory, bytes(12) + bytes.fromhex(owner[2:]), keccak(code_of(artifact)))


def create2_address(deployer: str, salt: bytes, code_hash: bytes) -> str:
    """EIP-1014."""
    return str(to_checksum_address(keccak(b"\xff" + bytes.fromhex(deployer[2:]) + salt + code_hash)[12:]))


def code_of(artifact: Artifact) -> bytes:
    """Creation code: the Executor has no constructor arguments."""
    return bytes.fromhex(artifact.bytecode[2:])


def pool_position(pool: str) -> bytes:
    """The id of the owner's account in an Aave v3 pool."""
    return bytes(12) + bytes.fromhex(pool[2:])


def set_position(chain: Chain, owner: str, executor: str, position: bytes, terms: Terms) -> None:
    """Configure thresholds and bounds of one position."""
    chain.send(owner, executor, f"setPosition(bytes32,{TERMS})", position, astuple(terms))


def set_assets(
    chain: Chain, owner: str, executor: str, position: bytes, assets: Iterable[tuple[str, int, int, int]]
) -> None:
    """List tokens: (token, side, sell cap, fund cap) each."""
    for token, side, sell_cap, fund_cap in assets:
        chain.send(
            owner, executor, "setAsset(bytes32,address,uint8,uint112,uint112)",
            position, token, side, sell_cap, fund_cap,
        )  # fmt: skip
