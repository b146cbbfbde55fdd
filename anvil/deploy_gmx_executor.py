"""An owner's GmxV2Executor on a local chain: factory, deployment, terms and bot, and it as his subaccount."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from anvil.client import Chain, creation_code
from anvil.compile import own_artifact
from anvil.deploy_executor import CREATE2_DEPLOYER, SALT, code_of, create2_address
from anvil.deploy_gmx_v2 import USD, Gmx, allow

TERMS = "(uint40,uint32,uint32,uint32,uint16,bool,uint32,uint32,uint128,uint128,uint128,uint128,uint128)"
SET_POSITION = f"setPosition(address,address,bool,{TERMS})"
FOREVER_S = 10**10


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpTerms:
    """The struct of that name, in its order."""

    expiry_s: int = FOREVER_S
    cooldown_s: int = 12
    epoch_s: int = 86_400
    stale_s: int = 86_400
    slippage_bps: int = 500
    may_close: bool = False
    trigger_ppm: int = 70_000
    max_ppm: int = 200_000
    size_cap_usd: int = 30_000 * USD
    size_min_usd: int = 100 * USD
    margin_cap: int = 5_000 * 10**6
    margin_min: int = 10**6
    fee_max_wei: int = 10**17


def deploy_gmx_executor(chain: Chain, at: Gmx, owner: str) -> str:
    """The owner's Executor for that SubaccountRouter, deployed by the owner, who must be unlocked; its address."""
    executor, factory = own_artifact("GmxV2Executor"), own_artifact("GmxV2ExecutorFactory")
    for artifact in (executor, factory):
        chain.learn(artifact)
    code = creation_code(factory, (), {})
    place = create2_address(CREATE2_DEPLOYER, SALT, keccak(code))
    if not chain.has_code(place):
        chain.send(chain.accounts[0], CREATE2_DEPLOYER, SALT + code)
    chain.send(owner, place, "deploy(bytes,address)", code_of(executor), at.subaccounts)
    salt = keccak(encode(["address", "address"], [owner, at.subaccounts]))
    return create2_address(place, salt, keccak(code_of(executor)))


def granted_executor(
    chain: Chain, at: Gmx, owner: str, bot: str, long: bool, terms: PerpTerms | None = None
) -> str:
    """Deployed, with that bot and terms for one side, and a subaccount of the owner's; its address."""
    executor = deploy_gmx_executor(chain, at, owner)
    chain.send(owner, executor, "setBot(address,uint40)", bot, FOREVER_S)
    words = astuple(terms or PerpTerms())
    chain.send(owner, executor, SET_POSITION, at.market, at.usdc, long, words)
    allow(chain, at, owner, executor, 100, FOREVER_S)
    return executor
