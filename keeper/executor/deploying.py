"""The transactions that put an owner's Executor on a chain, at the address that follows from owner and code. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.executor import verify
from keeper.executor.abi import ZERO, selector
from keeper.executor.grants import Signing
from keeper.model import Call

VENUES = "(address,address,address,bytes32,address)"
DEPLOY = selector(f"deploy(bytes,{VENUES})")
MAKER = "(address,address,address,address,address)"
DEPLOY_MAKER = selector(f"deploy(bytes,{VENUES},{MAKER})")
MAKER_NAMES = ("manager", "spotter", "jug", "Dai adapter", "registry")
UNISWAP_V3_POOL_HASH = "0xe34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54"
"""keccak256 of the pools' creation code, the same for every official factory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What the owner names at deployment, for ever: who may lend, and on which pools may be swapped."""

    aave_v3: str = ZERO
    morpho_blue: str = ZERO
    uniswap_factory: str = ZERO
    maker: tuple[str, ...] = ()
    """Of a MakerExecutor besides: the struct ``MakerVenues``."""

    @property
    def words(self) -> tuple[str, str, str, bytes, str]:
        """The struct ``Venues``."""
        pools = bytes.fromhex(UNISWAP_V3_POOL_HASH[2:]) if self.uniswap_factory != ZERO else bytes(32)
        return (self.aave_v3, self.morpho_blue, self.uniswap_factory, pools, ZERO)


def signings(name: str, owner: str, made: Made, *, factory_there: bool) -> tuple[Signing, ...]:
    """The factory where the chain has none yet (anybody may send that), then the Executor of that artifact."""
    creation = verify.artifact(name).creation
    place, factory = verify.executor_address(owner, name), verify.factory_address(name)
    call = Call(target=factory, data=_deployed(creation, made))
    code = f"0x{keccak(creation).hex()}"
    lends = [
        f"{what} {at}" for what, at in (("Aave", made.aave_v3), ("Morpho", made.morpho_blue)) if at != ZERO
    ]
    swaps = (
        f"on pools of {made.uniswap_factory}"
        if made.uniswap_factory != ZERO
        else "on no pool, by routers alone"
    )
    deploy = Signing(
        call=call,
        signs=f"deploy(code {code}, {len(creation)} bytes; {', '.join((*made.words[:3], *made.maker))})",
        meaning=f"your Executor ({name}) will lie at {place}; it may borrow from {' and '.join(lends) or 'nobody'} "
        f"within a transaction and swaps {swaps}{_vaults(made)}. None of this can be changed later; the hour in "
        "which you may configure it without announcing begins here",
    )
    return (deploy,) if factory_there else (_factory(name), deploy)


def _deployed(creation: bytes, made: Made) -> bytes:
    if not made.maker:
        return DEPLOY + encode(["bytes", VENUES], [creation, made.words])
    return DEPLOY_MAKER + encode(["bytes", VENUES, MAKER], [creation, made.words, made.maker])


def _vaults(made: Made) -> str:
    """Of which vault system it is, in words; nothing for the others."""
    named = [f"{what} {at}" for what, at in zip(MAKER_NAMES, made.maker, strict=False)]
    return f", and acts on vaults of {', '.join(named)}" if named else ""


def _factory(name: str) -> Signing:
    creation = verify.artifact(verify.factory_of(name)).creation
    return Signing(
        call=Call(target=verify.CREATE2_DEPLOYER, data=verify.SALT + creation),
        signs=f"deploy the factory (code 0x{keccak(creation).hex()}, {len(creation)} bytes)",
        meaning="the factory of Executors, which this chain does not have yet, will lie at "
        f"{verify.factory_address(name)}; anybody may do this, once",
    )
